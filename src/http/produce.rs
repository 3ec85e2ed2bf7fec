//! `POST /topics/{topic}` and `POST /topics/{topic}/partitions/{partition}`, and the tombstone of `DELETE`: turns a request body into records, and their results into a
//! response.

mod body;
mod body_kind;
mod copied_headers;
mod elements;
mod encoding_job;
mod envelope;
mod events;
mod gunzip;
mod held_response;
mod item_group;
mod items;
mod json;
mod lines;
mod lookalike;
mod ndjson;
mod partial_item;
mod path_target;
mod queued;
mod receipts;
mod response;
mod schema_choice;
mod schema_encoder;
mod schema_problem;
mod summary;
mod vendor_type;

use super::peer::is_forwarded;
use super::problem::Problem;
use super::query::Query;
use super::shutdown::{BodyEnd, Revoked, Shutdown};
use super::trace::Trace;
use crate::broker::{Acks, AutoCreate};
use crate::hub::Hub;
use crate::record::{Header, NewRecord, Partition, Timestamp, TopicName};
use crate::start_position::parse_timestamp;
use crate::sync::memory_budget::MemoryBudget;
pub use body::{Bodies, collect};
use body::{BodyMemory, BodyReader};
use body_kind::{BodyKind, Split};
use bytes::{Buf, Bytes};
use copied_headers::copied_headers;
pub use copied_headers::{HeaderPattern, InvalidHeaderPattern};
use encoding_job::{EncodedRecords, RecordForm, Unencoded};
use futures_util::Stream;
use held_response::ResponseStart;
use json::check_json;
use ndjson::UploadKind;
pub use path_target::PathTarget;
use queued::Queued;
use response::ResponseMembers;
use schema_choice::ChosenSchemas;
pub use schema_encoder::SchemaEncoder;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;
use warp::http::HeaderMap;
use warp::http::header::{CONTENT_LENGTH, EXPECT};
use warp::reply::Response;

#[derive(Debug, Clone)]
pub struct Settings {
    /// Maximum size in bytes of a body after decompression, or of one item of a body that is split.
    pub max_body: usize,
    /// Time limit for receiving a complete body. Bodies that are split are exempt.
    pub body_timeout: Duration,
    /// The memory and the decompression turns that all request bodies share.
    pub bodies: Bodies,
    pub auto_create: AutoCreate,
    /// Time limit for an NDJSON upload to wait for space in the producer's queue.
    pub timeout: Duration,
    pub trace: Trace,
    /// The request headers that become record headers.
    pub record_headers: Vec<HeaderPattern>,
    /// The schemas for keys and values; `None` without a schema registry.
    pub schemas: Option<Arc<SchemaEncoder>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_body: 8 << 20,
            body_timeout: Duration::from_secs(60),
            bodies: Bodies::new(&MemoryBudget::default()),
            auto_create: AutoCreate::Ask,
            timeout: Duration::from_secs(30),
            trace: Trace::Dropped,
            record_headers: Vec::new(),
            schemas: None,
        }
    }
}

const PARAMETERS: [&str; 10] = {
    let [key_schema, key_schema_id, value_schema, value_schema_id] = schema_choice::PARAMETERS;
    [
        "key",
        "partition",
        "timestamp",
        "acks",
        "receipts",
        "split",
        key_schema,
        key_schema_id,
        value_schema,
        value_schema_id,
    ]
};

/// The destination and the common properties of a request's records.
#[derive(Debug, Clone)]
struct ProduceTarget {
    topic: TopicName,
    acks: Acks,
    auto_create: AutoCreate,
    receipts: ReceiptMode,
    split: Split,
    /// The key, partition, timestamp and headers from the query and the request headers.
    template: NewRecord,
    /// The schemas from the query.
    schemas: ChosenSchemas,
    /// Headers added to each record: those of `--record-headers`, and those that identify the request (`--trace-headers`).
    added: Vec<Header>,
}

/// The start of the response to a body that is split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReceiptMode {
    /// After the body, as a summary whose status follows the outcome.
    AtEnd,
    /// At once, with one receipt per item.
    Stream,
}

/// Events that stop the reading of a body before its end.
pub struct BodyInterrupts {
    /// For a body that is split, which may be endless.
    pub ndjson: Revoked,
    /// For any other body.
    pub other: BodyEnd,
}

impl Default for BodyInterrupts {
    /// Never stops reading.
    fn default() -> Self {
        Self { ndjson: Box::pin(std::future::pending()), other: Shutdown::new().end_of_body() }
    }
}

