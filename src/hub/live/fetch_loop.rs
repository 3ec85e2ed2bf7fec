//! The fetch threads of the live flow, one per leader broker.

use super::registry::{Live, Wakeup};
use super::tail::Tail;
use crate::broker::{Broker, BrokerError, FetchLimits, FetchPosition, NodeId, PartitionData, PartitionReader, Remedy};
use crate::hub::counts::{HubCounts, RequestKind};
use crate::hub::stream::gap::{LogChange, find_gap};
use crate::hub::stream::time_budget::TimeBudget;
use crate::sync::backoff::Backoff;
use crate::sync::lock;
use crate::sync::watchdog;
use crate::sync::worker::Worker;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use log::{Level, info, log, warn};
use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long a broker may delay its response to a fetch while there are no records.
const LONG_POLL: Duration = Duration::from_millis(500);

/// Time budget of all filters together between two fetches. The thread serves every topic of the leader, so this is also the
/// delay that the filters of some streams can cause for others.
const FILTER_TIME: Duration = Duration::from_millis(20);

/// How long a partition is left out of fetches after an error.
const PAUSE: Duration = Duration::from_millis(100);

/// Number of consecutive fetches that are denied, untrusted or corrupt, after which the streams of a topic end.
const TRIES: u32 = 5;

/// Owns the fetch thread of one leader. Dropping it ends and joins the thread.
pub struct LeaderFetcher {
    /// Wakes the thread. The thread ends when this is dropped.
    wake: Option<Sender<()>>,
    interrupt: Arc<dyn Fn() + Send + Sync>,
    /// The partitions that the thread is fetching, as [`hashes`].
    fetching: Arc<Mutex<HashSet<u64>>>,
    worker: Option<Worker>,
}

impl LeaderFetcher {
    /// Starts the thread. Each fetch returns up to `max_bytes`.
    pub fn start(leader: NodeId, live: Arc<Live>, broker: Arc<dyn Broker>, max_bytes: usize) -> std::io::Result<Self> {
        let (wake, woken) = bounded(1);
        let reader = broker.reader(leader, &live.memory);
        let interrupt = reader.interrupter();
        let fetching = Arc::<Mutex<HashSet<u64>>>::default();
        let backoff = Backoff::for_broker();
        let mut fetch_loop = FetchLoop {
            leader,
            live,
            broker,
            reader,
            woken,
            fetching: fetching.clone(),
            backoff,
            failures: 0,
            outage: None,
            max_bytes,
        };
        let worker = Worker::start(format!("reader-{leader}"), move || fetch_loop.run())?;
        Ok(Self { wake: Some(wake), interrupt, fetching, worker: Some(worker) })
    }

    /// Whether the thread has ended unexpectedly.
    pub fn has_ended(&self) -> bool {
        self.worker.as_ref().is_some_and(Worker::has_ended)
    }

    /// Interrupts the fetch if it does not include every partition of `positions`. An interrupt can cost a connection
    /// and a login, so partitions that are no longer needed do not cause one.
    pub fn update(&self, positions: &[FetchPosition]) {
        // Hold the lock until after the interrupt, so that it cannot hit the next fetch, which already includes these
        // partitions.
        let fetching = lock(&self.fetching);
        if !hashes(positions).all(|hash| fetching.contains(&hash)) {
            (self.interrupt)();
            if let Some(wake) = &self.wake {
                let _ = wake.try_send(());
            }
        }
    }
}

impl Drop for LeaderFetcher {
    fn drop(&mut self) {
        self.wake = None;
        (self.interrupt)();
        self.worker = None;
    }
}

/// Returns a hash of each partition of a fetch, without the offset.
fn hashes(positions: &[FetchPosition]) -> impl Iterator<Item = u64> + '_ {
    positions.iter().map(|position| {
        let mut hash = DefaultHasher::new();
        (&position.topic, position.partition, position.topic_id).hash(&mut hash);
        hash.finish()
    })
}

