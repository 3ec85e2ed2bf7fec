//! Parsers for the values of settings.

use super::invalid_value::InvalidValue;
use crate::cel::{CelLimits, CompileError, Expression, FieldPath, InvalidPaths};
use crate::http::Network;
use crate::http::event::projection::Projection;
use crate::http::limits::UNLIMITED;
use crate::hub::Until;
use crate::os::memory_limit;
use crate::record::now;
use crate::start_position::{StartPosition, parse_age, parse_sample, parse_start};
use crate::sync::memory_budget;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Parses a listen address, such as `127.0.0.1:8080`, `[::1]:8080` or `localhost:8080`.
pub fn listen(text: &str) -> Result<SocketAddr, InvalidValue> {
    if let Some(port) = text.strip_prefix("localhost:") {
        let port = port.parse().map_err(|_| InvalidValue::ListenAddress)?;
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
    text.parse().map_err(|_| InvalidValue::ListenAddress)
}

/// Parses a positive number; `unlimited` is [`UNLIMITED`].
pub fn count_or_unlimited(text: &str) -> Result<usize, InvalidValue> {
    if text == "unlimited" { Ok(UNLIMITED) } else { count(text).map_err(|_| InvalidValue::CountOrUnlimited) }
}

/// Parses a positive number.
pub fn count(text: &str) -> Result<usize, InvalidValue> {
    text.parse().ok().filter(|count| *count > 0).ok_or(InvalidValue::Count)
}

/// Parses a network, such as `10.0.0.0/8` or `fd00::/8`. An address is a network of one.
pub fn network(text: &str) -> Result<Network, InvalidValue> {
    let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
    let prefix = prefix.map(str::parse).transpose();
    let network = address.parse().ok().zip(prefix.ok()).and_then(|(address, prefix)| Network::new(address, prefix));
    network.ok_or(InvalidValue::Network)
}

/// Compiles a filter expression.
pub fn condition(text: &str) -> Result<Arc<Expression>, CompileError> {
    Expression::compile(text).map(Arc::new)
}

/// The fields of --select.
pub fn fields(text: &str) -> Result<Arc<Projection>, InvalidPaths> {
    let paths = FieldPath::parse_list(text, CelLimits::default().length)?;
    Ok(Arc::new(Projection::new(paths)))
}

/// The interval of --sample.
pub fn sample(text: &str) -> Result<Duration, &'static str> {
    parse_sample(text).ok_or("give an interval from 100ms to 1h, such as 1s")
}

/// The end of --until.
pub fn until(text: &str) -> Result<Until, &'static str> {
    match (text, parse_start(text, now())) {
        ("end", _) => Ok(Until::End),
        (_, Ok(StartPosition::Time(time))) => Ok(Until::Time(time)),
        _ => Err("give end, a time like 2026-01-31T08:00:00Z, or an age like -15m"),
    }
}

/// Checks the address of one broker, `host:port`.
pub fn broker(text: &str) -> Result<String, InvalidValue> {
    let invalid = InvalidValue::BrokerAddress;
    let (host, port) = text.rsplit_once(':').ok_or(invalid)?;
    let bare = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(v6) => v6,
        None if host.contains(':') => return Err(invalid),
        None => host,
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
    let port_fits = port.parse::<u16>().is_ok_and(|p| p != 0);
    if bare.is_empty() || !bare.chars().all(fits) || !port_fits { Err(invalid) } else { Ok(text.to_owned()) }
}

/// Parses `*`, or the DNS name of a system that sends webhooks.
pub fn webhook_origin(text: &str) -> Result<String, InvalidValue> {
    let is_name = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
    if text == "*" || is_name { Ok(text.to_owned()) } else { Err(InvalidValue::WebhookOrigin) }
}

/// Parses `*`, or an origin, which is normalized to the form that browsers send: `scheme://host[:port]` in lower case.
pub fn origin(text: &str) -> Result<String, InvalidValue> {
    let invalid = InvalidValue::Origin;
    if text == "*" || text == "null" {
        return if text == "*" { Ok(text.to_owned()) } else { Err(invalid) };
    }
    let text = text.strip_suffix('/').unwrap_or(text).to_ascii_lowercase();
    let (scheme, host) = text.split_once("://").ok_or(invalid)?;
    let (host, port) = match host.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (host, None),
    };
    let scheme_fits = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    let host_fits = !host.is_empty()
        && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '[' | ']' | ':'));
    let port_number = port.map(str::parse::<u16>).transpose().map_err(|_| invalid)?;
    if !scheme_fits || !host_fits {
        return Err(invalid);
    }
    // Browsers omit a scheme's default port in Origin.
    let default = matches!((scheme, port_number), ("http", Some(80)) | ("https", Some(443)));
    Ok(match port_number {
        Some(port) if !default => format!("{scheme}://{host}:{port}"),
        _ => format!("{scheme}://{host}"),
    })
}

/// Parses a positive number of bytes with an optional unit: `8MiB`, `512KiB`, `1GB`, `65536`.
pub fn size(text: &str) -> Result<usize, InvalidValue> {
    let invalid = InvalidValue::Size;
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).ok_or(invalid)?;
    let number: usize = number.parse().map_err(|_| invalid)?;
    let unit = match unit.trim() {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" | "K" => 1 << 10,
        "MiB" | "M" => 1 << 20,
        "GiB" | "G" => 1 << 30,
        _ => return Err(invalid),
    };
    number.checked_mul(unit).filter(|bytes| *bytes > 0).ok_or(invalid)
}

