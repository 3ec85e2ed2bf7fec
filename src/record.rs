//! Topic names, places in a log, and records: values that cannot be wrong.

pub mod partitioner;

use crate::sync::memory_budget::{Reservation, Shortage};
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

/// A topic's name as Kafka allows it: 1 to 249 of `A-Z a-z 0-9 . _ -`, not `.` or `..`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicName(Arc<str>);

/// What is wrong with a topic name, in words for the person who typed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadTopicName(String);

impl TopicName {
    pub const MAX_LEN: usize = 249;

    pub fn new(name: &str) -> Result<Self, BadTopicName> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let complaint = if name.is_empty() {
            "a topic name must not be empty".to_owned()
        } else if name == "." || name == ".." {
            format!("{name:?} cannot be a topic name")
        } else if name.len() > Self::MAX_LEN {
            format!("a topic name has at most {} characters; this one has {}", Self::MAX_LEN, name.len())
        } else if let Some(bad) = name.chars().find(|c| !u8::try_from(*c).is_ok_and(allowed)) {
            format!("topic name {name:?} contains {bad:?}; allowed are A-Z a-z 0-9 . _ -")
        } else {
            return Ok(Self(name.into()));
        };
        Err(BadTopicName(complaint))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for BadTopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadTopicName {}

/// A partition's number within its topic, from 0.
pub type Partition = i32;

/// A record's place in its partition, from 0. "Next offset" means the one to read next.
pub type Offset = i64;

/// A leader epoch (KIP-101): the number of the election whose leader wrote a record. The embedded log has its own kind.
pub type Epoch = i64;

/// The leader epoch is unknown.
pub const NO_EPOCH: Epoch = -1;

/// A place in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The offset to read next.
    pub next: Offset,
    /// The leader epoch of the record before `next` (KIP-320): a log that holds the offset and not this epoch was
    /// truncated and has grown again. [`NO_EPOCH`]: nothing is claimed.
    pub epoch: Epoch,
}

impl From<Offset> for Position {
    fn from(next: Offset) -> Self {
        Self { next, epoch: NO_EPOCH }
    }
}

/// The leader epochs in a stretch of a log: mostly one, which takes no memory of the heap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EpochSpan {
    first: Option<(Offset, Epoch)>,
    later: Vec<(Offset, Epoch)>,
}

impl EpochSpan {
    pub const NONE: Self = Self { first: None, later: Vec::new() };

    /// From the offset `base` on records are of this epoch. To be called in the order of offsets.
    pub fn begin(&mut self, base: Offset, epoch: Epoch) {
        match (self.first, self.later.last()) {
            (None, _) => self.first = Some((base, epoch)),
            (Some((_, last)), None) if last == epoch => {}
            (_, Some((_, last))) if *last == epoch => {}
            _ => self.later.push((base, epoch)),
        }
    }

    /// The epoch of the record before `next`. `None`: that record is before the stretch.
    pub fn before(&self, next: Offset) -> Option<Epoch> {
        let (_, first) = self.first.filter(|(base, _)| *base < next)?;
        let later = self.later.partition_point(|(base, _)| *base < next);
        Some(later.checked_sub(1).and_then(|at| self.later.get(at)).map_or(first, |(_, epoch)| *epoch))
    }

    /// Bytes that it keeps in memory beside itself.
    pub fn memory(&self) -> usize {
        self.later.len() * size_of::<(Offset, Epoch)>()
    }
}

/// Milliseconds since the epoch; -1 where a broker keeps none.
pub type Timestamp = i64;

/// Now, by this machine's clock.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::try_from(since.as_millis()).unwrap_or(Timestamp::MAX)
}

/// One partition of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    pub topic: TopicName,
    pub partition: Partition,
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// A record header. Kafka allows repeated names and null values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub name: String,
    pub value: Option<Bytes>,
}

/// A record on its way to a topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewRecord {
    /// `None`: chosen by the key as the Java client does, or sticky where there is no key.
    pub partition: Option<Partition>,
    pub key: Option<Bytes>,
    /// `None` is a tombstone.
    pub value: Option<Bytes>,
    pub headers: Vec<Header>,
    /// `None`: now.
    pub timestamp: Option<Timestamp>,
}

impl NewRecord {
    /// About how many bytes the record takes in queues and batches.
    pub fn size(&self) -> usize {
        self.bytes() + 8 * self.headers.len() + 32
    }

    /// Of its key, value and headers.
    pub fn bytes(&self) -> usize {
        let len = |b: &Option<Bytes>| b.as_ref().map_or(0, Bytes::len);
        let headers: usize = self.headers.iter().map(|h| h.name.len() + len(&h.value)).sum();
        len(&self.key) + len(&self.value) + headers
    }
}

/// One record of a [`Records`], borrowed.
#[derive(Debug, Clone, Copy)]
pub struct RecordRef<'a> {
    pub offset: Offset,
    pub timestamp: Timestamp,
    pub key: Option<&'a [u8]>,
    /// `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    headers: &'a [HeaderSpan],
    data: &'a [u8],
}

