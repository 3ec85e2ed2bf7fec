//! Topic names, positions in a log, and records, as types that hold only valid values.

#![deny(missing_docs)]

pub mod owned;
pub mod partitioner;
mod topic_name;

pub use topic_name::{InvalidTopicName, TopicName};

use crate::sync::memory_budget::{Reservation, Shortage};
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

/// A topic's id (KIP-516), which differs from that of an older topic of the same name. `None` if the broker has no ids.
pub type TopicId = Option<uuid::Uuid>;

/// The number of a partition in its topic, from 0.
pub type Partition = i32;

/// The offset of a record in its partition, from 0. A "next offset" is the offset to read next.
pub type Offset = i64;

/// A leader epoch (KIP-101): the number of the election whose leader wrote a record. The embedded log uses a random
/// number for each time that it was opened.
pub type Epoch = i64;

/// Stands for an unknown leader epoch.
pub const NO_EPOCH: Epoch = -1;

/// A position in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The offset to read next.
    pub next: Offset,
    /// The leader epoch of the record before `next` (KIP-320), or [`NO_EPOCH`]. A log that holds this offset under another
    /// epoch was truncated and has grown again.
    pub epoch: Epoch,
}

impl From<Offset> for Position {
    fn from(next: Offset) -> Self {
        Self { next, epoch: NO_EPOCH }
    }
}

/// The leader epochs of a range of offsets. Usually there is only one, which needs no heap memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EpochSpan {
    first: Option<(Offset, Epoch)>,
    later: Vec<(Offset, Epoch)>,
}

impl EpochSpan {
    /// No epochs.
    pub const NONE: Self = Self { first: None, later: Vec::new() };

    /// Adds the epoch of the records from offset `base` on. Calls must be in the order of offsets.
    pub fn begin(&mut self, base: Offset, epoch: Epoch) {
        match (self.first, self.later.last()) {
            (None, _) => self.first = Some((base, epoch)),
            (Some((_, last)), None) if last == epoch => {}
            (_, Some((_, last))) if *last == epoch => {}
            _ => self.later.push((base, epoch)),
        }
    }

    /// The epoch of the record before `next`, or `None` if that record is before the range.
    pub fn before(&self, next: Offset) -> Option<Epoch> {
        let (_, first) = self.first.filter(|(base, _)| *base < next)?;
        let later = self.later.partition_point(|(base, _)| *base < next);
        Some(later.checked_sub(1).and_then(|at| self.later.get(at)).map_or(first, |(_, epoch)| *epoch))
    }

    /// Heap memory in use, in bytes.
    pub fn memory(&self) -> usize {
        self.later.len() * size_of::<(Offset, Epoch)>()
    }
}

/// Milliseconds since the Unix epoch, or -1 if the broker stores no timestamps.
pub type Timestamp = i64;

/// The current time by the clock of this machine.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::try_from(since.as_millis()).unwrap_or(Timestamp::MAX)
}

/// One partition of one topic. Displayed as `topic/partition`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The name of the topic.
    pub topic: TopicName,
    /// The number of the partition in that topic.
    pub partition: Partition,
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// A record header (KIP-82). Kafka allows repeated names and null values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The name, which need not be unique in its record.
    pub name: String,
    /// The value; `None` is null.
    pub value: Option<Bytes>,
}

/// A record to produce.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewRecord {
    /// `None` chooses by the key, as the Java client does, or by the sticky partitioner (KIP-480) without a key.
    pub partition: Option<Partition>,
    /// `None` is null.
    pub key: Option<Bytes>,
    /// `None` is a tombstone.
    pub value: Option<Bytes>,
    /// In the order in which they are stored.
    pub headers: Vec<Header>,
    /// `None` uses the time of the write.
    pub timestamp: Option<Timestamp>,
}

impl NewRecord {
    /// The approximate size in queues and batches, in bytes.
    pub fn size(&self) -> usize {
        self.bytes() + 8 * self.headers.len() + 32
    }

    /// The total length of key, value and headers.
    pub fn bytes(&self) -> usize {
        let len = |b: &Option<Bytes>| b.as_ref().map_or(0, Bytes::len);
        let headers: usize = self.headers.iter().map(|h| h.name.len() + len(&h.value)).sum();
        len(&self.key) + len(&self.value) + headers
    }
}

/// A record borrowed from a [`Records`].
#[derive(Debug, Clone, Copy)]
pub struct RecordRef<'a> {
    /// The offset in the partition.
    pub offset: Offset,
    /// The producer's or the broker's timestamp, as the topic is configured.
    pub timestamp: Timestamp,
    /// `None` is null.
    pub key: Option<&'a [u8]>,
    /// `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    headers: &'a [HeaderSpan],
    data: &'a [u8],
}

