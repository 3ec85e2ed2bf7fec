//! The text of a cursor, in base-64 digits: only `A-Z a-z 0-9 - _`, which need no CORS preflight and no escapes in URLs.
//!
//! ```text
//! head     1 digit   version * 16 + offset width
//! names    3 digits  hash of the topic names and the selected partitions
//! packed   bits, padded to full digits:
//!          6    bits of an epoch, or 63 if the epochs are in a table
//!          6    partitions of each topic, or 0 if every topic has its own count, in 17 bits after its tag
//!          each topic: its tag (24 bits, or 16 with more than 8 topics; 0 if unknown)
//!          each partition: its epoch plus one (0 if unknown); or, with a table: 6 bits for its length, 6 bits for the
//!          bits of an epoch, the epochs plus one, and for each partition an index into the table
//! offsets  the next offset of each partition of each topic, `offset width` digits each
//! check    4 digits  CRC-32C of everything before it
//! ```
//!
//! 12 partitions with offsets below 10^9 and epochs up to 8,190 take at most 128 bytes, in one topic or in twelve. Every
//! offset starts at a fixed index, so that the change of one offset per record is cheap; epochs change only with elections.
//!
//! The last id of a complete stream (`until`, `limit`) ends with a `~`.
//!
//! Version 0, which is still read, has no epochs: head, names, for each topic its tag (4 digits), its number of partitions
//! and their offsets, then the check.

use super::digits::{CHECK_DIGITS, Digits, MAX_PARTITIONS, digits_of, push_check, push_number, write_digits};
use super::packed::{Packer, Unpacker, bits_of};
use super::{Cursor, CursorError, FEW_TOPICS, IdTag, SHORT_TAG_BITS, Selection, TAG_BITS};
use crate::record::{Epoch, Offset, Position};

const VERSION: u64 = 1;
const HEAD_DIGITS: usize = 1;
/// Digits of the hash of topic names and partitions.
pub const NAMES_DIGITS: usize = 3;
/// Digits of a tag in version 0.
const V0_TAG_DIGITS: usize = 4;
/// Digits of the largest offset, 2^63 - 1.
const MAX_WIDTH: usize = 11;

const SIZE_BITS: u32 = 6;
const COUNT_BITS: u32 = 17;
/// Marks a table, instead of the bits of an epoch, which are always fewer.
const TABLE: u64 = 63;
const MAX_EPOCH_BITS: u32 = 61;
/// The longest table. Its length must fit [`SIZE_BITS`].
const MAX_TABLE: usize = 63;

/// The cached text of a cursor, updated as the cursor moves.
#[derive(Clone, Default)]
pub struct CursorText {
    digits: String,
    width: usize,
    /// The index of the first offset of each topic.
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

impl CursorText {
    /// Marks the text as outdated, so that it is written from scratch.
    pub fn invalidate(&mut self) {
        self.stale = Stale::All;
    }

    /// Returns whether the text must be written from scratch.
    pub fn is_stale(&self) -> bool {
        self.stale == Stale::All
    }

    /// Overwrites one offset.
    pub fn patch(&mut self, topic: usize, slot: usize, next: Offset) {
        if self.stale == Stale::All || digits_of(next) > self.width {
            return self.invalidate();
        }
        let width = self.width;
        let start = self.starts[topic] + slot * width;
        let mut digits = [0; MAX_WIDTH];
        write_digits(&mut digits[..width], next as u64);
        self.digits.replace_range(start..start + width, std::str::from_utf8(&digits[..width]).unwrap_or_default());
        self.stale = Stale::Check;
    }

