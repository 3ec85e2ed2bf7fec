//! Numbers in base-64 digits of the URL-safe alphabet (RFC 4648), most significant digit first.

use super::CursorError;
use crate::record::Offset;

/// The alphabet.
pub const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// Digits of the checksum at the end of a cursor.
pub const CHECK_DIGITS: usize = 4;
/// The limit of partitions in one topic, above what Kafka supports in practice. Bounds the cost of a forged count.
pub const MAX_PARTITIONS: usize = 100_000;

/// The number of digits that `offset` needs.
pub fn digits_of(offset: Offset) -> usize {
    let bits = (Offset::BITS - offset.leading_zeros()) as usize;
    bits.div_ceil(6).max(1)
}

/// Writes `number`, padded with zeros, into all of `out`.
pub fn write_digits(out: &mut [u8], mut number: u64) {
    for digit in out.iter_mut().rev() {
        *digit = DIGITS[(number % 64) as usize];
        number /= 64;
    }
}

/// Appends `number` with `width` digits.
pub fn push_number(out: &mut String, number: u64, width: usize) {
    for index in (0..width).rev() {
        out.push(char::from(DIGITS[(number >> (6 * index)) as usize % 64]));
    }
}

/// Appends the checksum of `out`.
pub fn push_check(out: &mut String) {
    let check = crc32c::crc32c(out.as_bytes());
    push_number(out, check.into(), CHECK_DIGITS);
}

/// The digits that are not read yet.
pub struct Digits<'a>(&'a [u8]);

impl<'a> Digits<'a> {
    /// Reads from the start of `text`.
    pub fn of(text: &'a str) -> Self {
        Self(text.as_bytes())
    }

    /// Returns the number of digits that are left.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether no digit is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads one digit. Fails at the end, or for a character that is not in the alphabet.
    pub fn digit(&mut self) -> Result<u64, CursorError> {
        let (first, rest) = self.0.split_first().ok_or(CursorError::Damaged)?;
        self.0 = rest;
        let value = match first {
            b'A'..=b'Z' => first - b'A',
            b'a'..=b'z' => first - b'a' + 26,
            b'0'..=b'9' => first - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return Err(CursorError::Damaged),
        };
        Ok(value.into())
    }

    /// Reads a number of `width` digits. Fails if it exceeds `u64::MAX`, since 11 digits hold 66 bits.
    pub fn number(&mut self, width: usize) -> Result<u64, CursorError> {
        let mut number = 0u64;
        for _ in 0..width {
            number = number.checked_mul(64).ok_or(CursorError::Damaged)? + self.digit()?;
        }
        Ok(number)
    }

    /// Reads a count of version 0: 5 bits in each digit, least significant digit first; 32 marks that more digits follow.
    pub fn count(&mut self) -> Result<usize, CursorError> {
        let mut count = 0;
        for index in 0..4 {
            let digit = self.digit()? as usize;
            count |= (digit % 32) << (5 * index);
            if digit < 32 {
                return if count <= MAX_PARTITIONS { Ok(count) } else { Err(CursorError::Damaged) };
            }
        }
        Err(CursorError::Damaged)
    }
}
