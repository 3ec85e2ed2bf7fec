//! The part of a computation that an answer has.

use super::Since;
use crate::hub::series::SeriesState;
use crate::record::Timestamp;
use crate::series::{OmittedCounts, Point, SeriesView, Window};

/// Approximate bytes of an answer, of one point, and of a series besides its points.
const ANSWER_BYTES: usize = 16 << 20;
const POINT_BYTES: usize = 160;
const SERIES_BYTES: usize = 256;

pub struct AnswerView<'s> {
    pub window: Window,
    /// Everything from this time on was read. A step begins there, so that its points are complete.
    pub complete_from: Timestamp,
    /// Everything that was written until this time was read.
    pub complete_to: Timestamp,
    pub late_until: Option<Timestamp>,
    /// Points of at most this version are left out.
    since: Option<u32>,
    series: Vec<SeriesView<'s>>,
    omitted: OmittedCounts,
    /// The series that did not fit in memory, and those that do not fit in the answer.
    omitted_series: u64,
    /// The records of those that do not fit in the answer.
    beyond_answer: u64,
}

/// The first step that begins at this time or later.
fn whole_step(time: Timestamp, step: i64) -> Timestamp {
    time.saturating_add(step - 1).div_euclid(step).saturating_mul(step)
}

impl<'s> AnswerView<'s> {
    /// The view of a window, of at most `capacity` bytes. The series with the most readings come first.
    pub fn new(state: &SeriesState<'s>, window: Window, since: Since, capacity: usize) -> Self {
        let since = match since {
            Since::Version { generation, version } if generation == state.generation => Some(version),
            Since::Version { .. } | Since::Beginning => None,
        };
        let steps = window.steps();
        let mut series = state.table.series(&steps);
        let mut bytes = 0;
        let fitting = series.iter().take_while(|series| {
            let names = series.field.to_string().len() + series.name.map_or(0, str::len);
            bytes += SERIES_BYTES + 2 * names + series.points.len() * POINT_BYTES;
            bytes <= capacity.min(ANSWER_BYTES)
        });
        let rest = series.split_off(fitting.count());
        Self {
            window,
            complete_from: whole_step(state.complete_from, window.step).clamp(window.from, window.to),
            complete_to: state.complete_to,
            late_until: state.late_until,
            since,
            omitted: state.table.omitted(&steps),
            omitted_series: state.table.refused_series() + rest.len() as u64,
            beyond_answer: rest.iter().map(|series| series.count).sum(),
            series,
        }
    }

    /// Whether there are only the points that have changed.
    pub fn is_update(&self) -> bool {
        self.since.is_some()
    }

    /// The series, with the points that belong to the answer.
    pub fn series(&self) -> impl Iterator<Item = (&SeriesView<'s>, impl Iterator<Item = &'s Point>)> {
        let since = self.since;
        let is_new = move |point: &&Point| since.is_none_or(|since| point.version > since);
        let with_points = move |series: &'_ SeriesView<'s>| series.points.iter().filter(is_new);
        let has_points = move |series: &&SeriesView<'s>| with_points(series).next().is_some();
        self.series.iter().filter(has_points).map(move |series| (series, with_points(series)))
    }

    /// How many series and records were left out.
    pub fn omitted(&self) -> (u64, u64) {
        (self.omitted_series, self.omitted.total() + self.beyond_answer)
    }

    /// Why records were left out.
    pub fn reasons(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let beyond = Some(("large_answer", self.beyond_answer)).filter(|(_, records)| *records > 0);
        self.omitted.reasons().map(|(reason, records)| (reason.as_str(), records)).chain(beyond)
    }

    /// The time of a point.
    pub fn time(&self, point: &Point) -> Timestamp {
        point.step.saturating_mul(self.window.step)
    }
}
