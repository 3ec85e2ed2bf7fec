//! A stream outside the live flow, and what becomes of it turn by turn.

use super::opening::Opening;
use super::shared_turns::TurnDone;
use crate::broker::{BrokerError, FetchPosition, NodeId, Remedy, TopicInfo};
use crate::hub::counts::{HubCounts, LatencyTimer};
use crate::hub::live::feed::{CHUNK, FeedKey};
use crate::hub::stream::chunk_budget::{ChunkBudget, ChunkSize, PROOF, SMALL};
use crate::hub::stream::encoder::Encoder;
use crate::hub::stream::lag::{LagGuard, LagTracker};
use crate::hub::stream::mailbox::MailboxSender;
use crate::hub::stream::time_budget::TimeBudget;
use crate::record::{NO_EPOCH, Partition, Position};
use crate::sync::backoff::Backoff;
use crate::sync::memory_budget::Reservation;
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often a stream may meet the same damaged answer before it is told.
const TRIES: u32 = 3;

/// Between looks whether another thread has taken a turn that streams share: at first, and at most. A turn is short
/// mostly; where it is not, many streams look.
const SHARED_PAUSES: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(64));

/// Between turns of a stream that waits for memory.
const MEMORY_PAUSE: Duration = Duration::from_millis(100);

/// Between turns of a stream that waits for the return of a topic outside the live flow.
const RETURN_PAUSE: Duration = Duration::from_millis(500);

/// What a stream is handed at once when it joins: it is encoded while the feed waits, and a slow stream may have it
/// alone.
const MAX_JOIN: usize = 4 * CHUNK;

/// What all catching-up streams have in common.
#[derive(Debug)]
pub struct CatchUpSettings {
    /// About how many bytes one turn reads from the broker.
    pub read_bytes: usize,
    /// About how many bytes one chunk has.
    pub chunk_bytes: usize,
    /// Chunks that may wait for the client before the next turn.
    pub ahead: usize,
    /// How long a topic that was there is waited for.
    pub topic_patience: Duration,
    /// Longest id that a client can send back.
    pub max_id_bytes: usize,
    /// What large chunks may have together.
    pub allowance: ChunkBudget,
    pub counts: Arc<HubCounts>,
    pub stragglers: Arc<LagTracker>,
}

/// One stream outside the live flow.
pub struct CatchUpTask {
    pub encoder: Encoder,
    pub post: MailboxSender,
    pub key: FeedKey,
    pub settings: Arc<CatchUpSettings>,
    pub place: LagGuard,
    /// By the cursor's order.
    pub topics: Vec<TopicState>,
    pub phase: CatchUpPhase,
    pub backoff: Backoff,
    /// Grow while another thread takes a turn that the stream shares.
    pub shared_pauses: Backoff,
    pub failures: u32,
    /// Records behind the end, as seen in this turn.
    pub lag: u64,
    /// Since when the cursor is further on than the live flow.
    pub ahead_since: Option<Instant>,
    pub first: TurnStart,
    pub weight: Weight,
    pub company: Company,
    /// Turns in a row that read nothing and could not join either.
    pub idle: u32,
    /// Bytes sent since the stream began to catch up.
    pub sent: usize,
    /// Places that their leaders of these epochs hold as the cursor claims, though nothing was there to be read: by topic
    /// and partition.
    confirmed: HashMap<(usize, Partition), i32>,
    /// Turns taken; says which partition comes first, so that none starves.
    pub turn: usize,
}

/// What a stream's turn costs the thread that takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    Light,
    /// Its filter has used up the time of a turn. Such streams take turns per client, and never on all threads.
    Heavy,
}

/// Whether other streams take the same turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Company {
    Alone,
    /// Those that left the live flow with it.
    SameFeed,
}

pub enum CatchUpPhase {
    Opening(Opening),
    /// The topics must be looked up (again) before reading on.
    LookingUp,
    Reading {
        at_end: AtEnd,
    },
}

/// What the next turn tries first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TurnStart {
    Join,
    Read,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtEnd {
    Yes,
    No,
}

impl AtEnd {
    pub fn and(self, other: Self) -> Self {
        if self == Self::Yes { other } else { self }
    }
}

/// What a stream knows of one of its topics.
#[derive(Debug, Clone)]
pub enum TopicState {
    /// The broker was not asked yet.
    NotYet,
    /// It does not exist, and the stream waits for it.
    Missing,
    /// It was there, and is gone since then: its places are kept for a while.
    Away(Instant),
    Here(TopicInfo),
}

