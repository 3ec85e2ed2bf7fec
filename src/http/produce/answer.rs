//! Outcomes to the answer's status and body, in v2's shape.

use crate::broker::{Acks, Outcome, Placed};
use crate::http::problem::Problem;
use std::io::Write;
use warp::http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use warp::http::{Response as HttpResponse, StatusCode};
use warp::reply::Response;

/// What became of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    Placed(Placed),
    /// The broker did not take it.
    Failed(Problem),
    /// It was never sent.
    Invalid(Problem),
}

impl From<Outcome> for Entry {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Ok(placed) => Self::Placed(placed),
            Err(error) => Self::Failed(error.into()),
        }
    }
}

impl Entry {
    /// `{"partition":0,"offset":42}`, or `{"error_code":…,"error":…}`.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Placed(Placed { partition, offset }) => {
                let mut number = itoa::Buffer::new();
                out.extend_from_slice(b"{\"partition\":");
                out.extend_from_slice(number.format(*partition).as_bytes());
                out.extend_from_slice(b",\"offset\":");
                out.extend_from_slice(offset.as_ref().map_or("null", |offset| number.format(*offset)).as_bytes());
                out.push(b'}');
            }
            Self::Failed(problem) | Self::Invalid(problem) => {
                let error = serde_json::Value::from(problem.detail());
                // Writing to memory does not fail.
                let _ = write!(out, "{{\"error_code\":{},\"error\":{error}}}", problem.error_code());
            }
        }
    }

    fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Placed(_) => None,
            Self::Failed(problem) | Self::Invalid(problem) => Some(problem),
        }
    }
}

/// 200 where every record is acknowledged, 202 where nobody was asked to, 207 where some failed; where all
/// failed for one reason, that reason.
pub fn answer(entries: Vec<Entry>, acks: Acks, headers: &HeaderMap) -> Result<Response, Problem> {
    let failed = entries.iter().filter(|entry| entry.problem().is_some()).count();
    if failed == entries.len() {
        return Err(of_all(entries));
    }
    let status = match (failed, acks) {
        (0, Acks::None) => StatusCode::ACCEPTED,
        (0, _) => StatusCode::OK,
        _ => StatusCode::MULTI_STATUS,
    };
    let mut out = b"{\"offsets\":[".to_vec();
    if status != StatusCode::ACCEPTED {
        for (place, entry) in entries.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            entry.write(&mut out);
        }
    }
    out.extend_from_slice(b"]}");
    let v2 = headers.get(ACCEPT).is_some_and(|accept| accept.as_bytes().starts_with(b"application/vnd.kafka.v2+json"));
    let content_type = if v2 { "application/vnd.kafka.v2+json" } else { "application/json" };
    let mut response = HttpResponse::new(out.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    Ok(response)
}

/// One problem for all: the broker's, if it refused any, else what was invalid.
fn of_all(entries: Vec<Entry>) -> Problem {
    let count = entries.len();
    let first = entries.into_iter().max_by_key(|entry| matches!(entry, Entry::Failed(_)));
    match first {
        Some(Entry::Invalid(problem)) if count > 1 => {
            Problem::unprocessable(format!("none of the {count} records is valid; the last: {}", problem.detail()))
        }
        Some(Entry::Failed(problem) | Entry::Invalid(problem)) => problem,
        Some(Entry::Placed(_)) | None => Problem::unprocessable("there is no record in the request"),
    }
}
