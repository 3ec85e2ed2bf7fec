//! A record with all its fields, as one JSON object on one line.
//!
//! `{"topic","partition","offset","timestamp","key","headers","value"}`. Keys and values are embedded as JSON if they
//! parse as JSON. Otherwise they are strings, or if they are not UTF-8, base64 with `"key_encoding":"base64"` or
//! `"encoding":"base64"` beside them. This is ambiguous: the text `null` looks like a tombstone, and `"a"` like `a`.
//! The exact envelope never parses keys and values: a string is the text itself, and null means that the key or value
//! is missing, and keys and values are those of the log, even if they have a schema.
//!
//! With a schema registry, `"schema_id"` and `"key_schema_id"` are beside the JSON of a value and key that name a schema. If
//! one cannot be decoded, it is base64, and `"schema_error"` or `"key_schema_error"` has the reason.

use super::json::{self, Encoding};
use crate::cel::Variable;
use crate::hub::Gap;
use crate::record::{Offset, PartSchema, Partition, RecordRef, TopicName};
use std::io::Write;

/// The keys and values of an envelope.
#[derive(Clone, Copy)]
enum EnvelopeParts {
    /// As readers see them: JSON where they are JSON or have a schema.
    Shown,
    /// As the log has them, in strings.
    Exact,
}

/// Appends the envelope of `record`. `timestamp` is in milliseconds since the epoch, or null if unknown.
pub fn write(out: &mut Vec<u8>, topic: &TopicName, partition: Partition, record: &RecordRef<'_>) {
    write_with(EnvelopeParts::Shown, out, topic, partition, record);
}

/// Appends the exact envelope of `record`, from which every byte can be restored.
pub fn write_exact(out: &mut Vec<u8>, topic: &TopicName, partition: Partition, record: &RecordRef<'_>) {
    write_with(EnvelopeParts::Exact, out, topic, partition, record);
}

/// The members of an envelope, in order.
const MEMBERS: [Variable; 7] = [
    Variable::Topic,
    Variable::Partition,
    Variable::Offset,
    Variable::Timestamp,
    Variable::Key,
    Variable::Headers,
    Variable::Value,
];

fn write_with(
    parts: EnvelopeParts,
    out: &mut Vec<u8>,
    topic: &TopicName,
    partition: Partition,
    record: &RecordRef<'_>,
) {
    let mut before = b'{';
    for member in MEMBERS {
        out.push(before);
        before = b',';
        write_member_with(parts, out, member, topic, partition, record);
    }
    out.push(b'}');
}

/// Appends one member of the envelope, with the encoding beside it if it has one.
pub fn write_member(
    out: &mut Vec<u8>,
    member: Variable,
    topic: &TopicName,
    partition: Partition,
    record: &RecordRef<'_>,
) {
    write_member_with(EnvelopeParts::Shown, out, member, topic, partition, record);
}

fn write_member_with(
    parts: EnvelopeParts,
    out: &mut Vec<u8>,
    member: Variable,
    topic: &TopicName,
    partition: Partition,
    record: &RecordRef<'_>,
) {
    match member {
        Variable::Topic => topic_member(out, topic),
        Variable::Partition => number(out, "\"partition\":", partition.into()),
        Variable::Offset => number(out, "\"offset\":", record.offset),
        Variable::Timestamp if record.timestamp == -1 => text(out, "\"timestamp\":null"),
        Variable::Timestamp => number(out, "\"timestamp\":", record.timestamp),
        Variable::Key => key(parts, out, record),
        Variable::Headers => headers(out, record),
        Variable::Value => {
            text(out, "\"value\":");
            let encoding = match parts {
                EnvelopeParts::Exact => json::string(out, record.stored_value()),
                EnvelopeParts::Shown => shown(out, record.value, record.value_error()),
            };
            mark(out, encoding, ",\"encoding\":\"base64\"");
            if let (EnvelopeParts::Shown, Some(schema)) = (parts, record.value_schema()) {
                schema_members(out, "", &schema);
            }
        }
    }
}

/// Appends the location and the key of a tombstone: `{"topic","partition","offset","key"}`.
pub fn write_tombstone(out: &mut Vec<u8>, topic: &TopicName, partition: Partition, record: &RecordRef<'_>) {
    place(out, topic, partition);
    number(out, ",\"offset\":", record.offset);
    out.push(b',');
    key(EnvelopeParts::Shown, out, record);
    out.push(b'}');
}

