//! `curlew topics describe`: the partitions, replicas and settings of a topic.

use super::get;
use crate::broker::{Broker, BrokerError, OffsetAt};
use crate::commands::bridge_client::BridgeTarget;
use crate::commands::error::CommandError;
use crate::record::{Offset, TopicName, TopicPartition};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;

/// A topic as `GET /topics/{topic}` describes it.
#[derive(Debug, Deserialize)]
pub struct TopicDescription {
    name: String,
    partitions: Vec<PartitionDescription>,
    /// Why there are no replicas.
    replicas_error: Option<String>,
    configs: Option<BTreeMap<String, Option<String>>>,
    /// Why there are no settings.
    configs_error: Option<String>,
}

#[derive(Debug, Deserialize)]
struct PartitionDescription {
    partition: i32,
    leader: Option<i32>,
    earliest: Option<Offset>,
    latest: Option<Offset>,
    replicas: Option<Vec<ReplicaDescription>>,
}

#[derive(Debug, Deserialize)]
struct ReplicaDescription {
    broker: i32,
    in_sync: bool,
}

/// Asks Kafka, or the embedded log.
pub fn of_broker(broker: &dyn Broker, topic: &TopicName) -> Result<TopicDescription, CommandError> {
    let unknown = || BrokerError::UnknownTopic(topic.clone());
    let info = broker.topics(std::slice::from_ref(topic))?.into_iter().next().ok_or_else(unknown)??;
    let (replicas, configs) = (broker.replicas(topic), broker.topic_configs(topic));
    let ends = |at: OffsetAt| {
        let places = info.partitions.iter().map(|p| TopicPartition { topic: topic.clone(), partition: p.partition });
        broker.offsets(&places.map(|place| (place, at)).collect::<Vec<_>>())
    };
    let (starts, ends) = (ends(OffsetAt::Earliest), ends(OffsetAt::Latest));
    let partitions = info.partitions.iter().zip(starts.into_iter().zip(ends)).enumerate();
    let partitions = partitions.map(|(number, (info, (earliest, latest)))| PartitionDescription {
        partition: info.partition,
        leader: info.leader,
        earliest: earliest.ok(),
        latest: latest.ok(),
        replicas: replicas.as_ref().ok().and_then(|all| all.get(number)).map(|replicas| {
            replicas
                .iter()
                .map(|replica| ReplicaDescription { broker: replica.broker, in_sync: replica.in_sync })
                .collect()
        }),
    });
    Ok(TopicDescription {
        name: topic.to_string(),
        partitions: partitions.collect(),
        replicas_error: replicas.as_ref().err().map(BrokerError::to_string),
        configs_error: configs.as_ref().err().map(BrokerError::to_string),
        configs: configs.ok(),
    })
}

/// Asks a bridge.
pub fn of_bridge(bridge: &BridgeTarget, topic: &TopicName) -> Result<TopicDescription, CommandError> {
    let body = get(bridge, &format!("/topics/{topic}"))?;
    serde_json::from_slice(&body).map_err(CommandError::UnreadableTopics)
}

impl fmt::Display for TopicDescription {
    /// One line per partition, then one per setting. What is unknown is a question mark.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |number: Option<i64>| number.map_or_else(|| "?".to_owned(), |number| number.to_string());
        writeln!(f, "topic {}, partitions: {}", self.name, self.partitions.len())?;
        writeln!(f, "{:>9} {:>6} {:>15} {:>15}  replicas (in sync)", "partition", "leader", "earliest", "latest")?;
        for PartitionDescription { partition, leader, earliest, latest, replicas } in &self.partitions {
            let leader = leader.map_or_else(|| "none".to_owned(), |leader| leader.to_string());
            let (earliest, latest) = (shown(*earliest), shown(*latest));
            let replicas = match replicas {
                None => "?".to_owned(),
                Some(replicas) => {
                    let all: Vec<_> = replicas.iter().map(|replica| replica.broker.to_string()).collect();
                    let in_sync: Vec<_> =
                        replicas.iter().filter(|replica| replica.in_sync).map(|r| r.broker.to_string()).collect();
                    format!("{} ({})", all.join(","), in_sync.join(","))
                }
            };
            writeln!(f, "{partition:>9} {leader:>6} {earliest:>15} {latest:>15}  {replicas}")?;
        }
        for (what, error) in [("replicas", &self.replicas_error), ("settings", &self.configs_error)] {
            if let Some(error) = error {
                writeln!(f, "{what} are unknown: {error}")?;
            }
        }
        for (name, value) in self.configs.iter().flatten() {
            writeln!(f, "{name}={}", value.as_deref().unwrap_or("(hidden)"))?;
        }
        Ok(())
    }
}
