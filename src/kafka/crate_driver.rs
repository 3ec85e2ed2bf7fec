//! A [`Broker`] on the `kafka` crate 0.10, for the protocol before Kafka 0.11, which brokers up to 3.9 speak.
//!
//! Limits of that protocol or of the crate:
//! - no headers, no timestamps, no search by time: a request for one of these is an error that says so;
//! - no idempotence, no topic ids, and no read_committed: records of aborted transactions are delivered;
//! - null and empty are the same on the wire: an empty key is read as null, and an empty value of a record with a key
//!   is read as null (a tombstone);
//! - lz4 and zstd cannot be read;
//! - the crate trusts lengths: malformed bytes can make it panic (which is caught and reported as an error) or allocate
//!   more memory than there is (which ends the process), so this driver is only for trusted brokers, and never chosen
//!   automatically;
//! - a broker that accepts a request and does not answer blocks the call for the crate's fixed 120 s.

mod client;
mod failure;
mod mixed;
mod reader;
mod response;
#[cfg(test)]
mod tests;
mod writer;

use super::wire::{WireSettings, api_versions};
use crate::broker::{
    Broker, BrokerError, Capabilities, CreatedTopic, NewTopic, NodeId, OffsetAt, PartitionInfo, PartitionReader,
    Replica, Staleness, Submission, Support, TopicConfigs, TopicInfo,
};
use crate::record::{Offset, Partition, Position, TopicName, TopicPartition};
use crate::sync::lock;
use crate::sync::memory_budget::Share;
use client::CrateClient;
use crossbeam_channel::Receiver;
use failure::{CorruptResponse, OldProtocolLimit};
use kafka::client::{FetchOffset, KafkaClient};
use reader::CrateReader;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::{Mutex, MutexGuard};
use writer::CrateWriter;

/// A cluster whose brokers speak the old protocol.
pub struct CrateDriver {
    settings: WireSettings,
    /// For metadata and offsets. Each reader and the writer have a separate client.
    client: Mutex<CrateClient>,
}

impl CrateDriver {
    /// Returns a client that connects on the first request.
    pub fn new(settings: &WireSettings) -> Self {
        Self { settings: settings.clone(), client: Mutex::new(CrateClient::new(settings)) }
    }

    fn client(&self) -> MutexGuard<'_, CrateClient> {
        lock(&self.client)
    }

    /// Returns all topics. A request that named a topic could create it (`auto.create.topics.enable`).
    fn all_topics(&self) -> Result<HashMap<TopicName, TopicInfo>, BrokerError> {
        self.client().call(|kafka| {
            kafka.load_metadata_all()?;
            Ok(topic_infos(kafka))
        })
    }

    /// Returns the offsets of all partitions of one topic.
    fn topic_offsets(&self, topic: &TopicName, at: FetchOffset) -> Result<HashMap<Partition, Offset>, BrokerError> {
        self.client().call(|kafka| {
            kafka.load_metadata_all()?;
            let offsets = kafka.fetch_topic_offsets(topic.as_str(), at)?;
            Ok(offsets.into_iter().map(|o| (o.partition, o.offset)).collect())
        })
    }
}

/// Returns the topics that the client has loaded. The crate numbers their partitions from 0 without gaps, and panics on
/// other numbers, which the client reports as a malformed response.
fn topic_infos(kafka: &KafkaClient) -> HashMap<TopicName, TopicInfo> {
    let topics = kafka.topics();
    let info = |topic: kafka::client::metadata::Topic<'_>| {
        let name = TopicName::new(topic.name()).ok()?;
        let partitions: Vec<_> = topic
            .partitions()
            .iter()
            .map(|p| PartitionInfo { partition: p.id(), leader: p.leader().map(|l| l.id()), leader_epoch: -1 })
            .collect();
        // A topic that is being created, or whose lookup failed, has no partitions.
        (!partitions.is_empty()).then(|| (name.clone(), TopicInfo { name, id: None, partitions }))
    };
    topics.iter().filter_map(info).collect()
}

