//! Numbers of a few bits each, side by side in digits of base 64: most significant bit first.

use super::BadCursor;
use super::digits::{Digits, push_number};

/// Adds numbers to a text. [`finish`](Self::finish) fills the last digit up.
pub struct Packer<'a> {
    out: &'a mut String,
    /// Less than a digit.
    pending: u64,
    bits: u32,
}

impl<'a> Packer<'a> {
    pub fn new(out: &'a mut String) -> Self {
        Self { out, pending: 0, bits: 0 }
    }

    /// The lowest `bits` of `number`, at most 64.
    pub fn push(&mut self, number: u64, bits: u32) {
        for place in (0..bits).rev() {
            self.pending = self.pending << 1 | (number >> place & 1);
            self.bits += 1;
            if self.bits == 6 {
                push_number(self.out, self.pending, 1);
                (self.pending, self.bits) = (0, 0);
            }
        }
    }

    pub fn finish(mut self) {
        if self.bits > 0 {
            self.push(0, 6 - self.bits);
        }
    }
}

/// Reads what a [`Packer`] has written.
pub struct Unpacker<'a, 'd> {
    digits: &'a mut Digits<'d>,
    pending: u64,
    bits: u32,
}

impl<'a, 'd> Unpacker<'a, 'd> {
    pub fn new(digits: &'a mut Digits<'d>) -> Self {
        Self { digits, pending: 0, bits: 0 }
    }

    /// Whole digits that are not read yet.
    pub fn left(&self) -> usize {
        self.digits.len()
    }

    pub fn read(&mut self, bits: u32) -> Result<u64, BadCursor> {
        let mut number = 0;
        for _ in 0..bits {
            if self.bits == 0 {
                (self.pending, self.bits) = (self.digits.digit()?, 6);
            }
            self.bits -= 1;
            number = number << 1 | (self.pending >> self.bits & 1);
        }
        Ok(number)
    }
}

/// How many bits `number` takes.
pub fn bits_of(number: u64) -> u32 {
    u64::BITS - number.leading_zeros()
}
