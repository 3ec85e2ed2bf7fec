//! Streams that are not in the live flow: new ones, those that come back with a cursor, those whose
//! client was too slow. Each reads the log from its own cursor, in turns, on a small pool of threads,
//! until it can join.

use super::fair_queue::RunningTask;
use super::opening;
use super::read_cache::{CachedSpan, ReadCache};
use super::shared_turns::{Turn, TurnDone};
use super::task::{AtEnd, CatchUpPhase, CatchUpTask, Company, TopicState, TurnOutcome, TurnStart, Waits, Weight};
use super::task_queue::JobQueue;
use crate::broker::{
    Broker, BrokerError, FetchLimits, FetchPosition, FetchResult, NodeId, PartitionData, PartitionReader, Remedy,
};
use crate::hub::counts::LatencyTimer;
use crate::hub::live::registry::{JoinOutcome, Live, Wakeup};
use crate::hub::lock;
use crate::hub::stream::chunk_budget::ChunkSize;
use crate::hub::stream::encoder::{EncodeLimits, Flow};
use crate::hub::stream::filter_input::FilterInput;
use crate::hub::stream::gap::{LogChange, find_gap};
use crate::hub::stream::time_budget::TimeBudget;
use crate::sync::memory_budget::Share;
use crate::sync::watchdog;
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long the live flow may stay behind a cursor before we look again whether the log still reaches so far.
const AHEAD_TOO_LONG: Duration = Duration::from_secs(1);

/// Between turns of a stream that has read all there is and has to wait for the live flow.
const IDLE_PAUSE: Duration = Duration::from_millis(10);
/// What a filter may take of a thread in one turn.
const TURN_TIME: Duration = Duration::from_millis(5);
/// How long a leader that could not be reached is not asked again.
const UNREACHABLE: Duration = Duration::from_millis(500);

/// The pool's work, by whichever of its threads.
pub struct CatchUp {
    live: Arc<Live>,
    broker: Arc<dyn Broker>,
    jobs: Arc<JobQueue>,
    shelf: ReadCache,
    memory: Arc<Share>,
    /// Leaders that could not be reached just now: their streams do not take every thread's time.
    unreachable: Mutex<HashMap<NodeId, (Instant, BrokerError)>>,
}

/// What was read for a want.
type CachedRead = (FetchPosition, Result<CachedSpan, BrokerError>);

impl CatchUp {
    pub fn new(
        live: Arc<Live>,
        broker: Arc<dyn Broker>,
        jobs: Arc<JobQueue>,
        (kept_bytes, memory): (usize, Arc<Share>),
    ) -> Self {
        Self { live, broker, jobs, shelf: ReadCache::new(kept_bytes), memory, unreachable: Mutex::default() }
    }

    /// One thread of the pool: takes turns for whichever stream is next, until the hub ends.
    pub fn work(&self) {
        let mut readers = HashMap::new();
        while !self.live.is_closing() {
            let heavy = lock(&self.jobs.heavy).start();
            let waits = if heavy.is_some() { Waits::No } else { Waits::ForWork };
            if let Some(job) = heavy {
                let _at_work = watchdog::busy();
                // A panic in it must not keep its place.
                let _running = RunningTask(&self.jobs.heavy);
                self.take_turn(job, &mut readers);
            }
            if let Some(job) = self.jobs.next(waits) {
                let _at_work = watchdog::busy();
                self.take_turn(job, &mut readers);
            }
        }
        self.jobs.close();
    }

    fn take_turn(&self, job: Box<CatchUpTask>, readers: &mut HashMap<NodeId, Box<dyn PartitionReader>>) {
        if job.post.is_closed() {
            return;
        }
        let room = job.room();
        let ahead = job.ahead(room);
        // Where a stream starts is found out at once, whatever its client takes.
        let opening = matches!(job.phase, CatchUpPhase::Opening(_));
        if !opening && !job.post.wants_more(ahead) {
            let post = job.post.clone();
            post.park(job, ahead);
            return;
        }
        match self.step(job, room, readers) {
            TurnOutcome::Done => {}
            TurnOutcome::Again(job) => self.jobs.put_back(job),
            TurnOutcome::Later(mut job, pause) => {
                job.checkpoint();
                self.jobs.delay(job, pause);
            }
        }
    }

