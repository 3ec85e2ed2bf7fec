//! A fetched range of one partition, as kept in caches.

use crate::broker::FetchPosition;
use crate::record::{Epoch, EpochSpan, NO_EPOCH, Offset, Records};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Maximum age of cached records. After an unclean leader election the log may have been truncated and rewritten.
pub const MAX_AGE: Duration = Duration::from_secs(2);

/// The records of one fetch from one partition: `from <= offset < next`.
#[derive(Clone)]
pub struct LogSpan {
    /// The offset of the fetch.
    pub from: Offset,
    /// The offset of the next fetch.
    pub next: Offset,
    /// The leader epoch of the record before `from`.
    pub epoch_before: Epoch,
    /// The leader epochs of the records.
    pub epochs: EpochSpan,
    /// The records. A batch may begin before `from`.
    pub batches: Arc<Vec<Records>>,
    /// The time of the fetch.
    pub read: Instant,
    /// The leader epoch of the broker that returned the records.
    pub leader_epoch: i32,
}

impl LogSpan {
    /// Returns the memory that the span uses, in bytes.
    pub fn memory(&self) -> usize {
        self.batches.iter().map(Records::memory).sum::<usize>() + self.epochs.memory() + size_of::<Self>()
    }

    /// Returns the leader epoch of the record before `offset`, for `from <= offset <= next`.
    pub fn epoch_at(&self, offset: Offset) -> Epoch {
        self.epochs.before(offset).unwrap_or(self.epoch_before)
    }

    /// Whether the span contains the requested offset, and its leader epochs match those of the position.
    pub fn serves(&self, position: &FetchPosition) -> bool {
        let claims = position.last_epoch != NO_EPOCH;
        (self.from..self.next).contains(&position.offset)
            && self.leader_epoch == position.leader_epoch
            && (!claims || self.epoch_at(position.offset) == position.last_epoch)
    }
}

/// A span from a cache.
#[derive(Clone)]
pub struct CachedSpan {
    /// The span.
    pub log: LogSpan,
    /// The last stable offset when the span was fetched, which is the end of the log for readers.
    pub end: Offset,
}
