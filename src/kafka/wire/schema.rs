//! Validates responses before the codec decodes them.
//!
//! The codec allocates an array from its length before it reads the first element, so 4 forged bytes could request
//! hundreds of gigabytes and abort the process. After this validation, every element of every array is known to be
//! present.

use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Message};

mod cluster_responses;
mod responses;

/// A request whose response can be validated. No other requests can be sent.
pub trait ApiRequest: Message + Encodable + HeaderVersion {
    /// Kafka's "API key".
    const KEY: ApiKey;
    /// The type of the response.
    type Response: Decodable + HeaderVersion;
    /// The layout of the response.
    const SCHEMA: WireSchema;

    /// Returns the throttle time of a response in ms (KIP-219).
    fn throttle_ms(_: &Self::Response) -> i32 {
        0
    }
}

/// The layout of a response, in all versions up to the codec's.
pub struct WireSchema {
    /// The first version with varint lengths and with tagged fields at the end of every struct (KIP-482).
    flexible: i16,
    body: StructSchema,
}

#[derive(Clone, Copy)]
struct StructSchema {
    fields: &'static [FieldSchema],
    /// Tagged fields that the codec knows. It decodes them regardless of the size in the response.
    tags: &'static [(u32, FieldType)],
}

#[derive(Clone, Copy)]
struct FieldSchema {
    since: i16,
    until: i16,
    kind: FieldType,
}

#[derive(Clone, Copy)]
enum FieldType {
    /// A fixed number of bytes.
    Fixed(usize),
    Text,
    Bytes,
    Array(&'static FieldType),
    Struct(StructSchema),
}

/// The response ends too early, or contains an impossible length.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the response ends too early, or contains an impossible length")]
pub struct Malformed;

impl WireSchema {
    /// Checks that `body`, a response without its header, contains everything that its lengths announce.
    pub fn check(&self, body: &[u8], version: i16) -> Result<(), Malformed> {
        let mut validator = Validator { rest: body, version, flexible: version >= self.flexible };
        validator.fields(&self.body)
    }
}

struct Validator<'a> {
    rest: &'a [u8],
    version: i16,
    flexible: bool,
}

impl Validator<'_> {
    fn fields(&mut self, of: &StructSchema) -> Result<(), Malformed> {
        for field in of.fields {
            if (field.since..=field.until).contains(&self.version) {
                self.one(field.kind)?;
            }
        }
        if self.flexible { self.tagged(of.tags) } else { Ok(()) }
    }

    fn one(&mut self, kind: FieldType) -> Result<(), Malformed> {
        match kind {
            FieldType::Fixed(len) => self.skip(len),
            FieldType::Struct(fields) => self.fields(&fields),
            FieldType::Text => {
                let len = if self.flexible { self.compact_length()? } else { self.length::<2>()? };
                self.skip(len.unwrap_or(0))
            }
            FieldType::Bytes => {
                let len = if self.flexible { self.compact_length()? } else { self.length::<4>()? };
                self.skip(len.unwrap_or(0))
            }
            FieldType::Array(element) => {
                let len = if self.flexible { self.compact_length()? } else { self.length::<4>()? };
                match *element {
                    FieldType::Fixed(size) => self.skip(len.unwrap_or(0).checked_mul(size).ok_or(Malformed)?),
                    element => (0..len.unwrap_or(0)).try_for_each(|_| self.one(element)),
                }
            }
        }
    }

    fn tagged(&mut self, known: &[(u32, FieldType)]) -> Result<(), Malformed> {
        for _ in 0..self.varint()? {
            let tag = self.varint()?;
            let size = self.varint()? as usize;
            let after = self.rest.len().checked_sub(size).ok_or(Malformed)?;
            match known.iter().find(|(of, _)| *of == tag) {
                Some((_, kind)) => self.one(*kind)?,
                None => self.skip(size)?,
            }
            if self.rest.len() != after {
                return Err(Malformed);
            }
        }
        Ok(())
    }

    fn skip(&mut self, len: usize) -> Result<(), Malformed> {
        self.rest = self.rest.get(len..).ok_or(Malformed)?;
        Ok(())
    }

    /// Reads a big-endian length of `N` bytes; -1 is null.
    fn length<const N: usize>(&mut self) -> Result<Option<usize>, Malformed> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(Malformed)?;
        self.rest = rest;
        if *head == [0xff; N] {
            return Ok(None);
        }
        if head[0] >= 0x80 {
            return Err(Malformed);
        }
        Ok(Some(head.iter().fold(0, |len, byte| len << 8 | usize::from(*byte))))
    }

    /// Reads a varint that is a length plus one; 0 is null.
    fn compact_length(&mut self) -> Result<Option<usize>, Malformed> {
        Ok((self.varint()? as usize).checked_sub(1))
    }

    fn varint(&mut self) -> Result<u32, Malformed> {
        let mut value = 0u64;
        for index in 0..5 {
            let (byte, rest) = self.rest.split_first().ok_or(Malformed)?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                return u32::try_from(value).map_err(|_| Malformed);
            }
        }
        Err(Malformed)
    }
}

#[cfg(test)]
mod tests;
