//! A record that owns its bytes, so that it can be used after its batch has been dropped.

use super::{HeaderSpan, Offset, RecordRef, Span, Timestamp};

/// A copy of one record.
#[derive(Debug, Clone)]
pub struct OwnedRecord {
    offset: Offset,
    timestamp: Timestamp,
    key: Span,
    value: Span,
    headers: Box<[HeaderSpan]>,
    /// Key, value and headers, one after the other.
    data: Box<[u8]>,
}

impl OwnedRecord {
    /// Copies a record.
    pub fn copy(record: &RecordRef<'_>) -> Self {
        let mut data = Vec::with_capacity(record.bytes());
        let key = append(&mut data, record.key);
        let value = append(&mut data, record.value);
        let header =
            |(name, value)| HeaderSpan { name: append(&mut data, Some(name)), value: append(&mut data, value) };
        let headers = record.headers().map(header).collect();
        let RecordRef { offset, timestamp, .. } = *record;
        Self { offset, timestamp, key, value, headers, data: data.into() }
    }

    /// Returns the memory that a copy of `record` takes, in bytes.
    pub fn memory_for(record: &RecordRef<'_>) -> usize {
        size_of::<Self>() + record.bytes() + size_of_val(record.headers)
    }

    /// Returns the record.
    pub fn as_ref(&self) -> RecordRef<'_> {
        RecordRef {
            offset: self.offset,
            timestamp: self.timestamp,
            key: self.key.of(&self.data),
            value: self.value.of(&self.data),
            headers: &self.headers,
            data: &self.data,
        }
    }
}

/// Appends bytes, and returns their span. The bytes of every record are few enough for the 32 bits of a span.
fn append(data: &mut Vec<u8>, bytes: Option<&[u8]>) -> Span {
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
