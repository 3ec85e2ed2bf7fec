//! One record of a batch, with its key and value as readers see them and as the log has them.

use super::decoded::{DecodedRef, PartSchema};
use super::{HeaderSpan, Offset, Span, Timestamp};

/// A record borrowed from a [`Records`].
#[derive(Debug, Clone, Copy)]
pub struct RecordRef<'a> {
    /// The offset in the partition.
    pub offset: Offset,
    /// The producer's or the broker's timestamp, as the topic is configured.
    pub timestamp: Timestamp,
    /// `None` is null. The JSON, if the key has been decoded by its schema.
    pub key: Option<&'a [u8]>,
    /// `None` is a tombstone. The JSON, if the value has been decoded by its schema.
    pub value: Option<&'a [u8]>,
    stored: StoredSpans,
    pub(super) decoded: Option<DecodedRef<'a>>,
    pub(super) headers: &'a [HeaderSpan],
    data: &'a [u8],
}

/// The key and the value in the log.
#[derive(Debug, Clone, Copy)]
pub(super) struct StoredSpans {
    pub(super) key: Span,
    pub(super) value: Span,
}

impl<'a> RecordRef<'a> {
    pub(super) fn new(
        (offset, timestamp): (Offset, Timestamp),
        stored: StoredSpans,
        headers: &'a [HeaderSpan],
        data: &'a [u8],
        decoded: Option<DecodedRef<'a>>,
    ) -> Self {
        let (mut key, mut value) = (stored.key.of(data), stored.value.of(data));
        if let Some(decoded) = &decoded {
            key = decoded.key_json().or(key);
            value = decoded.value_json().or(value);
        }
        Self { offset, timestamp, key, value, stored, decoded, headers, data }
    }

    /// The bytes of the key in the log. By these, Kafka compares keys.
    pub fn stored_key(&self) -> Option<&'a [u8]> {
        self.stored.key.of(self.data)
    }

    /// The bytes of the value in the log.
    pub fn stored_value(&self) -> Option<&'a [u8]> {
        self.stored.value.of(self.data)
    }

    /// The schema of the key, if a registry is configured and the record names one.
    pub fn key_schema(&self) -> Option<PartSchema<'a>> {
        self.decoded.and_then(|decoded| decoded.schema(decoded.parts.key))
    }

    /// The schema of the value, if a registry is configured and the record names one.
    pub fn value_schema(&self) -> Option<PartSchema<'a>> {
        self.decoded.and_then(|decoded| decoded.schema(decoded.parts.value))
    }

    /// The text of a key that a schema describes and whose JSON is a string.
    pub fn text_of_key(&self) -> Option<String> {
        let json = self.key.filter(|json| self.key_schema().is_some() && json.starts_with(b"\""))?;
        serde_json::from_slice(json).ok()
    }

    /// Why the key could not be decoded by its schema. `key` then has the stored bytes.
    pub fn key_error(&self) -> Option<&'a str> {
        self.key_schema().and_then(|schema| schema.error)
    }

    /// Why the value could not be decoded by its schema. `value` then has the stored bytes.
    pub fn value_error(&self) -> Option<&'a str> {
        self.value_schema().and_then(|schema| schema.error)
    }

    /// The headers as name and value, in stored order, including repeated names. A name need not be UTF-8.
    pub fn headers(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        let data = self.data;
        self.headers.iter().map(move |h| (h.name.of(data).unwrap_or_default(), h.value.of(data)))
    }

    /// Returns the value of the last header with this name, as Kafka's `Headers.lastHeader` does.
    pub fn last_header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers().filter(|(own, _)| *own == name.as_bytes()).last().and_then(|(_, value)| value)
    }

    /// An upper bound on the bytes of the record in any output format, without the id of a stream. In JSON a control
    /// character takes six bytes (RFC 8259, section 7), binary data becomes base64, and in SSE a line end starts another
    /// `data:` line.
    pub fn encoded_bound(&self) -> usize {
        let headers = self.headers().map(|(name, value)| HEADER_BYTES + field_bound(Some(name)) + field_bound(value));
        ENVELOPE_BYTES + self.parts_bound() + headers.sum::<usize>()
    }

    /// The bound for the key and value. Some formats show the JSON, others the stored bytes.
    fn parts_bound(&self) -> usize {
        let shown = [field_bound(self.key), field_bound(self.value)];
        if self.decoded.is_none() {
            return shown.into_iter().sum();
        }
        let stored = [field_bound(self.stored_key()), field_bound(self.stored_value())];
        let errors = [self.key_error(), self.value_error()].into_iter().flatten().map(str::len).sum::<usize>();
        let parts = shown.into_iter().zip(stored).map(|(shown, stored)| shown.max(stored));
        2 * SCHEMA_BYTES + MAX_EXPANSION * errors + parts.sum::<usize>()
    }

    /// The total length of the stored key, value and headers.
    pub(super) fn stored_bytes(&self) -> usize {
        let len = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len);
        let headers = self.headers().map(|(name, value)| name.len() + len(value));
        len(self.stored_key()) + len(self.stored_value()) + headers.sum::<usize>()
    }

    /// A bound that is never below [`encoded_bound`](Self::encoded_bound) and does not read the key and value.
    pub fn quick_bound(&self) -> usize {
        let decoded = self.decoded.map_or(0, |decoded| 2 * SCHEMA_BYTES + MAX_EXPANSION * decoded.bytes());
        2 * ENVELOPE_BYTES + HEADER_BYTES * self.headers.len() + MAX_EXPANSION * self.stored_bytes() + decoded
    }

    /// Whether the record has at least one header.
    pub fn has_headers(&self) -> bool {
        !self.headers.is_empty()
    }
}

/// Bytes of an envelope around the key and value.
const ENVELOPE_BYTES: usize = 512;
/// Bytes of an envelope for the schema id of a key or value, and around its error.
const SCHEMA_BYTES: usize = 96;
/// Bytes of an envelope around each header.
const HEADER_BYTES: usize = 96;
/// The largest number of output bytes for one input byte.
const MAX_EXPANSION: usize = 7;

/// The bound for one key, value, header name or header value.
fn field_bound(field: Option<&[u8]>) -> usize {
    /// Up to this length the worst case is assumed, which is cheaper than counting.
    const SMALL: usize = 1 << 10;
    let bytes = field.unwrap_or_default();
    if bytes.len() <= SMALL {
        return MAX_EXPANSION * bytes.len();
    }
    let controls = bytes.iter().filter(|byte| **byte < 0x20).count();
    let escaped = bytes.iter().filter(|byte| matches!(byte, b'"' | b'\\')).count();
    (bytes.len() + (MAX_EXPANSION - 1) * controls + escaped).max(bytes.len().div_ceil(3) * 4)
}
