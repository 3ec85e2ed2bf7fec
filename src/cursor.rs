//! The position of a stream in every partition of every topic, including partitions without records.
//!
//! A [`Cursor`] is written as the SSE id of each event, and parsed from the `Last-Event-ID` that a client sends when it
//! resumes. Its text is tied to the topics and partitions of the stream, and carries a checksum, so that a truncated or
//! modified id is rejected.
//!
//! ```
//! use curlew::cursor::{CursorError, Cursor, Selection};
//! use curlew::record::{Position, TopicName};
//!
//! let topics = vec![TopicName::new("readings")?];
//! let mut cursor = Cursor::new(topics.clone(), Selection::All);
//! cursor.add_position(0, 42); // partition 0: the next offset is 42
//! cursor.add_position(0, 7); // partition 1: the next offset is 7
//!
//! // Partition 1 has delivered offset 7, written under leader epoch 3.
//! cursor.set(0, 1, Position { next: 8, epoch: 3 });
//!
//! let id = cursor.text().to_owned();
//! let resumed = Cursor::parse(&id, topics, Selection::All)?;
//! assert_eq!(resumed.next(0, 0), Some(42));
//! assert_eq!(resumed.position(0, 1), Some(Position { next: 8, epoch: 3 }));
//!
//! let others = vec![TopicName::new("alarms")?];
//! assert_eq!(Cursor::parse(&id, others, Selection::All), Err(CursorError::OtherStream));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![deny(missing_docs)]

mod digits;
mod packed;
mod text;

use crate::record::{Offset, Partition, Position, TopicId, TopicName};
use std::fmt;
use text::CursorText;
use thiserror::Error;

/// The size of a topic's id tag in bits: in cursors with up to [`FEW_TOPICS`] topics, and in larger ones.
const TAG_BITS: u32 = 24;
const SHORT_TAG_BITS: u32 = 16;
/// With more topics than this the tags are short, so that a cursor of twelve topics fits in 128 bytes.
const FEW_TOPICS: usize = 8;
/// Ends the id of the last frame of a complete stream.
const COMPLETE: char = '~';

/// Which partitions of its topics a stream reads.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Selection {
    /// All partitions, including those added later.
    #[default]
    All,
    /// These partitions, sorted and distinct.
    Only(Vec<Partition>),
}

impl Selection {
    /// Sorts the partitions and drops duplicates. An empty list means all partitions.
    pub fn of(mut partitions: Vec<Partition>) -> Self {
        partitions.sort_unstable();
        partitions.dedup();
        if partitions.is_empty() { Self::All } else { Self::Only(partitions) }
    }

    /// Whether the stream reads `partition`.
    pub fn contains(&self, partition: Partition) -> bool {
        match self {
            Self::All => true,
            Self::Only(partitions) => partitions.binary_search(&partition).is_ok(),
        }
    }
}

/// A short hash of a topic's id (KIP-516), or 0 if the broker has no ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IdTag(u32);

impl IdTag {
    /// The tag of `id`.
    pub fn of(id: TopicId) -> Self {
        Self(id.map_or(0, |id| (crc32c::crc32c(id.as_bytes()) & ((1 << TAG_BITS) - 1)).max(1)))
    }

    fn short(self) -> Self {
        Self(if self.0 == 0 { 0 } else { (self.0 & ((1 << SHORT_TAG_BITS) - 1)).max(1) })
    }

    /// Whether both are known and belong to different topics.
    pub fn differs(self, other: Self) -> bool {
        self.0 != 0 && other.0 != 0 && self.0 != other.0
    }

    /// Whether the broker has an id for the topic.
    pub fn is_known(self) -> bool {
        self.0 != 0
    }
}

/// The positions in one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicCursor {
    /// The name of the topic.
    pub name: TopicName,
    /// The tag of the topic's id, to detect that the topic was recreated.
    pub id: IdTag,
    /// The position in each partition: 0, 1, 2, … or the selected ones, in order. Empty while the topic does not exist.
    positions: Vec<Position>,
}

/// The position in every partition of every topic of a stream.
#[derive(Clone)]
pub struct Cursor {
    selection: Selection,
    /// Sorted by name.
    topics: Vec<TopicCursor>,
    text: CursorText,
}

