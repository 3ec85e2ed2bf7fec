//! The state of one live topic: the position in each partition, and the latest records.

use super::feed::Feed;
use crate::broker::{FetchPosition, NodeId, PartitionInfo, TopicId, TopicInfo};
use crate::hub::stream::log_span::{LogSpan, MAX_AGE};
use crate::record::{Epoch, EpochSpan, NO_EPOCH, Offset, Partition, Records, TopicName};
use crate::sync::lock;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How long fetched spans are kept for streams that reconnect.
const KEPT: Duration = Duration::from_secs(30);

/// A topic that at least one feed reads.
pub struct Tail {
    /// The topic.
    pub name: TopicName,
    /// Locked from the arrival of records until every feed has them, so that all feeds get them in order.
    pub dispatch: Mutex<()>,
    state: Mutex<TailState>,
}

/// The mutable part of a [`Tail`].
pub struct TailState {
    /// The topic id. `None`: the broker has no topic ids, or the topic does not exist yet.
    pub id: TopicId,
    /// The partitions. Empty if the topic does not exist yet.
    pub partitions: Vec<TailPartition>,
    /// The feeds that read the topic.
    pub feeds: Vec<Arc<Feed>>,
    /// Number of consecutive look-ups that did not find the topic.
    pub misses: u32,
    /// The time when a topic that existed was found missing.
    pub away_since: Option<Instant>,
}

/// One partition of a live topic.
pub struct TailPartition {
    /// The broker to fetch from.
    pub leader: Option<NodeId>,
    /// The leader epoch of `leader`, or -1 if it is unknown.
    pub leader_epoch: i32,
    /// The next offset to fetch. `None`: no feed reads the partition.
    pub position: Option<Offset>,
    /// The leader epoch of the record before `position`.
    pub epoch: Epoch,
    /// The last stable offset at the last fetch.
    pub end: Offset,
    /// The partition is not fetched before this time, because of an error.
    pub paused_until: Option<Instant>,
    /// Number of consecutive errors.
    pub failures: u32,
    recent: VecDeque<LogSpan>,
    recent_bytes: usize,
}

impl Tail {
    /// Creates the tail of a topic, without feeds.
    pub fn new(name: TopicName, id: TopicId, partitions: Vec<TailPartition>) -> Self {
        let state = TailState { id, partitions, feeds: Vec::new(), misses: 0, away_since: None };
        Self { name, dispatch: Mutex::new(()), state: Mutex::new(state) }
    }

    /// Locks the state.
    pub fn state(&self) -> MutexGuard<'_, TailState> {
        lock(&self.state)
    }
}

impl TailState {
    /// Returns a partition by its number.
    pub fn partition(&mut self, partition: Partition) -> Option<&mut TailPartition> {
        self.partitions.get_mut(usize::try_from(partition).ok()?)
    }

    /// Returns the positions to fetch from `leader` now.
    pub fn fetch_positions(
        &self,
        name: &TopicName,
        leader: NodeId,
        now: Instant,
    ) -> impl Iterator<Item = FetchPosition> {
        let (name, topic_id) = (name.clone(), self.id);
        let due = move |p: &TailPartition| p.leader == Some(leader) && p.paused_until.is_none_or(|until| until <= now);
        self.partitions.iter().enumerate().filter(move |(_, p)| due(p)).filter_map(move |(number, p)| {
            let (topic, partition) = (name.clone(), number as Partition);
            let (offset, leader_epoch, last_epoch) = (p.position?, p.leader_epoch, p.epoch);
            Some(FetchPosition { topic, topic_id, partition, offset, leader_epoch, last_epoch })
        })
    }

    /// Returns the number of records between the live flow and the end of the log, in the partition with the largest lag.
    pub fn lag(&self) -> u64 {
        let lags =
            self.partitions.iter().filter_map(|partition| u64::try_from(partition.end - partition.position?).ok());
        lags.max().unwrap_or(0)
    }

