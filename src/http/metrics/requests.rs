//! Requests by route, method and status class.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use std::sync::LazyLock;
use warp::http::{Method, StatusCode};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    route: &'static str,
    method: &'static str,
    status: &'static str,
}

#[derive(Debug, Clone)]
pub struct RequestMetrics(Family<Labels, Counter>);

impl RequestMetrics {
    pub fn register(registry: &mut Registry) -> Self {
        let family = Family::default();
        let help = "Requests by route, method and class of the response's status; a stream counts when it begins";
        registry.register("curlew_http_requests", help, family.clone());
        Self(family)
    }

    /// Counts a response whose head is ready.
    pub fn count(&self, path: &str, method: &Method, status: StatusCode) {
        let status = match status.as_u16() / 100 {
            1 => "1xx",
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            _ => "5xx",
        };
        self.0.get_or_create(&Labels { route: route(path), method: method_label(method), status }).inc();
    }
}

/// Returns the label of a method. Unknown methods share a label, because clients can invent any number of them.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "(other)",
    }
}

/// The paths of `/openapi.json`, with their segments.
static ROUTES: LazyLock<Vec<(&'static str, Vec<&'static str>)>> = LazyLock::new(|| {
    #[derive(serde::Deserialize)]
    struct OpenApi {
        #[serde(borrow)]
        paths: std::collections::BTreeMap<&'static str, serde::de::IgnoredAny>,
    }
    // A test ensures that the document can be parsed.
    let document: Option<OpenApi> = serde_json::from_str(include_str!("../openapi.json")).ok();
    let paths = document.into_iter().flat_map(|document| document.paths.into_keys());
    paths.map(|path| (path, path.trim_matches('/').split('/').collect())).collect()
});

/// Returns the pattern of the route of a path, or `(none)` if there is no route.
fn route(path: &str) -> &'static str {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    let matches = |parts: &[&str]| {
        let mut given = path.split('/');
        parts.iter().all(|part| given.next().is_some_and(|given| *part == given || part.starts_with('{')))
            && given.next().is_none()
    };
    ROUTES.iter().find(|(_, parts)| matches(parts)).map_or("(none)", |(pattern, _)| pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_counted_under_the_pattern_of_its_route() {
        let cases = [
            ("/", "/"),
            ("/health", "/health"),
            ("/topics", "/topics"),
            ("/topics/", "/topics"),
            ("/topics/t", "/topics/{topic}"),
            ("/topics/t%2Fu/events", "/topics/{topic}/events"),
            ("/topics/t/partitions/0/records", "/topics/{topic}/partitions/{partition}/records"),
            ("/dashboard/main.js", "/dashboard/{file}"),
            ("/wp-admin", "(none)"),
            ("/topics/t/evil", "(none)"),
            ("//", "/"),
        ];
        for (path, pattern) in cases {
            assert_eq!(route(path), pattern, "{path}");
        }
        assert!(ROUTES.len() > 10, "openapi.json cannot be read");
    }
}
