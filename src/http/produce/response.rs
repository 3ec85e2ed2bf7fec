//! Turns the results of records into the status and body of a response, in the format of the REST Proxy v2.

use super::body::BodyMemory;
use super::encoding_job::SchemaIds;
use crate::broker::{Acks, RecordLocation};
use crate::http::problem::Problem;
use crate::http::rest_proxy::media_type;
use crate::schemas::framing::SchemaId;
use serde_json::{Value, json};
use std::io::Write;
use warp::http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use warp::http::{Response as HttpResponse, StatusCode};
use warp::reply::Response;

/// The result for one record: a problem if the broker reported an error or the record was never sent.
pub type RecordResult = Result<RecordLocation, Problem>;

/// Members of the response beside `offsets`.
#[derive(Debug, Clone, Copy, Default)]
pub struct ResponseMembers {
    /// The schemas of the records, if they have any.
    pub schemas: Option<SchemaIds>,
    pub warning: Option<&'static str>,
}

impl ResponseMembers {
    fn write(&self, out: &mut Vec<u8>) {
        if let Some(SchemaIds { key, value }) = self.schemas {
            let (key, value) = (json!(key.map(SchemaId::json)), json!(value.map(SchemaId::json)));
            // Writing to a `Vec` cannot fail.
            let _ = write!(out, ",\"key_schema_id\":{key},\"value_schema_id\":{value}");
        }
        if let Some(warning) = self.warning {
            let _ = write!(out, ",\"warning\":{}", Value::from(warning));
        }
    }
}

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
            let error = Value::from(problem.detail());
            // Writing to a `Vec` cannot fail.
            let _ = write!(out, "{{\"error_code\":{},\"error\":{error}}}", problem.error_code());
        }
    }
}

/// Returns 200 if every record is acknowledged, 202 for `acks=0`, and 207 if some records failed. If all failed with
/// the same status and code, returns that problem.
pub fn respond(
    entries: &[RecordResult],
    members: ResponseMembers,
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
    out.push(b']');
    members.write(&mut out);
    // The line feed keeps the prompt of a terminal on a separate line.
    out.extend_from_slice(b"}\n");
    let mut response = HttpResponse::new(held.keep(out).into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type(headers)));
    Ok(response)
}
