//! Decodes record batches (message format 2, Kafka 0.11 and later) without copying records.
//!
//! Layout: <https://kafka.apache.org/documentation/#recordbatch>, KIP-98.

use super::compression::Codec;
use super::decode_error::{BatchFault, Undecodable};
use super::legacy;
use super::parse::{OVERHEAD, Parse};
use crate::record::{Epoch, EpochSpan, NO_EPOCH, Offset, Records, Timestamp};
use crate::sync::memory_budget::Share;
use bytes::Bytes;
use std::sync::Arc;

const HEADER: usize = 61;
const MAGIC_AT: usize = 16;
/// The checksum covers everything from here on.
const CHECKED_FROM: usize = 21;
const CRC_AT: usize = 17;
/// An empty record: its length, attributes, two deltas, null key and value, and no headers.
const SMALLEST_RECORD: usize = 7;

const LOG_APPEND_TIME: u8 = 1 << 3;
const TRANSACTIONAL: u8 = 1 << 4;
const CONTROL: u8 = 1 << 5;

/// An aborted transaction, from a Fetch response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbortedTransaction {
    pub producer_id: i64,
    pub first_offset: Offset,
}

/// The decoded records of one partition in a Fetch response.
#[derive(Debug, Default)]
pub struct DecodedBatches {
    /// Batches with records left after filtering.
    pub batches: Vec<Records>,
    /// The offset after all decoded data, including filtered records.
    pub next_offset: Offset,
    /// Leader epochs of all decoded data. Message formats 0 and 1 have none.
    pub epochs: EpochSpan,
}

/// Decodes the complete batches in `data` as a `read_committed` consumer that wants records at or after `from`. A
/// truncated batch at the end is left to the next fetch.
///
/// Fails with `Damaged` if the first batch is damaged, and with `NoMemory` if the budget does not suffice for it. If
/// other batches were decoded before it, decoding stops there without an error, and the next fetch fails.
pub fn read(
    data: &Bytes,
    from: Offset,
    aborted: Vec<AbortedTransaction>,
    memory: &Arc<Share>,
) -> Result<DecodedBatches, Undecodable> {
    let mut decoder = BatchDecoder {
        memory,
        aborted: AbortedProducers::new(aborted),
        decoded: DecodedBatches { next_offset: from, ..DecodedBatches::default() },
    };
    let mut at = 0;
    while let Some(len) = complete_batch(data, at)? {
        match decoder.step(data, at, len) {
            Ok(()) => at += len,
            Err(_) if decoder.decoded.next_offset > from => break,
            Err(Undecodable::Damaged(fault)) => {
                let offset = decoder.decoded.next_offset;
                return Err(BatchFault::After { offset, fault: fault.into() }.into());
            }
            Err(shortage) => return Err(shortage),
        }
    }
    if decoder.decoded.next_offset == from && !data.is_empty() {
        let fault = match at {
            0 => BatchFault::CutOff { offset: from, bytes: data.len() },
            _ => BatchFault::BeforeOffset(from),
        };
        return Err(fault.into());
    }
    Ok(decoder.decoded)
}

/// The length of the batch at `at`, or `None` if it is truncated.
fn complete_batch(data: &[u8], at: usize) -> Result<Option<usize>, BatchFault> {
    let mut head = Parse::new(data, at);
    let (Some(_base), Some(len)) = (head.i64(), head.i32()) else { return Ok(None) };
    let len = usize::try_from(len).ok().filter(|len| *len >= legacy::MIN_MESSAGE_BYTES).map(|len| len + OVERHEAD);
    match len {
        None if at == 0 => Err(BatchFault::Length),
        None => Ok(None),
        Some(len) => Ok(Some(len).filter(|len| data.len() - at >= *len)),
    }
}

struct BatchDecoder<'m> {
    memory: &'m Arc<Share>,
    aborted: AbortedProducers,
    decoded: DecodedBatches,
}