impl TopicState {
    pub fn here(&self) -> Option<&TopicInfo> {
        match self {
            Self::Here(info) => Some(info),
            Self::NotYet | Self::Missing | Self::Away(_) => None,
        }
    }
}

/// Whether a thread without a job waits for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waits {
    No,
    ForWork,
}

/// What becomes of a job after its turn.
pub enum TurnOutcome {
    /// It is in the live flow, or over.
    Done,
    Again(Box<CatchUpTask>),
    Later(Box<CatchUpTask>, Duration),
}

impl CatchUpTask {
    pub fn open(
        encoder: Encoder,
        post: MailboxSender,
        key: FeedKey,
        settings: Arc<CatchUpSettings>,
        opening: Opening,
    ) -> Box<Self> {
        Self::new(encoder, post, key, settings, CatchUpPhase::Opening(opening))
    }

    /// Of a stream that left the live flow.
    pub fn behind(encoder: Encoder, post: MailboxSender, key: FeedKey, settings: Arc<CatchUpSettings>) -> Box<Self> {
        Self::new(encoder, post, key, settings, CatchUpPhase::LookingUp)
    }

    fn new(
        encoder: Encoder,
        post: MailboxSender,
        key: FeedKey,
        settings: Arc<CatchUpSettings>,
        phase: CatchUpPhase,
    ) -> Box<Self> {
        let topics = vec![TopicState::NotYet; encoder.cursor.topics().len()];
        let backoff = Backoff::for_broker();
        let place = settings.stragglers.enter();
        Box::new(Self {
            encoder,
            post,
            key,
            settings,
            place,
            topics,
            phase,
            backoff,
            shared_pauses: Backoff::new(SHARED_PAUSES.0, SHARED_PAUSES.1),
            failures: 0,
            lag: 0,
            ahead_since: None,
            first: TurnStart::Join,
            weight: Weight::Light,
            company: Company::Alone,
            idle: 0,
            sent: 0,
            confirmed: HashMap::new(),
            turn: 0,
        })
    }

    /// Room for what this stream gets next. A client that takes nothing still fills the buffers on its way; it gets
    /// large chunks when it has shown that it takes more than that.
    pub fn room(&self) -> ChunkSize {
        match self.settings.allowance.room() {
            ChunkSize::Ahead if self.sent < PROOF => ChunkSize::Small,
            room => room,
        }
    }

    /// Bytes of records that the stream may be handed at once when it joins the live flow.
    pub fn most_to_join(&self, room: ChunkSize) -> usize {
        match (room, self.settings.allowance.room()) {
            (ChunkSize::Ahead, _) => MAX_JOIN,
            (_, ChunkSize::Ahead) => CHUNK,
            _ => SMALL,
        }
    }

    /// Chunks that may wait for the client.
    pub fn ahead(&self, room: ChunkSize) -> usize {
        if room == ChunkSize::Ahead { self.settings.ahead } else { 0 }
    }

    /// About how many bytes the next chunk has.
    pub fn most(&self, room: ChunkSize) -> usize {
        if room == ChunkSize::Ahead { self.settings.chunk_bytes } else { self.settings.chunk_bytes.min(SMALL) }
    }

    /// Frames that only this stream gets.
    pub fn send(&mut self, frames: Vec<u8>) {
        self.send_shared(self.settings.allowance.hold(frames));
    }

    /// With what was reserved while they were written.
    pub fn send_paid(&mut self, frames: Vec<u8>, memory: Reservation) {
        self.send_shared(self.settings.allowance.hold_paid(frames, memory));
    }

    /// Frames that others get as well.
    pub fn send_shared(&mut self, frames: Bytes) {
        self.sent += frames.len();
        if !frames.is_empty() {
            let chunk = self.encoder.chunk(frames);
            self.settings.counts.delivered.add(chunk.records, chunk.bytes.len() as u64);
            self.post.send(chunk);
        }
    }

    /// What the next turn costs after one with this budget.
    pub fn weight_after(&self, budget: &TimeBudget) -> Weight {
        if !self.key.filter.is_empty() && budget.is_spent() { Weight::Heavy } else { Weight::Light }
    }

    /// Takes a turn that another stream has taken from the same place.
    pub fn take_over(&mut self, done: TurnDone) {
        self.encoder.take_over(done.encoder);
        self.shared_pauses.reset();
        (self.lag, self.failures, self.idle) = (done.lag.max(self.lag), 0, 0);
        self.send_shared(done.chunk);
    }

