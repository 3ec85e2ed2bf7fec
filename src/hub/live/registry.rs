//! The live flow: which topics are read at their tails, which feeds they go to, and how a stream joins one.

use super::attach::{attach, new_tail};
use super::feed::{DeliveryBudget, Evicted, Feed, FeedKey, Join};
use super::join::{self, Apart};
pub use super::metadata::Wakeup;
use super::metadata::from_beginning;
use super::tail::{LogSpan, Tail};
use crate::broker::{BrokerError, FetchPosition, NodeId, PartitionData, TopicInfo};
use crate::cursor::{Cursor, IdTag};
use crate::hub::catch_up::read_cache::CachedSpan;
use crate::hub::catch_up::shared_turns::SharedTurns;
use crate::hub::catch_up::task::{CatchUpTask, TopicState};
use crate::hub::counts::HubCounts;
use crate::hub::stream::chunk_budget::ChunkSize;
use crate::hub::stream::encoder::{EncodeLimits, Flow};
use crate::hub::stream::filter_input::FilterInput;
use crate::hub::stream::gap::Loss;
use crate::hub::stream::time_budget::TimeBudget;
use crate::hub::{Settings, lock};
use crate::record::{Epoch, NO_EPOCH, TopicName, now};
use crate::sync::memory_budget::Share;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A record that is older when it comes was not written just now, or by a clock that is wrong: it says nothing of how
/// quick we are.
const OLD: Duration = Duration::from_secs(3600);

/// What a filter may take of the time in which its feed waits for a stream that joins.
const JOIN_TIME: Duration = Duration::from_millis(2);

/// What the hub's threads share. Locks are taken in this order: `registry`, a tail's `dispatch`, a
/// feed's state, a tail's state.
pub struct Live {
    registry: Mutex<Registry>,
    /// Bytes of fetched records kept for streams that come back, over all partitions.
    recent_bytes: usize,
    /// For what the live flow reads.
    pub memory: Arc<Share>,
    pub counts: Arc<HubCounts>,
    /// Of streams that left the live flow together.
    pub turns: SharedTurns,
    /// Tells the keeper that metadata is old, or that there are new tails to read.
    nudge: Sender<Wakeup>,
    pub nudges: Receiver<Wakeup>,
    closing: AtomicBool,
}

#[derive(Default)]
struct Registry {
    tails: HashMap<TopicName, Arc<Tail>>,
    feeds: HashMap<FeedKey, Arc<Feed>>,
}

/// What came of an attempt to join the live flow. The job goes back where it could not.
pub enum JoinOutcome {
    Live,
    /// The stream has delivered all it was asked for.
    Finished,
    /// The live flow is further on than what is kept of it leads back.
    Behind(Box<CatchUpTask>),
    /// The cursor is further on than the live flow: wait for it.
    Ahead(Box<CatchUpTask>),
}

impl Live {
    pub fn new(settings: &Settings, counts: Arc<HubCounts>) -> Self {
        // One nudge that waits is as good as many.
        let (nudge, nudges) = bounded(2);
        Self {
            registry: Mutex::default(),
            recent_bytes: settings.recent_bytes,
            memory: settings.memory.live.clone(),
            counts,
            turns: SharedTurns::default(),
            nudge,
            nudges,
            closing: AtomicBool::new(false),
        }
    }

