//! Encodes series as CSV (RFC 4180), with one row for each point.

use super::number::write_number;
use super::view::AnswerView;
use crate::http::event::csv::write_text;
use crate::http::records::PageBody;
use crate::series::SeriesView;
use crate::sync::memory_budget::Shortage;
use std::fmt::Write;
use std::sync::Arc;
use time::OffsetDateTime;
use time::macros::format_description;

/// Approximate size of the pieces that are appended to the body, in bytes.
const PIECE: usize = 8 << 10;
/// Maximum sizes of a number, and of a row without its names and values, in bytes.
const NUMBER_BYTES: usize = 27;
const ROW_BYTES: usize = 79;

/// Returns the maximum size of a series, in bytes. Each row repeats the names.
pub fn series_bytes(series: &SeriesView<'_>, states: Option<&[Arc<str>]>) -> usize {
    let longest = |states: &[Arc<str>]| states.iter().map(|name| text_cell(name).len()).max();
    let value = states.map_or(NUMBER_BYTES, |states| longest(states).unwrap_or_default());
    series.points.len() * (ROW_BYTES + names(series).len() + 3 * value)
}

/// Writes the header row, and then the rows of each series. `time` is in UTC, in a format that spreadsheets recognize
/// as a time. `time_ms` is the same time in milliseconds since the Unix epoch. The cells `min`, `max` and `last` of a
/// state are names. If the first two are equal, the state did not change in the step.
pub fn write(out: &mut PageBody, view: &AnswerView<'_>) -> Result<(), Shortage> {
    let mut piece = String::with_capacity(PIECE + 1024);
    piece.push_str("time,time_ms,field,by,min,max,last,count\r\n");
    for (series, points) in view.series() {
        let states: Option<Vec<String>> =
            view.states(series).map(|names| names.iter().map(|name| text_cell(name)).collect());
        let names = names(series);
        for point in points {
            let time = view.time(point);
            let _ = write!(piece, "{},{time},{names}", date_and_time(time));
            for value in [point.min, point.max, point.last] {
                piece.push(',');
                match &states {
                    Some(states) => piece.push_str(states.get(value as usize).map_or("", |cell| cell)),
                    None => write_number(&mut piece, value),
                }
            }
            let _ = write!(piece, ",{}\r\n", point.count);
            if piece.len() >= PIECE {
                out.add(&piece)?;
                piece.clear();
            }
        }
    }
    out.add(&piece)
}

/// Returns the date and time in UTC, with milliseconds unless they are zero.
fn date_and_time(ms: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000);
    let seconds = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
    let Some(text) = time.ok().and_then(|time| time.format(seconds).ok()) else { return String::new() };
    match ms.rem_euclid(1000) {
        0 => text,
        rest => format!("{text}.{rest:03}"),
    }
}

/// Returns the cells `field` and `by`. A series without a name has an empty cell without quotes.
fn names(series: &SeriesView<'_>) -> String {
    format!("{},{}", text_cell(&series.field.path.to_string()), series.name.map(text_cell).unwrap_or_default())
}

fn text_cell(text: &str) -> String {
    let mut cell = Vec::new();
    write_text(&mut cell, text);
    String::from_utf8_lossy(&cell).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::{FieldKind, SeriesField, ValuePath};

    #[test]
    fn names_are_quoted_and_are_no_formulas() {
        let field = SeriesField { path: ValuePath::default(), kind: FieldKind::Number };
        for (name, written) in [
            (None, "value,"),
            (Some("dev-1"), "value,dev-1"),
            (Some("a,b"), "value,\"a,b\""),
            (Some("say \"hi\""), "value,\"say \"\"hi\"\"\""),
            (Some("=cmd()"), "value,'=cmd()"),
            (Some("＝cmd()"), "value,'＝cmd()"),
            (Some("-5"), "value,-5"),
            (Some("-inf"), "value,'-inf"),
            (Some("-x,y"), "value,\"'-x,y\""),
        ] {
            assert_eq!(names(&SeriesView { field: &field, name, points: &[], count: 0 }), written);
        }
    }

    #[test]
    fn times_have_milliseconds_where_needed() {
        assert_eq!(date_and_time(1_769_846_400_000), "2026-01-31 08:00:00");
        assert_eq!(date_and_time(1_769_846_400_050), "2026-01-31 08:00:00.050");
        assert_eq!(date_and_time(i64::MAX), "");
    }
}
