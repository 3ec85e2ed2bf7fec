//! The errors of the old protocol and of the `kafka` crate.

use crate::broker::{BrokerError, Cause};
use crate::record::{TopicName, TopicPartition};
use thiserror::Error;

/// A request that the old protocol, its broker or the crate does not support.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OldProtocolLimit {
    /// The broker no longer supports the protocol.
    #[error("the broker rejects the old protocol, as Kafka 4 and later do; use driver wire")]
    Rejected,
    /// Topics cannot be deleted.
    #[error("the old protocol cannot delete a topic; use Kafka's own kafka-topics --delete --topic {0}")]
    DeleteTopic(TopicName),
    /// The protocol has no request for brokers, replicas or configurations.
    #[error("the old protocol does not report brokers, replicas and configurations; use driver wire")]
    Administration,
    /// Topics cannot be created, except by their first record.
    #[error("the old protocol cannot create a topic; use Kafka's own kafka-topics --create --topic {0}")]
    CreateTopic(TopicName),
    /// The protocol returns the start of a log segment, which may be days earlier.
    #[error("the broker's old protocol cannot find records by time; start at earliest, latest or a cursor")]
    OffsetByTime,
    /// Records have no headers.
    #[error("the broker's old protocol cannot carry headers; send the record without them")]
    Headers,
    /// Records have no timestamps.
    #[error("the broker's old protocol cannot carry timestamps; send the record without them")]
    Timestamps,
    /// The crate has no decoder for these codecs.
    #[error("the records are compressed with lz4 or zstd, which the crate driver cannot read; use driver wire")]
    Compression,
}

impl From<OldProtocolLimit> for BrokerError {
    fn from(limit: OldProtocolLimit) -> Self {
        Self::Unsupported(Cause::new(limit))
    }
}

/// A response that the crate cannot read, or that is invalid.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CorruptResponse {
    /// The bytes make the crate panic.
    #[error("malformed bytes")]
    Malformed,
    /// The offset of a partition is negative.
    #[error("{0}: a negative offset")]
    NegativeOffset(TopicPartition),
    /// The response does not contain the partition.
    #[error("{0} is missing in the response")]
    Missing(TopicPartition),
    /// The error of the crate, whose errors cannot be shared.
    #[error("{0}")]
    Other(String),
}

impl From<CorruptResponse> for BrokerError {
    fn from(fault: CorruptResponse) -> Self {
        Self::Corrupt(Cause::new(fault))
    }
}
