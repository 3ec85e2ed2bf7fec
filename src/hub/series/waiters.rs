//! The requests that wait for a computation.

use crate::record::Timestamp;
use std::time::Instant;

/// Called when a computation is as far as a request needs, or has failed.
pub type Ready = Box<dyn FnOnce() + Send>;

/// Each belongs to a request, whose client is limited in how many it has.
#[derive(Default)]
pub struct Waiters(Vec<Waiter>);

struct Waiter {
    /// The beginning of the window.
    from: Timestamp,
    /// Everything that was written before this must have been read.
    arrived: Instant,
    ready: Ready,
}

impl Waiters {
    pub fn add(&mut self, from: Timestamp, arrived: Instant, ready: Ready) {
        self.0.push(Waiter { from, arrived, ready });
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the log must be followed further than to what was written before `read_to`.
    pub fn are_behind(&self, read_to: Option<Instant>) -> bool {
        self.0.iter().any(|waiter| read_to.is_none_or(|read_to| read_to < waiter.arrived))
    }

    /// Takes those whose window is complete, or complete as far as there is memory.
    pub fn take_ready(
        &mut self,
        complete_from: Option<Timestamp>,
        memory_limit: Option<Timestamp>,
        read_to: Option<Instant>,
    ) -> Vec<Ready> {
        let (Some(complete_from), Some(read_to)) = (complete_from, read_to) else { return Vec::new() };
        let limit = memory_limit.unwrap_or(Timestamp::MIN);
        let is_ready = |waiter: &mut Waiter| complete_from <= waiter.from.max(limit) && read_to >= waiter.arrived;
        self.0.extract_if(.., is_ready).map(|waiter| waiter.ready).collect()
    }

    pub fn take_all(&mut self) -> Vec<Ready> {
        std::mem::take(&mut self.0).into_iter().map(|waiter| waiter.ready).collect()
    }
}
