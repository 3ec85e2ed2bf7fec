//! A cache in which at most one fetch per key is in flight, bounded by number and by bytes.

use super::RegistryError;
use crate::sync::lock;
use crate::sync::memory_budget::Reservation;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The bounds of a cache.
#[derive(Debug, Clone, Copy)]
pub struct CacheLimits {
    pub entries: usize,
    pub bytes: usize,
}

/// How long the result of a fetch is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// Until then, no fetch takes place. `None` stands for ever.
    pub fresh: Option<Duration>,
    /// Until then, the result is returned while a new fetch is in flight.
    pub stale: Duration,
}

impl Lifetime {
    /// Only the caller uses the result.
    pub const NONE: Self = Self { fresh: Some(Duration::ZERO), stale: Duration::ZERO };
}

/// A result with its memory and its lifetime.
pub struct FetchOutcome<V> {
    pub result: Result<V, Arc<RegistryError>>,
    pub bytes: usize,
    pub lifetime: Lifetime,
}

/// Shared by all threads.
pub struct FlightCache<K, V> {
    limits: CacheLimits,
    state: Mutex<CacheState<K, V>>,
    landed: Condvar,
}

struct CacheState<K, V> {
    entries: HashMap<K, CacheEntry<V>>,
    /// The keys of entries with a result, by their last use.
    order: BTreeMap<u64, K>,
    clock: u64,
    bytes: usize,
    /// Covers `bytes`.
    memory: Reservation,
}

struct CacheEntry<V> {
    /// The last result. `None` during the first fetch.
    kept: Option<KeptResult<V>>,
    flight: Flight,
}

struct KeptResult<V> {
    result: Result<V, Arc<RegistryError>>,
    fresh_until: Option<Instant>,
    stale_until: Instant,
    bytes: usize,
    used: u64,
}

