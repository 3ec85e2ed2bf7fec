//! Writes the records of a [`Sampler`] when their interval has ended.

use super::{Completion, EncodeLimits, Encoder, Flow};
use crate::cursor::Cursor;
use crate::hub::stream::sampler::{Offer, Sampler};
use crate::hub::stream::time_budget::TimeBudget;
use crate::record::{Partition, Position, RecordRef};
use crate::sync::memory_budget::Share;
use std::sync::Arc;
use std::time::Duration;

/// The result of `Encoder::sample`.
pub enum Sampled {
    Held,
    /// The record must be written now.
    Write,
    /// The record must wait for the next call.
    Stop(Flow),
}

impl Encoder {
    /// Holds records back if the filter has a sampling interval. Their memory is charged to `share`.
    pub fn sampling(mut self, share: &Arc<Share>) -> Self {
        self.sampler = self.filter.sample.map(|interval| Sampler::new(interval, share));
        self
    }

    pub fn is_sampled(&self) -> bool {
        self.sampler.is_some()
    }

    /// Returns the position from which a stream must resume to get every record that it has not been sent.
    pub fn resume_at(&self) -> Cursor {
        let mut cursor = self.cursor.clone();
        if let Some(sampler) = &self.sampler {
            for (topic, partition) in sampler.places() {
                if let Some(position) = sampler.resume_at((topic, partition)) {
                    cursor.set(topic, partition, position);
                }
            }
        }
        cursor
    }

    /// Drops the held records, and moves back to `cursor` to read them again.
    pub fn rewind(&mut self, cursor: Cursor) {
        self.forget_held();
        self.cursor = cursor;
    }

    /// Drops the held records. The caller has no streams left, or reads the records again.
    pub fn forget_held(&mut self) {
        if let Some(sampler) = &mut self.sampler {
            sampler.clear();
        }
    }

    /// Takes over the records that another encoder at the same position holds.
    pub fn take_held(&mut self, other: &mut Self) {
        let empty = other.sampler.as_ref().map(Sampler::empty);
        self.sampler = std::mem::replace(&mut other.sampler, empty);
    }

    /// Creates another encoder for the same stream. It holds no records, and begins before those that this encoder
    /// holds.
    pub fn fork(&self) -> Self {
        Self {
            cursor: self.resume_at(),
            sent: self.sent.clone(),
            replayable: self.replayable,
            written: self.written,
            filter: self.filter.clone(),
            format: self.format.clone(),
            bounds: self.bounds.clone(),
            passed: self.passed,
            passing_since: self.passing_since,
            completion: self.completion,
            sampler: self.sampler.as_ref().map(Sampler::empty),
        }
    }

    /// Whether records of a partition are held.
    pub(super) fn holds(&self, place: (usize, Partition)) -> bool {
        self.sampler.as_ref().is_some_and(|sampler| sampler.resume_at(place).is_some())
    }

    /// Offers a matching record to the sampler, and first writes the records that are due.
    pub(super) fn sample(
        &mut self,
        out: &mut Vec<u8>,
        place: (usize, Partition),
        record: &RecordRef<'_>,
        (before, after): (Position, Position),
        limits: &mut EncodeLimits<'_>,
    ) -> Sampled {
        loop {
            let Some(sampler) = &mut self.sampler else { return Sampled::Write };
            match sampler.offer(place, record, before, after) {
                Offer::Held => return Sampled::Held,
                Offer::SendNow => return Sampled::Write,
                Offer::SendDue => {}
            }
            match self.write_due(out, place, limits) {
                Flow::Continues if self.has_due(place) => return Sampled::Stop(Flow::Continues),
                Flow::Continues => {}
                flow => return Sampled::Stop(flow),
            }
        }
    }

    pub(super) fn has_due(&self, place: (usize, Partition)) -> bool {
        self.sampler.as_ref().is_some_and(|sampler| sampler.next_due(place).is_some())
    }

