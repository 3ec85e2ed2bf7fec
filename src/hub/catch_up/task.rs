//! The state of a stream in the catch-up pool between its turns.

use super::snapshot_phase::{AwaitedSnapshot, SentSnapshot};
use crate::broker::{BrokerError, Remedy};
use crate::hub::counts::RequestKind;
use crate::hub::live::feed::Evicted;
use crate::hub::stream::chunk_budget::{ChunkSize, PROOF, SMALL};
use crate::hub::stream::encoder::{EncodeLimits, Flow};
use crate::hub::stream::lag::{LagGuard, LagTracker};
use crate::hub::stream::positions_by_leader::{PositionsByLeader, by_leader};
use crate::hub::stream::state::{StreamState, TopicState, TurnSharing, Weight};
use crate::hub::stream::time_budget::TimeBudget;
use crate::hub::subscription::Until;
use crate::hub::view::prepared::PreparedSnapshot;
use crate::start_position::Start;
use crate::sync::backoff::Backoff;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Number of consecutive corrupt responses after which a stream ends.
const TRIES: u32 = 3;

/// First and longest pause between checks whether another thread has finished a shared turn. Most turns are short, but many
/// streams may be waiting for a long one.
const SHARED_PAUSES: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(64));

/// Pause of a stream that waits for memory.
pub const MEMORY_PAUSE: Duration = Duration::from_millis(100);

/// Pause of a stream that waits outside the live flow for a missing topic to reappear.
const RETURN_PAUSE: Duration = Duration::from_millis(500);

/// Settings that all tasks share.
#[derive(Debug)]
pub struct CatchUpSettings {
    /// Approximate number of bytes that one turn reads from the broker.
    pub read_bytes: usize,
    /// Approximate size of a large chunk, in bytes.
    pub chunk_bytes: usize,
    /// Number of chunks that may still wait for the client when the next turn begins.
    pub ahead: usize,
    /// How long a stream waits for a deleted topic to reappear.
    pub topic_patience: Duration,
    /// Tracks the lag of all tasks.
    pub lag_tracker: Arc<LagTracker>,
}

/// One stream outside the live flow.
pub struct CatchUpTask {
    /// The stream.
    pub stream: StreamState,
    /// Shared by all tasks.
    pub settings: Arc<CatchUpSettings>,
    /// Publishes the lag of the stream.
    pub lag: LagGuard,
    /// The work of the next turn.
    pub phase: CatchUpPhase,
    /// Pauses after errors.
    pub backoff: Backoff,
    /// Pauses while another thread takes a turn that the stream shares.
    pub shared_pauses: Backoff,
    /// Number of consecutive errors that may end the stream.
    pub failures: u32,
    /// Number of records between the stream and the end of the log at its last turn, in the partition with the largest lag.
    pub records_behind: u64,
    /// The time of the last check of a cursor that is ahead of the live flow.
    pub ahead_since: Option<Instant>,
    /// The first attempt of the next turn.
    pub first: TurnStart,
    /// The cost of the last turn.
    pub weight: Weight,
    /// Whether other streams take the same turns.
    pub sharing: TurnSharing,
    /// Number of consecutive turns in which the stream neither read a record nor joined.
    pub idle: u32,
    /// Number of turns that have read the log. It selects the leader and the partition that come first, so that none
    /// starves.
    pub turn: usize,
}

/// The work of the next turn of a stream.
pub enum CatchUpPhase {
    /// Opens the stream.
    Opening(Opening),
    /// Waits until the log has been read for the snapshot with which the stream starts.
    AwaitingSnapshot(Box<AwaitedSnapshot>),
    /// Sends the snapshot.
    SendingSnapshot(Box<SentSnapshot>),
    /// Looks up the topics again.
    LookingUp,
    /// Joins the live flow or reads.
    Reading {
        /// Whether the last turn has reached the end of the log.
        at_end: AtEnd,
    },
}

/// The requested start and end of a new stream.
#[derive(Debug, Clone)]
pub struct Opening {
    /// The start of the stream.
    pub start: Start,
    /// The end of the stream.
    pub until: Until,
    /// For a start with a snapshot: the views of the topics.
    pub prepared: Option<PreparedSnapshot>,
}

/// The first attempt of the next turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TurnStart {
    /// Joining the live flow, if the stream is close enough to it.
    Join,
    /// Reading, even if the stream could join.
    Read,
}

/// Whether the stream has read everything that the log has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtEnd {
    /// The stream has read up to the last stable offset of every partition.
    Yes,
    /// There may be more records.
    No,
}

impl AtEnd {
    /// Returns `Yes` if both are `Yes`.
    pub fn and(self, other: Self) -> Self {
        if self == Self::Yes { other } else { self }
    }
}

/// The result of a turn.
pub enum TurnOutcome {
    /// The stream has joined the live flow or has ended.
    Done,
    /// The stream needs another turn.
    Again(Box<CatchUpTask>),
    /// The stream needs another turn after a pause.
    Later(Box<CatchUpTask>, Duration),
}

impl CatchUpTask {
    /// Creates the task of a new stream.
    pub fn open(stream: StreamState, settings: Arc<CatchUpSettings>, opening: Opening) -> Box<Self> {
        Self::new(stream, settings, CatchUpPhase::Opening(opening))
    }

    /// Creates the task of an evicted stream.
    pub fn evicted(evicted: Evicted, settings: Arc<CatchUpSettings>) -> Box<Self> {
        let Evicted { stream, behind, weight, sharing } = evicted;
        let mut task = Self::new(stream, settings, CatchUpPhase::LookingUp);
        (task.weight, task.sharing) = (weight, sharing);
        task.lag.set_lag(behind);
        task
    }

