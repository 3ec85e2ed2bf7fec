//! Maps Kafka's error codes to [`BrokerError`], whose variants say what a caller can do.

use crate::broker::{BrokerError, Cause, Denial, ErrorResponse, ErrorSubject, Operation};
use crate::record::{TopicName, TopicPartition};
use kafka_protocol::error::ResponseError as Kafka;
use std::fmt;

/// The subject of a request, which the error for its response names.
#[derive(Debug, Clone, Copy)]
pub enum ErrorContext<'a> {
    /// The cluster, or several topics.
    Cluster,
    /// A topic, and the operation on it.
    Topic(&'a TopicName, Operation),
    /// A partition, and the operation on its topic.
    Partition(&'a TopicPartition, Operation),
}

impl<'a> ErrorContext<'a> {
    fn topic(self) -> Option<&'a TopicName> {
        match self {
            Self::Cluster => None,
            Self::Topic(topic, _) => Some(topic),
            Self::Partition(topic_partition, _) => Some(&topic_partition.topic),
        }
    }

    fn is_creation(self) -> bool {
        matches!(self, Self::Topic(_, Operation::Create))
    }

    fn subject(self) -> ErrorSubject {
        match self {
            Self::Cluster => ErrorSubject::Cluster,
            Self::Topic(topic, _) => ErrorSubject::Topic(topic.clone()),
            Self::Partition(topic_partition, _) => ErrorSubject::Partition(topic_partition.clone()),
        }
    }

    /// Leaves the principal empty; [`with_principal`](super::cluster::ClusterClient::with_principal) adds it.
    fn denial(self, response: ErrorResponse) -> Denial {
        let (topic, operation) = match self {
            Self::Cluster => return Denial::Other(response),
            Self::Topic(topic, operation) => (topic, operation),
            Self::Partition(topic_partition, operation) => (&topic_partition.topic, operation),
        };
        Denial::Topic { topic: topic.clone(), operation, principal: None }
    }
}

/// A broker rejects a record, or the name of its topic.
#[derive(Debug, thiserror::Error)]
#[error("{response}{advice}")]
pub struct InvalidRecord {
    /// The broker's error.
    #[source]
    pub response: ErrorResponse,
    /// How to correct the record.
    pub advice: Advice,
}

/// How to correct an [`InvalidRecord`]. Displayed as the end of the error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// The broker's message says enough.
    None,
    /// The topic is internal to Kafka.
    InternalTopic,
    /// The timestamp may have a unit other than milliseconds.
    Timestamp,
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "",
            Self::InternalTopic => "; topics such as __consumer_offsets are internal to Kafka",
            Self::Timestamp => "; timestamps are milliseconds since the epoch",
        })
    }
}

/// Returns an error for any code but 0. `message` is the broker's error message, if it sent one.
pub fn check(code: i16, context: ErrorContext<'_>, message: Option<&str>) -> Result<(), BrokerError> {
    match Kafka::try_from_code(code) {
        None => Ok(()),
        Some(error) => Err(error_for(error, context, message)),
    }
}

