//! Decides which streams share a feed.

use crate::cursor::Selection;
use crate::hub::subscription::{Filter, FormatChoice, Missing};
use crate::record::{Timestamp, TopicName};
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
    /// Whether clients control the number of such formats.
    pub choice: FormatChoice,
    /// The behavior if a topic does not exist.
    pub missing: Missing,
    /// The time at which the streams end.
    pub until: Option<Timestamp>,
    /// A unique number if the stream has a limit: it counts its records, so it cannot share a feed.
    pub private: Option<u64>,
}

impl FeedKey {
    /// Whether clients control the CPU time that a record takes.
    pub fn takes_time(&self) -> bool {
        !self.filter.is_empty() || self.choice == FormatChoice::ByClient
    }

    /// Whether clients control the cost of the feed: the CPU time that a record takes, or the number of such feeds.
    /// Each end time and each stream with a limit needs a separate feed.
    pub fn is_costly(&self) -> bool {
        self.takes_time() || self.until.is_some() || self.private.is_some()
    }
}
