//! Blocking calls outside the async threads, in bounded numbers.

use super::problem::Problem;
use crate::logging;
use crate::sync::watchdog;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Maximum number of requests that wait for a thread. Each takes a few kilobytes, and one connection may send a hundred.
const MAX_QUEUED: usize = 1024;
/// Maximum wait of such a request, after which it is rejected.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(5);

/// Limits the number of blocking calls that run, and of calls that wait.
#[derive(Debug)]
pub struct BlockingLimit {
    /// What the calls wait for, in the plural.
    called: &'static str,
    running: Arc<Semaphore>,
    waiting: Semaphore,
}

impl BlockingLimit {
    pub fn new(called: &'static str, running: usize) -> Self {
        Self { called, running: Arc::new(Semaphore::new(running)), waiting: Semaphore::new(MAX_QUEUED) }
    }
}

/// Runs `work` on a blocking thread once the limit allows it.
pub async fn run_blocking<T: Send + 'static>(
    limit: &BlockingLimit,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    let busy = || Problem::busy(format!("too many {} are waiting already; try again", limit.called));
    let queued = limit.waiting.try_acquire().map_err(|_| busy())?;
    let permit = tokio::time::timeout(QUEUE_TIMEOUT, limit.running.clone().acquire_owned()).await;
    let Ok(Ok(permit)) = permit else { return Err(busy()) };
    drop(queued);
    let request = logging::current();
    let working = tokio::task::spawn_blocking(move || {
        let result = watchdog::caught_in_poll(|| logging::while_working(request, work));
        drop(permit);
        result
    });
    working.await.ok().flatten().ok_or_else(Problem::unserved)
}
