//! The JSON of Google's well-known messages. Their fields are known by number, whatever their file says.

use super::decoder::{ItemSeparator, MessageDecoder, MessageSpans};
use super::known_text;
use super::types::{FieldShape, MessageType, ProtoKind, WellKnown};
use super::wire::{WireField, WireReader, WireSpan, WireType};
use crate::schemas::mismatch::DecodeError;

impl MessageDecoder<'_> {
    /// Writes the JSON of a well-known message.
    pub fn known(&mut self, known: WellKnown, message: &MessageType, spans: MessageSpans) -> Result<(), DecodeError> {
        write_known(self, known, message, spans)
    }
}

fn write_known(
    decoder: &mut MessageDecoder,
    known: WellKnown,
    message: &MessageType,
    spans: MessageSpans,
) -> Result<(), DecodeError> {
    match known {
        WellKnown::Timestamp => {
            let (seconds, nanos) = seconds_and_nanos(decoder, spans)?;
            let text =
                known_text::timestamp(seconds, nanos).ok_or_else(|| out_of_range("timestamp", seconds, nanos))?;
            decoder.json.value(text)
        }
        WellKnown::Duration => {
            let (seconds, nanos) = seconds_and_nanos(decoder, spans)?;
            let text = known_text::duration(seconds, nanos).ok_or_else(|| out_of_range("duration", seconds, nanos))?;
            decoder.json.value(text)
        }
        WellKnown::FieldMask => field_mask(decoder, spans),
        WellKnown::Struct => structure(decoder, spans),
        WellKnown::ListValue => list(decoder, spans),
        WellKnown::Value => value(decoder, spans),
        WellKnown::Wrapper => wrapper(decoder, message, spans),
        WellKnown::Any => any(decoder, spans),
        WellKnown::Empty => decoder.json.raw("{}"),
    }
}

/// Calls `each` with the fields of a message in the order in which they are written.
fn each_field(
    decoder: &mut MessageDecoder,
    spans: MessageSpans,
    mut each: impl FnMut(&mut MessageDecoder, WireField) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    for span in spans.as_slice() {
        let mut reader = WireReader::new(decoder.bytes, *span);
        while let Some(field) = reader.next_field()? {
            each(decoder, field)?;
        }
    }
    Ok(())
}

fn seconds_and_nanos(decoder: &mut MessageDecoder, spans: MessageSpans) -> Result<(i64, i32), DecodeError> {
    let (mut seconds, mut nanos) = (0, 0);
    each_field(decoder, spans, |decoder, field| {
        match (field.number, field.wire_type) {
            (1, WireType::Varint) => seconds = WireReader::new(decoder.bytes, field.value).varint()? as i64,
            (2, WireType::Varint) => nanos = WireReader::new(decoder.bytes, field.value).varint()? as i32,
            _ => decoder.saw_unknown = true,
        }
        Ok(())
    })?;
    Ok((seconds, nanos))
}

fn out_of_range(what: &str, seconds: i64, nanos: i32) -> DecodeError {
    DecodeError::Malformed(format!("a {what} is out of range: {seconds} s and {nanos} ns"))
}

fn field_mask(decoder: &mut MessageDecoder, spans: MessageSpans) -> Result<(), DecodeError> {
    let mut text = String::new();
    let mut separator = ItemSeparator::None;
    each_field(decoder, spans, |decoder, field| {
        if field.number == 1 && field.wire_type == WireType::Delimited {
            let path = std::str::from_utf8(field.value.bytes(decoder.bytes));
            let path = path.map_err(|_| DecodeError::Malformed("a string is not UTF-8".to_owned()))?;
            text.push_str(separator.next());
            text.push_str(&known_text::camel_case(path));
        } else {
            decoder.saw_unknown = true;
        }
        Ok(())
    })?;
    decoder.json.value(text)
}

fn structure(decoder: &mut MessageDecoder, spans: MessageSpans) -> Result<(), DecodeError> {
    let mut entries = Vec::new();
    each_field(decoder, spans, |decoder, field| {
        match (field.number, field.wire_type) {
            (1, WireType::Delimited) => entries.push(field.value),
            _ => decoder.saw_unknown = true,
        }
        Ok(())
    })?;
    let value = decoder.types.by_full_name("google.protobuf.Value").ok_or_else(without_value)?;
    decoder.map(ProtoKind::String, ProtoKind::Message(value), &entries)
}

