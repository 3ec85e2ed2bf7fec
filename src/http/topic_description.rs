//! The description of a topic, as `GET /topics` and `GET /topics/{topic}` return it.

use super::problem::Problem;
use super::records::PageBody;
use crate::broker::{BrokerError, NodeId, PartitionInfo, Replica, TopicConfigs, TopicInfo};
use crate::hub::overview::PartitionEnds;
use serde_json::{Value, json};

/// Appends the description of a topic without the brace at its end.
pub fn add_description(out: &mut PageBody, topic: &TopicInfo, ends: &[PartitionEnds]) -> Result<(), Problem> {
    let partitions = topic.partitions.iter().zip(ends).map(|(info, ends)| partition_json(info, *ends));
    add_topic(out, topic, partitions)
}

/// Appends the description of a topic with its replicas and its configuration, as the REST proxies describe it. Access
/// rules may hide the configuration, and old brokers report no replicas: that member is null then, beside the reason.
pub fn add_full_description(
    out: &mut PageBody,
    topic: &TopicInfo,
    ends: &[PartitionEnds],
    replicas: &Result<Vec<Vec<Replica>>, BrokerError>,
    configs: &Result<TopicConfigs, BrokerError>,
) -> Result<(), Problem> {
    let partitions = topic.partitions.iter().zip(ends).enumerate().map(|(number, (info, ends))| {
        let replicas = replicas.as_ref().ok().and_then(|all| all.get(number));
        let mut json = partition_json(info, *ends);
        json["replicas"] = replicas.map_or(Value::Null, |replicas| replicas_json(info.leader, replicas));
        json
    });
    add_topic(out, topic, partitions)?;
    if let Err(error) = replicas {
        out.add(&format!(",\"replicas_error\":{}", Value::from(error.to_string())))?;
    }
    match configs {
        Ok(configs) => out.add(&format!(",\"configs\":{}", json!(configs)))?,
        Err(error) => out.add(&format!(",\"configs\":null,\"configs_error\":{}", Value::from(error.to_string())))?,
    }
    Ok(())
}

/// Returns the replicas of a partition, as the REST proxies describe them.
pub fn replicas_json(leader: Option<NodeId>, replicas: &[Replica]) -> Value {
    let replica = |Replica { broker, in_sync }: &Replica| json!({ "broker": broker, "leader": leader == Some(*broker), "in_sync": in_sync });
    replicas.iter().map(replica).collect()
}

fn add_topic(out: &mut PageBody, topic: &TopicInfo, partitions: impl Iterator<Item = Value>) -> Result<(), Problem> {
    // A topic name contains no character that JSON escapes.
    out.add(&format!("{{\"name\":\"{}\",\"partitions\":[", topic.name))?;
    for (number, partition) in partitions.enumerate() {
        let comma = if number > 0 { "," } else { "" };
        out.add(&format!("{comma}{partition}"))?;
    }
    out.add("]")?;
    Ok(())
}

fn partition_json(info: &PartitionInfo, PartitionEnds { earliest, latest }: PartitionEnds) -> Value {
    json!({"partition": info.partition, "leader": info.leader, "earliest": earliest, "latest": latest})
}
