//! What schemas say about the keys and values of a batch: their ids, their JSON, and why they cannot be decoded.

use super::{Span, SpanRef, span};
use crate::record::SchemaId;
use crate::sync::memory_budget::Reservation;
use bytes::Bytes;
use std::sync::Arc;

/// The schema of a key or value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartSchema<'a> {
    /// The id, if the record has one that is understood.
    pub id: Option<SchemaId>,
    /// Why the key or value has no JSON, in one line. `None`: it is shown as JSON.
    pub error: Option<&'a str>,
}

/// The schema of a key or value, and the range of its JSON or of its error in a text.
#[derive(Debug, Clone, Copy)]
pub struct DecodedPart {
    id: Option<SchemaId>,
    json: Span,
    error: Span,
    lasts: FailureDuration,
}

/// Whether a key or value that cannot be decoded may be decoded later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureDuration {
    /// The registry cannot be reached at the moment, or is not asked.
    Temporary,
    /// The next attempt probably fails too.
    Permanent,
}

impl DecodedPart {
    /// A key or value whose stored bytes are the JSON already.
    pub fn as_stored(id: SchemaId) -> Self {
        Self { id: Some(id), json: Span::NULL, error: Span::NULL, lasts: FailureDuration::Permanent }
    }

    /// A key or value with this JSON.
    pub fn json(id: SchemaId, json: SpanRef) -> Self {
        Self { json: span(Some(json)), ..Self::as_stored(id) }
    }

    /// A key or value that cannot be decoded, with the reason in one line.
    pub fn failed(id: Option<SchemaId>, error: SpanRef, lasts: FailureDuration) -> Self {
        Self { id, json: Span::NULL, error: span(Some(error)), lasts }
    }

    /// Copies the JSON and the error to the end of `text`.
    pub(super) fn copy(&self, from: &[u8], text: &mut Vec<u8>) -> Self {
        let json = append(text, self.json.of(from));
        Self { json, error: append(text, self.error.of(from)), ..*self }
    }
}

/// The schemas of a record's key and value. `None`: it names none.
#[derive(Debug, Clone, Copy, Default)]
pub struct DecodedParts {
    /// The schema of the key.
    pub key: Option<DecodedPart>,
    /// The schema of the value.
    pub value: Option<DecodedPart>,
}

/// The schemas of a record, with the text that they refer to.
#[derive(Debug, Clone, Copy)]
pub(super) struct DecodedRef<'a> {
    pub(super) parts: &'a DecodedParts,
    pub(super) text: &'a [u8],
}

impl<'a> DecodedRef<'a> {
    pub(super) fn key_json(&self) -> Option<&'a [u8]> {
        self.parts.key.and_then(|part| part.json.of(self.text))
    }

    pub(super) fn value_json(&self) -> Option<&'a [u8]> {
        self.parts.value.and_then(|part| part.json.of(self.text))
    }

    pub(super) fn schema(&self, part: Option<DecodedPart>) -> Option<PartSchema<'a>> {
        let part = part?;
        let error = part.error.of(self.text).map(|error| std::str::from_utf8(error).unwrap_or("cannot be decoded"));
        Some(PartSchema { id: part.id, error })
    }

    pub(super) fn may_decode_later(&self) -> bool {
        let mut parts = [self.parts.key, self.parts.value].into_iter().flatten();
        parts.any(|part| part.lasts == FailureDuration::Temporary)
    }

    /// The total length of the JSON and the errors.
    pub(super) fn bytes(&self) -> usize {
        let len = |span: Span| span.of(self.text).map_or(0, <[u8]>::len);
        [self.parts.key, self.parts.value].into_iter().flatten().map(|part| len(part.json) + len(part.error)).sum()
    }
}

/// The schemas of all records of a batch. Batches without any have none.
#[derive(Debug, Clone)]
pub struct DecodedRecords {
    text: Bytes,
    records: Arc<Vec<DecodedParts>>,
    _memory: Arc<Reservation>,
}

impl DecodedRecords {
    /// Creates the schemas of the records of a batch, in order, whose ranges are in `text`. `memory` pays for `records`.
    pub fn new(text: Bytes, records: Vec<DecodedParts>, memory: Reservation) -> Self {
        Self { text, records: Arc::new(records), _memory: Arc::new(memory) }
    }

    pub(super) fn get(&self, record: usize) -> Option<DecodedRef<'_>> {
        let parts = self.records.get(record).filter(|parts| parts.key.is_some() || parts.value.is_some())?;
        Some(DecodedRef { parts, text: &self.text })
    }

    pub(super) fn memory(&self) -> usize {
        self.text.len() + self.records.len() * size_of::<DecodedParts>()
    }
}

/// Appends bytes, and returns their span. The bytes of every record are few enough for the 32 bits of a span.
pub(super) fn append(data: &mut Vec<u8>, bytes: Option<&[u8]>) -> Span {
    let Some(bytes) = bytes else { return Span::NULL };
    let span = span(Some(data.len()..data.len() + bytes.len()));
    data.extend_from_slice(bytes);
    span
}
