//! The seam: what we ask of a broker, in blocking calls, and how it can fail.
//!
//! `hub` speaks only to these traits; `kafka` and `embedded` implement them.

mod backlog;
mod denial;
pub mod diagnosis;
mod failure;

pub use backlog::{Backlog, Backlogs, UNREADY_AFTER, UNWRITABLE_AFTER};
pub use denial::{Denial, Operation, kafka_acls};
pub use failure::{BrokerError, Remedy, WriteState};

use crate::record::{
    Epoch, EpochSpan, NewRecord, Offset, Partition, Position, Records, Timestamp, TopicName, TopicPartition,
};
use crate::sync::lock;
use crate::sync::memory_budget::Share;
use crossbeam_channel::Receiver;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A broker's number within its cluster.
pub type NodeId = i32;

/// KIP-516: tells a topic from an older one of the same name. `None` where the broker has none.
pub type TopicId = Option<uuid::Uuid>;

/// One broker or one cluster of them. Shared by all threads; calls block for a bounded time.
pub trait Broker: Send + Sync + 'static {
    /// What is connected and how, for logs and `/ready`: `wire 127.0.0.1:9092`.
    fn describe(&self) -> String;

    /// Connections made so far, and those that could not be made.
    fn connections(&self) -> ConnectionCounts {
        ConnectionCounts::default()
    }

    /// What waits to be written, by topic. Says nothing where nobody counts.
    fn backlogs(&self) -> Vec<Backlog> {
        Vec::new()
    }

    /// Whether a broker answers and records can be written, as far as is known from those that were to be.
    fn ready(&self) -> Result<(), BrokerError>;

    /// What this driver can do on this broker. Asked when first needed, then remembered.
    fn capabilities(&self) -> Result<Capabilities, BrokerError>;

    /// All topics, without Kafka's internal ones, by name.
    fn list_topics(&self) -> Result<Vec<TopicInfo>, BrokerError>;

    /// One answer for each of `topics`, in order, fresh from the broker. Never creates a topic.
    fn topics(&self, topics: &[TopicName]) -> Result<Vec<Result<TopicInfo, BrokerError>>, BrokerError>;

    /// Deletes a topic with all its records. Other brokers may know it for a moment yet.
    fn delete_topic(&self, topic: &TopicName) -> Result<(), BrokerError>;

    /// The offset of each place asked for, in order, with the leader epoch of the record before it, where there is one: so a
    /// stream that begins there knows of a truncation though it has read nothing yet. An epoch under which nothing is written
    /// yet would not do, as a log that never saw it would look truncated. [`NO_EPOCH`](crate::record::NO_EPOCH): unknown.
    fn positions(&self, asked: &[(TopicPartition, OffsetAt)]) -> Vec<Result<Position, BrokerError>>;

    /// The offset of each place asked for, in order.
    fn offsets(&self, asked: &[(TopicPartition, OffsetAt)]) -> Vec<Result<Offset, BrokerError>> {
        self.positions(asked).into_iter().map(|place| Ok(place?.next)).collect()
    }

    /// A separate connection for fetching from `leader`, for one thread. What it reads is paid for from `memory`: where
    /// that is used up, a fetch returns what fits, and [`BrokerError::BudgetUsedUp`] for the rest.
    fn reader(&self, leader: NodeId, memory: &Arc<Share>) -> Box<dyn PartitionReader>;

    /// Writes what comes, until the channel is closed and everything taken from it is settled.
    ///
    /// Runs on a thread of the caller's. Submissions to one partition are written in the order in
    /// which they come; those of one topic and acks may be batched together.
    fn write_all(&self, submissions: Receiver<Submission>);
}

/// Fetches from one leader. Reconnects by itself; what it cannot mend it reports.
pub trait PartitionReader: Send {
    /// Records at each of `wants`, in any order; a want with nothing new may be left out.
    ///
    /// Returns as soon as there is something, after `limits.wait`, or when interrupted. An error of
    /// the whole is the connection's or the broker's; a partition's own is in its [`Fetched`].
    fn fetch(&mut self, wants: &[FetchPosition], limits: FetchLimits) -> Result<Vec<FetchResult>, BrokerError>;

    /// A way for another thread to end a waiting `fetch` early, because its wants have changed.
    fn interrupter(&self) -> Arc<dyn Fn() + Send + Sync>;
}

