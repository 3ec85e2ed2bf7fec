//! All topics at a glance: their offsets, their newest records, and how much was written to them in the last minutes.
//!
//! One thread looks them up for all clients, at most once per second while clients ask, and otherwise once per
//! [`Settings::sample_interval`](super::Settings::sample_interval), so that a client sees what happened before it asked.
//! Without clients, a cluster with many topics is not sampled.

mod ends;
mod history;
mod newest;
mod newest_record;
mod sampler;

pub use ends::{Leaderless, PartitionEnds, partition_ends, request_bytes, request_parts};
pub use history::WrittenSamples;
pub use newest_record::{Excerpt, Newest, NewestRecord};
pub use sampler::{SampledTopic, SampledTopics};

use super::series::Ready;
use crate::broker::{Broker, BrokerError};
use crate::sync::memory_budget::MemoryBudget;
use crate::sync::worker::Worker;
use crate::sync::{lock, wait_timeout, watchdog};
use log::debug;
use sampler::{Sampling, TopicSampler};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// The age up to which a state is returned to further clients.
const FRESH: Duration = Duration::from_secs(1);
/// Rounds without clients take at most this fraction of the time, so that they do not burden a slow broker.
const TIME_FRACTION: u32 = 20;
/// Pause between rounds without clients if there are too many topics.
const UNSAMPLED: Duration = Duration::from_secs(3600);
/// Maximum number of waiting clients. Further ones get the latest state, whatever its age.
const MAX_WAITING: usize = 1024;
/// How long the state and the connections for newest records are kept without clients.
const IDLE: Duration = Duration::from_secs(60);

/// The parts of the state that a client needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverviewNeed {
    /// Current offsets. The newest records may be older.
    Offsets,
    /// Current offsets and newest records.
    Newest,
}

/// Looks up all topics, for all clients. Dropping it ends its thread.
pub struct TopicOverview {
    board: Arc<OverviewBoard>,
    thread: Mutex<Option<Worker>>,
}

/// The state that the thread and the clients share.
#[derive(Default)]
struct OverviewBoard {
    state: Mutex<OverviewState>,
    changed: Condvar,
}

#[derive(Default)]
struct OverviewState {
    topics: Option<Arc<SampledTopics>>,
    /// The error of the latest round, with its time.
    error: Option<(Instant, BrokerError)>,
    waiting: Vec<(OverviewNeed, Ready)>,
    is_closed: bool,
}

/// Why the thread begins a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RoundReason {
    Client,
    Sample,
}

impl TopicOverview {
    /// Starts the thread.
    pub fn start(broker: Arc<dyn Broker>, interval: Duration, memory: &MemoryBudget) -> std::io::Result<Self> {
        let board = Arc::<OverviewBoard>::default();
        let (shared, memory) = (board.clone(), memory.clone());
        let work = move || shared.run(TopicSampler::new(broker.clone(), interval, &memory), interval);
        let thread = Worker::start("topic-sampler", work)?;
        Ok(Self { board, thread: Mutex::new(Some(thread)) })
    }

    /// Calls `ready` when the state is at most a second old, or when looking it up has failed.
    pub fn request(&self, need: OverviewNeed, ready: Ready) {
        let mut state = lock(&self.board.state);
        let serves = state.is_fresh(need) || state.waiting.len() >= MAX_WAITING || state.is_closed;
        if serves {
            drop(state);
            return ready();
        }
        state.waiting.push((need, ready));
        drop(state);
        self.board.changed.notify_all();
    }

    /// Returns the latest state, or the error if looking it up has failed since. `None`: nothing has been looked up
    /// yet.
    pub fn latest(&self) -> Option<Result<Arc<SampledTopics>, BrokerError>> {
        let state = lock(&self.board.state);
        match (&state.error, &state.topics) {
            (Some((_, error)), _) => Some(Err(error.clone())),
            (None, topics) => topics.clone().map(Ok),
        }
    }

    /// Ends the thread.
    pub fn shut_down(&self) {
        lock(&self.board.state).is_closed = true;
        self.board.changed.notify_all();
        drop(lock(&self.thread).take());
        lock(&self.board.state).take_waiting(OverviewNeed::Newest).into_iter().for_each(|ready| ready());
    }
}

impl Drop for TopicOverview {
    fn drop(&mut self) {
        self.shut_down();
    }
}

impl OverviewState {
    /// Whether the state or the error is recent enough for a client.
    fn is_fresh(&self, need: OverviewNeed) -> bool {
        let is_recent = |at: Instant| at.elapsed() < FRESH;
        let serves =
            |state: &Arc<SampledTopics>| is_recent(state.read) && (state.has_newest || need == OverviewNeed::Offsets);
        match &self.error {
            Some((at, _)) => is_recent(*at),
            None => self.topics.as_ref().is_some_and(serves),
        }
    }

    /// Removes and returns the clients that need nothing beyond `need`.
    fn take_waiting(&mut self, need: OverviewNeed) -> Vec<Ready> {
        let serves = |waiting: &mut (OverviewNeed, Ready)| need == OverviewNeed::Newest || waiting.0 == need;
        self.waiting.extract_if(.., serves).map(|(_, ready)| ready).collect()
    }
}

