//! Waiting for a condition, with a deadline.

use std::time::{Duration, Instant};

/// Longer than any of these tests waits if it succeeds, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Calls `is_so` until it returns true.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

/// Calls `is_so` until it returns true, and leaves the thread to other tasks in between.
pub async fn until_async(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
