//! Where a stream ends.

use crate::record::{Offset, Partition};
use std::collections::{HashMap, HashSet};

/// The end offset (exclusive) of each partition, by topic index and partition.
pub type Ends = HashMap<(usize, Partition), Offset>;

/// Where a stream ends.
#[derive(Debug, Clone, Default)]
pub struct Bounds {
    /// Number of records that the stream may still deliver. `None`: no limit.
    pub remaining: Option<u64>,
    /// Where each partition ends; a partition without an entry has ended. `None`: the stream continues with new records.
    pub ends: Option<Ends>,
    /// Partitions whose cursor is at or past the end, but has not been confirmed by a fetch yet. If the log was truncated,
    /// the fetch fails, and the gap must be reported before the stream ends.
    pub unconfirmed: HashSet<(usize, Partition)>,
}
