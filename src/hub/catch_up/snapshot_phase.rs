//! What a stream keeps while it waits for a snapshot, and while it is sent one.

use crate::hub::stream::bounds::Ends;
use crate::hub::stream::encoder::snapshot::SnapshotRecord;
use crate::hub::stream::encoder::{EncodeLimits, Encoder};
use crate::hub::view::store::ViewLease;
use crate::hub::view::topic_snapshot::TopicSnapshot;
use crate::record::Timestamp;
use crate::sync::backoff::Backoff;
use crate::sync::memory_budget::Shortage;
use std::sync::Arc;
use std::time::Instant;

/// A snapshot that is waited for.
pub struct AwaitedSnapshot {
    /// In the order of the stream's topics.
    pub views: Vec<ViewLease>,
    pub since: Option<Timestamp>,
    pub ends: Option<Ends>,
    pub asked: Instant,
    pub pauses: Backoff,
}

/// A snapshot that is being sent.
pub struct SentSnapshot {
    /// In the order of the stream's topics; `None` for a topic that does not exist.
    pub topics: Vec<Option<Arc<TopicSnapshot>>>,
    pub since: Option<Timestamp>,
    pub ends: Option<Ends>,
    /// The next record: its topic, and its index there.
    pub next: (usize, usize),
    /// Records sent.
    pub keys: u64,
}

/// Whether there is more of a snapshot.
pub enum SnapshotPart {
    More,
    Last,
}

impl SentSnapshot {
    /// Writes records up to the limits. Fails at a record for which there is not enough memory.
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
                // Frees what no other stream needs.
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
