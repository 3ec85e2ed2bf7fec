//! How a broker can fail, and what can be done about it.

use super::Denial;
use crate::record::{Epoch, Offset, TopicName, TopicPartition};
use crate::sync::memory_budget::Shortage;
use std::fmt;

/// Whether records of a failed write may be in the log all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteState {
    No,
    Maybe,
}

/// How a broker fails, with what was asked as data. The text says what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokerError {
    UnknownTopic(TopicName),
    UnknownPartition(TopicPartition),
    /// A topic that the broker may be creating does not exist yet; nothing was written.
    NotCreatedYet(TopicName),
    /// The topic of the id asked for is gone, or there is another one under its name.
    Recreated(TopicName),
    /// The asked offset is before the log's start or after its end.
    OffsetOutOfRange(TopicPartition),
    /// The log does not hold the record before the asked offset: it was truncated, and may have grown again since. It is
    /// what was read only up to `end`; the record before `end` is of `epoch`. An `end` at the asked offset or behind it is
    /// that of `epoch`, which takes the place of the epoch that was read.
    Truncated {
        place: TopicPartition,
        end: Offset,
        epoch: Epoch,
    },
    /// Metadata is old (no longer leader, fenced epoch, election): refresh it, then ask again.
    StaleMetadata(String),
    /// No connection, or the broker is busy or starting: the same request can work later.
    Unavailable(String),
    /// A broker answers that it cannot do it now (starting, too few in-sync replicas, a quota): the same can work later.
    NotNow(String),
    /// No token for the broker's SASL listener: its file or the authorization server that gives them is away. The same
    /// can work later.
    NoCredentials(String),
    /// A fault inside the bridge, such as a thread that panicked; the same can work later, for threads start again.
    Internal(String),
    /// The system refuses to read or write the files of the embedded log; the same can work later.
    Storage(String),
    /// Brokers answer, and records wait for an acknowledgement in vain.
    Unwritable(String),
    /// The write was not confirmed in time.
    TimedOut(WriteState),
    /// Larger than the broker takes.
    TooLarge(String),
    /// The broker says that the record itself is wrong (its time, no key on a compacted topic).
    InvalidRecord(String),
    /// The broker's access rules forbid it.
    Denied(Denial),
    /// Kafka and the bridge do not accept each other: certificates, passwords or tokens are wrong, or the kind of
    /// listener is another. Whoever runs the bridge must change something.
    Untrusted(String),
    /// This driver, or this broker's protocol, cannot do what was asked.
    Unsupported(String),
    /// Bytes that are not Kafka's protocol, or a damaged batch.
    Corrupt(String),
    /// No room on the disk; nothing was written. The same works when there is some.
    DiskFull(String),
    /// What is on the disk is not what was written there.
    Damaged(String),
    /// The id of a stream has grown longer than its client can send back.
    IdTooLong(String),
    /// Reading takes memory that others have just now.
    BudgetUsedUp,
    /// Reading takes more memory than the bridge may ever use for it; in words.
    OverBudget(String),
    /// Any other refusal, by the broker's code and words.
    Refused {
        code: i16,
        message: String,
    },
    /// The bridge lost track of the write: it is ending, or one of its threads failed.
    LostTrack,
    /// The bridge ends the stream for its own reasons; coming back with the cursor goes on exactly.
    ShuttingDown,
}

/// What can be done about a [`BrokerError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// The same again, after a pause.
    Retry,
    /// New metadata first, then the same again.
    Refresh,
    GiveUp,
}

impl BrokerError {
    /// One word, to count errors by.
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
            Self::Denied(_) => "denied",
            Self::Untrusted(_) => "untrusted",
            Self::Unsupported(_) => "unsupported",
            Self::Corrupt(_) => "corrupt",
            Self::DiskFull(_) => "full",
            Self::Damaged(_) => "damaged",
            Self::IdTooLong(_) => "id_too_long",
            Self::BudgetUsedUp => "budget_used_up",
            Self::OverBudget(_) => "over_budget",
            Self::Refused { .. } => "refused",
            Self::LostTrack => "lost",
            Self::ShuttingDown => "ending",
        }
    }

    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Unavailable(_)
            | Self::NotCreatedYet(_)
            | Self::NotNow(_)
            | Self::NoCredentials(_)
            | Self::Internal(_)
            | Self::Storage(_)
            | Self::Unwritable(_)
            | Self::BudgetUsedUp => Remedy::Retry,
            Self::StaleMetadata(_) => Remedy::Refresh,
            _ => Remedy::GiveUp,
        }
    }
}

