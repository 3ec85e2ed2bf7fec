//! Decompresses batches within the memory budget.

use super::decode_error::{BatchFault, Undecodable};
use crate::broker::Cause;
use crate::sync::lock;
use crate::sync::memory_budget::{Reservation, Share, Shortage};
use bytes::Bytes;
use ruzstd::decoding::StreamingDecoder;
use ruzstd::decoding::errors::FrameDecoderError;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

/// A compression codec: the lowest 3 bits of a batch's attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl Codec {
    /// Returns the codec in a batch's attributes; `None` if Kafka does not define it.
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

    fn name(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Gzip => "Gzip",
            Self::Snappy => "Snappy",
            Self::Lz4 => "Lz4",
            Self::Zstd => "Zstd",
        }
    }

    /// Decompresses `bytes`. The output is charged to `memory` as it grows. Fails with `Damaged` for invalid bytes and with
    /// `NoMemory` if the budget is exhausted.
    pub fn decompress(self, bytes: &[u8], memory: &Arc<Share>) -> Result<Bytes, Undecodable> {
        let mut out = BoundedOutput::new(memory);
        let decompress = || match self {
            Self::None => out.append(bytes),
            Self::Gzip => out.inflate(flate2::bufread::MultiGzDecoder::new(bytes), bytes.len()),
            Self::Snappy => snappy(bytes, &mut out),
            Self::Lz4 => {
                out.decoder_buffers = lz4_buffers(bytes);
                out.inflate(lz4_flex::frame::FrameDecoder::new(bytes), bytes.len())
            }
            Self::Zstd => zstd(bytes, &mut out),
        };
        // Any producer with write access to the topic chooses these bytes. A bug in a decoder may cost the batch, but not
        // the thread that reads for all clients.
        let done =
            catch_unwind(AssertUnwindSafe(decompress)).unwrap_or(Err(CodecError::Invalid("the decoder panicked")));
        match done {
            Ok(()) => Ok(out.memory.hold(out.bytes)),
            Err(CodecError::NoMemory(shortage)) => Err(shortage.into()),
            Err(invalid) => Err(BatchFault::Decompression { codec: self.name(), cause: Cause::new(invalid) }.into()),
        }
    }
}

