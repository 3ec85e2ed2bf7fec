//! Decides which streams share a feed.

use crate::cursor::Selection;
use crate::hub::subscription::{Filter, Missing};
use crate::record::TopicName;
use std::sync::Arc;

/// Identifies a feed. Streams with equal keys get equal bytes, so they share a feed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FeedKey {
    /// The topics, sorted.
    pub topics: Vec<TopicName>,
    /// The partitions of each topic.
    pub selection: Selection,
    /// The records that are delivered.
    pub filter: Arc<Filter>,
    /// The [name](crate::hub::Format::name) of the format.
    pub format: String,
    /// What happens if a topic does not exist.
    pub missing: Missing,
    /// A unique number if the stream has a limit: it counts its records, so it cannot share a feed.
    pub private: Option<u64>,
}
