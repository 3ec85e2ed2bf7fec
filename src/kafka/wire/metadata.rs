//! Metadata requests, and their responses as this crate's types.

use super::errors::{self, ErrorContext};
use crate::broker::{AutoCreate, BrokerError, NodeId, Operation, PartitionInfo, Replica, Staleness, TopicInfo};
use crate::record::{TopicName, TopicPartition};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{MetadataResponsePartition, MetadataResponseTopic};
use kafka_protocol::messages::{BrokerId, MetadataRequest, MetadataResponse};
use kafka_protocol::protocol::StrBytes;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Metadata v4 (Kafka 0.11) is the first that can suppress topic creation; v12 has every field that is read here.
pub const VERSION: i16 = 12;

/// Requests only the brokers.
pub fn brokers_request() -> MetadataRequest {
    MetadataRequest::default().with_topics(Some(Vec::new())).with_allow_auto_topic_creation(false)
}

/// Requests all topics.
pub fn all_topics_request() -> MetadataRequest {
    MetadataRequest::default().with_topics(None).with_allow_auto_topic_creation(false)
}

/// Requests `topics`, and their creation with [`AutoCreate::Ask`].
pub fn topics_request(topics: &[TopicName], auto_create: AutoCreate) -> MetadataRequest {
    let requested = |name: &TopicName| {
        let name = StrBytes::from_string(name.as_str().to_owned());
        MetadataRequestTopic::default().with_name(Some(name.into()))
    };
    MetadataRequest::default()
        .with_topics(Some(topics.iter().map(requested).collect()))
        .with_allow_auto_topic_creation(auto_create == AutoCreate::Ask)
}

/// `host:port` of each broker.
pub fn addresses(response: &MetadataResponse) -> HashMap<NodeId, Arc<str>> {
    let address = |host: &str, port| match host.contains(':') {
        true => format!("[{host}]:{port}").into(),
        false => format!("{host}:{port}").into(),
    };
    response.brokers.iter().map(|b| (b.node_id.0, address(&b.host, b.port))).collect()
}

/// The topics of a response, sorted by name, without internal topics and topics with an error.
pub fn listed_topics(response: &MetadataResponse) -> Vec<TopicInfo> {
    let of = |topic: &MetadataResponseTopic| {
        let name = TopicName::new(topic.name.as_ref()?).ok()?;
        if topic.is_internal { None } else { topic_info(name, topic).ok() }
    };
    let mut topics: Vec<TopicInfo> = response.topics.iter().filter_map(of).collect();
    topics.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    topics
}

/// The result for each of `topics`, in order.
pub fn found_topics(response: &MetadataResponse, topics: &[TopicName]) -> Vec<Result<TopicInfo, BrokerError>> {
    let by_name: HashMap<&str, &MetadataResponseTopic> =
        response.topics.iter().filter_map(|topic| Some((topic.name.as_ref()?.0.as_str(), topic))).collect();
    let of = |name: &TopicName| match by_name.get(name.as_str()) {
        Some(topic) => topic_info(name.clone(), topic),
        None => Err(BrokerError::UnknownTopic(name.clone())),
    };
    topics.iter().map(of).collect()
}

fn topic_info(name: TopicName, topic: &MetadataResponseTopic) -> Result<TopicInfo, BrokerError> {
    errors::check(topic.error_code, ErrorContext::Topic(&name, Operation::Describe), None)?;
    let mut partitions: Vec<PartitionInfo> = topic
        .partitions
        .iter()
        .map(|p| PartitionInfo {
            partition: p.partition_index,
            leader: Some(p.leader_id.0).filter(|node| *node >= 0),
            leader_epoch: p.leader_epoch,
        })
        .collect();
    partitions.sort_unstable_by_key(|p| p.partition);
    if partitions.is_empty() || !partitions.iter().zip(0..).all(|(p, number)| p.partition == number) {
        return Err(Staleness::PartitionsMissing(name).into());
    }
    Ok(TopicInfo { name, id: Some(topic.topic_id).filter(|id| !id.is_nil()), partitions })
}

/// The ids of the brokers, in ascending order.
pub fn brokers(response: &MetadataResponse) -> Vec<NodeId> {
    let mut brokers: Vec<NodeId> = response.brokers.iter().map(|broker| broker.node_id.0).collect();
    brokers.sort_unstable();
    brokers.dedup();
    brokers
}

/// The replicas of each partition of `name`, in the order of the partitions.
pub fn replicas(response: &MetadataResponse, name: &TopicName) -> Result<Vec<Vec<Replica>>, BrokerError> {
    let found = found_topics(response, std::slice::from_ref(name)).pop();
    found.unwrap_or_else(|| Err(BrokerError::UnknownTopic(name.clone())))?;
    let topic = response.topics.iter().find(|topic| topic.name.as_ref().is_some_and(|of| of.as_str() == name.as_str()));
    let mut partitions: Vec<_> = topic.iter().flat_map(|topic| &topic.partitions).collect();
    partitions.sort_unstable_by_key(|partition| partition.partition_index);
    let replicas = |partition: &&MetadataResponsePartition| {
        let in_sync: HashSet<NodeId> = partition.isr_nodes.iter().map(|node| node.0).collect();
        let replica = |node: &BrokerId| Replica { broker: node.0, in_sync: in_sync.contains(&node.0) };
        partition.replica_nodes.iter().map(replica).collect()
    };
    Ok(partitions.iter().map(replicas).collect())
}

/// Replaces leaders in `fresh` by newer ones from `before` (KIP-320), because a broker that lags behind may name a
/// former leader. For the same topic id the later leader epoch wins, and partitions are only ever added. Returns the
/// first partition for which `fresh` was outdated.
pub fn keep_newer_leaders(fresh: &mut TopicInfo, before: &TopicInfo) -> Option<TopicPartition> {
    if fresh.id.is_none() || fresh.id != before.id {
        return None;
    }
    let mut outdated = None;
    for (fresh, before) in fresh.partitions.iter_mut().zip(&before.partitions) {
        if fresh.leader_epoch < before.leader_epoch {
            *fresh = *before;
            outdated = outdated.or(Some(before.partition));
        }
    }
    for added in before.partitions.iter().skip(fresh.partitions.len()) {
        fresh.partitions.push(*added);
        outdated = outdated.or(Some(added.partition));
    }
    outdated.map(|partition| TopicPartition { topic: fresh.name.clone(), partition })
}

/// Returns the leader of a partition and its epoch. Fails with `UnknownPartition`, or `StaleMetadata` during an
/// election.
pub fn leader(info: &TopicInfo, topic_partition: &TopicPartition) -> Result<(NodeId, i32), BrokerError> {
    let partition = usize::try_from(topic_partition.partition).ok().and_then(|number| info.partitions.get(number));
    let partition = partition.ok_or_else(|| BrokerError::UnknownPartition(topic_partition.clone()))?;
    let leader = partition.leader.ok_or_else(|| Staleness::NoLeader(topic_partition.clone()))?;
    Ok((leader, partition.leader_epoch))
}
