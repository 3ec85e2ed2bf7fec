//! The threads of the catch-up pool, and one turn of a stream on them.

use super::read_cache::ReadCache;
use super::shared_turns::{SharedTurns, Turn, TurnDone};
use super::task::{AtEnd, CatchUpPhase, CatchUpTask, TurnOutcome, TurnStart};
use super::task_queue::{TaskQueue, WhenEmpty, park};
use super::{from_snapshot, opening, until};
use crate::broker::{
    Broker, BrokerError, FetchLimits, FetchPosition, FetchResult, MemorySubject, NodeId, PartitionData,
    PartitionReader, Remedy, SCHEMA_PAUSE, Staleness,
};
use crate::hub::counts::RequestKind;
use crate::hub::live::join::JoinOutcome;
use crate::hub::live::registry::{Live, Wakeup};
use crate::hub::stream::chunk_budget::ChunkSize;
use crate::hub::stream::encoder::{EncodeLimits, Flow};
use crate::hub::stream::fair_queue::RunningTask;
use crate::hub::stream::filter_input::FilterInput;
use crate::hub::stream::gap::{LogChange, find_gap};
use crate::hub::stream::log_span::CachedSpan;
use crate::hub::stream::state::{TopicState, TurnSharing, Weight};
use crate::hub::stream::time_budget::TimeBudget;
use crate::record::TopicPartition;
use crate::sync::lock;
use crate::sync::memory_budget::Share;
use crate::sync::watchdog;
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long the live flow may stay behind a cursor. After that, a fetch checks whether the log has the offset of the cursor.
const AHEAD_TOO_LONG: Duration = Duration::from_secs(1);

/// Pause between the turns of a stream that has read the log to its end and cannot join the live flow yet.
const IDLE_PAUSE: Duration = Duration::from_millis(10);

/// Time budget of the filter in one turn.
const TURN_TIME: Duration = Duration::from_millis(5);

/// Time after a failed fetch within which the pool does not fetch from the leader again.
const UNREACHABLE: Duration = Duration::from_millis(500);

/// State shared by the threads of the pool.
pub struct CatchUp {
    live: Arc<Live>,
    broker: Arc<dyn Broker>,
    tasks: Arc<TaskQueue>,
    cache: ReadCache,
    memory: Arc<Share>,
    turns: Arc<SharedTurns>,
    /// Time and error of a recent failed fetch, by leader, so that not every thread waits for the same leader.
    unreachable: Mutex<HashMap<NodeId, (Instant, BrokerError)>>,
}

/// A position, with the span that was read there.
type CachedRead = (FetchPosition, Result<CachedSpan, BrokerError>);

impl CatchUp {
    /// Creates a pool without threads. `cache_bytes` is the size of the read cache, `memory` the budget of fetched records.
    pub fn new(
        live: Arc<Live>,
        broker: Arc<dyn Broker>,
        tasks: Arc<TaskQueue>,
        turns: Arc<SharedTurns>,
        (cache_bytes, memory): (usize, Arc<Share>),
    ) -> Self {
        let cache = ReadCache::new(cache_bytes);
        Self { live, broker, tasks, cache, memory, turns, unreachable: Mutex::default() }
    }

    /// Runs one thread of the pool until the hub shuts down.
    pub fn work(&self) {
        let mut readers = HashMap::new();
        while !self.live.is_closing() {
            let heavy = lock(&self.tasks.heavy).start();
            let when_empty = if heavy.is_some() { WhenEmpty::Return } else { WhenEmpty::Wait };
            if let Some(task) = heavy {
                let _busy = watchdog::busy();
                // The task must not count as running after a panic.
                let _running = RunningTask(&self.tasks.heavy);
                self.take_turn(task, &mut readers);
            }
            if let Some(task) = self.tasks.next(when_empty) {
                let _busy = watchdog::busy();
                self.take_turn(task, &mut readers);
            }
        }
        self.tasks.close();
    }

    fn take_turn(&self, task: Box<CatchUpTask>, readers: &mut HashMap<NodeId, Box<dyn PartitionReader>>) {
        if task.stream.sender.is_closed() {
            return;
        }
        let chunk_size = task.chunk_size();
        let ahead = task.ahead(chunk_size);
        // A stream is opened even if its client does not read yet.
        let opening = matches!(task.phase, CatchUpPhase::Opening(_));
        if !opening && !task.stream.sender.wants_more(ahead) {
            return park(task, ahead, &self.tasks);
        }
        match self.step(task, chunk_size, readers) {
            TurnOutcome::Done => {}
            TurnOutcome::Again(task) => self.tasks.put_back(task),
            TurnOutcome::Later(mut task, pause) => {
                task.checkpoint();
                self.tasks.delay(task, pause);
            }
        }
    }

