//! Maps: repeated entries of a key and a value, of which the last one with a key counts.

use super::decoder::{ItemSeparator, MessageDecoder, MessageSpans};
use super::types::ProtoKind;
use super::wire::{WireReader, WireSpan, WireType, from_zigzag};
use crate::schemas::mismatch::DecodeError;
use std::cmp::Ordering;

/// An entry with its key.
#[derive(Debug, Clone, Copy)]
struct FoundEntry {
    key: EntryKey,
    /// The index of the entry.
    place: u32,
}

/// A key, small whatever its length.
#[derive(Debug, Clone, Copy)]
enum EntryKey {
    Signed(i64),
    Unsigned(u64),
    Bool(bool),
    Text(WireSpan),
}

impl MessageDecoder<'_> {
    /// Writes a map in the order of its keys.
    pub fn map(&mut self, key: ProtoKind, value: ProtoKind, entries: &[WireSpan]) -> Result<(), DecodeError> {
        write_map(self, key, value, entries)
    }
}

fn write_map(
    decoder: &mut MessageDecoder,
    key: ProtoKind,
    value: ProtoKind,
    entries: &[WireSpan],
) -> Result<(), DecodeError> {
    let bytes = decoder.bytes;
    let mut found = Vec::with_capacity(entries.len());
    for (place, entry) in (0..).zip(entries) {
        found.push(FoundEntry { key: entry_key(bytes, key, *entry)?, place });
    }
    found.sort_unstable_by(|a, b| compare(bytes, a.key, b.key).then(a.place.cmp(&b.place)));
    decoder.json.raw("{")?;
    let mut separator = ItemSeparator::None;
    for (at, entry) in found.iter().enumerate() {
        let next = found.get(at + 1);
        if next.is_some_and(|next| compare(bytes, entry.key, next.key).is_eq()) {
            continue;
        }
        decoder.json.raw(separator.next())?;
        match entry.key {
            EntryKey::Signed(key) => decoder.json.quoted(key)?,
            EntryKey::Unsigned(key) => decoder.json.quoted(key)?,
            EntryKey::Bool(key) => decoder.json.quoted(key)?,
            EntryKey::Text(key) => decoder.json.text(key.bytes(bytes))?,
        }
        decoder.json.raw(":")?;
        let entry = entries.get(entry.place as usize).copied().unwrap_or_default();
        entry_value(decoder, value, entry)?;
    }
    decoder.json.raw("}")
}

fn entry_key(bytes: &[u8], kind: ProtoKind, entry: WireSpan) -> Result<EntryKey, DecodeError> {
    let mut last = None;
    let mut reader = WireReader::new(bytes, entry);
    while let Some(field) = reader.next_field()? {
        if field.number == 1 && field.wire_type == kind.wire_type() {
            last = Some(field.value);
        }
    }
    if kind == ProtoKind::String {
        return Ok(EntryKey::Text(last.unwrap_or_default()));
    }
    let mut reader = WireReader::new(bytes, last.unwrap_or_default());
    let number = match kind.wire_type() {
        WireType::Fixed32 => reader.next_fixed::<4>()?.map_or(0, |value| u64::from(u32::from_le_bytes(value))),
        WireType::Fixed64 => reader.next_fixed::<8>()?.map_or(0, u64::from_le_bytes),
        _ => match last {
            Some(_) => reader.varint()?,
            None => 0,
        },
    };
    Ok(match kind {
        ProtoKind::Bool => EntryKey::Bool(number != 0),
        ProtoKind::Int32 | ProtoKind::Sfixed32 => EntryKey::Signed(i64::from(number as i32)),
        ProtoKind::Sint32 => EntryKey::Signed(from_zigzag(u64::from(number as u32))),
        ProtoKind::Int64 | ProtoKind::Sfixed64 => EntryKey::Signed(number as i64),
        ProtoKind::Sint64 => EntryKey::Signed(from_zigzag(number)),
        ProtoKind::Uint32 => EntryKey::Unsigned(u64::from(number as u32)),
        _ => EntryKey::Unsigned(number),
    })
}

/// Writes the value of an entry: its last one, or of a message, all merged.
fn entry_value(decoder: &mut MessageDecoder, kind: ProtoKind, entry: WireSpan) -> Result<(), DecodeError> {
    let mut last = None;
    let mut earlier = Vec::new();
    let mut reader = WireReader::new(decoder.bytes, entry);
    while let Some(field) = reader.next_field()? {
        if field.number == 2 && field.wire_type == kind.wire_type() {
            earlier.extend(last.replace(field.value));
        } else if field.number != 1 {
            decoder.saw_unknown = true;
        }
    }
    match (kind, last) {
        (kind, None) => decoder.default_value(kind),
        (ProtoKind::Message(id), Some(last)) if !earlier.is_empty() => {
            earlier.push(last);
            decoder.message(id, MessageSpans::Many(&earlier))
        }
        (kind, Some(last)) => decoder.single(kind, last),
    }
}

fn compare(bytes: &[u8], a: EntryKey, b: EntryKey) -> Ordering {
    match (a, b) {
        (EntryKey::Signed(a), EntryKey::Signed(b)) => a.cmp(&b),
        (EntryKey::Unsigned(a), EntryKey::Unsigned(b)) => a.cmp(&b),
        (EntryKey::Bool(a), EntryKey::Bool(b)) => a.cmp(&b),
        (EntryKey::Text(a), EntryKey::Text(b)) => a.bytes(bytes).cmp(b.bytes(bytes)),
        // The keys of one map have one type.
        _ => Ordering::Equal,
    }
}
