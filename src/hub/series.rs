//! Time series of topics: the threads that read the log for them, and the computations that viewers share.
//!
//! These threads run at a low priority, so that they use only the CPU time that streams and writes leave. Each thread takes one
//! task at a time, and clients take turns: a window of millions of records delays another window by one task.

mod computation;
mod plan;
mod queue;
mod span;
mod task;
mod turn;
mod viewers;
mod waiters;

pub use viewers::Unread;
pub use waiters::Ready;

use super::subscription::{ClientTag, Filter};
use crate::broker::{Broker, BrokerError};
use crate::os::priority;
use crate::record::{Timestamp, TopicName, now};
use crate::series::{SeriesQuery, SeriesTable, StateNames, Window};
use crate::sync::lock;
use crate::sync::memory_budget::{MemoryBudget, Share};
use crate::sync::watchdog;
use crate::sync::worker::Worker;
use computation::{Computation, NextTask};
use queue::ComputationQueue;
use span::{ComputationKey, SeriesSpan};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use task::TaskOutcome;
use thiserror::Error;
use turn::{SeriesReaders, TaskRunner};
use viewers::{ComputationStatus, Viewers};
use waiters::HandleId;

/// Number of threads that read the log for time series.
const THREADS: usize = 2;
/// Maximum number of computations. The least recently used one without viewers is dropped first.
const MAX_COMPUTATIONS: usize = 64;
/// How long a computation without viewers is kept.
const IDLE: Duration = Duration::from_secs(600);
/// How long after the end of a past window a record may be written, in milliseconds. Later records are not read, even
/// if they contain readings of the window.
const LATE: i64 = 3_600_000;

/// A request for series.
pub struct SeriesRequest {
    /// The topic to read.
    pub topic: TopicName,
    /// The definition of the series.
    pub query: SeriesQuery,
    /// The filter that records must match.
    pub filter: Filter,
    /// The time window to read.
    pub window: Window,
}

/// Computes time series. Dropping it ends its threads.
pub struct SeriesService {
    shared: Arc<SharedComputations>,
    threads: Mutex<Vec<Worker>>,
}

/// All computations, by key.
#[derive(Default)]
struct Computations(HashMap<ComputationKey, Arc<SharedComputation>>);

struct SharedComputations {
    computations: Mutex<Computations>,
    queue: ComputationQueue,
    runner: TaskRunner,
    /// The memory budget of tables. Computations use up to three quarters of it; the last quarter is left for folds.
    tables: Arc<Share>,
    next_handle: AtomicU64,
}

/// A computation, and the number of its users.
struct SharedComputation {
    /// Locked for long while a response is encoded, so async code must not lock it. Locked before `viewers`.
    state: Mutex<Computation>,
    viewers: Mutex<Viewers>,
    /// Number of open handles, and of threads that take a turn.
    users: AtomicUsize,
}

/// Access to the computation of a request. The computation is kept until the handle is dropped.
pub struct SeriesHandle {
    service: Arc<SharedComputations>,
    computation: Arc<SharedComputation>,
    id: HandleId,
    client: ClientTag,
    late_until: Option<Timestamp>,
}

/// The state of a computation at one moment.
pub struct SeriesState<'s> {
    /// The points.
    pub table: &'s SeriesTable,
    /// The names of states in the table. Within a generation, an index always refers to the same name.
    pub states: &'s StateNames,
    /// Changes when the computation starts over. Versions of different generations cannot be compared.
    pub generation: u32,
    /// The version of the table. Points that change later have a higher version.
    pub version: u32,
    /// Every record of the log from this time on has been read.
    pub complete_from: Timestamp,
    /// Records that were written after this time may be missing.
    pub complete_to: Timestamp,
    /// Records that were written after this time are not read, even if they contain readings of the window. `None`:
    /// there is no such limit.
    pub late_until: Option<Timestamp>,
}

/// Why a request is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SeriesRejected {
    /// The maximum number of computations is in use.
    #[error(
        "{MAX_COMPUTATIONS} different series are in use already, as many as are computed at a time; try again later"
    )]
    TooMany,
    /// The bridge is shutting down.
    #[error("the bridge is shutting down; try again")]
    ShuttingDown,
}

