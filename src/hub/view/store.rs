//! The views that are in use, and the turns in which they are read.

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

/// How long a view without streams is kept: a page that is loaded again needs it at once.
const LINGER: Duration = Duration::from_secs(60);

/// All views.
pub struct ViewStore {
    /// Locked before a view's status.
    views: Mutex<HashMap<ViewKey, Arc<KeyedView>>>,
    turns: Mutex<FairQueue<Arc<KeyedView>>>,
    /// Wakes the threads.
    news: (Sender<()>, Receiver<()>),
    /// Closed when the hub shuts down.
    ended: Receiver<()>,
    /// Pays for the records of views and snapshots.
    pub memory: Arc<Share>,
    /// The most memory that the latest records of one topic may take, in bytes.
    pub snapshot_bytes: usize,
}

impl ViewStore {
    /// `threads`: threads that call [`next`](Self::next). `ended` is closed when the hub shuts down.
    pub fn new(threads: usize, snapshot_bytes: usize, memory: Arc<Share>, ended: Receiver<()>) -> Self {
        let turns = Mutex::new(FairQueue::new(usize::MAX));
        Self { views: Mutex::default(), turns, news: bounded(threads), ended, memory, snapshot_bytes }
    }

    /// Takes a lease of a view, which is created if it does not exist.
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

    /// Returns the next view to be read, which has the work [`ViewWork::Turn`]. Waits for one; `None` after the shutdown.
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

    /// Queues the views that are due, and drops those that have been without streams for a while. Returns when to look again.
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
        // Frees their records, without the lock.
        drop(dropped);
        next
    }

    /// Gives a view another turn. `status` is the view's.
    pub fn queue(&self, view: &Arc<KeyedView>, mut status: MutexGuard<'_, ViewStatus>) {
        status.work = ViewWork::Turn;
        drop(status);
        lock(&self.turns).push(view.client, view.clone());
        self.wake();
    }

    /// Wakes a thread: there is a view to read, or one is due earlier than before.
    pub fn wake(&self) {
        // If the channel is full, every thread is going to look anyway.
        let _ = self.news.0.try_send(());
    }

    /// Drops the views without streams, to free their memory. Returns whether there were any.
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
    /// Returns the progress for a stream that asked at this time, and has the view read if that is needed.
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
