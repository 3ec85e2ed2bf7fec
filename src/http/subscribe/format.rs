//! Chooses the format of a stream: `Accept`, `format` and `select`.

use crate::cel::{CelLimits, FieldPath};
use crate::http::accept::{accept, preferred};
use crate::http::event::projection::Projection;
use crate::http::event::{self, EventFormat};
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::request::Request;
use crate::http::stream::StreamStyle;
use crate::hub::Format;
use bytes::Bytes;
use std::sync::Arc;

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
        (Some("cloudevents"), StreamStyle::Sse) => EventFormat::SseCloudEvents,
        (Some("cloudevents"), StreamStyle::Ndjson) => EventFormat::NdjsonCloudEvents,
        (Some(other), _) => {
            return Err(Problem::bad_request(format!(
                "format is {other:?}; allowed are value, record, exact and cloudevents, and csv with select"
            )));
        }
    })
}

/// Returns the style for `format=csv` and the `Accept` header.
fn style(request: &Request, format: Option<&str>) -> Result<StreamStyle, Problem> {
    let is_csv = format == Some("csv");
    let accept = accept(&request.headers);
    if accept.trim().is_empty() {
        return Ok(if is_csv { StreamStyle::Csv } else { StreamStyle::Sse });
    }
    let found = preferred(&accept, |range| match range {
        "text/csv" => Some(StreamStyle::Csv),
        "text/*" | "*/*" if is_csv => Some(StreamStyle::Csv),
        _ if is_csv => None,
        "text/event-stream" | "text/*" | "*/*" => Some(StreamStyle::Sse),
        "application/x-ndjson" | "application/ndjson" | "application/*" => Some(StreamStyle::Ndjson),
        _ => None,
    });
    found.ok_or_else(|| Problem::not_acceptable(&accept))
}
