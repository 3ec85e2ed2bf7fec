//! Producing over HTTP, on a broker in memory without a network.

use crate::support::memory_broker::MemoryBroker;
use base64::Engine;
use bytes::Bytes;
use curlew::broker::{AutoCreate, BrokerError, Denial, ErrorResponse, ErrorSubject, TooLarge, WriteState};
use curlew::http::produce::{self, Settings};
use curlew::hub::{self, Hub};
use curlew::record::*;
use futures_util::{Stream, StreamExt, stream};
use http_body_util::BodyExt;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use warp::http::HeaderMap;
use warp::http::header::{HeaderName, HeaderValue};

pub type Chunk = Result<Bytes, &'static str>;

const MAX_BODY: usize = 2 << 20;
pub const JSON: &str = "application/json";
pub const NDJSON: &str = "application/x-ndjson";
pub const V2_JSON: &str = "application/vnd.kafka.json.v2+json";
const V2_BINARY: &str = "application/vnd.kafka.binary.v2+json";
/// Longer than any of these tests takes.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Bridge {
    pub broker: Arc<MemoryBroker>,
    pub hub: Arc<Hub>,
    pub settings: Settings,
}

/// The response as a client sees it.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub content_type: String,
    pub body: Value,
}

impl Bridge {
    /// Starts a bridge with a topic `t` of two partitions.
    pub fn new() -> Self {
        let broker = MemoryBroker::new();
        broker.create("t", 2);
        let hub = Arc::new(Hub::start(broker.clone(), hub::Settings::default()).unwrap());
        let settings = Settings { max_body: MAX_BODY, timeout: Duration::from_millis(200), ..Settings::default() };
        Self { broker, hub, settings }
    }

    pub async fn send(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Stream<Item = Chunk> + Send + Sync + Unpin + 'static,
    ) -> warp::reply::Response {
        let (topic, query) = path.split_once('?').unwrap_or((path, ""));
        let headers = header_map(headers);
        let destination = produce::PathTarget { topic, partition: None };
        let answer = produce::post(
            &self.hub,
            &self.settings,
            destination,
            query,
            &headers,
            body,
            produce::BodyInterrupts::default(),
        );
        tokio::time::timeout(PATIENCE, answer).await.unwrap().unwrap_or_else(|problem| problem.response())
    }

    pub async fn post(&self, path: &str, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Answer {
        answer(self.send(path, headers, chunks([body.into()])).await).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        let (topic, query) = path.split_once('?').unwrap_or((path, ""));
        let deleted = produce::delete(&self.hub, &self.settings, topic, query, &HeaderMap::new()).await;
        answer(deleted.unwrap_or_else(|problem| problem.response())).await
    }

    /// Produces an NDJSON body and returns its receipts.
    pub async fn lines(
        &self,
        path: &str,
        body: impl Stream<Item = Chunk> + Send + Sync + Unpin + 'static,
    ) -> Vec<Value> {
        let path = format!("{path}{}receipts=stream", if path.contains('?') { '&' } else { '?' });
        let response = self.send(&path, &[("content-type", NDJSON)], body).await;
        assert_eq!(response.status(), 200);
        let body = tokio::time::timeout(PATIENCE, response.into_body().collect()).await.unwrap().unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub fn records(&self, partition: usize) -> Vec<NewRecord> {
        self.broker.records("t", partition).into_iter().map(|(_, record)| record).collect()
    }

    pub fn values(&self, partition: usize) -> Vec<String> {
        let text = |record: NewRecord| record.value.map_or("-".into(), |v| String::from_utf8_lossy(&v).into_owned());
        self.records(partition).into_iter().map(text).collect()
    }
}

fn header_map(headers: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    }
    map
}

pub fn chunks<C: Into<Bytes>>(
    chunks: impl IntoIterator<Item = C>,
) -> impl Stream<Item = Chunk> + Send + Sync + Unpin + 'static {
    stream::iter(chunks.into_iter().map(|chunk| Ok(chunk.into())).collect::<Vec<_>>())
}

