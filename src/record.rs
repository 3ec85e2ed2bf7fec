//! Topic names, positions in a log, and records, as types that hold only valid values.

#![deny(missing_docs)]

mod decoded;
pub mod owned;
pub mod partitioner;
mod record_ref;
mod schema_id;
mod topic_name;

pub use decoded::{DecodedPart, DecodedParts, DecodedRecords, FailureDuration, PartSchema};
pub use record_ref::RecordRef;
pub use schema_id::SchemaId;
pub use topic_name::{InvalidTopicName, TopicName};

use record_ref::StoredSpans;

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
    /// `None`: no record names a schema.
    decoded: Option<DecodedRecords>,
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

    /// Adds what schemas say about these records.
    pub fn with_decoded(mut self, decoded: DecodedRecords) -> Self {
        self.decoded = Some(decoded);
        self
    }

    /// Drops the records with offsets before `from`.
    pub fn drop_before(&mut self, from: Offset) {
        let earlier = self.records.partition_point(|record| record.offset < from);
        self.records.drain(..earlier);
    }

    /// Drops all records but the first `records`.
    pub fn truncate(&mut self, records: usize) {
        self.records.truncate(records);
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
        self.records.iter().enumerate().map(|(number, r)| {
            let headers = self.headers.get(r.first_header as usize..(r.first_header + r.headers) as usize);
            let stored = StoredSpans { key: r.key, value: r.value };
            let decoded = self.decoded.as_ref().and_then(|decoded| decoded.get(number));
            RecordRef::new((r.offset, r.timestamp), stored, headers.unwrap_or_default(), &self.data, decoded)
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
        let decoded = self.decoded.as_ref().map_or(0, DecodedRecords::memory);
        let spans = self.records.len() * size_of::<RecordSpan>() + self.headers.len() * size_of::<HeaderSpan>();
        self.data.len() + spans + decoded
    }
}

/// The range of a key, value, header name or header value in the buffer of a [`Records`].
pub type SpanRef = std::ops::Range<usize>;

fn span(part: Option<SpanRef>) -> Span {
    part.map_or(Span::NULL, |p| Span { start: p.start as u32, len: p.len() as u32 })
}
