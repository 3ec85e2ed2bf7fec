//! One topic as the live flow reads it: where each partition stands, and the records that came last.

use super::feed::Feed;
use crate::broker::{FetchPosition, NodeId, PartitionInfo, TopicId, TopicInfo};
use crate::hub::stream::log_span::{LogSpan, MAX_AGE};
use crate::record::{Epoch, EpochSpan, NO_EPOCH, Offset, Partition, Records, TopicName};
use crate::sync::lock;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How long fetched spans are kept for streams that come back.
const KEPT: Duration = Duration::from_secs(30);

/// A topic that at least one feed reads.
pub struct Tail {
    pub name: TopicName,
    /// Held from a batch's arrival until every feed has it, so that feeds see batches in order.
    pub dispatch: Mutex<()>,
    state: Mutex<TailState>,
}

pub struct TailState {
    /// `None` also while the topic does not exist yet.
    pub id: TopicId,
    pub partitions: Vec<TailPartition>,
    pub feeds: Vec<Arc<Feed>>,
    /// Look-ups in a row that did not find the topic.
    pub misses: u32,
    /// The topic was there, and is not found since.
    pub away_since: Option<Instant>,
}

pub struct TailPartition {
    pub leader: Option<NodeId>,
    pub leader_epoch: i32,
    /// The next offset to fetch; `None` while no feed reads this partition.
    pub position: Option<Offset>,
    /// The leader epoch of the record before it.
    pub epoch: Epoch,
    /// Readers got no further when it was read last.
    pub end: Offset,
    /// Not asked for before this, after an error.
    pub paused_until: Option<Instant>,
    /// Errors in a row that may pass.
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

    /// What to fetch from `leader` now.
    pub fn wants(&self, name: &TopicName, leader: NodeId, now: Instant) -> impl Iterator<Item = FetchPosition> {
        let (name, topic_id) = (name.clone(), self.id);
        let due = move |p: &TailPartition| p.leader == Some(leader) && p.paused_until.is_none_or(|until| until <= now);
        self.partitions.iter().enumerate().filter(move |(_, p)| due(p)).filter_map(move |(number, p)| {
            let (topic, partition) = (name.clone(), number as Partition);
            let (offset, leader_epoch, last_epoch) = (p.position?, p.leader_epoch, p.epoch);
            Some(FetchPosition { topic, topic_id, partition, offset, leader_epoch, last_epoch })
        })
    }

    /// Records between the flow and the end of that partition in which it is the furthest behind.
    pub fn lag(&self) -> u64 {
        let lags = self.partitions.iter().filter_map(|place| u64::try_from(place.end - place.position?).ok());
        lags.max().unwrap_or(0)
    }

    /// The fetched span that holds the wanted offset, if it is still here and was read from this leader, and how far
    /// the reading has come.
    pub fn recent_at(&self, want: &FetchPosition) -> Option<(LogSpan, Offset)> {
        let place = self.partitions.get(usize::try_from(want.partition).ok()?)?;
        let span = place.recent.get(place.recent.partition_point(|span| span.next <= want.offset))?;
        // Where leaders have no epochs, nobody tells a log that was cut short and written anew.
        let is_of_its_log = want.leader_epoch >= 0 || span.read.elapsed() < MAX_AGE;
        (span.serves(want) && is_of_its_log).then_some((span.clone(), place.position?))
    }

    /// The fetched spans that lead from `from` to `to` without a hole, if they are still here.
    pub fn recent(&self, partition: Partition, from: Offset, to: Offset) -> Option<Vec<LogSpan>> {
        let recent = &self.partitions.get(usize::try_from(partition).ok()?)?.recent;
        let first = recent.partition_point(|span| span.next <= from);
        let spans: Vec<_> = recent.iter().skip(first).take_while(|span| span.from < to).cloned().collect();
        let begins = spans.first().is_some_and(|span| span.from <= from);
        let ends = spans.last().is_some_and(|span| span.next == to);
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

    /// Whether this is where the want was to be read: another thread may have read it, or the log may be another one now.
    pub fn is_at(&self, want: &FetchPosition) -> bool {
        self.position == Some(want.offset) && self.epoch == want.last_epoch
    }

    /// Keeps a span and moves to its end; the oldest spans leave when more than `most` bytes are kept.
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
        // The last one stays, or streams could join a busy partition only by luck.
        while self.recent_bytes > most && self.recent.len() > 1 {
            self.drop_oldest();
        }
    }

    /// Forgets spans that were read too long ago: the log may have lost them by now, and nobody comes back for them.
    pub fn forget_old(&mut self, now: Instant) {
        while self.recent.front().is_some_and(|oldest| now.saturating_duration_since(oldest.read) > KEPT) {
            self.drop_oldest();
        }
    }

    /// Forgets all of them.
    pub fn forget(&mut self) {
        self.recent.clear();
        self.recent_bytes = 0;
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.recent.pop_front() {
            self.recent_bytes -= oldest.memory();
        }
    }

    /// Goes on somewhere else: what was kept does not lead there.
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
