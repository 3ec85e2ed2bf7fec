//! Responses with a body in memory.

use super::App;
use super::problem::Problem;
use bytes::Bytes;
use warp::http::header::{CONTENT_TYPE, HeaderValue};

/// Bytes of a response that the memory budget does not count, because a connection takes more.
pub const SMALL_RESPONSE: usize = 4 << 10;

/// Counts a response in the memory budget until its client has received it.
pub fn counted(app: &App, body: Vec<u8>) -> Result<Bytes, Problem> {
    let mut memory = app.settings.memory.pages.empty_reservation();
    memory.grow(beyond_small(body.capacity()))?;
    Ok(memory.hold(body))
}

/// Returns the bytes that the memory budget counts. A small response is served even if other clients use up the budget.
pub fn beyond_small(bytes: usize) -> usize {
    bytes.saturating_sub(SMALL_RESPONSE)
}

/// Returns JSON that ends with a line feed, for terminals.
pub fn json_line(json: &serde_json::Value) -> String {
    format!("{json}\n")
}

/// Returns a JSON response that ends with a line feed, for terminals.
pub fn json_response<B: From<Bytes>>(json: String) -> warp::http::Response<B> {
    as_json(json + "\n")
}

pub fn as_json<B: From<Bytes>>(json: impl Into<Bytes>) -> warp::http::Response<B> {
    let mut response = warp::http::Response::new(B::from(json.into()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
