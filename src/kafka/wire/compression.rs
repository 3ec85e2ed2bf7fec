//! Decompressing a batch, into no more memory than allowed.

use bytes::Bytes;
use ruzstd::decoding::StreamingDecoder;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};

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

    /// At most `max` bytes; more are an error, in words.
    pub fn decompress(self, bytes: &[u8], max: usize) -> Result<Bytes, String> {
        let decompress = || match self {
            Self::None if bytes.len() > max => Err(too_large(max)),
            Self::None => Ok(bytes.to_vec()),
            Self::Gzip => read(flate2::bufread::MultiGzDecoder::new(bytes), bytes.len(), max),
            Self::Snappy => snappy(bytes, max),
            Self::Lz4 => read(lz4_flex::frame::FrameDecoder::new(bytes), bytes.len(), max),
            Self::Zstd => zstd(bytes, max),
        };
        // Anyone who may write to a topic chooses these bytes. A decoder with a flaw may cost us the
        // batch, but not the thread that reads for everybody.
        let mut whole = catch_unwind(AssertUnwindSafe(decompress))
            .unwrap_or_else(|_| Err("the decoder failed".to_owned()))
            .map_err(|why| format!("{self:?}: {why}"))?;
        whole.shrink_to_fit();
        Ok(whole.into())
    }
}

/// Grows with what comes: a length that the bytes announce is not believed.
fn read(decoder: impl Read, compressed: usize, max: usize) -> Result<Vec<u8>, String> {
    let mut whole = Vec::with_capacity((4 * compressed).min(max));
    append(decoder, &mut whole, max)?;
    Ok(whole)
}

fn append(decoder: impl Read, whole: &mut Vec<u8>, max: usize) -> Result<(), String> {
    let room = (max - whole.len()) as u64;
    decoder.take(room + 1).read_to_end(whole).map_err(|error| error.to_string())?;
    if whole.len() > max { Err(too_large(max)) } else { Ok(()) }
}

fn too_large(max: usize) -> String {
    format!("more than {max} bytes after decompression")
}

/// One frame after another.
fn zstd(mut bytes: &[u8], max: usize) -> Result<Vec<u8>, String> {
    /// What level 22 takes; memory is reserved for it, and used as it fills.
    const MAX_WINDOW: u64 = 128 << 20;
    let mut whole = Vec::with_capacity((4 * bytes.len()).min(max));
    while !bytes.is_empty() {
        let decoder = StreamingDecoder::new_with_max_window_size(&mut bytes, MAX_WINDOW);
        append(decoder.map_err(|error| error.to_string())?, &mut whole, max)?;
    }
    Ok(whole)
}

/// Java's snappy-java writes blocks behind a header ("xerial framing"); others write one bare block.
fn snappy(bytes: &[u8], max: usize) -> Result<Vec<u8>, String> {
    const MAGIC: &[u8] = b"\x82SNAPPY\0";
    /// The magic, a version and the oldest version that can read it.
    const HEADER: usize = 16;
    let mut whole = Vec::new();
    if !bytes.starts_with(MAGIC) {
        snappy_block(bytes, &mut whole, max)?;
        return Ok(whole);
    }
    let mut rest = bytes.get(HEADER..).ok_or("the header is cut off")?;
    while !rest.is_empty() {
        let (len, after) = rest.split_first_chunk::<4>().ok_or("a block's length is cut off")?;
        let len = u32::from_be_bytes(*len) as usize;
        let (block, after) = after.split_at_checked(len).ok_or("a block is cut off")?;
        snappy_block(block, &mut whole, max)?;
        rest = after;
    }
    Ok(whole)
}

fn snappy_block(block: &[u8], whole: &mut Vec<u8>, max: usize) -> Result<(), String> {
    /// Three bytes of snappy stand for 64 at most, so a greater length is forged.
    const MAX_RATIO: usize = 22;
    let start = whole.len();
    let len = snap::raw::decompress_len(block).map_err(|error| error.to_string())?;
    if len > max - start {
        return Err(too_large(max));
    }
    if len > block.len() * MAX_RATIO {
        return Err("the announced length is impossible".to_owned());
    }
    whole.resize(start + len, 0);
    let room = whole.get_mut(start..).unwrap_or_default();
    snap::raw::Decoder::new().decompress(block, room).map_err(|error| error.to_string())?;
    Ok(())
}

#[cfg(test)]
mod tests;
