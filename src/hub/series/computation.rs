//! The computation of one query over one topic, shared by all of its viewers.

use super::plan::{PlanStep, ReadPlan};
use super::span::{ComputationKey, SeriesSpan};
use super::task::{FollowPass, METADATA_AGE, SeriesTask, TaskKind, TaskOutcome};
use super::viewers::{ComputationStatus, ViewerNeeds};
use crate::broker::{BrokerError, Remedy, SCHEMA_PAUSE, TopicInfo};
use crate::hub::subscription::Filter;
use crate::record::{Position, Timestamp, now};
use crate::series::{SeriesQuery, SeriesTable, StateNames};
use crate::sync::backoff::Backoff;
use crate::sync::memory_budget::Share;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

/// How far a reading may be ahead of the local clock, in milliseconds. Readings further ahead are ignored.
const MAX_AHEAD: i64 = 24 * 3_600_000;

/// The state of a computation. Threads take tasks from it, and return their results.
pub struct Computation {
    key: ComputationKey,
    query: Arc<SeriesQuery>,
    filter: Arc<Filter>,
    share: Arc<Share>,
    /// Changes when the computation starts over, for example because the log was replaced.
    pub generation: u32,
    /// Number of merges into the table.
    pub version: u32,
    pub table: SeriesTable,
    /// The names of states in `table`. Within a generation, an index always refers to the same name.
    pub states: Arc<StateNames>,
    log: LogState,
    /// Everything written before this time has been read: the time by the monotonic and by the system clock.
    pub read_to: Option<(Instant, Timestamp)>,
    /// The first step whose readings are kept.
    floor: i64,
    /// The earliest time that a recent request needs.
    wanted: Timestamp,
    /// Points before this time do not fit into memory.
    memory_limit: Option<Timestamp>,
    needs: ViewerNeeds,
    /// The error of the last task.
    pub error: Option<BrokerError>,
    /// The computation has ended with `error`.
    pub has_failed: bool,
    backoff: Backoff,
    paused_until: Option<Instant>,
}

enum LogState {
    Unknown,
    Opening,
    Open(Box<OpenLog>),
}

struct OpenLog {
    topic: TopicInfo,
    looked_up: Instant,
    plan: ReadPlan,
    /// The position of each partition.
    positions: Vec<Position>,
    pass: PassState,
}

enum PassState {
    None,
    Running,
    Interrupted(Box<FollowPass>),
}

/// The next step of a computation.
pub enum NextTask {
    Run(SeriesTask),
    Wait(Instant),
    Nothing,
}

/// The points that a merge adds. They decide which points are dropped when memory is short.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    /// New points are more important than the oldest ones.
    New,
    Old,
}

impl Computation {
    pub fn new(key: ComputationKey, share: &Arc<Share>, from: Timestamp) -> Self {
        let (query, filter) = (Arc::new(key.query.clone()), Arc::new(key.filter.clone()));
        let floor = key.floor(from);
        let states = StateNames::new(&query, share);
        Self {
            key,
            query,
            filter,
            share: share.clone(),
            generation: fastrand::u32(1..),
            version: 0,
            table: SeriesTable::new(share),
            states,
            log: LogState::Unknown,
            read_to: None,
            floor,
            wanted: from,
            memory_limit: None,
            needs: ViewerNeeds::default(),
            error: None,
            has_failed: false,
            backoff: Backoff::for_broker(),
            paused_until: None,
        }
    }

    /// Starts to serve the needs of the viewers.
    pub fn serve(&mut self, needs: ViewerNeeds) {
        self.needs = needs;
        needs.from.into_iter().for_each(|from| self.extend_to(from));
    }

    fn extend_to(&mut self, from: Timestamp) {
        self.wanted = self.wanted.min(from);
        if from.div_euclid(self.query.step) < self.floor && self.memory_limit.is_none() {
            self.reset();
        }
        if let LogState::Open(log) = &mut self.log {
            log.plan.extend_to(self.key.plan_time(from));
        }
    }

    pub fn status(&self) -> ComputationStatus {
        ComputationStatus {
            generation: self.generation,
            version: self.version,
            complete_from: self.complete_from(),
            read_to: self.read_to,
            memory_limit: self.memory_limit,
            error: self.error.clone(),
            has_failed: self.has_failed,
        }
    }

