//! Request headers that become record headers (`--record-headers`), for webhooks: `X-GitHub-Event` says what a payload
//! is, and the payload stays untouched, so that its signature can be checked.

use crate::record::Header;
use bytes::Bytes;
use std::str::FromStr;
use thiserror::Error;
use warp::http::HeaderMap;
use warp::http::header::HeaderName;

/// Parts of the names of headers with credentials of the client: for the bridge, for a proxy in front of it, or added by such
/// a proxy (`X-Forwarded-Access-Token` of oauth2-proxy, `Cf-Access-Jwt-Assertion`, `X-Ms-Token-…`). Readers of a topic must
/// not get them. A list of whole names would lack those of the next proxy.
const CREDENTIAL_PARTS: [&str; 12] = [
    "authorization",
    "cookie",
    "token",
    "jwt",
    "assertion",
    "password",
    "secret",
    "credential",
    "api-key",
    "apikey",
    "client-cert",
    "clientcert",
];
/// Headers with credentials whose names do not say so: of load balancers of AWS (a JWT), and of Azure.
const CREDENTIALS: [&str; 3] = ["ocp-apim-subscription-key", "x-amzn-oidc-data", "x-functions-key"];
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
            false if has_credentials(name) => Err(InvalidHeaderPattern::Credentials),
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

/// Whether a header with this name, in lower case, has credentials.
fn has_credentials(name: &str) -> bool {
    CREDENTIALS.contains(&name) || CREDENTIAL_PARTS.iter().any(|part| name.contains(part))
}

/// Returns the record headers for the request headers that match one of the patterns, with names in lower case.
pub fn copied_headers(patterns: &[HeaderPattern], request_headers: &HeaderMap) -> Vec<Header> {
    let matches = |name: &str| {
        let is_named = patterns.iter().any(|pattern| pattern.matches(name));
        is_named && !has_credentials(name) && !name.starts_with(RECORD_HEADER)
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
            ("X-Forwarded-Access-Token", Err(InvalidHeaderPattern::Credentials)),
            ("x-ms-token-*", Ok(HeaderPattern::Prefix("x-ms-token-".into()))),
            ("auth*", Ok(HeaderPattern::Prefix("auth".into()))),
        ] {
            assert_eq!(text.parse(), expected, "{text:?}");
        }
    }

    #[test]
    fn credentials_and_record_headers_are_not_copied() {
        let mut headers = HeaderMap::new();
        let credentials = [
            "authorization",
            "cf-access-jwt-assertion",
            "cookie",
            "proxy-authorization",
            "x-amz-security-token",
            "x-amzn-oidc-accesstoken",
            "x-amzn-oidc-data",
            "x-api-key",
            "x-auth-request-access-token",
            "x-forwarded-access-token",
            "x-forwarded-client-cert",
            "x-gitlab-token",
            "x-goog-iap-jwt-assertion",
            "x-ms-token-aad-id-token",
        ];
        let copied = ["author", "x-a", "x-concert", "x-github-event", "x-hub-signature-256"];
        for name in credentials.into_iter().chain(["x-kafka-a"]).chain(copied) {
            headers.append(HeaderName::from_static(name), "v".parse().unwrap());
        }
        headers.append("x-a", "w".parse().unwrap());
        let patterns = ["a*", "c*", "p*", "x-*", "x-ms-token-*", "x-a"].map(|text| text.parse().unwrap());
        let mut names: Vec<_> = copied_headers(&patterns, &headers).into_iter().map(|header| header.name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names, copied);
    }
}
