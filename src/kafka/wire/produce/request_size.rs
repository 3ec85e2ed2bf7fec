//! Limits the size of requests, and decides which batches and requests may share a connection.
//!
//! A broker closes the connection on a request above its `socket.request.max.bytes`, without a response (Azure Event
//! Hubs and others do so too). Everything in flight on that connection is then in doubt. A batch larger than any
//! request that the broker has answered is therefore sent alone, and so is a batch that was in flight when the broker
//! closed the connection. Many small batches make a large request too: requests grow to twice the largest answered
//! size, alone on their connection, until the broker closes it.

use std::time::{Duration, Instant};

/// Requests up to this size, in bytes, are assumed to be accepted by every broker.
pub const MIN_REQUEST_LIMIT: usize = 64 << 10;

/// How many times in a row the broker must close the connection on a batch before its size is taken to be the reason.
/// The first time may be a restart; the others happen on connections that have just answered another request.
pub const MAX_CLOSES: u32 = 3;

/// Back-off for a rejected size: first and longest pause. The reason may have been a restart, which takes seconds;
/// each repetition makes the size more likely to be the reason, and doubles the pause.
const REJECTED_FOR: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(600));

/// The accepted request size of a broker, learned from its responses.
#[derive(Debug, Clone, Copy)]
pub struct RequestSize {
    /// Size of the largest answered request, in bytes.
    pub accepted: usize,
    rejected: Option<RejectedSize>,
    growth: Growth,
}

/// A larger request on which the broker closed the connection.
#[derive(Debug, Clone, Copy)]
struct RejectedSize {
    bytes: usize,
    at: Instant,
    /// How long to wait before trying this size again.
    pause: Duration,
}

/// Whether the next request should exceed all earlier ones, for which the connection must be idle.
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
    /// Notes that the broker has responded to a request of `bytes`.
    pub fn note_accepted(&mut self, bytes: usize) {
        self.accepted = self.accepted.max(bytes);
        // A response proves more than a closed connection.
        self.rejected = self.rejected.filter(|rejected| rejected.bytes > self.accepted);
    }

    /// The broker closed the connection on a request of `bytes`.
    pub fn note_rejected(&mut self, bytes: usize, now: Instant) {
        let (first, longest) = REJECTED_FOR;
        self.rejected = Some(match self.rejected {
            None => RejectedSize { bytes, at: now, pause: first },
            Some(before) => {
                RejectedSize { bytes: bytes.min(before.bytes), at: now, pause: (before.pause * 2).min(longest) }
            }
        });
    }

    /// Returns the maximum total size of several batches. It is above the accepted size only if the connection is idle.
    pub fn limit(&self, connection: Occupancy, now: Instant) -> usize {
        if connection == Occupancy::Shared {
            return self.accepted;
        }
        let larger = self.accepted.saturating_mul(2);
        let is_rejected = self.rejected.is_some_and(|it| larger >= it.bytes && now < it.at + it.pause);
        if is_rejected { self.accepted } else { larger }
    }

    /// Whether the next request must wait for the responses to those in flight, so that it may grow.
    pub fn waits_to_grow(&mut self, connection: Occupancy) -> bool {
        let is_wanted = std::mem::replace(&mut self.growth, Growth::NotNeeded) == Growth::Wanted;
        let waits = is_wanted && connection == Occupancy::Shared;
        if waits {
            self.growth = Growth::Wanted;
        }
        waits
    }

    /// Lets the next request exceed the accepted size, because more batches wait than fit. Requests grow only while
    /// they are smaller than half of `largest`.
    pub fn want_growth(&mut self, largest: usize, now: Instant) {
        if self.accepted < largest / 2 && self.limit(Occupancy::Vacant, now) > self.accepted {
            self.growth = Growth::Wanted;
        }
    }
}

/// Whether a batch shares its request and connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Its request may have other batches, and its connection other requests.
    Shared,
    /// The connection carries nothing else until the batch is answered.
    Alone,
}

/// Whether the next request and its connection are empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occupancy {
    /// The request has no batches, and nothing is in flight.
    Vacant,
    Shared,
}

/// The capacity for one more batch.
#[derive(Debug, Clone, Copy)]
pub struct RequestCapacity {
    pub occupancy: Occupancy,
    /// Bytes left in the request.
    pub left: usize,
    /// Size of the largest answered request, in bytes.
    pub accepted: usize,
}

impl RequestCapacity {
    /// Returns whether a batch of `bytes`, on which the broker has closed the connection `closes` times, may share its
    /// request.
    pub fn sharing(self, bytes: usize, closes: u32) -> Sharing {
        if closes > 0 || bytes > self.accepted { Sharing::Alone } else { Sharing::Shared }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejected_size_is_retried_with_growing_pauses() {
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
