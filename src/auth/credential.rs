//! The credentials that a request can carry: `Authorization`, cookies, tickets and client certificates.

use crate::record::Timestamp;
use crate::secret::Secret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Returns the name of the cookie that `POST /login` sets. It contains the port, because browsers share cookies between
/// all ports of a host (RFC 6265, 8.5), and two bridges must not overwrite each other's session.
pub fn cookie_name(port: Option<u16>) -> String {
    match port {
        Some(port) => format!("curlew-session-{port}"),
        None => "curlew-session".to_owned(),
    }
}

/// The maximum length of a credential, in bytes. Tokens of identity providers have a few kilobytes.
const MAX_LEN: usize = 16 << 10;

/// Maximum number of cookies with one name that are tried.
const MAX_SESSIONS: usize = 8;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// An API key or a token, without a user name.
    Bearer(Secret),
    /// An API key, a token or a password, with a user name.
    Named { name: String, secret: Secret },
    /// The value of the session cookie.
    Session(Secret),
    /// The value of the query parameter `ticket`.
    Ticket(Secret),
    /// The name in a client certificate that TLS has verified, and its expiry in ms since the epoch.
    Certificate { name: String, expires: Timestamp },
}

/// A malformed `Authorization` header, or one with an unsupported scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadCredential;

impl Credential {
    /// Parses the value of an `Authorization` header (RFC 9110, 11.6.2) with the scheme `Bearer` or `Basic`.
    pub fn from_authorization(value: &[u8]) -> Result<Self, BadCredential> {
        let value = std::str::from_utf8(value).map_err(|_| BadCredential)?;
        let (scheme, rest) = value.trim().split_once(' ').ok_or(BadCredential)?;
        let rest = rest.trim();
        if rest.is_empty() || rest.len() > MAX_LEN {
            return Err(BadCredential);
        }
        if scheme.eq_ignore_ascii_case("bearer") {
            return Ok(Self::from_text(rest));
        }
        if scheme.eq_ignore_ascii_case("basic") {
            // The user name ends at the first colon (RFC 7617, 2).
            let decoded = STANDARD.decode(rest).map_err(|_| BadCredential)?;
            let decoded = String::from_utf8(decoded).map_err(|_| BadCredential)?;
            return decoded.contains(':').then(|| Self::from_text(&decoded)).ok_or(BadCredential);
        }
        Err(BadCredential)
    }

    /// Parses a credential as a person types it: a key, a token, or `NAME:SECRET`.
    pub fn from_text(text: &str) -> Self {
        match text.split_once(':') {
            None => Self::Bearer(Secret::new(text)),
            Some(("", secret)) => Self::Bearer(Secret::new(secret)),
            Some((name, secret)) => Self::Named { name: name.to_owned(), secret: Secret::new(secret) },
        }
    }

    /// Wraps the value of the query parameter `ticket`.
    pub fn from_ticket(text: String) -> Self {
        Self::Ticket(Secret::new(text))
    }

    /// Returns the sessions in a `Cookie` header (RFC 6265, 4.2): the values of all cookies named `cookie`. There may be
    /// several, because another application on the same host can set one for a longer path, which browsers send first
    /// (RFC 6265, 5.4).
    pub fn from_cookies(value: &[u8], cookie: &str) -> Vec<Self> {
        let value = std::str::from_utf8(value).unwrap_or_default();
        let pairs = value.split(';').filter_map(|pair| pair.trim().split_once('='));
        let own = pairs.filter(|(name, session)| *name == cookie && (1..=MAX_LEN).contains(&session.len()));
        own.take(MAX_SESSIONS).map(|(_, session)| Self::Session(Secret::new(session))).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bearer(text: &str) -> Credential {
        Credential::Bearer(Secret::new(text))
    }

    fn named(name: &str, secret: &str) -> Credential {
        Credential::Named { name: name.into(), secret: Secret::new(secret) }
    }

    #[test]
    fn bearer_and_basic_are_parsed() {
        let cases = [
            ("Bearer abc", bearer("abc")),
            ("bearer   abc ", bearer("abc")),
            ("BEARER web:abc", named("web", "abc")),
            ("Basic d2ViOmFiYw==", named("web", "abc")),
            ("basic d2ViOmE6Yg==", named("web", "a:b")),
            ("Basic OmFiYw==", bearer("abc")),
        ];
        for (header, read) in cases {
            assert_eq!(Credential::from_authorization(header.as_bytes()), Ok(read), "{header}");
        }
        let long = format!("Bearer {}", "a".repeat(MAX_LEN + 1));
        for bad in ["", "Bearer", "Bearer ", "abc", "Digest a=b", "Basic ###", "Basic d2Vi", "Basic /w==", &long] {
            assert_eq!(Credential::from_authorization(bad.as_bytes()), Err(BadCredential), "{bad:.40}");
        }
        assert_eq!(Credential::from_authorization(b"Bearer \xff"), Err(BadCredential));
    }

    #[test]
    fn sessions_are_found_among_other_cookies() {
        let session = |text: &str| Some(Credential::Session(Secret::new(text)));
        let cases = [
            ("curlew-session=abc", session("abc")),
            ("a=b; curlew-session=a=b; c", session("a=b")),
            ("a=b;curlew-session=x", session("x")),
            ("curlew-session=", None),
            ("xcurlew-session=abc", None),
            ("curlew-session", None),
            ("curlew-session-81=abc", None),
            ("", None),
        ];
        for (header, read) in cases {
            let read = Vec::from_iter(read);
            assert_eq!(Credential::from_cookies(header.as_bytes(), &cookie_name(None)), read, "{header}");
        }
        let both = b"curlew-session-80=a; curlew-session-8080=b; curlew-session=c";
        for (port, text) in [(Some(8080), "b"), (Some(80), "a"), (None, "c")] {
            assert_eq!(Credential::from_cookies(both, &cookie_name(port)), Vec::from_iter(session(text)));
        }
        let many = "curlew-session=a; ".repeat(100);
        assert_eq!(Credential::from_cookies(many.as_bytes(), &cookie_name(None)).len(), MAX_SESSIONS);
        let both = Credential::from_cookies(b"curlew-session=first; curlew-session=second", &cookie_name(None));
        assert_eq!(both, ["first", "second"].map(|text| Credential::Session(Secret::new(text))));
    }

    proptest! {
        #[test]
        fn no_header_causes_a_panic(bytes: Vec<u8>, text in "(?i:bearer|basic) .*") {
            let _ = Credential::from_authorization(&bytes);
            let _ = Credential::from_authorization(text.as_bytes());
            let _ = Credential::from_cookies(&bytes, &cookie_name(None));
        }

        #[test]
        fn a_basic_header_yields_its_name_and_secret(name in "[^:]{1,9}", secret in ".{0,9}") {
            let header = format!("Basic {}", STANDARD.encode(format!("{name}:{secret}")));
            prop_assert_eq!(Credential::from_authorization(header.as_bytes()), Ok(named(&name, &secret)));
        }
    }
}
