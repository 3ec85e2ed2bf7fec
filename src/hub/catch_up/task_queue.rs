//! The tasks of the catch-up pool: those that wait for their turn, and those in a pause. Clients take turns: however many
//! streams a client has, it delays another client by one turn of each thread.

use super::delayed::Delayed;
use super::task::CatchUpTask;
use crate::hub::Rejected;
use crate::hub::stream::fair_queue::FairQueue;
use crate::hub::stream::state::Weight;
use crate::sync::lock;
use crossbeam_channel::{Receiver, Sender, at, bounded, never, select};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The tasks of the catch-up pool. The task of a closed stream is dropped at its turn.
pub struct TaskQueue {
    light: Mutex<FairQueue<Box<CatchUpTask>>>,
    /// Tasks whose filters exceeded the time budget of their last turn. They run on at most half of the threads.
    pub heavy: Mutex<FairQueue<Box<CatchUpTask>>>,
    /// Tasks in a pause, the earliest first.
    delayed: Mutex<BinaryHeap<Reverse<Delayed>>>,
    /// Maximum number of tasks that may wait for their turn when a stream is opened, and of tasks in a pause. More than twice
    /// the number of open streams.
    most: usize,
    /// Wakes an idle thread when a task is added, or when a delayed task becomes the earliest.
    wakeups: (Sender<()>, Receiver<()>),
    /// Closed when the hub shuts down.
    ended: Receiver<()>,
}

/// The behavior of [`TaskQueue::next`] if no task is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenEmpty {
    /// Returns immediately.
    Return,
    /// Waits until the queue changes, a task is due, or the hub shuts down.
    Wait,
}

impl TaskQueue {
    /// Creates an empty queue for a pool of `threads` threads. `ended` is closed when the hub shuts down.
    pub fn new(most: usize, threads: usize, ended: Receiver<()>) -> Self {
        Self {
            light: Mutex::new(FairQueue::new(usize::MAX)),
            heavy: Mutex::new(FairQueue::new((threads / 2).max(1))),
            delayed: Mutex::default(),
            most,
            wakeups: bounded(threads),
            ended,
        }
    }

    /// Adds the task of a new stream.
    pub fn open(&self, task: Box<CatchUpTask>) -> Result<(), Rejected> {
        // Includes tasks of closed streams, so clients that reconnect quickly cannot fill the memory.
        if self.waiting() >= self.most {
            return Err(Rejected::TooManyStreams);
        }
        self.put_back(task);
        Ok(())
    }

    /// Adds a task for another turn. If the queue is closed, the task is dropped, which ends its stream.
    pub fn put_back(&self, task: Box<CatchUpTask>) {
        let queue = match task.weight {
            Weight::Heavy => &self.heavy,
            Weight::Light => &self.light,
        };
        lock(queue).push(task.stream.sender.client(), task);
        self.wake_a_thread();
    }

    /// Adds a task for another turn after a pause.
    pub fn delay(&self, task: Box<CatchUpTask>, pause: Duration) {
        let due = Instant::now() + pause;
        let mut delayed = lock(&self.delayed);
        // A client that disconnects during a pause leaves its task here. Less than half of the tasks belong to open streams,
        // so each cleanup makes space for many tasks.
        let closed = if delayed.len() < self.most { BinaryHeap::new() } else { take_closed(&mut delayed) };
        let first = delayed.peek().is_none_or(|first| due < first.0.due);
        delayed.push(Reverse(Delayed { due, task }));
        drop(delayed);
        // Dropping a task takes other locks.
        drop(closed);
        if first {
            self.wake_a_thread();
        }
    }

    /// Returns the next light task. After a wait it returns `None`, so that the caller can check for heavy tasks first.
    pub fn next(&self, when_empty: WhenEmpty) -> Option<Box<CatchUpTask>> {
        let due = self.put_back_due();
        let next = lock(&self.light).pop();
        if next.is_some() || when_empty == WhenEmpty::Return {
            return next;
        }
        let due = due.map_or_else(never, at);
        select! {
            recv(self.wakeups.1) -> _ => None,
            recv(self.ended) -> _ => None,
            recv(due) -> _ => None,
        }
    }

    /// Puts back the tasks whose pause is over. Returns the time when the next pause ends.
    fn put_back_due(&self) -> Option<Instant> {
        let now = Instant::now();
        loop {
            let task = {
                let mut delayed = lock(&self.delayed);
                let due = delayed.peek()?.0.due;
                if due > now {
                    return Some(due);
                }
                delayed.pop()?.0.task
            };
            self.put_back(task);
        }
    }

    /// Returns the number of tasks that wait for their turn.
    pub fn waiting(&self) -> usize {
        lock(&self.light).waiting() + lock(&self.heavy).waiting()
    }

    /// Closes the queue. Drops its tasks, and every task that is added later, which ends the streams.
    pub fn close(&self) {
        lock(&self.light).close();
        lock(&self.heavy).close();
        lock(&self.delayed).clear();
    }

    fn wake_a_thread(&self) {
        // If the channel is full, every idle thread is being woken already.
        let _ = self.wakeups.0.try_send(());
    }
}

/// Removes the tasks of closed streams.
fn take_closed(delayed: &mut BinaryHeap<Reverse<Delayed>>) -> BinaryHeap<Reverse<Delayed>> {
    let is_open = |delayed: &Reverse<Delayed>| !delayed.0.task.stream.sender.is_closed();
    let (open, closed) = std::mem::take(delayed).into_iter().partition(is_open);
    *delayed = open;
    closed
}

/// Parks a task in the mailbox of its stream until the client takes a chunk or waits for one.
pub fn park(task: Box<CatchUpTask>, ahead: usize, tasks: &Arc<TaskQueue>) {
    task.lag.mark_waiting();
    let (sender, tasks) = (task.stream.sender.clone(), tasks.clone());
    let resume = move || {
        task.lag.mark_reading();
        tasks.put_back(task);
    };
    sender.park(ahead, Box::new(resume));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::catch_up::testing::evicted_task;

    #[test]
    fn clients_that_reconnect_during_pauses_do_not_fill_the_memory() {
        const MOST: usize = 20;
        let (_ended, is_ended) = bounded(0);
        let tasks = TaskQueue::new(MOST, 1, is_ended);
        let pause = Duration::from_secs(3600);
        let (patient, _client) = evicted_task(1);
        tasks.delay(patient, pause);
        for _ in 0..1000 {
            let (task, client) = evicted_task(2);
            tasks.delay(task, pause);
            drop(client);
            assert!(lock(&tasks.delayed).len() <= MOST);
        }
        let is_open = |delayed: &&Reverse<Delayed>| !delayed.0.task.stream.sender.is_closed();
        assert_eq!(lock(&tasks.delayed).iter().filter(is_open).count(), 1, "the task of the open stream is kept");
    }
}
