//! Reads Avro's binary primitives.

use crate::schemas::mismatch::DecodeError;

/// Encoded bytes that are not yet read.
pub struct AvroReader<'b> {
    rest: &'b [u8],
    size: usize,
}

/// The longest variable-length long.
const MAX_VARINT: u32 = 10;

impl<'b> AvroReader<'b> {
    pub fn new(encoded: &'b [u8]) -> Self {
        Self { rest: encoded, size: encoded.len() }
    }

    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Returns an error that names the place.
    pub fn error(&self, reason: &str) -> DecodeError {
        DecodeError::Malformed(format!("{reason} at byte {} of {}", self.size - self.rest.len(), self.size))
    }

    pub fn take(&mut self, length: usize) -> Result<&'b [u8], DecodeError> {
        let Some((taken, rest)) = self.rest.split_at_checked(length) else {
            return Err(self.error("the value ends too early"));
        };
        self.rest = rest;
        Ok(taken)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some((taken, rest)) = self.rest.split_first_chunk() else {
            return Err(self.error("the value ends too early"));
        };
        self.rest = rest;
        Ok(*taken)
    }

    pub fn boolean(&mut self) -> Result<bool, DecodeError> {
        match self.array()? {
            [0] => Ok(false),
            [1] => Ok(true),
            [_] => Err(self.error("a boolean is neither 0 nor 1")),
        }
    }

    pub fn long(&mut self) -> Result<i64, DecodeError> {
        let mut encoded = 0_u64;
        for place in 0..MAX_VARINT {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7f);
            // The last byte of the longest form has room for one bit.
            if place + 1 == MAX_VARINT && byte > 1 {
                break;
            }
            encoded |= bits << (7 * place);
            if byte < 0x80 {
                let magnitude = (encoded >> 1).cast_signed();
                return Ok(magnitude ^ -(encoded & 1).cast_signed());
            }
        }
        Err(self.error("an integer has more than 64 bits"))
    }

    pub fn int(&mut self) -> Result<i32, DecodeError> {
        let long = self.long()?;
        i32::try_from(long).map_err(|_| self.error("an int has more than 32 bits"))
    }

    /// Reads a length and so many bytes.
    pub fn bytes(&mut self) -> Result<&'b [u8], DecodeError> {
        let length = self.long()?;
        let length = usize::try_from(length).map_err(|_| self.error("a length is negative"))?;
        self.take(length)
    }

    pub fn string(&mut self) -> Result<&'b str, DecodeError> {
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map_err(|_| self.error("a string is not UTF-8"))
    }

    /// Reads the number of items of the next block of an array or map. A block of 0 items is the end.
    pub fn block(&mut self) -> Result<u64, DecodeError> {
        let count = self.long()?;
        if count < 0 {
            // The size in bytes, for readers that skip the block.
            self.long()?;
        }
        Ok(count.unsigned_abs())
    }
}
