//! One budget for all memory whose size is decided outside: request bodies, pages of records, what is read from the
//! log, and the chunks that wait for clients.
//!
//! The budget is divided into fixed shares, one for each use, so that no use takes what another needs. Memory is
//! reserved before it is allocated, and given back when the last reference to it is dropped.
//!
//! Nothing waits for ever. Nobody waits for memory while holding some: a request without room is a 503, and a thread
//! that reads the log drops what did not fit and reads it again later, caches being emptied first. What clients hold
//! is given back when they take it, or are closed by `--stall-timeout` and `--body-timeout`. One reservation is at most
//! a part of its share, so what may be reserved at all fits sooner or later; what never fits is an error that says so.

use bytes::Bytes;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The budget where nobody has set another and the machine has enough.
pub const DEFAULT: usize = 256 << 20;
/// The least that the bridge works with.
pub const LEAST: usize = 16 << 20;

/// What the memory of the process is divided into. Cheap to clone.
#[derive(Debug, Clone)]
pub struct MemoryBudget {
    total: usize,
    /// The first 64 KiB of each request body, so that small bodies have room beside large ones.
    pub small_bodies: Arc<Share>,
    /// The rest of request bodies, and lines of x-ndjson: those under way have half of it at most.
    pub bodies: Arc<Share>,
    /// Pages of records, from reading them until the client has taken them.
    pub pages: Arc<Share>,
    /// What the live flow reads, and keeps of it for streams that come back.
    pub live: Arc<Share>,
    /// What streams read that catch up, and what is kept of it for others.
    pub catch_up: Arc<Share>,
    /// Chunks of frames that wait for slow clients.
    pub chunks: Arc<Share>,
    /// The same, for live streams whose clients are quick, while slow ones have the share above.
    pub live_chunks: Arc<Share>,
}

impl MemoryBudget {
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

    pub fn total(&self) -> usize {
        self.total
    }

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

/// The part of the budget that one use has.
#[derive(Debug)]
pub struct Share {
    name: &'static str,
    used: AtomicUsize,
    most: usize,
    /// Of one reservation.
    largest: usize,
}

/// Why there is no memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortage {
    /// Others have it just now.
    Now,
    /// More than one reservation may ever have, which is so many bytes.
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
    pub fn new(name: &'static str, most: usize, largest: usize) -> Arc<Self> {
        Arc::new(Self { name, used: AtomicUsize::new(0), most, largest })
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    pub fn most(&self) -> usize {
        self.most
    }

    pub fn largest(&self) -> usize {
        self.largest
    }

    /// Whether so many bytes are free at this moment.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.used() + bytes <= self.most
    }

    pub fn reserve(self: &Arc<Self>, bytes: usize) -> Result<Reservation, Shortage> {
        let mut reservation = self.nothing();
        reservation.grow(bytes)?;
        Ok(reservation)
    }

    /// A reservation that is yet to grow.
    pub fn nothing(self: &Arc<Self>) -> Reservation {
        Reservation { of: self.clone(), bytes: 0 }
    }
}

/// Bytes of a share, until this is dropped.
#[derive(Debug)]
pub struct Reservation {
    of: Arc<Share>,
    bytes: usize,
}

impl Reservation {
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The most that it can grow to.
    pub fn largest(&self) -> usize {
        self.of.largest
    }

    /// For so many bytes more. After an error it is as it was.
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

    /// For so many bytes and not more.
    pub fn shrink(&mut self, bytes: usize) {
        let less = self.bytes.saturating_sub(bytes);
        self.of.used.fetch_sub(less, Ordering::Relaxed);
        self.bytes -= less;
    }

    /// For so many bytes, which exist already, whether or not they fit. For uses that bound what goes beyond.
    pub fn settle(&mut self, bytes: usize) {
        self.shrink(bytes);
        self.of.used.fetch_add(bytes - self.bytes, Ordering::Relaxed);
        self.bytes = bytes;
    }

    /// For so many bytes, more or fewer than now.
    pub fn set(&mut self, bytes: usize) -> Result<(), Shortage> {
        match bytes.checked_sub(self.bytes) {
            Some(more) => self.grow(more),
            None => {
                self.shrink(bytes);
                Ok(())
            }
        }
    }

    /// Makes room for one more item in a list that this reservation pays for.
    pub fn make_room<T>(&mut self, items: &mut Vec<T>) -> Result<(), Shortage> {
        if items.len() < items.capacity() {
            return Ok(());
        }
        let more = (items.len() / 2).max(16);
        self.grow(more * size_of::<T>())?;
        items.reserve_exact(more);
        Ok(())
    }

    /// Bytes that keep the reservation until the last reference to them is dropped. To be reserved for before they are
    /// allocated.
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
    fn a_share_never_holds_more_than_it_has_and_gives_back_what_is_dropped() {
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
    fn bytes_that_are_held_count_until_the_last_reference_is_gone() {
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
    fn shares_together_are_no_more_than_the_budget() {
        for total in [LEAST, DEFAULT, 1 << 30] {
            let budget = MemoryBudget::new(total);
            assert!(budget.shares().iter().map(|share| share.most()).sum::<usize>() <= budget.total());
        }
    }
}
