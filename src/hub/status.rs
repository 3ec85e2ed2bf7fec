//! The current state of the hub, for metrics and health checks.

use super::Hub;
use super::stream::lag::LagSummary;
use crate::broker::Backlog;
use crate::record::TopicName;
use crate::sync::lock;
use crate::sync::watchdog;
use crate::sync::worker::Worker;
use std::time::{Duration, Instant};

/// The state of a [`Hub`] at one moment.
#[derive(Debug, Clone)]
pub struct HubStatus {
    /// Number of open streams.
    pub streams: usize,
    /// The number and the largest lag of the streams outside the live flow.
    pub behind: LagSummary,
    /// Limit of `streams`.
    pub max_streams: usize,
    /// The lag of the live flow in each live topic, in records, taken from the partition with the largest lag.
    pub live_lag: Vec<(TopicName, u64)>,
    /// Bytes of records that wait for their acknowledgement.
    pub queued_bytes: usize,
    /// Limit of `queued_bytes`.
    pub max_queued_bytes: usize,
    /// Topics with records that wait to be written.
    pub backlogs: Vec<TopicBacklog>,
    /// Produce requests that the writer has not taken yet.
    pub queued_requests: usize,
    /// Streams that wait for their turn to read the log.
    pub catch_up_queue: usize,
    /// Size of the chunks of all streams, in bytes. The first 16 KiB of each chunk do not count.
    pub held_bytes: usize,
}

/// Records that wait to be written to one topic.
#[derive(Debug, Clone)]
pub struct TopicBacklog {
    /// The topic.
    pub topic: TopicName,
    /// Number of partitions that cannot be written.
    pub unwritable: usize,
    /// How long the oldest record has been waiting.
    pub oldest: Duration,
}

impl Hub {
    /// Returns the backlogs, those with the most unwritable partitions first.
    fn backlogs(&self) -> Vec<TopicBacklog> {
        let now = Instant::now();
        let patience = self.writer.timeout();
        let waited = |deadline: Instant| patience.saturating_sub(deadline.saturating_duration_since(now));
        let of = |backlog: Backlog| TopicBacklog {
            oldest: backlog.first_deadline.map_or(Duration::ZERO, waited),
            unwritable: backlog.unwritable,
            topic: backlog.topic,
        };
        let mut backlogs: Vec<_> = self.broker.backlogs().into_iter().map(of).collect();
        backlogs.sort_by(|a, b| b.unwritable.cmp(&a.unwritable).then_with(|| a.topic.cmp(&b.topic)));
        backlogs
    }

    /// Returns the current state. Takes the locks of all live topics briefly.
    pub fn status(&self) -> HubStatus {
        let lag = |tail: &super::live::tail::Tail| (tail.name.clone(), tail.state().lag());
        let mut live_lag: Vec<_> = self.live.tails().iter().map(|tail| lag(tail)).collect();
        live_lag.sort_unstable();
        let (queued_bytes, max_queued_bytes) = self.writer.bytes();
        HubStatus {
            streams: self.streams(),
            behind: self.task_settings.lag_tracker.summary(),
            max_streams: self.max_streams,
            live_lag,
            queued_bytes,
            max_queued_bytes,
            backlogs: self.backlogs(),
            queued_requests: self.writer.waiting(),
            catch_up_queue: self.tasks.waiting(),
            held_bytes: self.stream_settings.chunk_budget.held(),
        }
    }

    /// Describes each thread of the process that panics repeatedly or hangs, and each thread of the hub that has ended
    /// unexpectedly.
    pub fn faults(&self) -> Vec<String> {
        let mut faults: Vec<_> = watchdog::panicking();
        faults.iter_mut().for_each(|name| *name = format!("thread {name} panics repeatedly"));
        faults.extend(watchdog::stalled().iter().map(|name| format!("thread {name} hangs")));
        if !self.is_ending() {
            let threads = lock(&self.threads);
            let ended = threads.iter().filter(|thread| thread.has_ended()).map(Worker::name);
            let ended = ended.chain(self.writer.has_ended().then_some("writer"));
            faults.extend(ended.map(|name| format!("thread {name} has ended")));
        }
        faults
    }

    /// Whether the hub is shutting down.
    pub fn is_ending(&self) -> bool {
        self.live.is_closing()
    }
}
