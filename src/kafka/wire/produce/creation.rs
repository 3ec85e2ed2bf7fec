//! Finds out whether Kafka will create a missing topic.
//!
//! Metadata responses do not show it: a broker answers "unknown topic" both if automatic creation is off and while it
//! creates the topic, which takes many seconds when there are many. The broker's configuration does (DescribeConfigs),
//! if access rules allow reading it. Names that Kafka will never accept, such as one that collides with an existing
//! topic, are an error without a message in Metadata; CreateTopics returns the message, and with `validate_only` it
//! creates nothing.

use crate::broker::{BrokerError, Operation};
use crate::kafka::wire::cluster::ClusterClient;
use crate::kafka::wire::configs::{self, AUTO_CREATION};
use crate::kafka::wire::connection::BrokerConnection;
use crate::kafka::wire::create::{BROKER_DEFAULTS, VERSION};
use crate::kafka::wire::errors::{ErrorContext, error_for};
use crate::record::TopicName;
use kafka_protocol::error::ResponseError as Kafka;
use kafka_protocol::messages::CreateTopicsRequest;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::protocol::StrBytes;
use std::time::Duration;

/// The timeout of connecting and of each request. Metadata lookups wait for these, so a frozen broker must not block
/// them for long.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Whether Kafka creates missing topics (`auto.create.topics.enable`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AutoCreation {
    On,
    Off,
    /// Access rules deny reading the broker's configuration.
    Unknown,
}

/// A broker's report about missing topics.
#[derive(Debug)]
pub struct CreationReport {
    pub auto_creation: AutoCreation,
    /// For each topic of the request, in order: the reason for which Kafka will never create it.
    pub rejected: Vec<Option<BrokerError>>,
}

/// Asks the controller whether Kafka will create `topics`. Fails with `Unavailable` if it does not respond.
pub fn check_creation(cluster: &ClusterClient, topics: &[TopicName]) -> Result<CreationReport, BrokerError> {
    let node = cluster.controller()?;
    let mut connection = cluster.connect_within(node, TIMEOUT)?;
    let timeout = TIMEOUT.min(cluster.settings().request_timeout);
    let settings = configs::describe_broker(&mut connection, node, &[AUTO_CREATION], timeout);
    if let Err(silent @ BrokerError::Unavailable(_)) = settings {
        return Err(silent);
    }
    let auto_creation = match settings.as_ref().map(|all| all.get(AUTO_CREATION).map(String::as_str)) {
        Ok(Some("true")) => AutoCreation::On,
        Ok(Some("false")) => AutoCreation::Off,
        _ => AutoCreation::Unknown,
    };
    // If the request is unsupported or fails, no topic counts as rejected.
    let rejected = rejected(&mut connection, topics, timeout).unwrap_or_else(|_| vec![None; topics.len()]);
    Ok(CreationReport { auto_creation, rejected })
}

fn rejected(
    connection: &mut BrokerConnection,
    topics: &[TopicName],
    timeout: Duration,
) -> Result<Vec<Option<BrokerError>>, BrokerError> {
    let version = connection.version_for::<CreateTopicsRequest>(VERSION)?;
    if version < BROKER_DEFAULTS {
        return Ok(vec![None; topics.len()]);
    }
    let creatable = topics.iter().map(|topic| {
        let name = StrBytes::from_string(topic.as_str().to_owned());
        CreatableTopic::default().with_name(name.into()).with_num_partitions(-1).with_replication_factor(-1)
    });
    let request = CreateTopicsRequest::default()
        .with_topics(creatable.collect())
        .with_timeout_ms(i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX))
        .with_validate_only(true);
    let response = connection.call(&request, version, timeout)?;
    let verdict = |topic: &TopicName| {
        let result = response.topics.iter().find(|result| result.name.as_str() == topic.as_str())?;
        // All other errors may be temporary: replicas recover, permissions are granted.
        let lasting = [Kafka::InvalidTopicException, Kafka::PolicyViolation];
        let code = Kafka::try_from_code(result.error_code).filter(|code| lasting.contains(code))?;
        Some(error_for(code, ErrorContext::Topic(topic, Operation::WriteOrCreate), result.error_message.as_deref()))
    };
    Ok(topics.iter().map(verdict).collect())
}