    /// Tells a filtered stream where it is before a pause, whose length nobody knows.
    pub fn checkpoint(&mut self) {
        if !self.post.is_full() {
            let mut out = Vec::new();
            self.encoder.checkpoint_if_passed(&mut out);
            self.send(out);
        }
    }

    /// All that was asked for is delivered.
    pub fn finish(mut self: Box<Self>) -> TurnOutcome {
        if self.post.is_full() {
            // The last id must not be lost: the next turn comes when the client has taken something.
            return TurnOutcome::Again(self);
        }
        let mut out = Vec::new();
        self.encoder.complete(&mut out);
        self.send(out);
        self.post.complete();
        TurnOutcome::Done
    }

    /// Tells the client why its stream ends.
    pub fn fail(mut self: Box<Self>, error: &BrokerError) -> TurnOutcome {
        let problem = self.encoder.problem(error);
        self.send(problem);
        self.post.complete();
        TurnOutcome::Done
    }

    pub fn later(mut self: Box<Self>) -> TurnOutcome {
        let pause = self.backoff.pause(fastrand::f64());
        TurnOutcome::Later(self, pause)
    }

    /// After an error: again after a pause where that can help, else the end.
    pub fn retry(mut self: Box<Self>, asked: LatencyTimer, error: &BrokerError) -> TurnOutcome {
        self.settings.counts.failed(asked, error);
        if error.remedy() == Remedy::GiveUp {
            self.failures += 1;
            if self.failures >= TRIES || !matches!(error, BrokerError::Corrupt(_)) {
                return self.fail(error);
            }
        }
        self.later()
    }

    /// The leader of the want's epoch holds the record before the wanted offset.
    pub fn confirm(&mut self, topic: usize, want: &FetchPosition) {
        if want.last_epoch != NO_EPOCH {
            self.confirmed.insert((topic, want.partition), want.leader_epoch);
        }
    }

    pub fn is_confirmed(&self, topic: usize, partition: Partition, leader_epoch: i32) -> bool {
        self.confirmed.get(&(topic, partition)) == Some(&leader_epoch)
    }

    /// Reads on later, with the memory that others have now.
    pub fn wait_for_memory(mut self: Box<Self>) -> TurnOutcome {
        self.phase = CatchUpPhase::Reading { at_end: AtEnd::No };
        TurnOutcome::Later(self, MEMORY_PAUSE)
    }

    /// Looks later whether another thread has taken the turn that the stream shares.
    pub fn wait_for_shared_turn(mut self: Box<Self>) -> TurnOutcome {
        let pause = self.shared_pauses.pause(fastrand::f64());
        TurnOutcome::Later(self, pause)
    }

    /// Looks soon again whether a topic that was there has come back; `first` is what the turn after that tries first.
    pub fn wait_for_return(mut self: Box<Self>, first: TurnStart) -> TurnOutcome {
        (self.phase, self.first) = (CatchUpPhase::LookingUp, first);
        TurnOutcome::Later(self, RETURN_PAUSE)
    }

    /// Whether the stream waits for a topic that was there.
    pub fn waits_for_return(&self) -> bool {
        self.topics.iter().any(|topic| matches!(topic, TopicState::Away(_)))
    }

    /// Whether the stream goes on after what is in the log now.
    pub fn may_join(&self) -> bool {
        self.encoder.bounds.ends.is_none()
    }

    /// What to fetch next, by leader; `None` where a partition has no known leader.
    pub fn wants(&self) -> Option<BTreeMap<NodeId, Vec<FetchPosition>>> {
        let mut by_leader: BTreeMap<NodeId, Vec<FetchPosition>> = BTreeMap::new();
        for (topic, info) in self.topics.iter().enumerate() {
            let Some(info) = info.here() else {
                if !matches!(info, TopicState::Away(_)) && self.encoder.cursor.offsets(topic).next().is_some() {
                    // It has come into being meanwhile.
                    return None;
                }
                continue;
            };
            for (partition, Position { next: offset, epoch }) in self.encoder.cursor.positions(topic) {
                if self.encoder.has_ended(topic, partition) {
                    continue;
                }
                let place = info.partitions.get(usize::try_from(partition).ok()?)?;
                let want = FetchPosition {
                    topic: info.name.clone(),
                    topic_id: info.id,
                    partition,
                    offset,
                    leader_epoch: place.leader_epoch,
                    last_epoch: epoch,
                };
                by_leader.entry(place.leader?).or_default().push(want);
            }
        }
        Some(by_leader)
    }
}
