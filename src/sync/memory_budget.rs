//! One budget for all memory whose size depends on outside data: request bodies, pages of records, batches read from the log,
//! and chunks that wait for clients.
//!
//! The budget is divided into fixed shares, one for each use, so that no use starves another. Memory is reserved before it
//! is allocated, and released when the last reference to it is dropped.
//!
//! No deadlock is possible, because nothing waits for memory while it holds some: a request that does not fit is rejected with
//! 503, and a thread that reads the log drops the data that did not fit, empties the caches and reads again later. Memory held
//! for a client is released when the client reads the data, or when `--stall-timeout` or `--body-timeout` closes its
//! connection. A single reservation is limited to a part of its share, so every reservation within that limit succeeds
//! eventually; a larger one fails with an error that says so.

use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The default budget, on a machine with enough memory.
pub const DEFAULT: usize = 256 << 20;
/// The smallest budget that the bridge works with.
pub const MIN: usize = 16 << 20;

/// The memory budget of the process, divided into shares. Cheap to clone.
#[derive(Debug, Clone)]
pub struct MemoryBudget {
    total: usize,
    /// The first 64 KiB of each request body. Large bodies do not starve small ones.
    pub small_bodies: Arc<Share>,
    /// The rest of request bodies, and lines of NDJSON. Lines in flight use at most half of it.
    pub bodies: Arc<Share>,
    /// Pages of records, from the fetch until the client has read the response.
    pub pages: Arc<Share>,
    /// Tables of time series.
    pub series: Arc<Share>,
    /// The offsets, samples and newest records of all topics, for lists of topics.
    pub topics: Arc<Share>,
    /// Batches that the live flow fetches, including those cached for streams that reconnect.
    pub live: Arc<Share>,
    /// Batches fetched for streams that catch up, including those cached for other streams.
    pub catch_up: Arc<Share>,
    /// The latest records of topics, for streams that start with a snapshot.
    pub snapshots: Arc<Share>,
    /// Schemas of a registry that are kept.
    pub schemas: Arc<Share>,
    /// Chunks that wait for clients.
    pub chunks: Arc<Share>,
    /// A reserve for chunks of live streams whose clients are reading, for when slow clients have used up `chunks`.
    pub live_chunks: Arc<Share>,
    /// Records that sampled streams hold back until their interval ends. If it is used up, they are sent early.
    pub samples: Arc<Share>,
}

impl MemoryBudget {
    /// Divides `total` bytes into the shares.
    pub fn new(total: usize) -> Self {
        let share = |name, most, parts: usize| Share::new(name, most, most / parts);
        let sixteenth = total / 16;
        // The reserve is a quarter of the memory for chunks.
        let all_chunks = 7 * sixteenth / 4;
        let live_chunks = all_chunks / 4;
        let samples = sixteenth / 4;
        let topics = sixteenth / 4;
        Self {
            total,
            small_bodies: share("small_bodies", sixteenth, 1),
            bodies: share("bodies", 3 * sixteenth - topics, 1),
            pages: Share::new("pages", 2 * sixteenth, 3 * sixteenth / 2),
            series: share("series", sixteenth - samples, 1),
            topics: share("topics", topics, 1),
            live: Share::new("live", 9 * sixteenth / 4, 3 * sixteenth / 2),
            catch_up: Share::new("catch_up", 9 * sixteenth / 4, 3 * sixteenth / 2),
            snapshots: share("snapshots", 2 * sixteenth, 1),
            schemas: share("schemas", 3 * sixteenth / 4, 1),
            chunks: share("chunks", all_chunks - live_chunks, 1),
            live_chunks: share("live_chunks", live_chunks, 1),
            samples: share("samples", samples, 2),
        }
    }

    /// Returns the size of the budget, in bytes.
    pub fn total(&self) -> usize {
        self.total
    }

    /// Returns all shares, for metrics.
    pub fn shares(&self) -> [&Arc<Share>; 12] {
        let Self {
            total: _,
            small_bodies,
            bodies,
            pages,
            series,
            topics,
            live,
            catch_up,
            snapshots,
            schemas,
            chunks,
            live_chunks,
            samples,
        } = self;
        [small_bodies, bodies, pages, series, topics, live, catch_up, snapshots, schemas, chunks, live_chunks, samples]
    }
}

impl Default for MemoryBudget {
    fn default() -> Self {
        Self::new(DEFAULT)
    }
}

/// The part of the budget that is reserved for one use.
#[derive(Debug)]
pub struct Share {
    name: &'static str,
    used: AtomicUsize,
    most: usize,
    /// The limit of one reservation.
    largest: usize,
}

/// Why a reservation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Shortage {
    /// The share is used up at the moment.
    #[error("the memory budget is used up; try again (the limit is --memory-budget)")]
    Now,
    /// The reservation exceeds the limit of one reservation, which is `largest` bytes.
    #[error("more than {largest} bytes in memory, the most that --memory-budget allows here; raise it")]
    Always { largest: usize },
}