    fn step(
        &self,
        mut task: Box<CatchUpTask>,
        chunk_size: ChunkSize,
        readers: &mut HashMap<NodeId, Box<dyn PartitionReader>>,
    ) -> TurnOutcome {
        if matches!(task.phase, CatchUpPhase::Reading { .. }) {
            task = match until::settle(task, &*self.broker) {
                Ok(task) => task,
                Err(outcome) => return outcome,
            };
        }
        match &task.phase {
            CatchUpPhase::Opening(_) => return opening::open(task, &self.live, &*self.broker),
            CatchUpPhase::AwaitingSnapshot(_) => return from_snapshot::look(task),
            CatchUpPhase::SendingSnapshot(_) => return from_snapshot::send(task, chunk_size, TURN_TIME),
            CatchUpPhase::LookingUp => return opening::look_up(task, &*self.broker),
            CatchUpPhase::Reading { .. } if task.stream.encoder.is_finished() => return task.finish(),
            CatchUpPhase::Reading { at_end } => {
                let first = std::mem::replace(&mut task.first, TurnStart::Join);
                if task.may_join()
                    && first == TurnStart::Join
                    && (*at_end == AtEnd::Yes
                        || (task.sharing == TurnSharing::Alone && self.live.cursor_of(&task.stream.key).is_some()))
                {
                    match self.live.join(&mut task.stream, chunk_size) {
                        JoinOutcome::Live | JoinOutcome::Finished => return TurnOutcome::Done,
                        // The feed is behind because it has held back its records for longer.
                        JoinOutcome::Ahead if task.stream.encoder.is_sampled() => {}
                        JoinOutcome::Ahead => return self.wait_for_flow(task),
                        JoinOutcome::Behind => {}
                    }
                    task.ahead_since = None;
                    if task.stream.topics.iter().any(|topic| matches!(topic, TopicState::Unknown)) {
                        task.phase = CatchUpPhase::LookingUp;
                        return TurnOutcome::Again(task);
                    }
                }
            }
        }
        self.read(task, chunk_size, readers)
    }

    /// Handles a cursor that is ahead of the live flow: it comes from another bridge that is ahead of this one, or the log was
    /// truncated. A fetch at the cursor distinguishes the two. After that, the stream waits for the live flow.
    fn wait_for_flow(&self, mut task: Box<CatchUpTask>) -> TurnOutcome {
        if task.waits_for_return() {
            return task.wait_for_return(TurnStart::Read);
        }
        if task.ahead_since.is_some_and(|since| since.elapsed() < AHEAD_TOO_LONG) {
            return TurnOutcome::Later(task, IDLE_PAUSE);
        }
        task.ahead_since = Some(Instant::now());
        self.live.wake_refresher(Wakeup::Metadata);
        task.phase = CatchUpPhase::LookingUp;
        task.first = TurnStart::Read;
        TurnOutcome::Again(task)
    }

