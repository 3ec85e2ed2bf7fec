//! A place in every partition of every topic of a stream, silent partitions too; written as an SSE
//! id and read back.
//!
//! The text holds only `A-Z a-z 0-9 - _` (no CORS preflight, nothing to escape in a URL), in digits
//! of base 64:
//!
//! ```text
//! head     1 digit   version * 16 + offset width
//! names    3 digits  hash of the topics' names and the selected partitions
//! a topic: id 4 digits (hash of its id, 0: unknown), partitions (5 bits a digit, 32: more),
//!          the next offset of each partition, `offset width` digits each
//! check    4 digits  CRC-32C of all before it
//! ```
//!
//! 12 partitions with offsets below 10^9 take at most 128 bytes, whether of one topic or of twelve.

mod digits;

use crate::broker::TopicId;
use crate::record::{Offset, Partition, TopicName};
use digits::{Digits, digits_of, push_check, push_count, push_number, write_digits};
use std::fmt;

const VERSION: u64 = 0;
const HEAD: usize = 1;
const NAMES: usize = 3;
const ID: usize = 4;
const CHECK: usize = 4;
/// Digits of the largest offset, 2^63 - 1.
const MAX_WIDTH: usize = 11;

/// Which partitions of its topics a stream reads.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Selection {
    /// Those added later too.
    #[default]
    All,
    /// By number, without repeats.
    Only(Vec<Partition>),
}

impl Selection {
    /// Sorts, and drops repeats; none means all.
    pub fn of(mut partitions: Vec<Partition>) -> Self {
        partitions.sort_unstable();
        partitions.dedup();
        if partitions.is_empty() { Self::All } else { Self::Only(partitions) }
    }

    pub fn contains(&self, partition: Partition) -> bool {
        match self {
            Self::All => true,
            Self::Only(partitions) => partitions.binary_search(&partition).is_ok(),
        }
    }
}

/// A short stand-in for a topic's id (KIP-516). 0: the broker has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IdTag(u32);

impl IdTag {
    pub fn of(id: TopicId) -> Self {
        Self(id.map_or(0, |id| (crc32c::crc32c(id.as_bytes()) & 0xff_ffff).max(1)))
    }

    /// Whether both are known and not of the same topic.
    pub fn differs(self, other: Self) -> bool {
        self.0 != 0 && other.0 != 0 && self.0 != other.0
    }

    pub fn is_known(self) -> bool {
        self.0 != 0
    }
}

/// The places in one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicCursor {
    pub name: TopicName,
    pub id: IdTag,
    /// The next offset of each partition: of 0, 1, 2, … or of those selected, in order. Empty while
    /// the topic does not exist.
    next: Vec<Offset>,
}

/// The next offset of every partition of every topic of a stream.
#[derive(Clone)]
pub struct Cursor {
    selection: Selection,
    /// By name.
    topics: Vec<TopicCursor>,
    text: Text,
}

/// The cursor as written, kept in step with it.
#[derive(Clone, Default)]
struct Text {
    digits: String,
    width: usize,
    /// Where each topic's offsets begin.
    starts: Vec<usize>,
    stale: Stale,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Stale {
    No,
    Check,
    #[default]
    All,
}

/// Why a text is not a cursor of this stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadCursor {
    /// Not one of ours, damaged, or cut off.
    Damaged,
    /// Made by a later version.
    Version,
    /// Of other topics or partitions.
    OtherStream,
    /// Places that leave out a partition before one that they name, or name one twice.
    Holes,
}

impl fmt::Display for BadCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Damaged => "the cursor is damaged or cut off; give the id of an event exactly as it was sent",
            Self::Version => "the cursor was made by a later version of Curlew",
            Self::OtherStream => {
                "the cursor belongs to a stream of other topics or partitions; \
                 a cursor is for the topics and partitions that it was made with"
            }
            Self::Holes => {
                "the places leave a partition out, or name one twice; a topic's places are of its partitions from the first on"
            }
        })
    }
}

impl std::error::Error for BadCursor {}

impl PartialEq for Cursor {
    fn eq(&self, other: &Self) -> bool {
        self.selection == other.selection && self.topics == other.topics
    }
}

