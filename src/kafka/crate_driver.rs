//! The `kafka` crate 0.10 behind the seam: the protocol before Kafka 0.11, which brokers up to 3.9 speak.
//!
//! What that protocol, or the crate, cannot do:
//! - no headers, no timestamps, no idempotence, no read_committed (records of aborted transactions
//!   are delivered), no topic ids, no search by time: asked for, each is an error that says so;
//! - a null key or value and an empty one look the same: an empty key reads as null, and an empty
//!   value reads as null (a tombstone) where there is a key;
//! - lz4 and zstd cannot be read;
//! - the crate trusts lengths: bytes that are not Kafka's can make it panic (caught, and an error) or
//!   ask for more memory than there is (not caught): it is for brokers that are trusted, and used only where it is
//!   asked for by its name;
//! - a broker that accepts a request and then is silent holds the call for the crate's fixed 120 s.

mod client;
mod mixed;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

use super::wire::{WireSettings, api_versions};
use crate::broker::{
    Broker, BrokerError, Capabilities, NodeId, OffsetAt, PartitionInfo, PartitionReader, Submission, Support, TopicInfo,
};
use crate::record::{Offset, Partition, Position, TopicName, TopicPartition};
use crate::sync::lock;
use crate::sync::memory_budget::Share;
use client::CrateClient;
use crossbeam_channel::Receiver;
use kafka::client::{FetchOffset, KafkaClient};
use reader::CrateReader;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::{Mutex, MutexGuard};
use writer::Writer;

/// Brokers that speak only the old protocol.
pub struct CrateDriver {
    settings: WireSettings,
    /// For metadata and offsets; each reader and the writer have their own.
    client: Mutex<CrateClient>,
}

impl CrateDriver {
    /// Connects when first asked for something.
    pub fn new(settings: &WireSettings) -> Self {
        Self { settings: settings.clone(), client: Mutex::new(CrateClient::new(settings)) }
    }

    fn client(&self) -> MutexGuard<'_, CrateClient> {
        lock(&self.client)
    }

    /// All topics. A request that named one would make it, where the broker makes topics by itself.
    fn all_topics(&self) -> Result<HashMap<TopicName, TopicInfo>, BrokerError> {
        self.client().call(|kafka| {
            kafka.load_metadata_all()?;
            Ok(topic_infos(kafka))
        })
    }

    /// The offsets of all partitions of one topic.
    fn topic_offsets(&self, topic: &TopicName, at: FetchOffset) -> Result<HashMap<Partition, Offset>, BrokerError> {
        self.client().call(|kafka| {
            kafka.load_metadata_all()?;
            let offsets = kafka.fetch_topic_offsets(topic.as_str(), at)?;
            Ok(offsets.into_iter().map(|o| (o.partition, o.offset)).collect())
        })
    }
}

fn topic_infos(kafka: &KafkaClient) -> HashMap<TopicName, TopicInfo> {
    let topics = kafka.topics();
    let info = |topic: kafka::client::metadata::Topic<'_>| {
        let name = TopicName::new(topic.name()).ok()?;
        let partitions: Vec<_> = topic
            .partitions()
            .iter()
            .map(|p| PartitionInfo { partition: p.id(), leader: p.leader().map(|l| l.id()), leader_epoch: -1 })
            .collect();
        // One that is only being made, or could not be looked up, has no partitions.
        (!partitions.is_empty()).then(|| (name.clone(), TopicInfo { name, id: None, partitions }))
    };
    topics.iter().filter_map(info).collect()
}

impl Broker for CrateDriver {
    fn describe(&self) -> String {
        format!("crate {} (old protocol, no read_committed)", self.settings.bootstrap.join(","))
    }

    fn ready(&self) -> Result<(), BrokerError> {
        // A broker of Kafka 4 answers the old metadata request, and no other: ask with our own client first.
        if let Ok(versions) = api_versions(&self.settings)
            && !versions.speaks_old_protocol()
        {
            let why = "the broker refuses the old protocol (Kafka 4 and later do); use --driver wire";
            return Err(BrokerError::Unsupported(why.to_owned()));
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
        let answer = |name| all.get(name).cloned().ok_or_else(|| BrokerError::UnknownTopic(name.clone()));
        Ok(topics.iter().map(answer).collect())
    }

    fn delete_topic(&self, topic: &TopicName) -> Result<(), BrokerError> {
        let why =
            format!("the old protocol cannot delete a topic; use Kafka's own kafka-topics --delete --topic {topic}");
        Err(BrokerError::Unsupported(why))
    }

    fn positions(&self, asked: &[(TopicPartition, OffsetAt)]) -> Vec<Result<Position, BrokerError>> {
        let mut answers: HashMap<(TopicName, bool), Result<HashMap<Partition, Offset>, BrokerError>> = HashMap::new();
        let answer = |(place, at): &(TopicPartition, OffsetAt)| {
            let at = match at {
                OffsetAt::Earliest => FetchOffset::Earliest,
                OffsetAt::Latest => FetchOffset::Latest,
                // It answers with the start of a log segment, which may be days off.
                OffsetAt::Time(_) => {
                    return Err(BrokerError::Unsupported(
                        "the broker's old protocol cannot find records by time; start at earliest, latest or a cursor"
                            .to_owned(),
                    ));
                }
            };
            let key = (place.topic.clone(), matches!(at, FetchOffset::Earliest));
            let offsets = answers.entry(key).or_insert_with(|| self.topic_offsets(&place.topic, at)).as_ref();
            match offsets.map_err(Clone::clone)?.get(&place.partition) {
                Some(offset) if *offset >= 0 => Ok((*offset).into()),
                Some(_) => Err(BrokerError::Corrupt(format!("{place}: an offset below zero"))),
                None => Err(BrokerError::StaleMetadata(format!("{place} has no leader"))),
            }
        };
        asked.iter().map(answer).collect()
    }

    /// The crate allocates what a broker announces, so only memory that is kept could be counted, which says little.
    fn reader(&self, leader: NodeId, _memory: &Arc<Share>) -> Box<dyn PartitionReader> {
        Box::new(CrateReader::new(CrateClient::new(&self.settings), leader))
    }

    fn write_all(&self, submissions: Receiver<Submission>) {
        Writer::new(CrateClient::new(&self.settings)).write_all(&submissions);
    }
}