    /// Reads one chunk, or more chunks if the client takes them immediately.
    fn read(
        &self,
        mut task: Box<CatchUpTask>,
        chunk_size: ChunkSize,
        readers: &mut HashMap<NodeId, Box<dyn PartitionReader>>,
    ) -> TurnOutcome {
        let Some(by_leader) = task.fetch_positions() else {
            task.phase = CatchUpPhase::LookingUp;
            return task.later();
        };
        task.turn += 1;
        task.idle += 1;
        let sent = task.stream.sent;
        task.records_behind = 0;
        let budget = TimeBudget::new(TURN_TIME);
        let (mut weight, mut at_end, mut awaits_schema) = (Weight::Light, AtEnd::Yes, false);
        let leaders = by_leader.len().max(1);
        let first = task.turn % leaders;
        let in_turn: Vec<_> = by_leader.into_iter().collect();
        for (leader, mut positions) in in_turn.iter().cycle().skip(first).take(leaders).cloned() {
            // Reading from one leader is enough, unless the client waits for more.
            let enough = task.stream.sent > sent && !task.stream.sender.wants_more(task.ahead(task.chunk_size()));
            if enough || task.stream.sender.is_full() || budget.is_spent() {
                at_end = AtEnd::No;
                break;
            }
            let working = match (task.sharing, task.may_share_turn()) {
                (TurnSharing::SameFeed, true) => match self.turns.begin(&task.stream, leader) {
                    Turn::First(working) => {
                        task.shared_pauses.reset();
                        Some(working)
                    }
                    Turn::UnderWay => return task.wait_for_shared_turn(),
                    Turn::Done(done) => {
                        at_end = at_end.and(done.at_end);
                        weight = done.weight;
                        task.take_over(*done);
                        continue;
                    }
                },
                _ => None,
            };
            let rotation = task.turn % positions.len();
            positions.rotate_left(rotation);
            let read = match self.find(&positions, leader, &task, readers) {
                Ok(read) => read,
                Err(BrokerError::BudgetUsedUp) => return self.wait_for_memory(task),
                Err(error) => {
                    task.phase = CatchUpPhase::LookingUp;
                    return task.retry(RequestKind::Fetch, &error);
                }
            };
            if read.len() < positions.len() {
                at_end = AtEnd::No;
            }
            let is_short = read.iter().any(|(_, read)| matches!(read, Err(BrokerError::BudgetUsedUp)));
            awaits_schema |= read.iter().any(|(_, read)| matches!(read, Err(BrokerError::SchemaPending(_))));
            let reader = self.reader(leader, readers);
            let mut span_end = AtEnd::Yes;
            let (chunk, written) = self.write(&mut task, read, reader, (chunk_size, &budget), &mut span_end);
            at_end = at_end.and(span_end);
            if let (Some(working), Ok(())) = (working, &written) {
                let (encoder, chunk, weight) = (task.stream.encoder.fork(), chunk.clone(), task.weight_after(&budget));
                working.finish(TurnDone { encoder, chunk, records_behind: task.records_behind, at_end, weight });
            }
            task.stream.send_shared(chunk);
            match written {
                Ok(()) => {}
                Err(BrokerError::BudgetUsedUp) => return task.wait_for_memory(),
                Err(error) => {
                    task.phase = CatchUpPhase::LookingUp;
                    return task.retry(RequestKind::Fetch, &error);
                }
            }
            if task.stream.encoder.is_finished() {
                return task.finish();
            }
            if is_short {
                return self.wait_for_memory(task);
            }
        }
        task.backoff.reset();
        task.failures = 0;
        task.weight = if weight == Weight::Heavy { weight } else { task.weight_after(&budget) };
        task.lag.set_lag(task.records_behind);
        if at_end == AtEnd::Yes && task.waits_for_return() {
            return task.wait_for_return(TurnStart::Join);
        }
        task.phase = CatchUpPhase::Reading { at_end };
        // After the first turn without a record the stream tries to join immediately.
        if task.idle > 1 {
            let pause = if awaits_schema { SCHEMA_PAUSE } else { task.idle_pause(IDLE_PAUSE) };
            return TurnOutcome::Later(task, pause);
        }
        TurnOutcome::Again(task)
    }

    /// Empties the read cache, and postpones the turn until other streams have released memory too.
    fn wait_for_memory(&self, task: Box<CatchUpTask>) -> TurnOutcome {
        self.cache.clear();
        task.wait_for_memory()
    }