    /// Returns the text, after updating the checksum if an offset has changed.
    pub fn with_checksum(&mut self) -> &str {
        if self.stale == Stale::Check {
            self.digits.truncate(self.digits.len() - CHECK_DIGITS);
            push_check(&mut self.digits);
            self.stale = Stale::No;
        }
        &self.digits
    }
}

/// Writes the text of `cursor` in the current version.
pub fn write(cursor: &Cursor) -> CursorText {
    let positions = || cursor.topics.iter().flat_map(|topic| &topic.positions);
    let width = positions().map(|position| digits_of(position.next)).max().unwrap_or(1);
    let mut text = CursorText { width, stale: Stale::No, ..CursorText::default() };
    let out = &mut text.digits;
    push_number(out, VERSION * 16 + width as u64, HEAD_DIGITS);
    push_number(out, cursor.names_hash(), NAMES_DIGITS);
    let mut packer = Packer::new(out);
    let epochs = Epochs::of(positions().map(|position| encode_epoch(position.epoch)));
    packer.push(epochs.size(), SIZE_BITS);
    let uniform = uniform_count(cursor);
    packer.push(uniform, SIZE_BITS);
    for topic in &cursor.topics {
        packer.push(topic.id.0.into(), tag_bits(cursor));
        if uniform == 0 {
            packer.push(topic.positions.len() as u64, COUNT_BITS);
        }
    }
    epochs.write(&mut packer, positions().map(|position| encode_epoch(position.epoch)));
    packer.finish();
    for topic in &cursor.topics {
        text.starts.push(out.len());
        for position in &topic.positions {
            push_number(out, position.next as u64, width);
        }
    }
    push_check(out);
    text
}

/// Parses `text` into a cursor without positions.
pub fn read(text: &str, mut cursor: Cursor) -> Result<Cursor, CursorError> {
    let body = text.len().checked_sub(CHECK_DIGITS).ok_or(CursorError::Damaged)?;
    let (body, check) = text.split_at_checked(body).ok_or(CursorError::Damaged)?;
    let mut checked = body.to_owned();
    push_check(&mut checked);
    if checked[body.len()..] != *check {
        return Err(CursorError::Damaged);
    }
    let mut digits = Digits::of(body);
    let head = digits.number(HEAD_DIGITS)?;
    if head / 16 > VERSION {
        return Err(CursorError::Version);
    }
    let width = head as usize % 16;
    if !(1..=MAX_WIDTH).contains(&width) {
        return Err(CursorError::Damaged);
    }
    if digits.number(NAMES_DIGITS)? != cursor.names_hash() {
        return Err(CursorError::OtherStream);
    }
    if head / 16 == 0 {
        read_v0(&mut digits, width, &mut cursor)?
    } else {
        read_v1(&mut digits, width, &mut cursor)?
    }
    if let Selection::Only(selected) = &cursor.selection
        && cursor.topics.iter().any(|topic| !topic.positions.is_empty() && topic.positions.len() != selected.len())
    {
        return Err(CursorError::OtherStream);
    }
    if digits.is_empty() { Ok(cursor) } else { Err(CursorError::Damaged) }
}

fn read_v1(digits: &mut Digits<'_>, width: usize, cursor: &mut Cursor) -> Result<(), CursorError> {
    let tag_bits = tag_bits(cursor);
    let mut packed = Unpacker::new(digits);
    let size = packed.read(SIZE_BITS)?;
    let uniform = packed.read(SIZE_BITS)? as usize;
    let mut counts = Vec::with_capacity(cursor.topics.len());
    for topic in &mut cursor.topics {
        topic.id = IdTag(packed.read(tag_bits)? as u32);
        let count = if uniform == 0 { packed.read(COUNT_BITS)? as usize } else { uniform };
        if count > MAX_PARTITIONS {
            return Err(CursorError::Damaged);
        }
        counts.push(count);
    }
    let epochs = Epochs::read(size, &mut packed)?;
    // A forged count must not allocate more memory than the text has digits.
    if counts.iter().sum::<usize>().saturating_mul(width) > packed.left() {
        return Err(CursorError::Damaged);
    }
    for (topic, count) in cursor.topics.iter_mut().zip(counts) {
        for _ in 0..count {
            topic.positions.push(Position { next: 0, epoch: epochs.next(&mut packed)? });
        }
    }
    for position in cursor.topics.iter_mut().flat_map(|topic| &mut topic.positions) {
        position.next = offset(digits, width)?;
    }
    Ok(())
}

fn read_v0(digits: &mut Digits<'_>, width: usize, cursor: &mut Cursor) -> Result<(), CursorError> {
    for index in 0..cursor.topics.len() {
        let id = cursor.fit(IdTag(digits.number(V0_TAG_DIGITS)? as u32));
        let topic = &mut cursor.topics[index];
        topic.id = id;
        for _ in 0..digits.count()? {
            topic.positions.push(offset(digits, width)?.into());
        }
    }
    Ok(())
}

fn offset(digits: &mut Digits<'_>, width: usize) -> Result<Offset, CursorError> {
    Offset::try_from(digits.number(width)?).map_err(|_| CursorError::Damaged)
}

fn tag_bits(cursor: &Cursor) -> u32 {
    if cursor.topics.len() > FEW_TOPICS { SHORT_TAG_BITS } else { TAG_BITS }
}

/// The number of positions of every topic, or 0 if the topics differ.
fn uniform_count(cursor: &Cursor) -> u64 {
    let mut counts = cursor.topics.iter().map(|topic| topic.positions.len());
    let first = counts.next().unwrap_or(0);
    if first < 1 << SIZE_BITS && counts.all(|count| count == first) { first as u64 } else { 0 }
}

/// Encodes an epoch as epoch plus one, with 0 for an unknown epoch and for one that needs too many bits.
fn encode_epoch(epoch: Epoch) -> u64 {
    u64::try_from(epoch).map_or(0, |epoch| if epoch < 1 << MAX_EPOCH_BITS { epoch + 1 } else { 0 })
}

/// How the epochs are written: one by one, or as indices into a table. Kafka's epochs are small and differ between
/// partitions; those of the embedded log are large and few.
enum Epochs {
    Plain(u32),
    Table(u32, Vec<u64>),
}

impl Epochs {
    /// Chooses the shorter encoding.
    fn of(epochs: impl Iterator<Item = u64>) -> Self {
        let (mut table, mut count, mut most) = (Vec::new(), 0, 0);
        for epoch in epochs {
            (count, most) = (count + 1, most.max(epoch));
            if table.len() <= MAX_TABLE && !table.contains(&epoch) {
                table.push(epoch);
            }
        }
        let bits = bits_of(most);
        let as_table = 2 * SIZE_BITS as usize + table.len() * bits as usize + count * index_bits(&table) as usize;
        if table.len() > MAX_TABLE || count * bits as usize <= as_table {
            Self::Plain(bits)
        } else {
            Self::Table(bits, table)
        }
    }

