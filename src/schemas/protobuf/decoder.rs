//! From the wire format to JSON, without a copy of the message in between.
//!
//! A field may be written in several places: of a single one the last value counts, messages are merged, the values of a
//! repeated one are collected. So the fields of a message are first found ([`FoundField`], 12 bytes each) and sorted, and then
//! written. Takes at most 28 times the memory of the encoded message (a map of empty entries), beside the JSON.

use super::json_out::BoundedJson;
use super::types::{EnumId, FieldShape, MessageField, MessageId, MessageType, MessageTypes, ProtoKind};
use super::wire::{MAX_DEPTH, WireReader, WireSpan, WireType, from_zigzag, too_deep, truncated};
use crate::schemas::mismatch::DecodeError;
use std::collections::HashMap;
use std::ops::Range;

/// The most fields that are found at a time: those of a message and of the messages around it. Bounds the memory to 120 MB, however
/// large records may be in Kafka. Packed elements are one field.
const MAX_FOUND: usize = 2_000_000;

/// Writes the JSON of one message.
pub struct MessageDecoder<'a> {
    pub types: &'a MessageTypes,
    /// All encoded bytes; spans are positions in them.
    pub bytes: &'a [u8],
    pub json: BoundedJson<'a>,
    /// The fields of the messages that are being written, from the outer to the inner ones.
    found: Vec<FoundField>,
    depth: u32,
    /// Whether any field was unknown, or had the wire type of another one.
    pub saw_unknown: bool,
}

/// How well bytes fit a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    Whole,
    /// With fields that the message does not have.
    WithUnknown,
}

/// A field of a message in the encoded bytes.
#[derive(Debug, Clone, Copy)]
struct FoundField {
    /// The index of the field in its message.
    field: u32,
    value: WireSpan,
}

/// The places in which a message is written: its bytes are those of all, one after the other.
#[derive(Debug, Clone, Copy)]
pub enum MessageSpans<'s> {
    One(WireSpan),
    Many(&'s [WireSpan]),
}

impl MessageSpans<'_> {
    pub fn as_slice(&self) -> &[WireSpan] {
        match self {
            Self::One(span) => std::slice::from_ref(span),
            Self::Many(spans) => spans,
        }
    }
}

impl<'a> MessageDecoder<'a> {
    pub fn new(types: &'a MessageTypes, bytes: &'a [u8], json: BoundedJson<'a>) -> Self {
        Self { types, bytes, json, found: Vec::new(), depth: 0, saw_unknown: false }
    }

    /// How well the bytes fit the messages that were written.
    pub fn fit(&self) -> Fit {
        if self.saw_unknown { Fit::WithUnknown } else { Fit::Whole }
    }

