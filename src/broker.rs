//! The interface to a broker: blocking calls, and the errors they return.
//!
//! `hub` and `http` know only these traits; `kafka` and `embedded` implement them.

#![deny(missing_docs)]

mod backlog;
mod cause;
mod denial;
pub mod diagnosis;
mod error_response;
mod failure;
mod limits;
mod schema_counts;
mod staleness;
mod topic_admin;

pub use backlog::{Backlog, Backlogs, UNREADY_AFTER, UNWRITABLE_AFTER};
pub use cause::Cause;
pub use denial::{Denial, Operation, kafka_acls};
pub use error_response::{ErrorResponse, ErrorSubject};
pub use failure::{BrokerError, Remedy, SCHEMA_PAUSE, Setting, WriteState};
pub use limits::{MemorySubject, OverBudget, TooLarge, Unwritable};
pub use schema_counts::{SchemaCounts, SchemaFailure};
pub use staleness::Staleness;
pub use topic_admin::{CreatedTopic, NewTopic, Replica, TopicConfigs};

pub use crate::record::TopicId;

use crate::record::{
    Epoch, EpochSpan, NewRecord, Offset, Partition, Position, Records, Timestamp, TopicName, TopicPartition,
};
use crate::sync::lock;
use crate::sync::memory_budget::Share;
use crossbeam_channel::Receiver;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The id of a broker in its cluster (`broker.id` or `node.id`).
pub type NodeId = i32;

/// A broker or a cluster of brokers. Shared by all threads. Every call blocks for a bounded time.
pub trait Broker: Send + Sync + 'static {
    /// The driver and its address, for logs and `/ready`: `wire 127.0.0.1:9092`.
    fn describe(&self) -> String;

    /// The connections opened and failed since the start. Zero for a driver that does not count them.
    fn connections(&self) -> ConnectionCounts {
        ConnectionCounts::default()
    }

    /// The records that wait to be written, by topic. Empty for a driver that does not count them.
    fn backlogs(&self) -> Vec<Backlog> {
        Vec::new()
    }

    /// The keys and values that were decoded by their schemas since the start. `None` without a schema registry.
    fn schema_counts(&self) -> Option<SchemaCounts> {
        None
    }

    /// Fails if no broker answers, or if recent writes show that records cannot be written.
    fn ready(&self) -> Result<(), BrokerError>;

    /// The features that this driver supports on this broker. Queried on first use, then cached.
    fn capabilities(&self) -> Result<Capabilities, BrokerError>;

    /// All topics in order of their names, without Kafka's internal topics.
    fn list_topics(&self) -> Result<Vec<TopicInfo>, BrokerError>;

    /// Fetches the metadata of `topics` from the broker, one result for each, in order. Never creates a topic.
    fn topics(&self, topics: &[TopicName]) -> Result<Vec<Result<TopicInfo, BrokerError>>, BrokerError>;

    /// The ids of all brokers, in ascending order.
    fn brokers(&self) -> Result<Vec<NodeId>, BrokerError>;

    /// The replicas of each partition of `topic`, in the order of the partitions.
    fn replicas(&self, topic: &TopicName) -> Result<Vec<Vec<Replica>>, BrokerError>;

    /// The effective configuration of `topic`.
    fn topic_configs(&self, topic: &TopicName) -> Result<TopicConfigs, BrokerError>;

    /// Creates a topic. Fails with [`BrokerError::TopicExists`] if there is one with its name, and with
    /// [`BrokerError::InvalidTopic`] if the broker rejects its name or settings. Only after
    /// [`BrokerError::CreationUnconfirmed`] the topic may have been created.
    fn create_topic(&self, topic: &NewTopic) -> Result<CreatedTopic, BrokerError>;

    /// Deletes a topic with all its records. Other brokers of the cluster may list it for a moment longer.
    fn delete_topic(&self, topic: &TopicName) -> Result<(), BrokerError>;

    /// Looks up the position at each [`OffsetAt`], in order: the offset, and the leader epoch of the record before it,
    /// or [`NO_EPOCH`](crate::record::NO_EPOCH).
    ///
    /// With the epoch, a stream that starts there detects a truncation even before it has read a record. The current
    /// leader epoch would be wrong: if nothing was written under it, a log that never saw it would look truncated.
    fn positions(&self, queries: &[(TopicPartition, OffsetAt)]) -> Vec<Result<Position, BrokerError>>;

    /// Looks up the offset at each [`OffsetAt`], in order.
    fn offsets(&self, queries: &[(TopicPartition, OffsetAt)]) -> Vec<Result<Offset, BrokerError>> {
        self.positions(queries).into_iter().map(|position| Ok(position?.next)).collect()
    }

    /// Creates a reader that fetches from `leader` over its own connection, for use by one thread. Fetched batches are
    /// charged to `memory`. If that is used up, a fetch returns what fits, and [`BrokerError::BudgetUsedUp`] for the
    /// rest.
    fn reader(&self, leader: NodeId, memory: &Arc<Share>) -> Box<dyn PartitionReader>;

    /// Writes submissions until the channel is closed and every submission is settled.
    ///
    /// Runs on the caller's thread. Submissions to one partition are written in order; those with the same topic and
    /// acks may share a batch.
    fn write_all(&self, submissions: Receiver<Submission>);
}

