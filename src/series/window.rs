//! The time window of a response, and the default step for it.

use super::query::{InvalidQuery, shortened};
use crate::record::Timestamp;
use crate::start_position::{parse_age, parse_timestamp};

/// Maximum number of steps in a window.
pub const MAX_POINTS: i64 = 10_000;
/// The default step divides a window into about this many steps at most.
const DEFAULT_POINTS: i64 = 360;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// The candidates for the default step: lengths that people read easily.
const STEPS: [i64; 30] = [
    100,
    200,
    500,
    SECOND,
    2 * SECOND,
    3 * SECOND,
    5 * SECOND,
    10 * SECOND,
    15 * SECOND,
    20 * SECOND,
    30 * SECOND,
    MINUTE,
    2 * MINUTE,
    3 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    15 * MINUTE,
    20 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    3 * DAY,
    7 * DAY,
    14 * DAY,
    31 * DAY,
];

/// The time window of a response, in milliseconds since the Unix epoch. Its start and end are multiples of the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    /// The start of the window, inclusive.
    pub from: Timestamp,
    /// The end of the window, exclusive.
    pub to: Timestamp,
    /// The length of a step.
    pub step: i64,
}

impl Window {
    /// Creates a window from `from` to `to`, widened to whole steps.
    pub fn new(from: Timestamp, to: Timestamp, step: i64) -> Result<Self, InvalidQuery> {
        if to <= from {
            return Err(InvalidQuery::Empty { from, to });
        }
        let begin = from.div_euclid(step);
        let end = to.saturating_sub(1).div_euclid(step) + 1;
        let points = end - begin;
        if points > MAX_POINTS {
            return Err(InvalidQuery::TooManyPoints { points, max: MAX_POINTS, step });
        }
        Ok(Self { from: begin.saturating_mul(step), to: end.saturating_mul(step), step })
    }

    /// Returns the indexes of the steps: their start time divided by their length.
    pub fn steps(&self) -> std::ops::Range<i64> {
        self.from.div_euclid(self.step)..self.to.div_euclid(self.step)
    }
}

/// Returns the default length of a step, of which the window has about 300.
pub fn default_step(from: Timestamp, to: Timestamp) -> i64 {
    let length = to.saturating_sub(from);
    let fits = |step: &i64| length / step <= DEFAULT_POINTS;
    STEPS.into_iter().find(fits).unwrap_or(31 * DAY)
}

/// Parses the value of `from`.
pub fn parse_from(given: &str, now: Timestamp) -> Result<Timestamp, InvalidQuery> {
    parse_time(given, now).ok_or_else(|| InvalidQuery::From(shortened(given)))
}

/// Parses the value of `to`. It may be in the future: the window is live until then.
pub fn parse_to(given: &str, now: Timestamp) -> Result<Timestamp, InvalidQuery> {
    match given {
        "now" => Ok(now),
        _ => parse_time(given, now).ok_or_else(|| InvalidQuery::To(shortened(given))),
    }
}

fn parse_time(given: &str, now: Timestamp) -> Option<Timestamp> {
    match given.strip_prefix('-') {
        Some(age) => Some(now.saturating_sub(parse_age(age)?).max(0)),
        None => parse_timestamp(given),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const NOW: Timestamp = 1_769_846_400_000; // 2026-01-31T08:00:00Z

    #[test]
    fn a_window_is_widened_to_whole_steps() {
        let window = Window::new(NOW - 900_001, NOW + 1, 5000).unwrap();
        assert_eq!((window.from, window.to), (NOW - 905_000, NOW + 5000));
        assert_eq!(window.steps().count(), 182);
        assert_eq!(Window::new(NOW - 5000, NOW, 5000).unwrap().steps().count(), 1);
        assert_eq!(Window::new(NOW, NOW, 5000), Err(InvalidQuery::Empty { from: NOW, to: NOW }));
        let points = MAX_POINTS + 1;
        assert_eq!(
            Window::new(0, points * 10, 10),
            Err(InvalidQuery::TooManyPoints { points, max: MAX_POINTS, step: 10 })
        );
        assert!(Window::new(i64::MIN, i64::MAX, 31 * DAY).is_err());
    }

    #[test]
    fn the_default_step_gives_about_300_points() {
        for (length, step) in [
            (5 * MINUTE, SECOND),
            (15 * MINUTE, 3 * SECOND),
            (HOUR, 10 * SECOND),
            (6 * HOUR, MINUTE),
            (DAY, 5 * MINUTE),
            (7 * DAY, 30 * MINUTE),
            (365 * DAY, 2 * DAY),
            (10, 100),
            (i64::MAX, 31 * DAY),
        ] {
            assert_eq!(default_step(NOW - length.min(NOW), NOW.max(length)), step, "{length}");
        }
    }

    #[test]
    fn from_and_to_are_ages_or_times() {
        assert_eq!(parse_from("-15m", NOW), Ok(NOW - 900_000));
        assert_eq!(parse_from("2026-01-31T07:00:00Z", NOW), Ok(NOW - HOUR));
        assert_eq!(parse_from("1769842800000", NOW), Ok(NOW - HOUR));
        assert_eq!(parse_to("now", NOW), Ok(NOW));
        assert_eq!(parse_to("-5m", NOW), Ok(NOW - 300_000));
        for bad in ["", "latest", "earliest", "15m", "yesterday", "2026-01-31"] {
            assert_eq!(parse_from(bad, NOW), Err(InvalidQuery::From(bad.into())));
            assert_eq!(parse_to(bad, NOW), Err(InvalidQuery::To(bad.into())));
        }
    }
}
