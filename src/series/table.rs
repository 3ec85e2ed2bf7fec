//! The points of all series of a query, in bounded memory.

use super::field::SeriesField;
use super::point::{Omission, OmittedCounts, Point, Reading};
use super::sketch::SeriesSketch;
use crate::sync::memory_budget::{Reservation, Share, Shortage};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// Maximum number of series in a table.
pub const MAX_SERIES: usize = 4096;
/// Approximate size of a series without its points, and of a name without its text, in bytes.
const SERIES_BYTES: usize = 128;
const NAME_BYTES: usize = 192;

/// Points by series and step. Memory for them is reserved, and readings that do not fit are counted as omitted.
pub struct SeriesTable {
    fields: Vec<SeriesField>,
    names: Vec<SeriesName>,
    by_text: HashMap<Box<str>, usize>,
    /// The index of the entry for readings without a name.
    unnamed: Option<usize>,
    series: Vec<SeriesPoints>,
    /// Sorted by step.
    omitted: Vec<(i64, OmittedCounts)>,
    refused: SeriesSketch,
    memory: Reservation,
}

/// A name, and the series that have it.
#[derive(Default)]
struct SeriesName {
    text: Option<Box<str>>,
    /// Pairs of indexes: a field, and its series with this name.
    series: Vec<(usize, usize)>,
}

struct SeriesPoints {
    field: usize,
    name: usize,
    /// Sorted by step.
    points: Vec<Point>,
}

/// The points of one series in a window.
#[derive(Debug, Clone, Copy)]
pub struct SeriesView<'t> {
    /// The field of the readings.
    pub field: &'t SeriesField,
    /// The name of the series.
    pub name: Option<&'t str>,
    /// The points in order of time, at least one. Steps without readings have no point.
    pub points: &'t [Point],
    /// The number of readings in the window.
    pub count: u64,
}

impl SeriesTable {
    /// Creates an empty table, which reserves its memory from `share`.
    pub fn new(share: &Arc<Share>) -> Self {
        Self {
            fields: Vec::new(),
            names: Vec::new(),
            by_text: HashMap::new(),
            unnamed: None,
            series: Vec::new(),
            omitted: Vec::new(),
            refused: SeriesSketch::default(),
            memory: share.empty_reservation(),
        }
    }

    /// Returns the number of bytes reserved from the share.
    pub fn memory(&self) -> usize {
        self.memory.bytes()
    }

