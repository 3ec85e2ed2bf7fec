//! Decompressing a batch, into no more memory than allowed.

use crate::sync::lock;
use crate::sync::memory_budget::{Reservation, Share, Shortage};
use bytes::Bytes;
use ruzstd::decoding::StreamingDecoder;
use std::fmt;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

/// The lowest 3 bits of a batch's attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl Codec {
    /// `None`: not one that Kafka has.
    pub fn of(attributes: u8) -> Option<Self> {
        match attributes & 7 {
            0 => Some(Self::None),
            1 => Some(Self::Gzip),
            2 => Some(Self::Snappy),
            3 => Some(Self::Lz4),
            4 => Some(Self::Zstd),
            _ => None,
        }
    }

    /// Into memory that `memory` pays for, as it grows.
    pub fn decompress(self, bytes: &[u8], memory: &Arc<Share>) -> Result<Bytes, Undecodable> {
        let mut out = BoundedOutput::new(memory);
        let decompress = || match self {
            Self::None => out.append(bytes),
            Self::Gzip => out.inflate(flate2::bufread::MultiGzDecoder::new(bytes), bytes.len()),
            Self::Snappy => snappy(bytes, &mut out),
            Self::Lz4 => {
                out.beside = lz4_buffers(bytes);
                out.inflate(lz4_flex::frame::FrameDecoder::new(bytes), bytes.len())
            }
            Self::Zstd => zstd(bytes, &mut out),
        };
        // Anyone who may write to a topic chooses these bytes. A decoder with a flaw may cost us the
        // batch, but not the thread that reads for everybody.
        let done = catch_unwind(AssertUnwindSafe(decompress)).unwrap_or_else(|_| Err("the decoder failed".into()));
        match done {
            Ok(()) => Ok(out.memory.hold(out.bytes)),
            Err(Undecodable::Damaged(why)) => Err(format!("{self:?}: {why}").into()),
            Err(shortage) => Err(shortage),
        }
    }
}

/// Why there are no records of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undecodable {
    /// In words.
    Damaged(String),
    NoMemory(Shortage),
}

impl fmt::Display for Undecodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged(why) => f.write_str(why),
            Self::NoMemory(shortage) => shortage.fmt(f),
        }
    }
}

impl From<String> for Undecodable {
    fn from(why: String) -> Self {
        Self::Damaged(why)
    }
}

impl From<&str> for Undecodable {
    fn from(why: &str) -> Self {
        Self::Damaged(why.to_owned())
    }
}

impl From<Shortage> for Undecodable {
    fn from(shortage: Shortage) -> Self {
        Self::NoMemory(shortage)
    }
}

/// What comes out. It grows with what comes: a length that the bytes announce proves nothing.
struct BoundedOutput {
    bytes: Vec<u8>,
    memory: Reservation,
    /// What the decoder keeps beside it: so many bytes, but not more than have come out.
    beside: usize,
    /// Bytes that may come out, by the share and since records are found by 32-bit numbers.
    most: usize,
}

impl BoundedOutput {
    fn new(memory: &Arc<Share>) -> Self {
        let most = memory.largest().min(u32::MAX as usize - 1);
        Self { bytes: Vec::new(), memory: memory.nothing(), beside: 0, most }
    }

