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
pub trait Call: Message + Encodable + HeaderVersion {
    /// Kafka's "API key".
    const KEY: ApiKey;
    type Answer: Decodable + HeaderVersion;
    const SHAPE: Shape;

    /// How long the broker wants to be left alone after this response, in ms.
    fn throttle_ms(_: &Self::Answer) -> i32 {
        0
    }
}

/// What an answer looks like, in all versions up to the codec's.
pub struct Shape {
    /// From this version on: varint lengths, and tagged fields at the end of every struct (KIP-482).
    flexible: i16,
    body: Struct,
}

#[derive(Clone, Copy)]
struct Struct {
    fields: &'static [Field],
    /// Tagged fields that the codec knows: it reads them whatever size they announce.
    tags: &'static [(u32, Kind)],
}

#[derive(Clone, Copy)]
struct Field {
    since: i16,
    until: i16,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    /// That many bytes.
    Fixed(usize),
    Text,
    Bytes,
    Array(&'static Kind),
    Struct(Struct),
}

/// The bytes end, or a length is impossible, before the answer is complete.
#[derive(Debug, PartialEq, Eq)]
pub struct Misshapen;

impl Shape {
    /// Whether `body`, an answer without its header, holds all that its lengths announce.
    pub fn check(&self, body: &[u8], version: i16) -> Result<(), Misshapen> {
        let mut walk = Walk { rest: body, version, flexible: version >= self.flexible };
        walk.fields(&self.body)
    }
}

struct Walk<'a> {
    rest: &'a [u8],
    version: i16,
    flexible: bool,
}

impl Walk<'_> {
    fn fields(&mut self, of: &Struct) -> Result<(), Misshapen> {
        for field in of.fields {
            if (field.since..=field.until).contains(&self.version) {
                self.one(field.kind)?;
            }
        }
        if self.flexible { self.tagged(of.tags) } else { Ok(()) }
    }

    fn one(&mut self, kind: Kind) -> Result<(), Misshapen> {
        match kind {
            Kind::Fixed(len) => self.skip(len),
            Kind::Struct(fields) => self.fields(&fields),
            Kind::Text => {
                let len = if self.flexible { self.compact_length()? } else { self.length::<2>()? };
                self.skip(len.unwrap_or(0))
            }
            Kind::Bytes => {
                let len = if self.flexible { self.compact_length()? } else { self.length::<4>()? };
                self.skip(len.unwrap_or(0))
            }
            Kind::Array(element) => {
                let len = if self.flexible { self.compact_length()? } else { self.length::<4>()? };
                match *element {
                    Kind::Fixed(size) => self.skip(len.unwrap_or(0).checked_mul(size).ok_or(Misshapen)?),
                    element => (0..len.unwrap_or(0)).try_for_each(|_| self.one(element)),
                }
            }
        }
    }

    fn tagged(&mut self, known: &[(u32, Kind)]) -> Result<(), Misshapen> {
        for _ in 0..self.varint()? {
            let tag = self.varint()?;
            let size = self.varint()? as usize;
            let after = self.rest.len().checked_sub(size).ok_or(Misshapen)?;
            match known.iter().find(|(of, _)| *of == tag) {
                Some((_, kind)) => self.one(*kind)?,
                None => self.skip(size)?,
            }
            if self.rest.len() != after {
                return Err(Misshapen);
            }
        }
        Ok(())
    }

    fn skip(&mut self, len: usize) -> Result<(), Misshapen> {
        self.rest = self.rest.get(len..).ok_or(Misshapen)?;
        Ok(())
    }

    /// A big-endian length of `N` bytes; -1 is null.
    fn length<const N: usize>(&mut self) -> Result<Option<usize>, Misshapen> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(Misshapen)?;
        self.rest = rest;
        if *head == [0xff; N] {
            return Ok(None);
        }
        if head[0] >= 0x80 {
            return Err(Misshapen);
        }
        Ok(Some(head.iter().fold(0, |len, byte| len << 8 | usize::from(*byte))))
    }

    /// A length plus one, as a varint; 0 is null.
    fn compact_length(&mut self) -> Result<Option<usize>, Misshapen> {
        Ok((self.varint()? as usize).checked_sub(1))
    }

    fn varint(&mut self) -> Result<u32, Misshapen> {
        let mut value = 0u64;
        for place in 0..5 {
            let (byte, rest) = self.rest.split_first().ok_or(Misshapen)?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f) << (7 * place);
            if *byte < 0x80 {
                return u32::try_from(value).map_err(|_| Misshapen);
            }
        }
        Err(Misshapen)
    }
}

#[cfg(test)]
mod tests;
