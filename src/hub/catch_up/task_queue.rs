//! The jobs of the catch-up pool: those that wait for their turn, and those that wait for a time. Clients take turns, so
//! that one with many streams delays another by one turn of each thread, not by all of its streams.

use super::delayed::Delayed;
use super::fair_queue::FairQueue;
use super::task::{CatchUpTask, Waits, Weight};
use crate::hub::{Rejected, lock};
use crossbeam_channel::{Receiver, Sender, at, bounded, never, select};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

pub struct JobQueue {
    light: Mutex<FairQueue<Box<CatchUpTask>>>,
    /// Those whose filters take long.
    pub heavy: Mutex<FairQueue<Box<CatchUpTask>>>,
    /// A stream has one job at most, and one that is closed is dropped at its turn.
    delayed: Mutex<BinaryHeap<Reverse<Delayed>>>,
    /// While more jobs wait, no stream is opened.
    most: usize,
    /// Wakes threads that wait: there is a job, or one is due before all others.
    news: (Sender<()>, Receiver<()>),
    /// Closed when the hub ends.
    ended: Receiver<()>,
}

impl JobQueue {
    pub fn new(most: usize, threads: usize, ended: Receiver<()>) -> Self {
        Self {
            light: Mutex::new(FairQueue::new(usize::MAX)),
            heavy: Mutex::new(FairQueue::new((threads / 2).max(1))),
            delayed: Mutex::default(),
            most,
            news: bounded(threads),
            ended,
        }
    }

    /// For the first turn of a new stream.
    pub fn open(&self, job: Box<CatchUpTask>) -> Result<(), Rejected> {
        // The jobs of closed streams wait for their turn too.
        if self.waiting() >= self.most {
            return Err(Rejected::TooManyStreams);
        }
        self.put_back(job);
        Ok(())
    }

    /// For another turn. Once the hub has ended, the job is dropped, and its stream ends.
    pub fn put_back(&self, job: Box<CatchUpTask>) {
        let queue = match job.weight {
            Weight::Heavy => &self.heavy,
            Weight::Light => &self.light,
        };
        lock(queue).push(job.post.client(), job);
        self.wake_a_thread();
    }

    /// For another turn after a pause.
    pub fn delay(&self, job: Box<CatchUpTask>, pause: Duration) {
        let due = Instant::now() + pause;
        let mut delayed = lock(&self.delayed);
        let first = delayed.peek().is_none_or(|first| due < first.0.due);
        delayed.push(Reverse(Delayed { due, job }));
        if first {
            self.wake_a_thread();
        }
    }

    /// The next light job. `None` when nothing is due, or something has changed.
    pub fn next(&self, waits: Waits) -> Option<Box<CatchUpTask>> {
        let due = self.put_back_due();
        let next = lock(&self.light).pop();
        if next.is_some() || waits == Waits::No {
            return next;
        }
        let due = due.map_or_else(never, at);
        select! {
            recv(self.news.1) -> _ => None,
            recv(self.ended) -> _ => None,
            recv(due) -> _ => None,
        }
    }

    /// Puts back what is due. Returns when the next one is.
    fn put_back_due(&self) -> Option<Instant> {
        let now = Instant::now();
        loop {
            let job = {
                let mut delayed = lock(&self.delayed);
                let due = delayed.peek()?.0.due;
                if due > now {
                    return Some(due);
                }
                delayed.pop()?.0.job
            };
            self.put_back(job);
        }
    }

    /// Jobs that wait for their turn.
    pub fn waiting(&self) -> usize {
        lock(&self.light).waiting() + lock(&self.heavy).waiting()
    }

    /// Drops all jobs, and those that still come: a job that nobody takes would keep its stream open.
    pub fn close(&self) {
        lock(&self.light).close();
        lock(&self.heavy).close();
        lock(&self.delayed).clear();
    }

    fn wake_a_thread(&self) {
        // As many as there are threads may wait already.
        let _ = self.news.0.try_send(());
    }
}
