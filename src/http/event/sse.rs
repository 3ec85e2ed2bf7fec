//! Server-Sent Events (WHATWG HTML, section 9.2): `data:` lines, then `id:` as the last line of a frame.
//!
//! Some clients adopt an id as soon as they read it. If it came before the data, a connection cut inside the frame
//! would make them skip the record.

use super::cloudevents::{EVENT_BYTES, RecordEvent};
use super::projection::Projection;
use super::{envelope, json};
use crate::broker::BrokerError;
use crate::http::problem::Problem;
use crate::hub::{Format, FormatChoice, Gap};
use crate::record::{Partition, RecordRef, TopicName};
use memchr::memchr2;

/// The beginning of an event about a record that could not be decoded by its schema.
const SCHEMA_ERROR: &[u8] = b"event: schema_error\ndata: ";

/// The content of the `data` field of a record's event.
pub enum Sse {
    Value,
    Record,
    Exact,
    CloudEvents,
    Fields {
        /// Contains the fields, because formats with different fields must have different names.
        name: String,
        fields: Projection,
    },
}

impl Format for Sse {
    fn name(&self) -> &str {
        match self {
            Self::Value => "sse-value",
            Self::Record => "sse-record",
            Self::Exact => "sse-exact",
            Self::CloudEvents => "sse-cloudevents",
            Self::Fields { name, .. } => name,
        }
    }

    fn choice(&self) -> FormatChoice {
        match self {
            Self::Value | Self::Record | Self::Exact | Self::CloudEvents => FormatChoice::Fixed,
            Self::Fields { .. } => FormatChoice::ByClient,
        }
    }

    fn uses_ids(&self) -> bool {
        true
    }

    /// Writes no `event:` line for an ordinary record, so that `onmessage` receives it.
    fn record(&self, out: &mut Vec<u8>, topic: &TopicName, partition: Partition, record: &RecordRef<'_>, id: &str) {
        match (self, record.value) {
            (Self::Value, Some(_)) if record.value_error().is_some() => {
                out.extend_from_slice(SCHEMA_ERROR);
                envelope::write(out, topic, partition, record);
                out.push(b'\n');
            }
            (Self::Value, Some(value)) => write_value(out, value),
            (Self::Value, None) => {
                out.extend_from_slice(b"event: tombstone\ndata: ");
                envelope::write_tombstone(out, topic, partition, record);
                out.push(b'\n');
            }
            (Self::CloudEvents, _) => {
                let event = RecordEvent::of(record);
                let start: &[u8] = if event.is_tombstone(record) { b"event: tombstone\ndata: " } else { b"data: " };
                out.extend_from_slice(start);
                event.write(out, topic, partition, record);
                out.push(b'\n');
            }
            (_, value) => {
                let start: &[u8] = if value.is_some() { b"data: " } else { b"event: tombstone\ndata: " };
                out.extend_from_slice(start);
                match self {
                    Self::Exact => envelope::write_exact(out, topic, partition, record),
                    Self::Fields { fields, .. } => fields.write(out, topic, partition, record),
                    _ => envelope::write(out, topic, partition, record),
                }
                out.push(b'\n');
            }
        }
        write_id(out, id);
    }

    fn undecoded(&self, out: &mut Vec<u8>, topic: &TopicName, partition: Partition, record: &RecordRef<'_>, id: &str) {
        out.extend_from_slice(SCHEMA_ERROR);
        out.push(b'{');
        envelope::write_undecoded_members(out, topic, partition, record);
        out.extend_from_slice(b"}\n");
        write_id(out, id);
    }

    fn bound(&self, record: &RecordRef<'_>) -> usize {
        /// The field names and line ends of a frame.
        const FRAME: usize = 64;
        match (self, record.value) {
            (Self::Value, Some(value)) if record.value_error().or(record.key_error()).is_none() => {
                let lines = value.iter().filter(|byte| matches!(byte, b'\r' | b'\n')).count();
                FRAME + (value.len() + b"data: ".len() * lines).max(value.len().div_ceil(3) * 4)
            }
            (Self::Fields { fields, .. }, _) => FRAME + fields.overhead() + record.encoded_bound(),
            (Self::CloudEvents, _) => FRAME + EVENT_BYTES + record.encoded_bound(),
            _ => FRAME + record.encoded_bound(),
        }
    }