impl Broker for CrateDriver {
    fn describe(&self) -> String {
        format!("crate {} (old protocol, no read_committed)", self.settings.bootstrap.join(","))
    }

    fn ready(&self) -> Result<(), BrokerError> {
        // A Kafka 4 broker still answers the old metadata request, but no other: check its versions first.
        if let Ok(versions) = api_versions(&self.settings)
            && !versions.supports_old_protocol()
        {
            return Err(OldProtocolLimit::Rejected.into());
        }
        self.client().call(KafkaClient::load_metadata_all)
    }

    fn capabilities(&self) -> Result<Capabilities, BrokerError> {
        Ok(Capabilities { headers: Support::No, timestamps: Support::No, idempotence: Support::No })
    }

    fn list_topics(&self) -> Result<Vec<TopicInfo>, BrokerError> {
        let internal =
            |name: &str| matches!(name, "__consumer_offsets" | "__transaction_state" | "__share_group_state");
        let mut topics: Vec<_> = self.all_topics()?.into_values().filter(|t| !internal(t.name.as_str())).collect();
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(topics)
    }

    fn topics(&self, topics: &[TopicName]) -> Result<Vec<Result<TopicInfo, BrokerError>>, BrokerError> {
        let all = self.all_topics()?;
        let result = |name| all.get(name).cloned().ok_or_else(|| BrokerError::UnknownTopic(name.clone()));
        Ok(topics.iter().map(result).collect())
    }

    fn brokers(&self) -> Result<Vec<NodeId>, BrokerError> {
        Err(OldProtocolLimit::Administration.into())
    }

    fn replicas(&self, _topic: &TopicName) -> Result<Vec<Vec<Replica>>, BrokerError> {
        Err(OldProtocolLimit::Administration.into())
    }

    fn topic_configs(&self, _topic: &TopicName) -> Result<TopicConfigs, BrokerError> {
        Err(OldProtocolLimit::Administration.into())
    }

    fn create_topic(&self, topic: &NewTopic) -> Result<CreatedTopic, BrokerError> {
        Err(OldProtocolLimit::CreateTopic(topic.name.clone()).into())
    }

    fn delete_topic(&self, topic: &TopicName) -> Result<(), BrokerError> {
        Err(OldProtocolLimit::DeleteTopic(topic.clone()).into())
    }

    fn positions(&self, queries: &[(TopicPartition, OffsetAt)]) -> Vec<Result<Position, BrokerError>> {
        let mut found: HashMap<(TopicName, bool), Result<HashMap<Partition, Offset>, BrokerError>> = HashMap::new();
        let result = |(partition, at): &(TopicPartition, OffsetAt)| {
            let at = match at {
                OffsetAt::Earliest => FetchOffset::Earliest,
                OffsetAt::Latest => FetchOffset::Latest,
                // The old protocol returns the start of a log segment, which may be days earlier.
                OffsetAt::Time(_) => {
                    return Err(OldProtocolLimit::OffsetByTime.into());
                }
            };
            let key = (partition.topic.clone(), matches!(at, FetchOffset::Earliest));
            let offsets = found.entry(key).or_insert_with(|| self.topic_offsets(&partition.topic, at)).as_ref();
            match offsets.map_err(Clone::clone)?.get(&partition.partition) {
                Some(offset) if *offset >= 0 => Ok((*offset).into()),
                Some(_) => Err(CorruptResponse::NegativeOffset(partition.clone()).into()),
                None => Err(Staleness::NoLeader(partition.clone()).into()),
            }
        };
        queries.iter().map(result).collect()
    }

    /// Ignores `_memory`: the crate allocates whatever a broker announces, so the budget would not bound anything.
    fn reader(&self, leader: NodeId, _memory: &Arc<Share>) -> Box<dyn PartitionReader> {
        Box::new(CrateReader::new(CrateClient::new(&self.settings), leader))
    }

    fn write_all(&self, submissions: Receiver<Submission>) {
        CrateWriter::new(CrateClient::new(&self.settings)).write_all(&submissions);
    }
}
