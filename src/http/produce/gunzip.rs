//! Inflates gzip (RFC 1952, also of several members) a little at a time, so that what a small body holds never has to
//! be in memory at once.

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use std::io::Write;

/// Bytes that are inflated at a time: half a megabyte at most comes out of them (deflate shrinks 1032 times).
const PIECE: usize = 512;

pub struct Gunzip {
    waiting: Bytes,
    decoder: MultiGzDecoder<Vec<u8>>,
}

impl Default for Gunzip {
    fn default() -> Self {
        Self { waiting: Bytes::new(), decoder: MultiGzDecoder::new(Vec::new()) }
    }
}

impl Gunzip {
    /// `chunk` follows what was fed before, all of which has been inflated.
    pub fn feed(&mut self, chunk: Bytes) {
        self.waiting = chunk;
    }

    /// The next piece; empty: it needs to be fed.
    pub fn inflate(&mut self) -> Result<Bytes, String> {
        while !self.waiting.is_empty() {
            let piece = self.waiting.split_to(self.waiting.len().min(PIECE));
            self.decoder.write_all(&piece).and_then(|()| self.decoder.flush()).map_err(|error| error.to_string())?;
            let inflated = std::mem::take(self.decoder.get_mut());
            if !inflated.is_empty() {
                return Ok(inflated.into());
            }
        }
        Ok(Bytes::new())
    }

    /// An error where it was cut.
    pub fn end(&mut self) -> Result<(), String> {
        self.decoder.try_finish().map_err(|_| "it is cut, or its checksum is wrong".to_owned())
    }
}
