//! Limits for each client, so that no client starves the others.
//!
//! A request counts against its key, or else against its address. Loopback addresses are exempt unless the settings say
//! otherwise: they belong to the operator, or to a proxy that hides its clients.

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
    /// Maximum size of a request's line and headers, in bytes.
    pub max_header: usize,
    /// Time limit for the TLS handshake and for a request's head.
    pub header_timeout: Duration,
    pub connections_per_address: usize,
    pub streams_per_address: usize,
    pub streams_per_key: usize,
    /// Requests per second of one key or address. A burst may contain twice this number.
    pub requests_per_second: usize,
    pub topics_per_stream: usize,
    /// Limits of a `where=` filter.
    pub filter: cel::CelLimits,
    pub loopback: Loopback,
}

/// Whether limits per address apply to clients on loopback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loopback {
    Counted,
    Exempt,
}

/// Maximum number of password checks of one address that run or wait at a time, because all logins share one queue.
const MAX_PASSWORD_CHECKS: usize = 4;

/// The value of a setting without a limit.
pub const UNLIMITED: usize = usize::MAX;

impl Settings {
    /// Returns the maximum length of an event id, which clients send back in the request head. The rest of the head is for
    /// the request line and other headers.
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
            loopback: Loopback::Exempt,
        }
    }
}

/// The client that a request, a connection or a stream counts against.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ClientKey {
    /// An IPv4 address, or the first 64 bits of an IPv6 address, which usually belong to one subscriber.
    Address(IpAddr),
    /// All clients behind this proxy for which it reports no valid address. Any client can cause this with a forged header,
    /// so these clients do not share the proxy's key.
    HiddenBy(IpAddr),
    Key(Arc<str>),
    /// All clients that do not fit into the table.
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

/// Counts the connections, streams and requests of each client.
pub struct ClientLimits {
    settings: Settings,
    table: Arc<ClientTable>,
}

/// A connection, stream or password check that counts until it is dropped.
pub struct ClientSlot {
    /// `None` for a client that is exempt.
    counted: Option<(Arc<ClientTable>, Charge)>,
}

impl Drop for ClientSlot {
    fn drop(&mut self) {
        if let Some((table, charged)) = &self.counted {
            table.release(charged);
        }
    }
}

/// Permission to check one password. The password counts as wrong unless the slot is refunded.
pub struct PasswordSlot {
    _slot: ClientSlot,
    table: Arc<ClientTable>,
    address: ClientKey,
}

