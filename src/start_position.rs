//! Where a stream starts: `latest`, `earliest`, `snapshot`, a number of records like `-20`, an RFC 3339 time, an age like
//! `-15m`, offsets, or a cursor.
//! Shared by `?from=` and `--from`.

#![deny(missing_docs)]

use crate::cursor::{Cursor, CursorError, Selection};
use crate::record::{Offset, Partition, Timestamp, TopicName};
use std::time::Duration;
use thiserror::Error;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A start position as written, before the topics are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartPosition {
    /// The end of the log.
    Latest,
    /// The start of the log.
    Earliest,
    /// The latest record of every key, then the records after that.
    Snapshot,
    /// So many offsets before the end of each partition.
    Last(Offset),
    /// The first record with this timestamp or a later one.
    Time(Timestamp),
    /// `TOPIC:PARTITION:OFFSET` for each partition of each topic.
    Offsets(Vec<(TopicName, Partition, Offset)>),
    /// A well-formed cursor. [`resolve`](Self::resolve) checks that it belongs to the stream.
    Cursor(String),
}

/// The start of a stream of known topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// The end of the log.
    Latest,
    /// The start of the log.
    Earliest,
    /// The latest record of every key, then the records after that.
    Snapshot {
        /// Only keys whose latest record has this timestamp or a later one; `None` for all.
        since: Option<Timestamp>,
    },
    /// So many offsets before the end of each partition.
    Last(Offset),
    /// The first record with this timestamp or a later one.
    Time(Timestamp),
    /// A cursor of the stream's topics and partitions.
    Cursor(Cursor),
    /// A cursor of the stream that was at the end of the log a moment ago; the stream joins the live flow without
    /// reading the log first.
    End(Cursor),
}

impl StartPosition {
    /// The start of a stream of these topics and partitions. Fails for offsets and cursors of another stream.
    pub fn resolve(self, topics: &[TopicName], selection: &Selection) -> Result<Start, CursorError> {
        Ok(match self {
            Self::Latest => Start::Latest,
            Self::Earliest => Start::Earliest,
            Self::Snapshot => Start::Snapshot { since: None },
            Self::Last(count) => Start::Last(count),
            Self::Time(at) => Start::Time(at),
            Self::Offsets(offsets) => Start::Cursor(Cursor::at(offsets, topics.to_vec(), selection.clone())?),
            Self::Cursor(text) => Start::Cursor(Cursor::parse(&text, topics.to_vec(), selection.clone())?),
        })
    }
}

/// An invalid start position. The text quotes it, lists the allowed forms and may add a hint.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "from {given:?} is not a start position; allowed are latest, earliest, snapshot, -20 for the last 20 records of each partition, \
     a time like 2026-01-31T08:00:00Z, an age like -15m, offsets like readings:0:42,readings:1:17, or the id of an event{hint}"
)]
pub struct InvalidStart {
    given: String,
    hint: &'static str,
}

const IS_A_NUMBER: &str = "; an offset alone does not say where to start in several partitions";
const LOOKS_CUT: &str = "; if it is an event's id, it is damaged or cut off: give it exactly as it was sent";
const NO_ZONE: &str = "; a time needs its zone: Z or +02:00 at the end (in a URL the + is written %2B)";
const UNITS: &str = "; an age is a minus sign, a number and a unit: ms, s, m, h, d or w";

