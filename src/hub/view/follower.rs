//! Reads the log for views, a turn at a time.

use super::keyed_view::{KeyedView, ViewWork};
use super::reading::{LookUp, ReadSpan, ViewReading};
use super::store::ViewStore;
use super::topic_snapshot::TopicSnapshot;
use crate::broker::{
    Broker, BrokerError, FetchLimits, FetchPosition, FetchResult, MemorySubject, NodeId, OffsetAt, PartitionReader,
    Remedy, SCHEMA_PAUSE, Staleness,
};
use crate::hub::counts::RequestKind;
use crate::hub::live::registry::Live;
use crate::hub::stream::gap::{LogChange, find_gap};
use crate::hub::stream::log_span::CachedSpan;
use crate::hub::subscription::GapReason;
use crate::record::{TopicPartition, now};
use crate::sync::lock;
use crate::sync::memory_budget::{Share, Shortage};
use crate::sync::watchdog;
use log::{debug, warn};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Approximate number of bytes that one turn reads.
const TURN_BYTES: usize = 1 << 20;

/// Interval at which a view with streams reads the log, so that the next stream gets its snapshot soon.
const REFRESH: Duration = Duration::from_secs(1);

/// Pause after a turn that read nothing although the log has more records.
const IDLE_PAUSE: Duration = Duration::from_millis(10);

/// Pause after a turn without memory.
const MEMORY_PAUSE: Duration = Duration::from_millis(100);

/// Number of corrupt responses after which the streams of a view end.
const TRIES: u32 = 3;

/// How long a view that is too large is not read again. Most of its clients reconnect immediately, and each time the
/// log would be read up to the record that exceeds the limit.
const TOO_LARGE_FOR: Duration = Duration::from_secs(60);

/// How long a view is not read again after the memory budget was used up.
const NO_MEMORY_FOR: Duration = Duration::from_secs(5);

/// State shared by the threads that read for views.
pub struct ViewFollower {
    /// The views.
    pub store: Arc<ViewStore>,
    /// The live flow. Its recent records are read from memory.
    pub live: Arc<Live>,
    /// The broker.
    pub broker: Arc<dyn Broker>,
    /// The memory budget of fetched batches.
    pub memory: Arc<Share>,
}

/// The connections of one thread.
type LeaderReaders = HashMap<NodeId, Box<dyn PartitionReader>>;

/// Whether a turn has moved any partition forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TurnProgress {
    None,
    Some,
}

/// The result of a turn.
enum ViewTurn {
    /// The round continues.
    Again,
    Pause(Duration),
    /// The round is complete.
    Done,
}

/// Why a view cannot be read.
enum ViewError {
    Broker(BrokerError),
    /// The latest records take more than [`ViewStore::snapshot_bytes`].
    TooLarge,
    NoMemory(Shortage),
}

impl From<BrokerError> for ViewError {
    fn from(error: BrokerError) -> Self {
        Self::Broker(error)
    }
}

impl From<Shortage> for ViewError {
    fn from(shortage: Shortage) -> Self {
        Self::NoMemory(shortage)
    }
}

impl ViewFollower {
    /// Runs one thread until the hub shuts down.
    pub fn run(&self) {
        let mut readers = HashMap::new();
        while let Some(view) = self.store.next() {
            let _busy = watchdog::busy();
            self.take_turn(&view, &mut readers);
        }
    }

    fn take_turn(&self, view: &Arc<KeyedView>, readers: &mut LeaderReaders) {
        let mut reading = lock(&view.reading);
        if view.status().rests_without_streams() {
            return;
        }
        // A panic counts as an error, so that the view does not wait for the lost turn.
        let turn = watchdog::catch_panic(|| self.turn(view, &mut reading, readers));
        let topic = &view.key.topic;
        let turn = match turn.unwrap_or_else(|| {
            Err(BrokerError::Internal(format!("the reading of topic {topic:?} panicked").into()).into())
        }) {
            Ok(turn) => turn,
            Err(ViewError::Broker(error)) => match self.pause_after(&error, &mut reading) {
                Some(pause) => ViewTurn::Pause(pause),
                None => return self.fail(view, &mut reading, error, Duration::ZERO),
            },
            Err(ViewError::TooLarge) => {
                let error = BrokerError::SnapshotTooLarge { topic: topic.clone(), limit: self.store.snapshot_bytes };
                return self.fail(view, &mut reading, error, TOO_LARGE_FOR);
            }
            Err(ViewError::NoMemory(_)) if self.store.evict_unused() => ViewTurn::Again,
            Err(ViewError::NoMemory(shortage)) => {
                let error = BrokerError::no_memory(shortage, MemorySubject::Snapshot(topic.clone()));
                return self.fail(view, &mut reading, error, NO_MEMORY_FOR);
            }
        };
        drop(reading);
        let mut status = view.status();
        match turn {
            ViewTurn::Again => return self.store.queue(view, status),
            ViewTurn::Pause(pause) => status.work = ViewWork::Paused(Instant::now() + pause),
            ViewTurn::Done if status.wanted.is_some() => return self.store.queue(view, status),
            ViewTurn::Done => status.work = ViewWork::Idle(Some(Instant::now() + REFRESH)),
        }
        drop(status);
        self.store.wake();
    }