    /// Room for so many bytes more at least.
    fn make_room(&mut self, more: usize) -> Result<(), Undecodable> {
        let (length, capacity) = (self.bytes.len(), self.bytes.capacity());
        if capacity - length >= more {
            return Ok(());
        }
        let beside = |capacity: usize| self.beside.min(capacity);
        let least = length.saturating_add(more);
        if least.saturating_add(beside(least)) > self.most {
            return Err(Shortage::Always { largest: self.most }.into());
        }
        // Not twice as much: the last step would be refused where the batch itself fits.
        let capacity = least.max(capacity + capacity / 2);
        let capacity = if capacity + beside(capacity) > self.most { least } else { capacity };
        self.memory.set(capacity + beside(capacity))?;
        self.bytes.reserve_exact(capacity - length);
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Undecodable> {
        self.make_room(bytes.len())?;
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// All that the decoder has, which holds so many bytes compressed.
    fn inflate(&mut self, mut decoder: impl Read, compressed: usize) -> Result<(), Undecodable> {
        /// Of the first step, where little is compressed or much.
        const FIRST: (usize, usize) = (512, 256 << 10);
        const STEP: usize = 16 << 10;
        let first = (4 * compressed).clamp(FIRST.0, FIRST.1);
        self.make_room(first.min(self.most / 2))?;
        loop {
            let room = self.bytes.capacity() - self.bytes.len();
            let read = decoder.by_ref().take(room as u64).read_to_end(&mut self.bytes).map_err(|e| e.to_string())?;
            if read < room {
                return Ok(());
            }
            let mut next = [0];
            if decoder.read(&mut next).map_err(|e| e.to_string())? == 0 {
                return Ok(());
            }
            let left = self.most.saturating_sub(self.bytes.len());
            self.make_room(STEP.min(left).max(1))?;
            self.bytes.extend_from_slice(&next);
        }
    }
}

/// Bytes that an LZ4 frame's decoder keeps for its blocks, by the size that the frame's head names (BD, bits 4 to 6).
fn lz4_buffers(frame: &[u8]) -> usize {
    let block: usize = match frame.get(5).map(|descriptor| descriptor >> 4 & 7) {
        Some(5) => 256 << 10,
        Some(6) => 1 << 20,
        Some(7) => 4 << 20,
        _ => 64 << 10,
    };
    3 * block
}

/// One frame after another.
fn zstd(mut bytes: &[u8], out: &mut BoundedOutput) -> Result<(), Undecodable> {
    /// What level 22 takes; memory is reserved for it, and used as it fills.
    const MAX_WINDOW: u64 = 128 << 20;
    /// What up to level 19 takes.
    const USUAL_WINDOW: usize = 8 << 20;
    while !bytes.is_empty() {
        out.beside = zstd_window(bytes).unwrap_or(USUAL_WINDOW);
        // Address space has limits too (ulimit -v): large windows are taken in turns, which are short.
        let _turn = (out.beside > USUAL_WINDOW).then(|| lock(&LARGE_WINDOW));
        let compressed = bytes.len();
        let decoder = StreamingDecoder::new_with_max_window_size(&mut bytes, MAX_WINDOW);
        out.inflate(decoder.map_err(|error| error.to_string())?, compressed)?;
    }
    Ok(())
}

static LARGE_WINDOW: Mutex<()> = Mutex::new(());

/// The window of a frame (RFC 8878, 3.1.1.1). `None`: it is no frame.
fn zstd_window(frame: &[u8]) -> Option<usize> {
    let descriptor = *frame.get(4)?;
    let is_single_segment = descriptor & 0x20 != 0;
    if !is_single_segment {
        let window = *frame.get(5)?;
        let base = 1usize.checked_shl(10 + u32::from(window >> 3))?;
        return base.checked_add(base / 8 * usize::from(window & 7));
    }
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let size = frame.get(5 + dictionary..)?;
    match descriptor >> 6 {
        0 => size.first().map(|size| usize::from(*size)),
        1 => size.first_chunk::<2>().map(|size| usize::from(u16::from_le_bytes(*size)) + 256),
        2 => size.first_chunk::<4>().map(|size| u32::from_le_bytes(*size) as usize),
        _ => size.first_chunk::<8>().and_then(|size| usize::try_from(u64::from_le_bytes(*size)).ok()),
    }
}

/// Java's snappy-java writes blocks behind a header ("xerial framing"); others write one bare block.
fn snappy(bytes: &[u8], out: &mut BoundedOutput) -> Result<(), Undecodable> {
    const MAGIC: &[u8] = b"\x82SNAPPY\0";
    /// The magic, a version and the oldest version that can read it.
    const HEADER: usize = 16;
    if !bytes.starts_with(MAGIC) {
        return snappy_block(bytes, out);
    }
    let mut rest = bytes.get(HEADER..).ok_or("the header is cut off")?;
    while !rest.is_empty() {
        let (len, after) = rest.split_first_chunk::<4>().ok_or("a block's length is cut off")?;
        let len = u32::from_be_bytes(*len) as usize;
        let (block, after) = after.split_at_checked(len).ok_or("a block is cut off")?;
        snappy_block(block, out)?;
        rest = after;
    }
    Ok(())
}

fn snappy_block(block: &[u8], out: &mut BoundedOutput) -> Result<(), Undecodable> {
    /// Three bytes of snappy stand for 64 at most, so a greater length is forged.
    const MAX_RATIO: usize = 22;
    let start = out.bytes.len();
    let len = snap::raw::decompress_len(block).map_err(|error| error.to_string())?;
    if len > block.len() * MAX_RATIO {
        return Err("the announced length is impossible".into());
    }
    out.make_room(len)?;
    out.bytes.resize(start + len, 0);
    let room = out.bytes.get_mut(start..).unwrap_or_default();
    snap::raw::Decoder::new().decompress(block, room).map_err(|error| error.to_string())?;
    Ok(())
}

#[cfg(test)]
mod tests;
