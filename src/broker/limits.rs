//! Errors that name a limit: of records, of writes, and of memory.

use super::error_response::ErrorResponse;
use crate::record::{Offset, TopicName, TopicPartition};
use crate::sync::memory_budget::Shortage;
use std::fmt;
use std::time::Duration;
use thiserror::Error;

/// A record that is larger than the broker, its topic or the producer accepts. All sizes are in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TooLarge {
    /// The key, value and headers exceed the limit of the log.
    #[error("key, value and headers of the record take {bytes} bytes; they may take {limit}")]
    Record {
        /// The size of key, value and headers.
        bytes: usize,
        /// The limit for a record with that many headers.
        limit: usize,
    },
    /// The record does not fit in any request of the producer.
    #[error(
        "the record takes {bytes} bytes, and the bridge sends at most {limit} in a request to Kafka (max.request.size)"
    )]
    Request {
        /// An upper bound of the size in a batch with no other record.
        bytes: usize,
        /// The producer's `max.request.size`.
        limit: usize,
    },
    /// The broker rejects a batch that contains only this record.
    #[error(
        "the record takes {bytes} bytes with its batch header of {header}, more than the topic's max.message.bytes \
         ({response})"
    )]
    Batch {
        /// The size of the batch. Kafka compares this with `max.message.bytes`.
        bytes: usize,
        /// The size of the batch header, which is part of `bytes`.
        header: usize,
        /// The broker's error.
        #[source]
        response: ErrorResponse,
    },
    /// The broker closes the connection on a request with this record, and responds to others.
    #[error(
        "the broker closes the connection on a request with these {bytes} bytes ({closes} times, while it answers others), \
         so its socket.request.max.bytes must be smaller"
    )]
    ConnectionClosed {
        /// The size of the batch.
        bytes: usize,
        /// How many times in a row the broker closed the connection.
        closes: u32,
    },
    /// The broker rejects the batch of this record as too large. Its response does not contain the size of the batch.
    #[error(transparent)]
    Rejected(#[from] ErrorResponse),
}

/// Records that wait although brokers respond.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{partitions} partitions of {} have waiting records, and none was acknowledged for {} s (too few in-sync replicas, no \
     leader, or a leader cut off from its followers)",
    names(topics, *more_topics),
    .stuck_for.as_secs()
)]
pub struct Unwritable {
    /// The number of partitions that cannot be written.
    pub partitions: usize,
    /// Some of the topics of these partitions.
    pub topics: Vec<TopicName>,
    /// The number of the other topics.
    pub more_topics: usize,
    /// The time since records began to wait, or since the last acknowledgement of any topic if that is later.
    pub stuck_for: Duration,
}

fn names(topics: &[TopicName], more: usize) -> String {
    let mut names: Vec<&str> = topics.iter().map(TopicName::as_str).collect();
    if more > 0 {
        names.push("…");
    }
    names.join(", ")
}

/// A batch or record that is larger than the memory budget allows.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{subject} takes {}", Shortage::Always { largest: *largest })]
pub struct OverBudget {
    /// The data that does not fit.
    pub subject: MemorySubject,
    /// The largest reservation that the budget allows, in bytes.
    pub largest: usize,
}

/// The data for which memory cannot be reserved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemorySubject {
    /// A batch at an unknown position.
    AnyBatch,
    /// The batch that contains this offset.
    Batch(TopicPartition, Offset),
    /// The record at this offset.
    Record(TopicPartition, Offset),
    /// The latest records of this topic.
    Snapshot(TopicName),
    /// The list of topics with their offsets.
    TopicList,
}

impl fmt::Display for MemorySubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AnyBatch => f.write_str("a batch of records"),
            Self::Batch(topic_partition, offset) => write!(f, "the batch of {topic_partition} at offset {offset}"),
            Self::Record(topic_partition, offset) => write!(f, "the record of {topic_partition} at offset {offset}"),
            Self::Snapshot(topic) => write!(f, "a snapshot of topic {topic:?}"),
            Self::TopicList => f.write_str("the list of topics"),
        }
    }
}
