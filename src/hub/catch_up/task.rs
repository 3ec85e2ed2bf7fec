//! A stream outside the live flow, and what happens to it turn by turn.

use crate::broker::{BrokerError, FetchPosition, NodeId, Remedy};
use crate::hub::counts::LatencyTimer;
use crate::hub::live::feed::Evicted;
use crate::hub::stream::chunk_budget::{ChunkSize, PROOF, SMALL};
use crate::hub::stream::encoder::{EncodeLimits, Flow};
use crate::hub::stream::lag::{LagGuard, LagTracker};
use crate::hub::stream::state::{Company, StreamState, TopicState, Weight};
use crate::hub::stream::time_budget::TimeBudget;
use crate::hub::subscription::Until;
use crate::record::Position;
use crate::start_position::Start;
use crate::sync::backoff::Backoff;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often a stream may get the same corrupt response before its client is told.
const TRIES: u32 = 3;

/// First and longest pause before the next look at a shared turn that another thread takes. Most turns are short; while a
/// long one lasts, many streams look.
const SHARED_PAUSES: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(64));

/// Pause between turns of a stream that waits for memory.
const MEMORY_PAUSE: Duration = Duration::from_millis(100);

/// Pause between turns of a stream that waits outside the live flow for a topic to come back.
const RETURN_PAUSE: Duration = Duration::from_millis(500);

/// What all tasks have in common.
#[derive(Debug)]
pub struct CatchUpSettings {
    /// About how many bytes one turn reads from the broker.
    pub read_bytes: usize,
    /// About how many bytes one chunk has.
    pub chunk_bytes: usize,
    /// Chunks that may wait for the client when the next turn begins.
    pub ahead: usize,
    /// How long a stream waits for a topic that existed before.
    pub topic_patience: Duration,
    pub lag_tracker: Arc<LagTracker>,
}

/// One stream outside the live flow.
pub struct CatchUpTask {
    pub stream: StreamState,
    pub settings: Arc<CatchUpSettings>,
    /// Publishes the lag of the stream.
    pub lag: LagGuard,
    pub phase: CatchUpPhase,
    pub backoff: Backoff,
    /// Pauses while another thread takes a turn that the stream shares.
    pub shared_pauses: Backoff,
    pub failures: u32,
    /// Records between the stream and the end of the log, as seen in this turn.
    pub records_behind: u64,
    /// When the cursor was first seen ahead of the live flow.
    pub ahead_since: Option<Instant>,
    pub first: TurnStart,
    pub weight: Weight,
    pub company: Company,
    /// Consecutive turns that read nothing and did not join either.
    pub idle: u32,
    /// Number of turns taken. It selects the partition that comes first, so that none starves.
    pub turn: usize,
}

pub enum CatchUpPhase {
    Opening(Opening),
    /// The topics must be looked up (again) before the stream reads.
    LookingUp,
    Reading {
        at_end: AtEnd,
    },
}

/// Where a new stream begins and ends, as requested.
#[derive(Debug, Clone)]
pub struct Opening {
    pub start: Start,
    pub until: Until,
}

/// What the next turn tries first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TurnStart {
    Join,
    Read,
}

/// Whether the stream has read all that the log has.
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

/// What happens to a task after its turn.
pub enum TurnOutcome {
    /// The stream is in the live flow, or at its end.
    Done,
    Again(Box<CatchUpTask>),
    Later(Box<CatchUpTask>, Duration),
}

impl CatchUpTask {
    /// A new stream.
    pub fn open(stream: StreamState, settings: Arc<CatchUpSettings>, opening: Opening) -> Box<Self> {
        Self::new(stream, settings, CatchUpPhase::Opening(opening))
    }

    /// A stream that left the live flow.
    pub fn evicted(evicted: Evicted, settings: Arc<CatchUpSettings>) -> Box<Self> {
        let Evicted { stream, behind, weight, company } = evicted;
        let mut task = Self::new(stream, settings, CatchUpPhase::LookingUp);
        (task.weight, task.company) = (weight, company);
        task.lag.is_behind_by(behind);
        task
    }

    fn new(stream: StreamState, settings: Arc<CatchUpSettings>, phase: CatchUpPhase) -> Box<Self> {
        let lag = settings.lag_tracker.enter();
        Box::new(Self {
            stream,
            settings,
            lag,
            phase,
            backoff: Backoff::for_broker(),
            shared_pauses: Backoff::new(SHARED_PAUSES.0, SHARED_PAUSES.1),
            failures: 0,
            records_behind: 0,
            ahead_since: None,
            first: TurnStart::Join,
            weight: Weight::Light,
            company: Company::Alone,
            idle: 0,
            turn: 0,
        })
    }

    /// Size of the next chunk. A client that takes nothing still fills the buffers on the way to it, so a stream gets large
    /// chunks only after its client has taken more than that.
    pub fn chunk_size(&self) -> ChunkSize {
        match self.stream.settings.chunk_budget.chunk_size() {
            ChunkSize::Ahead if self.stream.sent < PROOF => ChunkSize::Small,
            chunk_size => chunk_size,
        }
    }