    /// Returns the span that contains the requested offset, if it is kept and was fetched from this leader, together with the
    /// next offset that the live flow will fetch.
    pub fn recent_at(&self, wanted: &FetchPosition) -> Option<(LogSpan, Offset)> {
        let partition = self.partitions.get(usize::try_from(wanted.partition).ok()?)?;
        let span = partition.recent.get(partition.recent.partition_point(|span| span.next <= wanted.offset))?;
        // Without leader epochs it cannot be detected that the log was truncated and rewritten.
        let is_of_its_log = wanted.leader_epoch >= 0 || span.read.elapsed() < MAX_AGE;
        (span.serves(wanted) && is_of_its_log).then_some((span.clone(), partition.position?))
    }

    /// Returns the spans from `from` to `to`, if all of them are kept.
    pub fn recent(&self, partition: Partition, from: Offset, to: Offset) -> Option<Vec<LogSpan>> {
        let recent = &self.partitions.get(usize::try_from(partition).ok()?)?.recent;
        let first = recent.partition_point(|span| span.next <= from);
        let spans: Vec<_> = recent.iter().skip(first).take_while(|span| span.from < to).cloned().collect();
        let begins = spans.first().is_some_and(|span| span.from <= from);
        let ends = spans.last().is_some_and(|span| span.next >= to);
        (begins && ends).then_some(spans)
    }
}

impl TailPartition {
    /// Creates a partition that no feed reads.
    pub fn unread(info: &PartitionInfo) -> Self {
        Self {
            leader: info.leader,
            leader_epoch: info.leader_epoch,
            position: None,
            epoch: NO_EPOCH,
            end: 0,
            paused_until: None,
            failures: 0,
            recent: VecDeque::new(),
            recent_bytes: 0,
        }
    }

    /// Whether the partition is still at the position of a fetch. Another thread may have moved it meanwhile.
    pub fn is_at(&self, fetched: &FetchPosition) -> bool {
        self.position == Some(fetched.offset) && self.epoch == fetched.last_epoch
    }

    /// Keeps a fetched span, and moves to its end. Drops the oldest spans if more than `most` bytes are kept.
    pub fn advance(
        &mut self,
        next: Offset,
        batches: Arc<Vec<Records>>,
        epochs: EpochSpan,
        leader_epoch: i32,
        most: usize,
    ) {
        let Some(from) = self.position.replace(next) else { return };
        let epoch_before = self.epoch;
        let span = LogSpan { from, next, epoch_before, epochs, batches, read: Instant::now(), leader_epoch };
        self.epoch = span.epoch_at(next);
        self.recent_bytes += span.memory();
        self.recent.push_back(span);
        self.failures = 0;
        // The newest span stays. Without it, streams could hardly ever join a busy partition.
        while self.recent_bytes > most && self.recent.len() > 1 {
            self.drop_oldest();
        }
    }

    /// Drops spans that are older than [`KEPT`]. The log may have lost them, and most clients have reconnected by then.
    pub fn forget_old(&mut self, now: Instant) {
        while self.recent.front().is_some_and(|oldest| now.saturating_duration_since(oldest.read) > KEPT) {
            self.drop_oldest();
        }
    }

    /// Drops all kept spans.
    pub fn forget(&mut self) {
        self.recent.clear();
        self.recent_bytes = 0;
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.recent.pop_front() {
            self.recent_bytes -= oldest.memory();
        }
    }

    /// Moves to another position. Drops the kept spans, which do not lead there.
    pub fn jump(&mut self, to: Offset, epoch: Epoch) {
        (self.position, self.epoch) = (Some(to), epoch);
        self.forget();
        self.failures = 0;
    }
}

/// Returns the partitions of a topic starting with `first`, each positioned at offset 0.
pub fn from_beginning(found: &TopicInfo, first: usize) -> impl Iterator<Item = TailPartition> + '_ {
    found.partitions.iter().skip(first).map(|info| {
        let mut partition = TailPartition::unread(info);
        partition.jump(0, NO_EPOCH);
        partition
    })
}
