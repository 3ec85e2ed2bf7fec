//! The cursor as text: only `A-Z a-z 0-9 - _` (no CORS preflight, nothing to escape in a URL), in digits of base 64.
//!
//! ```text
//! head     1 digit   version * 16 + offset width
//! names    3 digits  hash of the topics' names and the selected partitions
//! packed   bits, filled up to whole digits:
//!          6    bits of an epoch, 63: epochs are in a table
//!          6    partitions of each topic, 0: it is said topic by topic, in 17 bits
//!          each topic: its tag (24 bits, 16 where there are more than 8 topics; 0: unknown)
//!          epochs plus one (0: unknown), in the order of the offsets; or the table: 6 bits of its length, 6 bits of an
//!          epoch, the epochs plus one; then which of them, in the order of the offsets
//! offsets  the next offset of each partition of each topic, `offset width` digits each
//! check    4 digits  CRC-32C of all before it
//! ```
//!
//! 12 partitions with offsets below 10^9 and epochs up to 8,190 take at most 128 bytes, whether of one topic or of
//! twelve. Offsets lie at fixed places, since each record changes one; an epoch changes once an election.
//!
//! The last id of a stream that is complete (`until`, `limit`) is followed by a `~`.
//!
//! Version 0, which is still read, had no epochs: head, names, for each topic its tag (4 digits), the number of its
//! partitions and their offsets, then the check.

use super::digits::{Digits, MAX_PARTITIONS, digits_of, push_check, push_number, write_digits};
use super::packed::{Packer, Unpacker, bits_of};
use super::{BadCursor, Cursor, FEW_TOPICS, IdTag, SHORT_TAG_BITS, Selection, TAG_BITS};
use crate::record::{Epoch, Offset, Position};

const VERSION: u64 = 1;
const HEAD: usize = 1;
pub const NAMES: usize = 3;
pub const CHECK: usize = 4;
/// Digits of a tag in version 0.
const OLD_TAG: usize = 4;
/// Digits of the largest offset, 2^63 - 1.
const MAX_WIDTH: usize = 11;

const SIZE_BITS: u32 = 6;
const COUNT_BITS: u32 = 17;
/// Instead of the bits of an epoch. No epoch takes so many.
const TABLE: u64 = 63;
const MAX_EPOCH_BITS: u32 = 61;
/// The longest table: a longer one would not be the shorter way.
const MAX_TABLE: usize = 63;

/// The cursor as written, kept in step with it.
#[derive(Clone, Default)]
pub struct CursorText {
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

impl CursorText {
    /// Something has changed that must be written from scratch.
    pub fn outdate(&mut self) {
        self.stale = Stale::All;
    }

    pub fn is_outdated(&self) -> bool {
        self.stale == Stale::All
    }

    /// An offset has changed and nothing else.
    pub fn patch(&mut self, topic: usize, slot: usize, next: Offset) {
        if self.stale == Stale::All || digits_of(next) > self.width {
            return self.outdate();
        }
        let width = self.width;
        let start = self.starts[topic] + slot * width;
        let mut digits = [0; MAX_WIDTH];
        write_digits(&mut digits[..width], next as u64);
        self.digits.replace_range(start..start + width, std::str::from_utf8(&digits[..width]).unwrap_or_default());
        self.stale = Stale::Check;
    }

