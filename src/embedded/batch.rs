//! The stored format of a batch: records that were appended to one partition together, with a checksum.
//!
//! A batch starts with a header: the CRC-32C of all bytes after the checksum, the base offset, the number of records
//! and the largest timestamp. A record consists of its timestamp, the lengths of its key and value, the number of
//! headers, the key and the value. Each header follows with the lengths of its name and value, the name and the value.
//! All numbers are little-endian; a length of `u32::MAX` means null.

use crate::record::{NewRecord, Offset, Records, SpanRef, Timestamp};
use crate::sync::memory_budget::{Reservation, Share, Shortage};
use bytes::Bytes;
use std::sync::Arc;

/// Bytes before the first record.
const HEAD: usize = 4 + 8 + 4 + 8;
const NULL: u32 = u32::MAX;

/// The bytes are not a valid batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damaged;

/// A batch to which records are added.
#[derive(Debug)]
pub struct StoredBatch {
    bytes: Vec<u8>,
    base: Offset,
    count: u32,
    max_timestamp: Timestamp,
}

impl StoredBatch {
    pub fn new(base: Offset) -> Self {
        Self { bytes: vec![0; HEAD], base, count: 0, max_timestamp: Timestamp::MIN }
    }

    /// Adds a record, with the timestamp `now` if it has none.
    pub fn push(&mut self, record: &NewRecord, now: Timestamp) {
        let timestamp = record.timestamp.unwrap_or(now);
        let out = &mut self.bytes;
        out.extend_from_slice(&timestamp.to_le_bytes());
        put_len(out, record.key.as_deref());
        put_len(out, record.value.as_deref());
        out.extend_from_slice(&(record.headers.len() as u32).to_le_bytes());
        for part in [&record.key, &record.value].into_iter().flatten() {
            out.extend_from_slice(part);
        }
        for header in &record.headers {
            put_len(out, Some(header.name.as_bytes()));
            put_len(out, header.value.as_deref());
            out.extend_from_slice(header.name.as_bytes());
            out.extend_from_slice(header.value.as_deref().unwrap_or_default());
        }
        self.count += 1;
        self.max_timestamp = self.max_timestamp.max(timestamp);
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn base(&self) -> Offset {
        self.base
    }

    /// The offset after the last record.
    pub fn next(&self) -> Offset {
        self.base + Offset::from(self.count)
    }

    pub fn max_timestamp(&self) -> Timestamp {
        self.max_timestamp
    }

    pub fn finish(mut self) -> Vec<u8> {
        self.bytes[4..12].copy_from_slice(&self.base.to_le_bytes());
        self.bytes[12..16].copy_from_slice(&self.count.to_le_bytes());
        self.bytes[16..24].copy_from_slice(&self.max_timestamp.to_le_bytes());
        let crc = crc32c::crc32c(&self.bytes[4..]);
        self.bytes[..4].copy_from_slice(&crc.to_le_bytes());
        self.bytes
    }
}

fn put_len(out: &mut Vec<u8>, part: Option<&[u8]>) {
    out.extend_from_slice(&part.map_or(NULL, |part| part.len() as u32).to_le_bytes());
}

/// Reads the largest timestamp without verifying the checksum, so that a search by time can skip batches.
pub fn max_timestamp(stored: &[u8]) -> Result<Timestamp, Damaged> {
    let mut cursor = BatchCursor { bytes: stored, at: 16 };
    cursor.i64()
}

/// Reads the base offset and the number of records without verifying the checksum, to check whether the batch is inside
/// its segment.
pub fn offsets(stored: &[u8]) -> Result<(Offset, Offset), Damaged> {
    let mut cursor = BatchCursor { bytes: stored, at: 4 };
    Ok((cursor.i64()?, cursor.u32()?.into()))
}

/// Reserves memory for a stored batch of `stored` bytes, and for the index of its records, which takes at most twice as
/// many bytes. The second reservation is limited to half the largest one, because a batch above that size holds a
/// single record and has a small index.
pub fn reserve(stored: usize, memory: &Arc<Share>) -> Result<(Reservation, Reservation), Shortage> {
    Ok((memory.reserve(stored)?, memory.reserve((2 * stored).min(memory.largest() / 2))?))
}

/// Verifies a batch and returns its records from offset `from` on, without copying them.
pub fn decode(stored: Bytes, from: Offset) -> Result<Records, Damaged> {
    let mut cursor = BatchCursor { bytes: &stored, at: 0 };
    let crc = cursor.u32()?;
    if crc32c::crc32c(stored.get(4..).ok_or(Damaged)?) != crc {
        return Err(Damaged);
    }
    let base = cursor.i64()?;
    let count = cursor.u32()?;
    cursor.i64()?;
    let mut records = Records::over(stored.clone());
    records.reserve(count as usize);
    for offset in base..base + Offset::from(count) {
        let timestamp = cursor.i64()?;
        let (key, value) = (cursor.u32()?, cursor.u32()?);
        let headers = cursor.u32()?;
        let (key, value) = (cursor.part(key)?, cursor.part(value)?);
        if offset >= from {
            records.push(offset, timestamp, key, value);
        }
        for _ in 0..headers {
            let (name, value) = (cursor.u32()?, cursor.u32()?);
            let (name, value) = (cursor.part(name)?.ok_or(Damaged)?, cursor.part(value)?);
            if offset >= from {
                records.push_header(name, value);
            }
        }
    }
    if cursor.at == stored.len() { Ok(records) } else { Err(Damaged) }
}

struct BatchCursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl BatchCursor<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        let (array, _) = self.bytes.get(self.at..).and_then(|rest| rest.split_first_chunk()).ok_or(Damaged)?;
        self.at += N;
        Ok(*array)
    }

    fn u32(&mut self) -> Result<u32, Damaged> {
        self.array().map(u32::from_le_bytes)
    }

    fn i64(&mut self) -> Result<i64, Damaged> {
        self.array().map(i64::from_le_bytes)
    }

    fn part(&mut self, len: u32) -> Result<Option<SpanRef>, Damaged> {
        if len == NULL {
            return Ok(None);
        }
        let part = self.at..self.at + len as usize;
        if part.end > self.bytes.len() {
            return Err(Damaged);
        }
        self.at = part.end;
        Ok(Some(part))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::record::Header;
    use proptest::prelude::*;

    fn bytes() -> impl Strategy<Value = Option<Bytes>> {
        proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20).prop_map(Bytes::from))
    }

    prop_compose! {
        fn record()(
            key in bytes(),
            value in bytes(),
            headers in proptest::collection::vec(("[a-z]{0,3}", bytes()), 0..3),
            timestamp in proptest::option::of(any::<i64>()),
        ) -> NewRecord {
            let headers = headers.into_iter().map(|(name, value)| Header { name, value }).collect();
            NewRecord { partition: None, key, value, headers, timestamp }
        }
    }

    fn read_back(records: &Records) -> Vec<(Offset, NewRecord)> {
        let own = |part: Option<&[u8]>| part.map(Bytes::copy_from_slice);
        let record = |r: crate::record::RecordRef<'_>| NewRecord {
            partition: None,
            key: own(r.key),
            value: own(r.value),
            headers: r
                .headers()
                .map(|(name, value)| Header { name: String::from_utf8(name.to_vec()).unwrap(), value: own(value) })
                .collect(),
            timestamp: Some(r.timestamp),
        };
        records.iter().map(|r| (r.offset, record(r))).collect()
    }

    proptest! {
        #[test]
        fn a_stored_batch_is_read_back(
            records in proptest::collection::vec(record(), 1..8),
            skip in 0usize..8,
        ) {
            let mut batch = StoredBatch::new(100);
            records.iter().for_each(|r| batch.push(r, 7));
            let most = records.iter().map(|r| r.timestamp.unwrap_or(7)).max().unwrap();
            let stored = batch.finish();
            prop_assert_eq!(max_timestamp(&stored), Ok(most));
            let decoded = decode(stored.into(), 100 + skip as i64).unwrap();
            let expected: Vec<_> = (100..)
                .zip(records)
                .skip(skip)
                .map(|(offset, r)| (offset, NewRecord { timestamp: Some(r.timestamp.unwrap_or(7)), ..r }))
                .collect();
            prop_assert_eq!(read_back(&decoded), expected);
        }

        #[test]
        fn a_changed_or_missing_byte_is_detected(at in any::<prop::sample::Index>(), change in 1u8..) {
            let mut batch = StoredBatch::new(0);
            batch.push(&NewRecord { value: Some("value".into()), ..NewRecord::default() }, 7);
            let mut stored = batch.finish();
            let at = at.index(stored.len());
            prop_assert_eq!(decode(Bytes::copy_from_slice(&stored[..at]), 0).unwrap_err(), Damaged);
            stored[at] ^= change;
            prop_assert_eq!(decode(stored.into(), 0).unwrap_err(), Damaged);
        }
    }
}
