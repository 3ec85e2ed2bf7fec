//! Timestamps and durations in CEL's notation.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Parses an RFC 3339 time into milliseconds since the Unix epoch.
pub fn timestamp(text: &str) -> Option<i64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(time.unix_timestamp_nanos().div_euclid(1_000_000)).ok()
}

/// Converts milliseconds since the Unix epoch to a date and time in UTC, or `None` if it is out of range.
pub fn calendar(ms: i64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).ok()
}

/// Formats milliseconds since the Unix epoch as an RFC 3339 time.
pub fn timestamp_text(ms: i64) -> Option<String> {
    calendar(ms)?.format(&Rfc3339).ok()
}

/// Parses a duration like `1h30m`, `-2.5s` or `300ms` into milliseconds.
pub fn duration(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text),
    };
    if rest.is_empty() {
        return None;
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let (number, tail) =
            rest.split_at_checked(rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count())?;
        let (unit, tail) = tail.split_at_checked(tail.bytes().take_while(u8::is_ascii_alphabetic).count())?;
        let unit = match unit {
            "ms" => 1.0,
            "s" => 1000.0,
            "m" => 60_000.0,
            "h" => 3_600_000.0,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * unit;
        rest = tail;
    }
    // A double is exact up to 2^53 ms. CEL's range is smaller.
    (total < 9_007_199_254_740_992.0).then_some((sign * total) as i64)
}
