//! Deletes topics (DeleteTopics).

use super::cluster::ClusterClient;
use super::errors::{self, ErrorContext};
use super::invalid_response::ResponseFault;
use crate::broker::{BrokerError, Operation};
use crate::record::TopicName;
use kafka_protocol::messages::DeleteTopicsRequest;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::protocol::StrBytes;

/// Version 5 added error messages; version 6 moved topic names to another field.
const VERSION: i16 = 6;

/// Deletes `topic`. The request goes to the controller, because with ZooKeeper no other broker accepts it. (With KRaft,
/// brokers forward it.)
pub fn delete_topic(cluster: &ClusterClient, topic: &TopicName) -> Result<(), BrokerError> {
    let mut connection = cluster.connect(cluster.controller()?)?;
    let version = connection.version_for::<DeleteTopicsRequest>(VERSION)?;
    let name = kafka_protocol::messages::TopicName(StrBytes::from_string(topic.as_str().to_owned()));
    let timeout = cluster.settings().request_timeout;
    let request = DeleteTopicsRequest::default().with_timeout_ms(timeout.as_millis().try_into().unwrap_or(i32::MAX));
    let request = match version {
        ..6 => request.with_topic_names(vec![name]),
        _ => request.with_topics(vec![DeleteTopicState::default().with_name(Some(name))]),
    };
    let response = connection.call(&request, version, timeout)?;
    let result = response.responses.first();
    let result = result.ok_or_else(|| connection.invalid_response(ResponseFault::Missing("topic")))?;
    let context = ErrorContext::Topic(topic, Operation::Delete);
    let checked = errors::check(result.error_code, context, result.error_message.as_deref());
    checked.map_err(|error| cluster.with_principal(error))
}