    fn new(stream: StreamState, settings: Arc<CatchUpSettings>, phase: CatchUpPhase) -> Box<Self> {
        let lag = settings.lag_tracker.add();
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
            sharing: TurnSharing::Alone,
            idle: 0,
            turn: 0,
        })
    }

    /// Returns the size of the next chunk. Large chunks begin only when the client is known to be reading: the first chunks may
    /// just fill the buffers between the bridge and the client.
    pub fn chunk_size(&self) -> ChunkSize {
        match self.stream.settings.chunk_budget.chunk_size() {
            ChunkSize::Ahead if self.stream.sent < PROOF => ChunkSize::Small,
            chunk_size => chunk_size,
        }
    }

    /// Returns the number of chunks that may still wait for the client when the next turn begins.
    pub fn ahead(&self, chunk_size: ChunkSize) -> usize {
        if chunk_size == ChunkSize::Ahead { self.settings.ahead } else { 0 }
    }

    /// Returns the approximate size of the next chunk, in bytes.
    pub fn most(&self, chunk_size: ChunkSize) -> usize {
        if chunk_size == ChunkSize::Ahead { self.settings.chunk_bytes } else { self.settings.chunk_bytes.min(SMALL) }
    }

    /// Returns the cost of a turn that had this time budget.
    pub fn weight_after(&self, budget: &TimeBudget) -> Weight {
        if self.stream.key.takes_time() && budget.is_spent() { Weight::Heavy } else { Weight::Light }
    }

    /// Sends a checkpoint before a pause, if the stream has passed offsets without a record.
    pub fn checkpoint(&mut self) {
        if !self.stream.sender.is_full() {
            let mut out = Vec::new();
            self.stream.encoder.checkpoint_if_passed(&mut out);
            self.stream.send(out);
        }
    }

    /// Ends a stream that has delivered everything that was requested.
    pub fn finish(mut self: Box<Self>) -> TurnOutcome {
        if self.stream.sender.is_full() {
            // The last id must be sent, so the stream takes another turn when the client has taken a chunk.
            return TurnOutcome::Again(self);
        }
        let (mut out, mut memory) = (Vec::new(), self.stream.settings.chunk_budget.empty_reservation());
        let (most, budget) = (self.most(self.chunk_size()), TimeBudget::new(Duration::MAX));
        match self.stream.encoder.write_held(&mut out, EncodeLimits { most, budget: &budget, memory: &mut memory }) {
            Flow::Finished => self.stream.encoder.complete(&mut out),
            Flow::Short(_) if out.is_empty() => return self.wait_for_memory(),
            Flow::Continues | Flow::Short(_) => {
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

    /// Postpones the turn, each time for longer.
    pub fn later(mut self: Box<Self>) -> TurnOutcome {
        let pause = self.backoff.pause(fastrand::f64());
        TurnOutcome::Later(self, pause)
    }

    /// Retries after a pause if that can help. Otherwise ends the stream with the error.
    pub fn retry(mut self: Box<Self>, request: RequestKind, error: &BrokerError) -> TurnOutcome {
        self.stream.settings.counts.count_error(request, error);
        if error.remedy() == Remedy::GiveUp {
            self.failures += 1;
            if self.failures >= TRIES || !matches!(error, BrokerError::Corrupt(_)) {
                return self.fail(error);
            }
        }
        self.later()
    }

    /// Postpones the turn until other streams have released memory.
    pub fn wait_for_memory(mut self: Box<Self>) -> TurnOutcome {
        self.phase = CatchUpPhase::Reading { at_end: AtEnd::No };
        TurnOutcome::Later(self, MEMORY_PAUSE)
    }

    /// Postpones the turn, because another thread is taking it for both streams.
    pub fn wait_for_shared_turn(mut self: Box<Self>) -> TurnOutcome {
        let pause = self.shared_pauses.pause(fastrand::f64());
        TurnOutcome::Later(self, pause)
    }

    /// Postpones the turn until the next check whether a missing topic has reappeared. `first` is for the turn after the check.
    pub fn wait_for_return(mut self: Box<Self>, first: TurnStart) -> TurnOutcome {
        (self.phase, self.first) = (CatchUpPhase::LookingUp, first);
        TurnOutcome::Later(self, RETURN_PAUSE)
    }

    /// Whether the stream waits for a deleted topic to reappear.
    pub fn waits_for_return(&self) -> bool {
        self.stream.topics.iter().any(|topic| matches!(topic, TopicState::Away(_)))
    }

    /// Whether the stream can join the live flow: it has no fixed end.
    pub fn may_join(&self) -> bool {
        self.stream.encoder.bounds.may_join()
    }

    /// Whether streams that were evicted with this one can take the same turn. The result of a turn is where a stream must
    /// resume. For one that held records before, this is before the turn: a stream that takes it over would go back, read the
    /// records between again, and come to the same turn again, without end.
    pub fn may_share_turn(&self) -> bool {
        self.may_join() && self.stream.encoder.held_places().is_empty()
    }

    /// Returns the positions to fetch, by leader. Returns `None` if the topics must be looked up first.
    pub fn fetch_positions(&self) -> Option<PositionsByLeader> {
        let encoder = &self.stream.encoder;
        let mut positions = Vec::new();
        for (topic, info) in self.stream.topics.iter().enumerate() {
            let Some(info) = info.here() else {
                if !matches!(info, TopicState::Away(_)) && encoder.cursor.offsets(topic).next().is_some() {
                    // The stream has positions in a topic whose metadata it does not have.
                    return None;
                }
                continue;
            };
            let open = encoder.cursor.positions(topic).filter(|(partition, _)| !encoder.has_ended(topic, *partition));
            positions.extend(open.map(|(partition, position)| (info, partition, position)));
        }
        by_leader(positions).ok()
    }
}
