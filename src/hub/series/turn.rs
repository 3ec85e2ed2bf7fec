//! Runs tasks: reads the log and folds its records. A turn ends when its time is used up, and another turn continues
//! the task.

use super::plan::LogBlock;
use super::task::{FollowPass, METADATA_AGE, SeriesTask, TaskKind, TaskOutcome, without_epoch};
use crate::broker::{
    Broker, BrokerError, FetchLimits, FetchPosition, FetchResult, NodeId, OffsetAt, PartitionData, PartitionReader,
    Staleness, Support, TopicInfo,
};
use crate::cel::Verdict;
use crate::hub::stream::filter_input::FilterInput;
use crate::hub::stream::positions_by_leader::{by_leader, fetch_position};
use crate::hub::stream::time_budget::TimeBudget;
use crate::record::{Offset, Partition, Position, Timestamp, TopicPartition, now};
use crate::series::{Fold, SeriesTable};
use crate::sync::memory_budget::Share;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Maximum CPU time of one turn.
const TURN: Duration = Duration::from_millis(50);
/// Approximate size of one fetch, in bytes.
const FETCH_BYTES: usize = 1 << 20;
/// Number of records between two checks of the time budget. With a filter, which may take milliseconds for a record, the budget
/// is checked after every record.
const RECORDS_PER_LOOK: usize = 512;

/// A turn uses at most one fourth of the memory for folds. Two threads use half of it, and the other half is for the
/// last record of each turn, which may exceed the limit.
const FOLD_FRACTION: usize = 4;

/// The connections of one thread, by leader.
pub type SeriesReaders = HashMap<NodeId, Box<dyn PartitionReader>>;

/// State that all turns share.
pub struct TaskRunner {
    /// The broker.
    pub broker: Arc<dyn Broker>,
    /// Memory for fetched batches.
    pub fetched: Arc<Share>,
    /// Memory for folds that have not been merged yet.
    pub folds: Arc<Share>,
}

impl TaskRunner {
    /// Runs one turn of a task.
    pub fn run(&self, task: SeriesTask, readers: &mut SeriesReaders) -> TaskOutcome {
        let budget = TimeBudget::new(TURN);
        let mut turn = SeriesTurn {
            of: self,
            task: &task,
            readers,
            budget: &budget,
            fold: None,
            tables: Vec::new(),
            is_full: false,
        };
        match &task.kind {
            TaskKind::Open { end } => turn.open(*end).unwrap_or_else(TaskOutcome::Failed),
            TaskKind::LookUp { at, partitions } => {
                let found = turn.positions(*partitions, OffsetAt::Time(*at));
                let offsets = |found: Vec<Position>| found.into_iter().map(|position| position.next).collect();
                found.map_or_else(TaskOutcome::Failed, |found| TaskOutcome::LookedUp {
                    at: *at,
                    offsets: offsets(found),
                })
            }
            TaskKind::Read { block, topic } => {
                let mut block = block.clone();
                let result = turn.read(&mut block, topic);
                TaskOutcome::Read { block, tables: turn.into_tables(), result }
            }
            TaskKind::Follow(pass) => {
                let mut pass = pass.clone();
                let result = turn.follow(&mut pass);
                TaskOutcome::Followed { pass, tables: turn.into_tables(), result }
            }
        }
    }
}

struct SeriesTurn<'t> {
    of: &'t TaskRunner,
    task: &'t SeriesTask,
    readers: &'t mut SeriesReaders,
    budget: &'t TimeBudget,
    /// The fold of the partition that is being read.
    fold: Option<(Partition, Fold)>,
    tables: Vec<SeriesTable>,
    /// Whether the turn has used as much memory as it may.
    is_full: bool,
}