    /// Returns the time since which the table contains everything in the log, or `None` if the log is not open.
    fn complete_from(&self) -> Option<Timestamp> {
        let LogState::Open(log) = &self.log else { return None };
        let ahead = self.key.plan_time(0).saturating_neg();
        let complete = log.plan.complete_from().saturating_add(ahead);
        Some(complete.max(self.floor.saturating_mul(self.query.step)))
    }

    /// Returns the next task to run.
    pub fn next_task(&mut self, at: Instant) -> NextTask {
        if self.has_failed || !self.needs.is_active {
            return NextTask::Nothing;
        }
        if let Some(until) = self.paused_until.filter(|until| *until > at) {
            return NextTask::Wait(until);
        }
        let Some(kind) = self.next_kind(at) else { return NextTask::Nothing };
        NextTask::Run(SeriesTask {
            generation: self.generation,
            name: self.key.topic.clone(),
            query: self.query.clone(),
            filter: self.filter.clone(),
            states: self.states.clone(),
            steps: self.steps(),
            kind,
        })
    }

    /// Returns the steps whose readings are kept.
    fn steps(&self) -> Range<i64> {
        match self.key.span {
            SeriesSpan::Live => self.floor..now().saturating_add(MAX_AHEAD).div_euclid(self.query.step) + 1,
            SeriesSpan::Past { window, .. } => window.steps(),
        }
    }

    fn next_kind(&mut self, at: Instant) -> Option<TaskKind> {
        let is_behind =
            self.needs.arrived.is_some_and(|arrived| self.read_to.is_none_or(|(read_to, _)| read_to < arrived));
        let log = match &mut self.log {
            LogState::Unknown => {
                self.log = LogState::Opening;
                let end = match self.key.span {
                    SeriesSpan::Live => None,
                    SeriesSpan::Past { late_until, .. } => Some(late_until),
                };
                return Some(TaskKind::Open { end });
            }
            LogState::Opening => return None,
            LogState::Open(log) => log,
        };
        match std::mem::replace(&mut log.pass, PassState::Running) {
            PassState::Interrupted(pass) => return Some(TaskKind::Follow(pass)),
            PassState::None if is_behind && self.key.span == SeriesSpan::Live => {
                return Some(TaskKind::Follow(Box::new(FollowPass {
                    started: (at, now()),
                    topic: log.topic.clone(),
                    looked_up: log.looked_up,
                    positions: log.positions.clone(),
                    ends: None,
                })));
            }
            unchanged => log.pass = unchanged,
        }
        if let SeriesSpan::Past { .. } = self.key.span
            && is_behind
        {
            // A past window does not change, so there are no new records to read.
            self.read_to = Some((Instant::now(), now()));
        }
        Some(match log.plan.next()? {
            PlanStep::LookUp(at) => TaskKind::LookUp { at, partitions: log.topic.partitions.len() },
            PlanStep::Read(block) => TaskKind::Read { block, topic: log.topic.clone() },
        })
    }

    /// Applies the result of a task, unless the computation has started over since the task was created.
    pub fn apply(&mut self, generation: u32, outcome: TaskOutcome) {
        if generation != self.generation {
            return;
        }
        if let Some(states) = self.states.after_excess() {
            // The other points of a field with too many states must not remain.
            self.reset();
            self.states = states;
            return;
        }
        let result = match outcome {
            TaskOutcome::Opened { topic, ends, started } => {
                self.open(topic, ends, started);
                Ok(())
            }
            TaskOutcome::LookedUp { at, offsets } => {
                self.with_log(|log| log.plan.cut_at(at, &offsets));
                Ok(())
            }
            TaskOutcome::Read { block, tables, result } => {
                self.merge(tables, Direction::Old);
                self.with_log(
                    |log| if block.next < block.end { log.plan.put_back(block) } else { log.plan.finish(&block) },
                );
                result
            }
            TaskOutcome::Followed { pass, tables, result } => {
                self.merge(tables, Direction::New);
                self.followed(pass, result.is_ok());
                self.drop_old();
                result
            }
            TaskOutcome::Failed(error) => Err(error),
        };
        match result {
            Ok(()) => {
                self.error = None;
                self.paused_until = None;
                self.backoff.reset();
            }
            // The records before the schema were read, and nothing has failed.
            Err(BrokerError::SchemaPending(_)) => self.paused_until = Some(Instant::now() + SCHEMA_PAUSE),
            Err(error) => self.fail(error),
        }
    }

