//! Google's well-known messages, from their JSON. Their fields are known by number, whatever their file says.

use super::encode_any::AnyVisitor;
use super::encoder::MessageEncoder;
use super::known_text;
use super::types::{FieldShape, MessageType, Presence, WellKnown};
use super::wire::{WireType, put_tag, put_text, put_varint};
use serde::Deserializer;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};
use std::fmt;

impl MessageEncoder<'_> {
    /// Writes the fields of a well-known message.
    pub fn known<'de, D: Deserializer<'de>>(
        &mut self,
        known: WellKnown,
        message: &MessageType,
        deserializer: D,
    ) -> Result<(), D::Error> {
        write_known(self, known, message, deserializer)
    }
}

fn write_known<'de, D: Deserializer<'de>>(
    encoder: &mut MessageEncoder,
    known: WellKnown,
    message: &MessageType,
    deserializer: D,
) -> Result<(), D::Error> {
    match known {
        WellKnown::Timestamp | WellKnown::Duration | WellKnown::FieldMask => {
            deserializer.deserialize_str(TextVisitor { encoder, known })
        }
        WellKnown::Struct => deserializer.deserialize_map(StructVisitor { encoder }),
        WellKnown::ListValue => deserializer.deserialize_seq(ListValueVisitor { encoder }),
        WellKnown::Value => deserializer.deserialize_any(ValueVisitor { encoder }),
        WellKnown::Empty => deserializer.deserialize_map(EmptyVisitor),
        WellKnown::Any => deserializer.deserialize_map(AnyVisitor { encoder }),
        WellKnown::Wrapper => {
            let field = message.by_number(1).and_then(|index| message.fields.get(index as usize));
            match field.filter(|field| field.shape == FieldShape::Single) {
                Some(field) => encoder.element(1, field.kind, Presence::Implicit, deserializer),
                None => deserializer.deserialize_map(EmptyVisitor),
            }
        }
    }
}

/// Reads a message whose JSON is a string.
struct TextVisitor<'e, 'a> {
    encoder: &'e mut MessageEncoder<'a>,
    known: WellKnown,
}

impl Visitor<'_> for TextVisitor<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self.known {
            WellKnown::Timestamp => "a time like 2026-11-30T20:00:00Z",
            WellKnown::Duration => "a duration like 1.5s",
            _ => "a list of paths like site.name,t",
        })
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let parsed = match self.known {
            WellKnown::Timestamp => known_text::parse_timestamp(text),
            WellKnown::Duration => known_text::parse_duration(text),
            _ => {
                for path in text.split(',').filter(|path| !path.is_empty()) {
                    let path = known_text::snake_case(path);
                    put_text(self.encoder.out, 1, &path);
                }
                return Ok(());
            }
        };
        let Some((seconds, nanos)) = parsed else { return Err(E::invalid_value(Unexpected::Str(text), &self)) };
        for (number, value) in [(1, seconds), (2, i64::from(nanos))] {
            if value != 0 {
                put_tag(self.encoder.out, number, WireType::Varint);
                put_varint(self.encoder.out, value as u64);
            }
        }
        Ok(())
    }
}

/// Reads any JSON value as a `Value`.
struct ValueVisitor<'e, 'a> {
    encoder: &'e mut MessageEncoder<'a>,
}

impl<'de> Visitor<'de> for ValueVisitor<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        put_tag(self.encoder.out, 1, WireType::Varint);
        put_varint(self.encoder.out, 0);
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        put_tag(self.encoder.out, 2, WireType::Fixed64);
        self.encoder.out.extend_from_slice(&value.to_le_bytes());
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.visit_f64(value as f64)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.visit_f64(value as f64)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        put_text(self.encoder.out, 3, value);
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        put_tag(self.encoder.out, 4, WireType::Varint);
        put_varint(self.encoder.out, u64::from(value));
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        put_tag(self.encoder.out, 5, WireType::Delimited);
        self.encoder.delimited(|encoder| {
            encoder.enter()?;
            MapAccessDeserializer::new(map).deserialize_map(StructVisitor { encoder: &mut *encoder })?;
            encoder.leave();
            Ok(())
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<(), A::Error> {
        put_tag(self.encoder.out, 6, WireType::Delimited);
        self.encoder.delimited(|encoder| {
            encoder.enter()?;
            SeqAccessDeserializer::new(list).deserialize_seq(ListValueVisitor { encoder: &mut *encoder })?;
            encoder.leave();
            Ok(())
        })
    }
}

/// Reads one `Value` inside a struct or a list.
struct ValueSeed<'e, 'a> {
    encoder: &'e mut MessageEncoder<'a>,
    number: u32,
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        put_tag(self.encoder.out, self.number, WireType::Delimited);
        self.encoder.delimited(|encoder| {
            encoder.enter()?;
            deserializer.deserialize_any(ValueVisitor { encoder: &mut *encoder })?;
            encoder.leave();
            Ok(())
        })
    }
}

/// Reads an object as a `Struct`.
struct StructVisitor<'e, 'a> {
    encoder: &'e mut MessageEncoder<'a>,
}

impl<'de> Visitor<'de> for StructVisitor<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let encoder = self.encoder;
        while let Some(name) = map.next_key::<String>()? {
            encoder.check_size(0)?;
            put_tag(encoder.out, 1, WireType::Delimited);
            let entry = encoder.delimited(|encoder| {
                encoder.enter()?;
                put_text(encoder.out, 1, &name);
                map.next_value_seed(ValueSeed { encoder: &mut *encoder, number: 2 })?;
                encoder.leave();
                Ok(())
            });
            entry.inspect_err(|_| encoder.in_member(&name))?;
        }
        Ok(())
    }
}

/// Reads a list as a `ListValue`.
struct ListValueVisitor<'e, 'a> {
    encoder: &'e mut MessageEncoder<'a>,
}

impl<'de> Visitor<'de> for ListValueVisitor<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        for index in 0.. {
            self.encoder.check_size(0)?;
            let seed = ValueSeed { encoder: &mut *self.encoder, number: 1 };
            if list.next_element_seed(seed).inspect_err(|_| self.encoder.in_element(index))?.is_none() {
                break;
            }
        }
        Ok(())
    }
}

/// Reads an object without members.
pub struct EmptyVisitor;

impl<'de> Visitor<'de> for EmptyVisitor {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object without members")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        match map.next_key::<IgnoredAny>()? {
            Some(_) => Err(A::Error::custom("an object with members, expected one without")),
            None => Ok(()),
        }
    }
}
