//! The requests that wait for a computation.

use crate::record::Timestamp;
use std::time::Instant;

/// Called when a computation has read enough for a request, or has failed.
pub type Ready = Box<dyn FnOnce() + Send>;

/// Identifies a handle of a computation.
pub type HandleId = u64;

/// The waiting requests, at most one for each handle. They need no limit here, because the number of handles of each
/// client is limited.
#[derive(Default)]
pub struct Waiters(Vec<Waiter>);

struct Waiter {
    handle: HandleId,
    /// The beginning of the window.
    from: Timestamp,
    /// Everything written before this time must have been read.
    arrived: Instant,
    ready: Ready,
}

impl Waiters {
    /// Adds a request that arrived at `arrived`, for everything since `from`. Replaces the previous request of the
    /// handle.
    pub fn add(&mut self, handle: HandleId, from: Timestamp, arrived: Instant, ready: Ready) {
        self.remove(handle);
        self.0.push(Waiter { handle, from, arrived, ready });
    }

    /// Removes the request of a handle.
    pub fn remove(&mut self, handle: HandleId) {
        self.0.retain(|waiter| waiter.handle != handle);
    }

    /// Returns the arrival of the latest request. Everything written before it must be read.
    pub fn latest(&self) -> Option<Instant> {
        self.0.iter().map(|waiter| waiter.arrived).max()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_has_one_request_until_it_is_dropped() {
        let mut waiters = Waiters::default();
        for _ in 0..3 {
            waiters.add(1, 0, Instant::now(), Box::new(|| ()));
            waiters.add(2, 0, Instant::now(), Box::new(|| ()));
        }
        assert_eq!(waiters.0.len(), 2);
        waiters.remove(1);
        assert!(waiters.0.iter().all(|waiter| waiter.handle == 2));
        waiters.remove(2);
        assert_eq!(waiters.latest(), None);
    }
}