impl OverviewBoard {
    fn run(&self, mut sampler: TopicSampler, interval: Duration) {
        let (mut due, mut asked) = (Instant::now(), Instant::now());
        while let Some(reason) = self.next_round(due) {
            let _busy = watchdog::busy();
            let began = Instant::now();
            let pause = match reason {
                RoundReason::Client => {
                    asked = began;
                    // A panic counts as an error, so that the waiting clients do not begin the same round again at once.
                    if watchdog::catch_panic(|| self.look_up(&mut sampler)).is_none() {
                        let error = BrokerError::Internal("looking up the topics panicked".into());
                        self.publish(Err(error), OverviewNeed::Newest);
                    }
                    interval
                }
                RoundReason::Sample => {
                    if asked.elapsed() > IDLE {
                        sampler.disconnect();
                        self.drop_state();
                    }
                    watchdog::catch_panic(|| sample(&mut sampler, interval)).unwrap_or(interval)
                }
            };
            due = began + pause.max(TIME_FRACTION * began.elapsed());
        }
    }

    /// Looks up the topics for the waiting clients.
    fn look_up(&self, sampler: &mut TopicSampler) {
        match sampler.look_up(|| self.drop_state()).map(Arc::new) {
            Ok(state) => {
                self.publish(Ok(state.clone()), OverviewNeed::Offsets);
                if lock(&self.state).waiting.iter().any(|(need, _)| *need == OverviewNeed::Newest) {
                    self.publish(Ok(Arc::new(sampler.read_newest(&state))), OverviewNeed::Newest);
                }
            }
            Err(error) => {
                debug!("cannot look up the topics: {error}");
                self.publish(Err(error), OverviewNeed::Newest);
            }
        }
    }

    /// Drops the state, and releases its memory once no response needs it.
    fn drop_state(&self) {
        let dropped = lock(&self.state).topics.take();
        drop(dropped);
    }

    /// Waits until a round begins. Returns `None` when the thread must end.
    fn next_round(&self, due: Instant) -> Option<RoundReason> {
        let mut state = lock(&self.state);
        loop {
            let left = due.saturating_duration_since(Instant::now());
            if state.is_closed {
                return None;
            } else if !state.waiting.is_empty() {
                return Some(RoundReason::Client);
            } else if left.is_zero() {
                return Some(RoundReason::Sample);
            }
            state = wait_timeout(&self.changed, state, left);
        }
    }

    /// Publishes the result of a round, and calls the clients that waited for it.
    fn publish(&self, result: Result<Arc<SampledTopics>, BrokerError>, need: OverviewNeed) {
        let mut state = lock(&self.state);
        let previous = match result {
            Ok(topics) => {
                state.error = None;
                state.topics.replace(topics)
            }
            Err(error) => {
                state.error = Some((Instant::now(), error));
                None
            }
        };
        let waiting = state.take_waiting(need);
        drop(state);
        waiting.into_iter().for_each(|ready| ready());
        // Async code locks the state, so a long list is freed after that.
        drop(previous);
    }
}

/// Adds a sample without a client. Returns the time until the next one.
fn sample(sampler: &mut TopicSampler, interval: Duration) -> Duration {
    match sampler.sample() {
        Ok(Sampling::Sampled) => interval,
        Ok(Sampling::TooMany) => UNSAMPLED,
        Err(error) => {
            debug!("cannot sample the topics: {error}");
            interval
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::broker::{
        Capabilities, CreatedTopic, NewTopic, NodeId, OffsetAt, PartitionReader, Replica, Submission, TopicConfigs,
        TopicInfo,
    };
    use crate::record::{Position, TopicName, TopicPartition};
    use crate::sync::memory_budget::Share;
    use crossbeam_channel::Receiver;
    use std::sync::mpsc;

    struct PanickingBroker;

    impl Broker for PanickingBroker {
        fn describe(&self) -> String {
            unreachable!()
        }

        fn ready(&self) -> Result<(), BrokerError> {
            unreachable!()
        }

        fn capabilities(&self) -> Result<Capabilities, BrokerError> {
            unreachable!()
        }

        fn list_topics(&self) -> Result<Vec<TopicInfo>, BrokerError> {
            panic!("a bug")
        }

        fn topics(&self, _: &[TopicName]) -> Result<Vec<Result<TopicInfo, BrokerError>>, BrokerError> {
            unreachable!()
        }

        fn brokers(&self) -> Result<Vec<NodeId>, BrokerError> {
            unreachable!()
        }

        fn replicas(&self, _: &TopicName) -> Result<Vec<Vec<Replica>>, BrokerError> {
            unreachable!()
        }

        fn topic_configs(&self, _: &TopicName) -> Result<TopicConfigs, BrokerError> {
            unreachable!()
        }

        fn create_topic(&self, _: &NewTopic) -> Result<CreatedTopic, BrokerError> {
            unreachable!()
        }

        fn delete_topic(&self, _: &TopicName) -> Result<(), BrokerError> {
            unreachable!()
        }

        fn positions(&self, _: &[(TopicPartition, OffsetAt)]) -> Vec<Result<Position, BrokerError>> {
            unreachable!()
        }

        fn reader(&self, _: NodeId, _: &Arc<Share>) -> Box<dyn PartitionReader> {
            unreachable!()
        }

        fn write_all(&self, _: Receiver<Submission>) {
            unreachable!()
        }
    }

    #[test]
    fn a_round_that_panics_is_an_error_for_the_waiting_clients() {
        let memory = MemoryBudget::default();
        let overview = TopicOverview::start(Arc::new(PanickingBroker), Duration::from_secs(60), &memory).unwrap();
        let (ready, is_ready) = mpsc::channel();
        overview.request(OverviewNeed::Newest, Box::new(move || _ = ready.send(())));
        is_ready.recv_timeout(Duration::from_secs(20)).unwrap();
        assert!(matches!(overview.latest(), Some(Err(BrokerError::Internal(_)))));
    }
}