pub async fn answer(response: warp::reply::Response) -> Answer {
    let status = response.status().as_u16();
    let content_type = response.headers()["content-type"].to_str().unwrap().to_owned();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    Answer { status, content_type, body: serde_json::from_slice(&body).unwrap() }
}

impl Answer {
    /// Asserts that this is a problem with this status whose detail contains all `words`.
    pub fn is_problem(&self, status: u16, code: u32, words: &[&str]) {
        assert_eq!((self.status, &self.body["error_code"]), (status, &json!(code)), "{self:?}");
        assert_eq!(self.content_type, "application/problem+json");
        let detail = self.body["detail"].as_str().unwrap();
        words.iter().for_each(|word| assert!(detail.contains(word), "{word:?} is not in {detail:?}"));
    }
}

fn base64(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}

#[tokio::test]
async fn a_body_of_any_type_for_one_record_is_written_untouched() {
    let rows: [(&[(&str, &str)], &str); 12] = [
        (&[("content-type", JSON)], " {\"a\" : 1.0e0,\n \"a\":2} "),
        (&[("content-type", "Application/JSON; charset=utf-8")], "null"),
        (&[("content-type", "application/x-www-form-urlencoded")], "{\"Hello\": \"World\"}"),
        (&[("content-type", "application/x-www-form-urlencoded")], "a=%20b+c"),
        (&[("content-type", "text/plain")], "x\r\n"),
        (&[("content-type", "TEXT/csv; header=present")], "a;b"),
        (&[("content-type", "application/octet-stream")], "\u{0}\u{1}"),
        (&[("content-type", "application/vnd.api+json; charset=utf-8")], "[1, 2]"),
        (&[("content-type", "application/msgpack")], "\u{1}a"),
        (&[("content-type", "image/svg+xml")], "<svg/>"),
        (&[], "nothing said"),
        (&[], ""),
    ];
    let bridge = Bridge::new();
    for (offset, (headers, body)) in rows.iter().enumerate() {
        let answer = bridge.post("t?partition=0", headers, *body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.content_type, JSON);
        assert_eq!(answer.body, json!({ "offsets": [{ "partition": 0, "offset": offset }] }));
    }
    assert_eq!(bridge.values(0), rows.map(|(_, body)| body.to_owned()));
}

#[tokio::test]
async fn parameters_and_headers_become_the_record() {
    let bridge = Bridge::new();
    let headers = [("X-Kafka-Trace", "1"), ("X-Other", "2"), ("x-kafka-trace", "3"), ("X-KAFKA-Unit", "C")];
    let path = "t?key=boiler%2F1&partition=1&timestamp=2023-11-14T22:13:20.123Z&acks=1";
    assert_eq!(bridge.post(path, &headers, "v").await.status, 200);
    let header = |name: &str, value: &'static str| Header { name: name.into(), value: Some(value.into()) };
    let expected = NewRecord {
        partition: Some(1),
        key: Some("boiler/1".into()),
        value: Some("v".into()),
        headers: vec![header("trace", "1"), header("trace", "3"), header("unit", "C")],
        timestamp: Some(1_700_000_000_123),
    };
    assert_eq!(bridge.records(1), [expected]);
}

