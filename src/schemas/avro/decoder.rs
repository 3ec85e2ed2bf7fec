//! Avro's binary encoding to JSON, in one pass without values in between.

use super::json_kind::JsonKind;
use super::json_text::{
    MAX_ESCAPE, bytes_length, push_bytes, push_double, push_float, push_integer, push_string, string_length,
};
use super::reader::AvroReader;
use super::types::{AvroType, AvroTypes, RecordType, TimeUnit, TypeId, UnionType};
use super::{decimal, times};
use crate::schemas::mismatch::DecodeError;

/// How deep objects and arrays may be nested. JSON parsers, Curlew's filters among them, accept 128 levels.
const MAX_DEPTH: u32 = 100;

/// Room for what is written without a check: one number, time or UUID (40 bytes), and the brackets that close after it.
const UNCHECKED: usize = 160;

pub struct AvroDecoder<'a> {
    types: &'a AvroTypes,
    input: AvroReader<'a>,
    out: &'a mut Vec<u8>,
    /// The greatest length of `out`, less [`UNCHECKED`].
    end: usize,
    depth: u32,
}

/// Appends the JSON of `encoded` to `out`. Every item writes at least one byte, so `most` bounds time as well as memory.
pub fn decode(
    types: &AvroTypes,
    root: TypeId,
    encoded: &[u8],
    out: &mut Vec<u8>,
    most: usize,
) -> Result<(), DecodeError> {
    let start = out.len();
    let end = start.saturating_add(most.saturating_sub(UNCHECKED));
    let mut decoder = AvroDecoder { types, input: AvroReader::new(encoded), out, end, depth: 0 };
    if matches!(types.at(root), AvroType::Bytes) && !is_sized(encoded) {
        // Confluent's serializer for Java writes a byte array as it is, without its length.
        decoder.bytes(encoded)?;
    } else {
        decoder.value(root)?;
        if decoder.input.remaining() > 0 {
            return Err(decoder.input.error("the value ends before its bytes do,"));
        }
    }
    if out.len() - start > most { Err(DecodeError::TooLarge) } else { Ok(()) }
}

/// Returns whether bytes are the length of the rest, and the rest.
fn is_sized(encoded: &[u8]) -> bool {
    let mut input = AvroReader::new(encoded);
    input.bytes().is_ok() && input.remaining() == 0
}

