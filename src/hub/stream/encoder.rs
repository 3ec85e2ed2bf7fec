//! Encodes records as the bytes of one kind of stream, and keeps the cursor in step with them.

mod ends;
mod sampled;

use super::bounds::{Bounds, Ends, TimeBound};
use super::chunk::{Chunk, Replayable, StreamPosition};
use super::filter_input::FilterInput;
use super::gap::Loss;
use super::sampler::Sampler;
use super::time_budget::TimeBudget;
use crate::broker::BrokerError;
use crate::cursor::{Cursor, IdTag};
use crate::hub::subscription::{Filter, Format, FormatChoice, Gap, GapReason};
use crate::record::{Offset, Partition, Position, RecordRef};
use crate::sync::memory_budget::{Reservation, Shortage};
use bytes::Bytes;
use sampled::Sampled;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Offsets that a stream may pass without a record before it gets a checkpoint.
const CHECKPOINT_OFFSETS: u64 = 1000;
/// How long a stream may pass offsets without a record before it gets a checkpoint.
pub const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(5);

/// Whether the stream continues after a call of [`Encoder::records`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    GoesOn,
    /// The stream has delivered all that was requested.
    Finished,
    /// There is not enough memory for the next record.
    Short(Shortage),
}

/// Bounds of one call of [`Encoder::records`].
pub struct EncodeLimits<'l> {
    /// Bytes after which no further record is written.
    pub most: usize,
    /// Time that filters may take.
    pub budget: &'l TimeBudget,
    /// Grows, before it is written, for a record that takes much more than `most`.
    pub memory: &'l mut Reservation,
}

impl EncodeLimits<'_> {
    /// Returns how many bytes need no reservation: a chunk, and the part of its last record that exceeds it.
    fn unpaid(&self) -> usize {
        self.most.saturating_add(self.most / 4)
    }
}

/// Whether an id has marked the stream as complete.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Completion {
    Pending,
    Sent,
}

/// Writes frames and keeps the cursor in step with them.
pub struct Encoder {
    pub cursor: Cursor,
    /// After the last chunk.
    sent: StreamPosition,
    /// Whether the frames since the last chunk can be written again.
    replayable: Replayable,
    /// Records since the last chunk.
    written: u64,
    filter: Arc<Filter>,
    format: Arc<dyn Format>,
    pub bounds: Bounds,
    /// Offsets passed since the last id: filtered records, transaction markers, aborted records, compaction holes.
    passed: u64,
    /// When the first of them was passed.
    passing_since: Option<Instant>,
    completion: Completion,
    /// Holds back records of a sampled stream. The ids do not cover what it holds, unlike the cursor.
    sampler: Option<Sampler>,
}

impl Encoder {
    pub fn new(cursor: Cursor, filter: Arc<Filter>, format: Arc<dyn Format>, bounds: Bounds) -> Self {
        let sent = StreamPosition { cursor: Arc::new(cursor.clone()), remaining: bounds.remaining };
        let completion = Completion::Pending;
        Self {
            cursor,
            sent,
            replayable: Replayable::Yes,
            written: 0,
            filter,
            format,
            bounds,
            passed: 0,
            passing_since: None,
            completion,
            sampler: None,
        }
    }

    /// Continues at another position.
    pub fn move_to(&mut self, cursor: Cursor) {
        self.cursor = cursor;
        self.begin_chunk();
    }

    /// Begins the next chunk at the cursor: no stream needs what came before it.
    pub fn begin_chunk(&mut self) {
        self.sent = self.position();
        self.written = 0;
    }

    /// Returns a chunk of the frames since the last one.
    pub fn chunk(&mut self, bytes: impl Into<Bytes>) -> Chunk {
        let now = self.position();
        let from = std::mem::replace(&mut self.sent, now);
        let replayable = std::mem::replace(&mut self.replayable, Replayable::Yes);
        Chunk { bytes: bytes.into(), records: std::mem::take(&mut self.written), from, replayable }
    }

    /// Records in the next chunk.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Counts records that another encoder has written for the next chunk.
    pub fn took_over(&mut self, records: u64) {
        self.written += records;
    }

    /// Whether all frames of the next chunk can be written again.
    pub fn is_replayable(&self) -> bool {
        self.replayable == Replayable::Yes
    }

    /// Moves to the position of an encoder that wrote the next chunk from the same position, with the same filter and format.
    pub fn take_over(&mut self, other: Self) {
        let sent = self.sent.clone();
        *self = Self { sent, ..other };
    }

    fn position(&self) -> StreamPosition {
        StreamPosition { cursor: Arc::new(self.resume_at()), remaining: self.bounds.remaining }
    }

    /// Creates an encoder at another position, with the same filter, format and time to end, without other bounds.
    pub fn at(&self, cursor: Cursor) -> Self {
        let until = self.bounds.until.as_ref().map(|until| TimeBound { at: until.at, reached: Ends::new() });
        let bounds = Bounds { until, ..Bounds::default() };
        let sampler = self.sampler.as_ref().map(Sampler::empty);
        Self { sampler, ..Self::new(cursor, self.filter.clone(), self.format.clone(), bounds) }
    }