impl Eq for Cursor {}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cursor").field("selection", &self.selection).field("topics", &self.topics).finish()
    }
}

impl Cursor {
    /// A cursor whose topics have no known partition yet. Topics are sorted and repeats dropped.
    pub fn new(mut topics: Vec<TopicName>, selection: Selection) -> Self {
        topics.sort_unstable();
        topics.dedup();
        let unknown = |name| TopicCursor { name, id: IdTag::default(), next: Vec::new() };
        Self { selection, topics: topics.into_iter().map(unknown).collect(), text: Text::default() }
    }

    /// A cursor at known places. What is not named of a topic's last partitions is read from its beginning.
    pub fn at(
        mut places: Vec<(TopicName, Partition, Offset)>,
        topics: Vec<TopicName>,
        selection: Selection,
    ) -> Result<Self, BadCursor> {
        let mut cursor = Self::new(topics, selection);
        places.sort_unstable();
        for (name, partition, next) in places {
            let topic = cursor.topic_index(&name).ok_or(BadCursor::OtherStream)?;
            match cursor.next_partition(topic) {
                Some(expected) if expected == partition => cursor.add_place(topic, next),
                _ => return Err(BadCursor::Holes),
            }
        }
        Ok(cursor)
    }

    pub fn selection(&self) -> &Selection {
        &self.selection
    }

    /// By name.
    pub fn topics(&self) -> &[TopicCursor] {
        &self.topics
    }

    /// The place of `name` in [`topics`](Self::topics).
    pub fn topic_index(&self, name: &TopicName) -> Option<usize> {
        self.topics.binary_search_by(|t| t.name.cmp(name)).ok()
    }

    /// Sets a topic's id, for instance when the topic appears or is made anew.
    pub fn set_id(&mut self, topic: usize, id: IdTag) {
        if self.topics[topic].id != id {
            self.topics[topic].id = id;
            self.text.stale = Stale::All;
        }
    }

