//! How large a request may be, and what may travel beside it.
//!
//! A broker closes the connection on a request above its `socket.request.max.bytes`, without a response
//! (so do Azure Event Hubs and others). Whatever was in flight on that connection is then in doubt. So a
//! batch larger than anything the broker has answered before goes alone, and one that was on a connection
//! when the broker closed it goes alone on the next. Many small batches make a large request too: it grows to twice
//! what was answered before, alone on its connection, until the broker closes that.

use std::time::{Duration, Instant};

/// The smallest limit of a broker that is taken into account.
pub const SURELY_TAKEN: usize = 64 << 10;

/// So many times in a row must the broker close the connection on a batch before its size is the reason:
/// the first may be a restart, and the others happen on connections that have just answered something else.
pub const MOST_CUTS: u32 = 3;

/// How long a size that the broker closed a connection on is not tried again. The reason may have been a restart.
const REFUSED_FOR: Duration = Duration::from_secs(600);

/// How large requests to a broker may be, by those it has answered.
#[derive(Debug, Clone, Copy)]
pub struct RequestSize {
    /// Bytes of the largest one that was answered.
    pub taken: usize,
    /// Bytes of a larger one on which it closed the connection, and when.
    refused: Option<(usize, Instant)>,
    growth: Growth,
}

/// Whether the next request is to be a larger one than any before, for which the connection has to be idle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Growth {
    NotNeeded,
    Wanted,
}

impl Default for RequestSize {
    fn default() -> Self {
        Self { taken: SURELY_TAKEN, refused: None, growth: Growth::NotNeeded }
    }
}

impl RequestSize {
    pub fn answered(&mut self, bytes: usize) {
        self.taken = self.taken.max(bytes);
    }

    pub fn refused(&mut self, bytes: usize, now: Instant) {
        let smaller = self.refused.map_or(bytes, |(before, _)| before.min(bytes));
        self.refused = Some((smaller, now));
    }

    /// What several batches together may have: more than was answered before only where the connection is idle.
    pub fn most(&self, connection: Occupancy, now: Instant) -> usize {
        if connection == Occupancy::Shared {
            return self.taken;
        }
        let larger = self.taken.saturating_mul(2);
        let is_refused = self.refused.is_some_and(|(bytes, at)| larger >= bytes && now < at + REFUSED_FOR);
        // A single batch that was answered proves more than what was refused.
        let is_outdated = self.refused.is_some_and(|(bytes, _)| self.taken >= bytes);
        if is_refused && !is_outdated { self.taken } else { larger }
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
    pub fn is_short(&mut self, largest: usize, now: Instant) {
        if self.taken < largest / 2 && self.most(Occupancy::Vacant, now) > self.taken {
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
pub struct Room {
    pub occupancy: Occupancy,
    /// Bytes left in the request.
    pub left: usize,
    /// Bytes of the largest request that the broker has answered.
    pub taken: usize,
}

impl Room {
    pub fn sharing(self, bytes: usize, cuts: u32) -> Sharing {
        if cuts > 0 || bytes > self.taken { Sharing::Alone } else { Sharing::Shared }
    }
}
