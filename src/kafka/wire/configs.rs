//! Configuration of brokers and topics (DescribeConfigs).

use super::cluster::ClusterClient;
use super::connection::BrokerConnection;
use super::errors::{self, ErrorContext};
use super::invalid_response::ResponseFault;
use super::pool::ConnectionPool;
use crate::broker::{BrokerError, NodeId, Operation, Staleness, TopicConfigs};
use crate::record::TopicName;
use kafka_protocol::messages::DescribeConfigsRequest;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Whether a Metadata request creates missing topics.
pub const AUTO_CREATION: &str = "auto.create.topics.enable";

/// How long a broker keeps the state of an idle producer (KIP-854, Kafka 3.4).
pub const PRODUCER_EXPIRY: &str = "producer.id.expiration.ms";

const VERSION: i16 = 4;
/// Kafka's ConfigResource types.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;
/// The number of brokers that are asked about a topic if they do not respond.
const MAX_ATTEMPTS: usize = 2;
/// How long a broker may take to describe a topic. The offsets of the topic wait for it in the same response.
const PATIENCE: Duration = Duration::from_secs(3);

/// Returns the settings `names` of broker `node`, which must be the peer of `connection`. Settings that the broker does
/// not know are missing. Fails with `Denied` without DescribeConfigs on the cluster.
pub fn describe_broker(
    connection: &mut BrokerConnection,
    node: NodeId,
    names: &[&'static str],
    timeout: Duration,
) -> Result<BTreeMap<String, String>, BrokerError> {
    let keys = names.iter().map(|&name| StrBytes::from_static_str(name)).collect();
    let resource = DescribeConfigsResource::default()
        .with_resource_type(BROKER)
        .with_resource_name(StrBytes::from_string(node.to_string()))
        .with_configuration_keys(Some(keys));
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
    let version = connection.version_for::<DescribeConfigsRequest>(VERSION)?;
    let response = connection.call(&request, version, timeout)?;
    let result = response.results.into_iter().next();
    let result = result.ok_or_else(|| connection.invalid_response(ResponseFault::Missing("broker")))?;
    errors::check(result.error_code, ErrorContext::Cluster, result.error_message.as_deref())?;
    let configs = result.configs.into_iter();
    Ok(configs.filter_map(|config| Some((config.name.to_string(), config.value?.to_string()))).collect())
}

/// Returns the effective configuration of `topic`, which every broker knows. Fails with `Denied` without DescribeConfigs
/// on the topic.
pub fn describe_topic(
    cluster: &ClusterClient,
    pool: &ConnectionPool,
    topic: &TopicName,
) -> Result<TopicConfigs, BrokerError> {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(StrBytes::from_string(topic.as_str().to_owned()))
        .with_configuration_keys(None);
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
    let timeout = PATIENCE.min(cluster.settings().request_timeout);
    let mut response = Err(Staleness::NotLookedUp(topic.clone()).into());
    // A frozen broker would use up the patience, so the first one is a broker that has just responded.
    let brokers = cluster.brokers_to_try()?;
    let deadline = Instant::now() + timeout;
    for node in brokers.into_iter().take(MAX_ATTEMPTS) {
        let left = deadline.saturating_duration_since(Instant::now());
        response = pool.call(node, VERSION, |_| request.clone(), left);
        if !matches!(response, Err(BrokerError::Unavailable(_))) || Instant::now() >= deadline {
            break;
        }
    }
    let result = response?.results.into_iter().next();
    let result = result.ok_or_else(|| BrokerError::Corrupt("the topic is missing in the response".into()))?;
    let context = ErrorContext::Topic(topic, Operation::DescribeConfigs);
    let checked = errors::check(result.error_code, context, result.error_message.as_deref());
    checked.map_err(|error| cluster.with_principal(error))?;
    let value = |config: DescribeConfigsResourceResult| {
        let value = config.value.filter(|_| !config.is_sensitive).map(|value| value.to_string());
        (config.name.to_string(), value)
    };
    Ok(result.configs.into_iter().map(value).collect())
}

#[cfg(test)]
mod tests;
