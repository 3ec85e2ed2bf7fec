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
    /// Whether clients decide how many such formats there are.
    pub choice: FormatChoice,
    /// What happens if a topic does not exist.
    pub missing: Missing,
    /// The time at which the streams end.
    pub until: Option<Timestamp>,
    /// A unique number if the stream has a limit: it counts its records, so it cannot share a feed.
    pub private: Option<u64>,
}

impl FeedKey {
    /// Whether clients decide how much time a record takes.
    pub fn takes_time(&self) -> bool {
        !self.filter.is_empty() || self.choice == FormatChoice::ByClient
    }

    /// Whether clients control the cost of the feed: the time that a record takes, or the number of
    /// feeds, since each time to end needs one, and each stream with a limit.
    pub fn is_costly(&self) -> bool {
        self.takes_time() || self.until.is_some() || self.private.is_some()
    }
}
