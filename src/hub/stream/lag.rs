//! Tracks the lag of the streams outside the live flow, for metrics.

use crate::sync::lock;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Time after which a stream that waits for its client counts as stalled. Short waits are normal.
const STALLED: Duration = Duration::from_secs(1);

/// The lag of all streams outside the live flow.
#[derive(Debug, Default)]
pub struct LagTracker {
    streams: Mutex<HashMap<u64, Arc<StreamLag>>>,
    next: AtomicU64,
}

#[derive(Debug, Default)]
struct StreamLag {
    /// The number of records between the stream and the end of the log, in the partition with the largest lag.
    lag: AtomicU64,
    /// The time when the stream began to wait for its client.
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
    /// Number of streams that read, or have waited for their client only briefly.
    pub catching_up: usize,
    /// Number of streams that wait for a slow client.
    pub stalled: usize,
    /// The largest lag of a stream, in records.
    pub lag: u64,
}

impl LagTracker {
    /// Adds a stream, with a lag of 0.
    pub fn add(self: &Arc<Self>) -> LagGuard {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let stream = Arc::<StreamLag>::default();
        lock(&self.streams).insert(number, stream.clone());
        LagGuard { tracker: self.clone(), number, stream }
    }

    /// Returns the totals.
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
    /// Sets the lag of the stream, in records.
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
