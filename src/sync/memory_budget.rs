//! One budget for all memory whose size clients or brokers decide: request bodies, pages of records, fetched batches, and
//! chunks queued for clients.
//!
//! The budget is divided into fixed shares, one per use, so that no use can starve another. Memory is reserved before it
//! is allocated, and released when the last reference to it is dropped.
//!
//! There is no deadlock, because nothing waits for memory while it holds some: a request that does not fit is rejected
//! with 503, and a thread that reads the log drops what did not fit and reads it again later, after the caches were
//! emptied. Memory held for a client is released when the client has received it, or when `--stall-timeout` or
//! `--body-timeout` closes the client. A single reservation is limited to a part of its share, so every reservation within
//! that limit succeeds eventually; a larger one is an error of its kind, [`Shortage::Always`].

use bytes::Bytes;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The default budget, on machines with enough memory.
pub const DEFAULT: usize = 256 << 20;
/// The smallest budget with which the bridge works.
pub const LEAST: usize = 16 << 20;

/// The shares of the process's memory. Cheap to clone.
#[derive(Debug, Clone)]
pub struct MemoryBudget {
    total: usize,
    /// The first 64 KiB of each request body, so that large bodies cannot block small ones.
    pub small_bodies: Arc<Share>,
    /// The rest of request bodies, and lines of x-ndjson. In-flight lines are limited to half of it.
    pub bodies: Arc<Share>,
    /// Pages of records, from the fetch until the client has received them.
    pub pages: Arc<Share>,
    /// Batches that the live readers fetch, and their cache for resuming streams.
    pub live: Arc<Share>,
    /// Batches that catching-up streams fetch, and their cache for other streams.
    pub catch_up: Arc<Share>,
    /// Encoded chunks queued for slow clients.
    pub chunks: Arc<Share>,
    /// Encoded chunks queued for clients that keep up, so that slow ones cannot block them.
    pub live_chunks: Arc<Share>,
}

impl MemoryBudget {
    /// Divides `total` bytes.
    pub fn new(total: usize) -> Self {
        let share = |name, most, parts: usize| Share::new(name, most, most / parts);
        let sixteenth = total / 16;
        // A quarter of all chunks.
        let live_chunks = sixteenth / 2;
        Self {
            total,
            small_bodies: share("small_bodies", sixteenth, 1),
            bodies: share("bodies", 4 * sixteenth, 1),
            pages: share("pages", 3 * sixteenth, 2),
            live: share("live", 3 * sixteenth, 2),
            catch_up: share("catch_up", 3 * sixteenth, 2),
            chunks: share("chunks", 2 * sixteenth - live_chunks, 1),
            live_chunks: share("live_chunks", live_chunks, 1),
        }
    }

    /// The whole budget in bytes.
    pub fn total(&self) -> usize {
        self.total
    }

    /// All shares, for metrics.
    pub fn shares(&self) -> [&Arc<Share>; 7] {
        let Self { total: _, small_bodies, bodies, pages, live, catch_up, chunks, live_chunks } = self;
        [small_bodies, bodies, pages, live, catch_up, chunks, live_chunks]
    }
}

impl Default for MemoryBudget {
    fn default() -> Self {
        Self::new(DEFAULT)
    }
}

/// The part of the budget for one use.
#[derive(Debug)]
pub struct Share {
    name: &'static str,
    used: AtomicUsize,
    most: usize,
    /// Limit of a single reservation.
    largest: usize,
}

/// Why a reservation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortage {
    /// The share is in use; a retry can succeed.
    Now,
    /// The reservation exceeds the limit of a single one, `largest` bytes; a retry cannot succeed.
    Always { largest: usize },
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now => f.write_str("the memory budget is used up; try again (the limit is --memory-budget)"),
            Self::Always { largest } => {
                write!(f, "more than {largest} bytes in memory, the most that --memory-budget allows here; raise it")
            }
        }
    }
}

impl Share {
    /// A share of `most` bytes, of which a single reservation holds at most `largest`.
    pub fn new(name: &'static str, most: usize, largest: usize) -> Arc<Self> {
        Arc::new(Self { name, used: AtomicUsize::new(0), most, largest })
    }

    /// The name in metrics.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Bytes reserved at present.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// The size of the share in bytes.
    pub fn most(&self) -> usize {
        self.most
    }

    /// The limit of a single reservation in bytes.
    pub fn largest(&self) -> usize {
        self.largest
    }

