//! The members of a message, in the order of their numbers.

use super::encode_field::{FieldSeed, Given};
use super::encoder::MessageEncoder;
use super::types::{MessageId, MessageType};
use serde::Deserializer;
use serde::de::{Error, MapAccess, Visitor};
use std::fmt;

/// The most names that an error lists.
const MAX_LISTED: usize = 20;

impl MessageEncoder<'_> {
    /// Writes the fields of a message, whatever its type, without a tag or a length.
    pub fn message<'de, D: Deserializer<'de>>(&mut self, id: MessageId, deserializer: D) -> Result<(), D::Error> {
        self.enter()?;
        let types = self.types;
        let message = types.message(id);
        match message.known {
            Some(known) => self.known(known, message, deserializer)?,
            None => deserializer.deserialize_map(MessageVisitor { encoder: self, message })?,
        }
        self.leave();
        Ok(())
    }
}

/// Reads an object as a message.
struct MessageVisitor<'e, 'a, 'm> {
    encoder: &'e mut MessageEncoder<'a>,
    message: &'m MessageType,
}

impl<'de> Visitor<'de> for MessageVisitor<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "an object for {}", self.message.full_name)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut members = MessageMembers::new(self.encoder, self.message);
        while let Some(name) = map.next_key::<String>()? {
            members.member(self.encoder, &name, |seed| map.next_value_seed(seed))?;
        }
        members.end(self.encoder)
    }
}

/// The members of a message while they are written.
pub struct MessageMembers<'m> {
    message: &'m MessageType,
    /// Where the message begins in the output.
    start: usize,
    /// The fields so far, in the order of the JSON.
    chunks: Vec<FieldChunk>,
}

/// The encoded form of one field.
struct FieldChunk {
    /// The index of the field in its message.
    field: u32,
    start: usize,
    end: usize,
    use_of_oneof: Option<u32>,
}

impl<'m> MessageMembers<'m> {
    pub fn new(encoder: &MessageEncoder, message: &'m MessageType) -> Self {
        Self { message, start: encoder.out.len(), chunks: Vec::new() }
    }

    /// Writes a member. `deserialize` reads its value with a seed.
    pub fn member<'a, E: Error>(
        &mut self,
        encoder: &mut MessageEncoder<'a>,
        name: &str,
        deserialize: impl FnOnce(FieldSeed<'_, 'a, 'm>) -> Result<Given, E>,
    ) -> Result<(), E> {
        let known = self.message.by_name(name);
        let known = known.and_then(|index| Some((index, self.message.fields.get(index as usize)?)));
        let Some((index, field)) = known else {
            encoder.in_member(name);
            return Err(E::custom(self.unknown()));
        };
        encoder.check_size(0)?;
        let start = encoder.out.len();
        let given =
            deserialize(FieldSeed { encoder: &mut *encoder, field }).inspect_err(|_| encoder.in_member(name))?;
        if given == Given::Value {
            let end = encoder.out.len();
            encoder.open_member()?;
            self.chunks.push(FieldChunk { field: index, start, end, use_of_oneof: field.oneof });
        }
        Ok(())
    }

    fn unknown(&self) -> String {
        let names: Vec<&str> = self.message.fields.iter().take(MAX_LISTED).map(|field| &*field.json_name).collect();
        let more = if self.message.fields.len() > names.len() { ", …" } else { "" };
        format!("{} has no such field, its fields: {}{more}", self.message.full_name, names.join(", "))
    }

    /// Checks the message and puts its fields in the order of their numbers.
    pub fn end<E: Error>(mut self, encoder: &mut MessageEncoder) -> Result<(), E> {
        let sorted = self.chunks.is_sorted_by_key(|chunk| chunk.field);
        self.chunks.sort_by_key(|chunk| chunk.field);
        for (a, b) in self.chunks.iter().zip(self.chunks.iter().skip(1)) {
            if a.field == b.field {
                return self.fault(encoder, b.field, "given twice".to_owned());
            }
        }
        let given = |field: &u32| self.chunks.binary_search_by_key(field, |chunk| chunk.field).is_ok();
        if let Some(missing) = self.message.required.iter().copied().find(|field| !given(field)) {
            return self.fault(encoder, missing, "missing, a required field".to_owned());
        }
        if !sorted {
            let length = encoder.out.len() - self.start;
            encoder.check_size(length)?;
            let mut ordered = Vec::with_capacity(length);
            for chunk in &self.chunks {
                ordered.extend_from_slice(encoder.out.get(chunk.start..chunk.end).unwrap_or_default());
            }
            encoder.out.truncate(self.start);
            encoder.out.append(&mut ordered);
        }
        encoder.close_members(self.chunks.len());
        let mut used: Vec<(u32, u32)> =
            self.chunks.iter().filter_map(|chunk| Some((chunk.use_of_oneof?, chunk.field))).collect();
        used.sort_unstable();
        match used.iter().zip(used.iter().skip(1)).find(|(a, b)| a.0 == b.0) {
            Some(((_, first), (_, second))) => {
                let first = self.message.fields.get(*first as usize).map_or("", |field| &field.json_name);
                self.fault(encoder, *second, format!("given beside {first}, another member of the same oneof"))
            }
            None => Ok(()),
        }
    }

    fn fault<E: Error>(&self, encoder: &mut MessageEncoder, field: u32, reason: String) -> Result<(), E> {
        let name = self.message.fields.get(field as usize).map_or("", |field| &field.json_name);
        encoder.in_member(name);
        Err(E::custom(reason))
    }
}
