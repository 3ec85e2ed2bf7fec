//! Records as CloudEvents in the JSON event format, on one line.
//!
//! An event of the Kafka binding, binary or structured, keeps every attribute. A value that is an event as JSON counts as
//! structured even if `content-type` does not say so, because some bindings leave that out. Any other record becomes an event of
//! type `curlew.record` whose data is the value, or `curlew.tombstone`. Its id is `TOPIC/PARTITION/OFFSET`, and its
//! `partitionkey` is the key if that is text. Other record headers are not part of an event. Data that a schema describes is
//! its JSON; if it cannot be decoded, the extension `schemaerror` has the reason.

use super::json;
use crate::http::accept::essence;
use crate::http::cloudevents::attributes::{MAX_ATTRIBUTES, check_required, is_disallowed};
use crate::http::cloudevents::media_type::DataForm;
use crate::http::cloudevents::{CONTENT_TYPE, RECORD_PREFIX, json_event};
use crate::record::{Partition, RecordRef, Timestamp, TopicName};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Upper bound of the bytes of an event around the record's own: the names of the members, two topic names, numbers.
pub const EVENT_BYTES: usize = 1024;

/// The extension attribute with the reason why data could not be decoded by its schema.
const SCHEMA_ERROR: &str = "schemaerror";

/// The event of a record.
pub enum RecordEvent<'a> {
    /// The attributes are record headers.
    Binary { attributes: Vec<(&'a str, &'a str)>, content_type: Option<&'a str> },
    /// The value is the event as JSON. Python's `cloudevents.v1.kafka` moves `datacontenttype` to a header, from which
    /// it is restored.
    Structured { event: &'a str, datacontenttype: Option<&'a str> },
    /// The record is not an event.
    Wrapped { content_type: Option<&'a str> },
}

impl<'a> RecordEvent<'a> {
    /// Detects the content mode (Kafka binding, section 3).
    pub fn of(record: &RecordRef<'a>) -> Self {
        let content_type = record.last_header(CONTENT_TYPE).and_then(|given| std::str::from_utf8(given).ok());
        let content_type = content_type.filter(|given| !given.is_empty());
        let is_decoded = record.value_schema().is_some_and(|schema| schema.error.is_none());
        // The header describes the stored bytes, such as Avro, and not the JSON that its schema makes of them.
        let content_type = if is_decoded { Some("application/json") } else { content_type };
        let is_declared = content_type.is_some_and(|given| essence(given).starts_with("application/cloudevents"));
        if !is_declared && let Some(attributes) = attributes(record) {
            return Self::Binary { attributes, content_type };
        }
        let text = record.value.and_then(|value| std::str::from_utf8(value).ok());
        let text = text.filter(|text| text.contains("specversion") && json::is_json(text));
        match text.and_then(|text| Some((text.trim_ascii(), json_event::members(text)?))) {
            Some((event, members)) => {
                let is_moved = !is_declared && !members.contains("datacontenttype");
                Self::Structured { event, datacontenttype: content_type.filter(|_| is_moved) }
            }
            None => Self::Wrapped { content_type },
        }
    }

    /// Whether the record is a tombstone. An event without data has no value either, but is an event.
    pub fn is_tombstone(&self, record: &RecordRef<'_>) -> bool {
        matches!(self, Self::Wrapped { .. }) && record.value.is_none()
    }

    /// Appends the event.
    pub fn write(&self, out: &mut Vec<u8>, topic: &TopicName, partition: Partition, record: &RecordRef<'_>) {
        match self {
            Self::Structured { event, datacontenttype: None } => json::write_on_one_line(out, event.as_bytes()),
            Self::Structured { event, datacontenttype: Some(given) } => {
                out.extend_from_slice(b"{\"datacontenttype\":");
                string(out, given);
                out.push(b',');
                json::write_on_one_line(out, event.strip_prefix('{').unwrap_or_default().as_bytes());
            }
            Self::Binary { attributes, content_type } => {
                let mut before = b'{';
                for (name, value) in attributes {
                    if *name == "datacontenttype" && content_type.is_some() {
                        continue;
                    }
                    out.push(before);
                    before = b',';
                    string(out, name);
                    out.push(b':');
                    string(out, value);
                }
                let own = || attributes.iter().find(|(name, _)| *name == "datacontenttype").map(|(_, value)| *value);
                if let Some(given) = content_type {
                    member(out, "datacontenttype", given);
                }
                if attributes.iter().all(|(name, _)| *name != SCHEMA_ERROR) {
                    schema_error(out, record);
                }
                data(out, content_type.or_else(own), record.value);
                out.push(b'}');
            }
            Self::Wrapped { content_type } => wrapped(out, *content_type, topic, partition, record),
        }
    }
}

/// Returns the attributes of a record in binary mode, or `None` if it is not an event. Of headers with the same name,
/// the last one counts, as for Kafka's `Headers.lastHeader`. They are bounded in number, repeated ones too, because each is
/// compared with those before it.
fn attributes<'a>(record: &RecordRef<'a>) -> Option<Vec<(&'a str, &'a str)>> {
    let mut attributes: Vec<(&str, &str)> = Vec::new();
    let named =
        |(name, value): (&'a [u8], Option<&'a [u8]>)| Some((name.strip_prefix(RECORD_PREFIX.as_bytes())?, value));
    for (number, (name, value)) in record.headers().filter_map(named).enumerate() {
        if number == MAX_ATTRIBUTES {
            return None;
        }
        let name = std::str::from_utf8(name).ok()?;
        attributes.retain(|(own, _)| *own != name);
        let Some(value) = value else { continue };
        if matches!(name, "" | "data" | "data_base64") {
            return None;
        }
        attributes.push((name, std::str::from_utf8(value).ok()?));
    }
    check_required(|name| attributes.iter().find(|(own, _)| *own == name).map(|(_, value)| *value)).ok()?;
    Some(attributes)
}

