//! How the streams outside the live flow stand, for whoever looks.

use crate::hub::lock;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A client that has taken nothing for so long is stalled; one that catches up pauses all the time.
const STALLED: Duration = Duration::from_secs(1);

/// All of them.
#[derive(Debug, Default)]
pub struct LagTracker {
    streams: Mutex<HashMap<u64, Arc<StreamLag>>>,
    next: AtomicU64,
}

#[derive(Debug, Default)]
struct StreamLag {
    /// Records between the stream and the end of that partition in which it is the furthest behind, as it last saw it.
    lag: AtomicU64,
    /// Since when it waits for its client.
    waits_since: Mutex<Option<Instant>>,
}

/// One stream's place among them, as long as it is outside the live flow.
#[derive(Debug)]
pub struct LagGuard {
    of: Arc<LagTracker>,
    number: u64,
    standing: Arc<StreamLag>,
}

/// All of them, summed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LagSummary {
    pub catching_up: usize,
    pub stalled: usize,
    /// The largest.
    pub lag: u64,
}

impl LagTracker {
    pub fn enter(self: &Arc<Self>) -> LagGuard {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let standing = Arc::<StreamLag>::default();
        lock(&self.streams).insert(number, standing.clone());
        LagGuard { of: self.clone(), number, standing }
    }

    pub fn sum(&self) -> LagSummary {
        let streams = lock(&self.streams);
        let mut sum = LagSummary::default();
        for standing in streams.values() {
            match *lock(&standing.waits_since) {
                Some(since) if since.elapsed() >= STALLED => sum.stalled += 1,
                _ => sum.catching_up += 1,
            }
            sum.lag = sum.lag.max(standing.lag.load(Ordering::Relaxed));
        }
        sum
    }
}

impl LagGuard {
    pub fn is_behind_by(&self, records: u64) {
        self.standing.lag.store(records, Ordering::Relaxed);
    }

    /// From now on the stream waits for its client.
    pub fn waits(&self) {
        lock(&self.standing.waits_since).get_or_insert_with(Instant::now);
    }

    pub fn goes_on(&self) {
        *lock(&self.standing.waits_since) = None;
    }
}

impl Drop for LagGuard {
    fn drop(&mut self) {
        lock(&self.of.streams).remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_waits_for_long_is_stalled_and_who_left_is_not_counted() {
        let all = Arc::<LagTracker>::default();
        let (reads, waits, left) = (all.enter(), all.enter(), all.enter());
        reads.is_behind_by(7);
        reads.waits();
        waits.is_behind_by(5);
        left.is_behind_by(9);
        drop(left);
        *lock(&waits.standing.waits_since) = Instant::now().checked_sub(STALLED);
        assert_eq!(all.sum(), LagSummary { catching_up: 1, stalled: 1, lag: 7 });
        waits.goes_on();
        assert_eq!(all.sum(), LagSummary { catching_up: 2, stalled: 0, lag: 7 });
    }
}
