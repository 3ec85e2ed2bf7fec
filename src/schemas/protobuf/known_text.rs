//! The text forms of `Timestamp`, `Duration` and `FieldMask`.

use std::fmt::Write;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const NANOS: i32 = 1_000_000_000;
/// About 10,000 years, the limit of Protobuf's durations.
const MAX_DURATION: i64 = 315_576_000_000;
/// 0001-01-01 and 9999-12-31.
const TIMESTAMPS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// Writes a timestamp by RFC 3339 with 0, 3, 6 or 9 digits of a fraction.
pub fn timestamp(seconds: i64, nanos: i32) -> Option<String> {
    if !TIMESTAMPS.contains(&seconds) || !(0..NANOS).contains(&nanos) {
        return None;
    }
    let time = OffsetDateTime::from_unix_timestamp(seconds).ok()?;
    let (year, month, day) = (time.year(), u8::from(time.month()), time.day());
    let (hour, minute, second) = (time.hour(), time.minute(), time.second());
    let mut text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    fraction(&mut text, nanos);
    text.push('Z');
    Some(text)
}

/// Reads a timestamp with any offset. Returns seconds and nanoseconds.
pub fn parse_timestamp(text: &str) -> Option<(i64, i32)> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    let seconds = time.unix_timestamp();
    TIMESTAMPS.contains(&seconds).then_some((seconds, time.nanosecond() as i32))
}

/// Writes a duration: `1.500s`.
pub fn duration(seconds: i64, nanos: i32) -> Option<String> {
    let same_sign = seconds == 0 || nanos == 0 || (seconds < 0) == (nanos < 0);
    if !(-MAX_DURATION..=MAX_DURATION).contains(&seconds) || nanos <= -NANOS || nanos >= NANOS || !same_sign {
        return None;
    }
    let sign = if seconds < 0 || nanos < 0 { "-" } else { "" };
    let mut text = format!("{sign}{}", seconds.unsigned_abs());
    fraction(&mut text, nanos.abs());
    text.push('s');
    Some(text)
}

/// Reads a duration: decimal seconds with at most 9 digits of a fraction, then `s`.
pub fn parse_duration(text: &str) -> Option<(i64, i32)> {
    let number = text.strip_suffix('s')?;
    let (sign, digits) = number.strip_prefix('-').map_or((1, number), |digits| (-1, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let seconds = whole.parse::<i64>().ok().filter(|seconds| *seconds <= MAX_DURATION)?;
    let nanos = format!("{fraction:0<9}").parse::<i32>().ok()?;
    Some((sign * seconds, sign as i32 * nanos))
}

fn fraction(text: &mut String, nanos: i32) {
    // Writing to a string does not fail.
    let _ = match nanos {
        0 => Ok(()),
        nanos if nanos % 1_000_000 == 0 => write!(text, ".{:03}", nanos / 1_000_000),
        nanos if nanos % 1_000 == 0 => write!(text, ".{:06}", nanos / 1_000),
        nanos => write!(text, ".{nanos:09}"),
    };
}

/// Writes a path of field names in lowerCamelCase, or as it is if that would lose something.
pub fn camel_case(path: &str) -> String {
    let mut camel = String::with_capacity(path.len());
    let mut after_underscore = false;
    for c in path.chars() {
        match c {
            '_' => after_underscore = true,
            c if std::mem::take(&mut after_underscore) => camel.push(c.to_ascii_uppercase()),
            c => camel.push(c),
        }
    }
    if snake_case(&camel) == path { camel } else { path.to_owned() }
}

/// Reads a path of field names in lowerCamelCase.
pub fn snake_case(path: &str) -> String {
    let mut snake = String::with_capacity(path.len() + 4);
    for c in path.chars() {
        if c.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}
