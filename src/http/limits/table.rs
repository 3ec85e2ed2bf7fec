//! The counts of each client. The table is bounded: once it is full, new clients share one entry.

use super::ClientKey;
use super::bucket::Bucket;
use crate::sync::lock;
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Number of shards. Each has a lock, so that clients seldom wait for each other.
const SHARDS: usize = 16;
/// Maximum number of clients in a shard. An entry takes a few hundred bytes.
const MAX_CLIENTS: usize = 4096;
/// Time between two searches for entries that are no longer needed.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotKind {
    Connection,
    Stream,
    /// A password check that runs or waits.
    Password,
}

/// The events whose rate is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateKind {
    Requests,
    /// Checks of passwords that were not refunded.
    WrongPasswords,
}

/// Allowed rate of wrong passwords, per second.
const WRONG_PASSWORD_RATE: f64 = 2.0;

/// Identifies a counted slot, to release it.
#[derive(Debug)]
pub struct Charge {
    shard: usize,
    client: ClientKey,
    kind: SlotKind,
}

#[derive(Debug)]
struct ClientState {
    connections: usize,
    streams: usize,
    passwords: usize,
    requests_left: Bucket,
    passwords_left: Bucket,
}

impl ClientState {
    fn of(&mut self, kind: SlotKind) -> &mut usize {
        match kind {
            SlotKind::Connection => &mut self.connections,
            SlotKind::Stream => &mut self.streams,
            SlotKind::Password => &mut self.passwords,
        }
    }

    fn left(&mut self, rate: RateKind) -> &mut Bucket {
        match rate {
            RateKind::Requests => &mut self.requests_left,
            RateKind::WrongPasswords => &mut self.passwords_left,
        }
    }
}

#[derive(Default)]
struct TableShard {
    clients: HashMap<ClientKey, ClientState>,
    swept: Option<Instant>,
}

pub struct ClientTable {
    shards: [Mutex<TableShard>; SHARDS],
    hasher: RandomState,
    /// Allowed rate of requests, per second.
    requests: f64,
}

impl ClientTable {
    pub fn new(requests: usize) -> Self {
        Self { shards: Default::default(), hasher: RandomState::new(), requests: requests as f64 }
    }

    /// Counts a slot, or returns `None` if the client already has `most` slots.
    pub fn count(&self, client: &ClientKey, kind: SlotKind, most: usize) -> Option<Charge> {
        let at = self.shard(client);
        let mut shard = self.lock(at);
        let (client, state) = self.entry(&mut shard, client, Instant::now());
        let count = state.of(kind);
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Charge { shard: at, client, kind })
    }

    pub fn release(&self, charge: &Charge) {
        if let Some(state) = self.lock(charge.shard).clients.get_mut(&charge.client) {
            let count = state.of(charge.kind);
            *count = count.saturating_sub(1);
        }
    }

    /// Takes a token, or returns the time until one is available.
    pub fn take(&self, client: &ClientKey, rate: RateKind, now: Instant) -> Result<(), Duration> {
        let mut shard = self.lock(self.shard(client));
        self.entry(&mut shard, client, now).1.left(rate).take(self.rate_of(rate), now)
    }

    /// Returns a token.
    pub fn refund(&self, client: &ClientKey, rate: RateKind, now: Instant) {
        let mut shard = self.lock(self.shard(client));
        self.entry(&mut shard, client, now).1.left(rate).refund();
    }

    fn rate_of(&self, rate: RateKind) -> f64 {
        match rate {
            RateKind::Requests => self.requests,
            RateKind::WrongPasswords => WRONG_PASSWORD_RATE,
        }
    }

    /// Returns the client's entry, or the entry that all new clients share while the table is full.
    fn entry<'a>(
        &self,
        shard: &'a mut TableShard,
        client: &ClientKey,
        now: Instant,
    ) -> (ClientKey, &'a mut ClientState) {
        let known = shard.clients.contains_key(client);
        if !known && shard.clients.len() >= MAX_CLIENTS && shard.swept.is_none_or(|swept| now > swept + SWEEP_INTERVAL)
        {
            shard.swept = Some(now);
            let is_full = |state: &mut ClientState, rate| state.left(rate).is_full(self.rate_of(rate), now);
            let in_use = |state: &mut ClientState| {
                let held = state.connections + state.streams + state.passwords;
                held > 0 || !is_full(state, RateKind::Requests) || !is_full(state, RateKind::WrongPasswords)
            };
            shard.clients.retain(|_, state| in_use(state));
        }
        let client = if known || shard.clients.len() < MAX_CLIENTS { client.clone() } else { ClientKey::Others };
        let full = |rate| Bucket::full(self.rate_of(rate), now);
        let (requests_left, passwords_left) = (full(RateKind::Requests), full(RateKind::WrongPasswords));
        let new = || ClientState { connections: 0, streams: 0, passwords: 0, requests_left, passwords_left };
        (client.clone(), shard.clients.entry(client).or_insert_with(new))
    }

    fn shard(&self, client: &ClientKey) -> usize {
        self.hasher.hash_one(client) as usize % SHARDS
    }

    fn lock(&self, shard: usize) -> MutexGuard<'_, TableShard> {
        // Always in bounds, because callers pass a remainder.
        lock(&self.shards[shard % SHARDS])
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn client(number: u32) -> ClientKey {
        ClientKey::Address(Ipv4Addr::from_bits(number).into())
    }

    #[test]
    fn the_table_is_bounded_and_idle_clients_make_room() {
        let (table, start) = (ClientTable::new(10), Instant::now());
        let entries = |table: &ClientTable| (0..SHARDS).map(|shard| table.lock(shard).clients.len()).sum::<usize>();
        let most = SHARDS * (MAX_CLIENTS + 1);
        for number in 0..200_000 {
            let _ = table.take(&client(number), RateKind::Requests, start);
        }
        assert!(entries(&table) <= most);
        // New clients share one entry, which is used up.
        let admitted =
            (300_000..310_000).filter(|number| table.take(&client(*number), RateKind::Requests, start).is_ok()).count();
        assert_eq!(admitted, 0);
        let later = start + Duration::from_secs(10);
        let admitted =
            (300_000..310_000).filter(|number| table.take(&client(*number), RateKind::Requests, later).is_ok()).count();
        assert_eq!(admitted, 10_000);
    }

    #[test]
    fn a_slot_of_the_shared_entry_is_released_there() {
        let table = ClientTable::new(10);
        let held: Vec<_> =
            (0..100_000).filter_map(|number| table.count(&client(number), SlotKind::Stream, 5)).collect();
        let shared = held.iter().filter(|charge| charge.client == ClientKey::Others).count();
        assert_eq!(shared, SHARDS * 5);
        held.iter().for_each(|charge| table.release(charge));
        let left: usize = (0..SHARDS)
            .map(|shard| table.lock(shard).clients.values_mut().map(|state| *state.of(SlotKind::Stream)).sum::<usize>())
            .sum();
        assert_eq!(left, 0);
    }
}
