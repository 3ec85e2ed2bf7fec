//! Records to the bytes of one kind of stream, and the cursor that goes with them.

use super::filter_input::FilterInput;
use super::gap::Loss;
use super::mailbox::{Chunk, Replayable, StreamPosition};
use super::time_budget::TimeBudget;
use crate::broker::BrokerError;
use crate::cursor::{Cursor, IdTag};
use crate::hub::subscription::{Filter, Format, Gap, GapReason};
use crate::record::{Offset, Partition, Position, RecordRef};
use crate::sync::memory_budget::{Reservation, Shortage};
use bytes::Bytes;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Offsets that a stream may pass without a record before a checkpoint says how far it is.
const CHECKPOINT_OFFSETS: u64 = 1000;
/// How long it may pass them before.
pub const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(5);

/// By topic and partition.
pub type Ends = HashMap<(usize, Partition), Offset>;

/// Where a stream ends by itself.
#[derive(Debug, Clone, Default)]
pub struct Bounds {
    /// Records still to be delivered.
    pub remaining: Option<u64>,
    /// The offset to stop before, by topic and partition. Partitions that are not named do not count.
    pub ends: Option<Ends>,
    /// Partitions whose cursor is at or past the end already, and whose log has not confirmed it yet. A log that was
    /// truncated answers a fetch there with an error, which is a gap to report before the stream ends.
    pub unconfirmed: HashSet<(usize, Partition)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    GoesOn,
    /// The stream has delivered all that it was asked for.
    Finished,
    /// The next record is too large for the memory that there is.
    Short(Shortage),
}

/// Bounds of one call of [`Encoder::records`].
pub struct EncodeLimits<'l> {
    /// Bytes after which no further record is written.
    pub most: usize,
    /// What filters may take.
    pub budget: &'l TimeBudget,
    /// Pays for a record that takes much more than `most`, before it is written.
    pub memory: &'l mut Reservation,
}

impl EncodeLimits<'_> {
    /// Bytes that are not paid for here: a chunk, and what its last record may take beyond it.
    fn unpaid(&self) -> usize {
        self.most.saturating_add(self.most / 4)
    }
}

/// Whether an id has said that the stream is complete.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Completion {
    Untold,
    Told,
}

/// Writes frames and keeps the cursor in step with them.
#[derive(Clone)]
pub struct Encoder {
    pub cursor: Cursor,
    /// Behind the last chunk.
    sent: StreamPosition,
    /// What was written since.
    holds: Replayable,
    /// How many records that is.
    written: u64,
    filter: Arc<Filter>,
    format: Arc<dyn Format>,
    pub bounds: Bounds,
    /// Offsets passed since the last id was written: records that the filter left out, and what is never delivered
    /// (transaction markers, aborted records, compaction holes).
    passed: u64,
    /// When the first of them was seen.
    passing_since: Option<Instant>,
    completion: Completion,
}

impl Encoder {
    pub fn new(cursor: Cursor, filter: Arc<Filter>, format: Arc<dyn Format>, bounds: Bounds) -> Self {
        let sent = StreamPosition { cursor: Arc::new(cursor.clone()), remaining: bounds.remaining };
        let completion = Completion::Untold;
        Self {
            cursor,
            sent,
            holds: Replayable::Records,
            written: 0,
            filter,
            format,
            bounds,
            passed: 0,
            passing_since: None,
            completion,
        }
    }

    /// Goes on at another place.
    pub fn move_to(&mut self, cursor: Cursor) {
        self.cursor = cursor;
        self.nothing_owed();
    }

    /// The next chunk begins at the cursor: what came before it was not written for anybody.
    pub fn nothing_owed(&mut self) {
        self.sent = self.stand();
        self.written = 0;
    }

    /// What was written since the last chunk.
    pub fn chunk(&mut self, bytes: impl Into<Bytes>) -> Chunk {
        let now = self.stand();
        let from = std::mem::replace(&mut self.sent, now);
        let holds = std::mem::replace(&mut self.holds, Replayable::Records);
        Chunk { bytes: bytes.into(), records: std::mem::take(&mut self.written), from, holds }
    }

    /// Records that the next chunk holds.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// So many records that the next chunk holds were written by another.
    pub fn took_over(&mut self, records: u64) {
        self.written += records;
    }

    /// Whether the next chunk says nothing that is said only once.
    pub fn holds_records_only(&self) -> bool {
        self.holds == Replayable::Records
    }

    /// Moves to where another of the same filter and format came from the same place, whose bytes are the next chunk.
    pub fn take_over(&mut self, other: Self) {
        let sent = self.sent.clone();
        *self = Self { sent, ..other };
    }