impl<'a> RecordRef<'a> {
    /// Headers in the record's order, repeats included. A name that is not UTF-8 comes as its bytes.
    pub fn headers(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        let data = self.data;
        self.headers.iter().map(move |h| (h.name.of(data).unwrap_or_default(), h.value.of(data)))
    }

    /// At least as many bytes as the record takes in any format, without a stream's id. In JSON a control character is
    /// six bytes (RFC 8259, 7), what is not text becomes base64, and a line end begins a new `data:` line.
    pub fn encoded_bound(&self) -> usize {
        let headers = self.headers().map(|(name, value)| HEADER_MEMBERS + part_bound(Some(name)) + part_bound(value));
        MEMBERS + part_bound(self.key) + part_bound(self.value) + headers.sum::<usize>()
    }

    /// Of its key, value and headers.
    fn bytes(&self) -> usize {
        let len = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len);
        let headers = self.headers().map(|(name, value)| name.len() + len(value));
        len(self.key) + len(self.value) + headers.sum::<usize>()
    }

    /// Not less than any format's bound, and known without reading the record.
    pub fn quick_bound(&self) -> usize {
        2 * MEMBERS + HEADER_MEMBERS * self.headers.len() + MOST * self.bytes()
    }

    pub fn has_headers(&self) -> bool {
        !self.headers.is_empty()
    }
}

/// Bytes of an envelope beside the record's own, and of each header.
const MEMBERS: usize = 512;
const HEADER_MEMBERS: usize = 96;
/// What one byte becomes at most.
const MOST: usize = 7;

fn part_bound(part: Option<&[u8]>) -> usize {
    /// Not worth counting.
    const SMALL: usize = 1 << 10;
    let bytes = part.unwrap_or_default();
    if bytes.len() <= SMALL {
        return MOST * bytes.len();
    }
    let controls = bytes.iter().filter(|byte| **byte < 0x20).count();
    let escaped = bytes.iter().filter(|byte| matches!(byte, b'"' | b'\\')).count();
    (bytes.len() + (MOST - 1) * controls + escaped).max(bytes.len().div_ceil(3) * 4)
}

/// A stretch of [`Records`]' data, or null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: u32,
    /// `u32::MAX`: null.
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

/// Records of one partition in the order of their offsets, all in one shared buffer: nothing is
/// copied per record. Offsets may have holes (compaction, transactions).
#[derive(Debug, Clone, Default)]
pub struct Records {
    data: Bytes,
    records: Vec<RecordSpan>,
    headers: Vec<HeaderSpan>,
    /// Of `records` and `headers`; `data` has its own.
    memory: Option<Arc<Reservation>>,
}

impl Records {
    /// Records over `data`; [`push`](Self::push) adds each by slices of that very buffer.
    pub fn over(data: Bytes) -> Self {
        Self { data, ..Self::default() }
    }

    pub fn reserve(&mut self, records: usize) {
        self.records.reserve(records);
    }

    /// Room for so many records, which `memory` pays for.
    pub fn reserve_within(&mut self, records: usize, memory: &mut Reservation) -> Result<(), Shortage> {
        memory.grow(records.saturating_mul(size_of::<RecordSpan>()))?;
        self.records.reserve_exact(records);
        Ok(())
    }

    /// Room for one more record and one more header.
    pub fn make_room(&mut self, memory: &mut Reservation) -> Result<(), Shortage> {
        memory.make_room(&mut self.records)?;
        memory.make_room(&mut self.headers)
    }

    /// Keeps what was reserved for the records as long as they are kept.
    pub fn paid_by(mut self, memory: Reservation) -> Self {
        self.memory = Some(Arc::new(memory));
        self
    }

    /// Adds a record whose parts are ranges of the buffer given to [`over`](Self::over).
    ///
    /// A range outside the buffer reads as null; parsers check their ranges before.
    pub fn push(&mut self, offset: Offset, timestamp: Timestamp, key: Option<SpanRef>, value: Option<SpanRef>) {
        let (key, value) = (span(key), span(value));
        let first_header = self.headers.len() as u32;
        self.records.push(RecordSpan { offset, timestamp, key, value, first_header, headers: 0 });
    }

    /// Adds a header to the record pushed last.
    pub fn push_header(&mut self, name: SpanRef, value: Option<SpanRef>) {
        if let Some(last) = self.records.last_mut() {
            self.headers.push(HeaderSpan { name: span(Some(name)), value: span(value) });
            last.headers += 1;
        }
    }

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

    pub fn len(&self) -> usize {
        self.records.len()
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Bytes that these records keep in memory.
    pub fn memory(&self) -> usize {
        self.data.len() + self.records.len() * size_of::<RecordSpan>() + self.headers.len() * size_of::<HeaderSpan>()
    }
}

/// Where a key, value, header name or header value lies in the buffer of a [`Records`].
pub type SpanRef = std::ops::Range<usize>;

fn span(part: Option<SpanRef>) -> Span {
    part.map_or(Span::NULL, |p| Span { start: p.start as u32, len: p.len() as u32 })
}
