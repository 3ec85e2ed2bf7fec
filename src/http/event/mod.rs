//! How records are written to a stream: as Server-Sent Events or as lines of JSON.
//!
//! A publisher's bytes become data and nothing else, whatever line ends or control characters they hold.

pub mod envelope;
mod json;
mod ndjson;
mod sse;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod whatwg;

pub use ndjson::write_problem as write_ndjson_problem;
pub use sse::write_problem as write_sse_problem;

use crate::hub::Format;
use std::sync::Arc;

/// The ways in which a stream is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Server-Sent Events whose data is the record's value.
    SseValue,
    /// Server-Sent Events whose data is the record's [`envelope`].
    SseRecord,
    /// Server-Sent Events whose data is the exact [`envelope`].
    SseExact,
    /// An [`envelope`] a line.
    Ndjson,
    /// An exact [`envelope`] a line.
    NdjsonExact,
}

pub fn format(kind: Kind) -> Arc<dyn Format> {
    match kind {
        Kind::SseValue => Arc::new(sse::Sse::Value),
        Kind::SseRecord => Arc::new(sse::Sse::Record),
        Kind::SseExact => Arc::new(sse::Sse::Exact),
        Kind::Ndjson => Arc::new(ndjson::Ndjson::Record),
        Kind::NdjsonExact => Arc::new(ndjson::Ndjson::Exact),
    }
}
