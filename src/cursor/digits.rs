//! Numbers in digits of base 64 (RFC 4648's URL-safe alphabet), most significant digit first.

use super::BadCursor;
use super::text::CHECK;
use crate::record::Offset;

pub const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// More partitions than Kafka's own limits allow a topic in practice; bounds what a forged count can cost.
pub const MAX_PARTITIONS: usize = 100_000;

/// How many digits `offset` takes.
pub fn digits_of(offset: Offset) -> usize {
    let bits = (Offset::BITS - offset.leading_zeros()) as usize;
    bits.div_ceil(6).max(1)
}

pub fn write_digits(out: &mut [u8], mut number: u64) {
    for digit in out.iter_mut().rev() {
        *digit = DIGITS[(number % 64) as usize];
        number /= 64;
    }
}

pub fn push_number(out: &mut String, number: u64, width: usize) {
    for place in (0..width).rev() {
        out.push(char::from(DIGITS[(number >> (6 * place)) as usize % 64]));
    }
}

pub fn push_check(out: &mut String) {
    let check = crc32c::crc32c(out.as_bytes());
    push_number(out, check.into(), CHECK);
}

/// What is left to read.
pub struct Digits<'a>(&'a [u8]);

impl<'a> Digits<'a> {
    pub fn of(text: &'a str) -> Self {
        Self(text.as_bytes())
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn digit(&mut self) -> Result<u64, BadCursor> {
        let (first, rest) = self.0.split_first().ok_or(BadCursor::Damaged)?;
        self.0 = rest;
        let value = match first {
            b'A'..=b'Z' => first - b'A',
            b'a'..=b'z' => first - b'a' + 26,
            b'0'..=b'9' => first - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return Err(BadCursor::Damaged),
        };
        Ok(value.into())
    }

    /// `u64::MAX` at most: 11 digits hold 66 bits, so the top ones are checked.
    pub fn number(&mut self, width: usize) -> Result<u64, BadCursor> {
        let mut number = 0u64;
        for _ in 0..width {
            number = number.checked_mul(64).ok_or(BadCursor::Damaged)? + self.digit()?;
        }
        Ok(number)
    }

    /// A count of version 0: 5 bits a digit, least significant first; 32: more.
    pub fn count(&mut self) -> Result<usize, BadCursor> {
        let mut count = 0;
        for place in 0..4 {
            let digit = self.digit()? as usize;
            count |= (digit % 32) << (5 * place);
            if digit < 32 {
                return if count <= MAX_PARTITIONS { Ok(count) } else { Err(BadCursor::Damaged) };
            }
        }
        Err(BadCursor::Damaged)
    }
}
