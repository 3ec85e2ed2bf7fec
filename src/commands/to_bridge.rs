//! `produce` through a running bridge, over one connection. Batches have the v2 binary format of Confluent's REST Proxy,
//! which preserves every byte.

use super::bridge_client::{self, BridgeClient, BridgeProblem, BridgeTarget, ClientError};
use super::error::CommandError;
use super::lines::InputLines;
use super::progress::{ProduceProgress, combine};
use super::runtime;
use crate::broker::Acks;
use crate::config::Produce;
use crate::record::NewRecord;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};
use thiserror::Error;

const TYPE: &str = "application/vnd.kafka.binary.v2+json";
/// Time limit for retries while the bridge is unreachable or overloaded.
const RETRY_FOR: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(250);
/// Maximum of records per request.
const RECORDS: usize = 1000;

pub fn produce(settings: &Produce, bridge: &BridgeTarget, progress: &ProduceProgress) -> Result<(), CommandError> {
    let runtime = runtime()?;
    let acks = match settings.acks {
        Acks::All => "all",
        Acks::Leader => "1",
        Acks::None => "0",
    };
    let path = format!("/topics/{}?acks={acks}", settings.topic.0);
    let mut client = Some(runtime.block_on(BridgeClient::connect(bridge))?);
    let mut lines = InputLines::new(std::io::stdin().lock());
    let read = loop {
        let batch = match lines.next_batch(settings) {
            Ok(Some(batch)) => batch,
            ended => break ended.map(drop),
        };
        for records in batch.chunks(RECORDS) {
            progress.sent(records.len());
            let first = progress.assign_numbers(records.len());
            let body = serde_json::to_vec(&RequestBody::of(records)).map_err(RequestError::Encode);
            let sent =
                body.and_then(|body| runtime.block_on(send(&mut client, bridge, &path, body.into(), records.len())));
            match sent {
                Ok(outcomes) => progress.completed(first, outcomes),
                Err(error) => progress.completed(first, vec![Err::<(), _>(&error); records.len()]),
            }
        }
    };
    Ok(combine(progress.summary(), read)?)
}

type Outcomes = Vec<Result<(), RecordError>>;

/// The bridge's error for a record.
#[derive(Debug, Error)]
enum RecordError {
    #[error("{0}")]
    Message(String),
    #[error("error {0}")]
    Code(i64),
}

/// A request without outcomes of its records.
#[derive(Debug, Error)]
enum RequestError {
    #[error("the records cannot be encoded: {0}")]
    Encode(#[source] serde_json::Error),
    #[error(transparent)]
    NotSent(ClientError),
    #[error("{0}; the record may have been written")]
    NoResponse(#[source] ClientError),
    #[error(transparent)]
    Problem(BridgeProblem),
    #[error("the bridge's receipt cannot be read: {0}")]
    Receipt(#[source] serde_json::Error),
    #[error("the bridge's receipt is for {received} records, and {sent} were sent")]
    ReceiptLength { sent: usize, received: usize },
}

impl From<ClientError> for RequestError {
    fn from(error: ClientError) -> Self {
        if error.was_sent() { Self::NoResponse(error) } else { Self::NotSent(error) }
    }
}

impl RequestError {
    /// Returns whether a retry can succeed, and cannot write a record twice.
    fn is_retriable(&self) -> bool {
        match self {
            Self::NotSent(_) => true,
            Self::Problem(problem) => problem.status.is_some_and(|status| matches!(status.as_u16(), 429 | 503)),
            Self::Encode(_) | Self::NoResponse(_) | Self::Receipt(_) | Self::ReceiptLength { .. } => false,
        }
    }
}

/// Sends one request, with retries, and returns the outcome of each record.
async fn send(
    client: &mut Option<BridgeClient>,
    bridge: &BridgeTarget,
    path: &str,
    body: bytes::Bytes,
    records: usize,
) -> Result<Outcomes, RequestError> {
    let deadline = Instant::now() + RETRY_FOR;
    loop {
        match attempt(client, bridge, path, body.clone(), records).await {
            Err(error) if error.is_retriable() && Instant::now() < deadline => log::info!("{error}; trying again"),
            result => return result,
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn attempt(
    client: &mut Option<BridgeClient>,
    bridge: &BridgeTarget,
    path: &str,
    body: bytes::Bytes,
    records: usize,
) -> Result<Outcomes, RequestError> {
    let mut connection = match client.take() {
        Some(connection) => connection,
        None => BridgeClient::connect(bridge).await?,
    };
    let response = connection.post(path, TYPE, body).await?;
    let status = response.status();
    let body = bridge_client::body(response).await?;
    *client = Some(connection);
    match status.as_u16() {
        200 | 207 => outcomes(&body, records),
        202 => Ok((0..records).map(|_| Ok(())).collect()),
        _ => Err(RequestError::Problem(BridgeProblem::from_response(status, &body))),
    }
}

/// Parses a receipt for `records` records.
fn outcomes(body: &[u8], records: usize) -> Result<Outcomes, RequestError> {
    #[derive(Deserialize)]
    struct ProduceResponse {
        offsets: Vec<RecordReceipt>,
    }
    #[derive(Deserialize)]
    struct RecordReceipt {
        error: Option<String>,
        error_code: Option<i64>,
    }
    let receipt: ProduceResponse = serde_json::from_slice(body).map_err(RequestError::Receipt)?;
    if receipt.offsets.len() != records {
        return Err(RequestError::ReceiptLength { sent: records, received: receipt.offsets.len() });
    }
    let outcome = |record: RecordReceipt| match (record.error, record.error_code) {
        (None, None) => Ok(()),
        (Some(message), _) => Err(RecordError::Message(message)),
        (None, Some(code)) => Err(RecordError::Code(code)),
    };
    Ok(receipt.offsets.into_iter().map(outcome).collect())
}

#[derive(Serialize)]
struct RequestBody<'a> {
    records: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partition: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    headers: Vec<HeaderEntry<'a>>,
}

#[derive(Serialize)]
struct HeaderEntry<'a> {
    key: &'a str,
    value: Option<String>,
}

impl<'a> RequestBody<'a> {
    fn of(records: &'a [NewRecord]) -> Self {
        let encode = |bytes: &bytes::Bytes| STANDARD.encode(bytes);
        let entry = |record: &'a NewRecord| Entry {
            key: record.key.as_ref().map(encode),
            value: record.value.as_ref().map(encode),
            partition: record.partition,
            timestamp: record.timestamp,
            headers: record
                .headers
                .iter()
                .map(|h| HeaderEntry { key: &h.name, value: h.value.as_ref().map(encode) })
                .collect(),
        };
        Self { records: records.iter().map(entry).collect() }
    }
}