/// Why a text is not a cursor of a given stream.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CursorError {
    /// Not a cursor, damaged, or cut off.
    #[error("the cursor is damaged or cut off; give the id of an event exactly as it was sent")]
    Damaged,
    /// Written by a later version of Curlew.
    #[error("the cursor was made by a later version of Curlew")]
    Version,
    /// The cursor of a stream with other topics or partitions.
    #[error(
        "the cursor belongs to a stream of other topics or partitions; use it with the topics and partitions of the stream \
         that it came from"
    )]
    OtherStream,
    /// Positions that skip a partition before the last one of their topic, or name one twice.
    #[error("the offsets skip a partition or name one twice; name the partitions of each topic from the first one on")]
    Holes,
}

/// A cursor is too long for a client to send it back in a `Last-Event-ID` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "a stream of {partitions} partitions has an id of {bytes} bytes, and a client can send back {limit}; about {fit} \
     partitions fit: name fewer topics, or choose partitions with partition=N"
)]
pub struct IdTooLong {
    /// The number of partitions in the cursor.
    pub partitions: usize,
    /// The length of its text, in bytes.
    pub bytes: usize,
    /// The longest text that a client can send back, in bytes.
    pub limit: usize,
    /// The approximate number of partitions whose cursor is short enough.
    pub fit: usize,
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
    /// A cursor of topics without known positions yet. Sorts the topics and drops duplicates.
    pub fn new(mut topics: Vec<TopicName>, selection: Selection) -> Self {
        topics.sort_unstable();
        topics.dedup();
        let unknown = |name| TopicCursor { name, id: IdTag::default(), positions: Vec::new() };
        Self { selection, topics: topics.into_iter().map(unknown).collect(), text: CursorText::default() }
    }

    /// A cursor at the given next offsets. Partitions after the last one named are read from their beginning.
    ///
    /// Fails with [`CursorError::OtherStream`] for a topic that is not one of `topics`, and with [`CursorError::Holes`] if a
    /// partition before the last one named is missing or named twice.
    pub fn at(
        mut offsets: Vec<(TopicName, Partition, Offset)>,
        topics: Vec<TopicName>,
        selection: Selection,
    ) -> Result<Self, CursorError> {
        let mut cursor = Self::new(topics, selection);
        offsets.sort_unstable();
        for (name, partition, next) in offsets {
            let topic = cursor.topic_index(&name).ok_or(CursorError::OtherStream)?;
            match cursor.next_partition(topic) {
                Some(expected) if expected == partition => cursor.add_position(topic, next),
                _ => return Err(CursorError::Holes),
            }
        }
        Ok(cursor)
    }

    /// The partitions that the stream reads.
    pub fn selection(&self) -> &Selection {
        &self.selection
    }

    /// The topics, sorted by name.
    pub fn topics(&self) -> &[TopicCursor] {
        &self.topics
    }

    /// The index of `name` in [`topics`](Self::topics).
    pub fn topic_index(&self, name: &TopicName) -> Option<usize> {
        self.topics.binary_search_by(|t| t.name.cmp(name)).ok()
    }

    /// Sets the id of a topic, for instance when the topic is created or recreated.
    pub fn set_id(&mut self, topic: usize, id: IdTag) {
        let id = self.fit(id);
        if self.topics[topic].id != id {
            self.topics[topic].id = id;
            self.text.invalidate();
        }
    }

    /// Shortens a tag if this cursor has short tags, so that the two can be compared.
    pub fn fit(&self, id: IdTag) -> IdTag {
        if self.topics.len() > FEW_TOPICS { id.short() } else { id }
    }