    pub fn nudge(&self, nudge: Wakeup) {
        let _ = self.nudge.try_send(nudge);
    }

    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Ends all live streams; none can join any more.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Release);
        let mut registry = lock(&self.registry);
        registry.feeds.values().for_each(|feed| feed.state().end());
        // Feeds and tails hold each other.
        registry.tails.values().for_each(|tail| tail.state().feeds.clear());
        *registry = Registry::default();
    }

    pub fn tails(&self) -> Vec<Arc<Tail>> {
        lock(&self.registry).tails.values().cloned().collect()
    }

    pub fn tail(&self, topic: &TopicName) -> Option<Arc<Tail>> {
        lock(&self.registry).tails.get(topic).cloned()
    }

    pub fn partitions(&self, topic: &TopicName) -> Option<usize> {
        let tail = self.tail(topic)?;
        let state = tail.state();
        (!state.partitions.is_empty() && state.away_since.is_none()).then_some(state.partitions.len())
    }

    /// Where a live feed of this key stands, if there is one with all its topics known.
    pub fn place_of(&self, key: &FeedKey) -> Option<Cursor> {
        let feed = lock(&self.registry).feeds.get(key)?.clone();
        if feed.tails.iter().any(|tail| tail.state().away_since.is_some()) {
            return None;
        }
        let state = feed.state();
        (state.ended == Evicted::No).then(|| state.encoder.cursor.clone())
    }

    /// What the live flow has read last, where that holds the wanted offset.
    pub fn recent(&self, want: &FetchPosition) -> Option<CachedSpan> {
        let tail = self.tail(&want.topic)?;
        let state = tail.state();
        if state.id != want.topic_id {
            return None;
        }
        let (piece, end) = state.recent_at(want)?;
        Some(CachedSpan { piece, end })
    }

    /// Drops everything kept for streams that come back: the live flow needs the memory to read on.
    pub fn forget_recent(&self) {
        self.tails().iter().for_each(|tail| tail.state().partitions.iter_mut().for_each(|place| place.forget()));
    }

    /// Whether the live flow reads on just there.
    pub fn stands_at(&self, want: &FetchPosition) -> bool {
        self.tail(&want.topic).is_some_and(|tail| {
            let mut state = tail.state();
            state.id == want.topic_id
                && state.partition(want.partition).is_some_and(|p| {
                    p.position == Some(want.offset) && (want.last_epoch == NO_EPOCH || want.last_epoch == p.epoch)
                })
        })
    }

    /// Everything that is to be fetched from `leader` now.
    pub fn wants(&self, leader: NodeId) -> Vec<FetchPosition> {
        let now = Instant::now();
        self.tails().iter().flat_map(|tail| tail.state().wants(&tail.name, leader, now).collect::<Vec<_>>()).collect()
    }

    /// Drops feeds without streams and tails without feeds.
    pub fn tidy(&self) {
        self.turns.forget_old();
        let mut registry = lock(&self.registry);
        let Registry { tails, feeds } = &mut *registry;
        feeds.retain(|_, feed| feed.tidy() == Evicted::No);
        let now = Instant::now();
        tails.retain(|_, tail| {
            let mut state = tail.state();
            state.partitions.iter_mut().for_each(|place| place.forget_old(now));
            state.feeds.retain(|feed| feeds.get(&feed.key).is_some_and(|kept| Arc::ptr_eq(kept, feed)));
            !state.feeds.is_empty()
        });
    }

    /// Takes the job's stream into the live flow, if it stands at the flow's place or what is kept of the flow leads
    /// there from its cursor.
    pub fn join(&self, mut job: Box<CatchUpTask>, room: ChunkSize) -> JoinOutcome {
        let Some(feed) = self.feed_for(&job) else { return JoinOutcome::Behind(job) };
        let mut state = feed.state();
        if state.ended == Evicted::Yes {
            return JoinOutcome::Behind(job);
        }
        let missing = match join::missing(&feed, &state, &mut job) {
            Ok(missing) => missing,
            Err(Apart::Behind) => return JoinOutcome::Behind(job),
            Err(Apart::Ahead) => return JoinOutcome::Ahead(job),
        };
        let most = job.most_to_join(room);
        if let Some(Join { from, records, chunk }) = &state.last_join
            && *from == job.encoder.cursor
        {
            job.encoder.took_over(*records);
            job.send_shared(chunk.clone());
        } else if missing.iter().flat_map(|(_, _, pieces)| pieces).map(LogSpan::memory).sum::<usize>() > most {
            return JoinOutcome::Behind(job);
        } else {
            let from = job.encoder.cursor.clone();
            let (mut out, mut memory) = (Vec::new(), job.settings.allowance.nothing());
            let budget = TimeBudget::new(JOIN_TIME);
            for (topic, partition, pieces) in missing {
                for piece in pieces {
                    let candidates =
                        FilterInput::new(&feed.tails[topic].name, partition, &piece.batches).of(&piece.epochs);
                    let limits = EncodeLimits { most: 2 * most, budget: &budget, memory: &mut memory };
                    if job.encoder.records(&mut out, topic, &candidates, piece.next, limits) == Flow::Finished {
                        job.send_paid(out, memory);
                        job.post.complete();
                        return JoinOutcome::Finished;
                    }
                    if job.encoder.cursor.next(topic, partition).is_some_and(|at| at < piece.next) {
                        // Its filter takes too long for the others that wait for the feed, or its frames take too much memory.
                        job.send_paid(out, memory);
                        return JoinOutcome::Behind(job);
                    }
                }
            }
            // The flow does not know what this stream has passed over.
            job.encoder.checkpoint_if_passed(&mut out);
            if !out.is_empty() {
                let (records, chunk) = (job.encoder.written(), job.settings.allowance.hold_paid(out, memory));
                job.send_shared(chunk.clone());
                if job.key.private.is_none() {
                    state.last_join = Some(Join { from, records, chunk });
                }
            }
        }
        if job.key.private.is_some() {
            state.encoder.bounds = job.encoder.bounds;
            state.encoder.nothing_owed();
        }
        state.join(job.post);
        JoinOutcome::Live
    }

    /// The feed of the job's key; a new one stands where its topics' tails are, or, where nobody reads
    /// a topic yet, at the job's cursor.
    ///
    /// `None`: the job has to look its topics up first.
    fn feed_for(&self, job: &CatchUpTask) -> Option<Arc<Feed>> {
        let mut registry = lock(&self.registry);
        if let Some(feed) = registry.feeds.get(&job.key)
            && feed.state().ended == Evicted::No
        {
            return Some(feed.clone());
        }
        if job.topics.iter().any(|topic| matches!(topic, TopicState::NotYet | TopicState::Away(_))) {
            return None;
        }
        let tails: Vec<_> = (job.encoder.cursor.topics().iter().zip(&job.topics))
            .map(|(topic, known)| {
                let new = || Arc::new(new_tail(topic.name.clone(), known));
                registry.tails.entry(topic.name.clone()).or_insert_with(new).clone()
            })
            .collect();
        let encoder = job.encoder.at(job.encoder.cursor.clone());
        let feed = Arc::new(Feed::new(job.key.clone(), encoder, tails, job.settings.clone()));
        let mut state = feed.state();
        for (topic, tail) in feed.tails.iter().enumerate() {
            attach(&feed, &mut state.encoder.cursor, topic, tail);
        }
        state.encoder.nothing_owed();
        if self.is_closing() {
            state.end();
        }
        drop(state);
        registry.feeds.insert(job.key.clone(), feed.clone());
        drop(registry);
        self.nudge(Wakeup::Tails);
        Some(feed)
    }

    /// Brings one fetched stretch to every feed of its topic.
    pub fn deliver(&self, tail: &Tail, want: &FetchPosition, data: PartitionData, budget: &TimeBudget) {
        let (partition, from) = (want.partition, want.offset);
        let (next, end) = (data.next_offset, data.end);
        let most = self.recent_bytes / lock(&self.registry).tails.len().max(1);
        let _in_order = lock(&tail.dispatch);
        let batches = Arc::new(data.batches);
        let mut feeds = {
            let mut state = tail.state();
            let most = most / state.partitions.len().max(1);
            match state.partition(partition) {
                Some(place) if place.is_at(want) => {
                    place.end = end;
                    place.advance(next, batches.clone(), data.epochs.clone(), want.leader_epoch, most);
                }
                // Another thread has read this already, or the topic is another one now.
                _ => return,
            }
            state.feeds.clone()
        };
        let conditions = feeds.iter().filter(|feed| feed.key.filter.condition.is_some()).count();
        let candidates = FilterInput::new(&tail.name, partition, &batches).of(&data.epochs).shared(conditions);
        // Those that took the least time a stream first. Each cost is read once: another leader's thread may change it
        // meanwhile, and `sort_by_key` may panic where keys change.
        feeds.sort_by_cached_key(|feed| feed.cost());
        // There are at most two plain feeds for each format. Topics and partitions can be combined in more ways than
        // there is time to encode, so only one of the other feeds is free, and only where no stream has a plain one.
        let (mut free, mut budgeted): (Vec<_>, Vec<_>) = feeds.into_iter().partition(|feed| feed.is_plain());
        if free.iter().all(|feed| feed.is_empty())
            && let Some(first) = budgeted.iter().position(|feed| feed.may_be_free())
        {
            free.push(budgeted.remove(first));
        }
        let free = free.iter().map(|feed| (feed, DeliveryBudget::Free));
        let budgeted = budgeted.iter().map(|feed| (feed, DeliveryBudget::Budgeted));
        let given: u64 =
            (free.chain(budgeted)).map(|(feed, terms)| feed.deliver(&candidates, (from, next), (terms, budget))).sum();
        // A batch may begin before what was asked for.
        let first = candidates.records().find(|record| record.offset >= from);
        let age =
            first.map(|first| Duration::from_millis(u64::try_from(now().saturating_sub(first.timestamp)).unwrap_or(0)));
        if let Some(age) = age.filter(|age| given > 0 && *age <= OLD) {
            self.counts.delivery_latency.observe(age);
        }
    }

    /// Goes on elsewhere, and tells the topic's streams why.
    pub fn jump(&self, tail: &Tail, want: &FetchPosition, loss: Loss) {
        let _in_order = lock(&tail.dispatch);
        let feeds = {
            let mut state = tail.state();
            match state.partition(want.partition) {
                Some(place) if place.is_at(want) => place.jump(loss.to.next, loss.to.epoch),
                _ => return,
            }
            state.feeds.clone()
        };
        feeds.iter().for_each(|feed| feed.gap(&tail.name, want.partition, loss));
    }

    /// From now on the record before the wanted offset is claimed to be of this leader epoch.
    pub fn claim(&self, tail: &Tail, want: &FetchPosition, epoch: Epoch) {
        if let Some(place) = tail.state().partition(want.partition).filter(|place| place.is_at(want)) {
            place.epoch = epoch;
        }
    }

    /// Starts at the beginning of a topic that took an older one's name.
    pub fn recreate(&self, tail: &Tail, found: &TopicInfo) {
        let _in_order = lock(&tail.dispatch);
        let feeds = {
            let mut state = tail.state();
            state.id = found.id;
            state.partitions = from_beginning(found, 0).collect();
            state.feeds.clone()
        };
        let (id, partitions) = (IdTag::of(found.id), found.partitions.len());
        feeds.iter().for_each(|feed| feed.recreated(&tail.name, id, partitions));
    }

    /// Adds partitions that the topic has gained, from their beginning.
    pub fn grow(&self, tail: &Tail, found: &TopicInfo) {
        let _in_order = lock(&tail.dispatch);
        let feeds = {
            let mut state = tail.state();
            let known = state.partitions.len();
            state.id = found.id;
            state.partitions.extend(from_beginning(found, known));
            state.feeds.clone()
        };
        let (id, partitions) = (IdTag::of(found.id), found.partitions.len());
        feeds.iter().for_each(|feed| feed.grow(&tail.name, id, partitions));
    }

    /// Ends every stream that reads this topic.
    pub fn fail(&self, tail: &Tail, error: &BrokerError) {
        let feeds = {
            let mut registry = lock(&self.registry);
            let feeds = std::mem::take(&mut tail.state().feeds);
            registry.feeds.retain(|_, feed| !feeds.iter().any(|failed| Arc::ptr_eq(failed, feed)));
            if registry.tails.get(&tail.name).is_some_and(|own| std::ptr::eq(&**own, tail)) {
                registry.tails.remove(&tail.name);
            }
            feeds
        };
        feeds.iter().for_each(|feed| feed.fail(error));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