#[tokio::test]
async fn invalid_requests_are_rejected_and_nothing_is_written() {
    let json: &[(&str, &str)] = &[("content-type", JSON)];
    let plain: &[(&str, &str)] = &[];
    /// Path, headers, body, status, words in the detail.
    type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [u8], u16, &'a [&'a str]);
    let rows: [Row; 20] = [
        ("t", json, b"", 422, &["not JSON", "EOF"]),
        ("t", json, b"{\"a\":1,\n \"b\":}", 422, &["line 2 column 6"]),
        ("t", json, b"\"\xff\"", 422, &["not UTF-8", "column 2"]),
        ("t", json, b"{} {}", 422, &["trailing", "--data-binary"]),
        ("t", json, b"\xef\xbb\xbf{}", 422, &["byte order mark"]),
        ("t", &[("content-type", V2_JSON)], b"\xef\xbb\xbf{\"records\":[]}", 422, &["byte order mark"]),
        ("t?receipts=stream", json, b"{}", 400, &["receipts=stream", NDJSON, "split"]),
        ("t?receipts=all", json, b"{}", 400, &["\"all\"", "stream"]),
        ("t", &[("content-type", "application/vnd.kafka.thrift.v2+json")], b"{}", 415, &["thrift", V2_JSON, "avro"]),
        ("t", &[("content-type", "application/vnd.api+json")], b"{", 422, &["not JSON"]),
        ("a b", plain, b"x", 422, &["a b", "A-Z"]),
        ("t?kee=1", plain, b"x", 400, &["kee", "key, partition, timestamp, acks"]),
        ("t?key=a&key=b", plain, b"x", 400, &["more than once"]),
        ("t?partition=%FF", plain, b"x", 400, &["partition", "UTF-8"]),
        ("t?partition=-1", plain, b"x", 400, &["-1"]),
        ("t?partition=2147483648", plain, b"x", 400, &["2147483648"]),
        ("t?timestamp=yesterday", plain, b"x", 400, &["yesterday", "2026-01-31T08:00:00Z"]),
        ("t?acks=2", plain, b"x", 400, &["\"2\"", "all, 1 and 0"]),
        ("t", &[("x-kafka-", "v")], b"x", 400, &["X-Kafka-NAME"]),
        ("t", &[("content-length", "3000000")], b"x", 413, &["2097152", "--max-body"]),
    ];
    let bridge = Bridge::new();
    for (path, headers, body, status, words) in rows {
        bridge.post(path, headers, body).await.is_problem(status, status.into(), words);
    }
    assert_eq!((bridge.values(0), bridge.values(1)), (vec![], vec![]));
}

#[tokio::test]
async fn a_body_that_is_too_large_or_cut_off_is_not_written() {
    let bridge = Bridge::new();
    let large = bridge.send("t", &[], chunks(vec![vec![b'x'; MAX_BODY / 2]; 3])).await;
    answer(large).await.is_problem(413, 413, &["--max-body"]);
    for content_type in ["text/plain", JSON, V2_JSON] {
        let cut = stream::iter([Ok(Bytes::from("{\"records\":[{\"value\":1}]}")), Err("cut")]);
        let cut = bridge.send("t", &[("content-type", content_type)], cut).await;
        answer(cut).await.is_problem(400, 400, &["ended early"]);
    }
    assert_eq!((bridge.values(0), bridge.values(1)), (vec![], vec![]));
}

#[tokio::test]
async fn each_broker_error_has_its_status() {
    let denied = ErrorResponse { code: 31, subject: ErrorSubject::Cluster, message: "denied".to_owned() };
    let rows = [
        (BrokerError::Unavailable("refused".into()), 503, 50003, "try again"),
        (BrokerError::TimedOut(WriteState::No), 504, 50002, "was not written"),
        (BrokerError::TimedOut(WriteState::Maybe), 504, 50002, "may have been written"),
        (BrokerError::LostTrack, 504, 50002, "may have been written"),
        (BrokerError::TooLarge(TooLarge::Record { bytes: 2_000_000, limit: 1 << 20 }), 413, 413, "1048576"),
        (BrokerError::TooLarge(TooLarge::Request { bytes: 9, limit: 8 }), 413, 413, "--kafka-config"),
        (BrokerError::Denied(Denial::Other(denied)), 403, 403, "access"),
        (BrokerError::InvalidRecord("no key".into()), 422, 422, "no key"),
        (BrokerError::UnknownTopic(TopicName::new("t").unwrap()), 404, 40401, "t"),
    ];
    let bridge = Bridge::new();
    for (error, status, code, words) in rows {
        bridge.broker.fail_with(Some(error));
        bridge.post("t", &[], "x").await.is_problem(status, code, &[words]);
        let two = r#"{"records":[{"value":1},{"value":2}]}"#;
        bridge.post("t", &[("content-type", V2_JSON)], two).await.is_problem(status, code, &[words]);
        let lines = bridge.lines("t", chunks(["1\n"])).await;
        assert_eq!(lines[0]["error_code"], code, "{lines:?}");
        bridge.post("t", &[("content-type", NDJSON)], "1\n2\n").await.is_problem(status, code, &["line 1", words]);
    }
    bridge.broker.fail_with(None);
    bridge.post("t?partition=7", &[], "x").await.is_problem(404, 40402, &["no partition 7"]);
    bridge.post("t", &[], vec![b'x'; (1 << 20) + 1]).await.is_problem(413, 413, &["broker"]);
}

