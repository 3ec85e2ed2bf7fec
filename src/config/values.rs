//! Parsers for the values of settings. Each error says what is allowed.

use crate::cel::{CompileError, Expression};
use crate::http::Network;
use crate::http::limits::UNLIMITED;
use crate::os::memory_limit;
use crate::start_position::parse_age;
use crate::sync::memory_budget;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`.
pub fn listen(text: &str) -> Result<SocketAddr, String> {
    if let Some(port) = text.strip_prefix("localhost:") {
        let port = port.parse().map_err(|_| LISTEN_HELP.to_owned())?;
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
    text.parse().map_err(|_| LISTEN_HELP.to_owned())
}

const LISTEN_HELP: &str = "give an IP address and a port, such as 127.0.0.1:8080, [::1]:8080, or 0.0.0.0:8080 for \
                           every network of this machine";

/// A positive number, or `unlimited`.
pub fn count(text: &str) -> Result<usize, String> {
    if text == "unlimited" {
        return Ok(UNLIMITED);
    }
    text.parse().ok().filter(|count| *count > 0).ok_or("give a number from 1 on, or unlimited".to_owned())
}

/// `10.0.0.0/8`, `fd00::/8`, or one address.
pub fn network(text: &str) -> Result<Network, String> {
    let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
    let prefix = prefix.map(str::parse).transpose();
    let network = address.parse().ok().zip(prefix.ok()).and_then(|(address, prefix)| Network::new(address, prefix));
    network.ok_or("give an address, or a network such as 10.0.0.0/8 or fd00::/8".to_owned())
}

/// A filter expression.
pub fn condition(text: &str) -> Result<Arc<Expression>, CompileError> {
    Expression::compile(text).map(Arc::new)
}

/// One broker's address, `host:port`.
pub fn broker(text: &str) -> Result<String, String> {
    let help = "give host:port of one or more brokers, such as 127.0.0.1:9092 or kafka1:9092,kafka2:9092";
    let (host, port) = text.rsplit_once(':').ok_or(help)?;
    let bare = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(v6) => v6,
        None if host.contains(':') => return Err(help.to_owned()),
        None => host,
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
    let port_fits = port.parse::<u16>().is_ok_and(|p| p != 0);
    if bare.is_empty() || !bare.chars().all(fits) || !port_fits { Err(help.to_owned()) } else { Ok(text.to_owned()) }
}

/// `*`, or an origin as browsers send it: `scheme://host[:port]`, lower case, no path.
pub fn origin(text: &str) -> Result<String, String> {
    let help = "give * or an origin as browsers send it, such as https://example.org or http://localhost:3000, \
                without a path";
    if text == "*" || text == "null" {
        return if text == "*" { Ok(text.to_owned()) } else { Err(help.to_owned()) };
    }
    let text = text.strip_suffix('/').unwrap_or(text).to_ascii_lowercase();
    let (scheme, host) = text.split_once("://").ok_or(help)?;
    let (host, port) = match host.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (host, None),
    };
    let scheme_fits = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    let host_fits = !host.is_empty()
        && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '[' | ']' | ':'));
    let port_number = port.map(str::parse::<u16>).transpose().map_err(|_| help)?;
    if !scheme_fits || !host_fits {
        return Err(help.to_owned());
    }
    // Browsers omit a scheme's default port in Origin.
    let default = matches!((scheme, port_number), ("http", Some(80)) | ("https", Some(443)));
    Ok(match port_number {
        Some(port) if !default => format!("{scheme}://{host}:{port}"),
        _ => format!("{scheme}://{host}"),
    })
}

/// Bytes: `8MiB`, `512KiB`, `1GB`, `65536`.
pub fn size(text: &str) -> Result<usize, String> {
    let help = "give a number of bytes, such as 65536, 512KiB, 8MiB or 1GB";
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).ok_or(help)?;
    let number: usize = number.parse().map_err(|_| help)?;
    let unit = match unit.trim() {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" | "K" => 1 << 10,
        "MiB" | "M" => 1 << 20,
        "GiB" | "G" => 1 << 30,
        _ => return Err(help.to_owned()),
    };
    number.checked_mul(unit).filter(|bytes| *bytes > 0).ok_or(help.to_owned())
}

