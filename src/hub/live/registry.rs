//! The live topics and feeds, shared by the hub's threads.

use super::feed::{Feed, FeedStatus, OnEvict};
use super::tail::Tail;
use crate::broker::{FetchPosition, NodeId};
use crate::cursor::Cursor;
use crate::hub::Settings;
use crate::hub::counts::HubCounts;
use crate::hub::stream::feed_key::FeedKey;
use crate::hub::stream::log_span::CachedSpan;
use crate::record::{NO_EPOCH, TopicName};
use crate::sync::lock;
use crate::sync::memory_budget::Share;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// The state of the live flow. Locks are taken in this order: `registry`, a tail's `dispatch`, a feed's state, a tail's state.
pub struct Live {
    /// All live topics and feeds.
    pub registry: Mutex<Registry>,
    /// Size of the fetched records that are kept for streams that reconnect, in bytes, over all partitions.
    pub recent_bytes: usize,
    /// The memory budget of fetched records.
    pub memory: Arc<Share>,
    /// The counters of the hub.
    pub counts: Arc<HubCounts>,
    /// Receives evicted streams.
    pub on_evict: OnEvict,
    wakeup: Sender<Wakeup>,
    /// Received by the [`MetadataRefresher`](super::metadata_refresher::MetadataRefresher).
    pub wakeups: Receiver<Wakeup>,
    sampled: Sender<()>,
    /// Received by the [`SampleClock`](super::sample_clock::SampleClock) when a sampled feed is added.
    pub sampled_feeds: Receiver<()>,
    closing: AtomicBool,
}

/// All live topics and feeds.
#[derive(Default)]
pub struct Registry {
    /// The live topics, among them every topic of every feed.
    pub tails: HashMap<TopicName, Arc<Tail>>,
    /// The feeds.
    pub feeds: HashMap<FeedKey, Arc<Feed>>,
}

/// Why the metadata refresher is woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wakeup {
    /// Tails were added: their partitions must be assigned to fetch threads.
    Tails,
    /// Metadata may be outdated: leaders, partitions and topic ids must be looked up.
    Metadata,
}

impl Live {
    /// Creates an empty live flow.
    pub fn new(settings: &Settings, counts: Arc<HubCounts>, on_evict: OnEvict) -> Self {
        // One pending wakeup of each kind is enough.
        let (wakeup, wakeups) = bounded(2);
        let (sampled, sampled_feeds) = bounded(1);
        Self {
            registry: Mutex::default(),
            recent_bytes: settings.recent_bytes,
            memory: settings.memory.live.clone(),
            counts,
            on_evict,
            wakeup,
            wakeups,
            sampled,
            sampled_feeds,
            closing: AtomicBool::new(false),
        }
    }

    /// Wakes the metadata refresher.
    pub fn wake_refresher(&self, wakeup: Wakeup) {
        let _ = self.wakeup.try_send(wakeup);
    }

    /// Wakes the sample clock, because a sampled feed was added.
    pub fn wake_sample_clock(&self) {
        let _ = self.sampled.try_send(());
    }

    /// Whether [`close`](Self::close) was called.
    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Ends all live streams. No stream can join after that.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Release);
        let mut registry = lock(&self.registry);
        registry.feeds.values().for_each(|feed| feed.state().end());
        *registry = Registry::default();
    }

    /// Returns all live topics.
    pub fn tails(&self) -> Vec<Arc<Tail>> {
        lock(&self.registry).tails.values().cloned().collect()
    }

    /// Returns a topic if it is live.
    pub fn tail(&self, topic: &TopicName) -> Option<Arc<Tail>> {
        lock(&self.registry).tails.get(topic).cloned()
    }

    /// Returns the number of partitions of a topic, if it is live and not missing.
    pub fn partitions(&self, topic: &TopicName) -> Option<usize> {
        let tail = self.tail(topic)?;
        let state = tail.state();
        (!state.partitions.is_empty() && state.away_since.is_none()).then_some(state.partitions.len())
    }

    /// Returns the cursor of the feed with this key, if streams can join it and none of its topics has gone missing.
    pub fn cursor_of(&self, key: &FeedKey) -> Option<Cursor> {
        let (feed, tails) = {
            let registry = lock(&self.registry);
            (registry.feeds.get(key)?.clone(), registry.tails_of(key)?)
        };
        if tails.iter().any(|tail| tail.state().away_since.is_some()) {
            return None;
        }
        let state = feed.state();
        (state.status == FeedStatus::Open).then(|| state.encoder.resume_at())
    }

    /// Returns the span with the requested offset, if the live flow has fetched it recently.
    pub fn recent(&self, position: &FetchPosition) -> Option<CachedSpan> {
        let tail = self.tail(&position.topic)?;
        let state = tail.state();
        if state.id != position.topic_id {
            return None;
        }
        let (log, end) = state.recent_at(position)?;
        Some(CachedSpan { log, end })
    }

    /// Drops all records that are kept for streams that reconnect, because the next fetch needs the memory.
    pub fn forget_recent(&self) {
        self.tails()
            .iter()
            .for_each(|tail| tail.state().partitions.iter_mut().for_each(|partition| partition.forget()));
    }

    /// Whether the live flow is at exactly this position.
    pub fn is_at(&self, position: &FetchPosition) -> bool {
        self.tail(&position.topic).is_some_and(|tail| {
            let mut state = tail.state();
            state.id == position.topic_id
                && state.partition(position.partition).is_some_and(|p| {
                    p.position == Some(position.offset)
                        && (position.last_epoch == NO_EPOCH || position.last_epoch == p.epoch)
                })
        })
    }

    /// Returns the positions to fetch from `leader` now.
    pub fn fetch_positions(&self, leader: NodeId) -> Vec<FetchPosition> {
        let now = Instant::now();
        self.tails()
            .iter()
            .flat_map(|tail| tail.state().fetch_positions(&tail.name, leader, now).collect::<Vec<_>>())
            .collect()
    }

    /// Drops feeds without streams, tails without feeds, and old records.
    pub fn tidy(&self) {
        let mut registry = lock(&self.registry);
        let Registry { tails, feeds } = &mut *registry;
        feeds.retain(|_, feed| feed.tidy() == FeedStatus::Open);
        let now = Instant::now();
        tails.retain(|_, tail| {
            let mut state = tail.state();
            state.partitions.iter_mut().for_each(|partition| partition.forget_old(now));
            state.feeds.retain(|feed| feeds.get(&feed.key).is_some_and(|kept| Arc::ptr_eq(kept, feed)));
            !state.feeds.is_empty()
        });
    }
}

impl Registry {
    /// Returns the tails of a feed's topics, in the order of the key. `None`: not all topics are live.
    pub fn tails_of(&self, key: &FeedKey) -> Option<Vec<Arc<Tail>>> {
        key.topics.iter().map(|topic| self.tails.get(topic).cloned()).collect()
    }
}
