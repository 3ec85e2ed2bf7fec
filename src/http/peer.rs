//! The client behind a request. Proxies report it in `X-Forwarded-For` and `X-Forwarded-Proto`, or in `Forwarded`
//! (RFC 7239). Clients can send these headers too, so only entries that a trusted proxy added count.

use super::certificate::ClientCertificate;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use warp::http::HeaderMap;

/// The client of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    pub address: IpAddr,
    /// Whether `address` is a trusted proxy that does not report a valid address for its client.
    pub is_hidden: bool,
    pub scheme: PeerScheme,
    /// The client's certificate, if it has sent one.
    pub certificate: Option<Arc<ClientCertificate>>,
}

/// The scheme of the URL that the client requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerScheme {
    Https,
    Http,
    /// The connection to the bridge has no TLS, but a proxy that does not report the scheme may have
    /// terminated TLS.
    Unknown,
}

/// For tests of routes, which have no socket.
impl Default for Peer {
    fn default() -> Self {
        Self { address: Ipv4Addr::LOCALHOST.into(), is_hidden: false, scheme: PeerScheme::Unknown, certificate: None }
    }
}

/// The address and the name in the certificate, for the log.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        match self.certificate.as_ref().and_then(|certificate| certificate.identity()) {
            Some(name) => write!(f, " ({name})"),
            None => Ok(()),
        }
    }
}

/// A network in CIDR notation, such as `10.0.0.0/8` or `fd00::/8`, or a single address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    bits: u128,
    mask: u128,
}

impl Network {
    /// Returns `None` if the prefix is longer than the address.
    pub fn new(address: IpAddr, prefix: Option<u8>) -> Option<Self> {
        let (all, shift) = if address.is_ipv4() { (32, 96) } else { (128, 0) };
        let prefix = prefix.unwrap_or(all);
        let mask = u128::MAX.checked_shl(u32::from(all.checked_sub(prefix)?)).unwrap_or(0);
        // IPv4 addresses are mapped to ::ffff:0:0/96.
        let mask = if shift == 96 { mask | (u128::MAX << 32) } else { mask };
        Some(Self { bits: bits(address) & mask, mask })
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        bits(address) & self.mask == self.bits
    }
}

fn bits(address: IpAddr) -> u128 {
    let v6: Ipv6Addr = match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    v6.to_bits()
}

/// The networks of trusted proxies.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(pub Vec<Network>);

impl TrustedProxies {
    pub fn trust(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }

    /// Returns the client behind the proxies, or `peer` itself if it is not a trusted proxy.
    pub fn client_behind(&self, peer: Peer, headers: &HeaderMap) -> Peer {
        if !self.trust(peer.address) {
            return peer;
        }
        let (x_forwarded, forwarded) = (x_forwarded(headers), forwarded(headers, self));
        // A proxy that writes only one of the headers forwards the other as the client sent it. If they differ, one may be
        // forged, so neither counts and the client is hidden behind the proxy.
        let hops = match (x_forwarded.hops.is_empty(), forwarded.hops.is_empty()) {
            (false, true) => x_forwarded.hops,
            (true, false) => forwarded.hops,
            _ if x_forwarded.hops == forwarded.hops => x_forwarded.hops,
            _ => vec![None],
        };
        let scheme = match (x_forwarded.scheme, forwarded.scheme) {
            (PeerScheme::Unknown, reported) | (reported, PeerScheme::Unknown) => reported,
            (one, other) if one == other => one,
            _ => PeerScheme::Http,
        };
        let (address, is_hidden) = self.first_untrusted(peer.address, &hops);
        Peer {
            address,
            is_hidden,
            // If the proxy reports no scheme, assume the one of its connection to the bridge.
            scheme: if scheme == PeerScheme::Unknown { peer.scheme } else { scheme },
            // The certificate on the connection is the proxy's.
            certificate: None,
        }
    }

    /// Walks the hops from the bridge outwards. Returns the first address that is not a trusted proxy, or the last known
    /// proxy and `true` if it does not report a valid address.
    fn first_untrusted(&self, mut address: IpAddr, hops: &[Option<IpAddr>]) -> (IpAddr, bool) {
        for hop in hops.iter().rev() {
            if !self.trust(address) {
                break;
            }
            match hop {
                Some(hop) => address = *hop,
                None => return (address, true),
            }
        }
        (address, false)
    }
}

