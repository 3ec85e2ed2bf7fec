//! `POST /topics/{topic}` and its tombstone, `DELETE`: from a body of any allowed type to records and receipts.

mod answer;
mod body;
mod envelope;
mod gunzip;
mod held_answer;
mod lines;
mod ndjson;
mod receipts;
mod summary;

use super::peer::is_forwarded;
use super::problem::Problem;
use super::query::Query;
use super::shutdown::{BodyEnd, Shutdown};
use super::trace::Trace;
use crate::broker::{Acks, AutoCreate, BrokerError, DeliveryResult};
use crate::hub::{Hub, Rejected};
use crate::record::{Header, NewRecord, Partition, Timestamp, TopicName};
use crate::start_position::parse_timestamp;
use crate::sync::memory_budget::MemoryBudget;
use answer::{RecordResult, answer};
pub use body::{Bodies, collect};
use body::{Body, BodyMemory};
use bytes::{Buf, Bytes};
use envelope::Form;
use futures_util::Stream;
use held_answer::Begins;
use serde::de::IgnoredAny;
use std::fmt::Display;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::oneshot;
use warp::http::HeaderMap;
use warp::http::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use warp::reply::Response;

#[derive(Debug, Clone)]
pub struct Settings {
    /// Bytes of a body, inflated; of a line, where the body is x-ndjson.
    pub max_body: usize,
    /// How long a body may take to come whole, but for x-ndjson.
    pub body_timeout: Duration,
    /// Memory of all bodies and lines that are being read.
    pub bodies: Bodies,
    pub auto_create: AutoCreate,
    /// How long an x-ndjson stream waits for room in the queue.
    pub timeout: Duration,
    pub trace: Trace,
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
        }
    }
}

const PARAMETERS: [&str; 5] = ["key", "partition", "timestamp", "acks", "receipts"];
const TYPES: &str = "application/json, application/x-www-form-urlencoded, text/*, application/octet-stream, application/x-ndjson, \
     application/vnd.kafka.json.v2+json, application/vnd.kafka.binary.v2+json, or none";

/// What a body is, by its `Content-Type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BodyKind {
    /// One record, checked to be JSON.
    Json,
    /// One record, whatever it is.
    Bytes,
    /// A JSON record a line.
    Ndjson,
    Envelope(Form),
}

/// Where the records of a request go, and what they have in common.
#[derive(Debug, Clone)]
struct ProduceTarget {
    topic: TopicName,
    acks: Acks,
    auto_create: AutoCreate,
    receipts: ReceiptMode,
    /// With the key, partition, timestamp and headers that the request names.
    template: NewRecord,
    /// What says which request brought them.
    trace: Vec<Header>,
}

/// When a body of lines is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReceiptMode {
    /// When it has ended, by a summary whose status is true.
    AtEnd,
    /// At once, with a receipt for each line.
    Stream,
}

/// Why a body that goes on is not read any further.
pub type Revoked = Pin<Box<dyn Future<Output = Problem> + Send + Sync>>;

/// When the reading of a body ends, though the body has not.
pub struct Ends {
    /// Of a body of lines, which may be endless.
    pub lines: Revoked,
    /// Of any other.
    pub whole: BodyEnd,
}

impl Default for Ends {
    /// Never.
    fn default() -> Self {
        Self { lines: Box::pin(std::future::pending()), whole: Shutdown::new().end_of_body() }
    }
}

/// Produces what the body holds.
pub async fn post<B, D, E>(
    hub: &Arc<Hub>,
    settings: &Settings,
    topic: &str,
    query: &str,
    headers: &HeaderMap,
    body: B,
    Ends { lines, whole: mut end }: Ends,
) -> Result<Response, Problem>
where
    B: Stream<Item = Result<D, E>> + Send + Sync + Unpin + 'static,
    D: Buf + Send + 'static,
    E: Display + Send + 'static,
{
    let target = ProduceTarget::read(topic, query, headers, settings)?;
    let kind = BodyKind::of(headers)?;
    let mut body = Body::new(body, headers, &settings.bodies)?;
    if kind == BodyKind::Ndjson {
        drop(end);
        // The answer begins before the body ends, and would take the place of the 100.
        if target.receipts == ReceiptMode::Stream && headers.contains_key(EXPECT) {
            body.begin().await;
        }
        let begins = match headers.contains_key(CONTENT_LENGTH) || is_forwarded(headers) {
            true => Begins::AfterTheBody,
            false => Begins::AtOnce,
        };
        return ndjson::post(hub.clone(), settings.clone(), target, begins, body, Some(lines)).await;
    }
    target.has_no_receipts()?;
    let (body, mut held) = body.whole(settings, headers, &mut end).await?;
    let entries = match kind {
        BodyKind::Envelope(form) => {
            if target.template != NewRecord::default() {
                return Err(Problem::bad_request(
                    "key, partition, timestamp and X-Kafka headers of an envelope are members of its records, not of the request",
                ));
            }
            envelope::read(form, &body, &mut held)?
        }
        BodyKind::Json => {
            check_json(&body).map_err(|what| Problem::unprocessable(format!("the body is not JSON: {what}")))?;
            vec![Ok(target.record(body))]
        }
        BodyKind::Bytes | BodyKind::Ndjson => vec![Ok(target.record(body))],
    };
    let queued = Queued::new(hub, &target, entries)?;
    // From here on the record ends for the shutdown as all that are queued do.
    drop(end);
    queued.answer(target.acks, headers, held).await
}