    /// Writes the records of one partition from the cursor on, and moves the cursor to `next`. Stops earlier after a record,
    /// if `out` has `most` bytes; after a record that the filter has seen (at least one), if the filter has spent the budget;
    /// before a record, if there is no memory for it.
    pub fn records(
        &mut self,
        out: &mut Vec<u8>,
        topic: usize,
        input: &FilterInput<'_>,
        next: Offset,
        mut limits: EncodeLimits<'_>,
    ) -> Flow {
        let partition = input.partition;
        let Some(place) = self.cursor.position(topic, partition) else { return Flow::GoesOn };
        let from = place.next;
        let read_to = |next| Position { next, epoch: input.epochs.before(next).unwrap_or(place.epoch) };
        self.bounds.unconfirmed.remove(&(topic, partition));
        if self.is_finished() {
            return Flow::Finished;
        }
        match self.write_due(out, topic, partition, &mut limits) {
            Flow::GoesOn if self.has_due(topic, partition) => return Flow::GoesOn,
            Flow::GoesOn => {}
            flow => return flow,
        }
        let end = self.end_of(topic, partition);
        let uses_ids = self.format.uses_ids();
        let is_costly = !self.filter.is_empty() || self.format.choice() == FormatChoice::ByClient;
        let mut seen = 0;
        // A batch may begin before the cursor.
        let wanted = input.records().enumerate().skip_while(|(_, r)| r.offset < from);
        for (number, record) in wanted.take_while(|(_, r)| r.offset < end.min(next)) {
            if out.len() >= limits.most {
                return Flow::GoesOn;
            }
            if seen > 0 && is_costly && limits.budget.is_spent() {
                self.pass_to(topic, partition, read_to(record.offset), out);
                return Flow::GoesOn;
            }
            seen += 1;
            if let Some(until) = self.bounds.until.as_mut().filter(|until| record.timestamp >= until.at) {
                until.reached.insert((topic, partition), record.offset);
                self.pass_to(topic, partition, read_to(record.offset), out);
                return Flow::GoesOn;
            }
            if !input.matches(&self.filter, number, &record) {
                continue;
            }
            let span = (read_to(record.offset), read_to(record.offset + 1));
            match self.sample(out, (topic, partition), &record, span, &mut limits) {
                Sampled::Write => {}
                Sampled::Held => {
                    self.cursor.set(topic, partition, span.1);
                    continue;
                }
                Sampled::Stop(flow) => {
                    self.pass_to(topic, partition, span.0, out);
                    return flow;
                }
            }
            if let Err(shortage) = self.reserve(out, &record, &mut limits) {
                self.pass_to(topic, partition, read_to(record.offset), out);
                return Flow::Short(shortage);
            }
            self.cursor.set(topic, partition, span.1);
            let last_id;
            let id = if !uses_ids {
                ""
            } else if self.bounds.remaining == Some(1) || (record.offset + 1 >= end && self.is_finished()) {
                self.completion = Completion::Sent;
                last_id = self.cursor.complete_text();
                &last_id
            } else {
                self.cursor.text()
            };
            self.format.record(out, input.topic, partition, &record, id);
            self.written += 1;
            self.passed = 0;
            if let Some(remaining) = &mut self.bounds.remaining {
                *remaining = remaining.saturating_sub(1);
                if *remaining == 0 {
                    return Flow::Finished;
                }
            }
        }
        // The stream may be resumed later for the records after its end.
        let here = self.cursor.next(topic, partition).unwrap_or(from);
        self.pass_to(topic, partition, read_to(next.min(end).max(here)), out);
        if self.is_finished() { Flow::Finished } else { Flow::GoesOn }
    }

    /// Reserves and allocates memory for a record that does not fit.
    fn reserve(
        &mut self,
        out: &mut Vec<u8>,
        record: &RecordRef<'_>,
        limits: &mut EncodeLimits<'_>,
    ) -> Result<(), Shortage> {
        /// Bytes by which one record can make an id longer.
        const ID_GROWTH: usize = 64;
        let id = if self.format.uses_ids() { self.cursor.text().len() + ID_GROWTH } else { 0 };
        let unpaid = limits.unpaid();
        if out.len() + self.format.quick_bound(record) + id <= unpaid {
            return Ok(());
        }
        let needed = self.format.bound(record) + id;
        let paid = (out.len() + needed).saturating_sub(unpaid);
        if paid > limits.memory.bytes() {
            limits.memory.set(paid)?;
        }
        if paid > 0 {
            out.reserve_exact(needed);
        }
        Ok(())
    }

    /// Moves the cursor over offsets that the stream does not get.
    fn pass_to(&mut self, topic: usize, partition: Partition, to: Position, out: &mut Vec<u8>) {
        let here = self.cursor.next(topic, partition).unwrap_or(to.next);
        self.cursor.set(topic, partition, to);
        if !self.holds(topic, partition) {
            self.passed += to.next.saturating_sub(here).unsigned_abs();
        }
        self.checkpoint_if_due(out);
    }

