//! What each caller has open. The table itself has a bound: beyond it all newcomers share one entry.

use super::ClientKey;
use super::bucket::Bucket;
use crate::sync::lock;
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Locks, so that callers seldom wait for each other.
const PARTS: usize = 16;
/// Callers in each part; some hundred bytes each.
const MOST: usize = 4096;
/// Between two searches for entries that say nothing any more.
const SWEEP: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotKind {
    Connection,
    Stream,
    /// A password that is being tried, or waits for it.
    Guess,
}

/// What comes back at a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateKind {
    Requests,
    /// Of passwords.
    Guesses,
}

/// Wrong passwords a second.
const GUESSES: f64 = 2.0;

/// Whom something was counted for, to be given back.
#[derive(Debug)]
pub struct Charge {
    part: usize,
    caller: ClientKey,
    kind: SlotKind,
}

#[derive(Debug)]
struct State {
    connections: usize,
    streams: usize,
    guesses: usize,
    requests_left: Bucket,
    guesses_left: Bucket,
}

impl State {
    fn of(&mut self, kind: SlotKind) -> &mut usize {
        match kind {
            SlotKind::Connection => &mut self.connections,
            SlotKind::Stream => &mut self.streams,
            SlotKind::Guess => &mut self.guesses,
        }
    }

    fn left(&mut self, pace: RateKind) -> &mut Bucket {
        match pace {
            RateKind::Requests => &mut self.requests_left,
            RateKind::Guesses => &mut self.guesses_left,
        }
    }
}

#[derive(Default)]
struct TableShard {
    callers: HashMap<ClientKey, State>,
    swept: Option<Instant>,
}

pub struct ClientTable {
    parts: [Mutex<TableShard>; PARTS],
    hasher: RandomState,
    /// Requests a second.
    requests: f64,
}

impl ClientTable {
    pub fn new(requests: usize) -> Self {
        Self { parts: Default::default(), hasher: RandomState::new(), requests: requests as f64 }
    }

    /// Counts one more, unless there are `most`.
    pub fn count(&self, caller: &ClientKey, kind: SlotKind, most: usize) -> Option<Charge> {
        let at = self.part(caller);
        let mut part = self.lock(at);
        let (caller, state) = self.entry(&mut part, caller, Instant::now());
        let count = state.of(kind);
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Charge { part: at, caller, kind })
    }

    pub fn release(&self, charged: &Charge) {
        if let Some(state) = self.lock(charged.part).callers.get_mut(&charged.caller) {
            let count = state.of(charged.kind);
            *count = count.saturating_sub(1);
        }
    }

    /// Takes a token, or says how long until there is one.
    pub fn take(&self, caller: &ClientKey, pace: RateKind, now: Instant) -> Result<(), Duration> {
        let mut part = self.lock(self.part(caller));
        self.entry(&mut part, caller, now).1.left(pace).take(self.rate(pace), now)
    }

    /// Puts a token back that was taken.
    pub fn give_back(&self, caller: &ClientKey, pace: RateKind, now: Instant) {
        let mut part = self.lock(self.part(caller));
        self.entry(&mut part, caller, now).1.left(pace).give_back();
    }

    fn rate(&self, pace: RateKind) -> f64 {
        match pace {
            RateKind::Requests => self.requests,
            RateKind::Guesses => GUESSES,
        }
    }

    /// The caller's entry, which may be the one that all newcomers share.
    fn entry<'a>(&self, part: &'a mut TableShard, caller: &ClientKey, now: Instant) -> (ClientKey, &'a mut State) {
        let known = part.callers.contains_key(caller);
        if !known && part.callers.len() >= MOST && part.swept.is_none_or(|swept| now > swept + SWEEP) {
            part.swept = Some(now);
            let is_full = |state: &mut State, pace| state.left(pace).is_full(self.rate(pace), now);
            let in_use = |state: &mut State| {
                let held = state.connections + state.streams + state.guesses;
                held > 0 || !is_full(state, RateKind::Requests) || !is_full(state, RateKind::Guesses)
            };
            part.callers.retain(|_, state| in_use(state));
        }
        let caller = if known || part.callers.len() < MOST { caller.clone() } else { ClientKey::Others };
        let full = |pace| Bucket::full(self.rate(pace), now);
        let (requests_left, guesses_left) = (full(RateKind::Requests), full(RateKind::Guesses));
        let new = || State { connections: 0, streams: 0, guesses: 0, requests_left, guesses_left };
        (caller.clone(), part.callers.entry(caller).or_insert_with(new))
    }

    fn part(&self, caller: &ClientKey) -> usize {
        self.hasher.hash_one(caller) as usize % PARTS
    }

    fn lock(&self, part: usize) -> MutexGuard<'_, TableShard> {
        // The remainder of a division by their number.
        lock(&self.parts[part % PARTS])
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn caller(number: u32) -> ClientKey {
        ClientKey::Address(Ipv4Addr::from_bits(number).into())
    }

    #[test]
    fn however_many_come_the_table_has_a_bound_and_those_who_left_make_room() {
        let (table, start) = (ClientTable::new(10), Instant::now());
        let entries = |table: &ClientTable| (0..PARTS).map(|part| table.lock(part).callers.len()).sum::<usize>();
        let most = PARTS * (MOST + 1);
        for number in 0..200_000 {
            let _ = table.take(&caller(number), RateKind::Requests, start);
        }
        assert!(entries(&table) <= most);
        // Newcomers share what is left.
        let let_in =
            (300_000..310_000).filter(|number| table.take(&caller(*number), RateKind::Requests, start).is_ok()).count();
        assert_eq!(let_in, 0);
        let later = start + Duration::from_secs(10);
        let let_in =
            (300_000..310_000).filter(|number| table.take(&caller(*number), RateKind::Requests, later).is_ok()).count();
        assert_eq!(let_in, 10_000);
    }

    #[test]
    fn what_the_shared_entry_was_charged_is_given_back_to_it() {
        let table = ClientTable::new(10);
        let held: Vec<_> =
            (0..100_000).filter_map(|number| table.count(&caller(number), SlotKind::Stream, 5)).collect();
        let shared = held.iter().filter(|charged| charged.caller == ClientKey::Others).count();
        assert_eq!(shared, PARTS * 5);
        held.iter().for_each(|charged| table.release(charged));
        let left: usize = (0..PARTS)
            .map(|part| table.lock(part).callers.values_mut().map(|state| *state.of(SlotKind::Stream)).sum::<usize>())
            .sum();
        assert_eq!(left, 0);
    }
}