    fn quick_bound(&self, record: &RecordRef<'_>) -> usize {
        match self {
            Self::Fields { fields, .. } => fields.overhead() + record.quick_bound(),
            Self::CloudEvents => EVENT_BYTES + record.quick_bound(),
            _ => record.quick_bound(),
        }
    }

    /// Writes an id without data: EventSource remembers it and dispatches no event.
    fn checkpoint(&self, out: &mut Vec<u8>, id: &str) {
        write_id(out, id);
    }

    fn live(&self, out: &mut Vec<u8>, keys: u64, id: &str) {
        out.extend_from_slice(format!("event: live\ndata: {{\"keys\":{keys}}}\n").as_bytes());
        write_id(out, id);
    }

    /// Writes an event with data: npm's `eventsource` ignores the id of a frame without data, and would reconnect
    /// forever. The event name keeps it from `onmessage`.
    fn complete(&self, out: &mut Vec<u8>, id: &str) {
        out.extend_from_slice(b"event: end\ndata: {}\n");
        write_id(out, id);
    }

    fn gap(&self, out: &mut Vec<u8>, gap: &Gap, id: &str) {
        out.extend_from_slice(b"event: gap\ndata: {");
        envelope::write_gap_members(out, gap);
        out.extend_from_slice(b"}\n");
        write_id(out, id);
    }

    /// Writes no id: a client that reconnects resumes where it was.
    fn problem(&self, out: &mut Vec<u8>, error: &BrokerError) {
        if *error == BrokerError::ShuttingDown {
            // A restart is quick, so clients reconnect soon, but not all at the same time.
            let retry = fastrand::u32(500..1500);
            out.extend_from_slice(format!("retry: {retry}\n").as_bytes());
        }
        write_problem(out, &Problem::from(error));
    }

    /// Writes a comment for people and for `curlew consume`. Pages do not receive it.
    fn waiting(&self, out: &mut Vec<u8>, topic: &TopicName) {
        out.extend_from_slice(format!(": waiting for topic {topic}\n\n").as_bytes());
    }
}

/// Appends the last frame of a stream that ends with `problem`.
pub fn write_problem(out: &mut Vec<u8>, problem: &Problem) {
    out.extend_from_slice(b"event: problem\ndata: ");
    out.extend_from_slice(problem.json().as_bytes());
    out.extend_from_slice(b"\n\n");
}

/// Ends a frame, with an `id:` line unless `id` is empty, as it is in a snapshot: an empty id would make clients
/// discard their last one.
fn write_id(out: &mut Vec<u8>, id: &str) {
    if !id.is_empty() {
        out.extend_from_slice(b"id: ");
        out.extend_from_slice(id.as_bytes());
        out.push(b'\n');
    }
    out.push(b'\n');
}

fn write_value(out: &mut Vec<u8>, value: &[u8]) {
    if std::str::from_utf8(value).is_ok() {
        write_lines(out, value);
    } else {
        out.extend_from_slice(b"event: binary\ndata: ");
        json::base64(out, value);
        out.push(b'\n');
    }
}

/// Writes one `data:` line for each line of the value (CR, LF or CRLF), empty ones included. A client joins them with
/// LF, so the value keeps its last line end, and an empty value is still an event.
///
/// There is always a space after the colon: clients remove one, so the value keeps its leading space.
fn write_lines(out: &mut Vec<u8>, mut rest: &[u8]) {
    while let Some(end) = memchr2(b'\r', b'\n', rest) {
        let (line, tail) = rest.split_at(end);
        write_line(out, line);
        let line_end = if tail.starts_with(b"\r\n") { 2 } else { 1 };
        rest = tail.get(line_end..).unwrap_or_default();
    }
    write_line(out, rest);
}

fn write_line(out: &mut Vec<u8>, line: &[u8]) {
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(line);
    out.push(b'\n');
}
