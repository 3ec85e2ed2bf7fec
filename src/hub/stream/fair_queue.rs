//! A queue in which clients take turns: however many items a client has, it delays the next item of another client by only
//! one of them.

use crate::hub::subscription::ClientTag;
use crate::sync::lock;
use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;

/// A queue in which clients take turns. The items of each client stay in order.
#[derive(Debug)]
pub struct FairQueue<T> {
    waiting: HashMap<ClientTag, VecDeque<T>>,
    /// Number of items in `waiting`, over all clients.
    count: usize,
    /// The clients in `waiting`, each once, in the order of their turns.
    turns: VecDeque<ClientTag>,
    running: usize,
    most_running: usize,
    intake: Intake,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Intake {
    Open,
    /// New items are dropped.
    Closed,
}

impl<T> FairQueue<T> {
    /// Creates a queue that has at most `most_running` items in progress.
    pub fn new(most_running: usize) -> Self {
        let (waiting, turns) = (HashMap::new(), VecDeque::new());
        Self { waiting, count: 0, turns, running: 0, most_running, intake: Intake::Open }
    }

    /// Adds an item. Drops it if the queue is closed.
    pub fn push(&mut self, client: ClientTag, work: T) {
        if self.intake == Intake::Closed {
            return;
        }
        let own = self.waiting.entry(client).or_default();
        if own.is_empty() {
            self.turns.push_back(client);
        }
        own.push_back(work);
        self.count += 1;
    }

    /// Removes and returns the next item.
    pub fn pop(&mut self) -> Option<T> {
        let client = self.turns.pop_front()?;
        let own = self.waiting.get_mut(&client)?;
        let work = own.pop_front();
        if own.is_empty() {
            self.waiting.remove(&client);
        } else {
            self.turns.push_back(client);
        }
        self.count -= usize::from(work.is_some());
        work
    }

    /// Like [`pop`](Self::pop), but returns `None` while `most_running` items are in progress. The caller must call
    /// [`finish`](Self::finish) when the item is done.
    pub fn start(&mut self) -> Option<T> {
        if self.running >= self.most_running {
            return None;
        }
        let work = self.pop();
        self.running += usize::from(work.is_some());
        work
    }

    /// Returns the number of items in the queue.
    pub fn waiting(&self) -> usize {
        self.count
    }

    /// Ends an item that [`start`](Self::start) returned.
    pub fn finish(&mut self) {
        self.running = self.running.saturating_sub(1);
    }

    /// Drops all items, and all that are added later.
    pub fn close(&mut self) {
        self.intake = Intake::Closed;
        self.turns.clear();
        self.count = 0;
        self.waiting.clear();
    }
}

/// Calls [`FairQueue::finish`] when it is dropped.
pub struct RunningTask<'q, T>(pub &'q Mutex<FairQueue<T>>);

impl<T> Drop for RunningTask<'_, T> {
    fn drop(&mut self) {
        lock(self.0).finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_with_many_items_delays_another_by_one_item() {
        let mut queue = FairQueue::new(1);
        (0..490).for_each(|n| queue.push(ClientTag(1), (1, n)));
        queue.push(ClientTag(2), (2, 0));
        queue.push(ClientTag(3), (3, 0));
        let mut next = || {
            let work = queue.start();
            queue.finish();
            work
        };
        let first: Vec<_> = (0..5).filter_map(|_| next()).collect();
        assert_eq!(first, [(1, 0), (2, 0), (3, 0), (1, 1), (1, 2)]);
        assert_eq!((0..1000).filter_map(|_| next()).count(), 487);
    }

    #[test]
    fn the_number_of_running_items_is_limited() {
        let mut queue = FairQueue::new(2);
        (0..3).for_each(|n| queue.push(ClientTag(n), n));
        assert_eq!((queue.start(), queue.start(), queue.start()), (Some(0), Some(1), None));
        queue.finish();
        assert_eq!((queue.start(), queue.start()), (Some(2), None));
        (0..3).for_each(|n| queue.push(ClientTag(n), n));
        assert_eq!(queue.waiting(), 3);
        queue.close();
        queue.finish();
        queue.push(ClientTag(1), 1);
        assert_eq!((queue.start(), queue.waiting()), (None, 0));
    }
}
