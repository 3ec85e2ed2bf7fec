//! The frames of a snapshot. They have no ids, so a client that disconnects during a snapshot gets it again.

use super::{EncodeLimits, Encoder};
use crate::cel::Verdict;
use crate::hub::stream::chunk::Replayable;
use crate::hub::stream::filter_input::FilterInput;
use crate::record::{Partition, RecordRef, TopicName};
use crate::sync::memory_budget::Shortage;

/// The result of writing a record of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotRecord {
    Written,
    /// The record does not match the filter.
    Filtered,
    /// There is not enough memory for the record.
    Short(Shortage),
}

impl Encoder {
    /// Writes a record of a snapshot. The cursor does not move: it is already at the position after the snapshot.
    pub fn snapshot_record<'r>(
        &mut self,
        out: &mut Vec<u8>,
        (topic, partition): (&'r TopicName, Partition),
        record: &RecordRef<'r>,
        limits: &mut EncodeLimits<'_>,
    ) -> SnapshotRecord {
        let verdict = FilterInput::new(topic, partition, &[]).matches(&self.filter, 0, record);
        if verdict == Verdict::Differs {
            return SnapshotRecord::Filtered;
        }
        if let Err(shortage) = self.reserve(out, record, limits) {
            return SnapshotRecord::Short(shortage);
        }
        if verdict == Verdict::Undecoded {
            self.format.undecoded(out, topic, partition, record, "");
            self.replayable = Replayable::No;
            return SnapshotRecord::Filtered;
        }
        self.format.record(out, topic, partition, record, "");
        self.written += 1;
        // The record cannot be read from the log again.
        self.replayable = Replayable::No;
        if let Some(remaining) = &mut self.bounds.remaining {
            *remaining = remaining.saturating_sub(1);
        }
        SnapshotRecord::Written
    }

    /// Writes the frame between a snapshot of `keys` records and the records after it. It has the first id of the
    /// stream.
    pub fn snapshot_end(&mut self, out: &mut Vec<u8>, keys: u64) {
        self.replayable = Replayable::No;
        let id = if self.format.uses_ids() { self.cursor.text() } else { "" };
        self.format.live(out, keys, id);
    }

    /// Writes the id that marks the stream as complete, after a limit was reached inside a snapshot. No cursor can
    /// describe the rest of a snapshot, so the id is that of the beginning of the log.
    pub fn complete_in_snapshot(&mut self, out: &mut Vec<u8>) {
        if self.format.uses_ids() {
            self.replayable = Replayable::No;
            let mut beginning = self.cursor.clone();
            (0..beginning.topics().len()).for_each(|topic| beginning.clear(topic));
            self.format.complete(out, &beginning.complete_text());
        }
    }
}
