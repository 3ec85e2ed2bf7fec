//! The part of a computation that a response contains.

use super::Since;
use crate::hub::series::SeriesState;
use crate::record::Timestamp;
use crate::series::{FieldKind, OmittedCounts, Point, SeriesView, ValuePath, Window};
use std::sync::Arc;

/// Maximum size of a response, in bytes.
const ANSWER_BYTES: usize = 16 << 20;

/// Returns the maximum size of a series in a response, in bytes. The second argument is the names of its states.
pub type SeriesBytes = fn(&SeriesView<'_>, Option<&[Arc<str>]>) -> usize;

pub struct AnswerView<'s> {
    pub window: Window,
    /// The start of the first complete step: every record from this time on has been read.
    pub complete_from: Timestamp,
    /// Every record written before this time has been read.
    pub complete_to: Timestamp,
    pub late_until: Option<Timestamp>,
    /// Points up to this version are left out.
    since: Option<u32>,
    series: Vec<SeriesView<'s>>,
    /// The names of states by field, in the order of their indexes.
    states: Vec<(ValuePath, Vec<Arc<str>>)>,
    omitted: OmittedCounts,
    /// The number of series that did not fit in memory, or do not fit in the response.
    omitted_series: u64,
    /// The number of readings of the series that do not fit in the response.
    beyond_answer: u64,
}

/// Returns the start of the first step that begins at `time` or later.
fn whole_step(time: Timestamp, step: i64) -> Timestamp {
    time.saturating_add(step - 1).div_euclid(step).saturating_mul(step)
}

fn states_of<'n>(states: &'n [(ValuePath, Vec<Arc<str>>)], series: &SeriesView<'_>) -> Option<&'n [Arc<str>]> {
    let names = || states.iter().find(|(path, _)| *path == series.field.path).map(|(_, names)| &**names);
    match series.field.kind {
        FieldKind::Number => None,
        FieldKind::State => names(),
    }
}

impl<'s> AnswerView<'s> {
    /// Creates the view of a window, of at most `capacity` bytes. `series_bytes` depends on the format. If not all series
    /// fit, the first ones are kept.
    pub fn new(
        state: &SeriesState<'s>,
        window: Window,
        since: Since,
        capacity: usize,
        series_bytes: SeriesBytes,
    ) -> Self {
        let since = match since {
            Since::Version { generation, version } if generation == state.generation => Some(version),
            Since::Version { .. } | Since::Beginning => None,
        };
        let steps = window.steps();
        let mut series = state.table.series(&steps);
        let states = state.states.all();
        let mut bytes = 0;
        let fitting = series.iter().take_while(|series| {
            bytes += series_bytes(series, states_of(&states, series));
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
            states,
        }
    }

    /// Whether the response contains only the points that have changed.
    pub fn is_update(&self) -> bool {
        self.since.is_some()
    }

    /// Returns the series that have points in the response, with these points.
    pub fn series(&self) -> impl Iterator<Item = (&SeriesView<'s>, impl Iterator<Item = &'s Point>)> {
        let since = self.since;
        let is_new = move |point: &&Point| since.is_none_or(|since| point.version > since);
        let with_points = move |series: &'_ SeriesView<'s>| series.points.iter().filter(is_new);
        let has_points = move |series: &&SeriesView<'s>| with_points(series).next().is_some();
        self.series.iter().filter(has_points).map(move |series| (series, with_points(series)))
    }

    /// Returns the names of the states of a series in the order of their indexes. `None` if its readings are numbers.
    pub fn states(&self, series: &SeriesView<'_>) -> Option<&[Arc<str>]> {
        states_of(&self.states, series)
    }

    /// Returns the number of omitted series and records.
    pub fn omitted(&self) -> (u64, u64) {
        (self.omitted_series, self.omitted.total() + self.beyond_answer)
    }

    /// Returns the reasons for omitted records, with the number of records.
    pub fn reasons(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let beyond = Some(("large_answer", self.beyond_answer)).filter(|(_, records)| *records > 0);
        self.omitted.reasons().map(|(reason, records)| (reason.as_str(), records)).chain(beyond)
    }

    /// Returns the time of a point.
    pub fn time(&self, point: &Point) -> Timestamp {
        point.step.saturating_mul(self.window.step)
    }
}