impl<V> KeptResult<V> {
    /// Makes this the last result to be evicted.
    fn touch<K: Clone>(&mut self, key: &K, order: &mut BTreeMap<u64, K>, clock: &mut u64) {
        *clock += 1;
        order.remove(&self.used);
        self.used = *clock;
        order.insert(self.used, key.clone());
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flight {
    None,
    Fetching,
}

/// What the cache knows about a key.
pub enum Claim<K: Eq + Hash + Clone, V: Clone> {
    Known(Result<V, Arc<RegistryError>>),
    /// Another caller fetches it.
    InFlight,
    /// This caller fetches it. The result is the one to use in the meantime, if any.
    Mine(FetchTicket<K, V>, Option<Result<V, Arc<RegistryError>>>),
}

/// The duty to fetch a key. Dropping it without a result leaves the duty to the next caller.
pub struct FetchTicket<K: Eq + Hash + Clone, V: Clone> {
    cache: Arc<FlightCache<K, V>>,
    pub key: K,
}

impl<K: Eq + Hash + Clone, V: Clone> FlightCache<K, V> {
    /// Creates a cache whose bytes are charged to `memory`.
    pub fn new(limits: CacheLimits, memory: Reservation) -> Self {
        let state = CacheState { entries: HashMap::new(), order: BTreeMap::new(), clock: 0, bytes: 0, memory };
        Self { limits, state: Mutex::new(state), landed: Condvar::new() }
    }

    /// Returns the number of results and their bytes.
    pub fn size(&self) -> (usize, usize) {
        let state = lock(&self.state);
        (state.order.len(), state.bytes)
    }

    /// Returns the value of a key, if it is fresh. Does not block, and does not claim a fetch.
    pub fn peek(&self, key: &K) -> Option<V> {
        let state = &mut *lock(&self.state);
        let kept = state.entries.get_mut(key)?.kept.as_mut()?;
        let is_fresh = kept.fresh_until.is_none_or(|until| Instant::now() < until);
        let value = kept.result.as_ref().ok().filter(|_| is_fresh).cloned()?;
        kept.touch(key, &mut state.order, &mut state.clock);
        Some(value)
    }

    /// Returns the result of a key, or claims its fetch. Does not block.
    pub fn claim(self: &Arc<Self>, key: &K) -> Claim<K, V> {
        let now = Instant::now();
        let state = &mut *lock(&self.state);
        let Some(entry) = state.entries.get_mut(key) else {
            state.entries.insert(key.clone(), CacheEntry { kept: None, flight: Flight::Fetching });
            return Claim::Mine(FetchTicket { cache: self.clone(), key: key.clone() }, None);
        };
        let usable = entry.kept.as_mut().map(|kept| {
            kept.touch(key, &mut state.order, &mut state.clock);
            let is_fresh = kept.fresh_until.is_none_or(|until| now < until);
            (is_fresh, now < kept.stale_until, &kept.result)
        });
        match (usable, entry.flight) {
            (Some((true, _, result)), _) | (Some((_, true, result)), Flight::Fetching) => Claim::Known(result.clone()),
            (_, Flight::Fetching) => Claim::InFlight,
            (usable, Flight::None) => {
                let stale = usable.filter(|(_, is_stale, _)| *is_stale).map(|(.., result)| result.clone());
                entry.flight = Flight::Fetching;
                Claim::Mine(FetchTicket { cache: self.clone(), key: key.clone() }, stale)
            }
        }
    }

    /// Returns the result of a key. Blocks until `deadline` while another caller fetches it, and otherwise fetches it.
    pub fn get(
        self: &Arc<Self>,
        key: &K,
        deadline: Instant,
        fetch: impl FnOnce(&K) -> FetchOutcome<V>,
    ) -> Result<V, RegistryError> {
        loop {
            match self.claim(key) {
                Claim::Known(result) => return result.map_err(|error| (*error).clone()),
                Claim::Mine(ticket, _) => {
                    let outcome = fetch(key);
                    let result = outcome.result.clone();
                    ticket.finish(outcome);
                    return result.map_err(|error| (*error).clone());
                }
                Claim::InFlight => self.wait(key, deadline)?,
            }
        }
    }

    /// Blocks until no fetch of the key is in flight.
    fn wait(&self, key: &K, deadline: Instant) -> Result<(), RegistryError> {
        let is_flying =
            |state: &CacheState<K, V>| state.entries.get(key).is_some_and(|entry| entry.flight == Flight::Fetching);
        let mut state = lock(&self.state);
        while is_flying(&state) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(RegistryError::Unreachable("no answer in time".to_owned()));
            }
            (state, _) = self.landed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }

    /// Removes the result of a key if it is an error.
    pub fn forget_error(&self, key: &K) {
        let state = &mut *lock(&self.state);
        let Some(entry) = state.entries.get_mut(key) else { return };
        let Some(error) = entry.kept.take_if(|kept| kept.result.is_err()) else { return };
        state.order.remove(&error.used);
        state.bytes -= error.bytes;
        state.memory.settle(state.bytes);
        if entry.flight == Flight::None {
            state.entries.remove(key);
        }
    }

    /// Stores a result that was not fetched by a ticket. An error does not replace a value that is fresh for ever.
    pub fn insert(&self, key: &K, outcome: FetchOutcome<V>) {
        let state = &mut *lock(&self.state);
        state.store(key, outcome);
        state.evict(self.limits);
        // The limits bound it.
        state.memory.settle(state.bytes);
    }
}

impl<K: Eq + Hash + Clone, V> CacheState<K, V> {
    fn store(&mut self, key: &K, FetchOutcome { result, bytes, lifetime }: FetchOutcome<V>) {
        let known = self.entries.get(key).and_then(|entry| entry.kept.as_ref());
        let lasts = known.is_some_and(|known| known.result.is_ok() && known.fresh_until.is_none());
        if lifetime == Lifetime::NONE || (result.is_err() && lasts) {
            return;
        }
        let now = Instant::now();
        self.clock += 1;
        let kept = KeptResult {
            result,
            fresh_until: lifetime.fresh.map(|fresh| now + fresh),
            stale_until: now + lifetime.stale,
            bytes,
            used: self.clock,
        };
        let entry = self.entries.entry(key.clone()).or_insert(CacheEntry { kept: None, flight: Flight::None });
        if let Some(former) = entry.kept.replace(kept) {
            self.order.remove(&former.used);
            self.bytes -= former.bytes;
        }
        self.order.insert(self.clock, key.clone());
        self.bytes += bytes;
    }

    /// Removes the results that were not used for the longest time.
    fn evict(&mut self, limits: CacheLimits) {
        while self.order.len() > limits.entries || self.bytes > limits.bytes {
            let Some((_, key)) = self.order.pop_first() else { return };
            let Some(entry) = self.entries.get_mut(&key) else { continue };
            self.bytes -= entry.kept.take().map_or(0, |kept| kept.bytes);
            if entry.flight == Flight::None {
                self.entries.remove(&key);
            }
        }
    }
}

impl<K: Eq + Hash + Clone, V: Clone> FetchTicket<K, V> {
    /// Stores the result and ends the fetch.
    pub fn finish(self, outcome: FetchOutcome<V>) {
        self.cache.insert(&self.key, outcome);
    }
}

impl<K: Eq + Hash + Clone, V: Clone> Drop for FetchTicket<K, V> {
    fn drop(&mut self) {
        let state = &mut *lock(&self.cache.state);
        if let Some(entry) = state.entries.get_mut(&self.key) {
            entry.flight = Flight::None;
            if entry.kept.is_none() {
                state.entries.remove(&self.key);
            }
        }
        self.cache.landed.notify_all();
    }
}

#[cfg(test)]
mod tests;