impl SeriesService {
    /// Starts the threads.
    pub fn start(broker: Arc<dyn Broker>, memory: &MemoryBudget) -> std::io::Result<Self> {
        // A separate share, so that a merge never competes with turns for memory.
        let quarter = memory.series.limit() / 4;
        let folds = Share::new("series_folds", quarter, quarter);
        let runner = TaskRunner { broker, fetched: memory.catch_up.clone(), folds };
        let shared = SharedComputations {
            computations: Mutex::default(),
            queue: ComputationQueue::default(),
            runner,
            tables: memory.series.clone(),
            next_handle: AtomicU64::new(0),
        };
        let shared = Arc::new(shared);
        let start = |number| {
            let shared = shared.clone();
            Worker::start(format!("series-{number}"), move || shared.work())
        };
        let threads = (0..THREADS).map(start).collect::<Result<_, _>>();
        let threads = threads.inspect_err(|_| shared.queue.close())?;
        Ok(Self { shared, threads: Mutex::new(threads) })
    }

    /// Starts or continues the computation for a request. Fails if too many other computations are in use. `ready` is
    /// called when the window has been read up to the time of this call, or when the computation has failed.
    pub fn request(
        &self,
        client: ClientTag,
        request: SeriesRequest,
        ready: Ready,
    ) -> Result<SeriesHandle, SeriesRejected> {
        let SeriesRequest { topic, query, filter, window } = request;
        let late_until = Some(window.to.saturating_add(LATE)).filter(|late| *late <= now());
        let span = late_until.map_or(SeriesSpan::Live, |late_until| SeriesSpan::Past { window, late_until });
        let key = ComputationKey { topic, query, filter, span };
        let computation = self.shared.find(key, window.from)?;
        let id = self.shared.next_handle.fetch_add(1, Ordering::Relaxed);
        let handle = SeriesHandle { service: self.shared.clone(), computation, id, client, late_until };
        handle.request(window, ready);
        Ok(handle)
    }

    /// Drops computations that have had no user for a while.
    pub fn tidy(&self) {
        self.shared
            .computations()
            .0
            .retain(|_, computation| computation.is_used() || lock(&computation.viewers).last_used.elapsed() < IDLE);
    }

    /// Ends the threads, and drops the waiting requests.
    pub fn shut_down(&self) {
        self.shared.queue.close();
        lock(&self.threads).clear();
        self.shared.computations().0.clear();
    }
}

impl Drop for SeriesService {
    fn drop(&mut self) {
        self.shut_down();
    }
}

/// Counts a thread as a user of a computation until it is dropped, even if the thread panics.
struct ComputationUser<'c>(&'c SharedComputation);

impl<'c> ComputationUser<'c> {
    fn new(computation: &'c SharedComputation) -> Self {
        computation.users.fetch_add(1, Ordering::SeqCst);
        Self(computation)
    }
}

impl Drop for ComputationUser<'_> {
    fn drop(&mut self) {
        self.0.users.fetch_sub(1, Ordering::SeqCst);
    }
}

impl SharedComputation {
    fn new(state: Computation) -> Self {
        Self { state: Mutex::new(state), viewers: Mutex::new(Viewers::new()), users: AtomicUsize::new(0) }
    }

    fn is_used(&self) -> bool {
        self.users.load(Ordering::SeqCst) > 0
    }

    /// Changes the computation, and calls the requests that can be answered then.
    fn change<T>(&self, change: impl FnOnce(&mut Computation) -> T) -> T {
        let (changed, ready) = {
            let mut state = lock(&self.state);
            let needs = lock(&self.viewers).needs(Instant::now());
            state.serve(needs);
            let changed = change(&mut state);
            let ready = lock(&self.viewers).update(state.status());
            (changed, ready)
        };
        ready.into_iter().for_each(|ready| ready());
        changed
    }
}