    fn step(
        &self,
        mut job: Box<CatchUpTask>,
        room: ChunkSize,
        readers: &mut HashMap<NodeId, Box<dyn PartitionReader>>,
    ) -> TurnOutcome {
        match &job.phase {
            CatchUpPhase::Opening(_) => return opening::open(job, &self.live, &*self.broker),
            CatchUpPhase::LookingUp => return opening::look_up(job, &*self.broker),
            CatchUpPhase::Reading { .. } if job.encoder.is_finished() => return job.finish(),
            CatchUpPhase::Reading { at_end } => {
                let first = std::mem::replace(&mut job.first, TurnStart::Join);
                if job.may_join()
                    && first == TurnStart::Join
                    && (*at_end == AtEnd::Yes
                        || (job.company == Company::Alone && self.live.place_of(&job.key).is_some()))
                {
                    match self.live.join(job, room) {
                        JoinOutcome::Live | JoinOutcome::Finished => return TurnOutcome::Done,
                        JoinOutcome::Ahead(job) => return self.wait_for_flow(job),
                        JoinOutcome::Behind(behind) => job = behind,
                    }
                    job.ahead_since = None;
                    if job.topics.iter().any(|topic| matches!(topic, TopicState::NotYet)) {
                        job.phase = CatchUpPhase::LookingUp;
                        return TurnOutcome::Again(job);
                    }
                }
            }
        }
        self.read(job, room, readers)
    }

    /// The cursor is further on than the live flow: it comes from another bridge that was quicker, or the log has lost
    /// its end. Reading at the cursor tells which; then the flow is waited for.
    fn wait_for_flow(&self, mut job: Box<CatchUpTask>) -> TurnOutcome {
        if job.waits_for_return() {
            return job.wait_for_return(TurnStart::Read);
        }
        if job.ahead_since.is_some_and(|since| since.elapsed() < AHEAD_TOO_LONG) {
            return TurnOutcome::Later(job, IDLE_PAUSE);
        }
        job.ahead_since = Some(Instant::now());
        self.live.nudge(Wakeup::Metadata);
        job.phase = CatchUpPhase::LookingUp;
        job.first = TurnStart::Read;
        TurnOutcome::Again(job)
    }

