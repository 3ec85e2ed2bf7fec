//! A place in every partition of every topic of a stream, silent partitions too; written as an SSE
//! id and read back ([`text`]).

mod digits;
mod packed;
mod text;

use crate::broker::TopicId;
use crate::record::{Offset, Partition, Position, TopicName};
use std::fmt;
use text::CursorText;

/// Bits of a topic's tag in a cursor of few topics, and in one of many.
const TAG_BITS: u32 = 24;
const SHORT_TAG_BITS: u32 = 16;
/// More topics than this have short tags, so that a cursor of twelve fits 128 bytes.
const FEW_TOPICS: usize = 8;
/// Follows the id of the last frame of a stream that is complete.
const COMPLETE: char = '~';

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
        Self(id.map_or(0, |id| (crc32c::crc32c(id.as_bytes()) & ((1 << TAG_BITS) - 1)).max(1)))
    }

    fn short(self) -> Self {
        Self(if self.0 == 0 { 0 } else { (self.0 & ((1 << SHORT_TAG_BITS) - 1)).max(1) })
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
    /// Of each partition: 0, 1, 2, … or those selected, in order. Empty while the topic does not exist.
    places: Vec<Position>,
}

/// The next offset of every partition of every topic of a stream.
#[derive(Clone)]
pub struct Cursor {
    selection: Selection,
    /// By name.
    topics: Vec<TopicCursor>,
    text: CursorText,
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

/// The id of a stream is longer than its client could send back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdTooLong {
    partitions: usize,
    bytes: usize,
    most: usize,
    /// Partitions whose id would be short enough.
    fit: usize,
}

impl fmt::Display for IdTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partitions, bytes, most, fit } = self;
        write!(
            f,
            "a stream of {partitions} partitions has an id of {bytes} bytes, and a client can send back {most} (three \
             quarters of --max-header); about {fit} partitions fit: name fewer topics, choose partitions with \
             partition=N, or raise --max-header"
        )
    }
}

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
        let unknown = |name| TopicCursor { name, id: IdTag::default(), places: Vec::new() };
        Self { selection, topics: topics.into_iter().map(unknown).collect(), text: CursorText::default() }
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
        let id = self.fit(id);
        if self.topics[topic].id != id {
            self.topics[topic].id = id;
            self.text.outdate();
        }
    }

    /// A tag as this cursor keeps it, to compare with its own.
    pub fn fit(&self, id: IdTag) -> IdTag {
        if self.topics.len() > FEW_TOPICS { id.short() } else { id }
    }

    /// Partitions of this topic whose next offset is known, with it.
    pub fn places(&self, topic: usize) -> impl Iterator<Item = (Partition, Offset)> + '_ {
        self.positions(topic).map(|(partition, place)| (partition, place.next))
    }

    /// Likewise, with their leader epochs.
    pub fn positions(&self, topic: usize) -> impl Iterator<Item = (Partition, Position)> + '_ {
        self.topics[topic].places.iter().enumerate().map(|(slot, place)| (self.partition_at(slot), *place))
    }

    /// Records between this place and `ahead`, another one of the same topics, in the partition where that is most.
    pub fn behind(&self, ahead: &Self) -> u64 {
        let topics = ahead.topics.iter().zip(&self.topics);
        let lags = topics
            .flat_map(|(ahead, own)| ahead.places.iter().zip(&own.places).map(|(ahead, own)| ahead.next - own.next));
        lags.max().and_then(|lag| u64::try_from(lag).ok()).unwrap_or(0)
    }

    /// The next offset of a partition; `None` where the stream does not read it (yet).
    pub fn next(&self, topic: usize, partition: Partition) -> Option<Offset> {
        Some(self.position(topic, partition)?.next)
    }

    /// Likewise, with its leader epoch.
    pub fn position(&self, topic: usize, partition: Partition) -> Option<Position> {
        self.topics[topic].places.get(self.slot(partition)?).copied()
    }

    /// The partition whose place would be added next, or `None` where the selection is complete.
    pub fn next_partition(&self, topic: usize) -> Option<Partition> {
        let slot = self.topics[topic].places.len();
        match &self.selection {
            Selection::All => Some(slot as Partition),
            Selection::Only(partitions) => partitions.get(slot).copied(),
        }
    }

    /// Adds the place of [`next_partition`](Self::next_partition).
    pub fn add_place(&mut self, topic: usize, place: impl Into<Position>) {
        self.topics[topic].places.push(place.into());
        self.text.outdate();
    }

    /// Forgets a topic's places (it was made anew, or is gone).
    pub fn clear(&mut self, topic: usize) {
        self.topics[topic].places.clear();
        self.text.outdate();
    }

    /// Moves a known place; a place that is not known is left alone. Called for each record.
    pub fn set(&mut self, topic: usize, partition: Partition, to: Position) {
        let Some(slot) = self.slot(partition) else { return };
        let Some(place) = self.topics[topic].places.get_mut(slot) else { return };
        let from = std::mem::replace(place, to);
        if from.epoch != to.epoch {
            self.text.outdate();
        } else if from.next != to.next {
            self.text.patch(topic, slot, to.next);
        }
    }

    /// The cursor as an SSE id.
    pub fn text(&mut self) -> &str {
        if self.text.is_outdated() {
            self.text = text::write(self);
        }
        self.text.checked()
    }

    /// The id of the last frame of a stream that has delivered all it was asked for.
    pub fn complete_text(&mut self) -> String {
        format!("{}{COMPLETE}", self.text())
    }

    /// Refuses a cursor whose text is longer than `most` bytes, with how many partitions would fit about.
    pub fn check_length(&mut self, most: usize) -> Result<(), IdTooLong> {
        let bytes = self.text().len();
        let partitions = self.topics.iter().map(|topic| topic.places.len()).sum();
        if bytes <= most {
            return Ok(());
        }
        let mut empty = self.clone();
        (0..self.topics.len()).for_each(|topic| empty.clear(topic));
        let head = empty.text().len();
        let fit = most.saturating_sub(head) * partitions / bytes.saturating_sub(head).max(1);
        Err(IdTooLong { partitions, bytes, most, fit })
    }

    /// Whether `text` is the last id of a complete stream.
    pub fn is_complete(text: &str) -> bool {
        text.ends_with(COMPLETE)
    }

    /// Reads a cursor for a stream of these topics and partitions.
    pub fn read(text: &str, topics: Vec<TopicName>, selection: Selection) -> Result<Self, BadCursor> {
        text::read(text.strip_suffix(COMPLETE).unwrap_or(text), Self::new(topics, selection))
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
        u64::from(hash) % (1 << (6 * text::NAMES))
    }
}

#[cfg(test)]
mod tests;
