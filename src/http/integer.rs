//! Integers in JSON, which may also be written as 100.0 or 1e2.

use serde::{Deserialize, Deserializer, de};
use serde_json::Number;

/// Returns the integer. `None` if a double cannot represent it exactly.
pub fn integer(number: &Number) -> Option<i64> {
    const EXACT: f64 = (1u64 << 53) as f64;
    let of_double = || number.as_f64().filter(|n| n.fract() == 0.0 && n.abs() <= EXACT).map(|n| n as i64);
    number.as_i64().or_else(of_double)
}

/// Deserializes an integer or null, for `#[serde(deserialize_with)]`.
pub fn optional<'de, D: Deserializer<'de>, T: TryFrom<i64>>(deserializer: D) -> Result<Option<T>, D::Error> {
    let Some(number) = Option::<Number>::deserialize(deserializer)? else { return Ok(None) };
    let value = integer(&number).and_then(|value| T::try_from(value).ok());
    value.map(Some).ok_or_else(|| de::Error::custom(format_args!("{number} is not an integer in the allowed range")))
}
