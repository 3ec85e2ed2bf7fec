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
pub enum EventFormat {
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

pub fn format(kind: EventFormat) -> Arc<dyn Format> {
    match kind {
        EventFormat::SseValue => Arc::new(sse::Sse::Value),
        EventFormat::SseRecord => Arc::new(sse::Sse::Record),
        EventFormat::SseExact => Arc::new(sse::Sse::Exact),
        EventFormat::Ndjson => Arc::new(ndjson::Ndjson::Record),
        EventFormat::NdjsonExact => Arc::new(ndjson::Ndjson::Exact),
    }
}
