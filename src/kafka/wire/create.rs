//! Creates topics (CreateTopics).

use super::cluster::ClusterClient;
use super::errors::{self, ErrorContext};
use super::invalid_response::ResponseFault;
use crate::broker::{AutoCreate, BrokerError, Cause, CreatedTopic, NewTopic, Operation};
use crate::sync::backoff::Backoff;
use kafka_protocol::error::ResponseError as Kafka;
use kafka_protocol::messages::CreateTopicsRequest;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::protocol::StrBytes;
use std::time::{Duration, Instant};
use thiserror::Error;

/// Version 4 (Kafka 2.4) added the broker's default partition count and replication factor (KIP-464).
pub const BROKER_DEFAULTS: i16 = 4;
pub const VERSION: i16 = 7;

/// How long a created topic is looked up until brokers know it. The client usually uses it right away.
const VISIBLE_WITHIN: Duration = Duration::from_secs(5);

/// The broker is too old for its own defaults.
#[derive(Debug, Error)]
#[error("brokers before Kafka 2.4 have no defaults for new topics; give both partitions and replication factor")]
struct NoDefaults;

/// Creates `topic`. The request goes to the controller, because with ZooKeeper no other broker accepts it.
pub fn create_topic(cluster: &ClusterClient, topic: &NewTopic) -> Result<CreatedTopic, BrokerError> {
    let mut connection = cluster.connect(cluster.controller()?)?;
    let version = connection.version_for::<CreateTopicsRequest>(VERSION)?;
    if version < BROKER_DEFAULTS && (topic.partitions.is_none() || topic.replication_factor.is_none()) {
        return Err(BrokerError::Unsupported(Cause::new(NoDefaults)));
    }
    let text = |text: &str| StrBytes::from_string(text.to_owned());
    let config = |(name, value): (&String, &String)| {
        CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value)))
    };
    let creatable = CreatableTopic::default()
        .with_name(text(topic.name.as_str()).into())
        .with_num_partitions(topic.partitions.unwrap_or(-1))
        .with_replication_factor(topic.replication_factor.unwrap_or(-1))
        .with_configs(topic.configs.iter().map(config).collect());
    let timeout = cluster.settings().request_timeout;
    let request = CreateTopicsRequest::default()
        .with_topics(vec![creatable])
        .with_timeout_ms(timeout.as_millis().try_into().unwrap_or(i32::MAX));
    let unconfirmed = |error| match error {
        // The request could not be encoded.
        BrokerError::Unsupported(_) => error,
        _ => BrokerError::CreationUnconfirmed(topic.name.clone(), Cause::new(error)),
    };
    let response = connection.call(&request, version, timeout).map_err(unconfirmed)?;
    let result = response.topics.first();
    let result = result.ok_or_else(|| unconfirmed(connection.invalid_response(ResponseFault::Missing("topic"))))?;
    let context = ErrorContext::Topic(&topic.name, Operation::Create);
    let checked = errors::check(result.error_code, context, result.error_message.as_deref());
    checked.map_err(|error| match Kafka::try_from_code(result.error_code) {
        // The controller may have created the topic, or may still do so.
        Some(Kafka::RequestTimedOut | Kafka::NetworkException | Kafka::UnknownServerError) => unconfirmed(error),
        _ => cluster.with_principal(error),
    })?;
    wait_until_visible(cluster, topic);
    Ok(CreatedTopic {
        partitions: topic.partitions.or(Some(result.num_partitions)).filter(|partitions| *partitions > 0),
        replication_factor: topic.replication_factor.or(Some(result.replication_factor)).filter(|factor| *factor > 0),
    })
}

/// Waits until brokers know the topic, unless the client may not see it. The topic exists in any case, so the outcome is
/// not an error.
fn wait_until_visible(cluster: &ClusterClient, topic: &NewTopic) {
    let deadline = Instant::now() + VISIBLE_WITHIN;
    let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_millis(500));
    while let Err(error) = cluster.refresh(&topic.name, AutoCreate::Never)
        && !matches!(error, BrokerError::Denied(_))
        && Instant::now() < deadline
    {
        std::thread::sleep(backoff.pause(fastrand::f64()));
    }
}

#[cfg(test)]
mod tests;