    /// Chunks that may wait for the client.
    pub fn ahead(&self, chunk_size: ChunkSize) -> usize {
        if chunk_size == ChunkSize::Ahead { self.settings.ahead } else { 0 }
    }

    /// About how many bytes the next chunk has.
    pub fn most(&self, chunk_size: ChunkSize) -> usize {
        if chunk_size == ChunkSize::Ahead { self.settings.chunk_bytes } else { self.settings.chunk_bytes.min(SMALL) }
    }

    /// What the next turn costs after one with this budget.
    pub fn weight_after(&self, budget: &TimeBudget) -> Weight {
        if self.stream.key.takes_time() && budget.is_spent() { Weight::Heavy } else { Weight::Light }
    }

    /// Sends a checkpoint to a filtered stream before a pause, which can take long.
    pub fn checkpoint(&mut self) {
        if !self.stream.sender.is_full() {
            let mut out = Vec::new();
            self.stream.encoder.checkpoint_if_passed(&mut out);
            self.stream.send(out);
        }
    }

    /// Ends a stream that has delivered all that was requested.
    pub fn finish(mut self: Box<Self>) -> TurnOutcome {
        if self.stream.sender.is_full() {
            // The last id must be sent: the next turn comes when the client has taken a chunk.
            return TurnOutcome::Again(self);
        }
        let (mut out, mut memory) = (Vec::new(), self.stream.settings.chunk_budget.nothing());
        let (most, budget) = (self.most(self.chunk_size()), TimeBudget::new(Duration::MAX));
        match self.stream.encoder.write_held(&mut out, EncodeLimits { most, budget: &budget, memory: &mut memory }) {
            Flow::Finished => self.stream.encoder.complete(&mut out),
            Flow::Short(_) if out.is_empty() => return self.wait_for_memory(),
            Flow::GoesOn | Flow::Short(_) => {
                self.stream.send_paid(out, memory);
                return TurnOutcome::Again(self);
            }
        }
        self.stream.send_paid(out, memory);
        self.stream.sender.complete();
        TurnOutcome::Done
    }

    /// Ends the stream with an error.
    pub fn fail(mut self: Box<Self>, error: &BrokerError) -> TurnOutcome {
        let problem = self.stream.encoder.problem(error);
        self.stream.send(problem);
        self.stream.sender.complete();
        TurnOutcome::Done
    }

    pub fn later(mut self: Box<Self>) -> TurnOutcome {
        let pause = self.backoff.pause(fastrand::f64());
        TurnOutcome::Later(self, pause)
    }

    /// Tries again after a pause where that can help; otherwise ends the stream.
    pub fn retry(mut self: Box<Self>, request: LatencyTimer, error: &BrokerError) -> TurnOutcome {
        self.stream.settings.counts.failed(request, error);
        if error.remedy() == Remedy::GiveUp {
            self.failures += 1;
            if self.failures >= TRIES || !matches!(error, BrokerError::Corrupt(_)) {
                return self.fail(error);
            }
        }
        self.later()
    }

    /// Reads again later, when others have released memory.
    pub fn wait_for_memory(mut self: Box<Self>) -> TurnOutcome {
        self.phase = CatchUpPhase::Reading { at_end: AtEnd::No };
        TurnOutcome::Later(self, MEMORY_PAUSE)
    }

    /// Checks later whether another thread has finished the turn that the stream shares.
    pub fn wait_for_shared_turn(mut self: Box<Self>) -> TurnOutcome {
        let pause = self.shared_pauses.pause(fastrand::f64());
        TurnOutcome::Later(self, pause)
    }

    /// Looks soon again whether a missing topic has come back; `first` is what the turn after that tries first.
    pub fn wait_for_return(mut self: Box<Self>, first: TurnStart) -> TurnOutcome {
        (self.phase, self.first) = (CatchUpPhase::LookingUp, first);
        TurnOutcome::Later(self, RETURN_PAUSE)
    }

    /// Whether the stream waits for a topic that existed before.
    pub fn waits_for_return(&self) -> bool {
        self.stream.topics.iter().any(|topic| matches!(topic, TopicState::Away(_)))
    }

    /// Whether the stream continues after the records that are in the log now.
    pub fn may_join(&self) -> bool {
        self.stream.encoder.bounds.may_join()
    }

    /// What to fetch next, by leader; `None` where a partition has no known leader.
    pub fn wants(&self) -> Option<BTreeMap<NodeId, Vec<FetchPosition>>> {
        let mut by_leader: BTreeMap<NodeId, Vec<FetchPosition>> = BTreeMap::new();
        for (topic, info) in self.stream.topics.iter().enumerate() {
            let Some(info) = info.here() else {
                if !matches!(info, TopicState::Away(_)) && self.stream.encoder.cursor.offsets(topic).next().is_some() {
                    // It has been created meanwhile.
                    return None;
                }
                continue;
            };
            for (partition, Position { next: offset, epoch }) in self.stream.encoder.cursor.positions(topic) {
                if self.stream.encoder.has_ended(topic, partition) {
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
