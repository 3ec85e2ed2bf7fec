//! A durable log in a directory. It implements the `Broker` trait, so that Curlew works without Kafka.

#![deny(missing_docs)]

mod admin;
mod batch;
mod catalog;
mod data_dir;
mod disk_space;
mod failure;
mod group_commit;
mod inspect;
mod keys;
mod log;
mod reader;
mod retention;
mod store;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod topics;
mod verify;

pub use data_dir::DataDirError;
pub use failure::{Damage, InvalidNewTopic, OpenError, StoreError, Unacceptable};
pub use inspect::inspect;

use crate::broker::{
    Backlog, Broker, BrokerError, Capabilities, CreatedTopic, NewTopic, NodeId, OffsetAt, PartitionReader, Replica,
    Submission, Support, TopicConfigs, TopicInfo,
};
use crate::record::{Position, TopicName, TopicPartition};
use crate::sync::memory_budget::Share;
use crate::sync::worker::Worker;
use crossbeam_channel::{Receiver, Sender, bounded};
use log::EmbeddedLog;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The most partitions of a new topic.
pub const MAX_NEW_PARTITIONS: usize = 1000;

/// Where the log is stored, and how much of it is kept.
#[derive(Debug, Clone)]
pub struct EmbeddedSettings {
    /// The data directory.
    pub folder: PathBuf,
    /// The number of partitions of new topics.
    pub partitions: usize,
    /// The minimum time for which a record is kept; `Duration::MAX` keeps records forever.
    pub retention_time: Duration,
    /// The minimum number of stored bytes kept of each topic; `u64::MAX` keeps everything.
    pub retention_bytes: u64,
}

/// The embedded log as a broker. Dropping it joins its threads and unlocks the directory.
pub struct Embedded {
    log: Arc<EmbeddedLog>,
    /// Starts retention early when a topic has grown past its limit.
    wake_retention: Sender<()>,
    // Dropped before the workers, which end when this channel is closed.
    _ended: Sender<()>,
    _retention: Worker,
    _verify: Worker,
}

impl Embedded {
    /// Opens the log, or creates it. The text of an error is one line for the operator.
    pub fn open(settings: EmbeddedSettings) -> Result<Self, OpenError> {
        let log = Arc::new(EmbeddedLog::open(settings)?);
        let (wake_retention, woken) = bounded(1);
        let (ended, is_ended) = bounded(0);
        let own = log.clone();
        let has_ended = is_ended.clone();
        let retention = Worker::start("retention", move || retention::run(&own, &woken, &is_ended));
        let own = log.clone();
        let verify = Worker::start("verify", move || verify::run(&own, &has_ended));
        Ok(Self {
            log,
            wake_retention,
            _ended: ended,
            _retention: retention.map_err(OpenError::Thread)?,
            _verify: verify.map_err(OpenError::Thread)?,
        })
    }
}

impl Broker for Embedded {
    fn describe(&self) -> String {
        self.log.describe()
    }

    fn ready(&self) -> Result<(), BrokerError> {
        Ok(self.log.ready()?)
    }

    /// While the disk is full, every partition is unwritable.
    fn backlogs(&self) -> Vec<Backlog> {
        if !self.log.disk_space.is_full() {
            return Vec::new();
        }
        let of = |(topic, log): (&TopicName, &topics::LogTopic)| Backlog {
            topic: topic.clone(),
            unwritable: log.partitions.len(),
            first_deadline: None,
        };
        self.log.topics().iter().map(of).collect()
    }

    fn capabilities(&self) -> Result<Capabilities, BrokerError> {
        Ok(Capabilities { headers: Support::Yes, timestamps: Support::Yes, idempotence: Support::Yes })
    }

    fn list_topics(&self) -> Result<Vec<TopicInfo>, BrokerError> {
        Ok(self.log.topics().iter().map(|(name, topic)| topic.info(name)).collect())
    }

    fn topics(&self, topics: &[TopicName]) -> Result<Vec<Result<TopicInfo, BrokerError>>, BrokerError> {
        let known = self.log.topics();
        let info = |name: &TopicName| match known.get(name) {
            Some(topic) => Ok(topic.info(name)),
            None => Err(BrokerError::UnknownTopic(name.clone())),
        };
        Ok(topics.iter().map(info).collect())
    }

    fn brokers(&self) -> Result<Vec<NodeId>, BrokerError> {
        Ok(vec![topics::NODE])
    }

    fn replicas(&self, topic: &TopicName) -> Result<Vec<Vec<Replica>>, BrokerError> {
        admin::replicas(&self.log, topic)
    }

    fn topic_configs(&self, topic: &TopicName) -> Result<TopicConfigs, BrokerError> {
        admin::topic_configs(&self.log, topic)
    }

    fn create_topic(&self, topic: &NewTopic) -> Result<CreatedTopic, BrokerError> {
        admin::create_topic(&self.log, topic)
    }

    fn delete_topic(&self, topic: &TopicName) -> Result<(), BrokerError> {
        self.log.begin_write()?.delete_topic(topic)
    }

    fn positions(&self, queries: &[(TopicPartition, OffsetAt)]) -> Vec<Result<Position, BrokerError>> {
        queries.iter().map(|(partition, at)| self.log.position(partition, *at)).collect()
    }

    fn reader(&self, _leader: NodeId, memory: &Arc<Share>) -> Box<dyn PartitionReader> {
        Box::new(reader::LogReader::new(self.log.clone(), memory.clone()))
    }

    fn write_all(&self, submissions: Receiver<Submission>) {
        group_commit::write_all(&self.log, &submissions, &self.wake_retention);
    }
}
