//! A fetched range of one partition, as caches keep it.

use crate::broker::FetchPosition;
use crate::record::{Epoch, EpochSpan, NO_EPOCH, Offset, Records};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long records that were read once may be served from memory. After an unclean leader election the log may have
/// been truncated and rewritten.
pub const MAX_AGE: Duration = Duration::from_secs(2);

/// The records of one fetch from one partition: `from <= offset < next`.
#[derive(Clone)]
pub struct LogSpan {
    pub from: Offset,
    /// Where the next span begins.
    pub next: Offset,
    /// The leader epoch of the record before `from`.
    pub epoch_before: Epoch,
    pub epochs: EpochSpan,
    pub batches: Arc<Vec<Records>>,
    /// When it was fetched.
    pub read: Instant,
    /// Leader epoch of the broker that returned it.
    pub leader_epoch: i32,
}

impl LogSpan {
    /// Bytes that the span keeps in memory.
    pub fn memory(&self) -> usize {
        self.batches.iter().map(Records::memory).sum::<usize>() + self.epochs.memory() + size_of::<Self>()
    }

    /// The leader epoch of the record before `offset`, where `from <= offset <= next`.
    pub fn epoch_at(&self, offset: Offset) -> Epoch {
        self.epochs.before(offset).unwrap_or(self.epoch_before)
    }

    /// Whether the span contains the wanted offset, and belongs to the log that the position claims to have read.
    pub fn serves(&self, position: &FetchPosition) -> bool {
        let claims = position.last_epoch != NO_EPOCH;
        (self.from..self.next).contains(&position.offset)
            && self.leader_epoch == position.leader_epoch
            && (!claims || self.epoch_at(position.offset) == position.last_epoch)
    }
}

/// A span that a cache returned.
#[derive(Clone)]
pub struct CachedSpan {
    pub log: LogSpan,
    /// Where readers could get no further when the span was read.
    pub end: Offset,
}
