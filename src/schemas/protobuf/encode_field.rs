//! The value of a field: one value, a list, or a map.

use super::encode_scalar::{ScalarSeed, ScalarSlot};
use super::encoder::MessageEncoder;
use super::types::{FieldShape, MessageField, Presence, ProtoKind, WellKnown};
use super::wire::{WireType, put_group_end, put_tag};
use serde::Deserializer;
use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Whether a member has a value: `null` stands for an absent field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    Value,
    Null,
}

/// Reads the value of a field.
pub struct FieldSeed<'e, 'a, 'm> {
    pub encoder: &'e mut MessageEncoder<'a>,
    pub field: &'m MessageField,
}

impl<'de> DeserializeSeed<'de> for FieldSeed<'_, '_, '_> {
    type Value = Given;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Given, D::Error> {
        if self.field.shape == FieldShape::Single && is_null_a_value(self.encoder, self.field.kind) {
            single(self.encoder, self.field, deserializer)?;
            return Ok(Given::Value);
        }
        deserializer.deserialize_option(self)
    }
}

/// Called for a value or `null`.
impl<'de> Visitor<'de> for FieldSeed<'_, '_, '_> {
    type Value = Given;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a value or null")
    }

    fn visit_none<E>(self) -> Result<Given, E> {
        Ok(Given::Null)
    }

    fn visit_unit<E>(self) -> Result<Given, E> {
        Ok(Given::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Given, D::Error> {
        let Self { encoder, field } = self;
        match field.shape {
            FieldShape::Single => single(encoder, field, deserializer)?,
            FieldShape::Repeated => deserializer.deserialize_seq(ListVisitor { encoder, field })?,
            FieldShape::Packed => {
                let start = encoder.out.len();
                put_tag(encoder.out, field.number, WireType::Delimited);
                let content = encoder.out.len();
                encoder.delimited(|encoder| deserializer.deserialize_seq(ListVisitor { encoder, field }))?;
                if encoder.out.len() == content + 1 {
                    encoder.out.truncate(start);
                }
            }
            FieldShape::Map(key) => deserializer.deserialize_map(MapVisitor { encoder, field, key })?,
        }
        Ok(Given::Value)
    }
}

fn is_null_a_value(encoder: &MessageEncoder, kind: ProtoKind) -> bool {
    match kind {
        ProtoKind::Message(id) => encoder.types.message(id).known == Some(WellKnown::Value),
        ProtoKind::Enum(id) => encoder.types.enumeration(id).is_null(),
        _ => false,
    }
}

fn single<'de, D: Deserializer<'de>>(
    encoder: &mut MessageEncoder,
    field: &MessageField,
    deserializer: D,
) -> Result<(), D::Error> {
    encoder.element(field.number, field.kind, field.presence, deserializer)
}

impl MessageEncoder<'_> {
    /// Writes one value with its tag.
    pub fn element<'de, D: Deserializer<'de>>(
        &mut self,
        number: u32,
        kind: ProtoKind,
        presence: Presence,
        deserializer: D,
    ) -> Result<(), D::Error> {
        match kind {
            ProtoKind::Message(id) => {
                put_tag(self.out, number, WireType::Delimited);
                self.delimited(|encoder| encoder.message(id, deserializer))
            }
            ProtoKind::Group(id) => {
                put_tag(self.out, number, WireType::Group);
                self.message(id, deserializer)?;
                put_group_end(self.out, number);
                Ok(())
            }
            kind => {
                let slot = ScalarSlot::Field { number, presence };
                ScalarSeed { types: self.types, out: self.out, kind, slot }.deserialize(deserializer)
            }
        }
    }
}

/// Reads the elements of a repeated field.
struct ListVisitor<'e, 'a, 'm> {
    encoder: &'e mut MessageEncoder<'a>,
    field: &'m MessageField,
}

impl<'de> Visitor<'de> for ListVisitor<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        for index in 0.. {
            self.encoder.check_size(0)?;
            let seed = ElementSeed { encoder: &mut *self.encoder, field: self.field };
            let element = list.next_element_seed(seed).inspect_err(|_| self.encoder.in_element(index))?;
            if element.is_none() {
                break;
            }
        }
        Ok(())
    }
}

/// Reads one element of a repeated field.
struct ElementSeed<'e, 'a, 'm> {
    encoder: &'e mut MessageEncoder<'a>,
    field: &'m MessageField,
}

impl<'de> DeserializeSeed<'de> for ElementSeed<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let Self { encoder, field } = self;
        if field.shape == FieldShape::Packed {
            let (kind, slot) = (field.kind, ScalarSlot::Packed);
            return ScalarSeed { types: encoder.types, out: encoder.out, kind, slot }.deserialize(deserializer);
        }
        encoder.element(field.number, field.kind, Presence::Explicit, deserializer)
    }
}

/// Reads the entries of a map.
struct MapVisitor<'e, 'a, 'm> {
    encoder: &'e mut MessageEncoder<'a>,
    field: &'m MessageField,
    key: ProtoKind,
}

impl<'de> Visitor<'de> for MapVisitor<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object for a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { encoder, field, key } = self;
        while let Some(name) = map.next_key::<String>()? {
            encoder.check_size(0)?;
            put_tag(encoder.out, field.number, WireType::Delimited);
            let entry = encoder.delimited(|encoder| {
                encoder.enter()?;
                map_key(encoder, key, &name)?;
                map.next_value_seed(EntrySeed { encoder: &mut *encoder, kind: field.kind })?;
                encoder.leave();
                Ok(())
            });
            entry.inspect_err(|_| encoder.in_member(&name))?;
        }
        Ok(())
    }
}

/// Writes the key of an entry, which is a string in JSON whatever its type.
fn map_key<E: serde::de::Error>(encoder: &mut MessageEncoder, kind: ProtoKind, name: &str) -> Result<(), E> {
    let slot = ScalarSlot::Field { number: 1, presence: Presence::Explicit };
    let seed = ScalarSeed { types: encoder.types, out: encoder.out, kind, slot };
    match (kind, name) {
        (ProtoKind::Bool, "true") => seed.visit_bool(true),
        (ProtoKind::Bool, "false") => seed.visit_bool(false),
        (_, name) => seed.deserialize(StrDeserializer::new(name)),
    }
}

/// Reads the value of an entry.
pub struct EntrySeed<'e, 'a> {
    pub encoder: &'e mut MessageEncoder<'a>,
    pub kind: ProtoKind,
}

impl<'de> DeserializeSeed<'de> for EntrySeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.encoder.element(2, self.kind, Presence::Explicit, deserializer)
    }
}