    /// Reads on, for one chunk, or more where the client takes them at once.
    fn read(
        &self,
        mut job: Box<CatchUpTask>,
        room: ChunkSize,
        readers: &mut HashMap<NodeId, Box<dyn PartitionReader>>,
    ) -> TurnOutcome {
        let Some(by_leader) = job.wants() else {
            job.phase = CatchUpPhase::LookingUp;
            return job.later();
        };
        job.turn += 1;
        job.idle += 1;
        let sent = job.sent;
        job.lag = 0;
        let budget = TimeBudget::new(TURN_TIME);
        let mut weight = Weight::Light;
        let mut at_end = AtEnd::Yes;
        let leaders = by_leader.len().max(1);
        let first = job.turn % leaders;
        let in_turn: Vec<_> = by_leader.into_iter().collect();
        for (leader, mut wants) in in_turn.iter().cycle().skip(first).take(leaders).cloned() {
            // What one leader had is enough, unless the client takes more.
            let enough = job.sent > sent && !job.post.wants_more(job.ahead(job.room()));
            if enough || job.post.is_full() || budget.is_spent() {
                at_end = AtEnd::No;
                break;
            }
            let working = match (job.company, job.may_join()) {
                (Company::SameFeed, true) => match self.live.turns.begin(&job, leader) {
                    Turn::First(working) => {
                        job.shared_pauses.reset();
                        Some(working)
                    }
                    Turn::UnderWay => return job.wait_for_shared_turn(),
                    Turn::Done(done) => {
                        at_end = at_end.and(done.at_end);
                        weight = done.weight;
                        job.take_over(*done);
                        continue;
                    }
                },
                _ => None,
            };
            let rotation = job.turn % wants.len();
            wants.rotate_left(rotation);
            let read = match self.find(&wants, leader, &job, readers) {
                Ok(read) => read,
                Err(BrokerError::BudgetUsedUp) => return self.wait_for_memory(job),
                Err(error) => {
                    job.phase = CatchUpPhase::LookingUp;
                    return job.retry(LatencyTimer::Fetch, &error);
                }
            };
            if read.len() < wants.len() {
                at_end = AtEnd::No;
            }
            let is_short = read.iter().any(|(_, read)| matches!(read, Err(BrokerError::BudgetUsedUp)));
            let reader = self.reader(leader, readers);
            let mut piece_end = AtEnd::Yes;
            let (chunk, written) = self.write(&mut job, read, reader, (room, &budget), &mut piece_end);
            at_end = at_end.and(piece_end);
            if let (Some(working), Ok(())) = (working, &written) {
                let (encoder, chunk, weight) = (job.encoder.clone(), chunk.clone(), job.weight_after(&budget));
                working.finish(TurnDone { encoder, chunk, lag: job.lag, at_end, weight });
            }
            job.send_shared(chunk);
            match written {
                Ok(()) => {}
                Err(BrokerError::BudgetUsedUp) => return job.wait_for_memory(),
                Err(error) => {
                    job.phase = CatchUpPhase::LookingUp;
                    return job.retry(LatencyTimer::Fetch, &error);
                }
            }
            if job.encoder.is_finished() {
                return job.finish();
            }
            if is_short {
                return self.wait_for_memory(job);
            }
        }
        job.backoff.reset();
        job.failures = 0;
        job.weight = if weight == Weight::Heavy { weight } else { job.weight_after(&budget) };
        job.place.is_behind_by(job.lag);
        if at_end == AtEnd::Yes && job.waits_for_return() {
            return job.wait_for_return(TurnStart::Join);
        }
        job.phase = CatchUpPhase::Reading { at_end };
        // The first time it is worth trying to join at once.
        if job.idle > 1 { TurnOutcome::Later(job, IDLE_PAUSE) } else { TurnOutcome::Again(job) }
    }

    /// The stream reads on later, with the memory that others have now or that was kept for them.
    fn wait_for_memory(&self, job: Box<CatchUpTask>) -> TurnOutcome {
        self.shelf.clear();
        job.wait_for_memory()
    }

    /// What is kept for these places, or what the broker has for the others: in turns, so that neither a partition
    /// that is always kept, since it is busy, nor one that never is starves the other.
    fn find(
        &self,
        wants: &[FetchPosition],
        leader: NodeId,
        job: &CatchUpTask,
        readers: &mut HashMap<NodeId, Box<dyn PartitionReader>>,
    ) -> Result<Vec<CachedRead>, BrokerError> {
        let here = |want: &FetchPosition| self.live.recent(want).or_else(|| self.shelf.get(want));
        let (mut kept, mut missing) = (Vec::new(), Vec::new());
        for want in wants {
            match here(want) {
                Some(stretch) => kept.push((want.clone(), Ok(stretch))),
                None => missing.push(want.clone()),
            }
        }
        // Where the live flow stands itself there is nothing to fetch, as long as there is something else to do.
        let all_but_the_tail = || job.may_join() && missing.iter().all(|want| self.live.stands_at(want));
        if missing.is_empty() || (!kept.is_empty() && (job.turn.is_multiple_of(2) || all_but_the_tail())) {
            return Ok(kept);
        }
        if let Some((at, error)) = lock(&self.unreachable).get(&leader)
            && at.elapsed() < UNREACHABLE
        {
            return Err(error.clone());
        }
        let reader = self.reader(leader, readers);
        let bytes = job.settings.read_bytes;
        let limits = FetchLimits { wait: Duration::ZERO, max_bytes: bytes, partition_max_bytes: bytes };
        let mut fetched = reader.fetch(&missing, limits).inspect_err(|error| {
            if error.remedy() == Remedy::Retry {
                lock(&self.unreachable).insert(leader, (Instant::now(), error.clone()));
            }
        })?;
        // A place that the broker had nothing for may be left out of its answer.
        Ok(missing
            .iter()
            .map(|want| {
                let own = |f: &FetchResult| f.topic == want.topic && f.partition == want.partition;
                let result = match fetched.iter().position(own) {
                    Some(place) => fetched.swap_remove(place).result,
                    None => Ok(PartitionData { next_offset: want.offset, ..PartitionData::default() }),
                };
                (want.clone(), result.map(|data| self.shelf.put(want, data)))
            })
            .collect())
    }