    /// Writes the JSON of a message, whatever its type.
    pub fn message(&mut self, id: MessageId, spans: MessageSpans) -> Result<(), DecodeError> {
        if self.depth >= MAX_DEPTH {
            return Err(too_deep());
        }
        self.depth += 1;
        let types = self.types;
        let message = types.message(id);
        match message.known {
            Some(known) => self.known(known, message, spans)?,
            None => {
                self.json.raw("{")?;
                self.members(message, spans, ItemSeparator::None)?;
                self.json.raw("}")?;
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// Writes the members of a message inside an object that has members already.
    pub fn inner_members(&mut self, id: MessageId, spans: MessageSpans) -> Result<(), DecodeError> {
        if self.depth >= MAX_DEPTH {
            return Err(too_deep());
        }
        self.depth += 1;
        let types = self.types;
        self.members(types.message(id), spans, ItemSeparator::Comma)?;
        self.depth -= 1;
        Ok(())
    }

    /// Writes the members of a message without the braces.
    fn members(
        &mut self,
        message: &MessageType,
        spans: MessageSpans,
        mut separator: ItemSeparator,
    ) -> Result<(), DecodeError> {
        let start = self.found.len();
        self.find(message, spans)?;
        let end = self.found.len();
        let mut at = start;
        let mut always_printed = message.always_printed.iter().copied().peekable();
        loop {
            let found = self.found.get(at..end).and_then(|rest| rest.first()).map(|found| found.field);
            let absent = always_printed.peek().copied();
            let index = match (found, absent) {
                (None, None) => break,
                (Some(index), None) | (None, Some(index)) => index,
                (Some(found), Some(absent)) => found.min(absent),
            };
            if absent == Some(index) {
                always_printed.next();
            }
            let Some(field) = message.fields.get(index as usize) else { break };
            let name = &*field.json_name;
            self.json.raw(separator.next())?;
            self.json.value(name)?;
            self.json.raw(":")?;
            let rest = self.found.get(at..end).unwrap_or_default();
            let count = rest.iter().take_while(|found| found.field == index).count();
            match count {
                0 => self.default(field)?,
                count => self.field(field, at..at + count)?,
            }
            at += count;
        }
        self.found.truncate(start);
        Ok(())
    }

    /// Appends the known fields of a message to `found`, in the order of their numbers.
    fn find(&mut self, message: &MessageType, spans: MessageSpans) -> Result<(), DecodeError> {
        let start = self.found.len();
        let mut last_of_oneof: HashMap<u32, FoundField> = HashMap::new();
        for span in spans.as_slice() {
            let mut reader = WireReader::new(self.bytes, *span);
            while let Some(written) = reader.next_field()? {
                let known = message.by_number(written.number);
                let known = known.and_then(|index| Some((index, message.fields.get(index as usize)?)));
                let Some((index, field)) = known.filter(|(_, field)| field.reads(written.wire_type)) else {
                    self.saw_unknown = true;
                    continue;
                };
                let found = FoundField { field: index, value: written.value };
                if self.found.len() >= MAX_FOUND {
                    return Err(DecodeError::Malformed(format!("the message has more than {MAX_FOUND} fields")));
                }
                self.found.push(found);
                if let Some(oneof) = field.oneof {
                    // A value of another member replaces the earlier ones, and they stay replaced.
                    last_of_oneof.entry(oneof).and_modify(|last| *last = last.or_replaced(found)).or_insert(found);
                }
            }
        }
        if !last_of_oneof.is_empty() {
            let mut kept = start;
            for at in start..self.found.len() {
                let Some(found) = self.found.get(at).copied() else { break };
                let oneof = message.fields.get(found.field as usize).and_then(|field| field.oneof);
                let last = oneof.and_then(|oneof| last_of_oneof.get(&oneof));
                if last.is_none_or(|last| last.field == found.field && last.value.start <= found.value.start) {
                    self.found.swap(kept, at);
                    kept += 1;
                }
            }
            self.found.truncate(kept);
        }
        let found = self.found.get_mut(start..).unwrap_or_default();
        if !found.is_sorted_by_key(|found| found.field) {
            found.sort_unstable_by_key(|found| (found.field, found.value.start, found.value.end));
        }
        Ok(())
    }

    /// Writes a field from the places in `found` where it is written.
    fn field(&mut self, field: &MessageField, places: Range<usize>) -> Result<(), DecodeError> {
        match (field.shape, field.kind) {
            (FieldShape::Map(key), kind) => {
                let entries = self.spans(places);
                self.map(key, kind, &entries)
            }
            (FieldShape::Repeated | FieldShape::Packed, kind) => {
                self.json.raw("[")?;
                let mut separator = ItemSeparator::None;
                for place in places {
                    let Some(found) = self.found.get(place).copied() else { break };
                    self.elements(kind, found.value, &mut separator)?;
                }
                self.json.raw("]")
            }
            (FieldShape::Single, ProtoKind::Message(id) | ProtoKind::Group(id)) if places.len() > 1 => {
                let spans = self.spans(places);
                self.message(id, MessageSpans::Many(&spans))
            }
            (FieldShape::Single, kind) => match self.found.get(places).and_then(|places| places.last()) {
                Some(found) => self.single(kind, found.value),
                None => Ok(()),
            },
        }
    }

    fn spans(&self, places: Range<usize>) -> Vec<WireSpan> {
        self.found.get(places).unwrap_or_default().iter().map(|found| found.value).collect()
    }

    /// Writes one element of a repeated field, or many packed ones.
    fn elements(&mut self, kind: ProtoKind, value: WireSpan, separator: &mut ItemSeparator) -> Result<(), DecodeError> {
        if !kind.is_packable() {
            self.json.raw(separator.next())?;
            return self.single(kind, value);
        }
        // A value that is not packed is the same bytes: those of one element.
        let mut reader = WireReader::new(self.bytes, value);
        while reader.position() < value.end as usize {
            self.json.raw(separator.next())?;
            self.scalar(kind, &mut reader)?;
        }
        Ok(())
    }

    /// Writes one value.
    pub fn single(&mut self, kind: ProtoKind, value: WireSpan) -> Result<(), DecodeError> {
        match kind {
            ProtoKind::Message(id) | ProtoKind::Group(id) => self.message(id, MessageSpans::One(value)),
            ProtoKind::String => self.json.text(value.bytes(self.bytes)),
            ProtoKind::Bytes => self.json.base64(value.bytes(self.bytes)),
            kind => self.scalar(kind, &mut WireReader::new(self.bytes, value)),
        }
    }

    /// Writes a number, a Boolean or an enum.
    fn scalar(&mut self, kind: ProtoKind, reader: &mut WireReader) -> Result<(), DecodeError> {
        match kind.wire_type() {
            WireType::Fixed32 => {
                let value = reader.next_fixed::<4>()?.ok_or_else(truncated)?;
                match kind {
                    ProtoKind::Float => self.json.float(f32::from_le_bytes(value)),
                    ProtoKind::Sfixed32 => self.json.value(i32::from_le_bytes(value)),
                    _ => self.json.value(u32::from_le_bytes(value)),
                }
            }
            WireType::Fixed64 => {
                let value = reader.next_fixed::<8>()?.ok_or_else(truncated)?;
                match kind {
                    ProtoKind::Double => self.json.double(f64::from_le_bytes(value)),
                    ProtoKind::Sfixed64 => self.json.value(i64::from_le_bytes(value)),
                    _ => self.json.value(u64::from_le_bytes(value)),
                }
            }
            _ => {
                // Of a 32-bit number the upper half is dropped, as in Google's libraries.
                let value = reader.next_varint()?.ok_or_else(truncated)?;
                match kind {
                    ProtoKind::Bool => self.json.value(value != 0),
                    ProtoKind::Int32 => self.json.value(value as i32),
                    ProtoKind::Uint32 => self.json.value(value as u32),
                    ProtoKind::Sint32 => self.json.value(from_zigzag(u64::from(value as u32)) as i32),
                    ProtoKind::Int64 => self.json.value(value as i64),
                    ProtoKind::Sint64 => self.json.value(from_zigzag(value)),
                    ProtoKind::Enum(id) => self.enumeration(id, value as i32),
                    _ => self.json.value(value),
                }
            }
        }
    }

    fn enumeration(&mut self, id: EnumId, number: i32) -> Result<(), DecodeError> {
        let types = self.types;
        let enumeration = types.enumeration(id);
        match enumeration.name(number) {
            _ if enumeration.is_null() => self.json.raw("null"),
            Some(name) => self.json.value(name),
            None => self.json.value(number),
        }
    }

    /// Writes the value of an absent field without presence, or of an absent value in a map.
    pub fn default(&mut self, field: &MessageField) -> Result<(), DecodeError> {
        match field.shape {
            FieldShape::Map(_) => self.json.raw("{}"),
            FieldShape::Repeated | FieldShape::Packed => self.json.raw("[]"),
            FieldShape::Single => self.default_value(field.kind),
        }
    }

    pub fn default_value(&mut self, kind: ProtoKind) -> Result<(), DecodeError> {
        match kind {
            ProtoKind::Bool => self.json.raw("false"),
            ProtoKind::Double | ProtoKind::Float => self.json.raw("0.0"),
            ProtoKind::String | ProtoKind::Bytes => self.json.raw("\"\""),
            ProtoKind::Enum(id) => self.enumeration(id, self.types.enumeration(id).default),
            ProtoKind::Message(id) | ProtoKind::Group(id) => self.message(id, MessageSpans::Many(&[])),
            _ => self.json.raw("0"),
        }
    }
}

impl FoundField {
    fn or_replaced(self, later: FoundField) -> FoundField {
        if self.field == later.field { self } else { later }
    }
}

impl MessageField {
    /// Whether values of this field may be written with a wire type. With another one, the field is unknown.
    fn reads(&self, wire_type: WireType) -> bool {
        match self.shape {
            FieldShape::Map(_) => wire_type == WireType::Delimited,
            FieldShape::Single => wire_type == self.kind.wire_type(),
            FieldShape::Repeated | FieldShape::Packed => {
                wire_type == self.kind.wire_type() || wire_type == WireType::Delimited && self.kind.is_packable()
            }
        }
    }
}

/// What comes before the next element of a list or the next member of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemSeparator {
    None,
    Comma,
}

impl ItemSeparator {
    pub fn next(&mut self) -> &'static str {
        match std::mem::replace(self, Self::Comma) {
            Self::None => "",
            Self::Comma => ",",
        }
    }
}