/// Fetches from one leader. Reconnects automatically, and returns errors that a new connection cannot fix.
pub trait PartitionReader: Send {
    /// Fetches records at each position, in any order. A position without new records may be missing from the result.
    ///
    /// Returns as soon as there are records or errors, after `limits.wait`, or when interrupted. An error of the call
    /// concerns the connection or the broker; the error of one partition is in its [`FetchResult`].
    fn fetch(&mut self, wants: &[FetchPosition], limits: FetchLimits) -> Result<Vec<FetchResult>, BrokerError>;

    /// Returns a function that interrupts a waiting `fetch` from another thread, for instance when the positions have
    /// changed.
    fn interrupter(&self) -> Arc<dyn Fn() + Send + Sync>;
}

/// Statistics of a driver's connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConnectionCounts {
    /// Connections that were established.
    pub opened: u64,
    /// Connections that could not be established.
    pub failed: u64,
    /// How long broker quotas have delayed requests in total.
    pub throttled: Duration,
}

/// The features that a driver supports on its broker. Requests that need others fail with [`BrokerError::Unsupported`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Record headers (KIP-82).
    pub headers: Support,
    /// Record timestamps, and looking up offsets by them (KIP-32, KIP-79).
    pub timestamps: Support,
    /// The idempotent producer (KIP-98).
    pub idempotence: Support,
}

/// Whether a feature is supported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// The feature is supported.
    Yes,
    /// The feature is not supported.
    No,
}

/// A topic's metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicInfo {
    /// The name of the topic.
    pub name: TopicName,
    /// The id of the topic.
    pub id: TopicId,
    /// All partitions, numbered from 0 without gaps.
    pub partitions: Vec<PartitionInfo>,
}

/// A partition's metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionInfo {
    /// The number of the partition.
    pub partition: Partition,
    /// The broker that serves reads and writes; `None` during an election.
    pub leader: Option<NodeId>,
    /// The leader epoch, or -1 if unknown.
    pub leader_epoch: i32,
}

/// Which offset of a partition to look up, as in Kafka's ListOffsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetAt {
    /// The log start offset.
    Earliest,
    /// The last stable offset (read_committed), which without transactions is the high watermark.
    Latest,
    /// The offset of the first record with this timestamp or a later one, or `Latest` without such a record.
    Time(Timestamp),
}

/// A partition and offset to fetch from.
#[derive(Debug, Clone)]
pub struct FetchPosition {
    /// The name of the topic.
    pub topic: TopicName,
    /// The expected id. If the topic was recreated, the fetch fails with [`BrokerError::Recreated`] instead of
    /// returning records of the new topic.
    pub topic_id: TopicId,
    /// The number of the partition.
    pub partition: Partition,
    /// The offset of the first record to return.
    pub offset: Offset,
    /// Fences fetches with outdated metadata (KIP-320); -1 if unknown.
    pub leader_epoch: i32,
    /// The leader epoch of the record before `offset` (KIP-595), or `NO_EPOCH` to skip the check. If the log has that
    /// record under another epoch, or lacks it, the fetch fails with [`BrokerError::Truncated`].
    pub last_epoch: Epoch,
}

/// The limits of one fetch.
#[derive(Debug, Clone, Copy)]
pub struct FetchLimits {
    /// How long the broker may delay its response while there are no new records.
    pub wait: Duration,
    /// The approximate size of the response. The first batch is returned even if it is larger (KIP-74).
    pub max_bytes: usize,
    /// The approximate size for each partition.
    pub partition_max_bytes: usize,
}

