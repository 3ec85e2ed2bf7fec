//! The errors of a broker, and what a caller can do about them.

use super::Denial;
use super::cause::Cause;
use super::error_response::ErrorResponse;
use super::limits::{MemorySubject, OverBudget, TooLarge, Unwritable};
use super::staleness::Staleness;
use crate::cursor::IdTooLong;
use crate::record::{Epoch, Offset, SchemaId, TopicName, TopicPartition};
use crate::sync::memory_budget::Shortage;
use std::time::Duration;
use thiserror::Error;

/// Pause before a partition that failed with [`BrokerError::SchemaPending`] is fetched again.
pub const SCHEMA_PAUSE: Duration = Duration::from_millis(50);

/// Whether the records of a failed write may be in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteState {
    /// They were not written.
    No,
    /// They may have been written.
    Maybe,
}

/// An error of a broker. The variant tells callers what they can do, and the message says what happened. The error of a
/// driver or of the operating system that caused it is the [`source`](std::error::Error::source).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BrokerError {
    /// The topic does not exist.
    #[error("there is no topic {0:?}")]
    UnknownTopic(TopicName),
    /// The topic has no such partition.
    #[error("topic {:?} has no partition {}", .0.topic, .0.partition)]
    UnknownPartition(TopicPartition),
    /// The topic does not exist yet, although the broker may be creating it. Nothing was written.
    #[error(
        "Kafka has not created topic {0:?} yet; nothing was written (if this lasts, see whether the broker creates topics \
         automatically: auto.create.topics.enable)"
    )]
    NotCreatedYet(TopicName),
    /// The topic with the requested id was deleted; another topic may have its name now.
    #[error("topic {0:?} was deleted, or deleted and recreated")]
    Recreated(TopicName),
    /// The requested offset is before the log start offset or after the end of the log.
    #[error("{0} does not hold the requested offset")]
    OffsetOutOfRange(TopicPartition),
    /// The log does not hold the record before the requested offset under the expected leader epoch (KIP-320): it was
    /// truncated, and may have grown again since.
    #[error("{partition} was truncated to offset {end}")]
    Truncated {
        /// The partition.
        partition: TopicPartition,
        /// Where the log diverges: only the records before this offset are the same. If it is not before the requested
        /// offset, it is the end of `epoch`, which has replaced the epoch that was read.
        end: Offset,
        /// The leader epoch of the record before `end`.
        epoch: Epoch,
    },
    /// The metadata is outdated (no longer leader, fenced epoch, election). Refresh it and retry.
    #[error("the partition's leader is changing: {0}")]
    StaleMetadata(#[from] Staleness),
    /// No connection to a broker. Retriable.
    #[error("no broker answers: {0}")]
    Unavailable(#[source] Cause),
    /// A broker rejects the request for now (starting, too few in-sync replicas, quota). Retriable.
    #[error("the broker cannot do it now: {0}")]
    NotNow(#[source] ErrorResponse),
    /// No token for the broker's SASL listener, because the token file or the authorization server is unavailable.
    /// Retriable.
    #[error("the bridge has no credentials for Kafka: {0}")]
    NoCredentials(#[source] Cause),
    /// A fault inside the bridge, such as a thread that panicked. Retriable, because threads are restarted.
    #[error("an error inside the bridge: {0}; please report this")]
    Internal(#[source] Cause),
    /// The operating system fails to read or write the files of the embedded log. Retriable.
    #[error("the embedded log cannot be read or written: {0}")]
    Storage(#[source] Cause),
    /// Brokers respond, but waiting records are not acknowledged.
    #[error("nothing can be written: {0}")]
    Unwritable(#[source] Unwritable),
    /// The write was not acknowledged in time.
    #[error("{}", timed_out(*.0))]
    TimedOut(WriteState),
    /// The record is larger than the broker or the producer accepts.
    #[error("larger than the broker accepts: {0}")]
    TooLarge(#[source] TooLarge),
    /// The broker rejects the record itself (its timestamp, or a missing key on a compacted topic).
    #[error("the broker rejects the record: {0}")]
    InvalidRecord(#[source] Cause),
    /// A topic cannot be created, because there is one with its name.
    #[error("topic {0:?} exists already")]
    TopicExists(TopicName),
    /// The broker's confirmation of a new topic is missing, for the contained reason.
    #[error("the broker did not confirm that it created topic {0:?}, which may exist now: {1}")]
    CreationUnconfirmed(TopicName, #[source] Cause),
    /// The broker rejects the name, the partitions, the replicas or the configuration of a new topic.
    #[error("the topic cannot be created: {0}")]
    InvalidTopic(#[source] Cause),
    /// An ACL of the broker is missing.
    #[error("Kafka's access rules forbid it: {0}")]
    Denied(#[source] Denial),
    /// Kafka and the bridge do not authenticate each other: a certificate, password or token is wrong, or the listener
    /// expects another security protocol. The configuration must change.
    #[error("Kafka and the bridge do not accept each other: {0}")]
    Untrusted(#[source] Cause),
    /// The driver or the broker's protocol version does not support the request.
    #[error("{0}")]
    Unsupported(#[source] Cause),
    /// A response that is not Kafka's protocol, or a damaged batch.
    #[error("the broker's response cannot be read: {0}")]
    Corrupt(#[source] Cause),
    /// The disk is full. Nothing was written. The write succeeds once there is space.
    #[error("nothing was written: {0}")]
    DiskFull(#[source] Cause),
    /// The data on the disk differs from the data that was written.
    #[error("{0}")]
    Damaged(#[source] Cause),
    /// The id of a stream has become longer than a client can send back.
    #[error(transparent)]
    IdTooLong(#[from] IdTooLong),
    /// The memory budget for reading is used up at the moment.
    #[error("{}", Shortage::Now)]
    BudgetUsedUp,
    /// Reading needs more memory than the budget ever allows.
    #[error(transparent)]
    OverBudget(#[from] OverBudget),
    /// The latest records of a topic need more memory than a snapshot may take.
    #[error("the latest records of topic {topic:?} take more than {limit} bytes in memory")]
    SnapshotTooLarge {
        /// The topic.
        topic: TopicName,
        /// The limit in bytes.
        limit: usize,
    },
    /// The schema of the first record is being fetched from the schema registry. Retriable.
    #[error("{0} is being fetched from the schema registry")]
    SchemaPending(SchemaId),
    /// Any other error, with the broker's error code and message.
    #[error("the broker rejects the request (error {}): {}", .0.code, .0)]
    Refused(#[source] ErrorResponse),
    /// The bridge lost track of the write: it is shutting down, or one of its threads failed.
    #[error("the bridge lost track of the record; it may have been written")]
    LostTrack,
    /// The bridge ends the stream. Its client can resume exactly at the cursor.
    #[error("the bridge ends this stream, usually because it is shutting down; resume with the last id")]
    ShuttingDown,
}

/// What a caller can do about a [`BrokerError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Retry after a back-off.
    Retry,
    /// Refresh the metadata, then retry.
    Refresh,
    /// Report the error. A retry does not help.
    GiveUp,
}

/// A setting of the bridge that can prevent an error. Higher layers know how users change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// A property of the Kafka client, by its name, such as `max.request.size`.
    ClientProperty(&'static str),
    /// The number of stored bytes that retention keeps of each topic.
    RetentionBytes,
    /// The size of the headers that a client may send, which bounds the length of an id.
    MaxHeader,
    /// The memory for the latest records of one topic.
    SnapshotBytes,
}

impl BrokerError {
    /// The label of the error in metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::UnknownTopic(_) => "unknown_topic",
            Self::UnknownPartition(_) => "unknown_partition",
            Self::NotCreatedYet(_) => "not_created_yet",
            Self::Recreated(_) => "recreated",
            Self::OffsetOutOfRange(_) => "offset_out_of_range",
            Self::Truncated { .. } => "truncated",
            Self::StaleMetadata(_) => "stale_metadata",
            Self::Unavailable(_) => "unavailable",
            Self::NotNow(_) => "not_now",
            Self::NoCredentials(_) => "no_credentials",
            Self::Internal(_) => "internal",
            Self::Storage(_) => "storage",
            Self::Unwritable(_) => "unwritable",
            Self::TimedOut(_) => "timed_out",
            Self::TooLarge(_) => "too_large",
            Self::InvalidRecord(_) => "invalid_record",
            Self::TopicExists(_) => "topic_exists",
            Self::CreationUnconfirmed(..) => "creation_unconfirmed",
            Self::InvalidTopic(_) => "invalid_topic",
            Self::Denied(_) => "denied",
            Self::Untrusted(_) => "untrusted",
            Self::Unsupported(_) => "unsupported",
            Self::Corrupt(_) => "corrupt",
            Self::DiskFull(_) => "full",
            Self::Damaged(_) => "damaged",
            Self::IdTooLong(_) => "id_too_long",
            Self::BudgetUsedUp => "budget_used_up",
            Self::OverBudget(_) => "over_budget",
            Self::SnapshotTooLarge { .. } => "snapshot_too_large",
            Self::SchemaPending(_) => "schema_pending",
            Self::Refused(_) => "refused",
            Self::LostTrack => "lost",
            Self::ShuttingDown => "ending",
        }
    }

    /// What a caller can do about the error.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Unavailable(_)
            | Self::NotCreatedYet(_)
            | Self::NotNow(_)
            | Self::NoCredentials(_)
            | Self::Internal(_)
            | Self::Storage(_)
            | Self::Unwritable(_)
            | Self::SchemaPending(_)
            | Self::BudgetUsedUp => Remedy::Retry,
            Self::StaleMetadata(_) => Remedy::Refresh,
            Self::UnknownTopic(_)
            | Self::UnknownPartition(_)
            | Self::Recreated(_)
            | Self::OffsetOutOfRange(_)
            | Self::Truncated { .. }
            | Self::TimedOut(_)
            | Self::TooLarge(_)
            | Self::InvalidRecord(_)
            | Self::TopicExists(_)
            | Self::CreationUnconfirmed(..)
            | Self::InvalidTopic(_)
            | Self::Denied(_)
            | Self::Untrusted(_)
            | Self::Unsupported(_)
            | Self::Corrupt(_)
            | Self::DiskFull(_)
            | Self::Damaged(_)
            | Self::IdTooLong(_)
            | Self::OverBudget(_)
            | Self::SnapshotTooLarge { .. }
            | Self::Refused(_)
            | Self::LostTrack
            | Self::ShuttingDown => Remedy::GiveUp,
        }
    }

    /// The setting that can prevent the error, if there is one.
    pub fn setting(&self) -> Option<Setting> {
        match self {
            Self::TooLarge(TooLarge::Request { .. }) => Some(Setting::ClientProperty("max.request.size")),
            Self::DiskFull(_) => Some(Setting::RetentionBytes),
            Self::IdTooLong(_) => Some(Setting::MaxHeader),
            Self::SnapshotTooLarge { .. } => Some(Setting::SnapshotBytes),
            _ => None,
        }
    }

    /// The error for a failed reservation of memory for `subject`.
    pub fn no_memory(shortage: Shortage, subject: MemorySubject) -> Self {
        match shortage {
            Shortage::Now => Self::BudgetUsedUp,
            Shortage::Always { largest } => Self::OverBudget(OverBudget { subject, largest }),
        }
    }
}

fn timed_out(state: WriteState) -> &'static str {
    match state {
        WriteState::No => "the broker did not accept the record in time; it was not written",
        WriteState::Maybe => "the broker did not confirm the record in time; it may have been written",
    }
}

impl From<Shortage> for BrokerError {
    fn from(shortage: Shortage) -> Self {
        Self::no_memory(shortage, MemorySubject::AnyBatch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::ErrorSubject;
    use std::error::Error;

    #[test]
    fn only_unavailable_says_that_no_broker_answers() {
        let why = || Cause::from("why");
        let not_now = ErrorResponse { code: 7, subject: ErrorSubject::Cluster, message: "why".to_owned() };
        for error in [
            BrokerError::NotNow(not_now),
            BrokerError::NoCredentials(why()),
            BrokerError::Internal(why()),
            BrokerError::Storage(why()),
        ] {
            assert!(!error.to_string().contains("no broker answers"), "{error}");
            assert!(error.to_string().contains("why"), "{error}");
            assert_eq!(error.remedy(), Remedy::Retry);
        }
    }

    #[test]
    fn the_source_of_an_error_keeps_its_type() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let error = BrokerError::Unavailable(Cause::new(refused)).clone();
        let source = error.source().and_then(|source| source.downcast_ref::<std::io::Error>());
        assert_eq!(source.map(std::io::Error::kind), Some(std::io::ErrorKind::ConnectionRefused));
    }
}
