//! Writes records as the frames of a stream, and moves the cursor past them.

mod ends;
mod gaps;
mod sampled;

use super::bounds::{Bounds, Ends, TimeBound};
use super::chunk::{Chunk, Replayable, StreamPosition};
use super::filter_input::FilterInput;
use super::sampler::Sampler;
use super::time_budget::TimeBudget;
use crate::broker::BrokerError;
use crate::cel::Verdict;
use crate::cursor::Cursor;
use crate::hub::subscription::{Filter, Format, FormatChoice};
use crate::record::{Offset, Partition, Position, RecordRef, TopicName};
use crate::sync::memory_budget::{Reservation, Shortage};
use bytes::Bytes;
use sampled::Sampled;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Number of offsets without a record after which a stream gets a checkpoint.
const CHECKPOINT_OFFSETS: u64 = 1000;
/// Time without a record after which a stream that has passed offsets gets a checkpoint.
pub const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(5);

/// The result of [`Encoder::records`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// The stream can continue.
    Continues,
    /// The stream has delivered everything that was requested.
    Finished,
    /// There is not enough memory for the next record.
    Short(Shortage),
}

/// The limits of one call of [`Encoder::records`].
pub struct EncodeLimits<'l> {
    /// Size of the output in bytes at which no further record is written.
    pub most: usize,
    /// The time that filters may use.
    pub budget: &'l TimeBudget,
    /// Memory for output that exceeds `most` by more than a quarter. It is grown before the output is written.
    pub memory: &'l mut Reservation,
}

impl EncodeLimits<'_> {
    /// Returns the number of bytes that need no reservation: `most`, plus a quarter for the last record, which may
    /// exceed it.
    fn unpaid(&self) -> usize {
        self.most.saturating_add(self.most / 4)
    }
}

/// Whether the client has been sent an id that marks the stream as complete.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Completion {
    Pending,
    Sent,
}

/// Writes the frames of a stream, and tracks its position.
pub struct Encoder {
    /// The position after the frames written so far.
    pub cursor: Cursor,
    /// The position after the last chunk.
    sent: StreamPosition,
    /// Whether the frames since the last chunk can be written again.
    replayable: Replayable,
    /// Number of records written since the last chunk.
    written: u64,
    filter: Arc<Filter>,
    format: Arc<dyn Format>,
    /// The end of the stream.
    pub bounds: Bounds,
    /// Number of offsets passed since the last id: records rejected by the filter, transaction markers, aborted records,
    /// compaction holes.
    passed: u64,
    /// The time when `passed` became greater than 0.
    passing_since: Option<Instant>,
    completion: Completion,
    /// Holds back records of a sampled stream. The cursor is after the held records, but ids are before them.
    sampler: Option<Sampler>,
}

impl Encoder {
    /// Creates an encoder at a position.
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

    /// Continues at another position, and begins a chunk there.
    pub fn move_to(&mut self, cursor: Cursor) {
        self.cursor = cursor;
        self.begin_chunk();
    }

    /// Begins a chunk at the cursor. The frames written before it belong to no chunk, because no stream needs them.
    pub fn begin_chunk(&mut self) {
        self.sent = self.position();
        self.written = 0;
    }

    /// Ends a chunk whose frames are `bytes`, and begins the next one.
    pub fn chunk(&mut self, bytes: impl Into<Bytes>) -> Chunk {
        let now = self.position();
        let from = std::mem::replace(&mut self.sent, now);
        let replayable = std::mem::replace(&mut self.replayable, Replayable::Yes);
        Chunk { bytes: bytes.into(), records: std::mem::take(&mut self.written), from, replayable }
    }

    /// Returns the number of records written since the last chunk.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Adds a number of records that another encoder has written for the next chunk.
    pub fn add_written(&mut self, records: u64) {
        self.written += records;
    }

    /// Whether the frames since the last chunk can be written again.
    pub fn is_replayable(&self) -> bool {
        self.replayable == Replayable::Yes
    }

    /// Takes over the state of an encoder that has written the next chunk, starting at the same position and with the same
    /// filter and format.
    pub fn take_over(&mut self, other: Self) {
        let sent = self.sent.clone();
        *self = Self { sent, ..other };
    }

    fn position(&self) -> StreamPosition {
        StreamPosition { cursor: Arc::new(self.resume_at()), remaining: self.bounds.remaining }
    }

    /// Creates an encoder at another position, with the same filter, format and end time, but without other bounds.
    pub fn at(&self, cursor: Cursor) -> Self {
        let until = self.bounds.until.as_ref().map(|until| TimeBound { at: until.at, reached: Ends::new() });
        let bounds = Bounds { until, ..Bounds::default() };
        let sampler = self.sampler.as_ref().map(Sampler::empty);
        Self { sampler, ..Self::new(cursor, self.filter.clone(), self.format.clone(), bounds) }
    }

