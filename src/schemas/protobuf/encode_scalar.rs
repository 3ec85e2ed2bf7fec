//! Numbers, Booleans, strings, bytes and enums.

use super::types::{MessageTypes, Presence, ProtoKind};
use super::wire::{put_tag, put_varint, zigzag};
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, Unexpected, Visitor};
use std::fmt;

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Integers from here on may have been another one in the text of the JSON: a double has 53 bits.
const INEXACT: f64 = 9_007_199_254_740_992.0;

/// Where a value is written.
#[derive(Debug, Clone, Copy)]
pub enum ScalarSlot {
    /// With a tag; the default value of a field without presence is not written.
    Field { number: u32, presence: Presence },
    /// Without a tag.
    Packed,
}

/// Reads one value.
pub struct ScalarSeed<'e> {
    pub types: &'e MessageTypes,
    pub out: &'e mut Vec<u8>,
    pub kind: ProtoKind,
    pub slot: ScalarSlot,
}

impl<'de> DeserializeSeed<'de> for ScalarSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ScalarSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self.kind {
            ProtoKind::Double | ProtoKind::Float => "a number",
            ProtoKind::Bool => "true or false",
            ProtoKind::String => "a string",
            ProtoKind::Bytes => "a string of base64",
            ProtoKind::Uint32 | ProtoKind::Fixed32 => "an unsigned integer of 32 bits",
            ProtoKind::Uint64 | ProtoKind::Fixed64 => "an unsigned integer of 64 bits",
            ProtoKind::Int64 | ProtoKind::Sint64 | ProtoKind::Sfixed64 => "an integer of 64 bits",
            ProtoKind::Enum(id) => return write!(f, "a name of the enum {}", self.types.enumeration(id).full_name),
            _ => "an integer of 32 bits",
        })
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        match self.kind {
            ProtoKind::Bool => self.put_varint(u64::from(value)),
            _ => Err(E::invalid_type(Unexpected::Bool(value), &self)),
        }
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.integer(i128::from(value), Unexpected::Signed(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.integer(i128::from(value), Unexpected::Unsigned(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        let given = Unexpected::Float(value);
        match self.kind {
            ProtoKind::Double | ProtoKind::Float => self.real(value),
            _ if value.fract() == 0.0 && value.abs() < INEXACT => self.integer(value as i128, given),
            _ => Err(E::invalid_value(given, &self)),
        }
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        let given = Unexpected::Str(value);
        match self.kind {
            ProtoKind::String => self.put_delimited(value.as_bytes()),
            ProtoKind::Bytes => match STANDARD.decode(value).or_else(|_| URL_SAFE.decode(value)) {
                Ok(bytes) => self.put_delimited(&bytes),
                Err(_) => Err(E::invalid_value(given, &self)),
            },
            ProtoKind::Enum(id) => match self.types.enumeration(id).number(value) {
                Some(number) => self.put_varint(i64::from(number) as u64),
                None => Err(E::invalid_value(given, &self)),
            },
            ProtoKind::Bool => Err(E::invalid_type(given, &self)),
            ProtoKind::Double | ProtoKind::Float => match value {
                "NaN" => self.real(f64::NAN),
                "Infinity" => self.real(f64::INFINITY),
                "-Infinity" => self.real(f64::NEG_INFINITY),
                // `f64::from_str` reads other spellings of these too, which JSON does not have.
                value => match value.parse::<f64>() {
                    Ok(number) if number.is_finite() => self.real(number),
                    _ => Err(E::invalid_value(given, &self)),
                },
            },
            _ => match (value.parse::<i64>(), value.parse::<u64>(), value.parse::<f64>()) {
                (Ok(number), _, _) => self.integer(i128::from(number), given),
                (_, Ok(number), _) => self.integer(i128::from(number), given),
                (_, _, Ok(number)) if number.fract() == 0.0 && number.abs() < INEXACT => {
                    self.integer(number as i128, given)
                }
                _ => Err(E::invalid_value(given, &self)),
            },
        }
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        match self.kind {
            ProtoKind::Enum(id) if self.types.enumeration(id).is_null() => self.put_varint(0),
            _ => Err(E::invalid_type(Unexpected::Unit, &self)),
        }
    }
}

impl ScalarSeed<'_> {
    fn integer<E: Error>(self, value: i128, given: Unexpected) -> Result<(), E> {
        let fits = |low: i128, high: i128| (low..=high).contains(&value);
        let is_int32 = fits(i128::from(i32::MIN), i128::from(i32::MAX));
        let is_int64 = fits(i128::from(i64::MIN), i128::from(i64::MAX));
        let is_uint32 = fits(0, i128::from(u32::MAX));
        let is_uint64 = fits(0, i128::from(u64::MAX));
        match self.kind {
            ProtoKind::Double | ProtoKind::Float => self.real(value as f64),
            // A negative number of 32 bits is extended to 64.
            ProtoKind::Int32 | ProtoKind::Enum(_) if is_int32 => self.put_varint(value as u64),
            ProtoKind::Int64 if is_int64 => self.put_varint(value as u64),
            ProtoKind::Uint32 if is_uint32 => self.put_varint(value as u64),
            ProtoKind::Uint64 if is_uint64 => self.put_varint(value as u64),
            ProtoKind::Sint32 if is_int32 => self.put_varint(zigzag(value as i64)),
            ProtoKind::Sint64 if is_int64 => self.put_varint(zigzag(value as i64)),
            ProtoKind::Fixed32 if is_uint32 => self.put_fixed((value as u32).to_le_bytes()),
            ProtoKind::Fixed64 if is_uint64 => self.put_fixed((value as u64).to_le_bytes()),
            ProtoKind::Sfixed32 if is_int32 => self.put_fixed((value as i32).to_le_bytes()),
            ProtoKind::Sfixed64 if is_int64 => self.put_fixed((value as i64).to_le_bytes()),
            ProtoKind::Bool | ProtoKind::String | ProtoKind::Bytes => Err(E::invalid_type(given, &self)),
            _ => Err(E::invalid_value(given, &self)),
        }
    }

    fn real<E: Error>(self, value: f64) -> Result<(), E> {
        match self.kind {
            ProtoKind::Double => self.put_fixed(value.to_le_bytes()),
            ProtoKind::Float if value.is_finite() && !(value as f32).is_finite() => {
                Err(E::custom(format!("{value:e} is out of range for a float")))
            }
            _ => self.put_fixed((value as f32).to_le_bytes()),
        }
    }

    fn put_varint<E>(self, value: u64) -> Result<(), E> {
        if value != 0 || !self.omits_default() {
            self.put(|out| put_varint(out, value));
        }
        Ok(())
    }

    fn put_fixed<E, const N: usize>(self, bytes: [u8; N]) -> Result<(), E> {
        if bytes != [0; N] || !self.omits_default() {
            self.put(|out| out.extend_from_slice(&bytes));
        }
        Ok(())
    }

    fn put_delimited<E>(self, bytes: &[u8]) -> Result<(), E> {
        if !bytes.is_empty() || !self.omits_default() {
            self.put(|out| {
                put_varint(out, bytes.len() as u64);
                out.extend_from_slice(bytes);
            });
        }
        Ok(())
    }

    fn omits_default(&self) -> bool {
        matches!(self.slot, ScalarSlot::Field { presence: Presence::Implicit, .. })
    }

    fn put(self, write: impl FnOnce(&mut Vec<u8>)) {
        if let ScalarSlot::Field { number, .. } = self.slot {
            put_tag(self.out, number, self.kind.wire_type());
        }
        write(self.out);
    }
}
