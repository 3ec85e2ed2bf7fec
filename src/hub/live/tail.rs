//! One topic as the live flow reads it: the position in each partition, and the latest records.

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
    pub name: TopicName,
    /// Held from the arrival of a span until every feed has it, so that feeds get spans in order.
    pub dispatch: Mutex<()>,
    state: Mutex<TailState>,
}

pub struct TailState {
    /// `None` also while the topic does not exist yet.
    pub id: TopicId,
    pub partitions: Vec<TailPartition>,
    pub feeds: Vec<Arc<Feed>>,
    /// Consecutive look-ups that did not find the topic.
    pub misses: u32,
    /// When a topic that existed was first found missing.
    pub away_since: Option<Instant>,
}

pub struct TailPartition {
    pub leader: Option<NodeId>,
    pub leader_epoch: i32,
    /// The next offset to fetch; `None` while no feed reads this partition.
    pub position: Option<Offset>,
    /// The leader epoch of the record before it.
    pub epoch: Epoch,
    /// Where readers could get no further at the last fetch.
    pub end: Offset,
    /// Left out of fetches until then, after an error.
    pub paused_until: Option<Instant>,
    /// Consecutive errors.
    pub failures: u32,
    recent: VecDeque<LogSpan>,
    recent_bytes: usize,
}

impl Tail {
    pub fn new(name: TopicName, id: TopicId, partitions: Vec<TailPartition>) -> Self {
        let state = TailState { id, partitions, feeds: Vec::new(), misses: 0, away_since: None };
        Self { name, dispatch: Mutex::new(()), state: Mutex::new(state) }
    }

    pub fn state(&self) -> MutexGuard<'_, TailState> {
        lock(&self.state)
    }
}

impl TailState {
    pub fn partition(&mut self, partition: Partition) -> Option<&mut TailPartition> {
        self.partitions.get_mut(usize::try_from(partition).ok()?)
    }

    /// Returns the positions to fetch from `leader` now.
    pub fn wants(&self, name: &TopicName, leader: NodeId, now: Instant) -> impl Iterator<Item = FetchPosition> {
        let (name, topic_id) = (name.clone(), self.id);
        let due = move |p: &TailPartition| p.leader == Some(leader) && p.paused_until.is_none_or(|until| until <= now);
        self.partitions.iter().enumerate().filter(move |(_, p)| due(p)).filter_map(move |(number, p)| {
            let (topic, partition) = (name.clone(), number as Partition);
            let (offset, leader_epoch, last_epoch) = (p.position?, p.leader_epoch, p.epoch);
            Some(FetchPosition { topic, topic_id, partition, offset, leader_epoch, last_epoch })
        })
    }

    /// Records between the live flow and the end of the log, in the partition where that is most.
    pub fn lag(&self) -> u64 {
        let lags = self.partitions.iter().filter_map(|place| u64::try_from(place.end - place.position?).ok());
        lags.max().unwrap_or(0)
    }

    /// Returns the fetched span that contains the wanted offset, if it is still kept and was read from this leader, and the
    /// next offset that the live flow will fetch.
    pub fn recent_at(&self, want: &FetchPosition) -> Option<(LogSpan, Offset)> {
        let place = self.partitions.get(usize::try_from(want.partition).ok()?)?;
        let span = place.recent.get(place.recent.partition_point(|span| span.next <= want.offset))?;
        // Without leader epochs a log that was truncated and rewritten cannot be detected.
        let is_of_its_log = want.leader_epoch >= 0 || span.read.elapsed() < MAX_AGE;
        (span.serves(want) && is_of_its_log).then_some((span.clone(), place.position?))
    }

    /// Returns the fetched spans that lead from `from` to `to` without a hole, if they are still kept.
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

    /// Whether the partition is still at the wanted position: another thread may have fetched it, or the log may have changed.
    pub fn is_at(&self, want: &FetchPosition) -> bool {
        self.position == Some(want.offset) && self.epoch == want.last_epoch
    }

    /// Keeps a span and moves to its end. Drops the oldest spans while more than `most` bytes are kept.
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
        // The last one stays: without it streams could join a busy partition only by luck.
        while self.recent_bytes > most && self.recent.len() > 1 {
            self.drop_oldest();
        }
    }

    /// Drops spans that were read too long ago: the log may have lost them, and reconnecting streams are back by then.
    pub fn forget_old(&mut self, now: Instant) {
        while self.recent.front().is_some_and(|oldest| now.saturating_duration_since(oldest.read) > KEPT) {
            self.drop_oldest();
        }
    }

    /// Drops all spans.
    pub fn forget(&mut self) {
        self.recent.clear();
        self.recent_bytes = 0;
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.recent.pop_front() {
            self.recent_bytes -= oldest.memory();
        }
    }

    /// Continues at another position. The kept spans do not lead there, so they are dropped.
    pub fn jump(&mut self, to: Offset, epoch: Epoch) {
        (self.position, self.epoch) = (Some(to), epoch);
        self.forget();
        self.failures = 0;
    }
}

/// The partitions of a topic from number `first` on, to be read from their beginning.
pub fn from_beginning(found: &TopicInfo, first: usize) -> impl Iterator<Item = TailPartition> + '_ {
    found.partitions.iter().skip(first).map(|info| {
        let mut partition = TailPartition::unread(info);
        partition.jump(0, NO_EPOCH);
        partition
    })
}