    /// Whether the table has neither series nor omitted records.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty() && self.omitted.is_empty()
    }

    /// Returns the range of steps from the first point to the last one.
    pub fn steps(&self) -> Option<Range<i64>> {
        let first = self.series.iter().filter_map(|series| series.points.first()).map(|point| point.step).min()?;
        let last = self.series.iter().filter_map(|series| series.points.last()).map(|point| point.step).max()?;
        Some(first..last + 1)
    }

    /// Returns the index of a field, and adds the field if it is new. The search is linear, because a query has few
    /// fields.
    pub fn field(&mut self, field: &SeriesField) -> usize {
        self.fields.iter().position(|known| known == field).unwrap_or_else(|| {
            self.fields.push(field.clone());
            self.fields.len() - 1
        })
    }

    /// Returns the index of a name, and adds the name if it is new. Fails if there is no memory for it.
    pub fn name(&mut self, text: Option<&str>) -> Result<usize, Shortage> {
        let known = text.map_or(self.unnamed, |text| self.by_text.get(text).copied());
        known.map_or_else(|| self.add_name(text), Ok)
    }

    fn add_name(&mut self, text: Option<&str>) -> Result<usize, Shortage> {
        self.memory.grow(NAME_BYTES + 2 * text.map_or(0, str::len))?;
        let name = self.names.len();
        match text {
            Some(text) => drop(self.by_text.insert(text.into(), name)),
            None => self.unnamed = Some(name),
        }
        self.names.push(SeriesName { text: text.map(Into::into), series: Vec::new() });
        Ok(name)
    }

    /// Adds a reading. Counts it as omitted if there is no memory, or if the table has too many series.
    pub fn add(&mut self, field: usize, name: usize, step: i64, length: i64, reading: Reading) {
        let Ok(series) = self.series_of(field, name) else { return self.refuse(field, name, step, 1) };
        let points = &mut self.series[series].points;
        let at = match points.last() {
            Some(last) if last.step < step => Err(points.len()),
            Some(last) if last.step == step => Ok(points.len() - 1),
            _ => points.binary_search_by_key(&step, |point| point.step),
        };
        match at {
            Ok(at) => points[at].add(length, reading),
            Err(at) if self.memory.reserve_one(points).is_ok() => points.insert(at, Point::new(step, length, reading)),
            Err(_) => self.refuse(field, name, step, 1),
        }
    }

    fn series_of(&mut self, field: usize, name: usize) -> Result<usize, Shortage> {
        let known = self.names[name].series.iter().find(|(of, _)| *of == field);
        if let Some((_, series)) = known {
            return Ok(*series);
        }
        if self.series.len() >= MAX_SERIES {
            return Err(Shortage::Now);
        }
        self.memory.grow(SERIES_BYTES)?;
        let series = self.series.len();
        self.series.push(SeriesPoints { field, name, points: Vec::new() });
        self.names[name].series.push((field, series));
        Ok(series)
    }

    /// Counts readings that are omitted for lack of space.
    fn refuse(&mut self, field: usize, name: usize, step: i64, readings: u64) {
        self.refused.insert(&self.fields[field], self.names[name].text.as_deref());
        self.omit(step, Omission::TooManySeries, readings);
    }

    /// Counts readings that are omitted for lack of space. The table may not contain the name of their series.
    pub fn refuse_series(&mut self, field: usize, name: Option<&str>, step: i64, readings: u64) {
        self.refused.insert(&self.fields[field], name);
        self.omit(step, Omission::TooManySeries, readings);
    }

    /// Counts omitted records.
    pub fn omit(&mut self, step: i64, omission: Omission, records: u64) {
        if let Some(counts) = self.omitted_at(step) {
            counts.add(omission, records);
        }
    }

    /// Returns the counts of a step. If there is no memory for a new entry, returns those of a step nearby.
    fn omitted_at(&mut self, step: i64) -> Option<&mut OmittedCounts> {
        let at = self.omitted.binary_search_by_key(&step, |(step, _)| *step);
        let at = match at {
            Ok(at) => at,
            Err(at) if self.omitted.is_empty() || self.memory.reserve_one(&mut self.omitted).is_ok() => {
                self.omitted.insert(at, (step, OmittedCounts::default()));
                at
            }
            Err(at) => at.min(self.omitted.len() - 1),
        };
        self.omitted.get_mut(at).map(|(_, counts)| counts)
    }

    /// Merges the table of other records. Points that change get this `version`.
    pub fn merge(&mut self, other: &Self, version: u32) {
        let fields: Vec<usize> = other.fields.iter().map(|field| self.field(field)).collect();
        for SeriesPoints { field, name, points } in &other.series {
            let text = other.names[*name].text.as_deref();
            let field = fields[*field];
            let merged = self.name(text).and_then(|name| {
                let series = self.series_of(field, name)?;
                merge_points(&mut self.series[series].points, points, version, &mut self.memory)
            });
            if merged.is_err() {
                points.iter().for_each(|point| self.refuse_series(field, text, point.step, point.count));
            }
        }
        for (step, counts) in &other.omitted {
            if let Some(own) = self.omitted_at(*step) {
                own.merge(counts);
            }
        }
        self.refused.merge(&other.refused);
    }

    /// Returns the series that have readings in these steps, by field. Fields, and the series of a field, are in the order
    /// of their number of readings, the largest first.
    pub fn series(&self, steps: &Range<i64>) -> Vec<SeriesView<'_>> {
        let views = self.series.iter().filter_map(|series| Some((series.field, self.view(series, steps)?)));
        let mut views: Vec<(usize, SeriesView<'_>)> = views.collect();
        let mut of_fields = vec![0; self.fields.len()];
        views.iter().for_each(|(field, view)| of_fields[*field] += view.count);
        views.sort_by_key(|(field, view)| (Reverse(of_fields[*field]), view.field, Reverse(view.count), view.name));
        views.into_iter().map(|(_, view)| view).collect()
    }

    fn view<'t>(&'t self, series: &'t SeriesPoints, steps: &Range<i64>) -> Option<SeriesView<'t>> {
        let points = &series.points;
        let first = points.partition_point(|point| point.step < steps.start);
        let end = points.partition_point(|point| point.step < steps.end);
        let points = points.get(first..end).filter(|points| !points.is_empty())?;
        let count = points.iter().map(|point| point.count).sum();
        Some(SeriesView {
            field: &self.fields[series.field],
            name: self.names[series.name].text.as_deref(),
            points,
            count,
        })
    }

    /// Returns the number of omitted records in these steps, by reason.
    pub fn omitted(&self, steps: &Range<i64>) -> OmittedCounts {
        let mut sum = OmittedCounts::default();
        self.omitted.iter().filter(|(step, _)| steps.contains(step)).for_each(|(_, counts)| sum.merge(counts));
        sum
    }

    /// Estimates the number of series with omitted readings, within about 2 %.
    pub fn refused_series(&self) -> u64 {
        self.refused.estimate()
    }

    /// Drops the points before `step`, and then the series and names without points.
    pub fn drop_before(&mut self, step: i64) {
        self.omitted.retain(|(of, _)| *of >= step);
        for series in &mut self.series {
            let old = series.points.partition_point(|point| point.step < step);
            series.points.drain(..old);
            series.points.shrink_to_fit();
        }
        let mut names = std::mem::take(&mut self.names);
        let series = std::mem::take(&mut self.series);
        self.by_text.clear();
        self.unnamed = None;
        let mut new_index = vec![None; names.len()];
        for mut kept in series.into_iter().filter(|series| !series.points.is_empty()) {
            let name = *new_index[kept.name].get_or_insert_with(|| {
                let text = names[kept.name].text.take();
                let name = self.names.len();
                match &text {
                    Some(text) => drop(self.by_text.insert(text.clone(), name)),
                    None => self.unnamed = Some(name),
                }
                self.names.push(SeriesName { text, series: Vec::new() });
                name
            });
            kept.name = name;
            self.names[name].series.push((kept.field, self.series.len()));
            self.series.push(kept);
        }
        self.memory.shrink(self.memory_in_use());
    }

    /// Returns the number of bytes that the current content needs, computed as for the reservations.
    fn memory_in_use(&self) -> usize {
        let points: usize = self.series.iter().map(|series| series.points.capacity()).sum();
        let text: usize = self.by_text.keys().map(|text| 2 * text.len()).sum();
        points * size_of::<Point>()
            + self.series.len() * SERIES_BYTES
            + self.names.len() * NAME_BYTES
            + text
            + self.omitted.capacity() * size_of::<(i64, OmittedCounts)>()
    }
}

