//! JSON texts of numbers and strings to Avro's binary encoding.

use super::json_kind::JsonKind;
use super::types::{AvroType, DecimalType, TimeUnit};
use super::writer::{push_count, push_long, push_sized};
use super::{decimal, times};
use crate::schemas::error_text::shown;
use std::borrow::Cow;

/// Appends the encoded form of a JSON text. On an error nothing is appended.
pub fn push(of: &AvroType, json: &str, out: &mut Vec<u8>) -> Result<(), String> {
    let kind = JsonKind::of(json.as_bytes());
    let expected = |what: &str| Err(format!("expected {what}, found {}", shown(json)));
    match (of, kind) {
        (AvroType::Null, JsonKind::Null) => {}
        (AvroType::Null, _) => return expected("null"),
        (AvroType::Boolean, JsonKind::Boolean) => out.push(u8::from(json == "true")),
        (AvroType::Boolean, _) => return expected("a boolean"),
        (AvroType::Float, _) => match float::<f32>(json, kind, |float| float.is_finite()) {
            Some(float) => out.extend_from_slice(&float.to_le_bytes()),
            None => return expected("a number in the range of float"),
        },
        (AvroType::Double, _) => match float::<f64>(json, kind, |float| float.is_finite()) {
            Some(double) => out.extend_from_slice(&double.to_le_bytes()),
            None => return expected("a number in the range of double"),
        },
        (_, JsonKind::Integer | JsonKind::Fraction) => match (of, integer(json, kind)) {
            (AvroType::Decimal(decimal), _) => push_decimal(json, *decimal, out)?,
            (of, Some(number)) if of.name() == "long" => push_long(number, out),
            (of, Some(number)) if of.name() == "int" && i32::try_from(number).is_ok() => push_long(number, out),
            (of, _) => return expected(described(of)),
        },
        (_, JsonKind::String) => {
            let Some(text) = string(json) else { return expected("a string of valid Unicode") };
            push_text(of, &text, out)?;
        }
        (of, _) => return expected(described(of)),
    }
    Ok(())
}

fn push_text(of: &AvroType, text: &str, out: &mut Vec<u8>) -> Result<(), String> {
    let expected = || format!("expected {}, found {}", described(of), shown(&format!("{text:?}")));
    match of {
        AvroType::String => push_sized(text.as_bytes(), out),
        AvroType::Bytes => push_sized(&latin1(text).ok_or_else(expected)?, out),
        AvroType::Fixed(size) => {
            let bytes = latin1(text).ok_or_else(expected)?;
            if bytes.len() != *size {
                return Err(format!("expected {size} characters, found {}", bytes.len()));
            }
            out.extend_from_slice(&bytes);
        }
        AvroType::Enum(symbols) => match symbols.index(text) {
            Some(index) => push_count(index, out),
            None => return Err(format!("{} is not a symbol of the enum", shown(&format!("{text:?}")))),
        },
        AvroType::Decimal(decimal) => push_decimal(text, *decimal, out)?,
        AvroType::Date => push_long(times::parse_date(text).ok_or_else(expected)?.into(), out),
        AvroType::TimeOfDay(unit) => push_long(times::parse_time_of_day(text, *unit).ok_or_else(expected)?, out),
        AvroType::Timestamp(unit) => push_long(times::parse_timestamp(text, *unit).ok_or_else(expected)?, out),
        AvroType::LocalTimestamp(unit) => push_long(times::parse_local(text, *unit).ok_or_else(expected)?, out),
        AvroType::Uuid => out.extend_from_slice(uuid::Uuid::try_parse(text).map_err(|_| expected())?.as_bytes()),
        AvroType::Duration => out.extend_from_slice(&times::parse_duration(text).ok_or_else(expected)?),
        _ => return Err(expected()),
    }
    Ok(())
}

fn push_decimal(text: &str, of: DecimalType, out: &mut Vec<u8>) -> Result<(), String> {
    let unscaled = decimal::parse(text, of).map_err(|reason| format!("{} {reason}", shown(text)))?;
    match of.size {
        Some(_) => out.extend_from_slice(&unscaled),
        None => push_sized(&unscaled, out),
    }
    Ok(())
}

/// Describes the JSON of a type in an error message.
pub fn described(of: &AvroType) -> &'static str {
    match of {
        AvroType::Null | AvroType::Reference(_) => "null",
        AvroType::Boolean => "a boolean",
        AvroType::Int => "an integer of 32 bits",
        AvroType::Long => "an integer of 64 bits",
        AvroType::Float | AvroType::Double => "a number",
        AvroType::String => "a string",
        AvroType::Bytes | AvroType::Fixed(_) => "a string of bytes (characters up to U+00FF)",
        AvroType::Enum(_) => "a symbol of the enum",
        AvroType::Array(_) => "an array",
        AvroType::Map(_) | AvroType::Record(_) => "an object",
        AvroType::Union(_) => "a value of a union",
        AvroType::Decimal(_) => "a decimal number",
        AvroType::Date => "a date such as \"2026-01-31\"",
        AvroType::TimeOfDay(TimeUnit::Millis) => "a time such as \"08:00:00.123\"",
        AvroType::TimeOfDay(_) => "a time such as \"08:00:00.123456\"",
        AvroType::Timestamp(TimeUnit::Millis) => "a time such as \"2026-01-31T08:00:00.123Z\"",
        AvroType::Timestamp(_) => "a time such as \"2026-01-31T08:00:00.123456Z\"",
        AvroType::LocalTimestamp(_) => "a local time such as \"2026-01-31T08:00:00.123\"",
        AvroType::Uuid => "a UUID",
        AvroType::Duration => "a duration such as \"P1M2DT3.004S\"",
    }
}

/// Returns the text of a JSON string. `None` if it has half of a surrogate pair.
pub fn string(json: &str) -> Option<Cow<'_, str>> {
    match json.get(1..json.len().checked_sub(1)?) {
        Some(inner) if !inner.contains('\\') => Some(Cow::Borrowed(inner)),
        _ => serde_json::from_str(json).map(Cow::Owned).ok(),
    }
}

/// Returns the bytes that a string stands for in Avro's JSON encoding: the code of each character.
pub fn latin1(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect()
}

fn integer(json: &str, kind: JsonKind) -> Option<i64> {
    if kind == JsonKind::Integer {
        return json.parse().ok();
    }
    // 3.0 and 1e3 are integers too. Above 2^53 a double may have lost digits.
    let double: f64 = json.parse().ok()?;
    (double.fract() == 0.0 && double.abs() < 9_007_199_254_740_992.0).then_some(double as i64)
}

fn float<F: std::str::FromStr>(json: &str, kind: JsonKind, finite: fn(&F) -> bool) -> Option<F> {
    match (kind, json) {
        (JsonKind::Integer | JsonKind::Fraction, _) => json.parse().ok().filter(finite),
        (JsonKind::String, "\"NaN\"" | "\"Infinity\"" | "\"-Infinity\"") => json.trim_matches('"').parse().ok(),
        _ => None,
    }
}