    /// Returns the pause before a retry, or `None` if a retry cannot help.
    fn pause_after(&self, error: &BrokerError, reading: &mut ViewReading) -> Option<Duration> {
        if let BrokerError::SchemaPending(_) = error {
            // The next turn reads from another leader.
            reading.turn += 1;
            return Some(SCHEMA_PAUSE);
        }
        self.live.counts.count_error(RequestKind::Fetch, error);
        reading.failures += 1;
        reading.look_up = LookUp::Due;
        match error {
            BrokerError::BudgetUsedUp => return Some(MEMORY_PAUSE),
            BrokerError::Corrupt(_) if reading.failures < TRIES => {}
            // The topic may have been recreated or deleted, so it is looked up again.
            BrokerError::Recreated(_) => {}
            error if error.remedy() == Remedy::GiveUp => return None,
            _ => {}
        }
        debug!("a snapshot waits: {error}");
        Some(reading.backoff.pause(fastrand::f64()))
    }

    /// Reports an error to the streams that wait for a snapshot, and to those that request one within `quiet`.
    fn fail(&self, view: &KeyedView, reading: &mut ViewReading, error: BrokerError, quiet: Duration) {
        warn!("topic {:?} has no snapshot: {error}", view.key.topic);
        *reading = ViewReading::default();
        view.status().fail(error, quiet);
    }

    fn turn(
        &self,
        view: &KeyedView,
        reading: &mut ViewReading,
        readers: &mut LeaderReaders,
    ) -> Result<ViewTurn, ViewError> {
        if reading.round.is_none() {
            let began = Instant::now();
            let status = view.status();
            if let Some(wait) = status.wait_before_round(began) {
                return Ok(ViewTurn::Pause(wait));
            }
            // A round for waiting streams looks up the log start offsets and new partitions.
            let look_up = if status.wanted.is_some() { LookUp::Due } else { LookUp::Done };
            drop(status);
            reading.begin_round(began, look_up);
        }
        if reading.look_up == LookUp::Due {
            self.look_up(view, reading)?;
        }
        let progress = self.read(reading, readers)?;
        if reading.bytes() > self.store.snapshot_bytes {
            reading.expire(view.key.reach.oldest(now()));
            if reading.bytes() > self.store.snapshot_bytes {
                return Err(ViewError::TooLarge);
            }
        }
        if progress == TurnProgress::Some {
            (reading.failures, reading.turn) = (0, reading.turn + 1);
            reading.backoff.reset();
        }
        if reading.is_finished() {
            self.finish(view, reading)?;
            return Ok(ViewTurn::Done);
        }
        Ok(if progress == TurnProgress::Some { ViewTurn::Again } else { ViewTurn::Pause(IDLE_PAUSE) })
    }

    fn look_up(&self, view: &KeyedView, reading: &mut ViewReading) -> Result<(), ViewError> {
        let topic = &view.key.topic;
        let missing = || BrokerError::Corrupt(format!("the metadata of topic {topic:?} is missing").into());
        reading.learn(self.broker.topics(std::slice::from_ref(topic))?.pop().ok_or_else(missing)??);
        let places = reading.places();
        let find = |at: OffsetAt| {
            let queries: Vec<_> = places.iter().map(|place| (place.clone(), at)).collect();
            self.broker.positions(&queries).into_iter().collect::<Result<Vec<_>, _>>()
        };
        let log_starts = find(OffsetAt::Earliest)?;
        let is_new = reading.partitions.iter().any(|fold| fold.at.is_none());
        let oldest = view.key.reach.oldest(now()).filter(|_| is_new);
        let starts = oldest.map(|oldest| find(OffsetAt::Time(oldest))).transpose()?;
        for (at, fold) in reading.partitions.iter_mut().enumerate() {
            let Some(log_start) = log_starts.get(at) else { continue };
            fold.starts_at(log_start.next);
            fold.at.get_or_insert(starts.as_ref().and_then(|starts| starts.get(at)).copied().unwrap_or(*log_start));
        }
        Ok(())
    }