/// Where nobody counts, nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConnectionCounts {
    pub opened: u64,
    pub failed: u64,
    /// How long quotas have kept the bridge from asking.
    pub throttled: Duration,
}

/// What a driver can do on the broker it talks to; the rest is refused with an error that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    pub headers: Support,
    pub timestamps: Support,
    pub idempotence: Support,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    Yes,
    No,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicInfo {
    pub name: TopicName,
    pub id: TopicId,
    /// By number, without holes.
    pub partitions: Vec<PartitionInfo>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionInfo {
    pub partition: Partition,
    /// `None` while an election runs.
    pub leader: Option<NodeId>,
    /// -1 where unknown.
    pub leader_epoch: i32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetAt {
    /// The log start offset.
    Earliest,
    /// The last stable offset (read_committed); the high watermark where there are no transactions.
    Latest,
    /// Of the first record with this timestamp or a later one; `Latest` where there is none.
    Time(Timestamp),
}

/// A place to fetch from.
#[derive(Debug, Clone)]
pub struct FetchPosition {
    pub topic: TopicName,
    /// Where known, a topic made anew under the same name is an error, not a mix-up.
    pub topic_id: TopicId,
    pub partition: Partition,
    pub offset: Offset,
    /// Fences a fetch with old metadata (KIP-320); -1 where unknown.
    pub leader_epoch: i32,
    /// The leader epoch of the record before `offset` (KIP-595). A log in which that record is of another epoch, or
    /// not there, answers [`BrokerError::Truncated`]. `NO_EPOCH`: nothing is claimed.
    pub last_epoch: Epoch,
}

#[derive(Debug, Clone, Copy)]
pub struct FetchLimits {
    /// How long the broker may hold the request while there is nothing.
    pub wait: Duration,
    /// Of the whole answer, about: the first batch comes even if it is larger.
    pub max_bytes: usize,
    pub partition_max_bytes: usize,
}

/// The answer for one [`Want`].
#[derive(Debug)]
pub struct FetchResult {
    pub topic: TopicName,
    pub partition: Partition,
    /// As asked; records before it are already left out.
    pub offset: Offset,
    pub result: Result<PartitionData, BrokerError>,
}

/// Committed records from `offset` on, without control records and those of aborted transactions.
#[derive(Debug, Default, Clone)]
pub struct PartitionData {
    pub batches: Vec<Records>,
    /// Where to read on: after everything seen, also what was left out. The asked offset if nothing was.
    pub next_offset: Offset,
    /// Of everything seen, also what was left out; empty where the broker tells none.
    pub epochs: EpochSpan,
    pub log_start: Offset,
    /// Readers get no further than this (last stable offset).
    pub end: Offset,
}

/// How many copies must have a record before it counts as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Acks {
    All,
    Leader,
    /// Nobody tells; settled without an offset as soon as it is sent.
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AutoCreate {
    /// Ask the broker to make a missing topic, if it does that by itself.
    Ask,
    Never,
}

/// Records for one topic that one caller waits for.
#[derive(Debug)]
pub struct Submission {
    pub topic: TopicName,
    pub acks: Acks,
    pub auto_create: AutoCreate,
    pub records: Vec<NewRecord>,
    /// When the caller stops waiting: what is not settled by then must be settled as failed.
    pub deadline: Instant,
    pub receipts: DeliveryReport,
}

/// Where a record landed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordLocation {
    pub partition: Partition,
    /// `None` with `acks=0`, or where the broker only knows that it has the record already.
    pub offset: Option<Offset>,
}

pub type DeliveryResult = Result<RecordLocation, BrokerError>;

/// Collects one outcome a record and hands them over when the last is there. Cheap to clone.
///
/// Whatever happens each record gets an outcome: when all clones are gone, what is missing is
/// settled as [`BrokerError::Lost`].
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
    /// `done` is called once, on any thread, with an outcome for each of `records`; it must not block.
    pub fn new(records: usize, done: impl FnOnce(Vec<DeliveryResult>) + Send + 'static) -> Self {
        let collected = Collected { outcomes: vec![None; records], missing: records, done: Some(Box::new(done)) };
        let receipts = Self(Arc::new(Collector(Mutex::new(collected))));
        if records == 0 {
            receipts.0.hand_over();
        }
        receipts
    }

    /// Settles the record at `index` of its submission; a second outcome for it is ignored.
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
        write!(f, "Receipts({} missing)", self.0.lock().missing)
    }
}
