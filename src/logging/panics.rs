//! Logs panics at a limited rate, because a client that can cause a panic must not be able to fill the disk.

use crate::sync::lock;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::PanicHookInfo;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Panics logged per [`INTERVAL`]. `curlew_worker_panics_total` counts all of them.
const LOGGED: u32 = 5;
const INTERVAL: Duration = Duration::from_secs(10);

/// Limits the rate of logged panics.
#[derive(Debug, Default)]
struct Limit {
    since: Option<Instant>,
    in_interval: u32,
    skipped: u64,
}

impl Limit {
    /// Returns the number of panics skipped since the last logged panic, or `None` if this panic must be skipped too.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        if self.since.is_none_or(|since| now.duration_since(since) >= INTERVAL) {
            (self.since, self.in_interval) = (Some(now), 0);
        }
        self.in_interval = self.in_interval.saturating_add(1);
        if self.in_interval > LOGGED {
            self.skipped += 1;
            return None;
        }
        Some(std::mem::take(&mut self.skipped))
    }
}

static LIMIT: Mutex<Limit> = Mutex::new(Limit { since: None, in_interval: 0, skipped: 0 });

/// Replaces the default hook, which prints every panic in full and not in the log's format.
pub fn install_hook() {
    std::panic::set_hook(Box::new(|info| {
        // The lock is released before the line is written.
        let admitted = lock(&LIMIT).admit(Instant::now());
        if let Some(skipped) = admitted {
            log::error!("{}", line(info, skipped));
        }
    }));
}

fn line(info: &PanicHookInfo<'_>, skipped: u64) -> String {
    let thread = std::thread::current();
    let message = info.to_string().replace('\n', " ");
    let mut line = format!("thread {} {message}; please report this", thread.name().unwrap_or("without a name"));
    if skipped > 0 {
        line.push_str(&format!(" ({skipped} earlier panics were not logged)"));
    }
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        line.push_str(&format!("\n{backtrace}"));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_per_request_does_not_fill_the_log() {
        let (mut limit, start) = (Limit::default(), Instant::now());
        let logged = (0..10_000).filter(|_| limit.admit(start).is_some()).count();
        assert_eq!(logged, 5);
        assert_eq!(limit.admit(start + INTERVAL), Some(9_995), "the next line says how many were skipped");
        assert_eq!(limit.admit(start + INTERVAL), Some(0));
    }
}