fn wrapped(
    out: &mut Vec<u8>,
    content_type: Option<&str>,
    topic: &TopicName,
    partition: Partition,
    record: &RecordRef<'_>,
) {
    let RecordRef { offset, timestamp, value, .. } = *record;
    let kind = if value.is_some() { "record" } else { "tombstone" };
    // A topic name contains no character that JSON escapes.
    let start = format!(
        "{{\"specversion\":\"1.0\",\"id\":\"{topic}/{partition}/{offset}\",\"source\":\"/topics/{topic}\",\
         \"type\":\"curlew.{kind}\""
    );
    out.extend_from_slice(start.as_bytes());
    if let Some(time) = rfc3339(timestamp) {
        member(out, "time", &time);
    }
    let text_of_key = record.text_of_key();
    let key = record.key.and_then(|key| std::str::from_utf8(key).ok());
    if let Some(key) =
        text_of_key.as_deref().or(key).filter(|key| !key.is_empty() && !key.chars().any(|c| is_disallowed(c.into())))
    {
        member(out, "partitionkey", key);
    }
    let content_type = content_type.or_else(|| {
        Some(match std::str::from_utf8(value?) {
            _ if record.value_error().is_some() => "application/octet-stream",
            Ok(text) if json::is_json(text) => "application/json",
            Ok(_) => "text/plain",
            Err(_) => "application/octet-stream",
        })
    });
    if let Some(content_type) = content_type {
        member(out, "datacontenttype", content_type);
    }
    schema_error(out, record);
    data(out, content_type, value);
    out.push(b'}');
}

/// Appends why the data could not be decoded by its schema, as an extension attribute.
fn schema_error(out: &mut Vec<u8>, record: &RecordRef<'_>) {
    if let Some(error) = record.value_error() {
        member(out, SCHEMA_ERROR, error);
    }
}

/// Appends `,"data":…` or `,"data_base64":"…"` (JSON event format, section 3.1), or nothing without data.
fn data(out: &mut Vec<u8>, content_type: Option<&str>, value: Option<&[u8]>) {
    let Some(value) = value else { return };
    match (DataForm::of(content_type), std::str::from_utf8(value)) {
        (DataForm::Json, Ok(text)) if json::is_json(text) => {
            out.extend_from_slice(b",\"data\":");
            json::write_on_one_line(out, value);
        }
        (DataForm::Text, Ok(text)) => member(out, "data", text),
        _ => {
            out.extend_from_slice(b",\"data_base64\":\"");
            json::base64(out, value);
            out.push(b'"');
        }
    }
}

fn member(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    string(out, value);
}

fn string(out: &mut Vec<u8>, text: &str) {
    json::string(out, Some(text.as_bytes()));
}

/// Returns the time, or `None` if it is unknown or not in the years 0 to 9999.
fn rfc3339(timestamp: Timestamp) -> Option<String> {
    let nanos = i128::from(timestamp).checked_mul(1_000_000).filter(|_| timestamp >= 0)?;
    OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()?.format(&Rfc3339).ok()
}