impl SharedComputations {
    fn computations(&self) -> MutexGuard<'_, Computations> {
        lock(&self.computations)
    }

    /// Finds or creates the computation with this key, and adds a user to it.
    fn find(&self, key: ComputationKey, from: Timestamp) -> Result<Arc<SharedComputation>, SeriesRejected> {
        if self.queue.is_closed() {
            return Err(SeriesRejected::ShuttingDown);
        }
        let mut computations = self.computations();
        let found = match computations.0.get(&key).filter(|known| !lock(&known.viewers).status.has_failed) {
            Some(known) => known.clone(),
            None => {
                computations.0.remove(&key);
                if computations.0.len() >= MAX_COMPUTATIONS && !computations.drop_least_recent() {
                    return Err(SeriesRejected::TooMany);
                }
                let computation = Arc::new(SharedComputation::new(Computation::new(key.clone(), &self.tables, from)));
                computations.0.insert(key, computation.clone());
                computation
            }
        };
        found.users.fetch_add(1, Ordering::SeqCst);
        Ok(found)
    }

    /// Drops computations without viewers until half of the memory is free.
    fn make_space(&self) {
        // One quarter is left for folds, and one quarter is for the tables that are merged next.
        while !self.tables.has_free(self.tables.limit() / 2) && self.computations().drop_least_recent() {}
    }

    fn work(&self) {
        priority::lower();
        let mut readers = SeriesReaders::new();
        while let Some(computation) = self.queue.next(&mut readers) {
            let _busy = watchdog::busy();
            // The thread counts as a user, because the memory of a computation that is dropped now would not be free
            // until the end of the turn, and the next computation would have to do without it.
            let _user = ComputationUser::new(&computation);
            self.take_turn(&computation, &mut readers);
        }
    }

    fn take_turn(&self, computation: &Arc<SharedComputation>, readers: &mut SeriesReaders) {
        let task = match computation.change(|state| state.next_task(Instant::now())) {
            NextTask::Run(task) => task,
            NextTask::Wait(until) => return self.queue.delay(computation.clone(), until),
            NextTask::Nothing => return,
        };
        // Another thread may take the next task while this thread runs the current one.
        self.queue.push(computation);
        self.make_space();
        let generation = task.generation;
        let outcome = watchdog::catch_panic(|| self.runner.run(task, readers));
        let panicked = || TaskOutcome::Failed(BrokerError::Internal("reading a time series panicked".into()));
        computation.change(|state| state.apply(generation, outcome.unwrap_or_else(panicked)));
        self.queue.push(computation);
    }
}

impl Computations {
    /// Drops the computation without viewers that was used least recently. Returns whether there was one.
    fn drop_least_recent(&mut self) -> bool {
        let unused = self.0.iter().filter(|(_, computation)| !computation.is_used());
        let oldest =
            unused.min_by_key(|(_, computation)| lock(&computation.viewers).last_used).map(|(key, _)| key.clone());
        oldest.is_some_and(|key| self.0.remove(&key).is_some())
    }
}

impl SeriesHandle {
    /// Requests the window again. `ready` is called when it has been read up to the time of this call, or when the
    /// computation has failed. A previous request that still waits is dropped.
    pub fn request(&self, window: Window, ready: Ready) {
        let ready = lock(&self.computation.viewers).request(self.id, window.from, self.client, ready);
        ready.into_iter().for_each(|ready| ready());
        self.service.queue.push(&self.computation);
    }

    /// Returns an identifier of the computation.
    pub fn address(&self) -> usize {
        Arc::as_ptr(&self.computation) as usize
    }

    /// Returns an identifier of the state: the address of the computation, its generation and version, and the times
    /// between which it is complete. Returns `None` if nothing has been read yet.
    pub fn identity(&self) -> Option<(usize, u32, u32, Timestamp, Timestamp)> {
        let ComputationStatus { generation, version, complete_from, read_to, .. } =
            lock(&self.computation.viewers).status;
        Some((self.address(), generation, version, complete_from?, read_to?.1))
    }

    /// Returns the times between which the computation is complete. Returns an error if nothing has been read yet, or
    /// if an error has prevented reading since `asked`, the time of the request.
    pub fn progress(&self, asked: Instant) -> Result<(Timestamp, Timestamp), Unread> {
        lock(&self.computation.viewers).status.progress(asked)
    }

    /// Calls `read` with the state of the computation, or returns an error as [`progress`](Self::progress) does. This
    /// blocks while a thread merges points and while other callers read, so async code must not call it.
    pub fn read<T>(&self, asked: Instant, read: impl FnOnce(SeriesState<'_>) -> T) -> Result<T, Unread> {
        let state = lock(&self.computation.state);
        let (complete_from, complete_to) = state.status().progress(asked)?;
        Ok(read(SeriesState {
            table: &state.table,
            states: &state.states,
            generation: state.generation,
            version: state.version,
            complete_from,
            complete_to,
            late_until: self.late_until,
        }))
    }
}

impl Drop for SeriesHandle {
    fn drop(&mut self) {
        lock(&self.computation.viewers).remove(self.id);
        self.computation.users.fetch_sub(1, Ordering::SeqCst);
    }
}