    /// The partitions of a topic with known positions, with their next offsets.
    pub fn offsets(&self, topic: usize) -> impl Iterator<Item = (Partition, Offset)> + '_ {
        self.positions(topic).map(|(partition, position)| (partition, position.next))
    }

    /// The partitions of a topic with known positions, with these positions.
    pub fn positions(&self, topic: usize) -> impl Iterator<Item = (Partition, Position)> + '_ {
        self.topics[topic].positions.iter().enumerate().map(|(slot, position)| (self.partition_at(slot), *position))
    }

    /// How far this cursor is behind `ahead`, a cursor of the same topics: the largest difference of offsets in one
    /// partition.
    pub fn lag(&self, ahead: &Self) -> u64 {
        let topics = ahead.topics.iter().zip(&self.topics);
        let lags = topics.flat_map(|(ahead, own)| {
            ahead.positions.iter().zip(&own.positions).map(|(ahead, own)| ahead.next - own.next)
        });
        lags.max().and_then(|lag| u64::try_from(lag).ok()).unwrap_or(0)
    }

    /// The next offset of a partition, or `None` if its position is not known.
    pub fn next(&self, topic: usize, partition: Partition) -> Option<Offset> {
        Some(self.position(topic, partition)?.next)
    }

    /// The position in a partition, or `None` if it is not known.
    pub fn position(&self, topic: usize, partition: Partition) -> Option<Position> {
        self.topics[topic].positions.get(self.slot(partition)?).copied()
    }

    /// The partition whose position [`add_position`](Self::add_position) would add, or `None` if the selection is complete.
    pub fn next_partition(&self, topic: usize) -> Option<Partition> {
        let slot = self.topics[topic].positions.len();
        match &self.selection {
            Selection::All => Some(slot as Partition),
            Selection::Only(partitions) => partitions.get(slot).copied(),
        }
    }

    /// Adds the position in [`next_partition`](Self::next_partition).
    pub fn add_position(&mut self, topic: usize, position: impl Into<Position>) {
        self.topics[topic].positions.push(position.into());
        self.text.invalidate();
    }

    /// Removes all positions of a topic that was recreated or deleted.
    pub fn clear(&mut self, topic: usize) {
        self.topics[topic].positions.clear();
        self.text.invalidate();
    }

    /// Changes a known position. Ignores a partition whose position is not known. Called for each record, so it is fast.
    pub fn set(&mut self, topic: usize, partition: Partition, to: Position) {
        let Some(slot) = self.slot(partition) else { return };
        let Some(position) = self.topics[topic].positions.get_mut(slot) else { return };
        let from = std::mem::replace(position, to);
        if from.epoch != to.epoch {
            self.text.invalidate();
        } else if from.next != to.next {
            self.text.patch(topic, slot, to.next);
        }
    }

    /// The cursor as an SSE id.
    pub fn text(&mut self) -> &str {
        if self.text.is_stale() {
            self.text = text::write(self);
        }
        self.text.with_checksum()
    }

    /// The SSE id of the last frame of a stream that has delivered everything up to its `until` or `limit`.
    pub fn complete_text(&mut self) -> String {
        format!("{}{COMPLETE}", self.text())
    }

    /// Fails if the text is longer than `most` bytes. The error estimates how many partitions would fit.
    pub fn check_length(&mut self, most: usize) -> Result<(), IdTooLong> {
        let bytes = self.text().len();
        let partitions = self.topics.iter().map(|topic| topic.positions.len()).sum();
        if bytes <= most {
            return Ok(());
        }
        let mut empty = self.clone();
        (0..self.topics.len()).for_each(|topic| empty.clear(topic));
        let head = empty.text().len();
        let fit = most.saturating_sub(head) * partitions / bytes.saturating_sub(head).max(1);
        Err(IdTooLong { partitions, bytes, limit: most, fit })
    }

    /// Whether `text` is the last SSE id of a complete stream.
    pub fn is_complete(text: &str) -> bool {
        text.ends_with(COMPLETE)
    }

    /// Parses the cursor of a stream with these topics and partitions.
    pub fn parse(text: &str, topics: Vec<TopicName>, selection: Selection) -> Result<Self, CursorError> {
        text::read(text.strip_suffix(COMPLETE).unwrap_or(text), Self::new(topics, selection))
    }

    /// Whether `text` is a well-formed cursor of any stream: it has the right alphabet and checksum.
    pub fn is_well_formed(text: &str) -> bool {
        !matches!(Self::parse(text, Vec::new(), Selection::All), Err(CursorError::Damaged))
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
        u64::from(hash) % (1 << (6 * text::NAMES_DIGITS))
    }
}

#[cfg(test)]
mod tests;
