//! A record that owns its bytes, so that it can be used after its batch has been dropped.

use super::decoded::{DecodedParts, DecodedRef};
use super::{HeaderSpan, Offset, RecordRef, Span, StoredSpans, Timestamp};

/// A copy of one record.
#[derive(Debug, Clone)]
pub struct OwnedRecord {
    offset: Offset,
    timestamp: Timestamp,
    stored: StoredSpans,
    headers: Box<[HeaderSpan]>,
    /// Key, value and headers, one after the other.
    data: Box<[u8]>,
    /// `None`: the record names no schema.
    decoded: Option<Box<OwnedDecoded>>,
}

/// A copy of what schemas say about one record.
#[derive(Debug, Clone)]
struct OwnedDecoded {
    parts: DecodedParts,
    text: Box<[u8]>,
}

impl OwnedRecord {
    /// Copies a record.
    pub fn copy(record: &RecordRef<'_>) -> Self {
        let mut data = Vec::with_capacity(record.stored_bytes());
        let key = append(&mut data, record.stored_key());
        let value = append(&mut data, record.stored_value());
        let header =
            |(name, value)| HeaderSpan { name: append(&mut data, Some(name)), value: append(&mut data, value) };
        let headers = record.headers().map(header).collect();
        let RecordRef { offset, timestamp, .. } = *record;
        let decoded = record.decoded.map(|decoded| Box::new(OwnedDecoded::copy(decoded)));
        Self { offset, timestamp, stored: StoredSpans { key, value }, headers, data: data.into(), decoded }
    }

    /// Returns the memory that a copy of `record` takes, in bytes.
    pub fn memory_for(record: &RecordRef<'_>) -> usize {
        let decoded = record.decoded.map_or(0, |decoded| size_of::<OwnedDecoded>() + decoded.bytes());
        size_of::<Self>() + record.stored_bytes() + size_of_val(record.headers) + decoded
    }

    /// Returns the record.
    pub fn as_ref(&self) -> RecordRef<'_> {
        let decoded = self.decoded.as_ref().map(|decoded| DecodedRef { parts: &decoded.parts, text: &decoded.text });
        RecordRef::new((self.offset, self.timestamp), self.stored, &self.headers, &self.data, decoded)
    }
}

impl OwnedDecoded {
    fn copy(decoded: DecodedRef<'_>) -> Self {
        let mut text = Vec::with_capacity(decoded.bytes());
        let key = decoded.parts.key.map(|part| part.copy(decoded.text, &mut text));
        let value = decoded.parts.value.map(|part| part.copy(decoded.text, &mut text));
        Self { parts: DecodedParts { key, value }, text: text.into() }
    }
}

/// Appends bytes, and returns their span. The bytes of every record are few enough for the 32 bits of a span.
pub(super) fn append(data: &mut Vec<u8>, bytes: Option<&[u8]>) -> Span {
    let Some(bytes) = bytes else { return Span::NULL };
    let span = super::span(Some(data.len()..data.len() + bytes.len()));
    data.extend_from_slice(bytes);
    span
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::record::Records;

    #[test]
    fn a_copy_equals_its_record() {
        let mut records = Records::over((&b"keyvaluenamecontent"[..]).into());
        records.push(7, 8, Some(0..3), Some(3..8));
        records.push_header(8..12, Some(12..19));
        records.push_header(8..12, None);
        records.push(9, -1, None, Some(3..3));
        records.push(10, 0, Some(0..0), None);
        let parts = |record: RecordRef<'_>| {
            let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
            let headers: Vec<_> = record.headers().map(|(name, value)| (text(Some(name)), text(value))).collect();
            (record.offset, record.timestamp, text(record.key), text(record.value), headers)
        };
        let copies: Vec<_> = records.iter().map(|record| OwnedRecord::copy(&record)).collect();
        assert!(records.iter().zip(&copies).all(|(record, copy)| parts(record) == parts(copy.as_ref())), "{copies:?}");
        let memory = records.iter().map(|record| OwnedRecord::memory_for(&record)).collect::<Vec<_>>();
        assert_eq!(memory[0] - memory[2], 8 + 4 + 7 + 4 + 2 * size_of::<HeaderSpan>());
    }
}