/// Whether any proxy, trusted or not, has forwarded the request.
pub fn is_forwarded(headers: &HeaderMap) -> bool {
    ["x-forwarded-for", "x-forwarded-proto", "forwarded", "via"].iter().any(|name| headers.contains_key(*name))
}

/// The contents of one family of headers: the hops from the client to the bridge (`None` if not an address) and the
/// scheme.
struct ForwardedInfo {
    hops: Vec<Option<IpAddr>>,
    scheme: PeerScheme,
}

fn x_forwarded(headers: &HeaderMap) -> ForwardedInfo {
    let hops = list(headers, "x-forwarded-for").map(|hop| host(&hop)).collect();
    ForwardedInfo {
        hops,
        scheme: list(headers, "x-forwarded-proto").last().map_or(PeerScheme::Unknown, |text| scheme(&text)),
    }
}

/// Parses `Forwarded: for=192.0.2.60;proto=https, for="[2001:db8::1]:4711"`.
fn forwarded(headers: &HeaderMap, proxies: &TrustedProxies) -> ForwardedInfo {
    let parameter = |hop: &str, parameter: &str| {
        hop.split(';').find_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            name.trim().eq_ignore_ascii_case(parameter).then(|| value.trim().trim_matches('"').to_owned())
        })
    };
    let all: Vec<String> = list(headers, "forwarded").collect();
    let hops: Vec<_> = all.iter().map(|hop| parameter(hop, "for").and_then(|hop| host(&hop))).collect();
    // The client's scheme is the one that the outermost trusted proxy reports.
    let trusted = hops.iter().rev().take_while(|hop| hop.is_some_and(|hop| proxies.trust(hop))).count();
    let outermost = all.len().checked_sub(trusted + 1).and_then(|at| all.get(at)).or(all.first());
    let scheme = outermost.and_then(|hop| parameter(hop, "proto")).map_or(PeerScheme::Unknown, |text| scheme(&text));
    ForwardedInfo { hops, scheme }
}

/// Returns the elements of a comma-separated header, which may occur several times.
fn list<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = String> + 'a {
    let lines = headers.get_all(name).into_iter();
    lines.flat_map(|line| String::from_utf8_lossy(line.as_bytes()).split(',').map(str::to_owned).collect::<Vec<_>>())
}

/// Parses an address with or without a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn host(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = match text.strip_prefix('[') {
        Some(v6) => v6.split(']').next()?,
        None if text.matches(':').count() == 1 => text.split(':').next()?,
        None => text,
    };
    bare.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

