//! Parses numbers and times in the values of records.

use crate::record::Timestamp;
use crate::start_position::parse_rfc3339;

/// Maximum length of the unit after a number, in bytes, including a space before it.
const MAX_UNIT: usize = 16;

/// Returns the number at the beginning of a text, which a unit may follow: `21.5`, `21.5 °C`, `80%`. A text with
/// further digits, such as a date or an address, is not a number.
pub fn number_in(text: &str) -> Option<f64> {
    let text = text.trim();
    let bytes = text.as_bytes();
    let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let sign = usize::from(matches!(bytes.first(), Some(b'-' | b'+')));
    let whole = digits(sign);
    let mut end = sign + whole;
    if bytes.get(end) == Some(&b'.') {
        let decimals = digits(end + 1);
        end += if decimals > 0 { 1 + decimals } else { 0 };
    }
    if bytes.get(end).is_some_and(|byte| matches!(byte, b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'-' | b'+')));
        let exponent = bytes.get(end + 1 + sign..).map_or(0, |_| digits(end + 1 + sign));
        end += if exponent > 0 { 1 + sign + exponent } else { 0 };
    }
    let unit = &text[end..];
    let is_unit = unit.len() <= MAX_UNIT && !unit.chars().any(|c| c.is_ascii_digit() || c.is_control());
    let number = text[..end].parse::<f64>().ok().filter(|number| number.is_finite());
    number.filter(|_| whole > 0 && is_unit)
}

/// Interprets a number as a time since the Unix epoch. Its magnitude decides the unit: seconds, milliseconds,
/// microseconds or nanoseconds. Seconds reach up to the year 5138, and milliseconds begin in 1973.
pub fn time_of(number: f64) -> Option<Timestamp> {
    let milliseconds = match number.abs() {
        size if size < 1e11 => number * 1e3,
        size if size < 1e14 => number,
        size if size < 1e17 => number / 1e3,
        size if size < 1e20 => number / 1e6,
        _ => return None,
    };
    // A double has about 15 digits, so the result may be slightly less than a whole millisecond.
    Some((milliseconds + 1e-3).floor() as Timestamp)
}

/// Parses a time in a text: RFC 3339, or a number as in [`time_of`].
pub fn time_in(text: &str) -> Option<Timestamp> {
    parse_rfc3339(text).or_else(|| time_of(text.parse::<f64>().ok().filter(|number| number.is_finite())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_may_have_a_unit() {
        for (text, number) in [
            ("21.5", Some(21.5)),
            (" -3 ", Some(-3.0)),
            ("21.5 °C", Some(21.5)),
            ("80%", Some(80.0)),
            ("1e3 W", Some(1000.0)),
            ("12 euro", Some(12.0)),
            ("5.", Some(5.0)),
            ("9007199254740992", Some(9_007_199_254_740_992.0)),
            ("2026-01-31", None),
            ("10.0.0.1", None),
            ("12:30", None),
            ("dev-1", None),
            ("", None),
            (".5", None),
            ("NaN", None),
            ("inf", None),
            ("1e999", None),
            ("7 of the red machines", None),
            ("0\0", None),
        ] {
            assert_eq!(number_in(text), number, "{text}");
        }
    }

    #[test]
    fn a_time_is_seconds_milliseconds_or_rfc_3339() {
        const MS: Timestamp = 1_769_846_400_123;
        for number in [1_769_846_400.123, 1_769_846_400_123.0, 1_769_846_400_123_456.0, 1_769_846_400_123_456_789.0] {
            assert_eq!(time_of(number), Some(MS), "{number}");
        }
        assert_eq!(time_of(1e21), None);
        for text in ["2026-01-31T08:00:00.123Z", "1769846400123", "1769846400.123"] {
            assert_eq!(time_in(text), Some(MS), "{text}");
        }
        for text in ["", "yesterday", "NaN"] {
            assert_eq!(time_in(text), None, "{text}");
        }
    }
}
