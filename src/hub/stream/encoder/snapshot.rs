//! The frames of a snapshot. They have no ids, so that a client that is cut off inside it gets it again.

use super::{EncodeLimits, Encoder};
use crate::hub::stream::chunk::Replayable;
use crate::hub::stream::filter_input::FilterInput;
use crate::record::{Partition, RecordRef, TopicName};
use crate::sync::memory_budget::Shortage;

/// What became of a record of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotRecord {
    Written,
    /// It does not match the filter.
    Filtered,
    /// There is not enough memory for it.
    Short(Shortage),
}

impl Encoder {
    /// Writes a record of a snapshot. The cursor stays where the stream continues after the snapshot.
    pub fn snapshot_record<'r>(
        &mut self,
        out: &mut Vec<u8>,
        (topic, partition): (&'r TopicName, Partition),
        record: &RecordRef<'r>,
        limits: &mut EncodeLimits<'_>,
    ) -> SnapshotRecord {
        if !FilterInput::new(topic, partition, &[]).matches(&self.filter, 0, record) {
            return SnapshotRecord::Filtered;
        }
        if let Err(shortage) = self.reserve(out, record, limits) {
            return SnapshotRecord::Short(shortage);
        }
        self.format.record(out, topic, partition, record, "");
        self.written += 1;
        // It cannot be read from the log again.
        self.replayable = Replayable::No;
        if let Some(remaining) = &mut self.bounds.remaining {
            *remaining = remaining.saturating_sub(1);
        }
        SnapshotRecord::Written
    }

    /// Writes the frame after a snapshot of `keys` records, with the first id.
    pub fn snapshot_end(&mut self, out: &mut Vec<u8>, keys: u64) {
        self.replayable = Replayable::No;
        let id = if self.format.uses_ids() { self.cursor.text() } else { "" };
        self.format.live(out, keys, id);
    }

    /// Writes the id that tells a reconnecting client to stop, for a limit that was reached inside a snapshot. No cursor
    /// stands for the rest of a snapshot; this one stands for the beginning of the log.
    pub fn complete_in_snapshot(&mut self, out: &mut Vec<u8>) {
        if self.format.uses_ids() {
            self.replayable = Replayable::No;
            let mut beginning = self.cursor.clone();
            (0..beginning.topics().len()).for_each(|topic| beginning.clear(topic));
            self.format.complete(out, &beginning.complete_text());
        }
    }
}