fn list(decoder: &mut MessageDecoder, spans: MessageSpans) -> Result<(), DecodeError> {
    let id = decoder.types.by_full_name("google.protobuf.Value").ok_or_else(without_value)?;
    let mut separator = ItemSeparator::None;
    decoder.json.raw("[")?;
    each_field(decoder, spans, |decoder, field| {
        match (field.number, field.wire_type) {
            (1, WireType::Delimited) => {
                decoder.json.raw(separator.next())?;
                decoder.message(id, MessageSpans::One(field.value))?;
            }
            _ => decoder.saw_unknown = true,
        }
        Ok(())
    })?;
    decoder.json.raw("]")
}

/// A schema may declare its own `google.protobuf.Struct`.
fn without_value() -> DecodeError {
    DecodeError::Malformed("the schema has google.protobuf.Struct without google.protobuf.Value".to_owned())
}

/// Writes the last member of the oneof; structs and lists written in several places are merged.
fn value(decoder: &mut MessageDecoder, spans: MessageSpans) -> Result<(), DecodeError> {
    let mut last: Option<WireField> = None;
    let mut parts: Vec<WireSpan> = Vec::new();
    each_field(decoder, spans, |decoder, field| {
        match (field.number, field.wire_type) {
            (1 | 4, WireType::Varint) | (2, WireType::Fixed64) | (3 | 5 | 6, WireType::Delimited) => {
                if last.is_none_or(|last| last.number != field.number) {
                    parts.clear();
                }
                parts.push(field.value);
                last = Some(field);
            }
            _ => decoder.saw_unknown = true,
        }
        Ok(())
    })?;
    let Some(last) = last else { return decoder.json.raw("null") };
    match last.number {
        2 => decoder.single(ProtoKind::Double, last.value),
        3 => decoder.single(ProtoKind::String, last.value),
        4 => decoder.single(ProtoKind::Bool, last.value),
        5 | 6 => {
            let name = if last.number == 5 { "google.protobuf.Struct" } else { "google.protobuf.ListValue" };
            let id = decoder.types.by_full_name(name);
            let id = id.ok_or_else(|| DecodeError::Malformed(format!("the schema has no {name}")))?;
            decoder.message(id, MessageSpans::Many(&parts))
        }
        _ => decoder.json.raw("null"),
    }
}

fn wrapper(decoder: &mut MessageDecoder, message: &MessageType, spans: MessageSpans) -> Result<(), DecodeError> {
    let field = message.by_number(1).and_then(|index| message.fields.get(index as usize));
    let Some(field) = field.filter(|field| field.shape == FieldShape::Single) else { return decoder.json.raw("{}") };
    let kind = field.kind;
    let mut last = None;
    each_field(decoder, spans, |decoder, field| {
        if field.number == 1 && field.wire_type == kind.wire_type() {
            last = Some(field.value);
        } else {
            decoder.saw_unknown = true;
        }
        Ok(())
    })?;
    match last {
        Some(last) => decoder.single(kind, last),
        None => decoder.default_value(kind),
    }
}

/// Writes the message inside an `Any`, or its bytes if the schema does not have its type.
fn any(decoder: &mut MessageDecoder, spans: MessageSpans) -> Result<(), DecodeError> {
    let (mut type_url, mut value) = (WireSpan::default(), WireSpan::default());
    each_field(decoder, spans, |decoder, field| {
        match (field.number, field.wire_type) {
            (1, WireType::Delimited) => type_url = field.value,
            (2, WireType::Delimited) => value = field.value,
            _ => decoder.saw_unknown = true,
        }
        Ok(())
    })?;
    let type_url = type_url.bytes(decoder.bytes);
    if type_url.is_empty() && value.start == value.end {
        return decoder.json.raw("{}");
    }
    decoder.json.raw("{\"@type\":")?;
    decoder.json.text(type_url)?;
    let name = type_url.rsplit(|byte| *byte == b'/').next().and_then(|name| std::str::from_utf8(name).ok());
    let types = decoder.types;
    match name.and_then(|name| types.by_full_name(name)) {
        Some(id) if types.message(id).known.is_some() => {
            decoder.json.raw(",\"value\":")?;
            decoder.message(id, MessageSpans::One(value))?;
        }
        Some(id) => decoder.inner_members(id, MessageSpans::One(value))?,
        None => {
            decoder.json.raw(",\"value\":")?;
            decoder.json.base64(value.bytes(decoder.bytes))?;
        }
    }
    decoder.json.raw("}")
}