    fn checkpoint_if_due(&mut self, out: &mut Vec<u8>) {
        if self.passed == 0 {
            self.passing_since = None;
            return;
        }
        let since = *self.passing_since.get_or_insert_with(Instant::now);
        if self.passed >= CHECKPOINT_OFFSETS || since.elapsed() >= CHECKPOINT_INTERVAL {
            self.checkpoint(out);
        }
    }

    /// Writes the id of the current position.
    pub fn checkpoint(&mut self, out: &mut Vec<u8>) {
        self.passed = 0;
        self.passing_since = None;
        if !self.format.uses_ids() {
            return;
        }
        self.replayable = Replayable::No;
        self.format.checkpoint(out, self.resume_at().text());
    }

    /// Writes the id of the current position, if the stream has passed offsets since the last one.
    pub fn checkpoint_if_passed(&mut self, out: &mut Vec<u8>) {
        if self.passed > 0 {
            self.checkpoint(out);
        }
    }

    /// Writes the id that tells a reconnecting client to stop, unless the last record had it.
    pub fn complete(&mut self, out: &mut Vec<u8>) {
        if self.completion == Completion::Pending && self.format.uses_ids() {
            self.passed = 0;
            self.replayable = Replayable::No;
            self.format.complete(out, &self.cursor.complete_text());
        }
    }

    /// Rejects an id that is too long for the client to send back.
    pub fn check_id(&mut self, most: usize) -> Result<(), BrokerError> {
        if !self.format.uses_ids() {
            return Ok(());
        }
        self.cursor.check_length(most).map_err(|too_long| BrokerError::IdTooLong(too_long.to_string()))
    }

    /// Writes a gap, and moves the cursor to where the log continues.
    pub fn gap(&mut self, out: &mut Vec<u8>, topic: usize, partition: Partition, loss: Loss) {
        self.write_before_gap(out, topic, partition);
        let Some(from) = self.cursor.next(topic, partition) else { return };
        let name = self.cursor.topics()[topic].name.clone();
        let Loss { to, reason, end: log_end } = loss;
        self.cursor.set(topic, partition, to);
        let to = to.next;
        if to < from
            && let Some(end) = self.bounds.ends.as_mut().and_then(|ends| ends.get_mut(&(topic, partition)))
        {
            // The stream does not wait for records that the log has lost.
            *end = (*end).min(log_end);
        }
        if let Some(until) = &mut self.bounds.until {
            // What was there from this time on is lost too.
            until.reached.retain(|place, end| *place != (topic, partition) || *end < to);
        }
        self.bounds.unconfirmed.remove(&(topic, partition));
        self.passed = 0;
        self.replayable = Replayable::No;
        self.format.gap(out, &Gap { topic: name, partition, from, to, reason }, self.resume_at().text());
    }

    /// Writes a gap for each partition of a topic that was deleted, and moves the cursor to the beginning of the topic that
    /// replaced it. The cursor changes before the first frame is written, so that no id mixes both topics.
    pub fn recreated(&mut self, out: &mut Vec<u8>, topic: usize, id: IdTag, partitions: usize) {
        let lost: Vec<_> = self.cursor.offsets(topic).collect();
        lost.iter().for_each(|(partition, _)| self.write_before_gap(out, topic, *partition));
        self.cursor.set_id(topic, id);
        self.cursor.clear(topic);
        self.grow(topic, partitions);
        if let Some(ends) = &mut self.bounds.ends {
            // They belonged to the old topic.
            ends.retain(|(of, _), _| *of != topic);
        }
        if let Some(until) = &mut self.bounds.until {
            until.reached.retain(|(of, _), _| *of != topic);
        }
        self.bounds.unconfirmed.retain(|(of, _)| *of != topic);
        self.replayable = Replayable::No;
        let name = self.cursor.topics()[topic].name.clone();
        let mut cursor = self.resume_at();
        for (partition, from) in lost {
            let gap = Gap { topic: name.clone(), partition, from, to: 0, reason: GapReason::Recreated };
            self.format.gap(out, &gap, cursor.text());
        }
    }

    /// Adds partitions that the cursor does not have yet, at their beginning.
    pub fn grow(&mut self, topic: usize, partitions: usize) {
        while let Some(next) = self.cursor.next_partition(topic)
            && (next as usize) < partitions
        {
            self.cursor.add_position(topic, 0);
        }
    }

    /// The last frame of a stream that ends with this error.
    pub fn problem(&self, error: &BrokerError) -> Vec<u8> {
        let mut out = Vec::new();
        self.format.problem(&mut out, error);
        out
    }

    /// The frame that says that a topic does not exist yet.
    pub fn waiting(&self, topic: usize) -> Vec<u8> {
        let mut out = Vec::new();
        self.format.waiting(&mut out, &self.cursor.topics()[topic].name);
        out
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
