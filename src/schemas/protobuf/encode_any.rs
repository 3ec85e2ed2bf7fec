//! `Any`: a message with its type, which may come after the other members.

use super::encode_message::MessageMembers;
use super::encoder::MessageEncoder;
use super::types::MessageId;
use super::wire::{WireType, put_tag, put_text};
use serde::de::{DeserializeSeed, Error, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// Reads an object as an `Any`.
pub struct AnyVisitor<'e, 'a> {
    pub encoder: &'e mut MessageEncoder<'a>,
}

impl<'de> Visitor<'de> for AnyVisitor<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object with @type")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let encoder = self.encoder;
        let mut type_url: Option<String> = None;
        // Not copied: each `Any` inside another would be held once more.
        let mut members: Vec<(String, &'de RawValue)> = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == "@type" {
                type_url = Some(map.next_value()?);
            } else {
                encoder.open_member()?;
                members.push((name, map.next_value()?));
            }
        }
        let Some(type_url) = type_url else {
            if members.is_empty() {
                return Ok(());
            }
            encoder.in_member("@type");
            return Err(A::Error::custom("missing"));
        };
        let name = type_url.rsplit('/').next().unwrap_or_default();
        let Some(id) = encoder.types.by_full_name(name) else {
            encoder.in_member("@type");
            return Err(A::Error::custom(format!("the schema has no message {name}")));
        };
        put_text(encoder.out, 1, &type_url);
        put_tag(encoder.out, 2, WireType::Delimited);
        // The errors of the inner documents are of serde_json, whatever the outer one is.
        let count = members.len();
        encoder.delimited(|encoder| inner(encoder, id, members)).map_err(A::Error::custom)?;
        encoder.close_members(count);
        Ok(())
    }
}

fn inner(encoder: &mut MessageEncoder, id: MessageId, members: Vec<(String, &RawValue)>) -> serde_json::Result<()> {
    let types = encoder.types;
    let message = types.message(id);
    if message.known.is_none() {
        encoder.enter()?;
        let mut written = MessageMembers::new(encoder, message);
        for (name, value) in &members {
            let mut deserializer = serde_json::Deserializer::from_str(value.get());
            written.member(encoder, name, |seed| seed.deserialize(&mut deserializer))?;
        }
        written.end(encoder)?;
        encoder.leave();
        return Ok(());
    }
    match members.as_slice() {
        [(name, value)] if name == "value" => {
            let mut deserializer = serde_json::Deserializer::from_str(value.get());
            encoder.message(id, &mut deserializer).inspect_err(|_| encoder.in_member("value"))
        }
        _ => Err(serde_json::Error::custom(format!("{} is a member named value and no other", message.full_name))),
    }
}