/// Appends the members of a gap, without the braces around them.
pub fn write_gap_members(out: &mut Vec<u8>, gap: &Gap) {
    place_members(out, &gap.topic, gap.partition);
    number(out, ",\"from\":", gap.from);
    number(out, ",\"to\":", gap.to);
    text(out, ",\"reason\":\"");
    text(out, gap.reason.as_str());
    out.push(b'"');
}

fn place(out: &mut Vec<u8>, topic: &TopicName, partition: Partition) {
    out.push(b'{');
    place_members(out, topic, partition);
}

fn place_members(out: &mut Vec<u8>, topic: &TopicName, partition: Partition) {
    topic_member(out, topic);
    number(out, ",\"partition\":", partition.into());
}

/// Appends the name unescaped: it contains no character that JSON escapes.
fn topic_member(out: &mut Vec<u8>, topic: &TopicName) {
    text(out, "\"topic\":\"");
    text(out, topic.as_str());
    out.push(b'"');
}

fn key(parts: EnvelopeParts, out: &mut Vec<u8>, record: &RecordRef<'_>) {
    text(out, "\"key\":");
    let encoding = match parts {
        EnvelopeParts::Exact => json::string(out, record.stored_key()),
        EnvelopeParts::Shown => shown(out, record.key, record.key_error()),
    };
    mark(out, encoding, ",\"key_encoding\":\"base64\"");
    if let (EnvelopeParts::Shown, Some(schema)) = (parts, record.key_schema()) {
        schema_members(out, "key_", &schema);
    }
}

/// Appends a key or value as JSON, or as base64 if it could not be decoded by its schema.
fn shown(out: &mut Vec<u8>, bytes: Option<&[u8]>, error: Option<&str>) -> Encoding {
    match (bytes, error) {
        (Some(bytes), Some(_)) => json::base64_string(out, bytes),
        _ => json::embed(out, bytes),
    }
}

/// Appends the members about a schema, each after a comma.
fn schema_members(out: &mut Vec<u8>, prefix: &str, schema: &PartSchema<'_>) {
    if let Some(id) = schema.id {
        text(out, ",\"");
        text(out, prefix);
        text(out, "schema_id\":");
        // Writing to a `Vec` cannot fail.
        let _ = write!(out, "{}", id.json());
    }
    if let Some(error) = schema.error {
        text(out, ",\"");
        text(out, prefix);
        text(out, "schema_error\":");
        json::string(out, Some(error.as_bytes()));
    }
}

/// Appends the schema ids and errors of a key and value that could not be decoded, each after a comma.
pub fn write_schema_errors(out: &mut Vec<u8>, record: &RecordRef<'_>, members: impl Iterator<Item = Variable>) {
    for member in members {
        let (prefix, schema) = match member {
            Variable::Value => ("", record.value_schema()),
            Variable::Key => ("key_", record.key_schema()),
            _ => continue,
        };
        schema.iter().filter(|schema| schema.error.is_some()).for_each(|schema| schema_members(out, prefix, schema));
    }
}

/// Appends the members of a record to which a filter could not be applied, without the braces around them.
pub fn write_undecoded_members(out: &mut Vec<u8>, topic: &TopicName, partition: Partition, record: &RecordRef<'_>) {
    place_members(out, topic, partition);
    number(out, ",\"offset\":", record.offset);
    write_schema_errors(out, record, [Variable::Value, Variable::Key].into_iter());
}

/// Appends all headers in the record's order, including repeated ones.
fn headers(out: &mut Vec<u8>, record: &RecordRef<'_>) {
    text(out, "\"headers\":[");
    for (i, (name, value)) in record.headers().enumerate() {
        text(out, if i == 0 { "{\"name\":" } else { ",{\"name\":" });
        let encoding = json::string(out, Some(name));
        mark(out, encoding, ",\"name_encoding\":\"base64\"");
        text(out, ",\"value\":");
        let encoding = json::string(out, value);
        mark(out, encoding, ",\"encoding\":\"base64\"");
        out.push(b'}');
    }
    out.push(b']');
}

fn mark(out: &mut Vec<u8>, encoding: Encoding, member: &str) {
    if encoding == Encoding::Base64 {
        text(out, member);
    }
}

fn number(out: &mut Vec<u8>, before: &str, number: Offset) {
    text(out, before);
    text(out, itoa::Buffer::new().format(number));
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}