    /// Writes the records of a partition that are due. Stops early at the same limits as [`records`](Self::records).
    pub(super) fn write_due(
        &mut self,
        out: &mut Vec<u8>,
        place: (usize, Partition),
        limits: &mut EncodeLimits<'_>,
    ) -> Flow {
        if self.bounds.remaining == Some(0) {
            return Flow::Finished;
        }
        if !self.has_due(place) {
            return Flow::Continues;
        }
        let (topic, partition) = place;
        // The id must be before held records of other partitions.
        let mut ids = self.resume_at();
        let Some(mut sampler) = self.sampler.take() else { return Flow::Continues };
        let mut flow = Flow::Continues;
        let (name, uses_ids) = (self.cursor.topics()[topic].name.clone(), self.format.uses_ids());
        while let Some(held) = sampler.next_due(place) {
            if out.len() >= limits.most {
                break;
            }
            let record = held.record();
            if let Err(shortage) = self.reserve(out, &record, limits) {
                flow = Flow::Short(shortage);
                break;
            }
            ids.set(topic, partition, held.after);
            let last_id;
            let id = if !uses_ids {
                ""
            } else if self.bounds.remaining == Some(1) {
                self.completion = Completion::Sent;
                last_id = ids.complete_text();
                &last_id
            } else {
                ids.text()
            };
            self.format.record(out, &name, partition, &record, id);
            self.written += 1;
            self.passed = 0;
            sampler.sent(place);
            if let Some(remaining) = &mut self.bounds.remaining {
                *remaining = remaining.saturating_sub(1);
                if *remaining == 0 {
                    flow = Flow::Finished;
                    break;
                }
            }
        }
        self.sampler = Some(sampler);
        flow
    }

    /// Writes the records of a partition that have been held for longer than an interval, up to `limits.most`.
    pub fn write_overdue(
        &mut self,
        out: &mut Vec<u8>,
        place: (usize, Partition),
        limits: &mut EncodeLimits<'_>,
    ) -> Flow {
        let Some(sampler) = self.sampler.as_mut().filter(|sampler| sampler.is_overdue(place)) else {
            return Flow::Continues;
        };
        sampler.end_interval(place);
        self.write_due(out, place, limits)
    }

    /// Writes all held records, up to `limits.most`. Returns `Finished` if no held record is left, or if the stream has
    /// reached its limit.
    pub fn write_held(&mut self, out: &mut Vec<u8>, mut limits: EncodeLimits<'_>) -> Flow {
        for place in self.held_places() {
            self.end_interval(place);
            match self.write_due(out, place, &mut limits) {
                Flow::Continues if self.has_due(place) => return Flow::Continues,
                Flow::Continues => {}
                flow => return flow,
            }
        }
        Flow::Finished
    }

    pub fn held_places(&self) -> Vec<(usize, Partition)> {
        self.sampler.as_ref().map(Sampler::places).unwrap_or_default()
    }

    /// Returns the partitions whose records have been held for longer than an interval.
    pub fn overdue_places(&self) -> Vec<(usize, Partition)> {
        let Some(sampler) = &self.sampler else { return Vec::new() };
        sampler.places().into_iter().filter(|place| sampler.is_overdue(*place)).collect()
    }

    fn end_interval(&mut self, place: (usize, Partition)) {
        if let Some(sampler) = &mut self.sampler {
            sampler.end_interval(place);
        }
    }

    /// Writes the held records of a partition, before a frame that moves the cursor past them. The output needs no
    /// limit, because the memory of held records is bounded.
    pub(super) fn write_before_gap(&mut self, out: &mut Vec<u8>, place: (usize, Partition)) {
        let Some(share) = self.sampler.as_ref().map(|sampler| sampler.share().clone()) else { return };
        let budget = TimeBudget::new(Duration::MAX);
        // The records that are due are written first, then those of the current interval.
        while self.holds(place) && self.bounds.remaining != Some(0) {
            self.end_interval(place);
            // Without a limit on the output, nothing is reserved.
            let mut memory = share.empty_reservation();
            let mut limits = EncodeLimits { most: usize::MAX, budget: &budget, memory: &mut memory };
            self.write_due(out, place, &mut limits);
        }
    }
}
