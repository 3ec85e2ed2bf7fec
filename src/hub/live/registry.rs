//! Which topics are read live, by which feeds.

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

/// What the hub's threads share about live streams. Locks are taken in this order: `registry`, a tail's `dispatch`, a
/// feed's state, a tail's state.
pub struct Live {
    pub registry: Mutex<Registry>,
    /// Bytes of fetched records kept for streams that come back, over all partitions.
    pub recent_bytes: usize,
    /// Pays for what the live flow reads.
    pub memory: Arc<Share>,
    pub counts: Arc<HubCounts>,
    /// Receives the streams that leave the live flow.
    pub on_evict: OnEvict,
    wakeup: Sender<Wakeup>,
    /// For the [`MetadataRefresher`](super::metadata::MetadataRefresher).
    pub wakeups: Receiver<Wakeup>,
    sampled: Sender<()>,
    /// For the [`SampleClock`](super::sample_clock::SampleClock): there is a feed that holds records back.
    pub sampled_feeds: Receiver<()>,
    closing: AtomicBool,
}

/// A feed that is registered has all its topics in `tails`.
#[derive(Default)]
pub struct Registry {
    pub tails: HashMap<TopicName, Arc<Tail>>,
    pub feeds: HashMap<FeedKey, Arc<Feed>>,
}

/// What the metadata refresher has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wakeup {
    /// Assign tails to fetch threads again: some were added or changed.
    Tails,
    /// Look up leaders, partitions and topic ids.
    Metadata,
}

impl Live {
    pub fn new(settings: &Settings, counts: Arc<HubCounts>, on_evict: OnEvict) -> Self {
        // One wakeup of each kind that waits is enough.
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

    pub fn wake_refresher(&self, wakeup: Wakeup) {
        let _ = self.wakeup.try_send(wakeup);
    }

    /// Tells the sample clock that there is a feed for it.
    pub fn wake_sample_clock(&self) {
        let _ = self.sampled.try_send(());
    }

    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Ends all live streams; no stream can join after that.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Release);
        let mut registry = lock(&self.registry);
        registry.feeds.values().for_each(|feed| feed.state().end());
        *registry = Registry::default();
    }

    pub fn tails(&self) -> Vec<Arc<Tail>> {
        lock(&self.registry).tails.values().cloned().collect()
    }

    pub fn tail(&self, topic: &TopicName) -> Option<Arc<Tail>> {
        lock(&self.registry).tails.get(topic).cloned()
    }

    /// Number of partitions of a topic that the live flow reads; `None` where it may not exist.
    pub fn partitions(&self, topic: &TopicName) -> Option<usize> {
        let tail = self.tail(topic)?;
        let state = tail.state();
        (!state.partitions.is_empty() && state.away_since.is_none()).then_some(state.partitions.len())
    }

    /// The cursor of the live feed with this key, if all its topics exist.
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

    /// Returns the span with the wanted offset from what the live flow has read last.
    pub fn recent(&self, want: &FetchPosition) -> Option<CachedSpan> {
        let tail = self.tail(&want.topic)?;
        let state = tail.state();
        if state.id != want.topic_id {
            return None;
        }
        let (log, end) = state.recent_at(want)?;
        Some(CachedSpan { log, end })
    }

    /// Drops all that is kept for streams that come back: the live flow needs the memory for the next fetch.
    pub fn forget_recent(&self) {
        self.tails().iter().for_each(|tail| tail.state().partitions.iter_mut().for_each(|place| place.forget()));
    }

    /// Whether the live flow is at exactly this offset of the same log.
    pub fn stands_at(&self, want: &FetchPosition) -> bool {
        self.tail(&want.topic).is_some_and(|tail| {
            let mut state = tail.state();
            state.id == want.topic_id
                && state.partition(want.partition).is_some_and(|p| {
                    p.position == Some(want.offset) && (want.last_epoch == NO_EPOCH || want.last_epoch == p.epoch)
                })
        })
    }

    /// Returns the positions to fetch from `leader` now.
    pub fn wants(&self, leader: NodeId) -> Vec<FetchPosition> {
        let now = Instant::now();
        self.tails().iter().flat_map(|tail| tail.state().wants(&tail.name, leader, now).collect::<Vec<_>>()).collect()
    }

    /// Drops feeds without streams and tails without feeds.
    pub fn tidy(&self) {
        let mut registry = lock(&self.registry);
        let Registry { tails, feeds } = &mut *registry;
        feeds.retain(|_, feed| feed.tidy() == FeedStatus::Open);
        let now = Instant::now();
        tails.retain(|_, tail| {
            let mut state = tail.state();
            state.partitions.iter_mut().for_each(|place| place.forget_old(now));
            state.feeds.retain(|feed| feeds.get(&feed.key).is_some_and(|kept| Arc::ptr_eq(kept, feed)));
            !state.feeds.is_empty()
        });
    }
}

impl Registry {
    /// The tails of these topics, in the order of the key; `None` if one is not read live.
    pub fn tails_of(&self, key: &FeedKey) -> Option<Vec<Arc<Tail>>> {
        key.topics.iter().map(|topic| self.tails.get(topic).cloned()).collect()
    }
}
