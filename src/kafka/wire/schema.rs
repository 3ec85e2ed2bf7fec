//! The shapes of the answers we read, checked before the codec decodes them.
//!
//! The codec reserves memory for as many elements as an array's length says before it reads the
//! first, so that 4 forged bytes ask for hundreds of gigabytes and abort the process. After this
//! check every element of every array is known to be there.

use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Message};

mod answers;
mod cluster_answers;

/// A request whose answer can be checked; only these can be sent.
pub trait ApiRequest: Message + Encodable + HeaderVersion {
    /// Kafka's "API key".
    const KEY: ApiKey;
    type Answer: Decodable + HeaderVersion;
    const SHAPE: Schema;

    /// How long the broker wants to be left alone after this response, in ms.
    fn throttle_ms(_: &Self::Answer) -> i32 {
        0
    }
}

/// What an answer looks like, in all versions up to the codec's.
pub struct Schema {
    /// From this version on: varint lengths, and tagged fields at the end of every struct (KIP-482).
    flexible: i16,
    body: StructSchema,
}

#[derive(Clone, Copy)]
struct StructSchema {
    fields: &'static [FieldSchema],
    /// Tagged fields that the codec knows: it reads them whatever size they announce.
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
    /// That many bytes.
    Fixed(usize),
    Text,
    Bytes,
    Array(&'static FieldType),
    Struct(StructSchema),
}

/// The bytes end, or a length is impossible, before the answer is complete.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed;

impl Schema {
    /// Whether `body`, an answer without its header, holds all that its lengths announce.
    pub fn check(&self, body: &[u8], version: i16) -> Result<(), Malformed> {
        let mut walk = Validator { rest: body, version, flexible: version >= self.flexible };
        walk.fields(&self.body)
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

    /// A big-endian length of `N` bytes; -1 is null.
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

    /// A length plus one, as a varint; 0 is null.
    fn compact_length(&mut self) -> Result<Option<usize>, Malformed> {
        Ok((self.varint()? as usize).checked_sub(1))
    }

    fn varint(&mut self) -> Result<u32, Malformed> {
        let mut value = 0u64;
        for place in 0..5 {
            let (byte, rest) = self.rest.split_first().ok_or(Malformed)?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f) << (7 * place);
            if *byte < 0x80 {
                return u32::try_from(value).map_err(|_| Malformed);
            }
        }
        Err(Malformed)
    }
}

#[cfg(test)]
mod tests;
