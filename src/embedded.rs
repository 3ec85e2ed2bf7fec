//! A durable log of our own in a folder, behind the same seam as Kafka: nothing else is needed to start.

mod batch;
mod catalog;
mod data_dir;
mod disk_space;
mod failure;
mod group_commit;
mod inspect;
mod log;
mod reader;
mod retention;
mod store;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod topics;
mod verify;

pub use inspect::inspect;

use crate::broker::{
    Backlog, Broker, BrokerError, Capabilities, NodeId, OffsetAt, PartitionReader, Submission, Support, TopicInfo,
};
use crate::record::{Position, TopicName, TopicPartition};
use crate::sync::memory_budget::Share;
use crate::sync::watchdog::Worker;
use crossbeam_channel::{Receiver, Sender, bounded};
use log::EmbeddedLog;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What is kept, where, and for how long.
#[derive(Debug, Clone)]
pub struct EmbeddedSettings {
    pub folder: PathBuf,
    /// Of topics made from now on.
    pub partitions: usize,
    /// How long after it was appended a record is kept at least; `Duration::MAX`: for ever.
    pub retention_time: Duration,
    /// How much of each topic is kept at least, in bytes as stored; `u64::MAX`: all.
    pub retention_bytes: u64,
}

/// The embedded log as a broker. Dropping it ends its retention and gives the folder back.
pub struct Embedded {
    log: Arc<EmbeddedLog>,
    /// A full topic makes retention look at once.
    wake_retention: Sender<()>,
    // Closed before the thread is joined.
    _ended: Sender<()>,
    _retention: Worker,
    _verify: Worker,
}

impl Embedded {
    /// The error is one line for whoever started the program.
    pub fn open(settings: EmbeddedSettings) -> Result<Self, String> {
        let log = Arc::new(EmbeddedLog::open(settings)?);
        let (nudge, nudged) = bounded(1);
        let (ended, is_ended) = bounded(0);
        let own = log.clone();
        let has_ended = is_ended.clone();
        let retention = Worker::start("retention", move || retention::run(&own, &nudged, &is_ended));
        let own = log.clone();
        let verify = Worker::start("verify", move || verify::run(&own, &has_ended));
        let failed = |e: std::io::Error| format!("cannot start a thread: {e}");
        Ok(Self {
            log,
            wake_retention: nudge,
            _ended: ended,
            _retention: retention.map_err(failed)?,
            _verify: verify.map_err(failed)?,
        })
    }

    /// Makes a topic; `InvalidRecord` where there is one of the name.
    pub fn create_topic(&self, name: &TopicName, partitions: usize) -> Result<(), BrokerError> {
        self.log.begin_write()?.create_topic(name, partitions)
    }
}

impl Broker for Embedded {
    fn describe(&self) -> String {
        self.log.describe()
    }

    fn ready(&self) -> Result<(), BrokerError> {
        Ok(self.log.ready()?)
    }

    /// A full disk concerns all partitions alike.
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

    fn delete_topic(&self, topic: &TopicName) -> Result<(), BrokerError> {
        self.log.begin_write()?.delete_topic(topic)
    }

    fn positions(&self, asked: &[(TopicPartition, OffsetAt)]) -> Vec<Result<Position, BrokerError>> {
        asked.iter().map(|(place, at)| self.log.position(place, *at)).collect()
    }

    fn reader(&self, _leader: NodeId, memory: &Arc<Share>) -> Box<dyn PartitionReader> {
        Box::new(reader::LogReader::new(self.log.clone(), memory.clone()))
    }

    fn write_all(&self, submissions: Receiver<Submission>) {
        group_commit::write_all(&self.log, &submissions, &self.wake_retention);
    }
}
