//! Requests with CloudEvents (HTTP binding): each event becomes a record in the binary mode of the Kafka binding.

use super::ProduceTarget;
use super::body::BodyMemory;
use super::envelope::{EnvelopeRecords, HEADER_MEMORY, MAX_RECORDS};
use super::json::check_json;
use crate::http::accept::essence;
use crate::http::cloudevents::attributes::Attributes;
use crate::http::cloudevents::header_value;
use crate::http::cloudevents::json_event::{self, JsonEvent};
use crate::http::cloudevents::media_type::DataForm;
use crate::http::cloudevents::{self, RECORD_PREFIX};
use crate::http::problem::Problem;
use crate::record::{Header, NewRecord};
use bytes::Bytes;
use warp::http::HeaderMap;
use warp::http::header::CONTENT_TYPE;

/// Request headers of attributes begin with this.
const PREFIX: &str = "ce-";
const TYPES: &str = "application/cloudevents+json, application/cloudevents-batch+json, or the type of the data with the \
     attributes as ce-NAME headers";

/// How a request contains events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventMode {
    /// The attributes are headers, and the body is the data.
    Binary,
    /// The body is one event as JSON.
    Structured,
    /// The body is a JSON array of events.
    Batch,
}

impl EventMode {
    /// Returns the mode of a request (HTTP binding, section 3), or `None` if it contains no event.
    pub fn of(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let given = headers.get(CONTENT_TYPE).map(|given| String::from_utf8_lossy(given.as_bytes()));
        let given = given.unwrap_or_default();
        match essence(&given).as_str() {
            "application/cloudevents+json" => Ok(Some(Self::Structured)),
            "application/cloudevents-batch+json" => Ok(Some(Self::Batch)),
            other if other.starts_with("application/cloudevents") => {
                Err(Problem::unsupported_media_type(&given, TYPES))
            }
            // A request with some of the headers is an event with missing attributes, which must not lose the others.
            _ => Ok(headers.keys().any(|name| name.as_str().starts_with(PREFIX)).then_some(Self::Binary)),
        }
    }
}

/// Returns the records of the events in a request to `target`. An invalid event in a batch does not keep the others from
/// being written. `held` grows to cover the records.
pub fn read(
    mode: EventMode,
    target: &ProduceTarget,
    headers: &HeaderMap,
    body: Bytes,
    held: &mut BodyMemory,
) -> Result<Vec<Result<NewRecord, Problem>>, Problem> {
    let template = &target.template;
    if let Some(header) = template.headers.iter().find(|header| is_reserved(header)) {
        let detail =
            format!("X-Kafka-{} is not allowed with an event, whose attributes are ce-NAME headers", header.name);
        return Err(Problem::bad_request(detail));
    }
    match mode {
        EventMode::Binary => Ok(vec![Ok(binary(template, headers, body)?)]),
        EventMode::Structured => {
            let text = json(&body)?;
            let memory = 2 * body.len() + target.memory();
            held.set(memory)?;
            let event = json_event::parse(text).map_err(|error| Problem::bad_request(error.to_string()))?;
            let record = record(template, event.attributes, event.data);
            held.set(memory + own_headers(template, &record) * HEADER_MEMORY)?;
            Ok(vec![Ok(record)])
        }
        EventMode::Batch => batch(target, &body, held),
    }
}

