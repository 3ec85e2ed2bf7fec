//! One live flow: all streams of the same topics, partitions, filter and format stand at the same
//! place, so each batch is encoded once and every mailbox gets the same bytes.

use super::tail::Tail;
use crate::broker::BrokerError;
use crate::cursor::{Cursor, IdTag, Selection};
use crate::hub::catch_up::task::{CatchUpSettings, Weight};
use crate::hub::lock;
use crate::hub::stream::chunk_budget::{ChunkSize, SMALL};
use crate::hub::stream::encoder::{EncodeLimits, Encoder, Flow};
use crate::hub::stream::filter_input::FilterInput;
use crate::hub::stream::gap::Loss;
use crate::hub::stream::mailbox::MailboxSender;
use crate::hub::stream::time_budget::TimeBudget;
use crate::hub::subscription::{Filter, GapReason, Missing};
use crate::record::{NO_EPOCH, Offset, Partition, Position, TopicName};
use bytes::Bytes;
use log::error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Streams with equal keys share one feed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FeedKey {
    /// Sorted.
    pub topics: Vec<TopicName>,
    pub selection: Selection,
    pub filter: Arc<Filter>,
    pub format: String,
    pub missing: Missing,
    /// A stream with a limit counts for itself and shares with nobody.
    pub private: Option<u64>,
}

/// About how many bytes one chunk has. Many may be of one fetched stretch; a stream joins only at its end.
pub const CHUNK: usize = 128 << 10;

/// How long a feed without streams is kept: clients that were cut off all at once come back within seconds.
const LINGER: Duration = Duration::from_secs(10);

/// What one feed may take of a delivery's time, for each of its streams, before they read on by themselves: each of them
/// would then do the work that they share here.
const FEED_TIME: Duration = Duration::from_millis(4);

pub struct Feed {
    pub key: FeedKey,
    /// Of its topics, in their order.
    pub tails: Vec<Arc<Tail>>,
    pub settings: Arc<CatchUpSettings>,
    /// ns that its last delivery to streams took for each of them.
    cost: AtomicU64,
    state: Mutex<FeedState>,
}

pub struct FeedState {
    pub encoder: Encoder,
    pub members: Vec<MailboxSender>,
    /// What the last stream that joined lacked, from its cursor to the feed's. Many come back from the same place.
    pub last_join: Option<Join>,
    /// Since when no stream is left.
    empty_since: Option<Instant>,
    /// When it was looked whether clients take anything.
    pub looked: Instant,
    pub ended: Evicted,
}

/// So many records from a place on.
pub struct Join {
    pub from: Cursor,
    pub records: u64,
    pub chunk: Bytes,
}

/// What a delivery may take of the thread's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryBudget {
    /// As long as it takes: one encoding of what was fetched, which the fetch itself bounds.
    Free,
    /// Within the budget: how many feeds there are, and what their filters take, is up to clients.
    Budgeted,
}

/// Whether a feed still takes streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evicted {
    No,
    Yes,
}

impl Feed {
    pub fn new(key: FeedKey, encoder: Encoder, tails: Vec<Arc<Tail>>, settings: Arc<CatchUpSettings>) -> Self {
        Self {
            key,
            tails,
            settings,
            cost: AtomicU64::new(0),
            state: Mutex::new(FeedState {
                encoder,
                members: Vec::new(),
                last_join: None,
                empty_since: None,
                looked: Instant::now(),
                ended: Evicted::No,
            }),
        }
    }

