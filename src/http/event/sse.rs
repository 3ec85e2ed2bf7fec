//! Server-Sent Events (WHATWG HTML, 9.2): `data:` lines, and `id:` as the last line of a frame.
//!
//! Some clients take an id as soon as they read it; an id before the data would make them skip a record
//! when the connection is cut inside its frame.

use super::{envelope, json};
use crate::broker::BrokerError;
use crate::http::problem::Problem;
use crate::hub::{Format, Gap};
use crate::record::{Partition, RecordRef, TopicName};
use memchr::memchr2;

/// What the data of a record is.
pub enum Sse {
    Value,
    Record,
    Exact,
}

impl Format for Sse {
    fn name(&self) -> &str {
        match self {
            Self::Value => "sse-value",
            Self::Record => "sse-record",
            Self::Exact => "sse-exact",
        }
    }

    fn uses_ids(&self) -> bool {
        true
    }

    /// An ordinary record has no `event:` line, so `onmessage` gets it.
    fn record(&self, out: &mut Vec<u8>, topic: &TopicName, partition: Partition, record: &RecordRef<'_>, id: &str) {
        match (self, record.value) {
            (Self::Value, Some(value)) => write_value(out, value),
            (Self::Value, None) => {
                out.extend_from_slice(b"event: tombstone\ndata: ");
                envelope::write_tombstone(out, topic, partition, record);
                out.push(b'\n');
            }
            (Self::Record | Self::Exact, value) => {
                let start: &[u8] = if value.is_some() { b"data: " } else { b"event: tombstone\ndata: " };
                out.extend_from_slice(start);
                match self {
                    Self::Exact => envelope::write_exact(out, topic, partition, record),
                    _ => envelope::write(out, topic, partition, record),
                }
                out.push(b'\n');
            }
        }
        write_id(out, id);
    }

    fn bound(&self, record: &RecordRef<'_>) -> usize {
        /// Its field names and line ends.
        const FRAME: usize = 64;
        match (self, record.value) {
            (Self::Value, Some(value)) => {
                let lines = value.iter().filter(|byte| matches!(byte, b'\r' | b'\n')).count();
                FRAME + (value.len() + b"data: ".len() * lines).max(value.len().div_ceil(3) * 4)
            }
            _ => FRAME + record.encoded_bound(),
        }
    }

    /// An id without data: EventSource remembers it and fires nothing.
    fn checkpoint(&self, out: &mut Vec<u8>, id: &str) {
        write_id(out, id);
    }

    /// With data: npm's `eventsource` takes no id from a frame without, and would reconnect for ever. The name keeps it from
    /// `onmessage`.
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

    /// Without an id: a client that comes back resumes where it was.
    fn problem(&self, out: &mut Vec<u8>, error: &BrokerError) {
        if *error == BrokerError::ShuttingDown {
            // A restart is quick; not all of its clients need come back at the same instant.
            let retry = fastrand::u32(500..1500);
            out.extend_from_slice(format!("retry: {retry}\n").as_bytes());
        }
        write_problem(out, &Problem::from(error));
    }

    /// A comment: pages need not know, and people and `curlew consume` who look at the stream do.
    fn waiting(&self, out: &mut Vec<u8>, topic: &TopicName) {
        out.extend_from_slice(format!(": waiting for topic {topic}\n\n").as_bytes());
    }
}

/// The last frame of a stream that is ended for this reason.
pub fn write_problem(out: &mut Vec<u8>, problem: &Problem) {
    out.extend_from_slice(b"event: problem\ndata: ");
    out.extend_from_slice(problem.json().as_bytes());
    out.extend_from_slice(b"\n\n");
}

fn write_id(out: &mut Vec<u8>, id: &str) {
    out.extend_from_slice(b"id: ");
    out.extend_from_slice(id.as_bytes());
    out.extend_from_slice(b"\n\n");
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

/// A `data:` line for each piece between line ends (CR, LF or CRLF), the empty ones too: a client joins the
/// pieces with LF, so a value that ends in a line end keeps it, and an empty value is an event of its own.
///
/// The space is always there, because clients drop one: the value's own leading space stays.
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
