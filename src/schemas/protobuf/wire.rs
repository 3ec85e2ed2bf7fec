//! The wire format of Protobuf: fields with a number, a wire type and a value.

use crate::schemas::mismatch::DecodeError;

/// Groups and messages may be nested this deep, as in Google's libraries.
pub const MAX_DEPTH: u32 = 100;

/// How the value of a field is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireType {
    Varint,
    Fixed64,
    /// A length, then as many bytes.
    Delimited,
    /// Fields up to the end tag of the group.
    Group,
    Fixed32,
}

/// A span of the encoded bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WireSpan {
    pub start: u32,
    pub end: u32,
}

/// A field as it is written, with the span of its value.
#[derive(Debug, Clone, Copy)]
pub struct WireField {
    pub number: u32,
    pub wire_type: WireType,
    pub value: WireSpan,
}

/// Reads one field after another.
pub struct WireReader<'a> {
    /// The encoded bytes up to the end of the span.
    bytes: &'a [u8],
    at: usize,
}

impl WireSpan {
    /// Returns the span of all bytes. Fails if there are more than a `u32` can count.
    pub fn of(bytes: &[u8]) -> Result<Self, DecodeError> {
        let end = u32::try_from(bytes.len())
            .map_err(|_| DecodeError::Malformed("the message is larger than 4 GiB".to_owned()))?;
        Ok(Self { start: 0, end })
    }

    pub fn bytes(self, all: &[u8]) -> &[u8] {
        all.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

impl<'a> WireReader<'a> {
    /// Reads the fields in a span of `all`.
    pub fn new(all: &'a [u8], span: WireSpan) -> Self {
        Self { bytes: all.get(..span.end as usize).unwrap_or(all), at: span.start as usize }
    }

    /// Returns the next field, or `None` at the end of the span.
    pub fn next_field(&mut self) -> Result<Option<WireField>, DecodeError> {
        if self.at >= self.bytes.len() {
            return Ok(None);
        }
        match self.tag()? {
            (number, Some(wire_type)) => {
                let value = self.value(number, wire_type)?;
                Ok(Some(WireField { number, wire_type, value }))
            }
            (number, None) => Err(DecodeError::Malformed(format!("group {number} ends without a start"))),
        }
    }

    /// Returns the next varint of a packed field, or `None` at the end of the span.
    pub fn next_varint(&mut self) -> Result<Option<u64>, DecodeError> {
        if self.at >= self.bytes.len() { Ok(None) } else { self.varint().map(Some) }
    }

    /// Returns the next `N` bytes of a packed field, or `None` at the end of the span.
    pub fn next_fixed<const N: usize>(&mut self) -> Result<Option<[u8; N]>, DecodeError> {
        match self.bytes.get(self.at..) {
            None | Some([]) => Ok(None),
            Some(rest) => {
                let value = rest.first_chunk().ok_or_else(truncated)?;
                self.at += N;
                Ok(Some(*value))
            }
        }
    }

    /// The position of the next byte.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Reads a tag: the number and the wire type, which is missing in the end tag of a group.
    fn tag(&mut self) -> Result<(u32, Option<WireType>), DecodeError> {
        let tag = self.varint()?;
        let wire_type = match tag & 7 {
            0 => Some(WireType::Varint),
            1 => Some(WireType::Fixed64),
            2 => Some(WireType::Delimited),
            3 => Some(WireType::Group),
            4 => None,
            5 => Some(WireType::Fixed32),
            other => return Err(DecodeError::Malformed(format!("unknown wire type {other}"))),
        };
        match u32::try_from(tag >> 3) {
            Ok(number @ 1..=0x1fff_ffff) => Ok((number, wire_type)),
            _ => Err(DecodeError::Malformed(format!("the field number {} is out of range", tag >> 3))),
        }
    }

    /// Skips a value and returns its span, without the length and the end tag.
    fn value(&mut self, number: u32, wire_type: WireType) -> Result<WireSpan, DecodeError> {
        let start = self.at;
        match wire_type {
            WireType::Varint => {
                self.varint()?;
            }
            WireType::Fixed64 => self.skip(8)?,
            WireType::Fixed32 => self.skip(4)?,
            WireType::Delimited => {
                let length = self.varint()?;
                let start = self.at;
                self.skip(length)?;
                return Ok(self.span(start, self.at));
            }
            WireType::Group => {
                let end = self.skip_group(number)?;
                return Ok(self.span(start, end));
            }
        }
        Ok(self.span(start, self.at))
    }

    /// Skips a group with its end tag and returns the position of the end tag.
    fn skip_group(&mut self, number: u32) -> Result<usize, DecodeError> {
        let mut open = vec![number];
        loop {
            let start = self.at;
            if start >= self.bytes.len() {
                return Err(truncated());
            }
            match self.tag()? {
                (number, Some(WireType::Group)) => {
                    if open.len() >= MAX_DEPTH as usize {
                        return Err(too_deep());
                    }
                    open.push(number);
                }
                (number, Some(wire_type)) => {
                    self.value(number, wire_type)?;
                }
                (number, None) => {
                    if open.pop() != Some(number) {
                        return Err(DecodeError::Malformed(format!("group {number} ends without a start")));
                    }
                    if open.is_empty() {
                        return Ok(start);
                    }
                }
            }
        }
    }

    fn skip(&mut self, length: u64) -> Result<(), DecodeError> {
        let left = self.bytes.len().saturating_sub(self.at);
        match usize::try_from(length) {
            Ok(length) if length <= left => {
                self.at += length;
                Ok(())
            }
            _ => Err(truncated()),
        }
    }

    /// Reads a varint of at most 10 bytes.
    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let mut value = 0;
        for (index, byte) in rest.iter().enumerate() {
            if index == 9 && *byte > 1 {
                return Err(DecodeError::Malformed("a varint is longer than 64 bits".to_owned()));
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.at += index + 1;
                return Ok(value);
            }
        }
        Err(truncated())
    }

    /// All positions fit: [`WireSpan::of`] rejected longer bytes.
    fn span(&self, start: usize, end: usize) -> WireSpan {
        WireSpan { start: start as u32, end: end as u32 }
    }
}

pub fn truncated() -> DecodeError {
    DecodeError::Malformed("the message is cut off".to_owned())
}

pub fn too_deep() -> DecodeError {
    DecodeError::Malformed(format!("messages are nested more than {MAX_DEPTH} deep"))
}

/// Appends a varint.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends the tag of a field.
pub fn put_tag(out: &mut Vec<u8>, number: u32, wire_type: WireType) {
    let code = match wire_type {
        WireType::Varint => 0,
        WireType::Fixed64 => 1,
        WireType::Delimited => 2,
        WireType::Group => 3,
        WireType::Fixed32 => 5,
    };
    put_varint(out, u64::from(number) << 3 | code);
}

/// Writes a string as a field.
pub fn put_text(out: &mut Vec<u8>, number: u32, text: &str) {
    put_tag(out, number, WireType::Delimited);
    put_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Appends the end tag of a group.
pub fn put_group_end(out: &mut Vec<u8>, number: u32) {
    put_varint(out, u64::from(number) << 3 | 4);
}

pub fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

pub fn from_zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}
