//! The time that work for some streams may take on a thread that serves others.

use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};

/// Counts only while the thread runs: on a busy machine a thread may wait for long without working.
#[derive(Debug, Clone, Copy)]
pub struct TimeBudget {
    time: Duration,
    started: Instant,
    /// CPU time of this thread.
    thread_started: Duration,
}

impl TimeBudget {
    /// From now on, for the current thread.
    pub fn new(time: Duration) -> Self {
        Self { time, started: Instant::now(), thread_started: thread_time() }
    }

    /// The time of one of many pieces of work, from now on, and not more than all have. The thread's clock is a system
    /// call, so it is not read again: a piece may have more where the pieces before it had less.
    pub fn share(&self, time: Duration) -> Self {
        Self { time: time.min(self.time), started: Instant::now(), thread_started: self.thread_started }
    }

    /// The same clock without an end.
    pub fn unlimited(&self) -> Self {
        Self { time: Duration::MAX, started: Instant::now(), thread_started: self.thread_started }
    }

    pub fn is_spent(&self) -> bool {
        // The usual clock costs a tenth, and never counts less.
        self.started.elapsed() >= self.time && thread_time().saturating_sub(self.thread_started) >= self.time
    }

    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_spent_by_work_and_not_by_waiting() {
        let budget = TimeBudget::new(Duration::from_millis(20));
        std::thread::park_timeout(Duration::from_millis(40));
        // Unless the wait itself has cost as much.
        assert!(!budget.is_spent() || thread_time() - budget.thread_started >= budget.time);
        let deadline = Instant::now() + Duration::from_secs(60);
        while !budget.is_spent() {
            assert!(Instant::now() < deadline, "{budget:?}");
        }
        assert!(budget.share(Duration::ZERO).is_spent() && !budget.share(Duration::from_secs(60)).is_spent());
    }
}