    pub fn state(&self) -> MutexGuard<'_, FeedState> {
        lock(&self.state)
    }

    pub fn cost(&self) -> u64 {
        self.cost.load(Ordering::Relaxed)
    }

    /// Whether a client can choose how much time this feed takes: by a filter, or as many feeds as it opens streams.
    fn is_costly(&self) -> bool {
        !self.key.filter.is_empty() || self.key.private.is_some()
    }

    /// Whether the feed has all records of one topic. Only formats and what to do about a missing topic tell such feeds
    /// apart, so clients cannot make many of them.
    pub fn is_plain(&self) -> bool {
        !self.is_costly() && self.key.topics.len() == 1 && self.key.selection == Selection::All
    }

    pub fn is_empty(&self) -> bool {
        self.state().members.is_empty()
    }

    /// Whether its delivery may be [free](DeliveryBudget::Free).
    pub fn may_be_free(&self) -> bool {
        !self.is_costly() && !self.is_empty()
    }

    /// Encodes one fetched stretch, once, for all streams; how many records they were given. A feed that takes too long
    /// has no streams after that: they read on by themselves.
    pub fn deliver(
        &self,
        candidates: &FilterInput<'_>,
        (from, next): (Offset, Offset),
        (terms, budget): (DeliveryBudget, &TimeBudget),
    ) -> u64 {
        let streams = u32::try_from(self.state().members.len()).unwrap_or(u32::MAX);
        // A feed without a filter takes no longer than a chunk, and then only what the others have left.
        let most = if self.is_costly() { FEED_TIME.saturating_mul(streams.max(1)) } else { Duration::MAX };
        let own = match terms {
            DeliveryBudget::Free => budget.unlimited(),
            DeliveryBudget::Budgeted => budget.share(most),
        };
        let given = self.deliver_within(candidates, (from, next), (terms, budget, &own));
        if streams > 0 {
            let cost = u64::try_from((own.elapsed() / streams).as_nanos()).unwrap_or(u64::MAX);
            if self.state().members.is_empty() {
                // It did not have the time that it needs.
                self.cost.fetch_max(cost, Ordering::Relaxed);
            } else {
                self.cost.store(cost, Ordering::Relaxed);
            }
        }
        given
    }

    fn deliver_within(
        &self,
        candidates: &FilterInput<'_>,
        (from, next): (Offset, Offset),
        (terms, all, own): (DeliveryBudget, &TimeBudget, &TimeBudget),
    ) -> u64 {
        let (name, partition) = (candidates.topic, candidates.partition);
        let mut state = self.state();
        let Some(topic) = state.encoder.cursor.topic_index(name) else { return 0 };
        match state.encoder.cursor.next(topic, partition) {
            Some(place) if place == from => {}
            // The feed began behind this stretch.
            None => return 0,
            Some(place) if place >= next => return 0,
            Some(place) => {
                error!(
                    "{name}/{partition}: the live flow jumped from {place} to {from}; its streams read on by themselves"
                );
                self.evict(&mut state, |_| true);
                state.end();
                return 0;
            }
        }
        state.last_join = None;
        let mut given = 0;
        while state.encoder.cursor.next(topic, partition).is_some_and(|place| place < next) {
            if terms == DeliveryBudget::Budgeted && (own.is_spent() || all.is_spent()) {
                let mut end = state.encoder.cursor.clone();
                end.set(topic, partition, next.into());
                self.evict_behind(&mut state, &end, Weight::Heavy, |_| true);
            }
            let room = self.room(&mut state);
            // So much is what the streams would hold each by itself.
            let small = if room == ChunkSize::Small { SMALL * state.members.len() } else { usize::MAX };
            self.evict(&mut state, |member| member.is_full() || member.waiting_bytes() >= small);
            if state.members.is_empty() {
                // Nobody listens: only the place moves on, for those who come back.
                let epoch = candidates.epochs.before(next).unwrap_or(NO_EPOCH);
                state.encoder.cursor.set(topic, partition, Position { next, epoch });
                state.encoder.nothing_owed();
                return given;
            }
            let most = if room == ChunkSize::Small { SMALL } else { CHUNK };
            let mut out = Vec::with_capacity(candidates.memory().min(most + most / 4));
            let mut memory = self.settings.allowance.nothing_in(room);
            let before = matches!(room, ChunkSize::Reserved { .. }).then(|| state.encoder.clone());
            let limits = EncodeLimits { most, budget: own, memory: &mut memory };
            let flow = state.encoder.records(&mut out, topic, candidates, next, limits);
            if matches!(flow, Flow::Short(_)) && out.is_empty() {
                // They read on by themselves, as soon as there is memory for the record.
                let mut end = state.encoder.cursor.clone();
                end.set(topic, partition, next.into());
                self.evict_behind(&mut state, &end, Weight::Light, |_| true);
                continue;
            }
            if let (ChunkSize::Reserved { proof }, Some(before), true) = (room, before, out.len() > SMALL) {
                let FeedState { encoder, members, .. } = &mut *state;
                let end = encoder.cursor.clone();
                self.evict_from(members, &before, (&end, Weight::Light), |member| !member.has_taken(proof));
            }
            given += self.send(&mut state, self.settings.allowance.hold_paid(out, memory));
            if flow == Flow::Finished {
                state.complete();
                return given;
            }
        }
        self.check_id(&mut state);
        given
    }

    /// Tells all streams of records that are gone for good, and goes on behind them.
    pub fn gap(&self, name: &TopicName, partition: Partition, loss: Loss) {
        let streams = self.change(name, |encoder, topic, out| encoder.gap(out, topic, partition, loss));
        self.settings.counts.gap(loss.reason, streams);
    }

    /// Tells all streams that a topic is away for now.
    pub fn waits_for(&self, name: &TopicName) {
        self.change(name, |encoder, topic, out| out.extend(encoder.waiting(topic)));
    }

    /// A topic of the same name took the old one's place: from its beginning.
    pub fn recreated(&self, name: &TopicName, id: IdTag, partitions: usize) {
        let streams = self.change(name, |encoder, topic, out| encoder.recreated(out, topic, id, partitions));
        self.settings.counts.gap(GapReason::Recreated, streams);
    }

    /// The topic has `partitions` of them now; new ones are read from their beginning.
    pub fn grow(&self, name: &TopicName, id: IdTag, partitions: usize) {
        self.change(name, |encoder, topic, _| {
            encoder.cursor.set_id(topic, id);
            encoder.grow(topic, partitions);
        });
    }

    /// Ends all streams with this problem.
    pub fn fail(&self, error: &BrokerError) {
        self.end_with(&mut self.state(), error);
    }

    fn end_with(&self, state: &mut FeedState, error: &BrokerError) {
        self.evict_full(state);
        let problem = state.encoder.problem(error);
        self.send(state, problem);
        state.complete();
    }

    /// Ends all streams once their id has grown longer than their clients can send back.
    fn check_id(&self, state: &mut FeedState) {
        if let Err(too_long) = state.encoder.check_id(self.settings.max_id_bytes) {
            self.end_with(state, &too_long);
        }
    }

    /// Forgets streams whose client is gone, and tells filtered streams how far they are. A feed that has been
    /// without streams for a while ends.
    pub fn tidy(&self) -> Evicted {
        let mut state = self.state();
        let mut out = Vec::new();
        state.encoder.checkpoint_if_passed(&mut out);
        if !out.is_empty() {
            self.evict_full(&mut state);
            self.send(&mut state, out);
        }
        if self.settings.allowance.room() == ChunkSize::Small {
            self.evict_idle(&mut state);
        }
        state.members.retain(|member| !member.is_closed());
        // A wave of streams that come back has come by now.
        state.last_join = None;
        if state.members.is_empty() {
            let since = *state.empty_since.get_or_insert_with(Instant::now);
            if since.elapsed() > LINGER || self.key.private.is_some() {
                state.end();
            }
        }
        state.ended
    }

    /// How many streams were told.
    fn change(&self, name: &TopicName, change: impl FnOnce(&mut Encoder, usize, &mut Vec<u8>)) -> usize {
        let mut state = self.state();
        let Some(topic) = state.encoder.cursor.topic_index(name) else { return 0 };
        self.evict_full(&mut state);
        state.last_join = None;
        let mut out = Vec::new();
        change(&mut state.encoder, topic, &mut out);
        self.send(&mut state, out);
        let streams = state.members.len();
        self.check_id(&mut state);
        streams
    }

    /// How many records the streams were given.
    fn send(&self, state: &mut FeedState, bytes: impl Into<Bytes>) -> u64 {
        let bytes = bytes.into();
        if bytes.is_empty() {
            return 0;
        }
        let chunk = state.encoder.chunk(bytes);
        let streams = state.members.len() as u64;
        let records = chunk.records * streams;
        self.settings.counts.delivered.add(records, chunk.bytes.len() as u64 * streams);
        state.members.iter().for_each(|member| member.send(chunk.clone()));
        records
    }
}

impl FeedState {
    /// From here on this stream gets what the others get.
    pub fn join(&mut self, member: MailboxSender) {
        self.empty_since = None;
        self.members.push(member);
    }

    /// The streams have all they were asked for, or know why they end.
    fn complete(&mut self) {
        self.members.iter().for_each(MailboxSender::complete);
        self.end();
    }

    /// No more comes: the streams end when they have read what is theirs.
    pub fn end(&mut self) {
        self.ended = Evicted::Yes;
        self.members = Vec::new();
    }
}
