//! What one client may take of the bridge, so that there is something left for the others.
//!
//! A request counts for the key that it came with, else for its address. Addresses of this machine are left out unless
//! the settings say otherwise: they are its owner, or a proxy that hides everybody.

mod bucket;
mod table;

use super::peer::{Peer, TrustedProxies};
use super::problem::Problem;
use crate::cel;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use table::{Charge, ClientTable, RateKind, SlotKind};

#[derive(Debug, Clone)]
pub struct Settings {
    /// Bytes of a request's line and headers.
    pub max_header: usize,
    /// For the TLS handshake and a request's head.
    pub header_timeout: Duration,
    pub connections_per_address: usize,
    pub streams_per_address: usize,
    pub streams_per_key: usize,
    /// Of one key or address; a burst may take twice as many.
    pub requests_per_second: usize,
    pub topics_per_stream: usize,
    /// Of `where=`.
    pub filter: cel::CelLimits,
    pub loopback: Loopback,
}

/// Whether clients on this machine are counted in limits per address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loopback {
    Counted,
    LeftOut,
}

/// Passwords of one address that may be tried or wait for it: all who sign in share one line.
const GUESSES: usize = 4;

/// No limit.
pub const UNLIMITED: usize = usize::MAX;

impl Settings {
    /// Longest id of a stream that can come back: the rest of the head is for its line and the other headers.
    pub fn longest_id(&self) -> usize {
        self.max_header / 4 * 3
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_header: 16 << 10,
            header_timeout: Duration::from_secs(30),
            connections_per_address: 1000,
            streams_per_address: 500,
            streams_per_key: 5000,
            requests_per_second: 1000,
            topics_per_stream: 64,
            filter: cel::CelLimits::default(),
            loopback: Loopback::LeftOut,
        }
    }
}

/// Whom something counts for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ClientKey {
    /// Of IPv6 the first 64 bits, which one subscriber has.
    Address(IpAddr),
    /// All of whom a proxy says nothing that can be believed. Any of them may have made that so, to be taken for it.
    HiddenBy(IpAddr),
    Key(Arc<str>),
    /// All for whom the table has no room.
    Others,
}

impl ClientKey {
    pub fn of(peer: &Peer) -> Self {
        if peer.is_hidden { Self::HiddenBy(peer.address) } else { Self::at(peer.address) }
    }

    pub fn at(address: IpAddr) -> Self {
        Self::Address(match address {
            IpAddr::V6(v6) if !v6.is_loopback() => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
            other => other,
        })
    }
}

/// Counts what callers have open, and how often they ask.
pub struct ClientLimits {
    settings: Settings,
    table: Arc<ClientTable>,
}

/// Something that counts as long as it is kept.
pub struct ClientSlot {
    /// `None`: of somebody who is not counted.
    counted: Option<(Arc<ClientTable>, Charge)>,
}

impl Drop for ClientSlot {
    fn drop(&mut self) {
        if let Some((table, charged)) = &self.counted {
            table.release(charged);
        }
    }
}

/// A password that may be tried. It counts as a wrong one until it is known to be none.
pub struct PasswordSlot {
    _place: ClientSlot,
    table: Arc<ClientTable>,
    address: ClientKey,
}

impl PasswordSlot {
    pub fn was_no_mistake(self) {
        self.table.give_back(&self.address, RateKind::Guesses, Instant::now());
    }
}