    /// Reads the spans that the live flow has in memory. If it has no span of this view, fetches from one leader.
    fn read(&self, reading: &mut ViewReading, readers: &mut LeaderReaders) -> Result<TurnProgress, ViewError> {
        let share = &self.store.memory;
        let (mut progress, mut missing) = (TurnProgress::None, Vec::new());
        for (leader, wants) in reading.wants()? {
            let mut uncached = Vec::new();
            for want in wants {
                let partition = want.partition as usize;
                if self.live.is_at(&want) {
                    reading.advance(partition, &ReadSpan::nothing_at(want.offset), share)?;
                    progress = TurnProgress::Some;
                } else if let Some(CachedSpan { log, end }) = self.live.recent(&want) {
                    let (batches, epochs) = (&log.batches[..], &log.epochs);
                    let span = ReadSpan { batches, epochs, next: log.next, end: Some(end) };
                    reading.advance(partition, &span, share)?;
                    progress = TurnProgress::Some;
                } else {
                    uncached.push(want);
                }
            }
            if !uncached.is_empty() {
                missing.push((leader, uncached));
            }
        }
        let next = reading.turn % missing.len().max(1);
        match missing.into_iter().nth(next) {
            Some((leader, wants)) if progress == TurnProgress::None => self.fetch(reading, leader, wants, readers),
            _ => Ok(progress),
        }
    }

    fn fetch(
        &self,
        reading: &mut ViewReading,
        leader: NodeId,
        mut wants: Vec<FetchPosition>,
        readers: &mut LeaderReaders,
    ) -> Result<TurnProgress, ViewError> {
        let first = reading.turn % wants.len().max(1);
        wants.rotate_left(first);
        let limits = FetchLimits { wait: Duration::ZERO, max_bytes: TURN_BYTES, partition_max_bytes: TURN_BYTES };
        let reader = readers.entry(leader).or_insert_with(|| self.broker.reader(leader, &self.memory));
        let mut fetched = reader.fetch(&wants, limits)?;
        // A full response may omit partitions that have records.
        let is_empty = |f: &FetchResult| matches!(&f.result, Ok(data) if data.batches.is_empty());
        let nothing_left_out = fetched.iter().all(is_empty);
        let (mut progress, share) = (TurnProgress::None, &self.store.memory);
        let mut pending = None;
        for want in wants {
            let partition = want.partition as usize;
            let own = |f: &FetchResult| f.topic == want.topic && f.partition == want.partition;
            let result = fetched.iter().position(own).map(|at| fetched.swap_remove(at).result);
            match result {
                None if nothing_left_out => {
                    reading.advance(partition, &ReadSpan::nothing_at(want.offset), share)?;
                    progress = TurnProgress::Some;
                }
                None => {}
                Some(Ok(data)) => {
                    let end = data.end.max(data.next_offset);
                    let span = ReadSpan {
                        batches: &data.batches,
                        epochs: &data.epochs,
                        next: data.next_offset,
                        end: Some(end),
                    };
                    reading.advance(partition, &span, share)?;
                    if data.next_offset > want.offset || end <= want.offset {
                        progress = TurnProgress::Some;
                    }
                    reading.partitions[partition].starts_at(data.log_start);
                }
                Some(Err(error @ (BrokerError::OffsetOutOfRange(_) | BrokerError::Truncated { .. }))) => {
                    match find_gap(&*self.broker, &mut **reader, &want, error)? {
                        LogChange::Lost(loss) if loss.reason == GapReason::Retention => {
                            reading.partitions[partition].starts_at(loss.to.next);
                            reading.jump(partition, loss.to);
                        }
                        // The lost records had replaced earlier ones, which the view no longer has.
                        LogChange::Lost(_) => reading.restart(partition),
                        LogChange::FetchAgain(at) => reading.jump(partition, at),
                        LogChange::InRange => {
                            let place = TopicPartition { topic: want.topic.clone(), partition: want.partition };
                            return Err(BrokerError::from(Staleness::Changed(place)).into());
                        }
                    }
                    progress = TurnProgress::Some;
                }
                // The other partitions need not wait for the schema.
                Some(Err(error @ BrokerError::SchemaPending(_))) => pending = Some(error),
                Some(Err(error)) => return Err(error.into()),
            }
        }
        match pending.filter(|_| progress == TurnProgress::None) {
            Some(pending) => Err(pending.into()),
            None => Ok(progress),
        }
    }

    /// Ends a round. Creates a snapshot for the streams that requested one before the round began.
    fn finish(&self, view: &KeyedView, reading: &mut ViewReading) -> Result<(), ViewError> {
        let Some(round) = reading.round.take() else { return Ok(()) };
        let earlier = {
            let mut status = view.status();
            if status.wanted.is_none_or(|wanted| wanted > round.began) {
                status.drop_old_snapshot(round.began);
                return Ok(());
            }
            status.snapshot.as_ref().map(|(_, snapshot)| snapshot.clone())
        };
        reading.expire(view.key.reach.oldest(now()));
        let id = reading.info.as_ref().and_then(|info| info.id);
        let snapshot = match earlier.filter(|earlier| earlier.is_of(id, &reading.partitions)) {
            Some(earlier) => earlier,
            None => Arc::new(TopicSnapshot::of(id, &reading.partitions, &self.store.memory)?),
        };
        let mut status = view.status();
        (status.snapshot, status.failure) = (Some((round.began, snapshot)), None);
        if status.wanted.is_some_and(|wanted| wanted <= round.began) {
            status.wanted = None;
        }
        Ok(())
    }
}