impl fmt::Display for BrokerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownTopic(topic) => write!(f, "there is no topic {topic:?}"),
            Self::UnknownPartition(place) => {
                write!(f, "topic {:?} has no partition {}", place.topic, place.partition)
            }
            Self::NotCreatedYet(topic) => write!(
                f,
                "Kafka has not created topic {topic:?} yet; nothing was written (if this lasts, see whether the broker \
                 creates topics automatically: auto.create.topics.enable)"
            ),
            Self::Recreated(topic) => write!(f, "topic {topic:?} was deleted, or deleted and made anew"),
            Self::OffsetOutOfRange(place) => write!(f, "{place} does not hold the offset asked for"),
            Self::Truncated { place, end, .. } => write!(f, "{place} was truncated to offset {end}"),
            Self::StaleMetadata(why) => write!(f, "the partition's leader is changing: {why}"),
            Self::Unavailable(why) => write!(f, "no broker answers: {why}"),
            Self::NotNow(why) => write!(f, "the broker cannot do it now: {why}"),
            Self::NoCredentials(why) => write!(f, "the bridge has no credentials for Kafka: {why}"),
            Self::Internal(why) => write!(f, "an error inside the bridge: {why}; please report this"),
            Self::Unwritable(why) => write!(f, "nothing can be written: {why}"),
            Self::Storage(why) => write!(f, "the embedded log cannot be read or written: {why}"),
            Self::TimedOut(WriteState::No) => {
                f.write_str("the broker did not take the record in time; it was not written")
            }
            Self::TimedOut(WriteState::Maybe) => {
                f.write_str("the broker did not confirm the record in time; it may have been written")
            }
            Self::TooLarge(why) => write!(f, "larger than the broker takes: {why}"),
            Self::InvalidRecord(why) => write!(f, "the broker refuses the record: {why}"),
            Self::Denied(what) => write!(f, "Kafka's access rules forbid it: {what}"),
            Self::Untrusted(why) => write!(f, "Kafka and the bridge do not accept each other: {why}"),
            Self::Unsupported(what) => f.write_str(what),
            Self::Corrupt(what) => write!(f, "the broker's answer cannot be read: {what}"),
            Self::DiskFull(why) => write!(f, "nothing was written: {why}"),
            Self::Damaged(what) | Self::IdTooLong(what) | Self::OverBudget(what) => f.write_str(what),
            Self::BudgetUsedUp => Shortage::Now.fmt(f),
            Self::Refused { code, message } => write!(f, "the broker refuses (error {code}): {message}"),
            Self::ShuttingDown => f.write_str(
                "the bridge ends this stream, mostly because it is shutting down; come back with the last id",
            ),
            Self::LostTrack => f.write_str("the bridge lost track of the record; it may have been written"),
        }
    }
}

impl std::error::Error for BrokerError {}

impl From<Shortage> for BrokerError {
    fn from(shortage: Shortage) -> Self {
        Self::no_memory(shortage, "a batch of records")
    }
}

impl BrokerError {
    /// There is no memory for this.
    pub fn no_memory(shortage: Shortage, what: impl fmt::Display) -> Self {
        match shortage {
            Shortage::Now => Self::BudgetUsedUp,
            Shortage::Always { .. } => Self::OverBudget(format!("{what} takes {shortage}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_error_without_a_broker_that_answers_says_so() {
        let why = || "why".to_owned();
        for error in [
            BrokerError::NotNow(why()),
            BrokerError::NoCredentials(why()),
            BrokerError::Internal(why()),
            BrokerError::Storage(why()),
        ] {
            assert!(!error.to_string().contains("no broker answers"), "{error}");
            assert!(error.to_string().contains("why"), "{error}");
            assert_eq!(error.remedy(), Remedy::Retry);
        }
    }
}