/// Counts a leader that cannot be fetched from, until this is dropped.
struct Outage(Arc<HubCounts>);

impl Outage {
    fn begin(counts: &Arc<HubCounts>) -> Self {
        counts.outages.fetch_add(1, Ordering::Relaxed);
        Self(counts.clone())
    }
}

impl Drop for Outage {
    fn drop(&mut self) {
        self.0.outages.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The state of a fetch thread.
struct FetchLoop {
    leader: NodeId,
    live: Arc<Live>,
    broker: Arc<dyn Broker>,
    reader: Box<dyn PartitionReader>,
    woken: Receiver<()>,
    fetching: Arc<Mutex<HashSet<u64>>>,
    backoff: Backoff,
    /// Number of consecutive fetches that failed for all partitions.
    failures: u32,
    /// `Some` while fetches fail.
    outage: Option<Outage>,
    max_bytes: usize,
}

impl FetchLoop {
    fn run(&mut self) {
        let mut first = 0;
        loop {
            let mut positions = {
                let mut fetching = lock(&self.fetching);
                let positions = self.live.fetch_positions(self.leader);
                *fetching = hashes(&positions).collect();
                positions
            };
            let pause = if positions.is_empty() {
                // Nothing is fetched from a leader without live partitions, so it is unknown whether it is reachable.
                self.failures = 0;
                self.outage = None;
                // Some partitions may be paused. Without any tail, nothing changes until the thread is woken.
                if self.live.tails().is_empty() { Duration::MAX } else { PAUSE }
            } else {
                // The size of a response is limited, so the partitions take turns at being first.
                first = (first + 1) % positions.len();
                positions.rotate_left(first);
                self.fetch(&positions)
            };
            if !self.pause(pause) {
                return;
            }
        }
    }

    /// Waits for `pause`, or until the thread is woken. Returns whether the thread continues.
    fn pause(&self, pause: Duration) -> bool {
        let woken = match Instant::now().checked_add(pause) {
            Some(until) => self.woken.recv_deadline(until),
            None => self.woken.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        woken != Err(RecvTimeoutError::Disconnected) && !self.live.is_closing()
    }

    /// Fetches once, and delivers the records. Returns the pause before the next fetch.
    fn fetch(&mut self, positions: &[FetchPosition]) -> Duration {
        let limits = FetchLimits { wait: LONG_POLL, max_bytes: self.max_bytes, partition_max_bytes: self.max_bytes };
        let _busy = watchdog::busy();
        match self.reader.fetch(positions, limits) {
            Ok(fetched) => {
                self.backoff.reset();
                self.failures = 0;
                if self.outage.take().is_some() {
                    self.live.counts.recoveries.fetch_add(1, Ordering::Relaxed);
                    info!("fetches from broker {} succeed again", self.leader);
                }
                let wanted: HashMap<_, _> =
                    positions.iter().map(|position| ((&position.topic, position.partition), position)).collect();
                let budget = TimeBudget::new(FILTER_TIME);
                for fetched in fetched {
                    if let Some(position) = wanted.get(&(&fetched.topic, fetched.partition)) {
                        self.handle_result(position, fetched.result, &budget);
                    }
                }
                Duration::ZERO
            }
            Err(BrokerError::BudgetUsedUp) => {
                self.live.forget_recent();
                PAUSE
            }
            Err(error) => {
                let pause = self.backoff.pause(fastrand::f64());
                // One warning per outage; retries are logged at debug level.
                let level = if self.outage.is_none() { Level::Warn } else { Level::Debug };
                log!(level, "cannot fetch from broker {}: {error}; retrying in {} ms", self.leader, pause.as_millis());
                self.outage.get_or_insert_with(|| Outage::begin(&self.live.counts));
                self.live.counts.count_error(RequestKind::Fetch, &error);
                self.failures += 1;
                if self.failures >= TRIES && matches!(error, BrokerError::Untrusted(_) | BrokerError::Denied(_)) {
                    // Only an operator can fix these errors, so the streams end with the error.
                    let tails = positions.iter().filter_map(|position| self.live.tail(&position.topic));
                    tails.for_each(|tail| self.live.fail(&tail, &error));
                }
                self.live.wake_refresher(Wakeup::Metadata);
                pause
            }
        }
    }

    fn handle_result(
        &mut self,
        position: &FetchPosition,
        result: Result<PartitionData, BrokerError>,
        budget: &TimeBudget,
    ) {
        let Some(tail) = self.live.tail(&position.topic) else { return };
        if tail.state().partition(position.partition).is_none_or(|current| current.leader != Some(self.leader)) {
            // The partition has moved to a new leader, and is fetched from there.
            return;
        }
        match result {
            Ok(data) if data.next_offset > position.offset => self.live.deliver(&tail, position, data, budget),
            Ok(_) => {}
            Err(error) => self.handle_error(&tail, position, error),
        }
    }

    fn handle_error(&mut self, tail: &Tail, position: &FetchPosition, error: BrokerError) {
        let FetchPosition { topic, partition, offset, .. } = position;
        let mut state = tail.state();
        let Some(current) = state.partition(*partition) else { return };
        current.paused_until = Some(Instant::now() + PAUSE);
        if let BrokerError::SchemaPending(_) = error {
            // Not an error: the partition is fetched again when its schema may have arrived.
            return;
        }
        self.live.counts.count_error(RequestKind::Fetch, &error);
        current.failures += 1;
        let failures = current.failures;
        drop(state);
        let error = match error {
            BrokerError::OffsetOutOfRange(_) | BrokerError::Truncated { .. } => {
                match find_gap(&*self.broker, &mut *self.reader, position, error) {
                    Ok(LogChange::Lost(loss)) => return self.live.jump(tail, position, loss),
                    Ok(LogChange::FetchAgain(at)) => return self.live.set_last_epoch(tail, position, at.epoch),
                    Ok(LogChange::InRange) => return,
                    Err(error) => error,
                }
            }
            other => other,
        };
        match error {
            BrokerError::Recreated(_) | BrokerError::UnknownTopic(_) | BrokerError::UnknownPartition(_) => {
                info!("{topic}/{partition}: {error}");
                self.live.wake_refresher(Wakeup::Metadata);
            }
            // The partition is fetched again after the pause, when this has released memory.
            BrokerError::BudgetUsedUp => self.live.forget_recent(),
            BrokerError::Corrupt(_) if failures < TRIES => warn!("{topic}/{partition} at offset {offset}: {error}"),
            error if error.remedy() == Remedy::GiveUp => {
                warn!("{topic}/{partition} at offset {offset}: {error}; its streams end");
                self.live.fail(tail, &error);
            }
            error => {
                info!("{topic}/{partition}: {error}");
                self.live.wake_refresher(Wakeup::Metadata);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::record::{NO_EPOCH, TopicName};
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn a_fetch_is_interrupted_for_partitions_that_came_and_not_for_those_that_went() {
        let position = |partition| FetchPosition {
            topic: TopicName::new("t").unwrap(),
            topic_id: None,
            partition,
            offset: 0,
            leader_epoch: -1,
            last_epoch: NO_EPOCH,
        };
        let interrupts = Arc::new(AtomicUsize::new(0));
        let count = interrupts.clone();
        let reader = LeaderFetcher {
            wake: None,
            interrupt: Arc::new(move || {
                count.fetch_add(1, Ordering::SeqCst);
            }),
            fetching: Arc::new(Mutex::new(hashes(&[position(0), position(1)]).collect())),
            worker: None,
        };
        for (positions, interrupted) in
            [(vec![1, 0], 0), (vec![1], 0), (vec![], 0), (vec![1, 2], 1), (vec![0, 1, 2], 2)]
        {
            reader.update(&positions.iter().copied().map(position).collect::<Vec<_>>());
            assert_eq!(interrupts.load(Ordering::SeqCst), interrupted, "{positions:?}");
        }
    }
}
