//! Message formats 0 and 1, which brokers before 4.0 return for records that clients before Kafka 0.11 wrote.
//!
//! Layout: <https://kafka.apache.org/documentation/#messageset>, KIP-31, KIP-32.

use super::compression::Codec;
use super::decode_error::{BatchFault, Undecodable};
use super::parse::{OVERHEAD, Parse};
use crate::record::{Offset, Records, SpanRef, Timestamp};
use crate::sync::memory_budget::Share;
use bytes::Bytes;
use std::sync::Arc;

/// The shortest message: checksum, magic, attributes, and two nulls.
pub const MIN_MESSAGE_BYTES: usize = 14;
/// The checksum covers everything after offset, size and checksum.
const CHECKED_FROM: usize = OVERHEAD + 4;
const LOG_APPEND_TIME: u8 = 1 << 3;
const NO_TIMESTAMP: Timestamp = -1;

struct LegacyMessage {
    offset: Offset,
    magic: u8,
    attributes: u8,
    timestamp: Timestamp,
    key: Option<SpanRef>,
    value: Option<SpanRef>,
    end: usize,
}

/// Returns the records of a message, which is one record or a compressed set, from offset `from` on, and the offset
/// after it.
pub fn read(entry: &Bytes, from: Offset, memory: &Arc<Share>) -> Result<(Records, Offset), Undecodable> {
    let message = LegacyMessage::read(entry, 0)?;
    let next = message.offset.checked_add(1).ok_or(BatchFault::ImpossibleOffset)?;
    let codec = Codec::of(message.attributes).filter(|codec| *codec != Codec::Zstd).ok_or(BatchFault::Compression)?;
    if codec == Codec::None {
        let mut records = Records::over(entry.clone());
        if message.offset >= from {
            records.push(message.offset, message.timestamp, message.key, message.value);
        }
        return Ok((records, next));
    }
    let compressed = message.value.clone().and_then(|value| entry.get(value)).ok_or(BatchFault::EmptySet)?;
    Ok((read_set(&message, codec.decompress(compressed, memory)?, from, memory)?, next))
}

/// Reads a compressed set. In format 1 its offsets are relative, and the outer offset is that of the last record
/// (KIP-31).
fn read_set(outer: &LegacyMessage, set: Bytes, from: Offset, memory: &Arc<Share>) -> Result<Records, Undecodable> {
    let mut messages = Vec::new();
    let (mut for_messages, mut for_records) = (memory.empty_reservation(), memory.empty_reservation());
    let mut at = 0;
    while at < set.len() {
        let message = LegacyMessage::read(&set, at)?;
        if Codec::of(message.attributes) != Some(Codec::None) {
            return Err(BatchFault::NestedSet.into());
        }
        at = message.end;
        for_messages.reserve_one(&mut messages)?;
        messages.push(message);
    }
    let base = match (outer.magic, messages.last()) {
        (1, Some(last)) => outer.offset.checked_sub(last.offset).ok_or(BatchFault::ImpossibleOffset)?,
        _ => 0,
    };
    let mut records = Records::over(set);
    let mut least = Offset::MIN;
    for message in messages {
        let offset = base.checked_add(message.offset).filter(|offset| *offset >= least && *offset <= outer.offset);
        let offset = offset.ok_or(BatchFault::ImpossibleOffset)?;
        least = offset + 1;
        if offset >= from {
            let by_broker = outer.attributes & LOG_APPEND_TIME != 0;
            let timestamp = if by_broker { outer.timestamp } else { message.timestamp };
            records.reserve_one(&mut for_records)?;
            records.push(offset, timestamp, message.key, message.value);
        }
    }
    Ok(records.with_reservation(for_records))
}

impl LegacyMessage {
    fn read(data: &[u8], at: usize) -> Result<Self, BatchFault> {
        let message = Self::parse(data, at).ok_or(BatchFault::Message)?;
        let mut crc = flate2::Crc::new();
        crc.update(data.get(at + CHECKED_FROM..message.end).unwrap_or_default());
        let sent = Parse::new(data, at + OVERHEAD).array().map(u32::from_be_bytes);
        if sent != Some(crc.sum()) {
            return Err(BatchFault::Checksum);
        }
        if message.magic > 1 {
            return Err(BatchFault::MixedFormats);
        }
        if !(0..Offset::MAX).contains(&message.offset) {
            return Err(BatchFault::ImpossibleOffset);
        }
        Ok(message)
    }

    fn parse(data: &[u8], at: usize) -> Option<Self> {
        let mut parse = Parse::new(data, at);
        let offset = parse.i64()?;
        let len = usize::try_from(parse.i32()?).ok()?;
        let end = parse.at().checked_add(len)?;
        let _crc = parse.i32()?;
        let magic = parse.byte()?;
        let attributes = parse.byte()?;
        let timestamp = if magic == 0 { NO_TIMESTAMP } else { parse.i64()? };
        let key = parse.legacy_byte_string()?;
        let value = parse.legacy_byte_string()?;
        (parse.at() == end).then_some(Self { offset, magic, attributes, timestamp, key, value, end })
    }
}
