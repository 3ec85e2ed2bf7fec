//! The queue of computations that wait for a thread. Clients take turns.

use super::SharedComputation;
use super::turn::SeriesReaders;
use crate::hub::stream::fair_queue::FairQueue;
use crate::sync::{lock, wait_timeout};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// A thread without work closes its connections to brokers after this time.
const IDLE: Duration = Duration::from_secs(30);

/// The computations that wait for a thread.
pub struct ComputationQueue {
    waiting: Mutex<Waiting>,
    /// Notified when a computation is added, and when the queue is closed.
    changed: Condvar,
}

struct Waiting {
    ready: FairQueue<Arc<SharedComputation>>,
    /// The delayed computations, each at most once. There are few, so they need no order.
    delayed: Vec<(Instant, Arc<SharedComputation>)>,
    is_closed: bool,
}

impl Default for ComputationQueue {
    fn default() -> Self {
        let waiting = Waiting { ready: FairQueue::new(usize::MAX), delayed: Vec::new(), is_closed: false };
        Self { waiting: Mutex::new(waiting), changed: Condvar::new() }
    }
}

impl ComputationQueue {
    /// Adds a computation, unless it is waiting already.
    pub fn push(&self, computation: &Arc<SharedComputation>) {
        let client = {
            let mut viewers = lock(&computation.viewers);
            if std::mem::replace(&mut viewers.is_queued, true) {
                return;
            }
            viewers.client
        };
        let mut waiting = lock(&self.waiting);
        if !waiting.is_closed {
            waiting.ready.push(client, computation.clone());
            self.changed.notify_one();
        }
    }

    /// Adds a computation that waits until the time `until`, unless it is delayed already.
    pub fn delay(&self, computation: Arc<SharedComputation>, until: Instant) {
        let mut waiting = lock(&self.waiting);
        let is_delayed = waiting.delayed.iter().any(|(_, delayed)| Arc::ptr_eq(delayed, &computation));
        if !waiting.is_closed && !is_delayed {
            waiting.delayed.push((until, computation));
            self.changed.notify_one();
        }
    }

    /// Waits for a computation, and closes `readers` during a long wait. Returns `None` after the queue was closed.
    pub fn next(&self, readers: &mut SeriesReaders) -> Option<Arc<SharedComputation>> {
        let mut waiting = lock(&self.waiting);
        let mut idle_since = Instant::now();
        loop {
            if waiting.is_closed {
                return None;
            }
            let now = Instant::now();
            let due = waiting.delayed.iter().position(|(until, _)| *until <= now);
            let next = due.map(|due| waiting.delayed.swap_remove(due).1).or_else(|| waiting.ready.pop());
            if let Some(next) = next {
                drop(waiting);
                lock(&next.viewers).is_queued = false;
                return Some(next);
            }
            if idle_since.elapsed() >= IDLE {
                readers.clear();
                idle_since = now;
            }
            let first = waiting.delayed.iter().map(|(until, _)| until.saturating_duration_since(now)).min();
            waiting = wait_timeout(&self.changed, waiting, first.map_or(IDLE, |first| first.min(IDLE)));
        }
    }

    /// Closes the queue. Drops its computations, and every computation that is added later.
    pub fn close(&self) {
        let mut waiting = lock(&self.waiting);
        waiting.is_closed = true;
        waiting.ready.close();
        waiting.delayed.clear();
        self.changed.notify_all();
    }

    /// Whether the queue was closed.
    pub fn is_closed(&self) -> bool {
        lock(&self.waiting).is_closed
    }
}