    /// Writes the records of one partition from the cursor on, and moves the cursor to `next`. Stops earlier when `out` has
    /// reached `most` bytes, when the filter has evaluated at least one record and has used up the time budget, and before a
    /// record for which there is no memory.
    pub fn records(
        &mut self,
        out: &mut Vec<u8>,
        topic: usize,
        input: &FilterInput<'_>,
        next: Offset,
        mut limits: EncodeLimits<'_>,
    ) -> Flow {
        let partition = input.partition;
        let Some(position) = self.cursor.position(topic, partition) else { return Flow::Continues };
        let from = position.next;
        let read_to = |next| Position { next, epoch: input.epochs.before(next).unwrap_or(position.epoch) };
        self.bounds.unconfirmed.remove(&(topic, partition));
        if self.is_finished() {
            return Flow::Finished;
        }
        match self.write_due(out, (topic, partition), &mut limits) {
            Flow::Continues if self.has_due((topic, partition)) => return Flow::Continues,
            Flow::Continues => {}
            flow => return flow,
        }
        let end = self.end_of(topic, partition);
        let uses_ids = self.format.uses_ids();
        let is_costly = !self.filter.is_empty() || self.format.choice() == FormatChoice::ByClient;
        // A batch may begin before the cursor.
        let wanted = input.records().enumerate().skip_while(|(_, r)| r.offset < from);
        for (seen, (number, record)) in wanted.take_while(|(_, r)| r.offset < end.min(next)).enumerate() {
            if out.len() >= limits.most {
                return Flow::Continues;
            }
            if seen > 0 && is_costly && limits.budget.is_spent() {
                self.pass_to(topic, partition, read_to(record.offset), out);
                return Flow::Continues;
            }
            if let Some(until) = self.bounds.until.as_mut().filter(|until| record.timestamp >= until.at) {
                until.reached.insert((topic, partition), record.offset);
                self.pass_to(topic, partition, read_to(record.offset), out);
                return Flow::Continues;
            }
            let after = read_to(record.offset + 1);
            match input.matches(&self.filter, number, &record) {
                Verdict::Matches => {}
                Verdict::Differs => continue,
                Verdict::Undecoded => {
                    if let Err(shortage) = self.reserve(out, &record, &mut limits) {
                        self.pass_to(topic, partition, read_to(record.offset), out);
                        return Flow::Short(shortage);
                    }
                    self.cursor.set(topic, partition, after);
                    self.undecoded(out, (input.topic, partition), &record);
                    continue;
                }
            }
            if self.is_sampled() {
                let span = (read_to(record.offset), after);
                match self.sample(out, (topic, partition), &record, span, &mut limits) {
                    Sampled::Write => {}
                    Sampled::Held => {
                        self.cursor.set(topic, partition, after);
                        continue;
                    }
                    Sampled::Stop(flow) => {
                        self.pass_to(topic, partition, span.0, out);
                        return flow;
                    }
                }
            }
            if let Err(shortage) = self.reserve(out, &record, &mut limits) {
                self.pass_to(topic, partition, read_to(record.offset), out);
                return Flow::Short(shortage);
            }
            self.cursor.set(topic, partition, after);
            let is_last = self.bounds.remaining == Some(1)
                || (!self.is_sampled() && record.offset + 1 >= end && self.is_finished());
            let (last_id, mut before_held);
            // The id must be before held records of other partitions.
            let cursor = match self.is_sampled() {
                true => {
                    before_held = self.resume_at();
                    &mut before_held
                }
                false => &mut self.cursor,
            };
            let id = if !uses_ids {
                ""
            } else if is_last {
                self.completion = Completion::Sent;
                last_id = cursor.complete_text();
                &last_id
            } else {
                cursor.text()
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
        // The cursor stays at the end, because the stream may be resumed later for the records after it.
        let here = self.cursor.next(topic, partition).unwrap_or(from);
        self.pass_to(topic, partition, read_to(next.min(end).max(here)), out);
        if self.is_finished() { Flow::Finished } else { Flow::Continues }
    }

    /// Reports a record to which the filter could not be applied. The cursor is after it, but the id is before held records.
    fn undecoded(&mut self, out: &mut Vec<u8>, (topic, partition): (&TopicName, Partition), record: &RecordRef<'_>) {
        let mut cursor = self.resume_at();
        let id = if self.format.uses_ids() { cursor.text() } else { "" };
        self.format.undecoded(out, topic, partition, record, id);
        self.passed = 0;
    }

    /// Reserves and allocates memory for a record that exceeds the bytes that need no reservation.
    fn reserve(
        &mut self,
        out: &mut Vec<u8>,
        record: &RecordRef<'_>,
        limits: &mut EncodeLimits<'_>,
    ) -> Result<(), Shortage> {
        /// Number of bytes by which one record can lengthen the id.
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

    /// Moves the cursor past offsets that are not delivered.
    fn pass_to(&mut self, topic: usize, partition: Partition, to: Position, out: &mut Vec<u8>) {
        let here = self.cursor.next(topic, partition).unwrap_or(to.next);
        self.cursor.set(topic, partition, to);
        if !self.holds((topic, partition)) {
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

    /// Writes the id that marks the stream as complete, unless the last record had it. A client that reconnects with this id
    /// is told to stop.
    pub fn complete(&mut self, out: &mut Vec<u8>) {
        if self.completion == Completion::Pending && self.format.uses_ids() {
            self.passed = 0;
            self.replayable = Replayable::No;
            self.format.complete(out, &self.cursor.complete_text());
        }
    }

    /// Returns an error if the id is longer than `most` bytes, so that the client could not send it back.
    pub fn check_id(&mut self, most: usize) -> Result<(), BrokerError> {
        if !self.format.uses_ids() {
            return Ok(());
        }
        self.cursor.check_length(most).map_err(BrokerError::IdTooLong)
    }

    /// Adds new partitions to the cursor, each at offset 0. `partitions` is the new number of partitions of the topic.
    pub fn grow(&mut self, topic: usize, partitions: usize) {
        while let Some(next) = self.cursor.next_partition(topic)
            && (next as usize) < partitions
        {
            self.cursor.add_position(topic, 0);
        }
    }

    /// Returns the last frame of a stream that ends with this error.
    pub fn problem(&self, error: &BrokerError) -> Vec<u8> {
        let mut out = Vec::new();
        self.format.problem(&mut out, error);
        out
    }

    /// Returns a frame which says that the stream waits for a missing topic.
    pub fn waiting(&self, topic: usize) -> Vec<u8> {
        let mut out = Vec::new();
        self.format.waiting(&mut out, &self.cursor.topics()[topic].name);
        out
    }
}

pub mod snapshot;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