    fn stand(&self) -> StreamPosition {
        StreamPosition { cursor: Arc::new(self.cursor.clone()), remaining: self.bounds.remaining }
    }

    /// Another at another place, of the same filter and format, without bounds.
    pub fn at(&self, cursor: Cursor) -> Self {
        Self::new(cursor, self.filter.clone(), self.format.clone(), Bounds::default())
    }

    /// Writes the records of one partition from the cursor on, and moves the cursor to `next`; or, once `out` holds
    /// `most` bytes, only behind the last record that was written; or, once a filter has spent the budget, only behind
    /// the last record that it has seen, which is one at least; or only to a record that there is no memory for.
    pub fn records(
        &mut self,
        out: &mut Vec<u8>,
        topic: usize,
        candidates: &FilterInput<'_>,
        next: Offset,
        mut limits: EncodeLimits<'_>,
    ) -> Flow {
        let partition = candidates.partition;
        let Some(place) = self.cursor.position(topic, partition) else { return Flow::GoesOn };
        let from = place.next;
        let read_to = |next| Position { next, epoch: candidates.epochs.before(next).unwrap_or(place.epoch) };
        self.bounds.unconfirmed.remove(&(topic, partition));
        if self.is_finished() {
            return Flow::Finished;
        }
        let end = self.end_of(topic, partition);
        let uses_ids = self.format.uses_ids();
        let (mut seen, is_filtered) = (0, !self.filter.is_empty());
        // A batch may begin before the cursor.
        let wanted = candidates.records().enumerate().skip_while(|(_, r)| r.offset < from);
        for (number, record) in wanted.take_while(|(_, r)| r.offset < end) {
            if out.len() >= limits.most {
                return Flow::GoesOn;
            }
            if seen > 0 && is_filtered && limits.budget.is_spent() {
                self.pass_to(topic, partition, read_to(record.offset), out);
                return Flow::GoesOn;
            }
            seen += 1;
            if !candidates.matches(&self.filter, number, &record) {
                continue;
            }
            if let Err(shortage) = self.make_room(out, &record, &mut limits) {
                self.pass_to(topic, partition, read_to(record.offset), out);
                return Flow::Short(shortage);
            }
            self.cursor.set(topic, partition, read_to(record.offset + 1));
            let last_id;
            let id = if !uses_ids {
                ""
            } else if self.bounds.remaining == Some(1) || (record.offset + 1 >= end && self.is_finished()) {
                self.completion = Completion::Told;
                last_id = self.cursor.complete_text();
                &last_id
            } else {
                self.cursor.text()
            };
            self.format.record(out, candidates.topic, partition, &record, id);
            self.written += 1;
            self.passed = 0;
            if let Some(remaining) = &mut self.bounds.remaining {
                *remaining = remaining.saturating_sub(1);
                if *remaining == 0 {
                    return Flow::Finished;
                }
            }
        }
        // Behind a stream's end lie records that it has not seen, and may come back for.
        let here = self.cursor.next(topic, partition).unwrap_or(from);
        self.pass_to(topic, partition, read_to(next.min(end).max(here)), out);
        if self.is_finished() { Flow::Finished } else { Flow::GoesOn }
    }

