//! Encodes series as JSON.

use super::number::write_number;
use super::view::AnswerView;
use crate::http::records::PageBody;
use crate::series::SeriesView;
use crate::sync::memory_budget::Shortage;
use std::fmt::Write;
use std::sync::Arc;

/// Approximate size of the pieces that are appended to the body, in bytes.
const PIECE: usize = 8 << 10;
/// Maximum sizes of a point, and of a series without its names and points, in bytes.
const POINT_BYTES: usize = 160;
const SERIES_BYTES: usize = 256;

/// Returns the maximum size of a series, in bytes.
pub fn series_bytes(series: &SeriesView<'_>, states: Option<&[Arc<str>]>) -> usize {
    let names = json_bytes(&series.field.path.to_string()) + series.name.map_or(0, json_bytes);
    let states: usize = states.unwrap_or_default().iter().map(|name| 8 + json_bytes(name)).sum();
    SERIES_BYTES + names + states + series.points.len() * POINT_BYTES
}

/// Returns the size of a text in JSON without the quotes around it. A control character takes up to 6 bytes.
fn json_bytes(text: &str) -> usize {
    let escaped = |byte| match byte {
        0..=0x1f => 6,
        b'"' | b'\\' => 2,
        _ => 1,
    };
    text.bytes().map(escaped).sum()
}

/// Writes the series as a JSON object on one line. Times are in milliseconds since the Unix epoch.
pub fn write(out: &mut PageBody, view: &AnswerView<'_>) -> Result<(), Shortage> {
    let window = view.window;
    let mut piece = String::with_capacity(PIECE + 1024);
    let _ = write!(
        piece,
        r#"{{"from":{},"to":{},"step":{},"complete_from":{},"complete_to":{}"#,
        window.from, window.to, window.step, view.complete_from, view.complete_to
    );
    if let Some(late_until) = view.late_until {
        let _ = write!(piece, r#","late_until":{late_until}"#);
    }
    piece.push_str(r#","series":["#);
    for (number, (series, points)) in view.series().enumerate() {
        let separator = if number > 0 { "," } else { "" };
        let (field, name) =
            (json_text(&series.field.path.to_string()), series.name.map_or("null".to_owned(), json_text));
        let _ = write!(piece, r#"{separator}{{"field":{field},"by":{name}"#);
        if let Some(states) = view.states(series) {
            let names: Vec<_> = states.iter().map(|name| json_text(name)).collect();
            let _ = write!(piece, r#","states":[{}]"#, names.join(","));
        }
        piece.push_str(r#","points":["#);
        for (number, point) in points.enumerate() {
            piece.push_str(if number > 0 { ",[" } else { "[" });
            let _ = write!(piece, "{}", view.time(point));
            for value in [point.min, point.max, point.last] {
                piece.push(',');
                write_number(&mut piece, value);
            }
            let _ = write!(piece, ",{}]", point.count);
            if piece.len() >= PIECE {
                out.add(&piece)?;
                piece.clear();
            }
        }
        piece.push_str("]}");
    }
    let (series, records) = view.omitted();
    let _ = write!(piece, r#"],"omitted":{{"series":{series},"records":{records},"reasons":{{"#);
    for (number, (reason, records)) in view.reasons().enumerate() {
        let separator = if number > 0 { "," } else { "" };
        let _ = write!(piece, r#"{separator}"{reason}":{records}"#);
    }
    piece.push_str("}}}");
    out.add(&piece)
}

fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