/// Merges the points `other` into `own`. Both are sorted by step. An error leaves `own` unchanged.
fn merge_points(own: &mut Vec<Point>, other: &[Point], version: u32, memory: &mut Reservation) -> Result<(), Shortage> {
    let is_new = |point: &&Point| own.binary_search_by_key(&point.step, |own| own.step).is_err();
    let new = other.iter().filter(is_new).count();
    let (length, capacity) = (own.len(), own.capacity());
    if length + new > capacity {
        // Reserves at least a quarter more, so that the next merge need not reallocate. If memory is short, reserves
        // only what is needed.
        let exact = length + new - capacity;
        let generous = exact.max(length / 4);
        let more = match memory.grow(generous * size_of::<Point>()) {
            Ok(()) => generous,
            Err(_) => {
                memory.grow(exact * size_of::<Point>())?;
                exact
            }
        };
        own.reserve_exact(capacity + more - length);
    }
    let Some(fill) = other.first() else { return Ok(()) };
    own.resize(length + new, *fill);
    // Merges from the end, so that no point moves twice.
    let (mut from, mut to) = (length, length + new);
    for theirs in other.iter().rev() {
        while from > 0 && own[from - 1].step > theirs.step {
            (from, to) = (from - 1, to - 1);
            own[to] = own[from];
        }
        to -= 1;
        let mut point = *theirs;
        if from > 0 && own[from - 1].step == theirs.step {
            from -= 1;
            point.merge(&own[from]);
        }
        point.version = version;
        own[to] = point;
    }
    Ok(())
}