/// Produces a tombstone for a key.
pub async fn delete(
    hub: &Arc<Hub>,
    settings: &Settings,
    topic: &str,
    query: &str,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let target = ProduceTarget::read(topic, query, headers, settings)?;
    target.has_no_receipts()?;
    if target.template.key.is_none() {
        return Err(Problem::bad_request(
            "which key? a tombstone is DELETE /topics/NAME?key=KEY (and ?records=all deletes the topic)",
        ));
    }
    let tombstone = target.template.clone();
    let queued = Queued::new(hub, &target, vec![Ok(tombstone)])?;
    queued.answer(target.acks, headers, BodyMemory::new(&settings.bodies)).await
}

/// The entries of a request, of which the valid ones are queued.
struct Queued {
    /// In the order of the entries; `None` for those that are valid.
    invalid: Vec<Option<Problem>>,
    /// `None` where none is valid.
    waiting: Option<PendingOutcomes>,
}

impl Queued {
    fn new(hub: &Hub, target: &ProduceTarget, entries: Vec<Result<NewRecord, Problem>>) -> Result<Self, Rejected> {
        let mut invalid = Vec::with_capacity(entries.len());
        let mut records = Vec::with_capacity(entries.len());
        for entry in entries {
            invalid.push(entry.map(|record| records.push(record)).err());
        }
        let waiting = if records.is_empty() { None } else { Some(submit(hub, target, records)?) };
        Ok(Self { invalid, waiting })
    }

    /// Answers for all of them. Their memory is `held` until the client has taken the answer.
    async fn answer(self, acks: Acks, headers: &HeaderMap, held: BodyMemory) -> Result<Response, Problem> {
        let outcomes = match self.waiting {
            Some(waiting) => waiting.await,
            None => Vec::new(),
        };
        let mut outcomes = outcomes.into_iter();
        let entries = self.invalid.into_iter().map(|invalid| match invalid {
            Some(problem) => Err(problem),
            None => outcomes.next().unwrap_or(Err(BrokerError::LostTrack)).map_err(Problem::from),
        });
        answer(&entries.collect::<Vec<RecordResult>>(), acks, headers, held)
    }
}

/// Brings the outcomes of records that are queued.
struct PendingOutcomes(oneshot::Receiver<Vec<DeliveryResult>>);

impl Future for PendingOutcomes {
    /// Empty where the hub lost track of the records.
    type Output = Vec<DeliveryResult>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(Result::unwrap_or_default)
    }
}

