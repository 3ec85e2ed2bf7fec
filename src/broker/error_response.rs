//! Error codes in the responses of brokers.

use crate::record::{TopicName, TopicPartition};
use std::fmt;
use thiserror::Error;

/// An error code in a broker's response, and the subject of the request.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{subject}{message}")]
pub struct ErrorResponse {
    /// Kafka's error code.
    pub code: i16,
    /// The subject of the request.
    pub subject: ErrorSubject,
    /// The broker's message, or the meaning of the code if the broker sent none.
    pub message: String,
}

/// The subject of a request that a broker rejected. Displayed as the beginning of the error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErrorSubject {
    /// The cluster, or several topics.
    Cluster,
    /// A topic.
    Topic(TopicName),
    /// A partition of a topic.
    Partition(TopicPartition),
}

impl fmt::Display for ErrorSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster => Ok(()),
            Self::Topic(topic) => write!(f, "topic {topic}: "),
            Self::Partition(topic_partition) => write!(f, "{topic_partition}: "),
        }
    }
}