/// The result for one [`FetchPosition`].
#[derive(Debug)]
pub struct FetchResult {
    /// The topic that was fetched.
    pub topic: TopicName,
    /// The partition that was fetched.
    pub partition: Partition,
    /// The offset that was requested. Earlier records of the first batch are already removed.
    pub offset: Offset,
    /// The records, or the error of this partition.
    pub result: Result<PartitionData, BrokerError>,
}

/// Committed records, without control records and records of aborted transactions.
#[derive(Debug, Default, Clone)]
pub struct PartitionData {
    /// The batches in offset order.
    pub batches: Vec<Records>,
    /// The offset to fetch next: after the whole response, including skipped records (control records, aborted
    /// transactions). The requested offset if the response was empty.
    pub next_offset: Offset,
    /// The leader epochs of the whole response, including skipped records. Empty if the broker sends no epochs.
    pub epochs: EpochSpan,
    /// The log start offset.
    pub log_start: Offset,
    /// The last stable offset, up to which readers get records.
    pub end: Offset,
}

/// How many replicas must have a record before it counts as written (`acks`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Acks {
    /// All in-sync replicas.
    All,
    /// The leader only.
    Leader,
    /// Not acknowledged: the record is settled without an offset as soon as it is sent.
    None,
}

/// Whether a write may create a missing topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AutoCreate {
    /// Lets the broker create the topic, if it is configured to (`auto.create.topics.enable`).
    Ask,
    /// Fails with [`BrokerError::UnknownTopic`].
    Never,
}

/// Records for one topic, submitted by one caller who waits for their outcomes.
#[derive(Debug)]
pub struct Submission {
    /// The topic to write to.
    pub topic: TopicName,
    /// The acknowledgement to wait for.
    pub acks: Acks,
    /// What to do if the topic is missing.
    pub auto_create: AutoCreate,
    /// The records, in the order in which they are written.
    pub records: Vec<NewRecord>,
    /// When the caller stops waiting. Records that are not settled by then must be settled as failed.
    pub deadline: Instant,
    /// Where the outcomes go.
    pub receipts: DeliveryReport,
}

/// The partition and offset of a written record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordLocation {
    /// The partition that was chosen.
    pub partition: Partition,
    /// `None` with `acks=0`, or if the broker recognizes a duplicate but no longer knows its offset.
    pub offset: Option<Offset>,
}

/// The outcome of one record.
pub type DeliveryResult = Result<RecordLocation, BrokerError>;

/// Collects one outcome for each record of a submission, and delivers them together when the last one arrives. Cheap to
/// clone.
///
/// Every record gets an outcome: when the last clone is dropped, unsettled records get [`BrokerError::LostTrack`].
#[derive(Clone)]
pub struct DeliveryReport(Arc<Collector>);

type OnDelivered = Box<dyn FnOnce(Vec<DeliveryResult>) + Send>;

struct Collector(Mutex<Collected>);

struct Collected {
    outcomes: Vec<Option<DeliveryResult>>,
    missing: usize,
    done: Option<OnDelivered>,
}

impl DeliveryReport {
    /// Calls `done` once, on any thread, with the outcomes of `records` records. `done` must not block.
    pub fn new(records: usize, done: impl FnOnce(Vec<DeliveryResult>) + Send + 'static) -> Self {
        let collected = Collected { outcomes: vec![None; records], missing: records, done: Some(Box::new(done)) };
        let receipts = Self(Arc::new(Collector(Mutex::new(collected))));
        if records == 0 {
            receipts.0.hand_over();
        }
        receipts
    }

    /// Sets the outcome of the record at `index` of its submission. Ignores a second outcome for the same record.
    pub fn settle(&self, index: usize, outcome: DeliveryResult) {
        let complete = {
            let mut collected = self.0.lock();
            match collected.outcomes.get_mut(index) {
                Some(slot @ None) => *slot = Some(outcome),
                _ => return,
            }
            collected.missing -= 1;
            collected.missing == 0
        };
        if complete {
            self.0.hand_over();
        }
    }
}

impl Collector {
    fn lock(&self) -> std::sync::MutexGuard<'_, Collected> {
        lock(&self.0)
    }

    fn hand_over(&self) {
        let (done, outcomes) = {
            let mut collected = self.lock();
            (collected.done.take(), std::mem::take(&mut collected.outcomes))
        };
        if let Some(done) = done {
            done(outcomes.into_iter().map(|o| o.unwrap_or(Err(BrokerError::LostTrack))).collect());
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.hand_over();
    }
}

impl fmt::Debug for DeliveryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeliveryReport({} missing)", self.0.lock().missing)
    }
}