fn submit(hub: &Hub, target: &ProduceTarget, mut records: Vec<NewRecord>) -> Result<PendingOutcomes, Rejected> {
    if !target.trace.is_empty() {
        records.iter_mut().for_each(|record| target.mark(record));
    }
    let (done, outcomes) = oneshot::channel();
    // Nobody listens any more where the client has left; the records are written all the same.
    let tell = move |outcomes| drop(done.send(outcomes));
    hub.produce(target.topic.clone(), target.acks, target.auto_create, records, tell)?;
    Ok(PendingOutcomes(outcomes))
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
                return Err(Problem::bad_request(format!("receipts is {other:?}; allowed is stream, or leave it out")));
            }
        };
        let template = NewRecord {
            partition: query.one("partition")?.map(partition).transpose()?,
            key: query.bytes("key")?.map(Bytes::copy_from_slice),
            timestamp: query.one("timestamp")?.map(timestamp).transpose()?,
            headers: record_headers(headers)?,
            value: None,
        };
        let (auto_create, trace) = (settings.auto_create, settings.trace.headers(headers));
        Ok(Self { topic, acks, auto_create, receipts, template, trace })
    }

    fn has_no_receipts(&self) -> Result<(), Problem> {
        match self.receipts {
            ReceiptMode::AtEnd => Ok(()),
            ReceiptMode::Stream => {
                Err(Problem::bad_request("receipts=stream is for application/x-ndjson; leave it out for other types"))
            }
        }
    }

    /// Memory that a record takes beside its value, from its line to its outcome.
    fn memory(&self) -> usize {
        let headers = self.template.headers.iter().chain(&self.trace);
        envelope::RECORD + headers.map(|header| envelope::HEADER + header.name.len()).sum::<usize>()
    }

    fn record(&self, value: Bytes) -> NewRecord {
        NewRecord { value: Some(value), ..self.template.clone() }
    }

    /// Adds what says which request brought the record, where that does not say so itself.
    fn mark(&self, record: &mut NewRecord) {
        let new = |header: &&Header| !record.headers.iter().any(|own| own.name == header.name);
        let added: Vec<_> = self.trace.iter().filter(new).cloned().collect();
        record.headers.extend(added);
    }
}

fn partition(text: &str) -> Result<Partition, Problem> {
    match text.parse() {
        Ok(partition) if partition >= 0 => Ok(partition),
        _ => Err(Problem::bad_request(format!("partition is {text:?}; it is a number from 0 on"))),
    }
}

fn timestamp(text: &str) -> Result<Timestamp, Problem> {
    parse_timestamp(text).ok_or_else(|| {
        Problem::bad_request(format!("timestamp is {text:?}; it is ms since 1970, or a time like 2026-01-31T08:00:00Z"))
    })
}

/// `X-Kafka-NAME: value` becomes the record header `name`: HTTP does not keep a header's case.
fn record_headers(headers: &HeaderMap) -> Result<Vec<Header>, Problem> {
    let named = headers.iter().filter_map(|(name, value)| Some((name.as_str().strip_prefix("x-kafka-")?, value)));
    named
        .map(|(name, value)| match name {
            "" => Err(Problem::bad_request("X-Kafka- lacks the record header's name; it is X-Kafka-NAME: value")),
            name => Ok(Header { name: name.to_owned(), value: Some(Bytes::copy_from_slice(value.as_bytes())) }),
        })
        .collect()
}

impl BodyKind {
    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let Some(given) = headers.get(CONTENT_TYPE) else { return Ok(Self::Bytes) };
        let given = String::from_utf8_lossy(given.as_bytes());
        let essence = given.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
        Ok(match essence.as_str() {
            "application/json" => Self::Json,
            "" | "application/x-www-form-urlencoded" | "application/octet-stream" => Self::Bytes,
            text if text.starts_with("text/") => Self::Bytes,
            "application/x-ndjson" | "application/ndjson" => Self::Ndjson,
            "application/vnd.kafka.json.v2+json" => Self::Envelope(Form::Json),
            "application/vnd.kafka.binary.v2+json" => Self::Envelope(Form::Binary),
            _ => return Err(Problem::unsupported_media_type(&given, TYPES)),
        })
    }
}

/// Says where JSON goes wrong (RFC 8259, so it is UTF-8 too).
fn check_json(bytes: &[u8]) -> Result<(), String> {
    no_bom(bytes)?;
    // serde_json does not look at the UTF-8 of strings that it skips.
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = good.rsplit(|byte| *byte == b'\n').next().map_or(0, <[u8]>::len) + 1;
        format!("bytes that are not UTF-8 at line {line} column {column}")
    })?;
    serde_json::from_str::<IgnoredAny>(text).map(drop).map_err(|error| {
        let what = error.to_string();
        // What `curl -d @FILE` makes of a file of lines.
        let hint = "; a second JSON text follows: send a line for each as application/x-ndjson, with --data-binary @FILE, \
                    since curl -d removes the line breaks";
        if what.starts_with("trailing characters") { what + hint } else { what }
    })
}

/// Editors and PowerShell write one; JSON that is sent must not have it (RFC 8259, 8.1).
fn no_bom(bytes: &[u8]) -> Result<(), String> {
    match bytes.starts_with(b"\xef\xbb\xbf") {
        true => Err("it begins with a byte order mark (BOM, EF BB BF); save it as UTF-8 without BOM".to_owned()),
        false => Ok(()),
    }
}
