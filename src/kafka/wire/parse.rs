//! Reads the fields of a batch: integers, zigzag varints, and byte strings. `None` means that the bytes end too early or are
//! invalid.

use crate::record::SpanRef;

/// The size of the fields that the length of a log entry does not count: the offset (8 bytes) and the length itself (4
/// bytes).
pub const OVERHEAD: usize = 12;

/// A position in a batch's bytes. Returned ranges are always within them.
pub struct Parse<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Parse<'a> {
    /// Starts at index `at` of `data`.
    pub fn new(data: &'a [u8], at: usize) -> Self {
        Self { data, at }
    }

    /// Returns the index of the next byte.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Reads one byte.
    pub fn byte(&mut self) -> Option<u8> {
        let byte = *self.data.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    /// Reads `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let bytes = self.data.get(self.at..)?.first_chunk::<N>()?;
        self.at += N;
        Some(*bytes)
    }

    /// Reads a big-endian number of 4 bytes.
    pub fn i32(&mut self) -> Option<i32> {
        self.array().map(i32::from_be_bytes)
    }

    /// Reads a big-endian number of 8 bytes.
    pub fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_be_bytes)
    }

    /// Reads a zigzag varint of up to 32 bits. Nearly all varints in a batch have one byte.
    #[inline]
    pub fn varint(&mut self) -> Option<i32> {
        match self.byte()? {
            short @ ..0x80 => Some(i32::from(short >> 1) ^ -i32::from(short & 1)),
            first => self.longer(first).and_then(|long| i32::try_from(long).ok()),
        }
    }

    /// Reads a zigzag varint of up to 64 bits.
    #[inline]
    pub fn varlong(&mut self) -> Option<i64> {
        match self.byte()? {
            short @ ..0x80 => Some(i64::from(short >> 1) ^ -i64::from(short & 1)),
            first => self.longer(first),
        }
    }

    fn longer(&mut self, first: u8) -> Option<i64> {
        let mut value = u64::from(first & 0x7f);
        for shift in (7..70).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Some((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        None
    }

    /// Reads a byte string with a varint length; -1 is null.
    #[inline]
    pub fn byte_string(&mut self) -> Option<Option<SpanRef>> {
        let len = self.varint()?;
        self.take(len)
    }

    /// Reads a byte string with a 4-byte length (message formats 0 and 1); -1 is null.
    pub fn legacy_byte_string(&mut self) -> Option<Option<SpanRef>> {
        let len = self.i32()?;
        self.take(len)
    }

    #[inline]
    fn take(&mut self, len: i32) -> Option<Option<SpanRef>> {
        let Ok(len) = usize::try_from(len) else {
            return if len == -1 { Some(None) } else { None };
        };
        let start = self.at;
        let end = start.checked_add(len).filter(|end| *end <= self.data.len())?;
        self.at = end;
        Some(Some(start..end))
    }
}

#[cfg(test)]
pub fn write_varint(out: &mut Vec<u8>, value: i64) {
    let mut bits = (value << 1 ^ value >> 63) as u64;
    while bits >= 0x80 {
        out.push(bits as u8 | 0x80);
        bits >>= 7;
    }
    out.push(bits as u8);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_varint_reads_back(value in any::<i64>(), shift in 0..64u32) {
            let value = value >> shift;
            let mut bytes = Vec::new();
            write_varint(&mut bytes, value);
            let mut parse = Parse::new(&bytes, 0);
            prop_assert_eq!(parse.varlong(), Some(value));
            prop_assert_eq!(parse.at(), bytes.len());
            prop_assert_eq!(Parse::new(&bytes, 0).varint(), i32::try_from(value).ok());
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..20)) {
            for at in 0..22 {
                Parse::new(&bytes, at).varint();
                Parse::new(&bytes, at).varlong();
                let part = Parse::new(&bytes, at).byte_string();
                prop_assert!(part.flatten().is_none_or(|part| bytes.get(part).is_some()));
                let part = Parse::new(&bytes, at).legacy_byte_string();
                prop_assert!(part.flatten().is_none_or(|part| bytes.get(part).is_some()));
            }
        }
    }

    #[test]
    fn a_varint_of_eleven_bytes_is_invalid() {
        assert_eq!(Parse::new(&[0xff; 11], 0).varlong(), None);
        assert_eq!(Parse::new(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2], 0).varlong(), None);
    }
}
