//! Topics as their administrators see them: replicas, configuration, creation.

use super::NodeId;
use crate::record::{Partition, TopicName};
use std::collections::BTreeMap;

/// A replica of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replica {
    /// The broker that has the replica.
    pub broker: NodeId,
    /// Whether the replica has all committed records.
    pub in_sync: bool,
}

/// The effective configuration of a topic, by name, defaults included. The value is `None` if it is unset or sensitive.
pub type TopicConfigs = BTreeMap<String, Option<String>>;

/// A topic to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTopic {
    /// The name of the topic.
    pub name: TopicName,
    /// The number of partitions; `None` for the broker's default.
    pub partitions: Option<Partition>,
    /// The number of replicas of each partition; `None` for the broker's default.
    pub replication_factor: Option<i16>,
    /// Settings of the topic that differ from the broker's defaults.
    pub configs: BTreeMap<String, String>,
}

impl NewTopic {
    /// A topic with the broker's defaults.
    pub fn named(name: TopicName) -> Self {
        Self { name, partitions: None, replication_factor: None, configs: BTreeMap::new() }
    }
}

/// A topic that was created, as the broker reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CreatedTopic {
    /// The number of partitions; `None` if the broker does not report it (before Kafka 2.4).
    pub partitions: Option<Partition>,
    /// The number of replicas of each partition; `None` if the broker does not report it.
    pub replication_factor: Option<i16>,
}