/// Bytes, or `auto`: derived from the memory of the machine.
pub fn memory_budget(text: &str) -> Result<usize, String> {
    if text == "auto" {
        let available = memory_limit::of_process().unwrap_or(usize::MAX);
        return Ok((available / 4).clamp(64 << 20, memory_budget::DEFAULT));
    }
    let least = memory_budget::MIN;
    size(text).map_err(|help| format!("{help}, or auto")).and_then(|bytes| {
        if bytes < least { Err(format!("give at least {} MiB, or auto", least >> 20)) } else { Ok(bytes) }
    })
}

/// A positive number.
pub fn number(text: &str) -> Result<usize, &'static str> {
    text.parse().ok().filter(|count| *count > 0).ok_or("give a number from 1 on, such as 10000")
}

/// `15s`, `500ms`, `2m`, `1h30m`; up to a week, and not zero.
pub fn duration(text: &str) -> Result<Duration, String> {
    let week = 7 * 86_400_000;
    parse_age(text)
        .filter(|ms| (1..=week).contains(ms))
        .and_then(|ms| u64::try_from(ms).ok())
        .map(Duration::from_millis)
        .ok_or("give a number and a unit, such as 500ms, 15s, 2m or 1h, from 1ms to 7d".to_owned())
}

/// A [`duration`], or `0s`.
pub fn delay(text: &str) -> Result<Duration, String> {
    if parse_age(text) == Some(0) { Ok(Duration::ZERO) } else { duration(text) }
}

/// `12h`, `7d`, or `forever`: `Duration::MAX`.
pub fn retention_time(text: &str) -> Result<Duration, String> {
    if text == "forever" {
        return Ok(Duration::MAX);
    }
    let ms = parse_age(text).filter(|ms| *ms > 0).and_then(|ms| u64::try_from(ms).ok());
    ms.map(Duration::from_millis).ok_or("give a number and a unit, such as 12h, 7d or 365d, or forever".to_owned())
}

/// A size, or `unlimited`: `u64::MAX`.
pub fn retention_bytes(text: &str) -> Result<u64, String> {
    match text {
        "unlimited" => Ok(u64::MAX),
        _ => size(text).map(|bytes| bytes as u64).map_err(|e| format!("{e}, or unlimited")),
    }
}

/// Bytes, with the escapes `\t`, `\n`, `\r`, `\0`, `\\` and `\xNN`.
pub fn separator(text: &str) -> Result<Vec<u8>, String> {
    let help = "give one character or more; \\t, \\n, \\r, \\0, \\\\ and \\xNN are understood";
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((before, escaped)) = rest.split_once('\\') {
        out.extend_from_slice(before.as_bytes());
        let (byte, taken) = match escaped.as_bytes().first() {
            Some(b't') => (b'\t', 1),
            Some(b'n') => (b'\n', 1),
            Some(b'r') => (b'\r', 1),
            Some(b'0') => (0, 1),
            Some(b'\\') => (b'\\', 1),
            Some(b'x') => (escaped.get(1..3).and_then(|hex| u8::from_str_radix(hex, 16).ok()).ok_or(help)?, 3),
            _ => return Err(help.to_owned()),
        };
        out.push(byte);
        rest = escaped.get(taken..).unwrap_or_default();
    }
    out.extend_from_slice(rest.as_bytes());
    if out.is_empty() { Err(help.to_owned()) } else { Ok(out) }
}

/// `NAME=VALUE` of a record header.
pub fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("give NAME=VALUE, such as source=boiler".to_owned()),
    }
}

/// The address of a running bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BridgeUrl {
    pub scheme: UrlScheme,
    /// `host:port`
    pub authority: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UrlScheme {
    Http,
    Https,
}

impl std::fmt::Display for BridgeUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.scheme == UrlScheme::Https { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority)
    }
}

