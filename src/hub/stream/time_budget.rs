//! Limits the CPU time that a thread spends on a group of its streams.

use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};

/// A limit of the CPU time of a thread. Wall-clock time would include waiting for a CPU on a busy machine.
#[derive(Debug, Clone, Copy)]
pub struct TimeBudget {
    time: Duration,
    started: Instant,
    /// The CPU time of the thread at the start.
    thread_started: Duration,
}

impl TimeBudget {
    /// Starts a budget for the current thread.
    pub fn new(time: Duration) -> Self {
        Self { time, started: Instant::now(), thread_started: thread_time() }
    }

    /// Starts a budget of at most `time` for a part of the work. It includes the CPU time used since this budget was
    /// started, because reading the thread's clock again would take a system call.
    pub fn share(&self, time: Duration) -> Self {
        Self { time: time.min(self.time), started: Instant::now(), thread_started: self.thread_started }
    }

    /// Starts a budget without a limit, to measure time.
    pub fn unlimited(&self) -> Self {
        Self { time: Duration::MAX, started: Instant::now(), thread_started: self.thread_started }
    }

    /// Whether the time is used up.
    pub fn is_spent(&self) -> bool {
        // The wall-clock time is never less than the CPU time, and reading it takes a tenth of the time.
        self.started.elapsed() >= self.time && thread_time().saturating_sub(self.thread_started) >= self.time
    }

    /// Returns the wall-clock time since the start.
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
        // The wait itself may use CPU time.
        assert!(!budget.is_spent() || thread_time() - budget.thread_started >= budget.time);
        let deadline = Instant::now() + Duration::from_secs(60);
        while !budget.is_spent() {
            assert!(Instant::now() < deadline, "{budget:?}");
        }
        assert!(budget.share(Duration::ZERO).is_spent() && !budget.share(Duration::from_secs(60)).is_spent());
    }
}