/// Why bytes cannot be decompressed. Every variant except `NoMemory` means that the bytes are invalid.
#[derive(Debug, thiserror::Error)]
enum CodecError {
    #[error("{0}")]
    Invalid(&'static str),
    #[error(transparent)]
    Read(#[from] io::Error),
    #[error(transparent)]
    Snappy(#[from] snap::Error),
    #[error(transparent)]
    Zstd(#[from] FrameDecoderError),
    #[error(transparent)]
    NoMemory(#[from] Shortage),
}

/// The decompressed bytes. The buffer grows with actual output, because a length in the input may be forged.
struct BoundedOutput {
    bytes: Vec<u8>,
    memory: Reservation,
    /// The size of the decoder's buffers in bytes. It counts against the memory budget too, but never as more than the
    /// capacity of `bytes`.
    decoder_buffers: usize,
    /// The limit of the output in bytes, from the budget and because records are referenced by 32-bit positions.
    limit: usize,
}

impl BoundedOutput {
    fn new(memory: &Arc<Share>) -> Self {
        let limit = memory.largest().min(u32::MAX as usize - 1);
        Self { bytes: Vec::new(), memory: memory.empty_reservation(), decoder_buffers: 0, limit }
    }

    /// Makes sure that at least `more` bytes fit.
    fn make_room(&mut self, more: usize) -> Result<(), CodecError> {
        let (length, capacity) = (self.bytes.len(), self.bytes.capacity());
        if capacity - length >= more {
            return Ok(());
        }
        let beside = |capacity: usize| self.decoder_buffers.min(capacity);
        let least = length.saturating_add(more);
        if least.saturating_add(beside(least)) > self.limit {
            return Err(Shortage::Always { largest: self.limit }.into());
        }
        // Not doubled, because the last step could exceed the budget although the batch fits.
        let capacity = least.max(capacity + capacity / 2);
        let capacity = if capacity + beside(capacity) > self.limit { least } else { capacity };
        self.memory.set(capacity + beside(capacity))?;
        self.bytes.reserve_exact(capacity - length);
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), CodecError> {
        self.make_room(bytes.len())?;
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// Appends the entire output of `decoder`, whose input has `compressed` bytes.
    fn inflate(&mut self, mut decoder: impl Read, compressed: usize) -> Result<(), CodecError> {
        /// The limits of the first allocation.
        const FIRST: (usize, usize) = (512, 256 << 10);
        const STEP: usize = 16 << 10;
        let first = (4 * compressed).clamp(FIRST.0, FIRST.1);
        self.make_room(first.min(self.limit / 2))?;
        loop {
            let room = self.bytes.capacity() - self.bytes.len();
            let read = decoder.by_ref().take(room as u64).read_to_end(&mut self.bytes)?;
            if read < room {
                return Ok(());
            }
            let mut next = [0];
            if decoder.read(&mut next)? == 0 {
                return Ok(());
            }
            let left = self.limit.saturating_sub(self.bytes.len());
            self.make_room(STEP.min(left).max(1))?;
            self.bytes.extend_from_slice(&next);
        }
    }
}

/// Returns how many bytes an LZ4 decoder buffers, by the block size in the frame header (BD, bits 4 to 6).
fn lz4_buffers(frame: &[u8]) -> usize {
    let block: usize = match frame.get(5).map(|descriptor| descriptor >> 4 & 7) {
        Some(5) => 256 << 10,
        Some(6) => 1 << 20,
        Some(7) => 4 << 20,
        _ => 64 << 10,
    };
    3 * block
}

/// Decompresses a sequence of zstd frames.
fn zstd(mut bytes: &[u8], out: &mut BoundedOutput) -> Result<(), CodecError> {
    /// The window of level 22. Its memory is reserved at once, but used only as it fills.
    const MAX_WINDOW: u64 = 128 << 20;
    /// The largest window of levels up to 19.
    const USUAL_WINDOW: usize = 8 << 20;
    while !bytes.is_empty() {
        out.decoder_buffers = zstd_window(bytes).unwrap_or(USUAL_WINDOW);
        // Address space may be limited too (ulimit -v), so only one large window exists at a time.
        let _turn = (out.decoder_buffers > USUAL_WINDOW).then(|| lock(&LARGE_WINDOW));
        let compressed = bytes.len();
        let decoder = StreamingDecoder::new_with_max_window_size(&mut bytes, MAX_WINDOW);
        out.inflate(decoder?, compressed)?;
    }
    Ok(())
}

static LARGE_WINDOW: Mutex<()> = Mutex::new(());

/// Returns the window size of a frame (RFC 8878, 3.1.1.1); `None` if the header is incomplete or invalid.
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

/// Decompresses snappy. The snappy-java library writes blocks after a header ("xerial framing"); other libraries write
/// one block without a header.
fn snappy(bytes: &[u8], out: &mut BoundedOutput) -> Result<(), CodecError> {
    const MAGIC: &[u8] = b"\x82SNAPPY\0";
    /// Magic, version, and oldest compatible version.
    const HEADER: usize = 16;
    if !bytes.starts_with(MAGIC) {
        return snappy_block(bytes, out);
    }
    let mut rest = bytes.get(HEADER..).ok_or(CodecError::Invalid("the header is cut off"))?;
    while !rest.is_empty() {
        let (len, after) = rest.split_first_chunk::<4>().ok_or(CodecError::Invalid("a block's length is cut off"))?;
        let len = u32::from_be_bytes(*len) as usize;
        let (block, after) = after.split_at_checked(len).ok_or(CodecError::Invalid("a block is cut off"))?;
        snappy_block(block, out)?;
        rest = after;
    }
    Ok(())
}

fn snappy_block(block: &[u8], out: &mut BoundedOutput) -> Result<(), CodecError> {
    /// Three bytes of snappy decompress to at most 64, so a higher ratio is forged.
    const MAX_RATIO: usize = 22;
    let start = out.bytes.len();
    let len = snap::raw::decompress_len(block)?;
    if len > block.len() * MAX_RATIO {
        return Err(CodecError::Invalid("the announced length is impossible"));
    }
    out.make_room(len)?;
    out.bytes.resize(start + len, 0);
    let room = out.bytes.get_mut(start..).unwrap_or_default();
    snap::raw::Decoder::new().decompress(block, room)?;
    Ok(())
}

#[cfg(test)]
mod tests;