/// Parses a start position. Ages count back from `now`, in milliseconds since the Unix epoch.
pub fn parse_start(text: &str, now: Timestamp) -> Result<StartPosition, InvalidStart> {
    let bad = |hint| InvalidStart { given: text.chars().take(200).collect(), hint };
    match text {
        "latest" => return Ok(StartPosition::Latest),
        "earliest" => return Ok(StartPosition::Earliest),
        "snapshot" => return Ok(StartPosition::Snapshot),
        _ => {}
    }
    if let Some(count) = text.strip_prefix('-').and_then(|count| count.parse::<u32>().ok()) {
        return Ok(StartPosition::Last(count.into()));
    }
    if let Some(age) = text.strip_prefix('-') {
        let age = parse_age(age).ok_or_else(|| bad(UNITS))?;
        return Ok(StartPosition::Time(now.saturating_sub(age).max(0)));
    }
    if let Some(at) = parse_rfc3339(text) {
        return Ok(StartPosition::Time(at));
    }
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    // This is more likely a time without a zone than the name of a topic.
    let is_dated = text.get(..4).is_some_and(digits) && text.get(4..5) == Some("-");
    if !is_dated && let Some(offsets) = parse_offsets(text) {
        return Ok(StartPosition::Offsets(offsets));
    }
    if Cursor::is_well_formed(text) {
        return Ok(StartPosition::Cursor(text.to_owned()));
    }
    Err(bad(match text {
        _ if digits(text) => IS_A_NUMBER,
        _ if is_dated => NO_ZONE,
        _ if text.len() >= 12 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') => LOOKS_CUT,
        _ => "",
    }))
}

/// Parses `TOPIC:PARTITION:OFFSET` entries, separated by commas.
fn parse_offsets(text: &str) -> Option<Vec<(TopicName, Partition, Offset)>> {
    let entry = |text: &str| {
        let mut parts = text.split(':');
        let name = TopicName::new(parts.next()?).ok()?;
        let partition = parts.next()?.parse().ok().filter(|p| *p >= 0)?;
        let offset = parts.next()?.parse().ok().filter(|offset| *offset >= 0)?;
        parts.next().is_none().then_some((name, partition, offset))
    };
    text.split(',').map(entry).collect()
}

/// Parses the timestamp of a record: milliseconds since the Unix epoch, or RFC 3339.
pub fn parse_timestamp(text: &str) -> Option<Timestamp> {
    let ms = text.parse().ok().filter(|ms| *ms >= 0);
    ms.or_else(|| parse_rfc3339(text)).filter(|ms| *ms >= 0)
}

/// Parses an RFC 3339 time into milliseconds since the Unix epoch. A space before the zone counts as a `+`, because URL
/// decoding turns one into the other.
pub(crate) fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    let parse = |text: &str| OffsetDateTime::parse(text, &Rfc3339).ok();
    let time = parse(text).or_else(|| {
        let (before, zone) = text.rsplit_once(' ')?;
        parse(&format!("{before}+{zone}"))
    })?;
    Timestamp::try_from(time.unix_timestamp_nanos().div_euclid(1_000_000)).ok()
}

/// Parses the interval of a sampled stream, from 100 ms to an hour, like `1s`.
pub fn parse_sample(text: &str) -> Option<Duration> {
    let ms = parse_age(text).filter(|ms| (100..=3_600_000).contains(ms))?;
    u64::try_from(ms).ok().map(Duration::from_millis)
}

