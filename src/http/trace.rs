//! The identity of a request: `X-Request-Id`, and the W3C trace context that is passed on to records.

use crate::logging::RequestId;
use crate::record::Header;
use bytes::Bytes;
use warp::http::header::{HeaderMap, HeaderValue};

pub const REQUEST_ID: &str = "x-request-id";
const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";
/// Length in bytes up to which a `tracestate` must be passed on (Trace Context, 3.3.1.5). A longer one is dropped.
const MAX_TRACESTATE: usize = 512;

/// Whether records carry the identity of their request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trace {
    /// Records do not carry it.
    Dropped,
    /// Records carry `traceparent`, `tracestate` and `x-request-id` as headers.
    Kept,
}

/// Returns the request id of the client if it is valid. Otherwise creates one and adds it to the headers.
pub fn identify(headers: &mut HeaderMap) -> RequestId {
    let given = headers.get(REQUEST_ID).and_then(|id| RequestId::parse(id.to_str().ok()?));
    given.unwrap_or_else(|| {
        let created = RequestId::new();
        if let Some(value) = value(&created) {
            headers.insert(REQUEST_ID, value);
        }
        created
    })
}

/// Returns the request id as the value of a header.
pub fn value(id: &RequestId) -> Option<HeaderValue> {
    // Never `None`: an id contains only characters that a header may contain.
    HeaderValue::from_str(id).ok()
}

impl Trace {
    /// Returns the record headers for a request with these HTTP headers.
    pub fn headers(self, request_headers: &HeaderMap) -> Vec<Header> {
        if self == Self::Dropped {
            return Vec::new();
        }
        let text = |name: &str| request_headers.get(name).and_then(|value| value.to_str().ok());
        let parent = text(TRACEPARENT).filter(|parent| is_traceparent(parent));
        // A state without a parent is meaningless (3.3).
        let state = parent.and_then(|_| text(TRACESTATE)).filter(|state| (1..=MAX_TRACESTATE).contains(&state.len()));
        let named = [(TRACEPARENT, parent), (TRACESTATE, state), (REQUEST_ID, text(REQUEST_ID))];
        let header = |name: &str, value: &str| Header {
            name: name.to_owned(),
            value: Some(Bytes::copy_from_slice(value.as_bytes())),
        };
        named.into_iter().filter_map(|(name, value)| Some(header(name, value?))).collect()
    }
}

/// `00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01` (Trace Context, 3.2). Later versions may append fields; ids
/// that are all zero are invalid.
fn is_traceparent(text: &str) -> bool {
    let hex =
        |part: &str, len: usize| part.len() == len && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let id = |part: &str, len: usize| hex(part, len) && part.bytes().any(|b| b != b'0');
    let mut parts = text.splitn(5, '-');
    let (version, trace, parent, flags) = (parts.next(), parts.next(), parts.next(), parts.next());
    let more = parts.next().is_some();
    version.is_some_and(|version| hex(version, 2) && version != "ff" && (version != "00" || !more))
        && trace.is_some_and(|trace| id(trace, 32))
        && parent.is_some_and(|parent| id(parent, 16))
        && flags.is_some_and(|flags| hex(flags, 2))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_a_valid_traceparent_is_passed_on() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        for (text, fits) in [
            (good, true),
            ("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-comes", true),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", false),
            ("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false),
            ("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", false),
            ("00-00000000000000000000000000000000-b7ad6b7169203331-01", false),
            ("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", false),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331", false),
            ("", false),
        ] {
            assert_eq!(is_traceparent(text), fits, "{text}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(TRACESTATE, "a=1".parse().unwrap());
        let names = |headers: &HeaderMap| -> Vec<String> {
            Trace::Kept.headers(headers).into_iter().map(|header| header.name).collect()
        };
        assert_eq!(names(&headers), [""; 0]);
        headers.insert(TRACEPARENT, good.parse().unwrap());
        assert_eq!(names(&headers), ["traceparent", "tracestate"]);
        headers.insert(TRACESTATE, "x".repeat(513).parse().unwrap());
        let id = identify(&mut headers);
        assert_eq!(names(&headers), ["traceparent", "x-request-id"]);
        assert_eq!(Trace::Kept.headers(&headers)[1].value.as_deref(), Some(id.as_bytes()));
        assert_eq!(Trace::Dropped.headers(&headers), []);
    }
}
