//! The defaults of fields, which have Avro's own JSON form: bytes and decimals as strings of bytes, dates and times as
//! numbers, and a union as its first branch that fits.

use super::scalars::latin1;
use super::types::{AvroType, AvroTypes, DecimalType, FieldDefault, TypeId};
use super::writer::{push_count, push_long, push_sized};
use serde_json::Value;

/// The size of all encoded defaults of a schema. A default of a record has the defaults of its fields, so a short text can
/// describe a long one.
const MAX_BYTES: usize = 1 << 20;

/// The steps for all defaults of a schema: values that are tried, and bytes that are copied, even if the default does not fit in
/// the end. Branches of nested unions could otherwise take exponential time.
const MAX_STEPS: usize = 200_000;
/// The bytes of a text or of an inner default that are one step.
const BYTES_PER_STEP: usize = 64;

/// Encodes the defaults of a schema, within bounds that all of them share.
pub struct DefaultEncoder {
    room: usize,
    steps: usize,
}

impl Default for DefaultEncoder {
    fn default() -> Self {
        Self { room: MAX_BYTES, steps: MAX_STEPS }
    }
}

impl DefaultEncoder {
    /// Encodes a default. `None` if it does not fit its type or exceeds the bounds.
    pub fn encode(&mut self, types: &AvroTypes, of: TypeId, default: &Value) -> Option<Box<[u8]>> {
        let mut out = Vec::new();
        self.value(types, of, default, &mut out)?;
        self.room = self.room.checked_sub(out.len())?;
        Some(out.into())
    }

    /// Recursion is bounded by that of the JSON, whose depth serde_json bounds.
    fn value(&mut self, types: &AvroTypes, of: TypeId, default: &Value, out: &mut Vec<u8>) -> Option<()> {
        self.spend(default.as_str().map_or(0, str::len))?;
        if out.len() > self.room {
            return None;
        }
        match (types.at(of), default) {
            (AvroType::Null, Value::Null) => {}
            (AvroType::Boolean, Value::Bool(boolean)) => out.push(u8::from(*boolean)),
            (AvroType::Float, Value::Number(number)) => {
                let float: f32 = number.to_string().parse().ok().filter(|float: &f32| float.is_finite())?;
                out.extend_from_slice(&float.to_le_bytes());
            }
            (AvroType::Double, Value::Number(number)) => out.extend_from_slice(&number.as_f64()?.to_le_bytes()),
            (AvroType::String, Value::String(text)) => push_sized(text.as_bytes(), out),
            (AvroType::Enum(symbols), Value::String(symbol)) => push_count(symbols.index(symbol)?, out),
            (AvroType::Bytes | AvroType::Decimal(DecimalType { size: None, .. }), Value::String(text)) => {
                push_sized(&latin1(text)?, out);
            }
            (AvroType::Array(items), Value::Array(listed)) => {
                if !listed.is_empty() {
                    push_count(listed.len(), out);
                }
                listed.iter().try_for_each(|item| self.value(types, *items, item, out))?;
                out.push(0);
            }
            (AvroType::Map(values), Value::Object(members)) => {
                if !members.is_empty() {
                    push_count(members.len(), out);
                }
                for (key, value) in members {
                    push_sized(key.as_bytes(), out);
                    self.value(types, *values, value, out)?;
                }
                out.push(0);
            }
            (AvroType::Record(record), Value::Object(members)) => {
                for field in record.fields() {
                    match (members.get(&*field.name), &field.default) {
                        (Some(value), _) => self.value(types, field.of, value, out)?,
                        // Inner types are defined first, so their defaults are encoded by now. The rest is recursion.
                        (None, FieldDefault::Encoded(bytes)) => {
                            self.spend(bytes.len())?;
                            out.extend_from_slice(bytes);
                        }
                        (None, FieldDefault::Absent | FieldDefault::Invalid) => return None,
                    }
                }
            }
            (AvroType::Union(union), value) => {
                let start = out.len();
                (0..).zip(&union.branches).find_map(|(index, branch)| {
                    out.truncate(start);
                    push_long(index, out);
                    self.value(types, branch.of, value, out)
                })?;
            }
            (fixed, Value::String(text)) => {
                let bytes = latin1(text).filter(|bytes| fixed.fixed_size() == Some(bytes.len()))?;
                out.extend_from_slice(&bytes);
            }
            (integer, Value::Number(number)) => {
                let number = number.as_i64()?;
                match integer.name() {
                    "int" => push_long(i32::try_from(number).ok()?.into(), out),
                    "long" => push_long(number, out),
                    _ => return None,
                }
            }
            _ => return None,
        }
        Some(())
    }

    fn spend(&mut self, bytes: usize) -> Option<()> {
        self.steps = self.steps.checked_sub(1 + bytes / BYTES_PER_STEP)?;
        Some(())
    }
}