/// `http://host[:port]` or `https://host[:port]` of a running bridge.
pub fn bridge(text: &str) -> Result<BridgeUrl, String> {
    let help = "give the address of a running bridge, such as http://127.0.0.1:8080 or https://bridge.example";
    let (scheme, usual_port, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
        (Some(rest), _) => (UrlScheme::Http, "80", rest),
        (_, Some(rest)) => (UrlScheme::Https, "443", rest),
        (None, None) => return Err(help.to_owned()),
    };
    let rest = rest.trim_end_matches('/');
    if rest.contains('@') {
        return Err("credentials in a URL are visible to others; give them as --token or CURLEW_TOKEN".to_owned());
    }
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (rest, usual_port),
    };
    let authority = format!("{host}:{port}");
    broker(&authority).map_err(|_| help)?;
    Ok(BridgeUrl { scheme, authority })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_are_checked() {
        for good in ["127.0.0.1:8080", "[::1]:8080", "0.0.0.0:0", "localhost:8080"] {
            assert!(listen(good).is_ok(), "{good}");
        }
        for bad in ["", "8080", ":8080", "127.0.0.1", "example.org:80", "localhost:x", "127.0.0.1:99999"] {
            assert!(listen(bad).is_err(), "{bad}");
        }
        for good in ["127.0.0.1:9092", "kafka-1.example:9092", "[::1]:9092", "my_broker:1"] {
            assert_eq!(broker(good).as_deref(), Ok(good));
        }
        for bad in ["", "kafka", ":9092", "kafka:", "kafka:0", "kafka:70000", "http://kafka:9092", "::1:9092", "a b:1"]
        {
            assert!(broker(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_origin_is_written_as_browsers_send_it() {
        for (given, origin_header) in [
            ("*", "*"),
            ("https://example.org", "https://example.org"),
            ("https://Example.org/", "https://example.org"),
            ("https://example.org:443", "https://example.org"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("http://[::1]", "http://[::1]"),
            ("app://obsidian.md", "app://obsidian.md"),
        ] {
            assert_eq!(origin(given).as_deref(), Ok(origin_header), "{given}");
        }
        for bad in ["", "null", "example.org", "https://", "https://a/b", "https://a:b", "https://a,https://b", "://a"]
        {
            assert!(origin(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_and_durations_have_units() {
        for (text, bytes) in [("8MiB", 8 << 20), ("512KiB", 512 << 10), ("1GB", 1_000_000_000), ("7", 7), ("7 B", 7)] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "0", "MiB", "-1", "1.5MiB", "8mib", "99999999999999999999", "99999999999GiB"] {
            assert!(size(bad).is_err(), "{bad}");
        }
        for (text, ms) in [("15s", 15_000), ("500ms", 500), ("2m", 120_000), ("1h30m", 5_400_000)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for bad in ["", "15", "0s", "-1s", "8d", "1 h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_separator_may_contain_escapes() {
        for (text, bytes) in [(":", &b":"[..]), ("\\t", b"\t"), ("=>", b"=>"), ("\\x1f", b"\x1f"), ("a\\\\b", b"a\\b")]
        {
            assert_eq!(separator(text).as_deref(), Ok(bytes), "{text}");
        }
        for bad in ["", "\\", "\\q", "\\x1", "\\xzz"] {
            assert!(separator(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_bridge_is_an_http_address() {
        for (text, whole) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
            ("http://bridge.local", "http://bridge.local:80"),
            ("https://bridge.local", "https://bridge.local:443"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("https://[::1]", "https://[::1]:443"),
        ] {
            assert_eq!(bridge(text).map(|url| url.to_string()).as_deref(), Ok(whole), "{text}");
        }
        for bad in ["", "127.0.0.1:8080", "ftp://a", "http://", "https://", "http://a/b", "http://a:b"] {
            assert!(bridge(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn parsers_never_panic(text in ".*") {
            let _ = (listen(&text), broker(&text), origin(&text), size(&text));
            let _ = (duration(&text), separator(&text), header(&text), bridge(&text));
        }
    }
}
