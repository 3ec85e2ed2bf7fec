//! The views, and the queue of their turns.

use super::keyed_view::{KeyedView, ViewKey, ViewProgress, ViewStatus, ViewWork};
use crate::hub::stream::fair_queue::FairQueue;
use crate::hub::subscription::ClientTag;
use crate::sync::lock;
use crate::sync::memory_budget::Share;
use crossbeam_channel::{Receiver, Sender, at, bounded, never, select};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How long a view without streams is kept. A page that is reloaded needs it again at once.
const LINGER: Duration = Duration::from_secs(60);

/// All views.
pub struct ViewStore {
    /// All views. This is locked before the status of a view.
    views: Mutex<HashMap<ViewKey, Arc<KeyedView>>>,
    turns: Mutex<FairQueue<Arc<KeyedView>>>,
    /// Wakes the threads.
    news: (Sender<()>, Receiver<()>),
    /// Closed when the hub shuts down.
    ended: Receiver<()>,
    /// The memory budget of the records of views and snapshots.
    pub memory: Arc<Share>,
    /// Maximum memory of the latest records of one topic, in bytes.
    pub snapshot_bytes: usize,
}

impl ViewStore {
    /// Creates a store without views, for `threads` threads. `ended` is closed when the hub shuts down.
    pub fn new(threads: usize, snapshot_bytes: usize, memory: Arc<Share>, ended: Receiver<()>) -> Self {
        let turns = Mutex::new(FairQueue::new(usize::MAX));
        Self { views: Mutex::default(), turns, news: bounded(threads), ended, memory, snapshot_bytes }
    }

    /// Returns a lease of a view. Creates the view if it does not exist.
    pub fn lease(self: &Arc<Self>, client: ClientTag, key: ViewKey) -> ViewLease {
        let mut views = lock(&self.views);
        let view = views.entry(key.clone()).or_insert_with(|| Arc::new(KeyedView::new(key, client))).clone();
        view.status().leases += 1;
        ViewLease(Arc::new(LeaseGuard { store: self.clone(), view }))
    }

    fn release(&self, view: &KeyedView) {
        let mut views = lock(&self.views);
        let now = Instant::now();
        let mut status = view.status();
        status.leases -= 1;
        if status.leases == 0 {
            status.unused_since = now;
            if status.work != ViewWork::Turn && !status.is_worth_keeping(now) {
                drop(status);
                views.remove(&view.key);
            }
        }
    }

    /// Waits for the next view to read, and returns it with the work [`ViewWork::Turn`]. Returns `None` after the
    /// shutdown.
    pub fn next(&self) -> Option<Arc<KeyedView>> {
        loop {
            let due = self.queue_due();
            if let Some(view) = lock(&self.turns).pop() {
                return Some(view);
            }
            let due = due.map_or_else(never, at);
            select! {
                recv(self.news.1) -> _ => {}
                recv(due) -> _ => {}
                recv(self.ended) -> _ => return None,
            }
        }
    }

    /// Queues the views that are due, and drops views that have had no stream for a while. Returns the time of the next check.
    fn queue_due(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut dropped = Vec::new();
        let mut next: Option<Instant> = None;
        let mut views = lock(&self.views);
        views.retain(|_, view| {
            let status = view.status();
            let (is_used, expires) = (status.leases > 0, status.unused_since + LINGER);
            let due = match status.work {
                ViewWork::Turn => return true,
                ViewWork::Idle(_) | ViewWork::Paused(_) if !is_used && expires <= now => {
                    drop(status);
                    dropped.push(view.clone());
                    return false;
                }
                ViewWork::Idle(_) if !is_used => Some(expires),
                ViewWork::Idle(due) => due,
                ViewWork::Paused(due) => Some(due),
            };
            let Some(due) = due else { return true };
            if due <= now {
                self.queue(view, status);
            } else {
                next = Some(next.map_or(due, |next| next.min(due)));
            }
            true
        });
        drop(views);
        // Free the records of the dropped views without holding the lock.
        drop(dropped);
        next
    }

    /// Queues a view for another turn. `status` is the status of the view.
    pub fn queue(&self, view: &Arc<KeyedView>, mut status: MutexGuard<'_, ViewStatus>) {
        status.work = ViewWork::Turn;
        drop(status);
        lock(&self.turns).push(view.client, view.clone());
        self.wake();
    }

    /// Wakes a thread, because a view was queued or becomes due earlier.
    pub fn wake(&self) {
        // If the channel is full, every idle thread is being woken already.
        let _ = self.news.0.try_send(());
    }

    /// Drops the views without streams, to free their memory. Returns whether any view was dropped.
    pub fn evict_unused(&self) -> bool {
        let mut views = lock(&self.views);
        let before = views.len();
        let mut dropped = Vec::new();
        views.retain(|_, view| {
            let status = view.status();
            let is_kept = status.leases > 0 || status.work == ViewWork::Turn;
            drop(status);
            if !is_kept {
                dropped.push(view.clone());
            }
            is_kept
        });
        let has_dropped = views.len() < before;
        drop(views);
        has_dropped
    }
}

/// Keeps a view in use. Cheap to clone.
#[derive(Clone)]
pub struct ViewLease(Arc<LeaseGuard>);

struct LeaseGuard {
    store: Arc<ViewStore>,
    view: Arc<KeyedView>,
}

impl ViewLease {
    /// Returns the progress for a stream that requested a snapshot at this time. Requests a round if one is needed.
    pub fn ask(&self, asked: Instant) -> ViewProgress {
        let LeaseGuard { store, view } = &*self.0;
        let mut status = view.status();
        let progress = status.progress(asked);
        if matches!(progress, ViewProgress::Pending) {
            status.wanted = status.wanted.max(Some(asked));
            if matches!(status.work, ViewWork::Idle(_)) {
                store.queue(view, status);
            }
        }
        progress
    }
}

impl Drop for LeaseGuard {
    fn drop(&mut self) {
        self.store.release(&self.view);
    }
}

impl fmt::Debug for ViewLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ViewLease({:?})", self.0.view.key)
    }
}
