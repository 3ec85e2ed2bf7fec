//! Formats of event streams: Server-Sent Events, NDJSON and CSV.
//!
//! The bytes of publishers appear only as data, even if they contain line ends or control characters.

pub mod cloudevents;
pub mod csv;
pub mod envelope;
pub mod json;
mod ndjson;
pub mod projection;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod schema_tests;
mod sse;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod whatwg;

pub use ndjson::write_problem as write_ndjson_problem;
pub use sse::write_problem as write_sse_problem;

use crate::hub::Format;
use projection::Projection;
use std::sync::Arc;

/// The format of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventFormat {
    /// Server-Sent Events whose data is the record's value.
    SseValue,
    /// Server-Sent Events whose data is the record's [`envelope`].
    SseRecord,
    /// Server-Sent Events whose data is the exact [`envelope`].
    SseExact,
    /// Server-Sent Events whose data is a CloudEvent.
    SseCloudEvents,
    /// One [`envelope`] per line.
    Ndjson,
    /// One exact [`envelope`] per line.
    NdjsonExact,
    /// One CloudEvent per line.
    NdjsonCloudEvents,
}

pub fn format(kind: EventFormat) -> Arc<dyn Format> {
    match kind {
        EventFormat::SseValue => Arc::new(sse::Sse::Value),
        EventFormat::SseRecord => Arc::new(sse::Sse::Record),
        EventFormat::SseExact => Arc::new(sse::Sse::Exact),
        EventFormat::SseCloudEvents => Arc::new(sse::Sse::CloudEvents),
        EventFormat::Ndjson => Arc::new(ndjson::Ndjson::Record),
        EventFormat::NdjsonExact => Arc::new(ndjson::Ndjson::Exact),
        EventFormat::NdjsonCloudEvents => Arc::new(ndjson::Ndjson::CloudEvents),
    }
}

/// Returns a format of Server-Sent Events whose data is an object with these fields.
pub fn fields_as_events(fields: Projection) -> Arc<dyn Format> {
    Arc::new(sse::Sse::Fields { name: format!("sse {fields}"), fields })
}

/// Returns an NDJSON format with one object of these fields per line.
pub fn fields_as_lines(fields: Projection) -> Arc<dyn Format> {
    Arc::new(ndjson::Ndjson::Fields { name: format!("ndjson {fields}"), fields })
}

/// Returns a CSV format with one line per record and these fields as cells.
pub fn fields_as_csv(fields: Projection) -> Arc<dyn Format> {
    Arc::new(csv::Csv::new(fields))
}
