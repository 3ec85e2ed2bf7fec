//! The requests that wait for a computation.

use crate::record::Timestamp;
use std::time::Instant;

/// Called when a computation has read enough for a request, or has failed.
pub type Ready = Box<dyn FnOnce() + Send>;

/// The waiting requests. They need no limit here, because the number of requests of each client is limited.
#[derive(Default)]
pub struct Waiters(Vec<Waiter>);

struct Waiter {
    /// The beginning of the window.
    from: Timestamp,
    /// Everything written before this time must have been read.
    arrived: Instant,
    ready: Ready,
}

impl Waiters {
    /// Adds a request that arrived at `arrived`, for everything since `from`.
    pub fn add(&mut self, from: Timestamp, arrived: Instant, ready: Ready) {
        self.0.push(Waiter { from, arrived, ready });
    }

    /// Whether no request waits.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a request needs records that were written after `read_to`.
    pub fn are_behind(&self, read_to: Option<Instant>) -> bool {
        self.0.iter().any(|waiter| read_to.is_none_or(|read_to| read_to < waiter.arrived))
    }

    /// Removes and returns the requests whose window is complete, or as complete as memory allows.
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

    /// Removes and returns all requests.
    pub fn take_all(&mut self) -> Vec<Ready> {
        std::mem::take(&mut self.0).into_iter().map(|waiter| waiter.ready).collect()
    }
}
