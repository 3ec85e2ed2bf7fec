//! How large a request may be, and what may travel beside it.
//!
//! A broker closes the connection on a request above its `socket.request.max.bytes`, without a response
//! (so do Azure Event Hubs and others). Whatever was in flight on that connection is then in doubt. So a
//! batch larger than anything the broker has answered before goes alone, and one that was on a connection
//! when the broker closed it goes alone on the next. Many small batches make a large request too: it grows to twice
//! what was answered before, alone on its connection, until the broker closes that.

use std::time::{Duration, Instant};

/// The smallest limit of a broker that is accepted into account.
pub const MIN_REQUEST_LIMIT: usize = 64 << 10;

/// So many times in a row must the broker close the connection on a batch before its size is the reason:
/// the first may be a restart, and the others happen on connections that have just answered something else.
pub const MAX_CLOSES: u32 = 3;

/// How long a size that the broker closed a connection on is not tried again: at first, and at most. The reason may have
/// been a restart, which takes seconds. Each time it happens again, the size is more likely to be the reason, and the
/// time doubles.
const REJECTED_FOR: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(600));

/// How large requests to a broker may be, by those it has answered.
#[derive(Debug, Clone, Copy)]
pub struct RequestSize {
    /// Bytes of the largest one that was answered.
    pub accepted: usize,
    rejected: Option<RejectedSize>,
    growth: Growth,
}

/// A larger request on which the broker closed the connection.
#[derive(Debug, Clone, Copy)]
struct RejectedSize {
    bytes: usize,
    at: Instant,
    /// How long so many are not tried again.
    pause: Duration,
}

/// Whether the next request is to be a larger one than any before, for which the connection has to be idle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Growth {
    NotNeeded,
    Wanted,
}

impl Default for RequestSize {
    fn default() -> Self {
        Self { accepted: MIN_REQUEST_LIMIT, rejected: None, growth: Growth::NotNeeded }
    }
}

impl RequestSize {
    pub fn note_accepted(&mut self, bytes: usize) {
        self.accepted = self.accepted.max(bytes);
        // A request that was answered proves more than one that was rejected.
        self.rejected = self.rejected.filter(|rejected| rejected.bytes > self.accepted);
    }

    /// The broker closed the connection on a request of so many bytes.
    pub fn note_rejected(&mut self, bytes: usize, now: Instant) {
        let (first, longest) = REJECTED_FOR;
        self.rejected = Some(match self.rejected {
            None => RejectedSize { bytes, at: now, pause: first },
            Some(before) => {
                RejectedSize { bytes: bytes.min(before.bytes), at: now, pause: (before.pause * 2).min(longest) }
            }
        });
    }

    /// What several batches together may have: more than was answered before only where the connection is idle.
    pub fn limit(&self, connection: Occupancy, now: Instant) -> usize {
        if connection == Occupancy::Shared {
            return self.accepted;
        }
        let larger = self.accepted.saturating_mul(2);
        let is_rejected = self.rejected.is_some_and(|it| larger >= it.bytes && now < it.at + it.pause);
        if is_rejected { self.accepted } else { larger }
    }

    /// Whether what is in flight has to be answered first.
    pub fn waits_to_grow(&mut self, connection: Occupancy) -> bool {
        let wanted = std::mem::replace(&mut self.growth, Growth::NotNeeded) == Growth::Wanted;
        let waits = wanted && connection == Occupancy::Shared;
        if waits {
            self.growth = Growth::Wanted;
        }
        waits
    }

    /// There are more batches than fit. Half of the `largest` request is enough not to wait for more.
    pub fn want_growth(&mut self, largest: usize, now: Instant) {
        if self.accepted < largest / 2 && self.limit(Occupancy::Vacant, now) > self.accepted {
            self.growth = Growth::Wanted;
        }
    }
}

/// What may travel with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Other batches in its request, and other requests on its connection.
    Shared,
    /// Nothing, until it is answered.
    Alone,
}

/// What the next request and its connection hold already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occupancy {
    /// Nothing.
    Vacant,
    Shared,
}

/// The room for one more batch.
#[derive(Debug, Clone, Copy)]
pub struct RequestCapacity {
    pub occupancy: Occupancy,
    /// Bytes left in the request.
    pub left: usize,
    /// Bytes of the largest request that the broker has answered.
    pub accepted: usize,
}

impl RequestCapacity {
    pub fn sharing(self, bytes: usize, closes: u32) -> Sharing {
        if closes > 0 || bytes > self.accepted { Sharing::Alone } else { Sharing::Shared }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_that_was_refused_once_is_soon_tried_again_and_then_less_and_less_often() {
        const BYTES: usize = MIN_REQUEST_LIMIT * 2;
        let (mut size, began) = (RequestSize::default(), Instant::now());
        let may_grow = |size: &RequestSize, now| size.limit(Occupancy::Vacant, now) >= BYTES;
        let pauses = |size: &mut RequestSize, mut now: Instant, times: usize| {
            let mut pauses = Vec::new();
            for _ in 0..times {
                size.note_rejected(BYTES, now);
                let pause = (1..).find(|seconds| may_grow(size, now + Duration::from_secs(*seconds))).unwrap_or(0);
                now += Duration::from_secs(pause);
                pauses.push(pause);
            }
            pauses
        };
        assert_eq!(pauses(&mut size, began, 9), [10, 20, 40, 80, 160, 320, 600, 600, 600]);
        size.note_accepted(BYTES - 1);
        assert!(!may_grow(&size, began), "a smaller request proves nothing");
        size.note_accepted(BYTES);
        assert!(may_grow(&size, began));
    }
}