    fn followed(&mut self, pass: Box<FollowPass>, is_ok: bool) {
        let LogState::Open(log) = &mut self.log else { return };
        log.looked_up = pass.looked_up;
        log.plan.add_partitions(pass.positions.len());
        log.topic.clone_from(&pass.topic);
        log.positions.clone_from(&pass.positions);
        log.pass = PassState::None;
        if is_ok && pass.is_complete() {
            self.read_to = Some(pass.started);
        } else if is_ok {
            log.pass = PassState::Interrupted(pass);
        }
    }

    fn with_log(&mut self, act: impl FnOnce(&mut OpenLog)) {
        if let LogState::Open(log) = &mut self.log {
            act(log);
        }
    }

    fn open(&mut self, topic: TopicInfo, ends: Vec<Position>, started: (Instant, Timestamp)) {
        let to = match self.key.span {
            SeriesSpan::Live => started.1,
            SeriesSpan::Past { late_until, .. } => late_until,
        };
        let offsets = ends.iter().map(|position| position.next).collect();
        let plan = ReadPlan::new(offsets, self.key.plan_time(self.wanted), to, self.query.step);
        self.log = LogState::Open(Box::new(OpenLog {
            topic,
            looked_up: started.0,
            plan,
            positions: ends,
            pass: PassState::None,
        }));
        self.read_to = Some(started);
    }

    fn fail(&mut self, error: BrokerError) {
        let is_open = matches!(self.log, LogState::Open(_));
        let is_another_log = match error {
            BrokerError::Recreated(_) | BrokerError::Truncated { .. } | BrokerError::OffsetOutOfRange(_) => true,
            // The block that a panicking task was reading is lost.
            BrokerError::Internal(_) => true,
            BrokerError::UnknownTopic(_) | BrokerError::UnknownPartition(_) => is_open,
            _ => false,
        };
        if is_another_log {
            self.reset();
        } else if error.remedy() == Remedy::GiveUp {
            self.has_failed = true;
        }
        self.with_log(|log| {
            log.plan.lookup_failed();
            if let Some(old) = Instant::now().checked_sub(METADATA_AGE) {
                log.looked_up = old;
            }
        });
        if let LogState::Opening = self.log {
            self.log = LogState::Unknown;
        }
        self.paused_until = Some(Instant::now() + self.backoff.pause(fastrand::f64()));
        self.error = Some(error);
    }

    /// Discards all results, and starts over.
    fn reset(&mut self) {
        self.generation = self.generation.wrapping_add(1).max(1);
        self.version = 0;
        self.table = SeriesTable::new(&self.share);
        self.states = StateNames::new(&self.query, &self.share);
        self.log = LogState::Unknown;
        self.read_to = None;
        self.memory_limit = None;
        self.floor = self.key.floor(self.wanted);
    }

    fn merge(&mut self, tables: Vec<SeriesTable>, direction: Direction) {
        for table in tables.into_iter().filter(|table| !table.is_empty()) {
            if direction == Direction::New {
                self.make_space_for(&table);
            } else if !self.has_space_for(&table) {
                return self.stop_reading_back();
            }
            self.version += 1;
            self.table.merge(&table, self.version);
        }
    }

    /// Whether the points of `table` fit into memory. A quarter of the memory is left for folds.
    fn has_space_for(&self, table: &SeriesTable) -> bool {
        self.share.used() + table.memory() <= self.share.limit() / 4 * 3
    }

    /// Drops the oldest points until `table` fits: a short, complete history is better than a long one with holes.
    fn make_space_for(&mut self, table: &SeriesTable) {
        while !self.has_space_for(table)
            && let Some(steps) = self.table.steps()
            && steps.end - steps.start > 16
        {
            let floor = steps.start + (steps.end - steps.start) / 8;
            self.table.drop_before(floor);
            self.floor = self.floor.max(floor);
            self.stop_reading_back();
        }
    }

    fn stop_reading_back(&mut self) {
        self.memory_limit = self.complete_from();
        self.with_log(|log| log.plan.stop());
    }

    /// Drops points that no recent request needs.
    fn drop_old(&mut self) {
        let (step, longest) = (self.query.step, self.needs.longest);
        let slack = longest / 8;
        let wanted = now().saturating_sub(longest).div_euclid(step);
        if self.table.steps().is_some_and(|steps| steps.start < wanted - slack / step - 16) {
            self.table.drop_before(wanted);
            self.floor = self.floor.max(wanted);
            self.wanted = self.wanted.max(wanted.saturating_mul(step));
        }
    }
}
