//! The values of expressions and records.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

/// A value of a record: JSON, text or bytes. Borrows from the record where possible.
#[derive(Debug, Clone)]
pub enum JsonValue<'r> {
    Null,
    Bool(bool),
    /// A number without a fraction or exponent that fits in an `i64`.
    Int(i64),
    /// A number without a fraction or exponent that fits only in a `u64`.
    Uint(u64),
    Double(f64),
    String(Cow<'r, str>),
    /// Data that is not UTF-8.
    Bytes(Cow<'r, [u8]>),
    List(Vec<JsonValue<'r>>),
    Map(Fields<'r>),
}

/// The fields of a map, sorted by name. Of repeated names, the last one counts.
pub type Fields<'r> = Vec<(Cow<'r, str>, JsonValue<'r>)>;

/// The value of a part of an expression. Cheap to create from a [`JsonValue`] of any size.
#[derive(Debug, Clone)]
pub enum CelValue<'t> {
    Null,
    Bool(bool),
    Int(i64),
    /// Larger than any int.
    Uint(u64),
    Double(f64),
    String(Cow<'t, str>),
    Bytes(&'t [u8]),
    List(&'t [JsonValue<'t>]),
    Map(&'t [(Cow<'t, str>, JsonValue<'t>)]),
    /// A list literal of the expression.
    Items(Vec<CelValue<'t>>),
    /// In milliseconds since the Unix epoch.
    Timestamp(i64),
    /// In milliseconds.
    Duration(i64),
}

/// A parsed value can use thirty times the memory of its text, so longer texts are not parsed.
const MAX_PARSED: usize = 4 << 20;

impl<'r> JsonValue<'r> {
    /// Parses bytes as JSON, or else as text, or else keeps them as bytes. `None` is null.
    pub fn read(bytes: Option<&'r [u8]>) -> Self {
        let Some(bytes) = bytes else { return Self::Null };
        if bytes.len() <= MAX_PARSED
            && may_be_json(bytes)
            && let Ok(json) = serde_json::from_slice(bytes)
        {
            return json;
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::String(Cow::Borrowed(text)),
            Err(_) => Self::Bytes(Cow::Borrowed(bytes)),
        }
    }

    /// Sorts the fields, so that lookups are fast and maps can be compared.
    pub fn map(mut fields: Fields<'r>) -> Self {
        fields.sort_by(|(a, _), (b, _)| a.cmp(b));
        fields.dedup_by(|later, earlier| {
            let is_repeated = later.0 == earlier.0;
            if is_repeated {
                std::mem::swap(later, earlier);
            }
            is_repeated
        });
        Self::Map(fields)
    }

    /// Borrows the value as the value of an expression.
    pub fn view(&self) -> CelValue<'_> {
        match self {
            Self::Null => CelValue::Null,
            Self::Bool(bool) => CelValue::Bool(*bool),
            Self::Int(int) => CelValue::Int(*int),
            Self::Uint(uint) => CelValue::Uint(*uint),
            Self::Double(double) => CelValue::Double(*double),
            Self::String(text) => CelValue::String(Cow::Borrowed(text)),
            Self::Bytes(bytes) => CelValue::Bytes(bytes),
            Self::List(items) => CelValue::List(items),
            Self::Map(fields) => CelValue::Map(fields),
        }
    }
}

/// Checks only the first character, so that most plain texts are not parsed in vain.
fn may_be_json(bytes: &[u8]) -> bool {
    let first = bytes.iter().find(|b| !b.is_ascii_whitespace());
    first.is_some_and(|b| matches!(b, b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n'))
}

/// The value of a field.
pub fn field<'t>(fields: &'t [(Cow<'t, str>, JsonValue<'t>)], name: &str) -> Option<&'t JsonValue<'t>> {
    let at = fields.binary_search_by(|(own, _)| (**own).cmp(name)).ok()?;
    fields.get(at).map(|(_, value)| value)
}

/// Compares an int with a double exactly, without rounding. `None` for NaN.
pub fn compare_numbers(int: impl Into<i128>, double: f64) -> Option<Ordering> {
    // 2^64, beyond which every double is larger than any 64-bit number.
    const END: f64 = 18_446_744_073_709_551_616.0;
    if double.is_nan() {
        None
    } else if double >= END {
        Some(Ordering::Less)
    } else if double < -END {
        Some(Ordering::Greater)
    } else {
        let truncated = double.trunc();
        Some(int.into().cmp(&(truncated as i128)).then(truncated.partial_cmp(&double)?))
    }
}

impl<'de> Deserialize<'de> for JsonValue<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = JsonValue<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(JsonValue::Null)
    }

    fn visit_bool<E>(self, bool: bool) -> Result<Self::Value, E> {
        Ok(JsonValue::Bool(bool))
    }

    fn visit_i64<E>(self, int: i64) -> Result<Self::Value, E> {
        Ok(JsonValue::Int(int))
    }

    fn visit_u64<E>(self, int: u64) -> Result<Self::Value, E> {
        Ok(i64::try_from(int).map_or(JsonValue::Uint(int), JsonValue::Int))
    }

    fn visit_f64<E>(self, double: f64) -> Result<Self::Value, E> {
        Ok(JsonValue::Double(double))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(JsonValue::String(Cow::Owned(text.to_owned())))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(JsonValue::String(Cow::Borrowed(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(JsonValue::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some(name) = entries.next_key()? {
            let value = entries.next_value()?;
            // In JSON every name is a string.
            if let JsonValue::String(name) = name {
                fields.push((name, value));
            }
        }
        Ok(JsonValue::map(fields))
    }
}
