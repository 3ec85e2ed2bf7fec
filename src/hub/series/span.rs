//! Identifies computations, and tracks the longest window of their viewers.

use crate::hub::subscription::Filter;
use crate::record::{Timestamp, TopicName, now};
use crate::series::{MAX_POINTS, SeriesQuery, TimeSource, Window};
use std::time::{Duration, Instant};

/// Length of a period. The window of a request counts for one to two periods.
const KEPT: Duration = Duration::from_secs(300);

/// How far the time in a value may be ahead of the time of its record, in milliseconds.
const VALUE_AHEAD: i64 = 60_000;

/// Requests with equal keys share a computation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ComputationKey {
    /// The topic.
    pub topic: TopicName,
    /// The definition of the series.
    pub query: SeriesQuery,
    /// The filter that records must match.
    pub filter: Filter,
    /// The times that the computation covers.
    pub span: SeriesSpan,
}

impl ComputationKey {
    /// Returns the first step whose readings are kept: early enough for the longest window of a request.
    pub fn floor(&self, from: Timestamp) -> i64 {
        let step = self.query.step;
        match self.span {
            SeriesSpan::Live => (now().div_euclid(step) - MAX_POINTS).min(from.div_euclid(step)),
            SeriesSpan::Past { window, .. } => window.steps().start,
        }
    }

    /// Returns the earliest timestamp of a record that can contain readings at `from` or later.
    pub fn plan_time(&self, from: Timestamp) -> Timestamp {
        match self.query.time {
            TimeSource::Record => from,
            TimeSource::Value(_) => from.saturating_sub(VALUE_AHEAD),
        }
    }
}

/// The times that a computation covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SeriesSpan {
    /// From the earliest requested time up to now.
    Live,
    /// This window. Only records that were written before `late_until` count.
    Past { window: Window, late_until: Timestamp },
}

/// The longest window that was requested recently, in milliseconds.
#[derive(Debug, Default)]
pub struct RecentWindows {
    /// The start of the previous and the current period, and the longest window requested in each.
    periods: [Option<(Instant, i64)>; 2],
}

impl RecentWindows {
    /// Adds the window of a request, in milliseconds.
    pub fn add(&mut self, length: i64, at: Instant) {
        match &mut self.periods[1] {
            Some((since, longest)) if at.saturating_duration_since(*since) < KEPT => *longest = (*longest).max(length),
            _ => self.periods = [self.periods[1], Some((at, length))],
        }
    }

    /// Returns the longest window of recent requests, in milliseconds.
    pub fn longest(&self, at: Instant) -> i64 {
        let recent = self.periods.iter().flatten().filter(|(since, _)| at.saturating_duration_since(*since) < 2 * KEPT);
        recent.map(|(_, length)| *length).max().unwrap_or(i64::MAX / 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_window_is_forgotten_after_a_while() {
        let start = Instant::now();
        let mut windows = RecentWindows::default();
        windows.add(3600, start);
        windows.add(60, start + KEPT / 2);
        assert_eq!(windows.longest(start + KEPT / 2), 3600);
        windows.add(60, start + KEPT);
        assert_eq!(windows.longest(start + KEPT), 3600);
        windows.add(60, start + 2 * KEPT);
        assert_eq!(windows.longest(start + 2 * KEPT), 60);
    }
}