/// The event of a request in binary mode. An event without data is a record without a value (Kafka binding, section
/// 3.2.2); in HTTP it has an empty body.
fn binary(template: &NewRecord, headers: &HeaderMap, body: Bytes) -> Result<NewRecord, Problem> {
    let mut attributes = Attributes::default();
    for (name, value) in headers {
        let Some(attribute) = name.as_str().strip_prefix(PREFIX) else { continue };
        if attribute == "datacontenttype" {
            let detail = "ce-datacontenttype is not allowed: Content-Type is the attribute datacontenttype";
            return Err(Problem::bad_request(detail));
        }
        let value = header_value::decode(value.as_bytes());
        let value = value.map_err(|error| Problem::bad_request(format!("the header {name} is not valid: {error}")))?;
        attributes.add(attribute, value).map_err(|error| Problem::bad_request(error.to_string()))?;
    }
    for given in headers.get_all(CONTENT_TYPE) {
        let text = given.to_str().map_err(|_| Problem::bad_request("Content-Type is not ASCII"))?;
        if !text.is_empty() {
            let added = attributes.add("datacontenttype", text.to_owned());
            added.map_err(|error| Problem::bad_request(error.to_string()))?;
        }
    }
    attributes.check().map_err(|error| Problem::bad_request(error.to_string()))?;
    let given = attributes.get("datacontenttype");
    if given.is_some() && DataForm::of(given) == DataForm::Json && !body.is_empty() {
        json(&body)?;
    }
    let data = Some(body).filter(|body| !body.is_empty());
    Ok(record(template, attributes, data))
}

fn batch(
    target: &ProduceTarget,
    body: &[u8],
    held: &mut BodyMemory,
) -> Result<Vec<Result<NewRecord, Problem>>, Problem> {
    let EnvelopeRecords { texts, count } = serde_json::from_str(json(body)?)
        .map_err(|_| Problem::unprocessable("the body is not a batch; expected is a JSON array of events"))?;
    if count > MAX_RECORDS {
        let detail = format!("the batch has {count} events; at most {MAX_RECORDS} are allowed, send several batches");
        return Err(Problem::too_large(detail));
    }
    // Data is copied out of the body, so it counts twice.
    let mut memory = 2 * body.len() + count * target.memory();
    held.set(memory)?;
    let mut entries = Vec::with_capacity(count);
    for (index, text) in texts.into_iter().enumerate() {
        let entry = json_event::parse(text.get())
            .map(|JsonEvent { attributes, data }| record(&target.template, attributes, data));
        if let Ok(record) = &entry {
            memory += own_headers(&target.template, record) * HEADER_MEMORY;
            held.set(memory)?;
        }
        entries.push(entry.map_err(|error| Problem::bad_request(format!("event {index}: {error}"))));
    }
    Ok(entries)
}

/// Whether a record header is an attribute of an event, which only the event itself may set.
pub fn is_reserved(header: &Header) -> bool {
    header.name == cloudevents::CONTENT_TYPE || header.name.starts_with(RECORD_PREFIX)
}

/// Returns the number of headers of a record that `template` does not have.
fn own_headers(template: &NewRecord, record: &NewRecord) -> usize {
    record.headers.len().saturating_sub(template.headers.len())
}

fn json(body: &[u8]) -> Result<&str, Problem> {
    check_json(body).map_err(|what| Problem::unprocessable(format!("the body is not JSON: {what}")))?;
    Ok(std::str::from_utf8(body).unwrap_or_default())
}

/// The record of an event. The key of the request precedes that of the event, which keeps its attribute (Kafka binding,
/// section 3.1). An empty partition key is no key.
fn record(template: &NewRecord, mut attributes: Attributes, data: Option<Bytes>) -> NewRecord {
    let key = attributes.get("partitionkey").filter(|key| !key.is_empty());
    let key = key.map(|key| Bytes::copy_from_slice(key.as_bytes()));
    let content_type = attributes.take("datacontenttype");
    let attributes = attributes.into_iter().map(|(name, value)| (format!("{RECORD_PREFIX}{name}"), value));
    let content_type = content_type.map(|value| (cloudevents::CONTENT_TYPE.to_owned(), value));
    let headers = attributes.chain(content_type).map(|(name, value)| Header { name, value: Some(value.into()) });
    NewRecord {
        key: template.key.clone().or(key),
        value: data,
        headers: headers.chain(template.headers.iter().cloned()).collect(),
        partition: template.partition,
        timestamp: template.timestamp,
    }
}