impl PasswordSlot {
    pub fn refund(self) {
        self.table.refund(&self.address, RateKind::WrongPasswords, Instant::now());
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

    /// Rejects a request head that is larger than the limit.
    pub fn head(&self, bytes: usize) -> Result<(), Problem> {
        let most = self.settings.max_header;
        if bytes <= most {
            return Ok(());
        }
        Err(Problem::header_too_large(format!(
            "the request's line and headers have {bytes} bytes; at most {most} are allowed (the limit is --max-header)"
        )))
    }

    /// Counts a connection. Connections of trusted proxies carry many clients, so they are exempt.
    pub fn connection(&self, address: IpAddr, proxies: &TrustedProxies) -> Result<ClientSlot, Problem> {
        let most = self.settings.connections_per_address;
        if proxies.trust(address) {
            return Ok(ClientSlot { counted: None });
        }
        self.slot(&ClientKey::at(address), SlotKind::Connection, most).ok_or_else(|| {
            Problem::too_many(format!(
                "{address} has {most} open connections already; close some or reuse them (the limit is \
                 --max-connections-per-address)"
            ))
        })
    }

    /// Counts an event stream.
    pub fn stream(&self, client: &ClientKey) -> Result<ClientSlot, Problem> {
        let (most, setting) = match client {
            ClientKey::Key(_) => (self.settings.streams_per_key, "--max-streams-per-key"),
            ClientKey::Address(_) | ClientKey::HiddenBy(_) | ClientKey::Others => {
                (self.settings.streams_per_address, "--max-streams-per-address")
            }
        };
        self.slot(client, SlotKind::Stream, most).ok_or_else(|| {
            Problem::too_many(format!(
                "{} has {most} streams open already; close some (the limit is {setting})",
                describe(client)
            ))
        })
    }

    /// Admits a request, or rejects it with the time until the next one is admitted (`Retry-After`).
    pub fn request(&self, client: &ClientKey) -> Result<(), Problem> {
        if self.settings.requests_per_second == UNLIMITED || self.is_exempt(client) {
            return Ok(());
        }
        self.table.take(client, RateKind::Requests, Instant::now()).map_err(|wait| {
            let most = self.settings.requests_per_second;
            let detail = format!(
                "{} sends more than {most} requests a second; send several records in one request, or retry later (the limit \
                is --max-requests-per-second)",
                describe(client)
            );
            Problem::too_many(detail).after(wait)
        })
    }

    /// Charges an admitted request to its key instead of its address.
    pub fn charge_key(&self, address: &ClientKey, key: &ClientKey) -> Result<(), Problem> {
        self.refund(address);
        self.request(key)
    }

    /// Refunds the request of a stream, which has a separate limit. After a restart all streams of a key reconnect at once,
    /// and EventSource treats a 429 as final.
    pub fn refund_stream(&self, address: &ClientKey) {
        self.refund(address);
    }

    /// Admits a password check. No address is exempt, because a client that guesses may be behind a proxy on loopback.
    pub fn check_password(&self, address: &ClientKey) -> Result<PasswordSlot, Problem> {
        let too_many = || Problem::too_many(format!("{} tries too many passwords; try again later", describe(address)));
        let slot = self.counted(address, SlotKind::Password, MAX_PASSWORD_CHECKS).ok_or_else(too_many)?;
        self.table.take(address, RateKind::WrongPasswords, Instant::now()).map_err(|wait| too_many().after(wait))?;
        Ok(PasswordSlot { _slot: slot, table: self.table.clone(), address: address.clone() })
    }

    fn refund(&self, address: &ClientKey) {
        if self.settings.requests_per_second != UNLIMITED && !self.is_exempt(address) {
            self.table.refund(address, RateKind::Requests, Instant::now());
        }
    }

    fn slot(&self, client: &ClientKey, kind: SlotKind, most: usize) -> Option<ClientSlot> {
        if most == UNLIMITED || self.is_exempt(client) {
            return Some(ClientSlot { counted: None });
        }
        self.counted(client, kind, most)
    }

    fn counted(&self, client: &ClientKey, kind: SlotKind, most: usize) -> Option<ClientSlot> {
        let charged = self.table.count(client, kind, most)?;
        Some(ClientSlot { counted: Some((self.table.clone(), charged)) })
    }

    fn is_exempt(&self, client: &ClientKey) -> bool {
        let loopback = matches!(client, ClientKey::Address(address) if address.is_loopback());
        loopback && self.settings.loopback == Loopback::Exempt
    }
}

fn describe(client: &ClientKey) -> String {
    match client {
        ClientKey::Address(address @ IpAddr::V6(_)) => format!("{address}/64"),
        ClientKey::Address(address) => address.to_string(),
        ClientKey::HiddenBy(proxy) => {
            format!("a client behind {proxy}, which reports no valid address for it (or two headers differ),")
        }
        ClientKey::Key(name) => format!("key {name:?}"),
        ClientKey::Others => "a client among too many to be counted separately".to_owned(),
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
    fn a_slot_is_free_again_once_it_is_dropped() {
        let limits = limits(Loopback::Exempt);
        let connect = |from: &str| limits.connection(address(from), &TrustedProxies::default());
        let (first, second) = (connect("192.0.2.1").unwrap(), connect("192.0.2.1").unwrap());
        let rejected = connect("192.0.2.1").map(drop).unwrap_err();
        assert_eq!(rejected.error_code(), 429);
        assert!(rejected.detail().contains("--max-connections-per-address"), "{}", rejected.detail());
        let other = connect("192.0.2.2").unwrap();
        drop(first);
        let third = connect("192.0.2.1").unwrap();
        drop((second, third, other));
    }

    #[test]
    fn a_request_counts_against_its_key_or_else_its_address() {
        let limits = limits(Loopback::Exempt);
        let key = ClientKey::Key("k".into());
        let _held = (limits.stream(&key).unwrap(), limits.stream(&key).unwrap());
        assert!(limits.stream(&key).map(drop).unwrap_err().detail().contains("--max-streams-per-key"));
        let _address = limits.stream(&ClientKey::at(address("192.0.2.1"))).unwrap();
        let rejected = limits.stream(&ClientKey::at(address("192.0.2.1"))).map(drop).unwrap_err();
        assert!(rejected.detail().contains("--max-streams-per-address"), "{}", rejected.detail());
    }

    #[test]
    fn requests_beyond_a_burst_are_rejected_with_retry_after() {
        let limits = limits(Loopback::Exempt);
        let client = ClientKey::at(address("2001:db8::1"));
        let neighbour = ClientKey::at(address("2001:db8::ffff"));
        let admitted = (0..10).filter(|_| limits.request(&client).is_ok()).count();
        assert!((4..6).contains(&admitted), "{admitted}");
        let rejected = limits.request(&neighbour).unwrap_err();
        assert!(rejected.detail().starts_with("2001:db8::/64 sends"), "{}", rejected.detail());
        let response: warp::http::Response<bytes::Bytes> = rejected.response();
        assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (429, &"1".parse().unwrap()));
        limits.request(&ClientKey::at(address("2001:db8:0:1::1"))).unwrap();
    }

    #[test]
    fn requests_with_a_key_do_not_count_against_the_address() {
        let limits = limits(Loopback::Exempt);
        let address = ClientKey::at(address("192.0.2.1"));
        for key in 0..20 {
            limits.request(&address).unwrap();
            limits.charge_key(&address, &ClientKey::Key(key.to_string().into())).unwrap();
        }
        let key = ClientKey::Key("busy".into());
        let admitted =
            (0..10).filter(|_| limits.request(&address).and_then(|()| limits.charge_key(&address, &key)).is_ok());
        assert!((4..6).contains(&admitted.count()));
    }

    #[test]
    fn loopback_and_trusted_proxies_are_exempt() {
        let trusted = TrustedProxies(vec![crate::http::Network::new(address("10.0.0.0"), Some(8)).unwrap()]);
        for (loopback, from, exempt) in [
            (Loopback::Exempt, "127.0.0.1", true),
            (Loopback::Exempt, "::1", true),
            (Loopback::Counted, "127.0.0.1", false),
            (Loopback::Exempt, "10.0.0.1", true),
            (Loopback::Exempt, "11.0.0.1", false),
        ] {
            let limits = limits(loopback);
            let all: Vec<_> = (0..5).map(|_| limits.connection(address(from), &trusted)).collect();
            assert_eq!(all.iter().all(Result::is_ok), exempt, "{from} {loopback:?}");
        }
    }
}