/// Parses an age like `15m`, `1h30m` or `500ms` into milliseconds.
pub(crate) fn parse_age(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut total = 0i64;
    while !rest.is_empty() || total == 0 && rest.len() == text.len() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at_checked(digits)?;
        let number: i64 = number.parse().ok()?;
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at_checked(letters)?;
        let unit = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            _ => return None,
        };
        total = total.checked_add(number.checked_mul(unit)?)?;
        rest = tail;
    }
    Some(total)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = 1_769_846_400_000; // 2026-01-31T08:00:00Z

    #[test]
    fn every_form_of_a_start_position_is_parsed() {
        let cases = [
            ("latest", StartPosition::Latest),
            ("earliest", StartPosition::Earliest),
            ("snapshot", StartPosition::Snapshot),
            ("2026-01-31T08:00:00Z", StartPosition::Time(NOW)),
            ("2026-01-31T10:00:00+02:00", StartPosition::Time(NOW)),
            ("2026-01-31T10:00:00 02:00", StartPosition::Time(NOW)),
            ("2026-01-31T08:00:00.5Z", StartPosition::Time(NOW + 500)),
            ("-15m", StartPosition::Time(NOW - 900_000)),
            ("-1h30m", StartPosition::Time(NOW - 5_400_000)),
            ("-250ms", StartPosition::Time(NOW - 250)),
            ("-0s", StartPosition::Time(NOW)),
            ("-9999999w", StartPosition::Time(0)),
            ("-20", StartPosition::Last(20)),
        ];
        for (text, from) in cases {
            assert_eq!(parse_start(text, NOW), Ok(from), "{text}");
        }
    }

    #[test]
    fn an_invalid_start_position_is_rejected_with_a_hint() {
        let cases = [
            ("", ""),
            ("newest", ""),
            ("42", IS_A_NUMBER),
            ("-15x", UNITS),
            ("-4294967296", UNITS),
            ("-", UNITS),
            ("-m", UNITS),
            ("-15 m", UNITS),
            ("-99999999999999999999w", UNITS),
            ("2026-01-31", NO_ZONE),
            ("2026-01-31T08:00:00", NO_ZONE),
            ("BAAAnotacursor", LOOKS_CUT),
        ];
        for (text, hint) in cases {
            assert_eq!(parse_start(text, NOW), Err(InvalidStart { given: text.into(), hint }), "{text}");
        }
    }

    #[test]
    fn a_cursor_resolves_only_for_its_topics() {
        let topics = vec![TopicName::new("a").unwrap()];
        let mut cursor = Cursor::new(topics.clone(), Selection::All);
        cursor.add_position(0, 42);
        let from = parse_start(cursor.text(), NOW).unwrap();
        assert_eq!(from.clone().resolve(&topics, &Selection::All), Ok(Start::Cursor(cursor)));
        let others = [TopicName::new("b").unwrap()];
        assert_eq!(from.resolve(&others, &Selection::All), Err(CursorError::OtherStream));
    }

    #[test]
    fn offsets_start_each_partition_at_its_offset() {
        let name = |text| TopicName::new(text).unwrap();
        let topics = [name("a"), name("b")];
        let start = |text, selection| parse_start(text, NOW).unwrap().resolve(&topics, &selection);
        let all = |text| start(text, Selection::All);
        let mut cursor = Cursor::new(topics.to_vec(), Selection::All);
        cursor.add_position(0, 42);
        cursor.add_position(0, 17);
        assert_eq!(all("a:1:17,a:0:42"), Ok(Start::Cursor(cursor.clone())), "b is read from its beginning");
        cursor.add_position(1, 9);
        assert_eq!(all("b:0:9,a:0:42,a:1:17"), Ok(Start::Cursor(cursor)));
        assert!(start("a:3:1", Selection::of(vec![3])).is_ok());
        assert_eq!(all("a:1:17"), Err(CursorError::Holes));
        assert_eq!(all("a:0:1,a:0:2"), Err(CursorError::Holes));
        assert_eq!(all("c:0:1"), Err(CursorError::OtherStream));
        for bad in ["a:0", "a:0:1:2", "a:-1:0", "a:0:-1", "a:0:x", "a:0:1,", ":0:1", "a:0:99999999999999999999"] {
            assert!(parse_start(bad, NOW).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_timestamp_is_milliseconds_or_rfc_3339() {
        for (text, ms) in [
            ("0", Some(0)),
            ("1769846400000", Some(NOW)),
            ("2026-01-31T08:00:00Z", Some(NOW)),
            ("-1", None),
            ("1950-01-01T00:00:00Z", None),
            ("now", None),
            ("", None),
        ] {
            assert_eq!(parse_timestamp(text), ms, "{text}");
        }
    }

    proptest! {
        #[test]
        fn parsing_any_text_never_panics(text in ".*") {
            let _ = parse_start(&text, NOW);
            let _ = parse_start(&format!("-{text}"), NOW);
            let _ = parse_timestamp(&text);
        }
    }
}
