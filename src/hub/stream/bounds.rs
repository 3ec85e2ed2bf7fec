//! The end of a stream.

use crate::record::{Offset, Partition, Timestamp};
use std::collections::{HashMap, HashSet};

/// The end offset (exclusive) of each partition, by topic index and partition.
pub type Ends = HashMap<(usize, Partition), Offset>;

/// The end of a stream: a number of records, end offsets, or a time.
#[derive(Debug, Clone, Default)]
pub struct Bounds {
    /// Number of records that the stream may still deliver. `None`: no limit.
    pub remaining: Option<u64>,
    /// The end offset of each partition. A partition without an entry has ended. `None`: the stream continues with new
    /// records.
    pub ends: Option<Ends>,
    /// The time until which the stream continues with new records.
    pub until: Option<TimeBound>,
    /// Partitions whose cursor is at or past the end, but has not been confirmed by a fetch yet. If the log was truncated,
    /// the fetch fails, and the gap must be reported before the stream ends.
    pub unconfirmed: HashSet<(usize, Partition)>,
}

/// A time at which a stream ends, while records from before that time may still arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeBound {
    pub at: Timestamp,
    /// The partitions in which the stream has reached a record with this time or a later one. Each of them ends before
    /// the first such record.
    pub reached: Ends,
}

impl Bounds {
    /// Whether the stream continues with new records in all its partitions.
    pub fn may_join(&self) -> bool {
        self.ends.is_none() && !self.has_reached_time()
    }

    /// Whether a partition has reached the time at which the stream ends.
    pub fn has_reached_time(&self) -> bool {
        self.until.as_ref().is_some_and(|until| !until.reached.is_empty())
    }
}