/// Parses a [`size`] of at least [`memory_budget::MIN`]. `auto` is a quarter of the memory available to the process, within
/// 64 MiB and [`memory_budget::DEFAULT`].
pub fn memory_budget(text: &str) -> Result<usize, InvalidValue> {
    if text == "auto" {
        let available = memory_limit::of_process().unwrap_or(usize::MAX);
        return Ok((available / 4).clamp(64 << 20, memory_budget::DEFAULT));
    }
    let bytes = size(text).map_err(|_| InvalidValue::SizeOrAuto)?;
    let min = memory_budget::MIN;
    if bytes < min { Err(InvalidValue::MemoryBudgetTooSmall(min)) } else { Ok(bytes) }
}

/// Stands for a size that the bridge chooses.
pub const AUTO: usize = usize::MAX;

/// Parses a size, or `auto`.
pub fn size_or_auto(text: &str) -> Result<usize, InvalidValue> {
    if text == "auto" { Ok(AUTO) } else { size(text).map_err(|_| InvalidValue::SizeOrAuto) }
}

/// Parses a duration from 1 ms to 7 days: `15s`, `500ms`, `2m`, `1h30m`.
pub fn duration(text: &str) -> Result<Duration, InvalidValue> {
    let week = 7 * 86_400_000;
    parse_age(text)
        .filter(|ms| (1..=week).contains(ms))
        .and_then(|ms| u64::try_from(ms).ok())
        .map(Duration::from_millis)
        .ok_or(InvalidValue::Duration)
}

/// Parses a [`duration`] or zero.
pub fn delay(text: &str) -> Result<Duration, InvalidValue> {
    if parse_age(text) == Some(0) { Ok(Duration::ZERO) } else { duration(text) }
}

/// Parses a duration without an upper limit, such as `12h` or `90d`.
pub fn lifetime(text: &str) -> Result<Duration, InvalidValue> {
    let ms = parse_age(text).filter(|ms| *ms > 0).and_then(|ms| u64::try_from(ms).ok());
    ms.map(Duration::from_millis).ok_or(InvalidValue::Lifetime)
}

/// Parses a [`lifetime`]; `forever` is [`Duration::MAX`].
pub fn retention_time(text: &str) -> Result<Duration, InvalidValue> {
    if text == "forever" { Ok(Duration::MAX) } else { lifetime(text).map_err(|_| InvalidValue::RetentionTime) }
}

/// Parses a [`size`]; `unlimited` is `u64::MAX`.
pub fn retention_bytes(text: &str) -> Result<u64, InvalidValue> {
    match text {
        "unlimited" => Ok(u64::MAX),
        _ => size(text).map(|bytes| bytes as u64).map_err(|_| InvalidValue::SizeOrUnlimited),
    }
}

/// Parses one byte or more, with the escapes `\t`, `\n`, `\r`, `\0`, `\\` and `\xNN`.
pub fn separator(text: &str) -> Result<Vec<u8>, InvalidValue> {
    let invalid = InvalidValue::Separator;
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((before, escaped)) = rest.split_once('\\') {
        out.extend_from_slice(before.as_bytes());
        let (byte, length) = match escaped.as_bytes().first() {
            Some(b't') => (b'\t', 1),
            Some(b'n') => (b'\n', 1),
            Some(b'r') => (b'\r', 1),
            Some(b'0') => (0, 1),
            Some(b'\\') => (b'\\', 1),
            Some(b'x') => (escaped.get(1..3).and_then(|hex| u8::from_str_radix(hex, 16).ok()).ok_or(invalid)?, 3),
            _ => return Err(invalid),
        };
        out.push(byte);
        rest = escaped.get(length..).unwrap_or_default();
    }
    out.extend_from_slice(rest.as_bytes());
    if out.is_empty() { Err(invalid) } else { Ok(out) }
}

/// Parses a record header, `NAME=VALUE`.
pub fn header(text: &str) -> Result<(String, String), InvalidValue> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(InvalidValue::Header),
    }
}

/// A setting of --topic-config.
pub fn topic_config(text: &str) -> Result<(String, String), InvalidValue> {
    header(text).map_err(|_| InvalidValue::TopicConfig)
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

/// Parses the address of a running bridge, `http://host[:port]` or `https://host[:port]`.
pub fn bridge(text: &str) -> Result<BridgeUrl, InvalidValue> {
    let (scheme, default_port, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
        (Some(rest), _) => (UrlScheme::Http, "80", rest),
        (_, Some(rest)) => (UrlScheme::Https, "443", rest),
        (None, None) => return Err(InvalidValue::BridgeUrl),
    };
    let rest = rest.trim_end_matches('/');
    if rest.contains('@') {
        return Err(InvalidValue::CredentialsInUrl);
    }
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (rest, default_port),
    };
    let authority = format!("{host}:{port}");
    broker(&authority).map_err(|_| InvalidValue::BridgeUrl)?;
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
        for (text, url) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
            ("http://bridge.local", "http://bridge.local:80"),
            ("https://bridge.local", "https://bridge.local:443"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("https://[::1]", "https://[::1]:443"),
        ] {
            assert_eq!(bridge(text).map(|url| url.to_string()).as_deref(), Ok(url), "{text}");
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
