//! The state of a stream that waits for a snapshot, or sends one.

use crate::hub::stream::bounds::Ends;
use crate::hub::stream::encoder::snapshot::SnapshotRecord;
use crate::hub::stream::encoder::{EncodeLimits, Encoder};
use crate::hub::view::prepared::PreparedSnapshot;
use crate::hub::view::topic_snapshot::TopicSnapshot;
use crate::record::Timestamp;
use crate::sync::backoff::Backoff;
use crate::sync::memory_budget::Shortage;
use std::sync::Arc;

/// A snapshot that a stream waits for.
pub struct AwaitedSnapshot {
    /// The views, and the time of the request.
    pub prepared: PreparedSnapshot,
    /// The timestamp of the oldest records in the snapshot. `None`: no limit.
    pub since: Option<Timestamp>,
    /// The end offsets of the stream. `None`: it continues with new records.
    pub ends: Option<Ends>,
    /// Pauses between checks of the views.
    pub pauses: Backoff,
}

/// A snapshot that is being sent.
pub struct SentSnapshot {
    /// The snapshots, in the order of the stream's topics. `None`: the topic does not exist, or its snapshot has been sent.
    pub topics: Vec<Option<Arc<TopicSnapshot>>>,
    /// The timestamp of the oldest records in the snapshot. `None`: no limit.
    pub since: Option<Timestamp>,
    /// The end offsets of the stream. `None`: it continues with new records.
    pub ends: Option<Ends>,
    /// The next record: the index of its topic, and its index in the snapshot.
    pub next: (usize, usize),
    /// Number of records sent.
    pub keys: u64,
}

/// Whether a snapshot has more records.
pub enum SnapshotPart {
    More,
    Last,
}

impl SentSnapshot {
    /// Writes records up to the limits. Returns an error at a record for which there is not enough memory.
    pub fn write(
        &mut self,
        encoder: &mut Encoder,
        out: &mut Vec<u8>,
        mut limits: EncodeLimits<'_>,
    ) -> Result<SnapshotPart, Shortage> {
        let mut seen = 0;
        loop {
            let (topic, at) = self.next;
            let Some(snapshot) = self.topics.get(topic) else { return Ok(SnapshotPart::Last) };
            let Some(latest) = snapshot.as_ref().and_then(|snapshot| snapshot.records.get(at)) else {
                // Frees the records that no other stream needs.
                self.topics[topic] = None;
                self.next = (topic + 1, 0);
                continue;
            };
            if out.len() >= limits.most || (seen > 0 && limits.budget.is_spent()) {
                return Ok(SnapshotPart::More);
            }
            seen += 1;
            let record = latest.record();
            let is_selected = encoder.cursor.selection().contains(latest.partition);
            if is_selected && self.since.is_none_or(|since| record.timestamp >= since) {
                let name = encoder.cursor.topics()[topic].name.clone();
                match encoder.snapshot_record(out, (&name, latest.partition), &record, &mut limits) {
                    SnapshotRecord::Written => self.keys += 1,
                    SnapshotRecord::Filtered => {}
                    SnapshotRecord::Short(shortage) => return Err(shortage),
                }
            }
            self.next = (topic, at + 1);
            if encoder.is_finished() {
                return Ok(SnapshotPart::More);
            }
        }
    }
}