impl AvroDecoder<'_> {
    fn value(&mut self, id: TypeId) -> Result<(), DecodeError> {
        self.within(0)?;
        match self.types.at(id) {
            AvroType::Null | AvroType::Reference(_) => self.out.extend_from_slice(b"null"),
            AvroType::Boolean => {
                let text: &[u8] = if self.input.boolean()? { b"true" } else { b"false" };
                self.out.extend_from_slice(text);
            }
            AvroType::Int => push_integer(self.input.int()?.into(), self.out),
            AvroType::Long => push_integer(self.input.long()?, self.out),
            AvroType::Float => push_float(f32::from_le_bytes(self.input.array()?), self.out),
            AvroType::Double => push_double(f64::from_le_bytes(self.input.array()?), self.out),
            AvroType::String => {
                let text = self.input.string()?;
                self.string(text)?;
            }
            AvroType::Bytes => {
                let bytes = self.input.bytes()?;
                self.bytes(bytes)?;
            }
            AvroType::Fixed(size) => {
                let bytes = self.input.take(*size)?;
                self.bytes(bytes)?;
            }
            AvroType::Enum(symbols) => {
                let index = usize::try_from(self.input.int()?).ok();
                match index.and_then(|index| symbols.get(index)) {
                    Some(symbol) => self.string(symbol)?,
                    None => return Err(self.input.error("an enum has no symbol with this number,")),
                }
            }
            AvroType::Array(items) => self.array(*items)?,
            AvroType::Map(values) => self.map(*values)?,
            AvroType::Record(record) => self.record(record)?,
            AvroType::Union(union) => self.union(union)?,
            AvroType::Decimal(of) => {
                let unscaled = match of.size {
                    Some(size) => self.input.take(size)?,
                    None => self.input.bytes()?,
                };
                self.within(decimal::longest_text(unscaled, of.scale))?;
                if !decimal::push(unscaled, of.scale, self.out) {
                    return Err(self.input.error("a decimal has too many digits"));
                }
            }
            AvroType::Date => times::push_date(self.input.int()?, self.out),
            AvroType::TimeOfDay(unit) => {
                let since_midnight = match unit {
                    TimeUnit::Millis => self.input.int()?.into(),
                    TimeUnit::Micros | TimeUnit::Nanos => self.input.long()?,
                };
                times::push_time_of_day(since_midnight, *unit, self.out);
            }
            AvroType::Timestamp(unit) => times::push_timestamp(self.input.long()?, *unit, "Z", self.out),
            AvroType::LocalTimestamp(unit) => times::push_timestamp(self.input.long()?, *unit, "", self.out),
            AvroType::Uuid => {
                let uuid = uuid::Uuid::from_bytes(self.input.array()?);
                push_string(uuid.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()), self.out);
            }
            AvroType::Duration => times::push_duration(self.input.array()?, self.out),
        }
        Ok(())
    }

    fn record(&mut self, record: &RecordType) -> Result<(), DecodeError> {
        self.enter(b'{')?;
        for (index, field) in record.fields().iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            self.within(field.label.len())?;
            self.out.extend_from_slice(&field.label);
            self.value(field.of)?;
        }
        self.leave(b'}');
        Ok(())
    }

    fn array(&mut self, items: TypeId) -> Result<(), DecodeError> {
        self.enter(b'[')?;
        let mut first = true;
        loop {
            let count = self.input.block()?;
            if count == 0 {
                break;
            }
            for _ in 0..count {
                if !std::mem::take(&mut first) {
                    self.out.push(b',');
                }
                self.value(items)?;
            }
        }
        self.leave(b']');
        Ok(())
    }

    fn map(&mut self, values: TypeId) -> Result<(), DecodeError> {
        self.enter(b'{')?;
        let mut first = true;
        loop {
            let count = self.input.block()?;
            if count == 0 {
                break;
            }
            for _ in 0..count {
                if !std::mem::take(&mut first) {
                    self.out.push(b',');
                }
                let key = self.input.string()?;
                self.string(key)?;
                self.out.push(b':');
                self.value(values)?;
            }
        }
        self.leave(b'}');
        Ok(())
    }

    fn union(&mut self, union: &UnionType) -> Result<(), DecodeError> {
        let index = u32::try_from(self.input.long()?).ok();
        let Some((index, branch)) = index.and_then(|index| Some((index, union.branches.get(index as usize)?))) else {
            return Err(self.input.error("a union has no branch with this number,"));
        };
        let start = self.out.len();
        self.depth += 1;
        self.value(branch.of)?;
        self.depth -= 1;
        let written = self.out.get(start..).unwrap_or_default();
        let kind = JsonKind::of(written);
        let plain = union.plain.get(kind as usize) == Some(&Some(index));
        // An object whose first member is named like a branch would be read as that branch.
        let is_ambiguous = || first_name(written).is_some_and(|name| union.named(name).is_some());
        if !plain || (kind == JsonKind::Object && is_ambiguous()) {
            self.within(branch.wrapper.len())?;
            self.out.splice(start..start, branch.wrapper.iter().copied());
            self.out.push(b'}');
        }
        Ok(())
    }

    fn enter(&mut self, bracket: u8) -> Result<(), DecodeError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.input.error(&format!("the value is nested more than {MAX_DEPTH} levels deep")));
        }
        self.out.push(bracket);
        Ok(())
    }

    fn leave(&mut self, bracket: u8) {
        self.depth -= 1;
        self.out.push(bracket);
    }

    fn string(&mut self, text: &str) -> Result<(), DecodeError> {
        self.within_quotes(text.as_bytes(), string_length)?;
        push_string(text, self.out);
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        self.within_quotes(bytes, bytes_length)?;
        push_bytes(bytes, self.out);
        Ok(())
    }

    /// Fails if a string no longer fits.
    fn within_quotes(&self, bytes: &[u8], length: fn(&[u8]) -> usize) -> Result<(), DecodeError> {
        // Most strings fit, whatever their escapes, and are not measured.
        let longest = bytes.len().saturating_mul(MAX_ESCAPE).saturating_add(2);
        if longest <= self.end.saturating_sub(self.out.len()) { Ok(()) } else { self.within(length(bytes)) }
    }

    /// Fails if `more` bytes no longer fit.
    fn within(&self, more: usize) -> Result<(), DecodeError> {
        if self.out.len().saturating_add(more) > self.end {
            return Err(DecodeError::TooLarge);
        }
        Ok(())
    }
}

/// Returns the name of the first member of an object that has no spaces, with its escapes.
fn first_name(object: &[u8]) -> Option<&str> {
    let from_name = object.strip_prefix(b"{\"")?;
    let length = from_name.iter().position(|byte| *byte == b'"')?;
    std::str::from_utf8(from_name.get(..length)?).ok()
}