impl SeriesTurn<'_> {
    fn open(&self, end: Option<Timestamp>) -> Result<TaskOutcome, BrokerError> {
        if self.of.broker.capabilities()?.timestamps == Support::No {
            let why = "this broker stores no timestamps, so there are no time series; use Kafka 0.10.1 or later";
            return Err(BrokerError::Unsupported(why.into()));
        }
        let started = (Instant::now(), now());
        let topic = self.topic()?;
        let ends = self.positions(topic.partitions.len(), end.map_or(OffsetAt::Latest, OffsetAt::Time))?;
        Ok(TaskOutcome::Opened { topic, ends, started })
    }

    /// Whether the turn has used up its time or memory.
    fn is_over(&self) -> bool {
        self.is_full || self.budget.is_spent()
    }

    fn topic(&self) -> Result<TopicInfo, BrokerError> {
        let missing = || Err(BrokerError::Corrupt("the topic is missing in the response".into()));
        self.of.broker.topics(std::slice::from_ref(&self.task.name))?.into_iter().next().unwrap_or_else(missing)
    }

    fn positions(&self, partitions: usize, at: OffsetAt) -> Result<Vec<Position>, BrokerError> {
        let query = |partition| (TopicPartition { topic: self.task.name.clone(), partition }, at);
        let queries: Vec<_> = (0..partitions as Partition).map(query).collect();
        self.of.broker.positions(&queries).into_iter().collect()
    }

    /// Reads a block until its end, or until the turn is over.
    fn read(&mut self, block: &mut LogBlock, topic: &TopicInfo) -> Result<(), BrokerError> {
        while block.next < block.end && !self.is_over() {
            let (leader, want) = fetch_position(topic, block.partition, without_epoch(block.next))?;
            let fetched = self.fetch(leader, vec![want])?;
            let progress = match fetched.into_iter().next().map(|fetched| fetched.result) {
                Some(Ok(data)) => self.fold(block.partition, block.next, block.end, &data),
                // Retention has deleted the beginning of the block since it was planned.
                Some(Err(error @ BrokerError::OffsetOutOfRange(_))) => {
                    let place = TopicPartition { topic: self.task.name.clone(), partition: block.partition };
                    let earliest = self.of.broker.offsets(&[(place, OffsetAt::Earliest)]).into_iter().next();
                    let earliest = earliest.unwrap_or(Err(error.clone()))?;
                    if earliest <= block.next {
                        return Err(error);
                    }
                    earliest
                }
                Some(Err(error)) => return Err(error),
                None => block.next,
            };
            if progress <= block.next {
                let (topic, partition) = (self.task.name.clone(), block.partition);
                return Err(Staleness::NotInResponse(TopicPartition { topic, partition }).into());
            }
            block.next = progress.min(block.end);
        }
        Ok(())
    }

    /// Reads every partition until its end, or until the turn is over.
    fn follow(&mut self, pass: &mut FollowPass) -> Result<(), BrokerError> {
        if pass.looked_up.elapsed() >= METADATA_AGE {
            let topic = self.topic()?;
            if topic.id != pass.topic.id || topic.partitions.len() < pass.topic.partitions.len() {
                return Err(BrokerError::Recreated(self.task.name.clone()));
            }
            pass.positions.resize(topic.partitions.len(), without_epoch(0));
            (pass.topic, pass.looked_up) = (topic, Instant::now());
        }
        if pass.ends.is_none() {
            let ends = self.positions(pass.positions.len(), OffsetAt::Latest)?;
            let is_shorter = |(end, position): (&Position, &Position)| end.next < position.next;
            if let Some(partition) = ends.iter().zip(&pass.positions).position(is_shorter) {
                let (topic, partition) = (self.task.name.clone(), partition as Partition);
                return Err(BrokerError::OffsetOutOfRange(TopicPartition { topic, partition }));
            }
            pass.ends = Some(ends.into_iter().map(|end| end.next).collect());
        }
        while !self.is_over() && !pass.is_complete() {
            let (mut progress, mut failed) = (0, None);
            let behind = pass.behind().map(|(partition, position)| (&pass.topic, partition, position));
            for (leader, wants) in by_leader(behind)? {
                for FetchResult { partition, offset, result, .. } in self.fetch(leader, wants)? {
                    let data = match result {
                        Ok(data) => data,
                        // The others are read first, because a partition may wait for its schema for seconds.
                        Err(error) => {
                            failed = failed.or(Some(error));
                            continue;
                        }
                    };
                    let next = self.fold(partition, offset, Offset::MAX, &data);
                    let position = usize::try_from(partition).ok().and_then(|index| pass.positions.get_mut(index));
                    if let Some(position) = position.filter(|position| position.next == offset && next > offset) {
                        *position = Position { next, epoch: data.epochs.before(next).unwrap_or(position.epoch) };
                        progress += 1;
                    }
                }
            }
            if let Some(error) = failed {
                return Err(error);
            }
            if progress == 0 {
                let (topic, partition) =
                    (self.task.name.clone(), pass.behind().next().map_or(0, |(partition, _)| partition));
                return Err(Staleness::NotInResponse(TopicPartition { topic, partition }).into());
            }
        }
        Ok(())
    }

    fn fetch(&mut self, leader: NodeId, wants: Vec<FetchPosition>) -> Result<Vec<FetchResult>, BrokerError> {
        let TaskRunner { broker, fetched, .. } = self.of;
        let reader = self.readers.entry(leader).or_insert_with(|| broker.reader(leader, fetched));
        let limits = FetchLimits { wait: Duration::ZERO, max_bytes: FETCH_BYTES, partition_max_bytes: FETCH_BYTES };
        reader.fetch(&wants, limits)
    }

    /// Folds the records with `from <= offset < end`. Stops early when the time or memory of the turn is used up, but
    /// not before the first record. Returns the offset to read next.
    fn fold(&mut self, partition: Partition, from: Offset, end: Offset, data: &PartitionData) -> Offset {
        let SeriesTask { name, query, filter, states, steps, .. } = self.task;
        let mut fold = match self.fold.take() {
            Some((of, fold)) if of == partition => fold,
            other => {
                self.tables.extend(other.map(|(_, fold)| fold.into_table()));
                Fold::new(query.clone(), steps.clone(), &self.of.folds, states)
            }
        };
        let input = FilterInput::new(name, partition, &data.batches);
        let between = if filter.is_empty() { RECORDS_PER_LOOK } else { 1 };
        let mut next = data.next_offset.max(from);
        let taken: usize = self.tables.iter().map(SeriesTable::memory).sum();
        let space = (self.of.folds.limit() / FOLD_FRACTION).saturating_sub(taken);
        let wanted = input.records().enumerate().filter(|(_, record)| record.offset >= from);
        for (read, (index, record)) in wanted.enumerate() {
            let is_look = read > 0 && read % between == 0;
            let is_full = read > 0 && fold.memory() >= space;
            if record.offset >= end || is_full || (is_look && self.budget.is_spent()) {
                self.is_full |= is_full;
                next = record.offset;
                break;
            }
            match input.matches(filter, index, &record) {
                Verdict::Matches => fold.add(&record),
                Verdict::Undecoded => fold.omit_undecoded(&record),
                Verdict::Differs => {}
            }
        }
        self.fold = Some((partition, fold));
        next
    }

    fn into_tables(self) -> Vec<SeriesTable> {
        self.tables.into_iter().chain(self.fold.map(|(_, fold)| fold.into_table())).collect()
    }
}