fn scheme(text: &str) -> PeerScheme {
    if text.trim().eq_ignore_ascii_case("https") { PeerScheme::Https } else { PeerScheme::Http }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use warp::http::header::{HeaderName, HeaderValue};

    type Headers<'a> = &'a [(&'a str, &'a str)];

    fn network(text: &str) -> Network {
        let (address, prefix) = text.split_once('/').unwrap();
        Network::new(address.parse().unwrap(), Some(prefix.parse().unwrap())).unwrap()
    }

    fn behind(from: &str, headers: Headers) -> (String, PeerScheme) {
        let peer = peer(from, headers);
        (peer.address.to_string(), peer.scheme)
    }

    fn peer(from: &str, headers: Headers) -> Peer {
        let proxies = TrustedProxies(vec![network("10.0.0.0/8"), network("fd00::/8")]);
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        proxies.client_behind(Peer { address: from.parse().unwrap(), ..Peer::default() }, &map)
    }

    #[test]
    fn a_client_is_hidden_if_a_trusted_proxy_reports_no_valid_address() {
        let (xff, forwarded) = ("x-forwarded-for", "forwarded");
        let cases: [(&str, Headers, bool); 8] = [
            ("10.0.0.1", &[], false),
            ("10.0.0.1", &[(xff, "198.51.100.7")], false),
            ("10.0.0.1", &[(xff, "198.51.100.7"), (forwarded, "for=198.51.100.7")], false),
            ("10.0.0.1", &[(xff, "unknown, 198.51.100.7")], false),
            ("192.0.2.1", &[(xff, "198.51.100.7"), (forwarded, "for=x")], false),
            ("10.0.0.1", &[(xff, "198.51.100.7"), (forwarded, "for=x")], true),
            ("10.0.0.1", &[(xff, "198.51.100.7, unknown")], true),
            ("10.0.0.1", &[(forwarded, "for=_hidden")], true),
        ];
        for (from, headers, hidden) in cases {
            assert_eq!(peer(from, headers).is_hidden, hidden, "{from} {headers:?}");
        }
    }

    #[test]
    fn the_rightmost_untrusted_address_is_the_client() {
        let xff = "x-forwarded-for";
        let cases: [(&str, Headers, &str); 14] = [
            // Headers of untrusted peers do not count.
            ("192.0.2.1", &[(xff, "198.51.100.7")], "192.0.2.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &[(xff, "198.51.100.7")], "198.51.100.7"),
            ("10.0.0.1", &[(xff, "203.0.113.9, 198.51.100.7, 10.1.1.1")], "198.51.100.7"),
            ("10.0.0.1", &[(xff, "203.0.113.9"), (xff, "198.51.100.7")], "198.51.100.7"),
            ("10.0.0.1", &[(xff, "10.0.0.3, 10.0.0.2")], "10.0.0.3"),
            // An invalid address ends the search.
            ("10.0.0.1", &[(xff, "198.51.100.7, unknown, 10.0.0.2")], "10.0.0.2"),
            ("10.0.0.1", &[(xff, "198.51.100.7:4711")], "198.51.100.7"),
            ("fd00::1", &[(xff, "[2001:db8::1]:4711")], "2001:db8::1"),
            ("10.0.0.1", &[("forwarded", "for=\"[2001:db8::1]:4711\";proto=https")], "2001:db8::1"),
            ("10.0.0.1", &[("forwarded", "For=203.0.113.9, for=198.51.100.7")], "198.51.100.7"),
            ("10.0.0.1", &[("forwarded", "for=_hidden")], "10.0.0.1"),
            // The two headers differ, so one may be forged.
            ("10.0.0.1", &[(xff, "198.51.100.7"), ("forwarded", "for=127.0.0.1")], "10.0.0.1"),
            ("10.0.0.1", &[(xff, "198.51.100.7"), ("forwarded", "for=198.51.100.7")], "198.51.100.7"),
        ];
        for (from, headers, client) in cases {
            assert_eq!(behind(from, headers).0, client, "{from} {headers:?}");
        }
    }

    #[test]
    fn the_scheme_is_the_one_that_the_outermost_trusted_proxy_reports() {
        let xfp = "x-forwarded-proto";
        let cases: [(&str, Headers, PeerScheme); 9] = [
            ("192.0.2.1", &[(xfp, "https")], PeerScheme::Unknown),
            ("10.0.0.1", &[], PeerScheme::Unknown),
            ("10.0.0.1", &[(xfp, "HTTPS")], PeerScheme::Https),
            ("10.0.0.1", &[(xfp, "https, http")], PeerScheme::Http),
            ("10.0.0.1", &[("forwarded", "for=192.0.2.7;proto=https")], PeerScheme::Https),
            (
                "10.0.0.1",
                &[("forwarded", "for=1.2.3.4;proto=http, for=192.0.2.7;proto=https, for=10.0.0.2;proto=http")],
                PeerScheme::Https,
            ),
            ("10.0.0.1", &[("forwarded", "for=10.0.0.3;proto=https, for=10.0.0.2;proto=http")], PeerScheme::Https),
            ("10.0.0.1", &[(xfp, "http"), ("forwarded", "proto=https")], PeerScheme::Http),
            ("10.0.0.1", &[(xfp, "https"), ("forwarded", "proto=https")], PeerScheme::Https),
        ];
        for (from, headers, scheme) in cases {
            assert_eq!(behind(from, headers).1, scheme, "{from} {headers:?}");
        }
    }

    #[test]
    fn a_network_contains_the_addresses_with_its_prefix() {
        let cases = [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("0.0.0.0/0", "192.0.2.1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("192.0.2.1/32", "192.0.2.1", true),
            ("192.0.2.1/32", "192.0.2.2", false),
            ("10.1.2.3/8", "10.9.9.9", true),
            ("2001:db8::/32", "2001:db9::1", false),
        ];
        for (text, address, inside) in cases {
            assert_eq!(network(text).contains(address.parse().unwrap()), inside, "{text} {address}");
        }
        assert!(Network::new("10.0.0.0".parse().unwrap(), Some(33)).is_none());
    }

    proptest! {
        #[test]
        fn no_forwarded_header_causes_a_panic(x_forwarded in "[ -~]{0,60}", forwarded in "[ -~]{0,60}") {
            let _ = behind("10.0.0.1", &[("x-forwarded-for", &x_forwarded), ("forwarded", &forwarded)]);
        }
    }
}