#[tokio::test]
async fn a_missing_topic_is_created_unless_auto_creation_is_off() {
    let mut bridge = Bridge::new();
    assert_eq!(bridge.post("fresh", &[], "x").await.status, 200);
    assert_eq!(bridge.broker.records("fresh", 0).len(), 1);
    bridge.settings.auto_create = AutoCreate::Never;
    bridge.post("other", &[], "x").await.is_problem(404, 40401, &["other"]);
}

#[tokio::test]
async fn without_acks_the_response_is_202_without_offsets() {
    let bridge = Bridge::new();
    let answer = bridge.post("t?acks=0", &[], "x").await;
    assert_eq!((answer.status, answer.body), (202, json!({ "offsets": [] })));
    assert_eq!(bridge.lines("t?acks=0", chunks(["1\n2"])).await, [json!({"partition": 0}), json!({"partition": 0})]);
}

#[tokio::test]
async fn a_tombstone_needs_its_key() {
    let bridge = Bridge::new();
    let answer = bridge.delete("t?key=K&partition=1").await;
    assert_eq!((answer.status, answer.body), (200, json!({ "offsets": [{ "partition": 1, "offset": 0 }] })));
    assert_eq!(bridge.records(1)[0].key.as_deref(), Some(&b"K"[..]));
    assert_eq!(bridge.records(1)[0].value, None);
    bridge.delete("t").await.is_problem(400, 400, &["key"]);
}

