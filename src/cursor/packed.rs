//! Numbers of a few bits each, packed into base-64 digits, most significant bit first.

use super::CursorError;
use super::digits::{Digits, push_number};

/// Appends numbers to a text. [`finish`](Self::finish) pads the last digit.
pub struct Packer<'a> {
    out: &'a mut String,
    /// Bits that do not fill a digit yet.
    pending: u64,
    bits: u32,
}

impl<'a> Packer<'a> {
    /// Creates a packer that appends to `out`.
    pub fn new(out: &'a mut String) -> Self {
        Self { out, pending: 0, bits: 0 }
    }

    /// Appends the lowest `bits` bits of `number`, at most 64.
    pub fn push(&mut self, number: u64, bits: u32) {
        for index in (0..bits).rev() {
            self.pending = self.pending << 1 | (number >> index & 1);
            self.bits += 1;
            if self.bits == 6 {
                push_number(self.out, self.pending, 1);
                (self.pending, self.bits) = (0, 0);
            }
        }
    }

    /// Pads the last digit with zero bits.
    pub fn finish(mut self) {
        if self.bits > 0 {
            self.push(0, 6 - self.bits);
        }
    }
}

/// Reads the numbers that a [`Packer`] has written.
pub struct Unpacker<'a, 'd> {
    digits: &'a mut Digits<'d>,
    pending: u64,
    bits: u32,
}

impl<'a, 'd> Unpacker<'a, 'd> {
    /// Creates an unpacker that takes digits from `digits` as it needs them.
    pub fn new(digits: &'a mut Digits<'d>) -> Self {
        Self { digits, pending: 0, bits: 0 }
    }

    /// The number of digits of which no bit is read yet.
    pub fn left(&self) -> usize {
        self.digits.len()
    }

    /// Reads a number of `bits` bits.
    pub fn read(&mut self, bits: u32) -> Result<u64, CursorError> {
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

/// The number of bits that `number` needs.
pub fn bits_of(number: u64) -> u32 {
    u64::BITS - number.leading_zeros()
}