/// Returns the error for a Kafka error. This is the only table of error codes.
///
/// After `RequestTimedOut` and `NotEnoughReplicasAfterAppend` the records may be in the log, so only an idempotent
/// producer may retry them.
pub fn error_for(error: Kafka, context: ErrorContext<'_>, message: Option<&str>) -> BrokerError {
    let response = || ErrorResponse {
        code: error.code(),
        subject: context.subject(),
        message: message.map_or_else(|| error.to_string(), str::to_owned),
    };
    let invalid = |advice| BrokerError::InvalidRecord(Cause::new(InvalidRecord { response: response(), advice }));
    let invalid_topic = || BrokerError::InvalidTopic(Cause::new(response()));
    let rejected = || BrokerError::Refused(response());
    match error {
        Kafka::UnknownTopicOrPartition => {
            context.topic().map_or_else(rejected, |topic| BrokerError::UnknownTopic(topic.clone()))
        }
        Kafka::UnknownTopicId | Kafka::InconsistentTopicId | Kafka::FetchSessionTopicIdError => {
            context.topic().map_or_else(rejected, |topic| BrokerError::Recreated(topic.clone()))
        }
        Kafka::OffsetOutOfRange => match context {
            ErrorContext::Partition(topic_partition, _) => BrokerError::OffsetOutOfRange(topic_partition.clone()),
            _ => rejected(),
        },

        // Another broker leads the partition, or will after an election.
        Kafka::NotLeaderOrFollower
        | Kafka::LeaderNotAvailable
        | Kafka::ReplicaNotAvailable
        | Kafka::FencedLeaderEpoch
        | Kafka::UnknownLeaderEpoch
        | Kafka::PreferredLeaderNotAvailable
        | Kafka::EligibleLeadersNotAvailable
        | Kafka::NewLeaderElected
        | Kafka::ListenerNotFound
        | Kafka::KafkaStorageError
        | Kafka::NotController
        | Kafka::NotCoordinator
        | Kafka::UnknownControllerId
        | Kafka::BrokerIdNotRegistered
        | Kafka::StaleBrokerEpoch
        | Kafka::RebootstrapRequired => BrokerError::StaleMetadata(response().into()),

        // The same request can succeed later.
        Kafka::RequestTimedOut
        | Kafka::BrokerNotAvailable
        | Kafka::NetworkException
        | Kafka::CorruptMessage
        | Kafka::CoordinatorLoadInProgress
        | Kafka::CoordinatorNotAvailable
        | Kafka::NotEnoughReplicas
        | Kafka::NotEnoughReplicasAfterAppend
        | Kafka::OffsetNotAvailable
        | Kafka::ConcurrentTransactions
        | Kafka::UnstableOffsetCommit
        | Kafka::ThrottlingQuotaExceeded
        | Kafka::RebalanceInProgress
        | Kafka::ReassignmentInProgress
        | Kafka::FetchSessionIdNotFound
        | Kafka::InvalidFetchSessionEpoch
        | Kafka::ShareSessionNotFound
        | Kafka::InvalidShareSessionEpoch
        | Kafka::ShareSessionLimitReached => BrokerError::NotNow(response()),

        // Only a client that creates a topic can correct these. Brokers with ZooKeeper answer Metadata with
        // InvalidReplicationFactor while too few brokers are alive to create a missing topic.
        Kafka::TopicAlreadyExists if context.is_creation() => {
            context.topic().map_or_else(rejected, |topic| BrokerError::TopicExists(topic.clone()))
        }
        Kafka::InvalidTopicException
        | Kafka::PolicyViolation
        | Kafka::InvalidPartitions
        | Kafka::InvalidReplicationFactor
        | Kafka::InvalidReplicaAssignment
        | Kafka::InvalidConfig
            if context.is_creation() =>
        {
            invalid_topic()
        }

        Kafka::MessageTooLarge | Kafka::RecordListTooLarge => BrokerError::TooLarge(response().into()),
        // The bridge rejects invalid characters itself, so without a message from Kafka the topic is an internal one.
        Kafka::InvalidTopicException if message.is_none() => invalid(Advice::InternalTopic),
        Kafka::InvalidTimestamp => invalid(Advice::Timestamp),
        Kafka::InvalidTopicException | Kafka::InvalidRecord => invalid(Advice::None),

        Kafka::TopicAuthorizationFailed => BrokerError::Denied(context.denial(response())),
        Kafka::GroupAuthorizationFailed
        | Kafka::ClusterAuthorizationFailed
        | Kafka::TransactionalIdAuthorizationFailed
        | Kafka::DelegationTokenAuthorizationFailed
        | Kafka::DelegationTokenNotFound
        | Kafka::DelegationTokenOwnerMismatch
        | Kafka::DelegationTokenRequestNotAllowed
        | Kafka::DelegationTokenAuthDisabled
        | Kafka::UnacceptableCredential
        | Kafka::PrincipalDeserializationFailure
        | Kafka::InvalidPrincipalType
        | Kafka::SecurityDisabled
        | Kafka::PolicyViolation => BrokerError::Denied(Denial::Other(response())),

        // These reject the credentials, not the request.
        Kafka::SaslAuthenticationFailed | Kafka::IllegalSaslState | Kafka::DelegationTokenExpired => {
            BrokerError::Untrusted(Cause::new(response()))
        }

        Kafka::UnsupportedVersion
        | Kafka::UnsupportedForMessageFormat
        | Kafka::UnsupportedCompressionType
        | Kafka::UnsupportedSaslMechanism
        | Kafka::UnsupportedEndpointType
        | Kafka::MismatchedEndpointType => BrokerError::Unsupported(Cause::new(response())),

        // The bridge cannot handle these: the client gets the code and the broker's message.
        _ => rejected(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::broker::Remedy;

    fn all() -> impl Iterator<Item = Kafka> {
        (-1..=200).filter_map(Kafka::try_from_code)
    }

    fn partition() -> TopicPartition {
        TopicPartition { topic: TopicName::new("t").unwrap(), partition: 3 }
    }

    #[test]
    fn a_retriable_error_is_retried_or_names_the_topic() {
        for error in all().filter(Kafka::is_retriable) {
            let ours = error_for(error, ErrorContext::Partition(&partition(), Operation::Read), None);
            let about_topic = matches!(
                ours,
                BrokerError::UnknownTopic(_) | BrokerError::Recreated(_) | BrokerError::OffsetOutOfRange(_)
            );
            let elections = matches!(error, Kafka::ElectionNotNeeded);
            assert!(ours.remedy() != Remedy::GiveUp || about_topic || elections, "{error:?} became {ours:?}");
        }
    }

    #[test]
    fn zero_is_no_error_and_every_other_code_is_one() {
        assert_eq!(check(0, ErrorContext::Cluster, None), Ok(()));
        for code in (i16::MIN..=i16::MAX).filter(|code| *code != 0) {
            assert!(check(code, ErrorContext::Cluster, None).is_err(), "{code}");
        }
    }

    #[test]
    fn an_unknown_code_is_reported_with_its_number_and_partition() {
        let error = check(4711, ErrorContext::Partition(&partition(), Operation::Read), Some("so there")).unwrap_err();
        let subject = ErrorSubject::Partition(partition());
        assert_eq!(error, BrokerError::Refused(ErrorResponse { code: 4711, subject, message: "so there".to_owned() }));
        assert_eq!(error.to_string(), "the broker rejects the request (error 4711): t/3: so there");
    }

    #[test]
    fn only_a_client_that_creates_a_topic_is_told_that_its_settings_are_invalid() {
        let topic = partition().topic;
        for error in [
            Kafka::TopicAlreadyExists,
            Kafka::InvalidPartitions,
            Kafka::InvalidReplicationFactor,
            Kafka::InvalidReplicaAssignment,
            Kafka::InvalidConfig,
        ] {
            let of = |operation| error_for(error, ErrorContext::Topic(&topic, operation), None);
            assert!(
                matches!(of(Operation::Create), BrokerError::InvalidTopic(_) | BrokerError::TopicExists(_)),
                "{error:?}"
            );
            for operation in [Operation::Describe, Operation::Write, Operation::WriteOrCreate] {
                assert!(matches!(of(operation), BrokerError::Refused(_)), "{error:?} became {:?}", of(operation));
            }
        }
    }

    #[test]
    fn an_error_without_a_topic_never_names_one() {
        for error in all() {
            let ours = error_for(error, ErrorContext::Cluster, None);
            assert!(!matches!(ours, BrokerError::UnknownTopic(_) | BrokerError::OffsetOutOfRange(_)), "{ours:?}");
        }
    }
}
