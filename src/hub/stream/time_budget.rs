//! Bounds the time that work for some streams takes on a thread that serves others.

use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};

/// Counts CPU time of the thread: on a busy machine a thread can wait for long without working.
#[derive(Debug, Clone, Copy)]
pub struct TimeBudget {
    time: Duration,
    started: Instant,
    /// CPU time of this thread at the start.
    thread_started: Duration,
}

impl TimeBudget {
    /// Starts a budget for the current thread.
    pub fn new(time: Duration) -> Self {
        Self { time, started: Instant::now(), thread_started: thread_time() }
    }

    /// Starts the budget of one piece of work, which has at most the time of this budget. The clock of the thread is not read
    /// again, since that is a system call, so the CPU time of earlier pieces counts too.
    pub fn share(&self, time: Duration) -> Self {
        Self { time: time.min(self.time), started: Instant::now(), thread_started: self.thread_started }
    }

    /// Starts a budget without a limit, to measure time.
    pub fn unlimited(&self) -> Self {
        Self { time: Duration::MAX, started: Instant::now(), thread_started: self.thread_started }
    }

    pub fn is_spent(&self) -> bool {
        // Wall-clock time costs a tenth to read, and is never less.
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
        // Unless the wait itself used as much CPU time.
        assert!(!budget.is_spent() || thread_time() - budget.thread_started >= budget.time);
        let deadline = Instant::now() + Duration::from_secs(60);
        while !budget.is_spent() {
            assert!(Instant::now() < deadline, "{budget:?}");
        }
        assert!(budget.share(Duration::ZERO).is_spent() && !budget.share(Duration::from_secs(60)).is_spent());
    }
}