impl BatchDecoder<'_> {
    fn step(&mut self, data: &Bytes, at: usize, len: usize) -> Result<(), Undecodable> {
        let batch = data.slice(at..at + len);
        let (records, next) = match batch.get(MAGIC_AT) {
            Some(2) => self.decode_batch(&batch)?,
            Some(0 | 1) => legacy::read(&batch, self.decoded.next_offset, self.memory)?,
            magic => return Err(BatchFault::Format(magic.copied()).into()),
        };
        if next > self.decoded.next_offset {
            // The epoch is outside the checksum: the broker overwrites it. Older formats have none.
            let epoch = Parse::new(&batch, OVERHEAD).i32().filter(|_| batch.get(MAGIC_AT) == Some(&2));
            self.decoded.epochs.begin(self.decoded.next_offset, epoch.map_or(NO_EPOCH, Epoch::from));
            self.decoded.next_offset = next;
        }
        if !records.is_empty() {
            self.decoded.batches.push(records);
        }
        Ok(())
    }

    /// The deliverable records of a batch, and the offset after it.
    fn decode_batch(&mut self, batch: &Bytes) -> Result<(Records, Offset), Undecodable> {
        let header = BatchHeader::read(batch).ok_or(BatchFault::Header)?;
        let checked = batch.get(CHECKED_FROM..).ok_or(BatchFault::Header)?;
        if crc32c::crc32c(checked) != header.crc {
            return Err(BatchFault::Checksum.into());
        }
        let next = header.last_offset().and_then(|last| last.checked_add(1)).ok_or(BatchFault::ImpossibleOffset)?;
        if header.base_offset < 0 || header.last_offset_delta < 0 || header.count < 0 {
            return Err(BatchFault::Negative.into());
        }
        if next <= self.decoded.next_offset {
            return Ok((Records::default(), next));
        }
        let has_producer = header.producer_id >= 0;
        if has_producer {
            self.aborted.start_before(next);
        }
        if header.has(CONTROL) {
            if has_producer && is_abort_marker(batch) {
                self.aborted.end(header.producer_id);
            }
            return Ok((Records::default(), next));
        }
        if header.has(TRANSACTIONAL) && self.aborted.is_aborted(header.producer_id) {
            return Ok((Records::default(), next));
        }
        let from = self.decoded.next_offset;
        let codec = Codec::of(header.attributes).ok_or(BatchFault::Compression)?;
        let records = match codec {
            Codec::None => header.records(batch.clone(), HEADER, from, self.memory)?,
            codec => {
                let compressed = batch.get(HEADER..).unwrap_or_default();
                header.records(codec.decompress(compressed, self.memory)?, 0, from, self.memory)?
            }
        };
        Ok((records, next))
    }
}

struct BatchHeader {
    base_offset: Offset,
    crc: u32,
    /// The lower byte; the upper one is unused.
    attributes: u8,
    last_offset_delta: i32,
    base_timestamp: Timestamp,
    max_timestamp: Timestamp,
    producer_id: i64,
    count: i32,
}

impl BatchHeader {
    fn read(batch: &[u8]) -> Option<Self> {
        let base_offset = Parse::new(batch, 0).i64()?;
        let mut parse = Parse::new(batch, CRC_AT);
        let crc = u32::from_be_bytes(parse.array()?);
        let [_, attributes] = parse.array()?;
        let last_offset_delta = parse.i32()?;
        let base_timestamp = parse.i64()?;
        let max_timestamp = parse.i64()?;
        let producer_id = parse.i64()?;
        let _epoch: [u8; 2] = parse.array()?;
        let _base_sequence = parse.i32()?;
        let count = parse.i32()?;
        Some(Self {
            base_offset,
            crc,
            attributes,
            last_offset_delta,
            base_timestamp,
            max_timestamp,
            producer_id,
            count,
        })
    }

    fn has(&self, attribute: u8) -> bool {
        self.attributes & attribute != 0
    }

    fn last_offset(&self) -> Option<Offset> {
        self.base_offset.checked_add(self.last_offset_delta.into())
    }