impl Share {
    /// Creates a share of `most` bytes, with reservations of at most `largest` bytes each. `name` is its label in metrics.
    pub fn new(name: &'static str, most: usize, largest: usize) -> Arc<Self> {
        Arc::new(Self { name, used: AtomicUsize::new(0), most, largest })
    }

    /// Returns the label in metrics.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the number of bytes reserved at the moment.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Returns the size of the share, in bytes.
    pub fn limit(&self) -> usize {
        self.most
    }

    /// Returns the limit of one reservation, in bytes.
    pub fn largest(&self) -> usize {
        self.largest
    }

    /// Whether `bytes` bytes are free at the moment.
    pub fn has_free(&self, bytes: usize) -> bool {
        self.used() + bytes <= self.most
    }

    /// Reserves `bytes` bytes, or fails at once.
    pub fn reserve(self: &Arc<Self>, bytes: usize) -> Result<Reservation, Shortage> {
        let mut reservation = self.empty_reservation();
        reservation.grow(bytes)?;
        Ok(reservation)
    }

    /// Returns an empty reservation, to be grown later.
    pub fn empty_reservation(self: &Arc<Self>) -> Reservation {
        Reservation { of: self.clone(), bytes: 0 }
    }
}

/// Bytes reserved from a share, released on drop.
#[derive(Debug)]
pub struct Reservation {
    of: Arc<Share>,
    bytes: usize,
}

impl Reservation {
    /// Returns the size of the reservation, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the size to which the reservation can grow, in bytes.
    pub fn largest(&self) -> usize {
        self.of.largest
    }

    /// Grows the reservation by `more` bytes. On error it is unchanged.
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

    /// Shrinks the reservation to `bytes` bytes. Does nothing if it is smaller.
    pub fn shrink(&mut self, bytes: usize) {
        let less = self.bytes.saturating_sub(bytes);
        self.of.used.fetch_sub(less, Ordering::Relaxed);
        self.bytes -= less;
    }

    /// Sets the size to `bytes` bytes that are allocated already, even if this exceeds the limit of the share. The caller must
    /// bound the excess.
    pub fn settle(&mut self, bytes: usize) {
        self.shrink(bytes);
        self.of.used.fetch_add(bytes - self.bytes, Ordering::Relaxed);
        self.bytes = bytes;
    }

    /// Grows or shrinks the reservation to `bytes` bytes. On error it is unchanged.
    pub fn set(&mut self, bytes: usize) -> Result<(), Shortage> {
        match bytes.checked_sub(self.bytes) {
            Some(more) => self.grow(more),
            None => {
                self.shrink(bytes);
                Ok(())
            }
        }
    }

    /// Ensures capacity for one more item in `items`, a list that is charged to this reservation.
    pub fn reserve_one<T>(&mut self, items: &mut Vec<T>) -> Result<(), Shortage> {
        if items.len() < items.capacity() {
            return Ok(());
        }
        let more = (items.len() / 2).max(16);
        self.grow(more * size_of::<T>())?;
        items.reserve_exact(more);
        Ok(())
    }

    /// Turns `bytes`, for which this reservation was made, into shared bytes that release it when the last reference is
    /// dropped.
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
    fn a_share_never_exceeds_its_size_and_dropping_releases_memory() {
        let share = Share::new("test", 100, 60);
        let mut first = share.reserve(60).unwrap();
        assert_eq!(first.grow(1), Err(Shortage::Always { largest: 60 }));
        assert_eq!(share.reserve(61).unwrap_err(), Shortage::Always { largest: 60 });
        assert_eq!(share.reserve(41).unwrap_err(), Shortage::Now);
        let second = share.reserve(40).unwrap();
        assert_eq!((share.used(), share.has_free(1)), (100, false));
        first.shrink(10);
        assert_eq!(first.set(20), Ok(()));
        drop(second);
        assert_eq!(share.used(), 20);
        drop(first);
        assert_eq!(share.used(), 0);
    }

    #[test]
    fn held_bytes_count_until_the_last_reference_is_dropped() {
        let share = Share::new("test", 1000, 1000);
        let reservation = share.reserve(900).unwrap();
        let all = reservation.hold(vec![b'x'; 100]);
        assert_eq!(share.used(), 100);
        let part = all.slice(10..20);
        drop(all);
        assert_eq!(share.used(), 100);
        drop(part);
        assert_eq!(share.used(), 0);
    }

    #[test]
    fn the_shares_do_not_exceed_the_budget() {
        for total in [MIN, DEFAULT, 1 << 30] {
            let budget = MemoryBudget::new(total);
            assert!(budget.shares().iter().map(|share| share.limit()).sum::<usize>() <= budget.total());
        }
    }
}
