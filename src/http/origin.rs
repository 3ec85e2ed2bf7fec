//! Pages of other origins: a bridge on a laptop or in a plant network must not be a hole in it.
//!
//! Browsers name the page that asks in `Origin`; curl and devices send none. A bridge on loopback also
//! answers only to a `Host` that names loopback, or a page could reach it under its own name (DNS rebinding).

use super::peer::PeerScheme;
use super::problem::Problem;
use crate::sync::lock;
use log::warn;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use warp::http::header::{self, HeaderMap, HeaderValue};
use warp::http::uri::Authority;

/// Which origins may use the bridge besides its own pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// `--cors-origin '*'`
    Any,
    /// As browsers write them: `https://example.com`, `http://localhost:3000`.
    These(Vec<String>),
}

/// How long a browser may remember a preflight's answer, in seconds: the most that Chromium takes.
const MAX_AGE: &str = "7200";
/// Between two lines of the log about rejected requests.
const REPORT_EVERY: Duration = Duration::from_secs(60);
const METHODS: &str = "GET, HEAD, POST, DELETE, OPTIONS";
/// Answered to every preflight; `X-Kafka-*` names are added as they are asked for.
const HEADERS: &str =
    "Last-Event-ID, Content-Type, Authorization, Accept, Cache-Control, X-Request-Id, Traceparent, Tracestate";

/// Characters of an origin that an answer repeats.
const MAX_SHOWN: usize = 200;

#[derive(Debug, Clone)]
pub struct OriginPolicy {
    pub origins: Origins,
    /// Whether the bridge listens on loopback only.
    pub listens: BindScope,
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

/// The page that asked, if a page asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestOrigin {
    /// curl, a device, or a page's navigation.
    NoPage,
    Own,
    /// Of a listed origin, which the answer must name. What the browser sends by itself counts, too.
    Listed(HeaderValue),
    /// Of some origin, where all are allowed. What the browser sends by itself does not count.
    Anybody,
}

impl OriginPolicy {
    /// Who asks; a problem where they may not.
    pub fn admit(
        &self,
        host: Option<&Authority>,
        scheme: PeerScheme,
        headers: &HeaderMap,
    ) -> Result<RequestOrigin, Problem> {
        if self.listens == BindScope::Loopback
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
        let own = host.is_some_and(|host| is_of(origin, scheme, host));
        match &self.origins {
            _ if own => Ok(RequestOrigin::Own),
            Origins::Any => Ok(RequestOrigin::Anybody),
            Origins::These(allowed) if allowed.iter().any(|allowed| origin == allowed.as_str()) => {
                Ok(RequestOrigin::Listed(origin.clone()))
            }
            Origins::These(_) => {
                // Into logs too, so without anything that a terminal acts on.
                let origin: String =
                    String::from_utf8_lossy(origin.as_bytes()).escape_debug().take(MAX_SHOWN).collect();
                Err(Problem::forbidden(format!(
                    "pages of {origin} may not use this bridge; start the bridge with --cors-origin {origin} to allow it. If \
                     {origin} is this bridge behind a proxy, let the proxy pass on Host (nginx: proxy_set_header Host $http_host)"
                )))
            }
        }
    }

    /// Whether the bridge listens on loopback and was asked by a name of that: a proxy in front hands on another one.
    pub fn is_called_loopback(&self, host: Option<&Authority>) -> bool {
        self.listens == BindScope::Loopback && host.is_some_and(|host| is_loopback(host.host()))
    }

    /// Whether pages of this host may use the bridge anyway, so that nobody gains by that name: a proxy in front hands it on.
    fn is_allowed(&self, host: &Authority) -> bool {
        let Origins::These(allowed) = &self.origins else { return false };
        let mut authorities = allowed.iter().filter_map(|origin| origin.split_once("://"));
        authorities.any(|(_, authority)| authority.eq_ignore_ascii_case(host.as_str()))
    }

    /// Names the allowed origin in an answer, so that the browser hands it to the page; a page that was not let in cannot
    /// take the answer for a script either.
    pub fn mark(asker: &RequestOrigin, answer: &mut HeaderMap) {
        answer.append(header::VARY, HeaderValue::from_static("Origin"));
        answer.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        let allowed = match asker {
            RequestOrigin::NoPage | RequestOrigin::Own => return,
            RequestOrigin::Anybody => HeaderValue::from_static("*"),
            RequestOrigin::Listed(origin) => {
                // With `*` browsers would refuse it (Fetch standard, 3.2.5), and so do we.
                answer.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
                origin.clone()
            }
        };
        answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        let exposed = HeaderValue::from_static("Retry-After, Allow, WWW-Authenticate, X-Request-Id");
        answer.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }

    /// The answer's headers to a preflight (Fetch standard, 3.2.2).
    pub fn preflight(asked: &HeaderMap, answer: &mut HeaderMap) {
        let kafka =
            asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS).and_then(|names| names.to_str().ok()).unwrap_or("");
        let kafka = kafka
            .split(',')
            .map(str::trim)
            .filter(|name| name.get(..8).is_some_and(|n| n.eq_ignore_ascii_case("x-kafka-")));
        let names = kafka.fold(HEADERS.to_owned(), |all, name| all + ", " + name);
        if let Ok(names) = HeaderValue::from_str(&names) {
            answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names);
        }
        answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
        answer.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
    }
}