    /// Returns the spans that the caches have for these positions, or fetches the others. Cached and fetched spans take turns, so
    /// that a busy partition, which is always cached, and one that is never cached do not starve each other.
    fn find(
        &self,
        positions: &[FetchPosition],
        leader: NodeId,
        task: &CatchUpTask,
        readers: &mut HashMap<NodeId, Box<dyn PartitionReader>>,
    ) -> Result<Vec<CachedRead>, BrokerError> {
        let cached = |position: &FetchPosition| self.live.recent(position).or_else(|| self.cache.get(position));
        let (mut kept, mut missing) = (Vec::new(), Vec::new());
        for position in positions {
            match cached(position) {
                Some(span) => kept.push((position.clone(), Ok(span))),
                None => missing.push(position.clone()),
            }
        }
        // Partitions at the position of the live flow have nothing to fetch, so cached spans come first.
        let all_but_the_tail = || task.may_join() && missing.iter().all(|position| self.live.is_at(position));
        if missing.is_empty() || (!kept.is_empty() && (task.turn.is_multiple_of(2) || all_but_the_tail())) {
            return Ok(kept);
        }
        if let Some((at, error)) = lock(&self.unreachable).get(&leader)
            && at.elapsed() < UNREACHABLE
        {
            return Err(error.clone());
        }
        let reader = self.reader(leader, readers);
        let bytes = task.settings.read_bytes;
        let limits = FetchLimits { wait: Duration::ZERO, max_bytes: bytes, partition_max_bytes: bytes };
        let mut fetched = reader.fetch(&missing, limits).inspect_err(|error| {
            if error.remedy() == Remedy::Retry {
                lock(&self.unreachable).insert(leader, (Instant::now(), error.clone()));
            }
        })?;
        // The response may omit partitions without records.
        Ok(missing
            .iter()
            .map(|position| {
                let own = |f: &FetchResult| f.topic == position.topic && f.partition == position.partition;
                let result = match fetched.iter().position(own) {
                    Some(index) => fetched.swap_remove(index).result,
                    None => Ok(PartitionData { next_offset: position.offset, ..PartitionData::default() }),
                };
                (position.clone(), result.map(|data| self.cache.put(position, data)))
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

    /// Writes the spans as one chunk. Returns the chunk, and an error if the turn must end.
    fn write(
        &self,
        task: &mut CatchUpTask,
        read: Vec<CachedRead>,
        reader: &mut dyn PartitionReader,
        (chunk_size, budget): (ChunkSize, &TimeBudget),
        at_end: &mut AtEnd,
    ) -> (Bytes, Result<(), BrokerError>) {
        let most = task.most(chunk_size);
        let mut out = Vec::with_capacity(most + most / 4);
        let (mut failed, mut memory) = (Ok(()), task.stream.settings.chunk_budget.empty_reservation());
        for (position, result) in read {
            let FetchPosition { topic: name, partition, offset, .. } = position.clone();
            let Some(topic) = task.stream.encoder.cursor.topic_index(&name) else { continue };
            match result {
                Ok(CachedSpan { log: span, end }) => {
                    let input = FilterInput::new(&name, partition, &span.batches).with_epochs(&span.epochs);
                    let limits = EncodeLimits { most, budget, memory: &mut memory };
                    let flow = task.stream.encoder.records(&mut out, topic, &input, span.next, limits);
                    let next = task.stream.encoder.cursor.next(topic, partition).unwrap_or(offset);
                    if next >= end {
                        // The log has no later record that could replace the held ones.
                        let mut limits = EncodeLimits { most, budget, memory: &mut memory };
                        task.stream.encoder.write_overdue(&mut out, (topic, partition), &mut limits);
                    }
                    if let (Flow::Short(shortage), true) = (flow, out.is_empty()) {
                        let record = TopicPartition { topic: name.clone(), partition };
                        failed = Err(BrokerError::no_memory(shortage, MemorySubject::Record(record, next)));
                    }
                    task.records_behind = task.records_behind.max(u64::try_from(end - next).unwrap_or(0));
                    if next < end || next < span.next {
                        *at_end = AtEnd::No;
                    }
                    if next > offset {
                        task.idle = 0;
                    } else if end >= offset {
                        task.stream.confirm(topic, &position);
                    }
                }
                Err(error @ (BrokerError::OffsetOutOfRange(_) | BrokerError::Truncated { .. })) => {
                    *at_end = AtEnd::No;
                    match find_gap(&*self.broker, reader, &position, error) {
                        Ok(LogChange::Lost(loss)) => {
                            self.cache.forget(&name, partition);
                            let gaps = task.stream.encoder.gap(&mut out, topic, partition, loss);
                            self.live.counts.count_gaps(loss.reason, gaps);
                        }
                        Ok(LogChange::FetchAgain(at)) => task.stream.encoder.cursor.set(topic, partition, at),
                        Ok(LogChange::InRange) => {
                            failed = Err(Staleness::Changed(TopicPartition { topic: name, partition }).into());
                        }
                        Err(error) => failed = Err(error),
                    }
                }
                Err(BrokerError::Recreated(_) | BrokerError::UnknownTopic(_)) => {
                    failed = Err(Staleness::TopicChanged(name).into());
                }
                Err(BrokerError::BudgetUsedUp | BrokerError::SchemaPending(_)) => *at_end = AtEnd::No,
                Err(error) => failed = Err(error),
            }
            if task.stream.encoder.is_finished() {
                break;
            }
        }
        (task.stream.settings.chunk_budget.hold_paid(out, memory), failed)
    }
}
