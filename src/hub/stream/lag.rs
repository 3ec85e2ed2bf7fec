//! How far the streams outside the live flow are behind, for metrics.

use crate::sync::lock;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A client that has taken nothing for this long is stalled. Streams that catch up pause briefly all the time.
const STALLED: Duration = Duration::from_secs(1);

/// The lag of all streams outside the live flow.
#[derive(Debug, Default)]
pub struct LagTracker {
    streams: Mutex<HashMap<u64, Arc<StreamLag>>>,
    next: AtomicU64,
}

#[derive(Debug, Default)]
struct StreamLag {
    /// Records between the stream and the end of the log at its last turn, in the partition where that is most.
    lag: AtomicU64,
    /// When the stream began to wait for its client.
    waits_since: Mutex<Option<Instant>>,
}

/// Counts one stream as outside the live flow until this is dropped.
#[derive(Debug)]
pub struct LagGuard {
    tracker: Arc<LagTracker>,
    number: u64,
    stream: Arc<StreamLag>,
}

/// Totals over all streams outside the live flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LagSummary {
    pub catching_up: usize,
    pub stalled: usize,
    /// The largest lag of a stream, in records.
    pub lag: u64,
}

impl LagTracker {
    /// Adds a stream.
    pub fn add(self: &Arc<Self>) -> LagGuard {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let stream = Arc::<StreamLag>::default();
        lock(&self.streams).insert(number, stream.clone());
        LagGuard { tracker: self.clone(), number, stream }
    }

    pub fn summary(&self) -> LagSummary {
        let streams = lock(&self.streams);
        let mut sum = LagSummary::default();
        for stream in streams.values() {
            match *lock(&stream.waits_since) {
                Some(since) if since.elapsed() >= STALLED => sum.stalled += 1,
                _ => sum.catching_up += 1,
            }
            sum.lag = sum.lag.max(stream.lag.load(Ordering::Relaxed));
        }
        sum
    }
}

impl LagGuard {
    pub fn set_lag(&self, records: u64) {
        self.stream.lag.store(records, Ordering::Relaxed);
    }

    /// Marks the stream as waiting for its client.
    pub fn mark_waiting(&self) {
        lock(&self.stream.waits_since).get_or_insert_with(Instant::now);
    }

    /// Marks the stream as reading.
    pub fn mark_reading(&self) {
        *lock(&self.stream.waits_since) = None;
    }
}

impl Drop for LagGuard {
    fn drop(&mut self) {
        lock(&self.tracker.streams).remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_waits_for_long_is_stalled_and_one_that_left_is_not_counted() {
        let all = Arc::<LagTracker>::default();
        let (reads, waits, left) = (all.add(), all.add(), all.add());
        reads.set_lag(7);
        reads.mark_waiting();
        waits.set_lag(5);
        left.set_lag(9);
        drop(left);
        *lock(&waits.stream.waits_since) = Instant::now().checked_sub(STALLED);
        assert_eq!(all.summary(), LagSummary { catching_up: 1, stalled: 1, lag: 7 });
        waits.mark_reading();
        assert_eq!(all.summary(), LagSummary { catching_up: 2, stalled: 0, lag: 7 });
    }
}