/// Whether a page of this origin came from this very scheme, host and port. Where the scheme is not known, a proxy
/// in front may have done TLS.
fn is_of(origin: &HeaderValue, scheme: PeerScheme, host: &Authority) -> bool {
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

/// Rejected origins and hosts in the log: a page that tries again and again is one line a minute.
#[derive(Debug, Default)]
pub struct RejectionLog(Mutex<RejectionTimes>);

#[derive(Debug, Default)]
struct RejectionTimes {
    quiet_until: Option<Instant>,
    unreported: u64,
}

impl RejectionLog {
    /// `detail` names the flag that allows it.
    pub fn report(&self, detail: &str) {
        let mut rejections = lock(&self.0);
        let now = Instant::now();
        if rejections.quiet_until.is_some_and(|until| now < until) {
            rejections.unreported += 1;
            return;
        }
        let unreported = std::mem::take(&mut rejections.unreported);
        rejections.quiet_until = Some(now + REPORT_EVERY);
        drop(rejections);
        let others =
            if unreported > 0 { format!(" ({unreported} others since the last report)") } else { String::new() };
        warn!("rejected a request{others}: {detail}");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn admit(guard: &OriginPolicy, host: &str, origin: Option<&str>) -> Result<RequestOrigin, Problem> {
        let mut headers = HeaderMap::new();
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        guard.admit(Some(&host.parse().unwrap()), PeerScheme::Unknown, &headers)
    }

    #[test]
    fn only_pages_of_the_bridge_itself_and_of_allowed_origins_get_in() {
        let guard =
            OriginPolicy { origins: Origins::These(vec!["https://a.example".into()]), listens: BindScope::Network };
        let allowed = RequestOrigin::Listed("https://a.example".parse().unwrap());
        let cases = [
            (None, Some(RequestOrigin::NoPage)),
            (Some("http://box:8080"), Some(RequestOrigin::Own)),
            (Some("https://box:8080"), Some(RequestOrigin::Own)),
            (Some("https://a.example"), Some(allowed)),
            (Some("http://a.example"), None),
            (Some("https://a.example.evil.example"), None),
            (Some("https://a.example:444"), None),
            (Some("http://box"), None),
            (Some("http://box:8081"), None),
            (Some("null"), None),
            (Some(""), None),
        ];
        for (origin, asker) in cases {
            assert_eq!(admit(&guard, "box:8080", origin).ok(), asker, "{origin:?}");
        }
        let open = OriginPolicy { origins: Origins::Any, ..guard };
        assert_eq!(admit(&open, "box", Some("null")).ok(), Some(RequestOrigin::Anybody));
    }

    #[test]
    fn pages_of_the_same_host_and_another_scheme_are_of_another_origin() {
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
        for (origin, scheme, own) in cases {
            let host = "box".parse().unwrap();
            assert_eq!(is_of(&origin.parse().unwrap(), scheme, &host), own, "{origin} {scheme:?}");
        }
    }

    #[test]
    fn behind_a_proxy_a_bridge_on_loopback_answers_to_the_name_of_an_allowed_origin() {
        let origins = Origins::These(vec!["https://curlew.example".into(), "http://other.example:8000".into()]);
        let guard = OriginPolicy { origins, listens: BindScope::Loopback };
        for (host, admitted) in [
            ("curlew.example", true),
            ("Curlew.Example", true),
            ("other.example:8000", true),
            ("other.example", false),
            ("evil.example", false),
        ] {
            assert_eq!(admit(&guard, host, None).is_ok(), admitted, "{host}");
        }
        let open = OriginPolicy { origins: Origins::Any, ..guard };
        assert!(admit(&open, "curlew.example", None).is_err());
    }

    #[test]
    fn a_bridge_on_loopback_answers_only_to_names_of_loopback() {
        let loopback = OriginPolicy { origins: Origins::These(Vec::new()), listens: BindScope::Loopback };
        let network = OriginPolicy { listens: BindScope::Network, ..loopback.clone() };
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
    fn a_preflight_is_told_the_headers_that_streams_and_produce_need() {
        let mut asked = HeaderMap::new();
        asked.insert(header::ACCESS_CONTROL_REQUEST_HEADERS, "x-kafka-site, x-evil, X-Kafka-Line".parse().unwrap());
        let mut answer = HeaderMap::new();
        OriginPolicy::preflight(&asked, &mut answer);
        let names = answer[header::ACCESS_CONTROL_ALLOW_HEADERS].to_str().unwrap();
        assert_eq!(names, format!("{HEADERS}, x-kafka-site, X-Kafka-Line"));
        assert_eq!(answer[header::ACCESS_CONTROL_MAX_AGE], MAX_AGE);
    }
}