/// Writes the records of `body` to `destination` and responds with their results.
pub async fn post<B, D, E>(
    hub: &Arc<Hub>,
    settings: &Settings,
    destination: PathTarget<'_>,
    query: &str,
    headers: &HeaderMap,
    body: B,
    BodyInterrupts { ndjson: lines, other: mut end }: BodyInterrupts,
) -> Result<Response, Problem>
where
    B: Stream<Item = Result<D, E>> + Send + Sync + Unpin + 'static,
    D: Buf + Send + 'static,
    E: Display + Send + 'static,
{
    let mut target = ProduceTarget::read(destination.topic, query, headers, settings)?;
    let has_template = target.template != NewRecord::default();
    destination.place(&mut target.template)?;
    let kind = BodyKind::of(headers)?.split(target.split)?;
    kind.check_schemas(&target.schemas, settings)?;
    let mut body = BodyReader::new(body, headers, &settings.bodies)?;
    if let BodyKind::Items(unit, format) = kind {
        drop(end);
        // The response starts before the body ends, and would replace the `100 Continue`.
        if target.receipts == ReceiptMode::Stream && headers.contains_key(EXPECT) {
            body.read_ahead().await;
        }
        let start = match headers.contains_key(CONTENT_LENGTH) || is_forwarded(headers) {
            true => ResponseStart::AfterBody,
            false => ResponseStart::AtOnce,
        };
        let upload = UploadKind { unit, format, start };
        return ndjson::post(hub.clone(), settings.clone(), target, upload, body, Some(lines)).await;
    }
    target.has_no_receipts()?;
    let (body, mut held) = body.read_all(settings, headers, &mut end).await?;
    let mut members = ResponseMembers::default();
    let (mut memory, mut schemas) = (body.len(), target.schemas.clone());
    let mut entries = match kind {
        BodyKind::Envelope(form) => {
            if has_template {
                return Err(Problem::bad_request(
                    "the request has a key, partition, timestamp or X-Kafka header; in an envelope these are members of each record",
                ));
            }
            let content = envelope::read(form, &body, target.memory(), &mut held)?;
            (memory, schemas) = (content.memory, content.schemas);
            content.entries
        }
        BodyKind::Events(mode) => {
            // A copied `content-type: application/cloudevents+json` would declare the data of an event to be an event.
            target.added.retain(|header| !events::is_reserved(header));
            events::read(mode, &target, headers, body, &mut held)?
        }
        BodyKind::Json => {
            check_json(&body).map_err(|what| Problem::unprocessable(format!("the body is not JSON: {what}")))?;
            members.warning = lookalike::is_envelope(&body).then_some(lookalike::WARNING);
            vec![Ok(target.record(body))]
        }
        BodyKind::Bytes | BodyKind::Items(..) => vec![Ok(target.record(body))],
    };
    destination.place_all(&mut entries);
    if let Some(form) = kind.encoded_form(&schemas) {
        let unencoded = Unencoded::new(entries, form, (held, memory), settings.max_body)?;
        let encoding = encode(settings, &target.topic, schemas, unencoded, &mut members);
        (entries, held) = tokio::select! {
            biased;
            encoded = encoding => encoded?,
            // Nothing has been written yet.
            problem = end.paused() => return Err(problem),
        };
    }
    let queued = Queued::new(hub, &target, entries)?;
    // From here on the records are queued; the shutdown waits for the queue, not for this body.
    drop(end);
    queued.respond(members, target.acks, headers, held).await
}

/// Writes a tombstone for the key in the query.
pub async fn delete(
    hub: &Arc<Hub>,
    settings: &Settings,
    topic: &str,
    query: &str,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let target = ProduceTarget::read(topic, query, headers, settings)?;
    target.has_no_receipts()?;
    if target.split != Split::Unset {
        return Err(Problem::bad_request(
            "split is only allowed with POST; a tombstone is DELETE /topics/NAME?key=KEY",
        ));
    }
    if target.template.key.is_none() {
        return Err(Problem::bad_request(
            "the query has no key; a tombstone is DELETE /topics/NAME?key=KEY (?records=all deletes the topic)",
        ));
    }
    let mut entries = vec![Ok(target.template.clone())];
    let (mut members, mut held) = (ResponseMembers::default(), BodyMemory::new(&settings.bodies));
    if !target.schemas.is_empty() {
        let unencoded = Unencoded::new(entries, RecordForm::Single, (held, 0), settings.max_body)?;
        (entries, held) = encode(settings, &target.topic, target.schemas.clone(), unencoded, &mut members).await?;
    }
    let queued = Queued::new(hub, &target, entries)?;
    queued.respond(members, target.acks, headers, held).await
}

