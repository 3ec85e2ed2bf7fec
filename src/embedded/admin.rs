//! Creation and configuration of topics, as Kafka's administration describes them.

use super::failure::InvalidNewTopic;
use super::group_commit::MAX_RECORD;
use super::log::EmbeddedLog;
use super::topics::{MAX_AHEAD, NODE};
use super::{EmbeddedSettings, MAX_NEW_PARTITIONS};
use crate::broker::{BrokerError, CreatedTopic, NewTopic, Replica, TopicConfigs};
use crate::record::TopicName;
use std::time::Duration;

/// Creates a topic. Settings that the log does not have are an error, because clients would rely on them.
pub fn create_topic(log: &EmbeddedLog, topic: &NewTopic) -> Result<CreatedTopic, BrokerError> {
    let partitions = match topic.partitions.map(usize::try_from) {
        None => log.settings.partitions,
        Some(Ok(partitions @ 1..=MAX_NEW_PARTITIONS)) => partitions,
        Some(_) => return Err(InvalidNewTopic::Partitions { most: MAX_NEW_PARTITIONS }.into()),
    };
    if topic.replication_factor.is_some_and(|factor| factor != 1) {
        return Err(InvalidNewTopic::Replication.into());
    }
    if let Some(name) = topic.configs.keys().next() {
        return Err(InvalidNewTopic::Config(name.clone()).into());
    }
    log.begin_write()?.create_topic(&topic.name, partitions)?;
    Ok(CreatedTopic { partitions: partitions.try_into().ok(), replication_factor: Some(1) })
}

/// Returns the settings that apply to a topic, by the names that Kafka has for them.
pub fn topic_configs(log: &EmbeddedLog, name: &TopicName) -> Result<TopicConfigs, BrokerError> {
    let partitions = log.topics().get(name).map(|topic| topic.partitions.len());
    let partitions = partitions.ok_or_else(|| BrokerError::UnknownTopic(name.clone()))?;
    let EmbeddedSettings { retention_time, retention_bytes, .. } = &log.settings;
    let mut configs = vec![
        ("cleanup.policy", "delete".to_owned()),
        ("max.message.bytes", MAX_RECORD.to_string()),
        ("message.timestamp.after.max.ms", MAX_AHEAD.to_string()),
        ("retention.ms", limit(Some(retention_time.as_millis()).filter(|_| *retention_time != Duration::MAX))),
    ];
    // Kafka's limit is for each partition, and this log's for the topic.
    if partitions == 1 {
        configs.push(("retention.bytes", limit(Some(*retention_bytes).filter(|bytes| *bytes != u64::MAX))));
    }
    Ok(configs.into_iter().map(|(name, value)| (name.to_owned(), Some(value))).collect())
}

/// Returns the single replica of each partition.
pub fn replicas(log: &EmbeddedLog, name: &TopicName) -> Result<Vec<Vec<Replica>>, BrokerError> {
    let partitions = log.topics().get(name).map(|topic| topic.partitions.len());
    let partitions = partitions.ok_or_else(|| BrokerError::UnknownTopic(name.clone()))?;
    Ok(vec![vec![Replica { broker: NODE, in_sync: true }]; partitions])
}

/// Returns a limit as Kafka writes it: -1 stands for none.
fn limit(limit: Option<impl ToString>) -> String {
    limit.map_or_else(|| "-1".to_owned(), |limit| limit.to_string())
}
