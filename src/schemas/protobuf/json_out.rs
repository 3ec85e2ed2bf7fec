//! JSON that is appended to a buffer up to a limit.

use crate::schemas::mismatch::DecodeError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use std::fmt::Write as _;
use std::io;

/// Writes at most a given number of bytes: a small message may have a large JSON form, with the names of all its fields.
pub struct BoundedJson<'a> {
    out: &'a mut Vec<u8>,
    /// The length that `out` may have.
    end: usize,
}

impl<'a> BoundedJson<'a> {
    pub fn new(out: &'a mut Vec<u8>, most: usize) -> Self {
        let end = out.len().saturating_add(most);
        Self { out, end }
    }

    pub fn raw(&mut self, text: &str) -> Result<(), DecodeError> {
        if text.len() > self.left() {
            return Err(DecodeError::TooLarge);
        }
        self.out.extend_from_slice(text.as_bytes());
        Ok(())
    }

    /// Writes a number, a string or a Boolean.
    pub fn value(&mut self, value: impl Serialize) -> Result<(), DecodeError> {
        // Only the limit makes this fail: numbers and strings always have a JSON form.
        serde_json::to_writer(self, &value).map_err(|_| DecodeError::TooLarge)
    }

    /// Writes a string from UTF-8 bytes.
    pub fn text(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        let text =
            std::str::from_utf8(bytes).map_err(|_| DecodeError::Malformed("a string is not UTF-8".to_owned()))?;
        self.value(text)
    }

    /// Writes a number as a string, as the names of members must be.
    pub fn quoted(&mut self, value: impl std::fmt::Display) -> Result<(), DecodeError> {
        self.raw("\"")?;
        write!(self, "{value}").map_err(|_| DecodeError::TooLarge)?;
        self.raw("\"")
    }

    /// JSON has no infinities and no NaN: they are strings.
    pub fn double(&mut self, value: f64) -> Result<(), DecodeError> {
        match value {
            value if value.is_finite() => self.value(value),
            value => self.raw(special(value)),
        }
    }

    /// Writes the shortest digits that make the same `f32`.
    pub fn float(&mut self, value: f32) -> Result<(), DecodeError> {
        match value {
            value if value.is_finite() => self.value(value),
            value => self.raw(special(f64::from(value))),
        }
    }

    pub fn base64(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        self.raw("\"")?;
        let length = bytes.len().div_ceil(3).saturating_mul(4);
        if length > self.left() {
            return Err(DecodeError::TooLarge);
        }
        let start = self.out.len();
        self.out.resize(start + length, 0);
        let space = self.out.get_mut(start..).unwrap_or_default();
        STANDARD.encode_slice(bytes, space).map_err(|_| DecodeError::TooLarge)?;
        self.raw("\"")
    }

    fn left(&self) -> usize {
        self.end.saturating_sub(self.out.len())
    }
}

impl io::Write for BoundedJson<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.left() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl std::fmt::Write for BoundedJson<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.raw(text).map_err(|_| std::fmt::Error)
    }
}

fn special(value: f64) -> &'static str {
    if value.is_nan() {
        "\"NaN\""
    } else if value > 0.0 {
        "\"Infinity\""
    } else {
        "\"-Infinity\""
    }
}
