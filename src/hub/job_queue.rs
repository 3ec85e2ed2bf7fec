//! The jobs of the catch-up pool: those that wait for their turn, and those that wait for a time.

use super::delayed::Delayed;
use super::fair_queue::FairQueue;
use super::job::{Job, Waits, Weight};
use super::lock;
use crossbeam_channel::{Receiver, Sender, at, bounded, never, select};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub struct JobQueue {
    queue: Receiver<Box<Job>>,
    resume: Sender<Box<Job>>,
    /// A job was delayed that is due before all others.
    hurry: (Sender<()>, Receiver<()>),
    /// Whose turn is next: one of the queue's, or one of the delayed.
    turn: AtomicUsize,
    /// Those whose filters take long.
    pub heavy: Arc<Mutex<FairQueue<Box<Job>>>>,
    /// Closed when the hub ends.
    ended: Receiver<()>,
    /// A stream has one job at most, and one that is closed is dropped at its turn.
    delayed: Mutex<BinaryHeap<Reverse<Delayed>>>,
}

impl JobQueue {
    pub fn new(
        (resume, queue): (Sender<Box<Job>>, Receiver<Box<Job>>),
        ended: Receiver<()>,
        heavy: Arc<Mutex<FairQueue<Box<Job>>>>,
    ) -> Self {
        Self { queue, resume, hurry: bounded(1), turn: AtomicUsize::new(0), heavy, ended, delayed: Mutex::default() }
    }

    /// For another turn.
    pub fn put_back(&self, job: Box<Job>) {
        match job.weight {
            Weight::Heavy => lock(&self.heavy).push(job.post.client(), job),
            // There is a place for every stream's job; a full queue ends the stream, and it comes back with its cursor.
            Weight::Light => drop(self.resume.try_send(job)),
        }
    }

    /// For another turn after a pause.
    pub fn delay(&self, job: Box<Job>, pause: Duration) {
        let due = Instant::now() + pause;
        let mut delayed = lock(&self.delayed);
        let first = delayed.peek().is_none_or(|first| due < first.0.due);
        delayed.push(Reverse(Delayed { due, job }));
        if first {
            let _ = self.hurry.0.try_send(());
        }
    }

    /// The next one; it may be heavy. `None`: the queue is empty for now, or something has changed.
    pub fn next(&self, waits: Waits) -> Option<Box<Job>> {
        let due = {
            let mut delayed = lock(&self.delayed);
            // Neither those that are due nor those in the queue wait for all of the others.
            let queue_first = self.turn.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) && !self.queue.is_empty();
            if !queue_first && delayed.peek().is_some_and(|first| first.0.due <= Instant::now()) {
                return delayed.pop().map(|first| first.0.job);
            }
            delayed.peek().map(|first| first.0.due)
        };
        if waits == Waits::No {
            return self.queue.try_recv().ok();
        }
        let due = due.map_or_else(never, at);
        select! {
            recv(self.queue) -> job => job.ok(),
            recv(self.ended) -> _ => None,
            recv(self.hurry.1) -> _ => None,
            recv(due) -> _ => None,
        }
    }

    /// Drops all jobs. A closed channel keeps what is in it, and a job that nobody takes would keep its stream open.
    pub fn clear(&self) {
        lock(&self.heavy).clear();
        lock(&self.delayed).clear();
        self.queue.try_iter().for_each(drop);
    }
}
