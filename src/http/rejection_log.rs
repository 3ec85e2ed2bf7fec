//! Logs rejected requests at a limited rate: their senders may repeat them without end.

use crate::sync::lock;
use log::warn;
use std::sync::Mutex;
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_secs(60);

/// Logs rejections, at most a number of lines per minute.
#[derive(Debug)]
pub struct RejectionLog {
    per_minute: u32,
    state: Mutex<RejectionCount>,
}

#[derive(Debug)]
struct RejectionCount {
    interval_start: Instant,
    reported: u32,
    unreported: u64,
}

impl RejectionLog {
    pub fn new(per_minute: u32) -> Self {
        let state = RejectionCount { interval_start: Instant::now(), reported: 0, unreported: 0 };
        Self { per_minute, state: Mutex::new(state) }
    }

    /// Logs a rejection. `detail` says why, and what would allow the request.
    pub fn report(&self, detail: &str) {
        if let Some(unreported) = self.admit(Instant::now()) {
            let others =
                if unreported > 0 { format!(" ({unreported} others since the last report)") } else { String::new() };
            warn!("rejected a request{others}: {detail}");
        }
    }

    /// Returns the number of rejections since the last reported one, or `None` if this one is not reported.
    fn admit(&self, now: Instant) -> Option<u64> {
        let mut state = lock(&self.state);
        if now.duration_since(state.interval_start) >= INTERVAL {
            (state.interval_start, state.reported) = (now, 0);
        }
        if state.reported >= self.per_minute {
            state.unreported += 1;
            return None;
        }
        state.reported += 1;
        Some(std::mem::take(&mut state.unreported))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejections_beyond_the_rate_are_counted_in_the_next_line() {
        let log = RejectionLog::new(2);
        let start = Instant::now();
        let admitted = |seconds: u64| log.admit(start + Duration::from_secs(seconds));
        assert_eq!([0, 1, 2, 59].map(admitted), [Some(0), Some(0), None, None]);
        assert_eq!([61, 62, 63].map(admitted), [Some(2), Some(0), None]);
        assert_eq!([200].map(admitted), [Some(1)]);
    }
}