impl ClientLimits {
    pub fn new(settings: Settings) -> Self {
        let table = Arc::new(ClientTable::new(settings.requests_per_second));
        Self { settings, table }
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether a request's head may be so many bytes.
    pub fn head(&self, bytes: usize) -> Result<(), Problem> {
        let most = self.settings.max_header;
        if bytes <= most {
            return Ok(());
        }
        Err(Problem::header_too_large(format!(
            "the request's line and headers have {bytes} bytes; at most {most} are allowed (the limit is --max-header)"
        )))
    }

    /// A connection's place. Those of trusted proxies are many people's.
    pub fn connection(&self, address: IpAddr, proxies: &TrustedProxies) -> Result<ClientSlot, Problem> {
        let most = self.settings.connections_per_address;
        if proxies.trust(address) {
            return Ok(ClientSlot { counted: None });
        }
        self.place(&ClientKey::at(address), SlotKind::Connection, most).ok_or_else(|| {
            Problem::too_many(format!(
                "{address} has {most} connections open already; close some, or use them again (the limit is \
                 --max-connections-per-address)"
            ))
        })
    }

    /// An event stream's place.
    pub fn stream(&self, caller: &ClientKey) -> Result<ClientSlot, Problem> {
        let (most, setting) = match caller {
            ClientKey::Key(_) => (self.settings.streams_per_key, "--max-streams-per-key"),
            ClientKey::Address(_) | ClientKey::HiddenBy(_) | ClientKey::Others => {
                (self.settings.streams_per_address, "--max-streams-per-address")
            }
        };
        self.place(caller, SlotKind::Stream, most).ok_or_else(|| {
            Problem::too_many(format!(
                "{} has {most} streams open already; close some (the limit is {setting})",
                who(caller)
            ))
        })
    }

    /// Lets a request in, or says when to ask again.
    pub fn request(&self, caller: &ClientKey) -> Result<(), Problem> {
        if self.settings.requests_per_second == UNLIMITED || self.leaves_out(caller) {
            return Ok(());
        }
        self.table.take(caller, RateKind::Requests, Instant::now()).map_err(|wait| {
            let most = self.settings.requests_per_second;
            let detail = format!(
                "{} asks more than {most} times a second; send several records in one request, or ask later (the limit is \
                 --max-requests-per-second)",
                who(caller)
            );
            Problem::too_many(detail).after(wait)
        })
    }

    /// A request that was let in for its address has shown a key, and counts for that instead.
    pub fn shown(&self, address: &ClientKey, key: &ClientKey) -> Result<(), Problem> {
        self.give_back(address);
        self.request(key)
    }

    /// Likewise, for a stream, whose number has a limit of its own. After a restart all streams of a key come back at
    /// once, and EventSource takes a 429 for the end.
    pub fn shown_for_a_stream(&self, address: &ClientKey) {
        self.give_back(address);
    }

    /// Lets somebody try a password, on this machine too: whoever guesses may be behind a proxy here.
    pub fn guess(&self, address: &ClientKey) -> Result<PasswordSlot, Problem> {
        let too_many = || Problem::too_many(format!("{} tries too many passwords; try again later", who(address)));
        let place = self.counted(address, SlotKind::Guess, GUESSES).ok_or_else(too_many)?;
        self.table.take(address, RateKind::Guesses, Instant::now()).map_err(|wait| too_many().after(wait))?;
        Ok(PasswordSlot { _place: place, table: self.table.clone(), address: address.clone() })
    }

    fn give_back(&self, address: &ClientKey) {
        if self.settings.requests_per_second != UNLIMITED && !self.leaves_out(address) {
            self.table.give_back(address, RateKind::Requests, Instant::now());
        }
    }

    fn place(&self, caller: &ClientKey, kind: SlotKind, most: usize) -> Option<ClientSlot> {
        if most == UNLIMITED || self.leaves_out(caller) {
            return Some(ClientSlot { counted: None });
        }
        self.counted(caller, kind, most)
    }

    fn counted(&self, caller: &ClientKey, kind: SlotKind, most: usize) -> Option<ClientSlot> {
        let charged = self.table.count(caller, kind, most)?;
        Some(ClientSlot { counted: Some((self.table.clone(), charged)) })
    }

    fn leaves_out(&self, caller: &ClientKey) -> bool {
        let loopback = matches!(caller, ClientKey::Address(address) if address.is_loopback());
        loopback && self.settings.loopback == Loopback::LeftOut
    }
}

fn who(caller: &ClientKey) -> String {
    match caller {
        ClientKey::Address(address @ IpAddr::V6(_)) => format!("{address}/64"),
        ClientKey::Address(address) => address.to_string(),
        ClientKey::HiddenBy(proxy) => format!("whoever is behind {proxy}, which does not say (or two headers differ)"),
        ClientKey::Key(name) => format!("key {name:?}"),
        ClientKey::Others => "too many addresses together".to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn limits(loopback: Loopback) -> ClientLimits {
        ClientLimits::new(Settings {
            connections_per_address: 2,
            streams_per_address: 1,
            streams_per_key: 2,
            requests_per_second: 2,
            loopback,
            ..Settings::default()
        })
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_place_is_free_again_when_it_is_given_back() {
        let limits = limits(Loopback::LeftOut);
        let connect = |from: &str| limits.connection(address(from), &TrustedProxies::default());
        let (first, second) = (connect("192.0.2.1").unwrap(), connect("192.0.2.1").unwrap());
        let refused = connect("192.0.2.1").map(drop).unwrap_err();
        assert_eq!(refused.error_code(), 429);
        assert!(refused.detail().contains("--max-connections-per-address"), "{}", refused.detail());
        let other = connect("192.0.2.2").unwrap();
        drop(first);
        let third = connect("192.0.2.1").unwrap();
        drop((second, third, other));
    }

    #[test]
    fn a_key_counts_wherever_it_comes_from_and_an_address_only_without_one() {
        let limits = limits(Loopback::LeftOut);
        let key = ClientKey::Key("k".into());
        let _held = (limits.stream(&key).unwrap(), limits.stream(&key).unwrap());
        assert!(limits.stream(&key).map(drop).unwrap_err().detail().contains("--max-streams-per-key"));
        let _address = limits.stream(&ClientKey::at(address("192.0.2.1"))).unwrap();
        let refused = limits.stream(&ClientKey::at(address("192.0.2.1"))).map(drop).unwrap_err();
        assert!(refused.detail().contains("--max-streams-per-address"), "{}", refused.detail());
    }

    #[test]
    fn requests_beyond_a_burst_are_told_when_to_come_again() {
        let limits = limits(Loopback::LeftOut);
        let caller = ClientKey::at(address("2001:db8::1"));
        let neighbour = ClientKey::at(address("2001:db8::ffff"));
        let let_in = (0..10).filter(|_| limits.request(&caller).is_ok()).count();
        assert!((4..6).contains(&let_in), "{let_in}");
        let refused = limits.request(&neighbour).unwrap_err();
        assert!(refused.detail().starts_with("2001:db8::/64 asks"), "{}", refused.detail());
        let answer: warp::http::Response<bytes::Bytes> = refused.response();
        assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (429, &"1".parse().unwrap()));
        limits.request(&ClientKey::at(address("2001:db8:0:1::1"))).unwrap();
    }

    #[test]
    fn whoever_shows_a_key_uses_nothing_up_of_its_address() {
        let limits = limits(Loopback::LeftOut);
        let address = ClientKey::at(address("192.0.2.1"));
        for key in 0..20 {
            limits.request(&address).unwrap();
            limits.shown(&address, &ClientKey::Key(key.to_string().into())).unwrap();
        }
        let key = ClientKey::Key("busy".into());
        let let_in = (0..10).filter(|_| limits.request(&address).and_then(|()| limits.shown(&address, &key)).is_ok());
        assert!((4..6).contains(&let_in.count()));
    }

    #[test]
    fn this_machine_and_trusted_proxies_are_left_out() {
        let trusted = TrustedProxies(vec![crate::http::Network::new(address("10.0.0.0"), Some(8)).unwrap()]);
        for (loopback, from, left_out) in [
            (Loopback::LeftOut, "127.0.0.1", true),
            (Loopback::LeftOut, "::1", true),
            (Loopback::Counted, "127.0.0.1", false),
            (Loopback::LeftOut, "10.0.0.1", true),
            (Loopback::LeftOut, "11.0.0.1", false),
        ] {
            let limits = limits(loopback);
            let all: Vec<_> = (0..5).map(|_| limits.connection(address(from), &trusted)).collect();
            assert_eq!(all.iter().all(Result::is_ok), left_out, "{from} {loopback:?}");
        }
    }
}