impl<'a> RecordRef<'a> {
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
        ENVELOPE_BYTES + field_bound(self.key) + field_bound(self.value) + headers.sum::<usize>()
    }

    /// The total length of key, value and headers.
    fn bytes(&self) -> usize {
        let len = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len);
        let headers = self.headers().map(|(name, value)| name.len() + len(value));
        len(self.key) + len(self.value) + headers.sum::<usize>()
    }

    /// A bound that is never below [`encoded_bound`](Self::encoded_bound) and does not read the key and value.
    pub fn quick_bound(&self) -> usize {
        2 * ENVELOPE_BYTES + HEADER_BYTES * self.headers.len() + MAX_EXPANSION * self.bytes()
    }

    /// Whether the record has at least one header.
    pub fn has_headers(&self) -> bool {
        !self.headers.is_empty()
    }
}

/// Bytes of an envelope around the key and value.
const ENVELOPE_BYTES: usize = 512;
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

/// A range of the buffer of a [`Records`], or null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: u32,
    /// `u32::MAX` means null.
    len: u32,
}

impl Span {
    const NULL: Span = Span { start: 0, len: u32::MAX };

    fn of<'a>(&self, data: &'a [u8]) -> Option<&'a [u8]> {
        let start = self.start as usize;
        if *self == Self::NULL { None } else { data.get(start..start + self.len as usize) }
    }
}

#[derive(Debug, Clone, Copy)]
struct HeaderSpan {
    name: Span,
    value: Span,
}

#[derive(Debug, Clone, Copy)]
struct RecordSpan {
    offset: Offset,
    timestamp: Timestamp,
    key: Span,
    value: Span,
    first_header: u32,
    headers: u32,
}

/// Records of one partition in offset order, over one shared buffer, so that no record is copied. Offsets need not be
/// consecutive (compaction, transactions).
#[derive(Debug, Clone, Default)]
pub struct Records {
    data: Bytes,
    records: Vec<RecordSpan>,
    headers: Vec<HeaderSpan>,
    /// The reservation for `records` and `headers`; `data` carries another one.
    memory: Option<Arc<Reservation>>,
}

impl Records {
    /// Creates an empty list of records over the buffer `data`. [`push`](Self::push) adds each record as ranges of that
    /// buffer.
    pub fn over(data: Bytes) -> Self {
        Self { data, ..Self::default() }
    }

    /// Reserves capacity for `records` more records.
    pub fn reserve(&mut self, records: usize) {
        self.records.reserve(records);
    }

    /// Reserves capacity for `records` more records, charged to `memory`. Fails if `memory` cannot grow by that much.
    pub fn reserve_within(&mut self, records: usize, memory: &mut Reservation) -> Result<(), Shortage> {
        memory.grow(records.saturating_mul(size_of::<RecordSpan>()))?;
        self.records.reserve_exact(records);
        Ok(())
    }

    /// Ensures capacity for one more record and one more header, charged to `memory`.
    pub fn reserve_one(&mut self, memory: &mut Reservation) -> Result<(), Shortage> {
        memory.reserve_one(&mut self.records)?;
        memory.reserve_one(&mut self.headers)
    }

    /// Ties the reservation `memory` to the lifetime of these records.
    pub fn with_reservation(mut self, memory: Reservation) -> Self {
        self.memory = Some(Arc::new(memory));
        self
    }

    /// Adds a record whose key and value are ranges of the buffer given to [`over`](Self::over).
    ///
    /// A range outside the buffer reads as null, so parsers check their ranges first.
    pub fn push(&mut self, offset: Offset, timestamp: Timestamp, key: Option<SpanRef>, value: Option<SpanRef>) {
        let (key, value) = (span(key), span(value));
        let first_header = self.headers.len() as u32;
        self.records.push(RecordSpan { offset, timestamp, key, value, first_header, headers: 0 });
    }

    /// Adds a header to the last record. Does nothing without a record.
    pub fn push_header(&mut self, name: SpanRef, value: Option<SpanRef>) {
        if let Some(last) = self.records.last_mut() {
            self.headers.push(HeaderSpan { name: span(Some(name)), value: span(value) });
            last.headers += 1;
        }
    }

    /// The records in offset order.
    pub fn iter(&self) -> impl Iterator<Item = RecordRef<'_>> {
        self.records.iter().map(|r| RecordRef {
            offset: r.offset,
            timestamp: r.timestamp,
            key: r.key.of(&self.data),
            value: r.value.of(&self.data),
            headers: self
                .headers
                .get(r.first_header as usize..(r.first_header + r.headers) as usize)
                .unwrap_or_default(),
            data: &self.data,
        })
    }

    /// The number of records.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The memory in use, including the buffer, in bytes.
    pub fn memory(&self) -> usize {
        self.data.len() + self.records.len() * size_of::<RecordSpan>() + self.headers.len() * size_of::<HeaderSpan>()
    }
}

/// The range of a key, value, header name or header value in the buffer of a [`Records`].
pub type SpanRef = std::ops::Range<usize>;

fn span(part: Option<SpanRef>) -> Span {
    part.map_or(Span::NULL, |p| Span { start: p.start as u32, len: p.len() as u32 })
}
