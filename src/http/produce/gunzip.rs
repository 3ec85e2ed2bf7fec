//! Decompresses gzip (RFC 1952, including several members) in small pieces, so that a small body that expands to a large
//! one is never completely in memory.

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use std::io::{self, Write};

/// Compressed bytes per step. Deflate expands at most 1032 times, so a step yields at most half a megabyte.
const PIECE: usize = 512;

pub struct Gunzip {
    waiting: Bytes,
    decoder: MultiGzDecoder<Vec<u8>>,
}

/// The data is not gzip.
#[derive(Debug, thiserror::Error)]
pub enum InvalidGzip {
    #[error(transparent)]
    Malformed(io::Error),
    #[error("it was cut off, or its checksum is wrong")]
    CutOff(#[source] io::Error),
}

impl Default for Gunzip {
    fn default() -> Self {
        Self { waiting: Bytes::new(), decoder: MultiGzDecoder::new(Vec::new()) }
    }
}

impl Gunzip {
    /// Sets the next compressed chunk. The previous one must be decompressed completely.
    pub fn feed(&mut self, chunk: Bytes) {
        self.waiting = chunk;
    }

    /// Returns the next decompressed piece; empty if it needs another chunk.
    pub fn inflate(&mut self) -> Result<Bytes, InvalidGzip> {
        while !self.waiting.is_empty() {
            let piece = self.waiting.split_to(self.waiting.len().min(PIECE));
            self.decoder.write_all(&piece).and_then(|()| self.decoder.flush()).map_err(InvalidGzip::Malformed)?;
            let inflated = std::mem::take(self.decoder.get_mut());
            if !inflated.is_empty() {
                return Ok(inflated.into());
            }
        }
        Ok(Bytes::new())
    }

    /// Fails if the data was cut off.
    pub fn end(&mut self) -> Result<(), InvalidGzip> {
        self.decoder.try_finish().map_err(InvalidGzip::CutOff)
    }
}
