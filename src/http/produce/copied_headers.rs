//! Request headers that become record headers (`--record-headers`), for webhooks: `X-GitHub-Event` says what a payload
//! is, and the payload stays untouched, so that its signature can be checked.

use crate::record::Header;
use bytes::Bytes;
use std::str::FromStr;
use thiserror::Error;
use warp::http::HeaderMap;
use warp::http::header::HeaderName;

/// Headers with the credentials of the client for the bridge, or for a proxy. Readers of a topic must not get them.
const CREDENTIALS: [&str; 4] = ["authorization", "cookie", "proxy-authorization", "x-forwarded-client-cert"];
/// Headers with this prefix are record headers already.
const RECORD_HEADER: &str = "x-kafka-";

/// The name of a header, or the beginning of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderPattern {
    /// In lower case.
    Name(String),
    /// In lower case, without the asterisk.
    Prefix(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidHeaderPattern {
    #[error("it is not a header name, with or without * at its end, such as x-github-*")]
    Name,
    #[error("* alone would copy every header; name the beginning, such as x-github-*")]
    All,
    #[error("the header has credentials, which readers of the topic must not get")]
    Credentials,
}

impl FromStr for HeaderPattern {
    type Err = InvalidHeaderPattern;

    fn from_str(text: &str) -> Result<Self, InvalidHeaderPattern> {
        let text = text.trim().to_ascii_lowercase();
        let (name, is_prefix) = text.strip_suffix('*').map_or((text.as_str(), false), |prefix| (prefix, true));
        if is_prefix && name.is_empty() {
            return Err(InvalidHeaderPattern::All);
        }
        // A header name cannot have an asterisk in the middle by this setting, although RFC 9110 allows it.
        if name.contains('*') || HeaderName::from_bytes(name.as_bytes()).is_err() {
            return Err(InvalidHeaderPattern::Name);
        }
        match is_prefix {
            true => Ok(Self::Prefix(name.to_owned())),
            false if CREDENTIALS.contains(&name) => Err(InvalidHeaderPattern::Credentials),
            false => Ok(Self::Name(name.to_owned())),
        }
    }
}

impl HeaderPattern {
    /// Whether the pattern matches a name in lower case.
    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Name(exact) => exact == name,
            Self::Prefix(prefix) => name.starts_with(prefix.as_str()),
        }
    }
}

/// Returns the record headers for the request headers that match one of the patterns, with names in lower case.
pub fn copied_headers(patterns: &[HeaderPattern], request_headers: &HeaderMap) -> Vec<Header> {
    let matches = |name: &str| {
        let is_named = patterns.iter().any(|pattern| pattern.matches(name));
        is_named && !CREDENTIALS.contains(&name) && !name.starts_with(RECORD_HEADER)
    };
    let headers = request_headers.iter().filter(|(name, _)| matches(name.as_str()));
    headers
        .map(|(name, value)| Header {
            name: name.as_str().to_owned(),
            value: Some(Bytes::copy_from_slice(value.as_bytes())),
        })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_name_or_the_beginning_of_names() {
        for (text, expected) in [
            ("X-GitHub-*", Ok(HeaderPattern::Prefix("x-github-".into()))),
            (" x-hub-signature-256", Ok(HeaderPattern::Name("x-hub-signature-256".into()))),
            ("a*", Ok(HeaderPattern::Prefix("a".into()))),
            ("*", Err(InvalidHeaderPattern::All)),
            ("", Err(InvalidHeaderPattern::Name)),
            ("x-*-y", Err(InvalidHeaderPattern::Name)),
            ("x y", Err(InvalidHeaderPattern::Name)),
            ("x-é", Err(InvalidHeaderPattern::Name)),
            ("Authorization", Err(InvalidHeaderPattern::Credentials)),
            ("proxy-authorization", Err(InvalidHeaderPattern::Credentials)),
            ("auth*", Ok(HeaderPattern::Prefix("auth".into()))),
        ] {
            assert_eq!(text.parse(), expected, "{text:?}");
        }
    }

    #[test]
    fn credentials_and_record_headers_are_not_copied() {
        let mut headers = HeaderMap::new();
        for name in
            ["authorization", "cookie", "proxy-authorization", "x-forwarded-client-cert", "x-kafka-a", "author", "x-a"]
        {
            headers.append(HeaderName::from_static(name), "v".parse().unwrap());
        }
        headers.append("x-a", "w".parse().unwrap());
        let patterns = ["a*", "c*", "p*", "x-*", "x-a"].map(|text| text.parse().unwrap());
        let copied: Vec<_> = copied_headers(&patterns, &headers).into_iter().map(|header| header.name).collect();
        assert_eq!(copied, ["author", "x-a", "x-a"]);
    }
}
