//! Whether Kafka is going to create a topic that a record was sent to.
//!
//! Metadata do not tell: a broker answers "unknown topic" both where automatic creation is off and while it creates the
//! topic, which takes many seconds when there are many. The broker's settings do (DescribeConfigs), where we may read
//! them. Names that Kafka will never accept, such as one that collides with an existing topic, are an error without
//! words in metadata; CreateTopics has them, and with `validate_only` it creates nothing.

use crate::broker::{BrokerError, Operation};
use crate::kafka::wire::cluster::ClusterClient;
use crate::kafka::wire::configs::{self, AUTO_CREATION};
use crate::kafka::wire::connection::BrokerConnection;
use crate::kafka::wire::errors::{ErrorContext, error_for};
use crate::record::TopicName;
use kafka_protocol::error::ResponseError as Kafka;
use kafka_protocol::messages::CreateTopicsRequest;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::protocol::StrBytes;
use std::time::Duration;

/// With version 4 (Kafka 2.4) came "as many partitions and replicas as are usual" (KIP-464).
const BROKER_DEFAULTS: i16 = 4;
const VERSION: i16 = 7;

/// Questions about leaders wait meanwhile, so a broker that is frozen must not hold them up for long.
const TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AutoCreation {
    On,
    Off,
    /// Its settings are not for us to read.
    Unknown,
}

/// What a broker says of topics that do not exist.
#[derive(Debug)]
pub struct CreationReport {
    pub auto_creation: AutoCreation,
    /// In the order in which they were asked for: why Kafka will never create the topic.
    pub rejected: Vec<Option<BrokerError>>,
}

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
    // A broker without the question, or a failure of it, is no verdict on a topic.
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
    let wanted = topics.iter().map(|topic| {
        let name = StrBytes::from_string(topic.as_str().to_owned());
        CreatableTopic::default().with_name(name.into()).with_num_partitions(-1).with_replication_factor(-1)
    });
    let request = CreateTopicsRequest::default()
        .with_topics(wanted.collect())
        .with_timeout_ms(i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX))
        .with_validate_only(true);
    let answer = connection.call(&request, version, timeout)?;
    let verdict = |topic: &TopicName| {
        let result = answer.topics.iter().find(|result| result.name.as_str() == topic.as_str())?;
        // Everything else can change while the topic is waited for: replicas come back, rights are granted.
        let lasting = [Kafka::InvalidTopicException, Kafka::PolicyViolation];
        let code = Kafka::try_from_code(result.error_code).filter(|code| lasting.contains(code))?;
        Some(error_for(code, ErrorContext::Topic(topic, Operation::WriteOrCreate), result.error_message.as_deref()))
    };
    Ok(topics.iter().map(verdict).collect())
}