    /// With the check that goes with it.
    pub fn checked(&mut self) -> &str {
        if self.stale == Stale::Check {
            self.digits.truncate(self.digits.len() - CHECK);
            push_check(&mut self.digits);
            self.stale = Stale::No;
        }
        &self.digits
    }
}

pub fn write(cursor: &Cursor) -> CursorText {
    let places = || cursor.topics.iter().flat_map(|topic| &topic.places);
    let width = places().map(|place| digits_of(place.next)).max().unwrap_or(1);
    let mut text = CursorText { width, stale: Stale::No, ..CursorText::default() };
    let out = &mut text.digits;
    push_number(out, VERSION * 16 + width as u64, HEAD);
    push_number(out, cursor.names_hash(), NAMES);
    let mut packer = Packer::new(out);
    let epochs = Epochs::of(places().map(|place| coded(place.epoch)));
    packer.push(epochs.size(), SIZE_BITS);
    let uniform = uniform_count(cursor);
    packer.push(uniform, SIZE_BITS);
    for topic in &cursor.topics {
        packer.push(topic.id.0.into(), tag_bits(cursor));
        if uniform == 0 {
            packer.push(topic.places.len() as u64, COUNT_BITS);
        }
    }
    epochs.write(&mut packer, places().map(|place| coded(place.epoch)));
    packer.finish();
    for topic in &cursor.topics {
        text.starts.push(out.len());
        for place in &topic.places {
            push_number(out, place.next as u64, width);
        }
    }
    push_check(out);
    text
}

/// Reads `text` into a cursor that has no places yet.
pub fn read(text: &str, mut cursor: Cursor) -> Result<Cursor, BadCursor> {
    let body = text.len().checked_sub(CHECK).ok_or(BadCursor::Damaged)?;
    let (body, check) = text.split_at_checked(body).ok_or(BadCursor::Damaged)?;
    let mut checked = body.to_owned();
    push_check(&mut checked);
    if checked[body.len()..] != *check {
        return Err(BadCursor::Damaged);
    }
    let mut digits = Digits::of(body);
    let head = digits.number(HEAD)?;
    if head / 16 > VERSION {
        return Err(BadCursor::Version);
    }
    let width = head as usize % 16;
    if !(1..=MAX_WIDTH).contains(&width) {
        return Err(BadCursor::Damaged);
    }
    if digits.number(NAMES)? != cursor.names_hash() {
        return Err(BadCursor::OtherStream);
    }
    if head / 16 == 0 {
        read_old(&mut digits, width, &mut cursor)?
    } else {
        read_new(&mut digits, width, &mut cursor)?
    }
    if let Selection::Only(selected) = &cursor.selection
        && cursor.topics.iter().any(|topic| !topic.places.is_empty() && topic.places.len() != selected.len())
    {
        return Err(BadCursor::OtherStream);
    }
    if digits.is_empty() { Ok(cursor) } else { Err(BadCursor::Damaged) }
}

fn read_new(digits: &mut Digits<'_>, width: usize, cursor: &mut Cursor) -> Result<(), BadCursor> {
    let tag_bits = tag_bits(cursor);
    let mut packed = Unpacker::new(digits);
    let size = packed.read(SIZE_BITS)?;
    let uniform = packed.read(SIZE_BITS)? as usize;
    let mut counts = Vec::with_capacity(cursor.topics.len());
    for topic in &mut cursor.topics {
        topic.id = IdTag(packed.read(tag_bits)? as u32);
        let count = if uniform == 0 { packed.read(COUNT_BITS)? as usize } else { uniform };
        if count > MAX_PARTITIONS {
            return Err(BadCursor::Damaged);
        }
        counts.push(count);
    }
    let epochs = Epochs::read(size, &mut packed)?;
    // A forged count must not cost more memory than its text has digits.
    if counts.iter().sum::<usize>().saturating_mul(width) > packed.left() {
        return Err(BadCursor::Damaged);
    }
    for (topic, count) in cursor.topics.iter_mut().zip(counts) {
        for _ in 0..count {
            topic.places.push(Position { next: 0, epoch: epochs.next(&mut packed)? });
        }
    }
    for place in cursor.topics.iter_mut().flat_map(|topic| &mut topic.places) {
        place.next = offset(digits, width)?;
    }
    Ok(())
}

fn read_old(digits: &mut Digits<'_>, width: usize, cursor: &mut Cursor) -> Result<(), BadCursor> {
    for index in 0..cursor.topics.len() {
        let id = cursor.fit(IdTag(digits.number(OLD_TAG)? as u32));
        let topic = &mut cursor.topics[index];
        topic.id = id;
        for _ in 0..digits.count()? {
            topic.places.push(offset(digits, width)?.into());
        }
    }
    Ok(())
}

fn offset(digits: &mut Digits<'_>, width: usize) -> Result<Offset, BadCursor> {
    Offset::try_from(digits.number(width)?).map_err(|_| BadCursor::Damaged)
}

fn tag_bits(cursor: &Cursor) -> u32 {
    if cursor.topics.len() > FEW_TOPICS { SHORT_TAG_BITS } else { TAG_BITS }
}

/// How many places each topic has; 0 where they differ.
fn uniform_count(cursor: &Cursor) -> u64 {
    let mut counts = cursor.topics.iter().map(|topic| topic.places.len());
    let first = counts.next().unwrap_or(0);
    if first < 1 << SIZE_BITS && counts.all(|count| count == first) { first as u64 } else { 0 }
}

/// Epochs count from 1 here. One that is too large to be any is written as unknown.
fn coded(epoch: Epoch) -> u64 {
    u64::try_from(epoch).map_or(0, |epoch| if epoch < 1 << MAX_EPOCH_BITS { epoch + 1 } else { 0 })
}

/// How the epochs are written: as they are, or as places in a table of them. Kafka's are small and differ; those of the
/// embedded log are large, and there are few.
enum Epochs {
    Plain(u32),
    Table(u32, Vec<u64>),
}

impl Epochs {
    /// The shorter way.
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

    fn read(size: u64, packed: &mut Unpacker<'_, '_>) -> Result<Self, BadCursor> {
        if size != TABLE {
            return Ok(Self::Plain(size as u32));
        }
        let len = packed.read(SIZE_BITS)?;
        let bits = packed.read(SIZE_BITS)? as u32;
        let table: Result<Vec<_>, _> = (0..len).map(|_| packed.read(bits)).collect();
        Ok(Self::Table(bits, table?))
    }

    fn next(&self, packed: &mut Unpacker<'_, '_>) -> Result<Epoch, BadCursor> {
        let coded = match self {
            Self::Plain(bits) => packed.read(*bits)?,
            Self::Table(_, table) => {
                let index = packed.read(index_bits(table))? as usize;
                *table.get(index).ok_or(BadCursor::Damaged)?
            }
        };
        Epoch::try_from(coded).map(|coded| coded - 1).map_err(|_| BadCursor::Damaged)
    }
}

fn index_bits(table: &[u64]) -> u32 {
    bits_of((table.len() as u64).saturating_sub(1))
}