    fn reader<'r>(
        &self,
        leader: NodeId,
        readers: &'r mut HashMap<NodeId, Box<dyn PartitionReader>>,
    ) -> &'r mut dyn PartitionReader {
        &mut **readers.entry(leader).or_insert_with(|| self.broker.reader(leader, &self.memory))
    }

    fn write(
        &self,
        job: &mut CatchUpTask,
        read: Vec<CachedRead>,
        reader: &mut dyn PartitionReader,
        (room, budget): (ChunkSize, &TimeBudget),
        at_end: &mut AtEnd,
    ) -> (Bytes, Result<(), BrokerError>) {
        let most = job.most(room);
        let mut out = Vec::with_capacity(most + most / 4);
        let (mut failed, mut memory) = (Ok(()), job.settings.allowance.nothing());
        for (want, result) in read {
            let FetchPosition { topic: name, partition, offset, .. } = want.clone();
            let Some(topic) = job.encoder.cursor.topic_index(&name) else { continue };
            match result {
                Ok(CachedSpan { piece, end, .. }) => {
                    let candidates = FilterInput::new(&name, partition, &piece.batches).of(&piece.epochs);
                    let limits = EncodeLimits { most, budget, memory: &mut memory };
                    let flow = job.encoder.records(&mut out, topic, &candidates, piece.next, limits);
                    let next = job.encoder.cursor.next(topic, partition).unwrap_or(offset);
                    if let (Flow::Short(shortage), true) = (flow, out.is_empty()) {
                        let record = format_args!("the record of {name}/{partition} at offset {next}");
                        failed = Err(BrokerError::no_memory(shortage, record));
                    }
                    job.lag = job.lag.max(u64::try_from(end - next).unwrap_or(0));
                    if next < end || next < piece.next {
                        *at_end = AtEnd::No;
                    }
                    if next > offset {
                        job.idle = 0;
                    } else if end >= offset {
                        job.confirm(topic, &want);
                    }
                }
                Err(error @ (BrokerError::OffsetOutOfRange(_) | BrokerError::Truncated { .. })) => {
                    *at_end = AtEnd::No;
                    match find_gap(&*self.broker, reader, &want, error) {
                        Ok(LogChange::Lost(loss)) => {
                            self.shelf.forget(&name, partition);
                            job.encoder.gap(&mut out, topic, partition, loss);
                            self.live.counts.gap(loss.reason, 1);
                        }
                        Ok(LogChange::AskAgain(at)) => job.encoder.cursor.set(topic, partition, at),
                        Ok(LogChange::InRange) => {
                            let why = format!("{name}/{partition} moved while it was read");
                            failed = Err(BrokerError::StaleMetadata(why));
                        }
                        Err(error) => failed = Err(error),
                    }
                }
                Err(BrokerError::Recreated(_) | BrokerError::UnknownTopic(_)) => {
                    failed = Err(BrokerError::StaleMetadata(format!("topic {name:?} is not what it was")));
                }
                Err(BrokerError::BudgetUsedUp) => *at_end = AtEnd::No,
                Err(error) => failed = Err(error),
            }
            if job.encoder.is_finished() {
                break;
            }
        }
        (job.settings.allowance.hold_paid(out, memory), failed)
    }
}