/// Encodes records by their schemas, and adds the ids of these to the response. Returns the records with their memory.
async fn encode(
    settings: &Settings,
    topic: &TopicName,
    schemas: ChosenSchemas,
    unencoded: Unencoded,
    members: &mut ResponseMembers,
) -> Result<(Vec<Result<NewRecord, Problem>>, BodyMemory), Problem> {
    let encoder = settings.schemas.as_ref();
    let encoder = encoder.ok_or_else(|| schema_problem::no_registry("the schema of a key or value"))?;
    let EncodedRecords { records, ids, held } = encoder.encode(topic, schemas, unencoded).await?;
    members.schemas = Some(ids);
    Ok((records.into_iter().map(Ok).collect(), held))
}

impl ProduceTarget {
    fn read(topic: &str, query: &str, headers: &HeaderMap, settings: &Settings) -> Result<Self, Problem> {
        let topic = TopicName::new(topic)?;
        let query = Query::parse(query, &PARAMETERS)?;
        let acks = match query.one("acks")? {
            Some("all" | "-1") | None => Acks::All,
            Some("1") => Acks::Leader,
            Some("0") => Acks::None,
            Some(other) => return Err(Problem::bad_request(format!("acks is {other:?}; allowed are all, 1 and 0"))),
        };
        let receipts = match query.one("receipts")? {
            None => ReceiptMode::AtEnd,
            Some("stream") => ReceiptMode::Stream,
            Some(other) => {
                return Err(Problem::bad_request(format!("receipts is {other:?}; the only allowed value is stream")));
            }
        };
        let split = Split::parse(query.one("split")?)?;
        let template = NewRecord {
            partition: query.one("partition")?.map(partition).transpose()?,
            key: query.bytes("key")?.map(Bytes::copy_from_slice),
            timestamp: query.one("timestamp")?.map(timestamp).transpose()?,
            headers: record_headers(headers)?,
            value: None,
        };
        let schemas = ChosenSchemas::of_query(&query)?;
        let mut added = copied_headers(&settings.record_headers, headers);
        let trace = settings.trace.headers(headers);
        added.extend(
            trace.into_iter().filter(|new| !added.iter().any(|copied| copied.name == new.name)).collect::<Vec<_>>(),
        );
        let auto_create = settings.auto_create;
        Ok(Self { topic, acks, auto_create, receipts, split, template, schemas, added })
    }

    fn has_no_receipts(&self) -> Result<(), Problem> {
        match self.receipts {
            ReceiptMode::AtEnd => Ok(()),
            ReceiptMode::Stream => Err(Problem::bad_request(
                "receipts=stream is only allowed with Content-Type application/x-ndjson or with split; remove it for other bodies",
            )),
        }
    }

    /// Returns the memory that a record takes in addition to its own data, in bytes, from reading it to reporting its
    /// result: with the headers of the request, of which each record has a copy.
    fn memory(&self) -> usize {
        let headers = self.template.headers.iter().chain(&self.added);
        envelope::RECORD_MEMORY + headers.map(|header| envelope::HEADER_MEMORY + header.name.len()).sum::<usize>()
    }

    fn record(&self, value: Bytes) -> NewRecord {
        NewRecord { value: Some(value), ..self.template.clone() }
    }

    /// Adds the headers of the request, except those that the record already has.
    fn mark(&self, record: &mut NewRecord) {
        let new = |header: &&Header| !record.headers.iter().any(|own| own.name == header.name);
        let added: Vec<_> = self.added.iter().filter(new).cloned().collect();
        record.headers.extend(added);
    }
}

fn partition(text: &str) -> Result<Partition, Problem> {
    match text.parse() {
        Ok(partition) if partition >= 0 => Ok(partition),
        _ => Err(Problem::bad_request(format!("partition is {text:?}; it must be a number from 0 on"))),
    }
}

fn timestamp(text: &str) -> Result<Timestamp, Problem> {
    parse_timestamp(text).ok_or_else(|| {
        Problem::bad_request(format!(
            "timestamp is {text:?}; it must be ms since 1970 or a time like 2026-01-31T08:00:00Z"
        ))
    })
}

/// Turns `X-Kafka-NAME: value` into the record header `name`, in lower case: HTTP header names have no case.
fn record_headers(headers: &HeaderMap) -> Result<Vec<Header>, Problem> {
    let named = headers.iter().filter_map(|(name, value)| Some((name.as_str().strip_prefix("x-kafka-")?, value)));
    named
        .map(|(name, value)| match name {
            "" => Err(Problem::bad_request("the header X-Kafka- has no record header name; write X-Kafka-NAME: value")),
            name => Ok(Header { name: name.to_owned(), value: Some(Bytes::copy_from_slice(value.as_bytes())) }),
        })
        .collect()
}