    /// The records in `data` from index `at` on, without offsets before `from`.
    fn records(&self, data: Bytes, at: usize, from: Offset, memory: &Arc<Share>) -> Result<Records, Undecodable> {
        let mut memory = memory.empty_reservation();
        let mut records = Records::over(data.clone());
        let possible = (data.len().saturating_sub(at)) / SMALLEST_RECORD;
        let count = usize::try_from(self.count).ok().ok_or(BatchFault::Record)?;
        records.reserve_within(possible.min(count), &mut memory)?;
        let mut parse = Parse::new(&data, at);
        let mut least_delta = 0;
        for _ in 0..self.count {
            let len = parse.varint().and_then(|len| usize::try_from(len).ok()).ok_or(BatchFault::Record)?;
            let end = parse.at().checked_add(len).ok_or(BatchFault::Record)?;
            let _attributes = parse.byte().ok_or(BatchFault::Record)?;
            let timestamp_delta = parse.varlong().ok_or(BatchFault::Record)?;
            let offset_delta = parse.varint().ok_or(BatchFault::Record)?;
            if offset_delta < least_delta || offset_delta > self.last_offset_delta {
                return Err(BatchFault::Record.into());
            }
            least_delta = offset_delta + 1;
            let key = parse.byte_string().ok_or(BatchFault::Record)?;
            let value = parse.byte_string().ok_or(BatchFault::Record)?;
            let offset = self.base_offset + Offset::from(offset_delta);
            let wanted = offset >= from;
            if wanted {
                let timestamp = match self.has(LOG_APPEND_TIME) {
                    true => self.max_timestamp,
                    false => self.base_timestamp.wrapping_add(timestamp_delta),
                };
                records.reserve_one(&mut memory)?;
                records.push(offset, timestamp, key, value);
            }
            let headers = parse.varint().ok_or(BatchFault::Record)?;
            if headers < 0 {
                return Err(BatchFault::Record.into());
            }
            for _ in 0..headers {
                let name = parse.byte_string().flatten().ok_or(BatchFault::Record)?;
                let value = parse.byte_string().ok_or(BatchFault::Record)?;
                if wanted {
                    records.reserve_one(&mut memory)?;
                    records.push_header(name, value);
                }
            }
            if parse.at() != end {
                return Err(BatchFault::Record.into());
            }
        }
        if parse.at() != data.len() {
            return Err(BatchFault::Record.into());
        }
        Ok(records.with_reservation(memory))
    }
}

/// The key of a control record is its version and type; type 0 ends an aborted transaction.
fn is_abort_marker(batch: &[u8]) -> bool {
    let marker = || {
        let mut parse = Parse::new(batch, HEADER);
        let _len = parse.varint()?;
        let _attributes = parse.byte()?;
        let _timestamp_delta = parse.varlong()?;
        let _offset_delta = parse.varint()?;
        batch.get(parse.byte_string()??)
    };
    matches!(marker(), Some([_, _, 0, 0, ..]))
}

/// The producers with an aborted transaction at the current offset, as in Kafka's consumer.
struct AbortedProducers {
    /// By first offset, descending.
    upcoming: Vec<AbortedTransaction>,
    producers: Vec<i64>,
}

impl AbortedProducers {
    fn new(mut aborted: Vec<AbortedTransaction>) -> Self {
        aborted.sort_unstable_by_key(|transaction| std::cmp::Reverse(transaction.first_offset));
        Self { upcoming: aborted, producers: Vec::new() }
    }

    fn start_before(&mut self, next: Offset) {
        while let Some(transaction) = self.upcoming.pop_if(|transaction| transaction.first_offset < next) {
            if !self.producers.contains(&transaction.producer_id) {
                self.producers.push(transaction.producer_id);
            }
        }
    }

    fn end(&mut self, producer_id: i64) {
        self.producers.retain(|id| *id != producer_id);
    }

    fn is_aborted(&self, producer_id: i64) -> bool {
        self.producers.contains(&producer_id)
    }
}

#[cfg(test)]
mod tests;
