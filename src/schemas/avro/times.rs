//! Dates, times and durations as text (ISO 8601), without loss.
//!
//! A number that the text cannot express (a year after 9999, a time after midnight) is written as that number. All are read in
//! both forms.

use super::json_text::push_integer;
use super::types::TimeUnit;
use std::fmt::Write;
use time::{Date, Month};

/// The Julian day number of 1970-01-01.
const EPOCH: i32 = 2_440_588;
const SECONDS_OF_DAY: i64 = 86_400;

/// Appends the date that is `days` after the Unix epoch.
pub fn push_date(days: i32, out: &mut Vec<u8>) {
    match date(days.into()) {
        Some(date) => push_quoted(&date, out),
        None => push_integer(days.into(), out),
    }
}

/// Appends the time of a day.
pub fn push_time_of_day(since_midnight: i64, unit: TimeUnit, out: &mut Vec<u8>) {
    if (0..SECONDS_OF_DAY * unit.per_second()).contains(&since_midnight) {
        push_quoted(&time_of_day(since_midnight, unit), out);
    } else {
        push_integer(since_midnight, out);
    }
}

/// Appends a date and time followed by `zone`.
pub fn push_timestamp(since_epoch: i64, unit: TimeUnit, zone: &str, out: &mut Vec<u8>) {
    let day = SECONDS_OF_DAY * unit.per_second();
    match date(since_epoch.div_euclid(day)) {
        Some(date) => {
            let time = time_of_day(since_epoch.rem_euclid(day), unit);
            push_quoted(&format!("{date}T{time}{zone}"), out);
        }
        None => push_integer(since_epoch, out),
    }
}

/// Appends a duration of three little-endian numbers: months, days and milliseconds.
pub fn push_duration(encoded: [u8; 12], out: &mut Vec<u8>) {
    let [m0, m1, m2, m3, d0, d1, d2, d3, s0, s1, s2, s3] = encoded;
    let months = u32::from_le_bytes([m0, m1, m2, m3]);
    let days = u32::from_le_bytes([d0, d1, d2, d3]);
    let millis = u32::from_le_bytes([s0, s1, s2, s3]);
    push_quoted(&format!("P{months}M{days}DT{}.{:03}S", millis / 1000, millis % 1000), out);
}

fn push_quoted(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

fn date(days: i64) -> Option<String> {
    let date = Date::from_julian_day(i32::try_from(days).ok()?.checked_add(EPOCH)?).ok()?;
    let (year, month, day) = date.to_calendar_date();
    (0..=9999).contains(&year).then(|| format!("{year:04}-{:02}-{day:02}", u8::from(month)))
}

fn time_of_day(since_midnight: i64, unit: TimeUnit) -> String {
    let (seconds, fraction) = (since_midnight / unit.per_second(), since_midnight % unit.per_second());
    let mut text = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    // Writing to a String does not fail.
    let _ = write!(text, ".{fraction:0width$}", width = unit.digits());
    text
}

/// Parses `2026-01-31` as days since the Unix epoch.
pub fn parse_date(text: &str) -> Option<i32> {
    let mut parts = text.splitn(3, '-');
    let (year, month, day) = (digits(parts.next()?, 4)?, digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
    let date = Date::from_calendar_date(i32::try_from(year).ok()?, month, u8::try_from(day).ok()?).ok()?;
    Some(date.to_julian_day() - EPOCH)
}

/// Parses `08:00`, `08:00:00` or `08:00:00.123` as a number since midnight. More digits than the unit has are an error.
pub fn parse_time_of_day(text: &str, unit: TimeUnit) -> Option<i64> {
    let mut parts = text.splitn(3, ':');
    let (hours, minutes) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let seconds = parts.next().unwrap_or("00");
    let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let seconds = digits(seconds, 2)?;
    if hours > 23 || minutes > 59 || seconds > 59 {
        return None;
    }
    let significant = fraction.trim_end_matches('0');
    if significant.len() > unit.digits() || fraction.is_empty() {
        return None;
    }
    let mut padded = significant.to_owned();
    while padded.len() < unit.digits() {
        padded.push('0');
    }
    Some(((hours * 60 + minutes) * 60 + seconds) * unit.per_second() + digits(&padded, unit.digits())?)
}

/// Parses a date and time without a time zone.
pub fn parse_local(text: &str, unit: TimeUnit) -> Option<i64> {
    i64::try_from(since_epoch(text, unit)?).ok()
}

/// The start of a day, or the time without its offset, may be outside the range of a long although the result is inside.
fn since_epoch(text: &str, unit: TimeUnit) -> Option<i128> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let start_of_day = i128::from(parse_date(date)?) * i128::from(SECONDS_OF_DAY * unit.per_second());
    Some(start_of_day + i128::from(parse_time_of_day(time, unit)?))
}

/// Parses a date and time with a time zone: `Z` or an offset such as `+02:00`.
pub fn parse_timestamp(text: &str, unit: TimeUnit) -> Option<i64> {
    if let Some(local) = text.strip_suffix(['Z', 'z']) {
        return parse_local(local, unit);
    }
    let (local, offset) = text.split_at_checked(text.len().checked_sub("+00:00".len())?)?;
    let sign = match offset.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = offset.get(1..)?.split_once(':')?;
    let (hours, minutes) = (digits(hours, 2)?, digits(minutes, 2)?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    let offset = sign * (hours * 60 + minutes) * 60 * unit.per_second();
    i64::try_from(since_epoch(local, unit)? - i128::from(offset)).ok()
}

/// Parses a duration as it is written: `P1M2DT3.004S`. Parts that are missing are 0.
pub fn parse_duration(text: &str) -> Option<[u8; 12]> {
    let rest = text.strip_prefix('P')?;
    let (dates, time) = rest.split_once('T').unwrap_or((rest, ""));
    let (months, dates) = part(dates, 'M')?;
    let (days, nothing) = part(dates, 'D')?;
    let seconds = if time.is_empty() { "0" } else { time.strip_suffix('S')? };
    let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    if !nothing.is_empty() || fraction.is_empty() || fraction.len() > 3 {
        return None;
    }
    let millis = number(&format!("{fraction:0<3}"))?;
    let millis = number(seconds)?.checked_mul(1000)?.checked_add(millis)?;
    let mut encoded = [0; 12];
    let numbers = [months, days, millis].into_iter().flat_map(u32::to_le_bytes);
    for (place, byte) in encoded.iter_mut().zip(numbers) {
        *place = byte;
    }
    Some(encoded)
}

fn part(text: &str, unit: char) -> Option<(u32, &str)> {
    match text.split_once(unit) {
        Some((count, rest)) => Some((number(count)?, rest)),
        None => Some((0, text)),
    }
}

fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Parses exactly `length` digits.
fn digits(text: &str, length: usize) -> Option<i64> {
    (text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}