    /// Reserves memory for a record that does not fit, and allocates it.
    fn make_room(
        &mut self,
        out: &mut Vec<u8>,
        record: &RecordRef<'_>,
        limits: &mut EncodeLimits<'_>,
    ) -> Result<(), Shortage> {
        /// What an id may grow by with one record.
        const ID_GROWTH: usize = 64;
        let id = if self.format.uses_ids() { self.cursor.text().len() + ID_GROWTH } else { 0 };
        let unpaid = limits.unpaid();
        if out.len() + record.quick_bound() + id <= unpaid {
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

    /// Moves the cursor over what the stream does not get.
    fn pass_to(&mut self, topic: usize, partition: Partition, to: Position, out: &mut Vec<u8>) {
        let here = self.cursor.next(topic, partition).unwrap_or(to.next);
        self.cursor.set(topic, partition, to);
        self.passed += to.next.saturating_sub(here).unsigned_abs();
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

    /// Writes where the stream is.
    pub fn checkpoint(&mut self, out: &mut Vec<u8>) {
        self.passed = 0;
        self.passing_since = None;
        if !self.format.uses_ids() {
            return;
        }
        self.holds = Replayable::Words;
        self.format.checkpoint(out, self.cursor.text());
    }

    /// Writes where the stream is, if it has passed offsets since the last id.
    pub fn checkpoint_if_passed(&mut self, out: &mut Vec<u8>) {
        if self.passed > 0 {
            self.checkpoint(out);
        }
    }

    /// Writes the id of a stream that has delivered all it was asked for, so that a client that reconnects by itself
    /// is told to stop. The last record has it already, where one is at the end.
    pub fn complete(&mut self, out: &mut Vec<u8>) {
        if self.completion == Completion::Untold && self.format.uses_ids() {
            self.passed = 0;
            self.holds = Replayable::Words;
            self.format.complete(out, &self.cursor.complete_text());
        }
    }

    /// Refuses an id that its client could not send back.
    pub fn check_id(&mut self, most: usize) -> Result<(), BrokerError> {
        if !self.format.uses_ids() {
            return Ok(());
        }
        self.cursor.check_length(most).map_err(|too_long| BrokerError::IdTooLong(too_long.to_string()))
    }

    /// Says that records are missing, and moves the cursor to where the log goes on.
    pub fn gap(&mut self, out: &mut Vec<u8>, topic: usize, partition: Partition, loss: Loss) {
        let Some(from) = self.cursor.next(topic, partition) else { return };
        let name = self.cursor.topics()[topic].name.clone();
        let Loss { to, reason, end: log_end } = loss;
        self.cursor.set(topic, partition, to);
        let to = to.next;
        if to < from
            && let Some(end) = self.bounds.ends.as_mut().and_then(|ends| ends.get_mut(&(topic, partition)))
        {
            // What the log has lost does not come any more.
            *end = (*end).min(log_end);
        }
        self.bounds.unconfirmed.remove(&(topic, partition));
        self.passed = 0;
        self.holds = Replayable::Words;
        self.format.gap(out, &Gap { topic: name, partition, from, to, reason }, self.cursor.text());
    }

    /// Says that all places in a topic are gone, and moves the cursor to the beginning of the topic that
    /// took its name. The places change before the first frame is written: no id mixes both topics.
    pub fn recreated(&mut self, out: &mut Vec<u8>, topic: usize, id: IdTag, partitions: usize) {
        let lost: Vec<_> = self.cursor.offsets(topic).collect();
        self.cursor.set_id(topic, id);
        self.cursor.clear(topic);
        self.grow(topic, partitions);
        if let Some(ends) = &mut self.bounds.ends {
            // They were another topic's.
            ends.retain(|(of, _), _| *of != topic);
        }
        self.bounds.unconfirmed.retain(|(of, _)| *of != topic);
        self.holds = Replayable::Words;
        let name = self.cursor.topics()[topic].name.clone();
        for (partition, from) in lost {
            let gap = Gap { topic: name.clone(), partition, from, to: 0, reason: GapReason::Recreated };
            self.format.gap(out, &gap, self.cursor.text());
        }
    }

    /// Adds the places of partitions that the cursor does not know yet, at their beginning.
    pub fn grow(&mut self, topic: usize, partitions: usize) {
        while let Some(next) = self.cursor.next_partition(topic)
            && (next as usize) < partitions
        {
            self.cursor.add_position(topic, 0);
        }
    }

    pub fn problem(&self, error: &BrokerError) -> Vec<u8> {
        let mut out = Vec::new();
        self.format.problem(&mut out, error);
        out
    }

    pub fn waiting(&self, topic: usize) -> Vec<u8> {
        let mut out = Vec::new();
        self.format.waiting(&mut out, &self.cursor.topics()[topic].name);
        out
    }

    /// Whether all that was asked for is delivered: so many records, or every partition up to its end.
    pub fn is_finished(&self) -> bool {
        let at_ends = |ends: &HashMap<_, _>| ends.keys().all(|(topic, partition)| self.has_ended(*topic, *partition));
        self.bounds.remaining == Some(0) || self.bounds.ends.as_ref().is_some_and(at_ends)
    }

    /// Whether a partition has nothing more for this stream.
    pub fn has_ended(&self, topic: usize, partition: Partition) -> bool {
        self.is_at_end(topic, partition) && !self.bounds.unconfirmed.contains(&(topic, partition))
    }

    /// Ends the stream only once the logs have confirmed the ends that the cursor has reached already.
    pub fn confirm_ends(&mut self) {
        let ends = self.bounds.ends.iter().flatten().map(|(place, _)| *place);
        let reached = ends.filter(|(topic, partition)| self.is_at_end(*topic, *partition));
        self.bounds.unconfirmed = reached.collect();
    }

    fn is_at_end(&self, topic: usize, partition: Partition) -> bool {
        self.cursor.next(topic, partition).is_none_or(|next| next >= self.end_of(topic, partition))
    }

    fn end_of(&self, topic: usize, partition: Partition) -> Offset {
        match &self.bounds.ends {
            None => Offset::MAX,
            Some(ends) => ends.get(&(topic, partition)).copied().unwrap_or(0),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
