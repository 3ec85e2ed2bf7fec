//! Turns the results of records into the status and body of a response, in the format of the REST Proxy v2.

use super::body::BodyMemory;
use crate::broker::{Acks, RecordLocation};
use crate::http::problem::Problem;
use std::io::Write;
use warp::http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use warp::http::{Response as HttpResponse, StatusCode};
use warp::reply::Response;

/// The result for one record: a problem if the broker reported an error or the record was never sent.
pub type RecordResult = Result<RecordLocation, Problem>;

/// Appends `{"partition":0,"offset":42}` or `{"error_code":…,"error":…}`. With `acks=0` the offset is unknown and left
/// out. It is null if the broker confirmed a duplicate without its offset.
pub fn write(out: &mut Vec<u8>, entry: &RecordResult, acks: Acks) {
    match entry {
        Ok(RecordLocation { partition, offset }) => {
            let mut number = itoa::Buffer::new();
            out.extend_from_slice(b"{\"partition\":");
            out.extend_from_slice(number.format(*partition).as_bytes());
            if acks != Acks::None {
                out.extend_from_slice(b",\"offset\":");
                out.extend_from_slice(offset.map_or("null", |offset| number.format(offset)).as_bytes());
            }
            out.push(b'}');
        }
        Err(problem) => {
            let error = serde_json::Value::from(problem.detail());
            // Writing to a `Vec` cannot fail.
            let _ = write!(out, "{{\"error_code\":{},\"error\":{error}}}", problem.error_code());
        }
    }
}

/// Returns 200 if every record is acknowledged, 202 for `acks=0`, and 207 if some records failed. If all failed with
/// the same status and code, returns that problem.
pub fn respond(
    entries: &[RecordResult],
    acks: Acks,
    headers: &HeaderMap,
    held: BodyMemory,
) -> Result<Response, Problem> {
    let problems = || entries.iter().filter_map(|entry| entry.as_ref().err());
    let failed = problems().count();
    if failed == entries.len()
        && let Some(problem) = Problem::together(problems())
    {
        return Err(problem);
    }
    let status = match (failed, acks) {
        (0, Acks::None) => StatusCode::ACCEPTED,
        (0, _) => StatusCode::OK,
        _ => StatusCode::MULTI_STATUS,
    };
    let mut out = b"{\"offsets\":[".to_vec();
    if status != StatusCode::ACCEPTED {
        for (index, entry) in entries.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write(&mut out, entry, acks);
        }
    }
    // The line feed keeps the prompt of a terminal on a separate line.
    out.extend_from_slice(b"]}\n");
    let v2 = headers.get(ACCEPT).is_some_and(|accept| accept.as_bytes().starts_with(b"application/vnd.kafka.v2+json"));
    let content_type = if v2 { "application/vnd.kafka.v2+json" } else { "application/json" };
    let mut response = HttpResponse::new(held.keep(out).into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    Ok(response)
}
