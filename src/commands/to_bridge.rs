//! `produce` through a running bridge, over one connection: batches in the v2 binary format of Confluent's REST Proxy,
//! which preserves every byte.

use super::bridge_client::{self, BridgeClient, BridgeTarget, ClientError};
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

const TYPE: &str = "application/vnd.kafka.binary.v2+json";
/// How long requests to an unreachable or overloaded bridge are retried.
const RETRY_FOR: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(250);
/// Maximum of records per request.
const RECORDS: usize = 1000;

pub fn produce(settings: &Produce, bridge: &BridgeTarget, progress: &ProduceProgress) -> Result<(), String> {
    let runtime = runtime()?;
    let acks = match settings.acks {
        Acks::All => "all",
        Acks::Leader => "1",
        Acks::None => "0",
    };
    let path = format!("/topics/{}?acks={acks}", settings.topic);
    let mut client = Some(runtime.block_on(BridgeClient::connect(bridge)).map_err(|e| e.to_string())?);
    let mut lines = InputLines::new(std::io::stdin().lock());
    let read = loop {
        let batch = match lines.next_batch(settings) {
            Ok(Some(batch)) => batch,
            ended => break ended.map(drop),
        };
        for records in batch.chunks(RECORDS) {
            progress.sent(records.len());
            let first = progress.assign_numbers(records.len());
            let body = serde_json::to_vec(&RequestBody::of(records)).map_err(|e| e.to_string())?;
            let outcomes = runtime.block_on(send(&mut client, bridge, &path, body.into(), records.len()));
            progress.completed(first, outcomes);
        }
    };
    combine(progress.summary(), read)
}

/// Sends one request, with retries, and returns the outcome of each record.
async fn send(
    client: &mut Option<BridgeClient>,
    bridge: &BridgeTarget,
    path: &str,
    body: bytes::Bytes,
    records: usize,
) -> Vec<Result<(), String>> {
    let deadline = Instant::now() + RETRY_FOR;
    loop {
        let why = match attempt(client, bridge, path, body.clone(), records).await {
            Ok(outcomes) => return outcomes,
            Err(Refusal::Later(why)) if Instant::now() < deadline => why,
            Err(Refusal::Later(why) | Refusal::Final(why)) => return vec![Err(why); records],
        };
        log::info!("{why}; trying again");
        tokio::time::sleep(PAUSE).await;
    }
}

enum Refusal {
    /// Nothing was written; a retry can succeed.
    Later(String),
    Final(String),
}

async fn attempt(
    client: &mut Option<BridgeClient>,
    bridge: &BridgeTarget,
    path: &str,
    body: bytes::Bytes,
    records: usize,
) -> Result<Vec<Result<(), String>>, Refusal> {
    let mut connection = match client.take() {
        Some(connection) => connection,
        None => BridgeClient::connect(bridge).await.map_err(|e| Refusal::Later(e.to_string()))?,
    };
    let cut = |failure: ClientError| match failure {
        ClientError::NotReached(why) => Refusal::Later(why),
        ClientError::Cut(why) => Refusal::Final(format!("{why}; the record may have been written")),
    };
    let answer = connection.post(path, TYPE, body).await.map_err(cut)?;
    let status = answer.status();
    let answer = bridge_client::body(answer).await.map_err(cut)?;
    *client = Some(connection);
    match status.as_u16() {
        200 | 207 => outcomes(&answer, records),
        202 => Ok(vec![Ok(()); records]),
        429 | 503 => Err(Refusal::Later(bridge_client::problem(status, &answer))),
        _ => Err(Refusal::Final(bridge_client::problem(status, &answer))),
    }
}

fn outcomes(answer: &[u8], records: usize) -> Result<Vec<Result<(), String>>, Refusal> {
    #[derive(Deserialize)]
    struct ProduceResponse {
        offsets: Vec<RequestRecord>,
    }
    #[derive(Deserialize)]
    struct RequestRecord {
        error: Option<String>,
        error_code: Option<i64>,
    }
    let unread = |why: &str| Refusal::Final(format!("the bridge's receipt cannot be read: {why}"));
    let answer: ProduceResponse = serde_json::from_slice(answer).map_err(|e| unread(&e.to_string()))?;
    if answer.offsets.len() != records {
        return Err(unread("it is for another number of records"));
    }
    let outcome = |entry: RequestRecord| match (entry.error, entry.error_code) {
        (None, None) => Ok(()),
        (Some(error), _) => Err(error),
        (None, Some(code)) => Err(format!("error {code}")),
    };
    Ok(answer.offsets.into_iter().map(outcome).collect())
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
