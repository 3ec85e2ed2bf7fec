//! A request, as the routes see it.

use super::limits::ClientKey;
use super::peer::Peer;
use super::problem::Problem;
use super::query::{self, percent_decode};
use super::series_format::AnswerFormat;
use crate::auth::Permit;
use std::sync::OnceLock;
use warp::http::Method;
use warp::http::header::{self, HeaderMap};
use warp::http::uri::Authority;

/// A request without its body.
pub struct Request {
    pub method: Method,
    /// Percent-encoded.
    pub path: String,
    /// Percent-encoded, without the question mark.
    pub query: String,
    pub host: Option<Authority>,
    pub headers: HeaderMap,
    /// The client, as reported by trusted proxies.
    pub peer: Peer,
    pub length: BodyLength,
    /// The name of the client, once it is authenticated.
    pub user: OnceLock<String>,
}

/// Whether the request delimits its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLength {
    /// `Content-Length`, `Transfer-Encoding`, or the frames of HTTP/2 delimit the body.
    Given,
    /// Such a body is empty (RFC 9112, 6.3), but in practice a body often follows.
    Missing,
}

impl BodyLength {
    pub fn of_http1(headers: &HeaderMap) -> Self {
        let is_given =
            [header::CONTENT_LENGTH, header::TRANSFER_ENCODING].iter().any(|name| headers.contains_key(name));
        if is_given { Self::Given } else { Self::Missing }
    }
}

impl Request {
    /// Keeps the name of the authenticated client for the log.
    pub fn authenticated(&self, permit: &Permit) {
        if let Some(identity) = permit.identity() {
            // A token may contain any name.
            let _ = self.user.set(identity.name().escape_debug().to_string());
        }
    }

    /// Describes the client for the log: its name, if it has one, and its address.
    pub fn sender(&self) -> String {
        match self.user.get() {
            Some(user) => format!("{user} at {}", self.peer.address),
            None => self.peer.to_string(),
        }
    }

    /// Rejects a request without a length, on behalf of routes that read a body. `Content-Length: 0` is an empty body.
    pub fn check_length(&self) -> Result<(), Problem> {
        match self.length {
            BodyLength::Given => Ok(()),
            BodyLength::Missing => Err(Problem::length_required(
                "the request has neither Content-Length nor Transfer-Encoding: chunked, so its body cannot be read; \
                 send one of them, and Content-Length: 0 for an empty body (curl: -d '')",
            )),
        }
    }

    /// Returns the client whose limits the request counts against.
    pub fn caller(&self, permit: &Permit) -> ClientKey {
        permit.identity().map_or_else(|| ClientKey::of(&self.peer), |identity| ClientKey::Key(identity.name().into()))
    }

    /// Returns the name of the session cookie.
    pub fn cookie(&self) -> String {
        crate::auth::cookie_name(self.host.as_ref().and_then(Authority::port_u16))
    }

    /// Whether the request opens a stream.
    pub fn is_for_a_stream(&self) -> bool {
        let segments = segments(&self.path).unwrap_or_default();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let is_stream = match segments[..] {
            ["events"] | ["topics", _, "events"] => true,
            ["topics", _, "series"] => {
                let format = query::first(&self.query, "format");
                AnswerFormat::of(format.as_deref(), &self.headers).is_ok_and(|format| format == AnswerFormat::Updates)
            }
            _ => false,
        };
        self.method == Method::GET && is_stream
    }

    /// Returns the size in bytes of the request line and headers, as encoded by HTTP/1.1.
    pub fn head_size(&self) -> usize {
        let line = self.method.as_str().len() + self.path.len() + self.query.len() + "  HTTP/1.1\r\n".len();
        let headers = self.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
        line + headers.sum::<usize>()
    }
}

/// Returns the decoded segments of a path, ignoring a trailing slash. A segment in the middle may be empty and is then
/// not a valid name: `/topics//events` is a mistake, not the topic `events`.
pub fn segments(path: &str) -> Result<Vec<String>, Problem> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Ok(Vec::new());
    }
    let decode = |part| {
        String::from_utf8(percent_decode(part))
            .map_err(|_| Problem::bad_request(format!("the path {path:?} is not UTF-8 after percent-decoding")))
    };
    path.split('/').map(decode).collect()
}
