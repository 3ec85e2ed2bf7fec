//! How the records of a stream are written: `Accept`, `format` and `select`.

use crate::cel::{CelLimits, FieldPath};
use crate::http::event::projection::Projection;
use crate::http::event::{self, EventFormat};
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::request::Request;
use crate::http::stream::StreamStyle;
use crate::hub::Format;
use std::sync::Arc;
use warp::http::header;

/// The media type of a stream, and the format of its frames.
pub struct StreamFormat {
    pub style: StreamStyle,
    pub format: Arc<dyn Format>,
}

impl StreamFormat {
    pub fn of(request: &Request, query: &Query, limits: CelLimits) -> Result<Self, Problem> {
        let style = style(request)?;
        let fields = match query.one("select")? {
            Some(text) => {
                let paths = FieldPath::parse_list(text, limits.length);
                Some(Projection::new(paths.map_err(|invalid| Problem::bad_request(invalid.to_string()))?))
            }
            None => None,
        };
        let given = query.one("format")?;
        if let Some(fields) = fields {
            return match (given, style) {
                (Some("record") | None, StreamStyle::Sse) => {
                    Ok(Self { style, format: event::fields_as_events(fields) })
                }
                (Some("record") | None, StreamStyle::Ndjson) => {
                    Ok(Self { style, format: event::fields_as_lines(fields) })
                }
                (Some(other), _) => Err(Problem::bad_request(format!(
                    "format is {other:?}; with select allowed is record: select makes an object of these fields"
                ))),
            };
        }
        let kind = match (given, style) {
            (Some("value" | "record") | None, StreamStyle::Ndjson) => EventFormat::Ndjson,
            (Some("value") | None, StreamStyle::Sse) => EventFormat::SseValue,
            (Some("record"), StreamStyle::Sse) => EventFormat::SseRecord,
            (Some("exact"), StreamStyle::Sse) => EventFormat::SseExact,
            (Some("exact"), StreamStyle::Ndjson) => EventFormat::NdjsonExact,
            (Some(other), _) => {
                return Err(Problem::bad_request(format!("format is {other:?}; allowed are value, record and exact")));
            }
        };
        Ok(Self { style, format: event::format(kind) })
    }
}

/// Returns the style for the `Accept` header: the supported type with the highest quality (RFC 9110, section 12.5.1),
/// and of equal ones the first.
fn style(request: &Request) -> Result<StreamStyle, Problem> {
    let accepts: Vec<_> =
        request.headers.get_all(header::ACCEPT).iter().filter_map(|accept| accept.to_str().ok()).collect();
    let accept = accepts.join(", ");
    if accept.trim().is_empty() {
        return Ok(StreamStyle::Sse);
    }
    let mut best = None;
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let style = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
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
