//! Which streams share a feed.

use crate::cursor::Selection;
use crate::hub::subscription::{Filter, Missing};
use crate::record::TopicName;
use std::sync::Arc;

/// Streams with equal keys get equal bytes, so they share one feed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FeedKey {
    /// Sorted.
    pub topics: Vec<TopicName>,
    pub selection: Selection,
    pub filter: Arc<Filter>,
    /// The [name](crate::hub::Format::name) of the format.
    pub format: String,
    pub missing: Missing,
    /// A stream with a limit counts its own records, so its key has a number that no other stream has.
    pub private: Option<u64>,
}
