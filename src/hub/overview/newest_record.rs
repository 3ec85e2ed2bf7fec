//! The newest record of a topic, cut to a size that a list of topics can show.

use crate::record::{Offset, Partition, RecordRef, Timestamp};
use crate::sync::memory_budget::{Reservation, Share, Shortage};
use std::sync::Arc;

/// Maximum length of a key and a value, in bytes.
const KEY_BYTES: usize = 128;
const VALUE_BYTES: usize = 400;

/// What is known about the newest record of a topic.
#[derive(Debug, Clone, Default)]
pub enum Newest {
    /// It has not been read yet.
    #[default]
    Unread,
    /// The topic has no records.
    Empty,
    /// The last offsets have no records: they are transaction markers or aborted.
    NotFound,
    /// There is no memory for it.
    NoMemory,
    /// The record.
    Record(Arc<NewestRecord>),
}

/// The newest record of a topic.
#[derive(Debug)]
pub struct NewestRecord {
    /// The partition of the record.
    pub partition: Partition,
    /// The offset of the record.
    pub offset: Offset,
    /// The timestamp of the record.
    pub timestamp: Timestamp,
    /// The beginning of the key; `None` is null.
    pub key: Option<Excerpt>,
    /// The beginning of the value; `None` is a tombstone.
    pub value: Option<Excerpt>,
    _memory: Reservation,
}

/// The beginning of a key or value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    /// The first bytes. If they are UTF-8, they end at a character boundary.
    pub bytes: Box<[u8]>,
    /// The length of the whole key or value, in bytes.
    pub length: usize,
    /// Why the bytes could not be decoded by their schema.
    pub error: Option<Box<str>>,
}

impl NewestRecord {
    /// Copies the beginning of a record.
    pub fn of(partition: Partition, record: &RecordRef<'_>, memory: &Arc<Share>) -> Result<Self, Shortage> {
        let excerpt = |bytes: Option<&[u8]>, most, error: Option<&str>| {
            bytes.map(|bytes| Excerpt { error: error.map(Box::from), ..Excerpt::of(bytes, most) })
        };
        let key = excerpt(record.key, KEY_BYTES, record.key_error());
        let value = excerpt(record.value, VALUE_BYTES, record.value_error());
        let bytes = [&key, &value].into_iter().flatten().map(Excerpt::memory).sum::<usize>();
        let memory = memory.reserve(size_of::<Self>() + bytes)?;
        let RecordRef { offset, timestamp, .. } = *record;
        Ok(Self { partition, offset, timestamp, key, value, _memory: memory })
    }
}

impl Excerpt {
    fn of(bytes: &[u8], most: usize) -> Self {
        let start = bytes.get(..most).unwrap_or(bytes);
        let cut = match std::str::from_utf8(start) {
            // The last character is incomplete.
            Err(error) if start.len() < bytes.len() && error.error_len().is_none() => error.valid_up_to(),
            _ => start.len(),
        };
        Self { bytes: start.get(..cut).unwrap_or_default().into(), length: bytes.len(), error: None }
    }

    fn memory(&self) -> usize {
        self.bytes.len() + self.error.as_ref().map_or(0, |error| error.len())
    }

    /// Whether the excerpt lacks a part of the key or value.
    pub fn is_cut(&self) -> bool {
        self.bytes.len() < self.length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_ends_between_two_characters() {
        let excerpt = |bytes: &[u8], most| {
            let excerpt = Excerpt::of(bytes, most);
            (excerpt.bytes.to_vec(), excerpt.length, excerpt.is_cut())
        };
        assert_eq!(excerpt(b"abc", 3), (b"abc".to_vec(), 3, false));
        assert_eq!(excerpt(b"abcd", 3), (b"abc".to_vec(), 4, true));
        assert_eq!(excerpt("aé€x".as_bytes(), 5), ("aé".as_bytes().to_vec(), 7, true));
        assert_eq!(excerpt("aé€".as_bytes(), 6), ("aé€".as_bytes().to_vec(), 6, false));
        assert_eq!(excerpt(b"a\xff\xffb", 3), (b"a\xff\xff".to_vec(), 4, true));
        assert_eq!(excerpt(b"a\xe2", 3), (b"a\xe2".to_vec(), 2, false), "not cut");
    }
}