    /// Partitions of this topic whose next offset is known, with it.
    pub fn places(&self, topic: usize) -> impl Iterator<Item = (Partition, Offset)> + '_ {
        self.topics[topic].next.iter().enumerate().map(|(slot, next)| (self.partition_at(slot), *next))
    }

    /// Records between this place and `ahead`, another one of the same topics, in the partition where that is most.
    pub fn behind(&self, ahead: &Self) -> u64 {
        let topics = ahead.topics.iter().zip(&self.topics);
        let lags = topics.flat_map(|(ahead, own)| ahead.next.iter().zip(&own.next).map(|(ahead, own)| ahead - own));
        lags.max().and_then(|lag| u64::try_from(lag).ok()).unwrap_or(0)
    }

    /// The next offset of a partition; `None` where the stream does not read it (yet).
    pub fn next(&self, topic: usize, partition: Partition) -> Option<Offset> {
        self.topics[topic].next.get(self.slot(partition)?).copied()
    }

    /// The partition whose place would be added next, or `None` where the selection is complete.
    pub fn next_partition(&self, topic: usize) -> Option<Partition> {
        let slot = self.topics[topic].next.len();
        match &self.selection {
            Selection::All => Some(slot as Partition),
            Selection::Only(partitions) => partitions.get(slot).copied(),
        }
    }

    /// Adds the place of [`next_partition`](Self::next_partition).
    pub fn add_place(&mut self, topic: usize, next: Offset) {
        self.topics[topic].next.push(next);
        self.text.stale = Stale::All;
    }

    /// Forgets a topic's places (it was made anew, or is gone).
    pub fn clear(&mut self, topic: usize) {
        self.topics[topic].next.clear();
        self.text.stale = Stale::All;
    }

    /// Moves a known place; a place that is not known is left alone.
    pub fn set(&mut self, topic: usize, partition: Partition, next: Offset) {
        let Some(slot) = self.slot(partition) else { return };
        let Some(place) = self.topics[topic].next.get_mut(slot) else { return };
        if *place == next {
            return;
        }
        *place = next;
        if self.text.stale == Stale::All {
            return;
        }
        if digits_of(next) > self.text.width {
            self.text.stale = Stale::All;
            return;
        }
        let start = self.text.starts[topic] + slot * self.text.width;
        let mut digits = [0; MAX_WIDTH];
        let width = self.text.width;
        write_digits(&mut digits[..width], next as u64);
        self.text.digits.replace_range(start..start + width, std::str::from_utf8(&digits[..width]).unwrap_or_default());
        self.text.stale = Stale::Check;
    }

    /// The cursor as an SSE id.
    pub fn text(&mut self) -> &str {
        match self.text.stale {
            Stale::No => {}
            Stale::Check => {
                let body = self.text.digits.len() - CHECK;
                self.text.digits.truncate(body);
                push_check(&mut self.text.digits);
            }
            Stale::All => self.text = self.write(),
        }
        self.text.stale = Stale::No;
        &self.text.digits
    }

    /// Reads a cursor for a stream of these topics and partitions.
    pub fn read(text: &str, topics: Vec<TopicName>, selection: Selection) -> Result<Self, BadCursor> {
        let mut cursor = Self::new(topics, selection);
        let body = text.len().checked_sub(CHECK).ok_or(BadCursor::Damaged)?;
        let (body, check) = text.split_at_checked(body).ok_or(BadCursor::Damaged)?;
        let mut checked = body.to_owned();
        push_check(&mut checked);
        if checked[body.len()..] != *check {
            return Err(BadCursor::Damaged);
        }
        let mut digits = Digits::of(body);
        let head = digits.number(HEAD)?;
        if head / 16 != VERSION {
            return Err(BadCursor::Version);
        }
        let width = head as usize % 16;
        if !(1..=MAX_WIDTH).contains(&width) {
            return Err(BadCursor::Damaged);
        }
        if digits.number(NAMES)? != cursor.names_hash() {
            return Err(BadCursor::OtherStream);
        }
        for topic in &mut cursor.topics {
            topic.id = IdTag(digits.number(ID)? as u32);
            let partitions = digits.count()?;
            for _ in 0..partitions {
                let next = Offset::try_from(digits.number(width)?).map_err(|_| BadCursor::Damaged)?;
                topic.next.push(next);
            }
            if let Selection::Only(selected) = &cursor.selection
                && partitions != selected.len()
                && partitions != 0
            {
                return Err(BadCursor::OtherStream);
            }
        }
        if digits.is_empty() { Ok(cursor) } else { Err(BadCursor::Damaged) }
    }

    /// Whether `text` has the shape of a cursor, whatever its stream: right alphabet and check.
    pub fn looks_like(text: &str) -> bool {
        !matches!(Self::read(text, Vec::new(), Selection::All), Err(BadCursor::Damaged))
    }

    fn slot(&self, partition: Partition) -> Option<usize> {
        match &self.selection {
            Selection::All => usize::try_from(partition).ok(),
            Selection::Only(partitions) => partitions.binary_search(&partition).ok(),
        }
    }

    fn partition_at(&self, slot: usize) -> Partition {
        match &self.selection {
            Selection::All => slot as Partition,
            Selection::Only(partitions) => partitions[slot],
        }
    }

    fn write(&self) -> Text {
        let width = self.topics.iter().flat_map(|t| &t.next).map(|next| digits_of(*next)).max().unwrap_or(1);
        let mut text = Text { width, ..Text::default() };
        let out = &mut text.digits;
        push_number(out, VERSION * 16 + width as u64, HEAD);
        push_number(out, self.names_hash(), NAMES);
        for topic in &self.topics {
            push_number(out, topic.id.0.into(), ID);
            push_count(out, topic.next.len());
            text.starts.push(out.len());
            for next in &topic.next {
                push_number(out, *next as u64, width);
            }
        }
        push_check(out);
        text
    }

    fn names_hash(&self) -> u64 {
        let mut hash = 0;
        for topic in &self.topics {
            hash = crc32c::crc32c_append(hash, topic.name.as_str().as_bytes());
            hash = crc32c::crc32c_append(hash, b"/");
        }
        if let Selection::Only(partitions) = &self.selection {
            for partition in partitions {
                hash = crc32c::crc32c_append(hash, &partition.to_be_bytes());
            }
        }
        u64::from(hash) % (1 << (6 * NAMES))
    }
}

#[cfg(test)]
mod tests;