#[tokio::test]
async fn an_envelope_of_json_keeps_keys_and_values_as_they_were_sent() {
    let bridge = Bridge::new();
    let body = format!(
        r#"{{"key_schema": null, "records": [
            {{"key": {{"id" : 1}}, "value": {{"t": 21.50}}, "partition": 1, "timestamp": 1700000000123, "more": 1,
              "headers": [{{"key": "h", "value": "{}"}}, {{"key": "h", "value": null}}]}},
            {{"key": null, "value": "text", "partition": null, "timestamp": null, "headers": null}},
            {{"key": "k", "value": null}} ]}}"#,
        base64("one")
    );
    let answer =
        bridge.post("t", &[("content-type", V2_JSON), ("accept", "application/vnd.kafka.v2+json")], body).await;
    assert_eq!((answer.status, answer.content_type.as_str()), (200, "application/vnd.kafka.v2+json"));
    let at = |partition: i32, offset: i64| json!({ "partition": partition, "offset": offset });
    assert_eq!(answer.body, json!({ "offsets": [at(1, 0), at(0, 0), at(0, 1)] }));
    let header = |value: Option<&'static str>| Header { name: "h".into(), value: value.map(Bytes::from) };
    let first = NewRecord {
        partition: Some(1),
        key: Some(r#"{"id" : 1}"#.into()),
        value: Some(r#"{"t": 21.50}"#.into()),
        headers: vec![header(Some("one")), header(None)],
        timestamp: Some(1_700_000_000_123),
    };
    let second = NewRecord { value: Some("\"text\"".into()), ..NewRecord::default() };
    let tombstone = NewRecord { key: Some("\"k\"".into()), ..NewRecord::default() };
    assert_eq!(bridge.records(1), [first]);
    assert_eq!(bridge.records(0), [second, tombstone]);
}

#[tokio::test]
async fn an_envelope_of_base64_is_decoded() {
    let bridge = Bridge::new();
    let body = json!({ "records": [{ "key": base64("k"), "value": base64("v") }, { "key": null, "value": null }] });
    assert_eq!(bridge.post("t", &[("content-type", V2_BINARY)], body.to_string()).await.status, 200);
    let records = bridge.records(0);
    assert_eq!((records[0].key.as_deref(), records[0].value.as_deref()), (Some(&b"k"[..]), Some(&b"v"[..])));
    assert_eq!((&records[1].key, &records[1].value), (&None, &None));
}

#[tokio::test]
async fn an_invalid_record_of_an_envelope_fails_alone() {
    let bad = [
        r#"{"value": 7}"#,
        r#"{"value": "%%%"}"#,
        r#"{"value": "dg==", "partition": "x"}"#,
        r#"{"value": "dg==", "partition": -1}"#,
        r#"{"value": "dg==", "timestamp": -5}"#,
        r#"{"value": "dg==", "headers": [{"key": "h", "value": "%"}]}"#,
        r#"{"value": "dg==", "headers": {"h": 1}}"#,
        r#"{"key": "dg=="}"#,
        "7",
    ];
    let bridge = Bridge::new();
    for bad in bad {
        let before = bridge.records(0).len();
        let body = format!(r#"{{"records":[{{"value":"dg=="}},{bad},{{"value":"dg==","partition":9}}]}}"#);
        let answer = bridge.post("t", &[("content-type", V2_BINARY)], body).await;
        assert_eq!(answer.status, 207, "{bad}");
        let entries = &answer.body["offsets"];
        assert_eq!(entries[0], json!({ "partition": 0, "offset": before }), "{bad}");
        assert_eq!(entries[1]["error_code"], 422, "{bad}");
        assert!(entries[1]["error"].as_str().unwrap().contains("records[1]"), "{entries}");
        assert_eq!(entries[2]["error_code"], 40402, "{bad}");
        assert_eq!(bridge.records(0).len(), before + 1, "{bad}");
    }
}

#[tokio::test]
async fn an_envelope_without_a_written_record_has_the_status_of_its_errors() {
    let bridge = Bridge::new();
    let post = async |body: &'static str| bridge.post("t", &[("content-type", V2_JSON)], body).await;
    for shape in [r#"{}"#, r#"{"records":[]}"#, r#"{"records":{}}"#, r#"{"records":null}"#, "[1]", "", "{"] {
        post(shape).await.is_problem(422, 422, &["\"records\":["]);
    }
    let none = r#"{"records":[{"key":1},{"value":1,"partition":"x"}]}"#;
    post(none).await.is_problem(422, 422, &["records[0]", "records[1]"]);
    // The errors have different statuses, and no single status expresses both.
    let answer = post(r#"{"records":[{"key":1},{"value":1,"partition":9}]}"#).await;
    assert_eq!(answer.status, 207);
    assert_eq!(answer.body["offsets"][0]["error_code"], 422);
    assert_eq!(answer.body["offsets"][1]["error_code"], 40402);
    let many = format!("{{\"records\":[{}0]}}", "0,".repeat(100_000));
    bridge.post("t", &[("content-type", V2_JSON)], many).await.is_problem(413, 413, &["100001"]);
    assert_eq!(bridge.values(0), Vec::<String>::new());
}

#[tokio::test]
async fn receipts_arrive_while_the_body_is_still_sent() {
    let bridge = Bridge::new();
    let (body, chunks) = tokio::sync::mpsc::channel::<Chunk>(4);
    let chunks = Box::pin(stream::unfold(chunks, async |mut chunks| chunks.recv().await.map(|chunk| (chunk, chunks))));
    let response = bridge.send("t?receipts=stream", &[("content-type", NDJSON)], Synced::new(chunks)).await;
    assert_eq!((response.status().as_u16(), &response.headers()["content-type"]), (200, &NDJSON.parse().unwrap()));
    let mut receipts = response.into_body().into_data_stream();
    for offset in 0..3 {
        body.send(Ok(format!("{{\"n\":{offset}}}\n{{\"cut").into())).await.unwrap();
        let receipt = tokio::time::timeout(PATIENCE, receipts.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(receipt, format!("{{\"partition\":0,\"offset\":{offset}}}\n"));
        body.send(Ok("\":1}\n".into())).await.unwrap();
        let _ = tokio::time::timeout(PATIENCE, receipts.next()).await.unwrap().unwrap().unwrap();
        bridge.broker.truncate("t", 0, offset + 1);
    }
    body.send(Ok("{\"last\":1}\n{\"never whole\":".into())).await.unwrap();
    body.send(Err("cut")).await.unwrap();
    let mut rest = String::new();
    while let Some(receipt) = tokio::time::timeout(PATIENCE, receipts.next()).await.unwrap() {
        rest.push_str(std::str::from_utf8(&receipt.unwrap()).unwrap());
    }
    let rest: Vec<Value> = rest.lines().map(|receipt| serde_json::from_str(receipt).unwrap()).collect();
    assert_eq!(rest[0], json!({"partition": 0, "offset": 3}));
    assert!(rest[1]["error_code"] == 400 && rest[1]["error"].as_str().unwrap().contains("line 8"), "{rest:?}");
    assert_eq!(rest.len(), 2);
    assert_eq!(bridge.values(0), [r#"{"n":0}"#, r#"{"n":1}"#, r#"{"n":2}"#, r#"{"last":1}"#]);
}

/// Makes a stream `Sync`, as the body of a request must be.
pub struct Synced<S>(std::sync::Mutex<S>);

impl<S> Synced<S> {
    pub fn new(stream: S) -> Self {
        Self(std::sync::Mutex::new(stream))
    }
}

impl<S: Stream + Unpin> Stream for Synced<S> {
    type Item = S::Item;
    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.get_mut().0.get_mut().unwrap().poll_next_unpin(cx)
    }
}

#[tokio::test]
async fn each_line_is_a_record_or_an_error_in_order() {
    let mut bridge = Bridge::new();
    bridge.settings.max_body = 10;
    let body = "1\r\n\n\r\nnot json\n\"23456789\"\n\"234567890\"\n{\"a\" : 1}\n[]";
    let receipts = bridge.lines("t?key=k&partition=1", chunks([body])).await;
    let codes: Vec<_> = receipts.iter().map(|r| r["error_code"].as_u64().unwrap_or(0)).collect();
    assert_eq!(codes, [0, 422, 0, 413, 0, 0]);
    let offsets: Vec<_> = receipts.iter().filter_map(|r| r["offset"].as_u64()).collect();
    assert_eq!(offsets, [0, 1, 2, 3]);
    assert_eq!(bridge.values(1), ["1", "\"23456789\"", "{\"a\" : 1}", "[]"]);
    assert!(bridge.records(1).iter().all(|record| record.key.as_deref() == Some(b"k")));
}

#[tokio::test]
async fn lines_after_the_shutdown_are_rejected_and_end_the_response() {
    let bridge = Bridge::new();
    bridge.hub.shut_down();
    let endless = stream::repeat_with(|| Ok(Bytes::from("1\n")));
    let receipts = bridge.lines("t", endless).await;
    assert_eq!(receipts.len(), 2);
    assert!(receipts.iter().all(|receipt| receipt["error_code"] == 503), "{receipts:?}");
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_arrive_untouched(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..5)) {
        let bridge = Bridge::new();
        let sent = pieces.concat();
        let response = block_on(bridge.send("t", &[("content-type", "text/plain")], chunks(pieces)));
        prop_assert_eq!(response.status(), 200);
        let records = bridge.records(0);
        prop_assert_eq!(records[0].value.as_deref(), Some(&sent[..]));
    }

    #[test]
    fn the_chunks_of_an_ndjson_body_do_not_matter(
        lines in prop::collection::vec(
            prop::sample::select(vec!["1", "", "\r", "{\"a\":\"b\"}", "bad", "\"too long a line\"", "\"\r", "[1,2]\r", " "]),
            0..12,
        ),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let body = lines.join("\n");
        let mut places: Vec<_> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
        places.extend([0, body.len()]);
        places.sort_unstable();
        let pieces: Vec<_> = places.windows(2).map(|ends| body.as_bytes()[ends[0]..ends[1]].to_vec()).collect();
        let produce = |pieces: Vec<Vec<u8>>| {
            let mut bridge = Bridge::new();
            bridge.settings.max_body = 10;
            let receipts = block_on(bridge.lines("t", chunks(pieces)));
            (receipts, bridge.values(0))
        };
        prop_assert_eq!(produce(pieces), produce(vec![body.into_bytes()]));
    }
}