    /// Whether `bytes` are free at the moment.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.used() + bytes <= self.most
    }

    /// Reserves `bytes`, or fails without waiting.
    pub fn reserve(self: &Arc<Self>, bytes: usize) -> Result<Reservation, Shortage> {
        let mut reservation = self.nothing();
        reservation.grow(bytes)?;
        Ok(reservation)
    }

    /// Returns an empty reservation, to be grown.
    pub fn nothing(self: &Arc<Self>) -> Reservation {
        Reservation { of: self.clone(), bytes: 0 }
    }
}

/// Reserved bytes of a share. Dropping it releases them.
#[derive(Debug)]
pub struct Reservation {
    of: Arc<Share>,
    bytes: usize,
}

impl Reservation {
    /// The size in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The size that it can grow to.
    pub fn largest(&self) -> usize {
        self.of.largest
    }

    /// Adds `more` bytes. An error leaves the reservation unchanged.
    pub fn grow(&mut self, more: usize) -> Result<(), Shortage> {
        let (most, largest) = (self.of.most, self.of.largest);
        if more > largest.saturating_sub(self.bytes) {
            return Err(Shortage::Always { largest });
        }
        let fits = |used: usize| used.checked_add(more).filter(|used| *used <= most);
        self.of.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).map_err(|_| Shortage::Now)?;
        self.bytes += more;
        Ok(())
    }

    /// Releases what exceeds `bytes`.
    pub fn shrink(&mut self, bytes: usize) {
        let less = self.bytes.saturating_sub(bytes);
        self.of.used.fetch_sub(less, Ordering::Relaxed);
        self.bytes -= less;
    }

    /// Sets the size to `bytes` that are allocated already, even if they exceed the share. The caller bounds the excess.
    pub fn settle(&mut self, bytes: usize) {
        self.shrink(bytes);
        self.of.used.fetch_add(bytes - self.bytes, Ordering::Relaxed);
        self.bytes = bytes;
    }

    /// Grows or shrinks the reservation to `bytes`.
    pub fn set(&mut self, bytes: usize) -> Result<(), Shortage> {
        match bytes.checked_sub(self.bytes) {
            Some(more) => self.grow(more),
            None => {
                self.shrink(bytes);
                Ok(())
            }
        }
    }

    /// Reserves memory for at least one more item of `items`, whose memory this reservation accounts for.
    pub fn make_room<T>(&mut self, items: &mut Vec<T>) -> Result<(), Shortage> {
        if items.len() < items.capacity() {
            return Ok(());
        }
        let more = (items.len() / 2).max(16);
        self.grow(more * size_of::<T>())?;
        items.reserve_exact(more);
        Ok(())
    }

    /// Attaches the reservation to `bytes`: it is released with their last reference. Reserve before allocating them.
    pub fn hold(mut self, mut bytes: Vec<u8>) -> Bytes {
        if bytes.capacity() > bytes.len() + bytes.len() / 8 {
            bytes.shrink_to_fit();
        }
        self.shrink(bytes.capacity());
        Bytes::from_owner(ReservedBytes { bytes, _reservation: self })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.of.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

struct ReservedBytes {
    bytes: Vec<u8>,
    _reservation: Reservation,
}

impl AsRef<[u8]> for ReservedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_share_never_exceeds_its_size_and_releases_dropped_reservations() {
        let share = Share::new("test", 100, 60);
        let mut first = share.reserve(60).unwrap();
        assert_eq!(first.grow(1), Err(Shortage::Always { largest: 60 }));
        assert_eq!(share.reserve(61).unwrap_err(), Shortage::Always { largest: 60 });
        assert_eq!(share.reserve(41).unwrap_err(), Shortage::Now);
        let second = share.reserve(40).unwrap();
        assert_eq!((share.used(), share.has_room(1)), (100, false));
        first.shrink(10);
        assert_eq!(first.set(20), Ok(()));
        drop(second);
        assert_eq!(share.used(), 20);
        drop(first);
        assert_eq!(share.used(), 0);
    }

    #[test]
    fn bytes_count_until_their_last_reference_is_dropped() {
        let share = Share::new("test", 1000, 1000);
        let reservation = share.reserve(900).unwrap();
        let whole = reservation.hold(vec![b'x'; 100]);
        assert_eq!(share.used(), 100);
        let part = whole.slice(10..20);
        drop(whole);
        assert_eq!(share.used(), 100);
        drop(part);
        assert_eq!(share.used(), 0);
    }

    #[test]
    fn the_shares_together_do_not_exceed_the_budget() {
        for total in [LEAST, DEFAULT, 1 << 30] {
            let budget = MemoryBudget::new(total);
            assert!(budget.shares().iter().map(|share| share.most()).sum::<usize>() <= budget.total());
        }
    }
}
