//! Chooses the format of a stream: `Accept`, `format` and `select`.

use crate::cel::{CelLimits, FieldPath};
use crate::http::event::projection::Projection;
use crate::http::event::{self, EventFormat};
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::request::Request;
use crate::http::stream::StreamStyle;
use crate::hub::Format;
use bytes::Bytes;
use std::sync::Arc;
use warp::http::header;

/// The media type of a stream, and the format of its frames.
pub struct StreamFormat {
    pub style: StreamStyle,
    pub format: Arc<dyn Format>,
    /// The first bytes of the body.
    pub head: Bytes,
}

impl StreamFormat {
    pub fn of(request: &Request, query: &Query, limits: CelLimits) -> Result<Self, Problem> {
        let given = query.one("format")?;
        let style = style(request, given)?;
        let fields = match query.one("select")? {
            Some(text) => {
                let paths = FieldPath::parse_list(text, limits.length);
                Some(Projection::new(paths.map_err(|invalid| Problem::bad_request(invalid.to_string()))?))
            }
            None => None,
        };
        let with_format = |format| Ok(Self { style, format, head: style.head() });
        let Some(fields) = fields else {
            return with_format(event::format(kind(given, style)?));
        };
        match (given, style) {
            (Some("csv") | None, StreamStyle::Csv) => {
                let head = event::csv::header_line(&fields);
                Ok(Self { style, format: event::fields_as_csv(fields), head })
            }
            (Some("record") | None, StreamStyle::Sse) => with_format(event::fields_as_events(fields)),
            (Some("record") | None, StreamStyle::Ndjson) => with_format(event::fields_as_lines(fields)),
            (other, _) => Err(Problem::bad_request(format!(
                "format is {:?}; with select allowed are record, an object of these fields, and csv",
                other.unwrap_or_default()
            ))),
        }
    }
}

fn kind(given: Option<&str>, style: StreamStyle) -> Result<EventFormat, Problem> {
    Ok(match (given, style) {
        (Some("csv"), _) | (None, StreamStyle::Csv) => {
            return Err(Problem::bad_request(
                "CSV needs columns; name them with select, such as select=timestamp,key,value.temperature",
            ));
        }
        (Some("value" | "record") | None, StreamStyle::Ndjson) => EventFormat::Ndjson,
        (Some("value") | None, StreamStyle::Sse) => EventFormat::SseValue,
        (Some("record"), StreamStyle::Sse) => EventFormat::SseRecord,
        (Some("exact"), StreamStyle::Sse) => EventFormat::SseExact,
        (Some("exact"), StreamStyle::Ndjson) => EventFormat::NdjsonExact,
        (Some(other), _) => {
            return Err(Problem::bad_request(format!(
                "format is {other:?}; allowed are value, record and exact, and csv with select"
            )));
        }
    })
}

/// Returns the style for `format=csv` and the `Accept` header: the supported media type with the highest quality (RFC
/// 9110, section 12.5.1), or the first of several with the same quality.
fn style(request: &Request, format: Option<&str>) -> Result<StreamStyle, Problem> {
    let is_csv = format == Some("csv");
    let accepts: Vec<_> =
        request.headers.get_all(header::ACCEPT).iter().filter_map(|accept| accept.to_str().ok()).collect();
    let accept = accepts.join(", ");
    if accept.trim().is_empty() {
        return Ok(if is_csv { StreamStyle::Csv } else { StreamStyle::Sse });
    }
    let mut best = None;
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let style = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "text/csv" => StreamStyle::Csv,
            "text/*" | "*/*" if is_csv => StreamStyle::Csv,
            _ if is_csv => continue,
            "text/event-stream" | "text/*" | "*/*" => StreamStyle::Sse,
            "application/x-ndjson" | "application/ndjson" | "application/*" => StreamStyle::Ndjson,
            _ => continue,
        };
        let quality = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok()).unwrap_or(1.0);
        if quality > best.map_or(0.0, |(_, best)| best) {
            best = Some((style, quality));
        }
    }
    best.map(|(style, _)| style).ok_or_else(|| Problem::not_acceptable(&accept))
}
