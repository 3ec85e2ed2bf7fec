//! Checks the origin of requests: a browser must not give every page access to a bridge on a laptop or in a plant network.
//!
//! Browsers name the origin of the page in `Origin`; curl and devices send none. A bridge on loopback also requires a `Host`
//! that names loopback. Otherwise a page could reach it under the page's own host name (DNS rebinding).

use super::peer::PeerScheme;
use super::problem::Problem;
use std::net::IpAddr;
use warp::http::header::{self, HeaderMap, HeaderValue};
use warp::http::uri::Authority;

/// The origins whose pages may use the bridge, in addition to the bridge's own origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// `--cors-origin '*'`
    Any,
    /// As browsers write them: `https://example.com`, `http://localhost:3000`.
    Listed(Vec<String>),
}

/// Time in seconds for which a browser may cache a preflight response: the maximum of Chromium.
const MAX_AGE: &str = "7200";
const METHODS: &str = "GET, HEAD, POST, DELETE, OPTIONS";
/// Allowed in every preflight response; requested `X-Kafka-*` and `ce-*` names are added.
const HEADERS: &str =
    "Last-Event-ID, Content-Type, Authorization, Accept, Cache-Control, X-Request-Id, Traceparent, Tracestate";

/// Maximum number of characters of an origin that a response quotes.
const MAX_SHOWN: usize = 200;

#[derive(Debug, Clone)]
pub struct OriginPolicy {
    pub origins: Origins,
    /// Whether the bridge listens on loopback only.
    pub scope: BindScope,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindScope {
    Loopback,
    Network,
}

impl BindScope {
    pub fn on(address: IpAddr) -> Self {
        if address.is_loopback() { Self::Loopback } else { Self::Network }
    }
}

/// The origin of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestOrigin {
    /// No `Origin` header: a request of curl or a device, a navigation, or a same-origin GET.
    NoPage,
    SameOrigin,
    /// A listed origin, which the response must name. Credentials that the browser attaches automatically are accepted.
    Listed(HeaderValue),
    /// Any origin, if all are allowed. Credentials that the browser attaches automatically are ignored.
    Any,
}

impl OriginPolicy {
    /// Returns the origin of a request, or a problem if it may not use the bridge.
    pub fn admit(
        &self,
        host: Option<&Authority>,
        scheme: PeerScheme,
        headers: &HeaderMap,
    ) -> Result<RequestOrigin, Problem> {
        if self.scope == BindScope::Loopback
            && let Some(host) = host
            && !is_loopback(host.host())
            && !self.is_allowed(host)
        {
            return Err(Problem::forbidden(format!(
                "Host is {:?}, and this bridge listens on loopback only: use localhost or 127.0.0.1, start it with --listen \
                 on the address that {:?} means, or, behind a proxy, with --cors-origin https://{}",
                host.as_str(),
                host.host(),
                host.as_str(),
            )));
        }
        let Some(origin) = headers.get(header::ORIGIN) else { return Ok(RequestOrigin::NoPage) };
        let is_same = host.is_some_and(|host| is_same_origin(origin, scheme, host));
        match &self.origins {
            _ if is_same => Ok(RequestOrigin::SameOrigin),
            Origins::Any => Ok(RequestOrigin::Any),
            Origins::Listed(allowed) if allowed.iter().any(|allowed| origin == allowed.as_str()) => {
                Ok(RequestOrigin::Listed(origin.clone()))
            }
            Origins::Listed(_) => {
                // Escaped, because the text reaches logs, and terminals act on control characters.
                let origin: String =
                    String::from_utf8_lossy(origin.as_bytes()).escape_debug().take(MAX_SHOWN).collect();
                Err(Problem::forbidden(format!(
                    "pages of {origin} may not use this bridge; start the bridge with --cors-origin {origin} to allow it. If \
                     {origin} is this bridge behind a proxy, let the proxy pass on Host (nginx: proxy_set_header Host $http_host)"
                )))
            }
        }
    }

    /// Whether the bridge listens on loopback and `Host` is a loopback name. A reverse proxy usually forwards a different
    /// name.
    pub fn is_called_loopback(&self, host: Option<&Authority>) -> bool {
        self.scope == BindScope::Loopback && host.is_some_and(|host| is_loopback(host.host()))
    }

    /// Whether the host belongs to a listed origin, whose pages are allowed anyway, so that DNS rebinding gains nothing. A
    /// reverse proxy forwards such a host.
    fn is_allowed(&self, host: &Authority) -> bool {
        let Origins::Listed(allowed) = &self.origins else { return false };
        let mut authorities = allowed.iter().filter_map(|origin| origin.split_once("://"));
        authorities.any(|(_, authority)| authority.eq_ignore_ascii_case(host.as_str()))
    }

    /// Names the allowed origin in a response, so that the browser passes the response to the page. `nosniff` stops other
    /// pages from loading the response as a script.
    pub fn mark(origin: &RequestOrigin, response: &mut HeaderMap) {
        response.append(header::VARY, HeaderValue::from_static("Origin"));
        response.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        let allowed = match origin {
            RequestOrigin::NoPage | RequestOrigin::SameOrigin => return,
            RequestOrigin::Any => HeaderValue::from_static("*"),
            RequestOrigin::Listed(origin) => {
                // Browsers reject credentials together with `*` (Fetch standard, 3.2.5).
                response.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
                origin.clone()
            }
        };
        response.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        let exposed = HeaderValue::from_static("Retry-After, Allow, WWW-Authenticate, X-Request-Id, Link");
        response.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }

    /// Adds the headers of a preflight response (Fetch standard, 3.2.2).
    pub fn preflight(request: &HeaderMap, response: &mut HeaderMap) {
        let requested =
            request.get(header::ACCESS_CONTROL_REQUEST_HEADERS).and_then(|names| names.to_str().ok()).unwrap_or("");
        let requested = requested
            .split(',')
            .map(str::trim)
            .filter(|name| ["x-kafka-", "ce-"].iter().any(|prefix| has_prefix(name, prefix)));
        let names = requested.fold(HEADERS.to_owned(), |all, name| all + ", " + name);
        if let Ok(names) = HeaderValue::from_str(&names) {
            response.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names);
        }
        response.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
        response.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
    }
}

fn has_prefix(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// Whether an origin has this scheme, host and port. If the scheme is unknown, both match, because a proxy in front may
/// terminate TLS.
fn is_same_origin(origin: &HeaderValue, scheme: PeerScheme, host: &Authority) -> bool {
    let Ok(origin) = origin.to_str() else { return false };
    let authority = |prefix| origin.strip_prefix(prefix);
    let authority = match scheme {
        PeerScheme::Https => authority("https://"),
        PeerScheme::Http => authority("http://"),
        PeerScheme::Unknown => authority("https://").or_else(|| authority("http://")),
    };
    authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host.as_str()))
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn admit(policy: &OriginPolicy, host: &str, origin: Option<&str>) -> Result<RequestOrigin, Problem> {
        let mut headers = HeaderMap::new();
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        policy.admit(Some(&host.parse().unwrap()), PeerScheme::Unknown, &headers)
    }

    #[test]
    fn only_pages_of_the_bridge_and_of_listed_origins_are_admitted() {
        let policy =
            OriginPolicy { origins: Origins::Listed(vec!["https://a.example".into()]), scope: BindScope::Network };
        let allowed = RequestOrigin::Listed("https://a.example".parse().unwrap());
        let cases = [
            (None, Some(RequestOrigin::NoPage)),
            (Some("http://box:8080"), Some(RequestOrigin::SameOrigin)),
            (Some("https://box:8080"), Some(RequestOrigin::SameOrigin)),
            (Some("https://a.example"), Some(allowed)),
            (Some("http://a.example"), None),
            (Some("https://a.example.evil.example"), None),
            (Some("https://a.example:444"), None),
            (Some("http://box"), None),
            (Some("http://box:8081"), None),
            (Some("null"), None),
            (Some(""), None),
        ];
        for (origin, admitted) in cases {
            assert_eq!(admit(&policy, "box:8080", origin).ok(), admitted, "{origin:?}");
        }
        let open = OriginPolicy { origins: Origins::Any, ..policy };
        assert_eq!(admit(&open, "box", Some("null")).ok(), Some(RequestOrigin::Any));
    }

    #[test]
    fn the_same_host_under_another_scheme_is_another_origin() {
        let cases = [
            ("http://box", PeerScheme::Unknown, true),
            ("https://box", PeerScheme::Unknown, true),
            ("http://box", PeerScheme::Http, true),
            ("https://box", PeerScheme::Http, false),
            ("http://box", PeerScheme::Https, false),
            ("https://box", PeerScheme::Https, true),
            ("https://BOX", PeerScheme::Https, true),
            ("https://box:444", PeerScheme::Https, false),
            ("ftp://box", PeerScheme::Unknown, false),
        ];
        for (origin, scheme, is_same) in cases {
            let host = "box".parse().unwrap();
            assert_eq!(is_same_origin(&origin.parse().unwrap(), scheme, &host), is_same, "{origin} {scheme:?}");
        }
    }

    #[test]
    fn a_loopback_bridge_accepts_the_host_of_a_listed_origin() {
        let origins = Origins::Listed(vec!["https://curlew.example".into(), "http://other.example:8000".into()]);
        let policy = OriginPolicy { origins, scope: BindScope::Loopback };
        for (host, admitted) in [
            ("curlew.example", true),
            ("Curlew.Example", true),
            ("other.example:8000", true),
            ("other.example", false),
            ("evil.example", false),
        ] {
            assert_eq!(admit(&policy, host, None).is_ok(), admitted, "{host}");
        }
        let open = OriginPolicy { origins: Origins::Any, ..policy };
        assert!(admit(&open, "curlew.example", None).is_err());
    }

    #[test]
    fn a_loopback_bridge_accepts_only_loopback_hosts() {
        let loopback = OriginPolicy { origins: Origins::Listed(Vec::new()), scope: BindScope::Loopback };
        let network = OriginPolicy { scope: BindScope::Network, ..loopback.clone() };
        let cases = [
            ("localhost:8080", true),
            ("LOCALHOST", true),
            ("localhost.:8080", true),
            ("127.0.0.1:8080", true),
            ("127.8.9.1", true),
            ("[::1]:8080", true),
            ("evil.example:8080", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("10.0.0.7:8080", false),
        ];
        for (host, admitted) in cases {
            assert_eq!(admit(&loopback, host, None).is_ok(), admitted, "{host}");
            assert!(admit(&network, host, None).is_ok(), "{host}");
        }
    }

    #[test]
    fn a_preflight_lists_the_headers_that_streams_and_produce_need() {
        let mut request = HeaderMap::new();
        request.insert(
            header::ACCESS_CONTROL_REQUEST_HEADERS,
            "x-kafka-site, x-evil, X-Kafka-Line, ce-id, ce".parse().unwrap(),
        );
        let mut response = HeaderMap::new();
        OriginPolicy::preflight(&request, &mut response);
        let names = response[header::ACCESS_CONTROL_ALLOW_HEADERS].to_str().unwrap();
        assert_eq!(names, format!("{HEADERS}, x-kafka-site, X-Kafka-Line, ce-id"));
        assert_eq!(response[header::ACCESS_CONTROL_MAX_AGE], MAX_AGE);
    }
}