    fn size(&self) -> u64 {
        match self {
            Self::Plain(bits) => (*bits).into(),
            Self::Table(..) => TABLE,
        }
    }

    fn write(&self, packer: &mut Packer<'_>, epochs: impl Iterator<Item = u64>) {
        match self {
            Self::Plain(bits) => epochs.for_each(|epoch| packer.push(epoch, *bits)),
            Self::Table(bits, table) => {
                packer.push(table.len() as u64, SIZE_BITS);
                packer.push((*bits).into(), SIZE_BITS);
                table.iter().for_each(|epoch| packer.push(*epoch, *bits));
                for epoch in epochs {
                    let index = table.iter().position(|known| *known == epoch).unwrap_or_default();
                    packer.push(index as u64, index_bits(table));
                }
            }
        }
    }

    fn read(size: u64, packed: &mut Unpacker<'_, '_>) -> Result<Self, CursorError> {
        if size != TABLE {
            return Ok(Self::Plain(size as u32));
        }
        let len = packed.read(SIZE_BITS)?;
        let bits = packed.read(SIZE_BITS)? as u32;
        let table: Result<Vec<_>, _> = (0..len).map(|_| packed.read(bits)).collect();
        Ok(Self::Table(bits, table?))
    }

    fn next(&self, packed: &mut Unpacker<'_, '_>) -> Result<Epoch, CursorError> {
        let coded = match self {
            Self::Plain(bits) => packed.read(*bits)?,
            Self::Table(_, table) => {
                let index = packed.read(index_bits(table))? as usize;
                *table.get(index).ok_or(CursorError::Damaged)?
            }
        };
        Epoch::try_from(coded).map(|coded| coded - 1).map_err(|_| CursorError::Damaged)
    }
}

fn index_bits(table: &[u64]) -> u32 {
    bits_of((table.len() as u64).saturating_sub(1))
}
