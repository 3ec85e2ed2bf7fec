//! Feeds: all live streams with the same topics, partitions, filter and format are at the same position, so each batch is
//! encoded once and every mailbox gets the same bytes.

use crate::broker::BrokerError;
use crate::cursor::{Cursor, IdTag, Selection};
use crate::hub::stream::chunk_budget::{CHUNK, ChunkSize, SMALL};
use crate::hub::stream::encoder::{EncodeLimits, Encoder, Flow};
use crate::hub::stream::feed_key::FeedKey;
use crate::hub::stream::filter_input::FilterInput;
use crate::hub::stream::gap::Loss;
use crate::hub::stream::mailbox::MailboxSender;
use crate::hub::stream::state::{StreamSettings, StreamState, TurnSharing, Weight};
use crate::hub::stream::time_budget::TimeBudget;
use crate::hub::subscription::GapReason;
use crate::record::{NO_EPOCH, Offset, Partition, Position, TopicName, now};
use crate::sync::lock;
use bytes::Bytes;
use log::error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How long a feed without streams is kept. Clients that were disconnected together reconnect within seconds.
const LINGER: Duration = Duration::from_secs(10);

/// CPU time per stream of a feed in one delivery. A feed that exceeds it evicts its streams, which then repeat shared work.
const FEED_TIME: Duration = Duration::from_millis(4);

/// Live streams that get the same bytes.
pub struct Feed {
    /// Identifies the feed.
    pub key: FeedKey,
    /// Shared by all streams.
    pub settings: Arc<StreamSettings>,
    /// Receives evicted streams. It is called while the state of the feed is locked, so it must not lock a feed.
    pub on_evict: OnEvict,
    /// The time that the last delivery took, divided by the number of streams, in nanoseconds.
    cost: AtomicU64,
    state: Mutex<FeedState>,
}

/// The mutable part of a [`Feed`].
pub struct FeedState {
    /// Writes the frames, and tracks the position.
    pub encoder: Encoder,
    /// The mailboxes of the streams.
    pub members: Vec<MailboxSender>,
    /// The frames that the last stream got when it joined. Often many streams reconnect at the same position.
    pub last_join: Option<Join>,
    /// The time when the feed was first seen without streams.
    empty_since: Option<Instant>,
    /// The time of the last check whether clients are reading.
    pub idle_check: Instant,
    /// Whether streams can join.
    pub status: FeedStatus,
}

/// The frames between the position of a stream that joined and the position of its feed.
pub struct Join {
    /// The position of the stream.
    pub from: Cursor,
    /// Number of records in the frames.
    pub records: u64,
    /// The frames.
    pub chunk: Bytes,
}

/// A stream that has been evicted from its feed.
pub struct Evicted {
    /// The stream, at the position before the first chunk that was taken back.
    pub stream: StreamState,
    /// Number of records between the stream and the live flow, in the partition with the largest lag.
    pub behind: u64,
    /// `Heavy` if the filter has used up the time budget.
    pub weight: Weight,
    /// `SameFeed` if other streams were evicted with it.
    pub sharing: TurnSharing,
}

/// Receives evicted streams.
pub type OnEvict = Arc<dyn Fn(Evicted) + Send + Sync>;

/// How much time of the fetch thread the delivery to a feed may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryBudget {
    /// No limit, because the size of a fetch bounds the work: each record is encoded once.
    Free,
    /// The time budget, because clients control the number of such feeds and the cost of their filters.
    Budgeted,
}

/// Whether streams can join a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedStatus {
    /// Streams can join.
    Open,
    /// The feed has ended and will be dropped.
    Ended,
}

impl Feed {
    /// Creates a feed without streams at the position of `encoder`.
    pub fn new(key: FeedKey, encoder: Encoder, settings: Arc<StreamSettings>, on_evict: OnEvict) -> Self {
        Self {
            key,
            settings,
            on_evict,
            cost: AtomicU64::new(0),
            state: Mutex::new(FeedState {
                encoder,
                members: Vec::new(),
                last_join: None,
                empty_since: None,
                idle_check: Instant::now(),
                status: FeedStatus::Open,
            }),
        }
    }

    /// Locks the state.
    pub fn state(&self) -> MutexGuard<'_, FeedState> {
        lock(&self.state)
    }

    /// Returns the cost of the last delivery, in nanoseconds per stream.
    pub fn cost(&self) -> u64 {
        self.cost.load(Ordering::Relaxed)
    }

    /// Whether the feed delivers every record of one topic. Such feeds differ only by format and [`Missing`], so clients cannot
    /// create many of them.
    ///
    /// [`Missing`]: crate::hub::Missing
    pub fn is_plain(&self) -> bool {
        !self.key.is_costly() && self.key.topics.len() == 1 && self.key.selection == Selection::All
    }

    /// Whether the feed has no stream.
    pub fn is_empty(&self) -> bool {
        self.state().members.is_empty()
    }

    /// Whether the feed can be delivered [without a time limit](DeliveryBudget::Free).
    pub fn may_be_free(&self) -> bool {
        !self.key.is_costly() && !self.is_empty()
    }

    /// Encodes the records of one fetch and sends them to all streams. If this exceeds the time budget, all streams are evicted.
    /// Returns the number of records delivered, over all streams.
    pub fn deliver(
        &self,
        input: &FilterInput<'_>,
        (from, next): (Offset, Offset),
        (delivery, budget): (DeliveryBudget, &TimeBudget),
    ) -> u64 {
        let streams = u32::try_from(self.state().members.len()).unwrap_or(u32::MAX);
        // Without a filter and a limit, a feed is limited only by the budget that all feeds share.
        let most = if self.key.is_costly() { FEED_TIME.saturating_mul(streams.max(1)) } else { Duration::MAX };
        let own = match delivery {
            DeliveryBudget::Free => budget.unlimited(),
            DeliveryBudget::Budgeted => budget.share(most),
        };
        let delivered = self.deliver_within(input, (from, next), (delivery, budget, &own));
        if streams > 0 {
            let cost = u64::try_from((own.elapsed() / streams).as_nanos()).unwrap_or(u64::MAX);
            if self.state().members.is_empty() {
                // The streams were evicted, so the whole delivery would have taken longer.
                self.cost.fetch_max(cost, Ordering::Relaxed);
            } else {
                self.cost.store(cost, Ordering::Relaxed);
            }
        }
        delivered
    }

    fn deliver_within(
        &self,
        input: &FilterInput<'_>,
        (from, next): (Offset, Offset),
        (delivery, all, own): (DeliveryBudget, &TimeBudget, &TimeBudget),
    ) -> u64 {
        let (name, partition) = (input.topic, input.partition);
        let mut state = self.state();
        let Some(topic) = state.encoder.cursor.topic_index(name) else { return 0 };
        match state.encoder.cursor.next(topic, partition) {
            Some(next_offset) if next_offset == from => {}
            // The feed was created after these records were fetched.
            None => return 0,
            Some(next_offset) if next_offset >= next => return 0,
            Some(next_offset) => {
                error!(
                    "{name}/{partition}: the live flow jumped from {next_offset} to {from}; its streams catch up from the log"
                );
                self.evict_all(&mut state);
                return 0;
            }
        }
        state.last_join = None;
        let mut delivered = 0;
        while state.encoder.cursor.next(topic, partition).is_some_and(|offset| offset < next) {
            if delivery == DeliveryBudget::Budgeted && (own.is_spent() || all.is_spent()) {
                let mut end = state.encoder.cursor.clone();
                end.set(topic, partition, next.into());
                self.evict_behind(&mut state, &end, Weight::Heavy, |_| true);
            }
            let chunk_size = self.chunk_size(&mut state);
            // The memory that these streams would use together if each of them caught up alone.
            let small = if chunk_size == ChunkSize::Small { SMALL * state.members.len() } else { usize::MAX };
            self.evict(&mut state, |member| member.is_full() || member.waiting_bytes() >= small);
            if state.members.is_empty() {
                // No stream is left. The position still moves, for streams that reconnect.
                let epoch = input.epochs.before(next).unwrap_or(NO_EPOCH);
                state.encoder.forget_held();
                state.encoder.cursor.set(topic, partition, Position { next, epoch });
                state.encoder.begin_chunk();
                return delivered;
            }
            let most = if chunk_size == ChunkSize::Small { SMALL } else { CHUNK };
            let mut out = Vec::with_capacity(input.memory().min(most + most / 4));
            let mut memory = self.settings.chunk_budget.empty_reservation_for(chunk_size);
            let before = matches!(chunk_size, ChunkSize::Reserved { .. }).then(|| state.encoder.fork());
            let limits = EncodeLimits { most, budget: own, memory: &mut memory };
            let flow = state.encoder.records(&mut out, topic, input, next, limits);
            if matches!(flow, Flow::Short(_)) && out.is_empty() {
                // There is no memory for the record. The evicted streams read it when memory is free.
                let mut end = state.encoder.cursor.clone();
                end.set(topic, partition, next.into());
                self.evict_behind(&mut state, &end, Weight::Light, |_| true);
                continue;
            }
            if let (ChunkSize::Reserved { proof }, Some(before), true) = (chunk_size, before, out.len() > SMALL) {
                let FeedState { encoder, members, .. } = &mut *state;
                let end = encoder.cursor.clone();
                self.evict_from(members, &before, (&end, Weight::Light), |member| !member.has_taken(proof));
            }
            delivered += self.send(&mut state, self.settings.chunk_budget.hold_paid(out, memory));
            if state.encoder.bounds.has_reached_time() {
                // A partition has ended before the others, so the streams can no longer be in the live flow.
                self.evict_all(&mut state);
                return delivered;
            }
            if flow == Flow::Finished {
                state.complete();
                return delivered;
            }
        }
        self.check_id(&mut state);
        delivered
    }

    /// Reports lost records to all streams, and continues after them.
    pub fn gap(&self, name: &TopicName, partition: Partition, loss: Loss) {
        let gaps = self.change(name, |encoder, topic, out| encoder.gap(out, topic, partition, loss));
        self.settings.counts.count_gaps(loss.reason, gaps);
    }

    /// Tells all streams that a topic is missing for now.
    pub fn waits_for(&self, name: &TopicName) {
        self.change(name, |encoder, topic, out| {
            out.extend(encoder.waiting(topic));
            0
        });
    }

    /// Moves all streams to the beginning of a topic that was recreated, and reports the gap.
    pub fn recreated(&self, name: &TopicName, id: IdTag, partitions: usize) {
        let gaps = self.change(name, |encoder, topic, out| encoder.recreated(out, topic, id, partitions));
        self.settings.counts.count_gaps(GapReason::Recreated, gaps);
    }

    /// Adds the new partitions of a topic, each at offset 0. `partitions` is the new number of partitions.
    pub fn grow(&self, name: &TopicName, id: IdTag, partitions: usize) {
        self.change(name, |encoder, topic, _| {
            encoder.cursor.set_id(topic, id);
            encoder.grow(topic, partitions);
            0
        });
    }

    /// Ends all streams with an error.
    pub fn fail(&self, error: &BrokerError) {
        self.end_with(&mut self.state(), error);
    }

    fn end_with(&self, state: &mut FeedState, error: &BrokerError) {
        self.evict_full(state);
        let problem = state.encoder.problem(error);
        self.send(state, problem);
        state.complete();
    }

    /// Ends all streams with an error if their id has become too long for clients to send back.
    fn check_id(&self, state: &mut FeedState) {
        if let Err(too_long) = state.encoder.check_id(self.settings.max_id_bytes) {
            self.end_with(state, &too_long);
        }
    }

    /// Drops streams whose clients have disconnected, and sends a checkpoint if the streams have passed offsets without a
    /// record. Ends a feed that has had no stream for [`LINGER`]. Called every few seconds.
    pub fn tidy(&self) -> FeedStatus {
        let mut state = self.state();
        let mut out = Vec::new();
        state.encoder.checkpoint_if_passed(&mut out);
        if !out.is_empty() {
            self.evict_full(&mut state);
            self.send(&mut state, out);
        }
        if self.settings.chunk_budget.chunk_size() == ChunkSize::Small {
            self.evict_idle(&mut state);
        }
        state.members.retain(|member| !member.is_closed());
        if state.encoder.bounds.until.as_ref().is_some_and(|until| self.settings.is_over(until.at, now())) {
            self.evict_all(&mut state);
        }
        // Clients that were disconnected together have reconnected by now.
        state.last_join = None;
        if state.members.is_empty() {
            let since = *state.empty_since.get_or_insert_with(Instant::now);
            if since.elapsed() > LINGER || self.key.private.is_some() {
                state.end();
            }
        }
        state.status
    }

    /// Changes the encoder, and sends the frames that this writes. `change` returns the number of gaps that it has written.
    /// Returns this number for all streams together.
    fn change(&self, name: &TopicName, change: impl FnOnce(&mut Encoder, usize, &mut Vec<u8>) -> usize) -> usize {
        let mut state = self.state();
        let Some(topic) = state.encoder.cursor.topic_index(name) else { return 0 };
        self.evict_full(&mut state);
        state.last_join = None;
        let mut out = Vec::new();
        let gaps = change(&mut state.encoder, topic, &mut out) * state.members.len();
        self.send(&mut state, out);
        if state.encoder.is_finished() {
            // The held records before a gap have reached the limit.
            state.complete();
        } else {
            self.check_id(&mut state);
        }
        gaps
    }

    /// Sends frames to all streams. Returns the number of records delivered, over all streams.
    pub fn send(&self, state: &mut FeedState, bytes: impl Into<Bytes>) -> u64 {
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
    /// Adds a stream that is at the position of the feed.
    pub fn join(&mut self, member: MailboxSender) {
        self.empty_since = None;
        self.members.push(member);
    }

    /// Ends the streams after their last frame has been sent.
    pub fn complete(&mut self) {
        self.members.iter().for_each(MailboxSender::complete);
        self.end();
    }

    /// Ends the feed. Its streams end when their clients have taken the chunks in their mailboxes.
    pub fn end(&mut self) {
        self.status = FeedStatus::Ended;
        self.members = Vec::new();
    }
}
