//! Random HTTP requests never cause a 5xx: the response is a success or reports the error of the request.

use crate::support::damage::damaged;
use crate::support::fake_catalog::FakeCatalog;
use crate::support::memory_broker::MemoryBroker;
use curlew::http::produce::SchemaEncoder;
use curlew::http::{self, App, Creation, Deletion, routes};
use curlew::hub::{self, Hub};
use curlew::sync::watchdog;
use proptest::prelude::*;
use serde_json::Value;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::runtime::Runtime;
use warp::http::uri::PathAndQuery;
use warp::http::{HeaderName, HeaderValue, Method};

/// Targets from which requests are generated. A target that once caused a bug is added here.
const TARGETS: [&str; 31] = [
    "/admin/topics",
    "/topics/t/partitions/1/offsets",
    "/topics/t/partitions/1/messages",
    "/topics/u/partitions/0",
    "/topics/t?key=a%20b&partition=0&timestamp=2026-01-31T08:00:00Z&acks=all",
    "/topics/t?timestamp=1769846400000&acks=0&key=%F0%9F%90%A6",
    "/topics/t?key=%FF",
    "/topics/t?key=%ef%bf%bd%FF&key=%zz",
    "/topics/t?records=all",
    "/topics/t?value_schema=latest&key_schema_id=1&key=k",
    "/topics/t?value_schema_id=1&key_schema=latest&key=%22",
    "/topics/%2e%2e?offsets=true",
    "/topics?offsets=true",
    "/topics?last=true&history=1",
    "/topics/t/events?from=earliest&format=record&key=k&header=a:b&partition=0&partition=1",
    "/topics/t/events?from=-1h30m&where=value.a%20%3E%2030%20%26%26%20key%20%3D%3D%20%22b%22",
    "/topics/t/events?from=t:0:0&limit=1",
    "/topics/t/events?from=2026-01-31T10:00:00+02:00&limit=18446744073709551615",
    "/topics/t/events?last_event_id=BXYltrRBCBADGRY&lastEventId=x",
    "/topics/t/events?limit=0&from=-99999999999999999999w",
    "/topics//events?where=%22%5C%22",
    "/events?topic=t&topic=u&format=value&from=latest",
    "/events?topic=t&where=key.matches(%22(a*)*b%22)",
    "/topics/t/partitions/0/records?offset=0&limit=10&timeout=0",
    "/topics/t/partitions/2147483648/records?offset=9223372036854775808",
    "/dashboard/main.js?x",
    "/login",
    "/tickets",
    "/metrics?a=b",
    "/%",
    "//?",
];

/// Each is a name and a value.
const HEADERS: [&str; 24] = [
    "content-type: application/json; charset=utf-8",
    "content-type: application/x-ndjson",
    "content-type: application/vnd.kafka.json.v2+json",
    "content-type: application/vnd.kafka.binary.v2+json",
    "content-type: application/vnd.kafka.avro.v2+json",
    "content-type: application/vnd.kafka.jsonschema.v1+json",
    "content-type: text/\u{e9}; q=",
    "content-length: 18446744073709551616",
    "accept: text/event-stream;q=0.5, application/x-ndjson; q=1, */*;q=NaN",
    "accept: application/openmetrics-text",
    "accept: application/vnd.kafka.v2+json",
    "x-kafka-site: north",
    "x-kafka-: nameless",
    "last-event-id: BXYltrRBCBADGRY",
    "authorization: Basic dTpw",
    "authorization: Bearer a.b.c",
    "cookie: curlew-session=x; a",
    "origin: null",
    "x-request-id: of/mine",
    "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "x-forwarded-for: 1.2.3.4, [::1]:80, unknown",
    "forwarded: for=\"[2001:db8::1]\";proto=https, for=_x",
    "access-control-request-headers: x-kafka-a, x",
    "if-none-match: W/\"x\", *",
];

const BODIES: [&[u8]; 17] = [
    b"{\"Hello\": \"World\"}",
    b"{\"records\":[{\"key\":\"a\",\"value\":{\"n\":1.5e300},\"partition\":0,\"timestamp\":1}]}",
    b"{\"records\":[{\"value\":null,\"timestamp\":\"2026-01-31T08:00:00Z\",\"headers\":[{\"key\":\"h\",\"value\":\"AA==\"}]}]}",
    b"{\"records\":[{\"value\":\"AAEC\"},{\"value\":\"A\"},{}]}",
    b"{\"value_schema_id\":\"1\",\"key_schema_id\":1,\"records\":[{\"key\":1,\"value\":2},{\"key\":null,\"value\":{}}]}",
    b"{\"value_schema\":\"{\\\"type\\\":\\\"object\\\"}\",\"records\":[{\"value\":{}},{\"value\":7}]}",
    b"{\"records\":[{\"value\":1,\"value\":2,\"partition\":-1}]}",
    b"1\n\"two\"\r\n\n{\"three\":3}\n[",
    b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    b"\"\\ud800\"",
    b"\"\xff\xfe\"",
    b"{\"token\":\"\"}",
    b"token=a%00b",
    b"{\"topics\":[\"t\",\"..\"]}",
    b"{\"topic_name\":\"v\",\"partitions_count\":2,\"configs\":{\"retention.ms\":1}}",
    b"1e999999999",
    b"",
];

struct FuzzTarget {
    app: Arc<App>,
    runtime: Runtime,
}

static TARGET: LazyLock<FuzzTarget> = LazyLock::new(|| {
    let broker = MemoryBroker::new();
    broker.create("t", 2);
    broker.create("u", 1);
    // A request may delete a topic. Streams with a cursor for it wait this long for it.
    let settings = hub::Settings { topic_patience: Duration::from_millis(10), ..hub::Settings::default() };
    let hub = Arc::new(Hub::start(broker, settings).unwrap());
    let schemas = Some(SchemaEncoder::new(FakeCatalog::new()));
    let produce = http::produce::Settings { schemas, ..http::produce::Settings::default() };
    let settings = http::Settings {
        creation: Creation::Allowed,
        deletion: Deletion::Allowed,
        produce,
        ..http::Settings::default()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    FuzzTarget { app: App::new(hub, settings), runtime }
});

fn of(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// Returns the target if an HTTP library would accept it.
fn target(bytes: &[u8]) -> Option<String> {
    let target = PathAndQuery::try_from(bytes).ok().filter(|target| target.path().starts_with('/'))?;
    let lasts = target.path().contains("events");
    // Endless streams are covered by other tests.
    let query = target.query().unwrap_or_default();
    let waits = query.contains("wait") || query.contains("until") || query.contains("timeout=");
    match (lasts, waits) {
        (_, true) => None,
        (true, false) => Some(format!("{}?{query}&until=end", target.path())),
        (false, false) => Some(target.to_string()),
    }
}

fn header(bytes: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = bytes.iter().position(|byte| *byte == b':')?;
    let name = HeaderName::from_bytes(&bytes[..colon]).ok()?;
    Some((name, HeaderValue::from_bytes(bytes[colon + 1..].trim_ascii()).ok()?))
}

proptest! {
    #[test]
    fn every_request_gets_a_response_that_is_not_a_5xx(
        method in "GET|GET|GET|POST|POST|DELETE|HEAD|OPTIONS|[A-Z]{1,9}",
        target_bytes in damaged(of(&TARGETS)),
        header_bytes in proptest::collection::vec(damaged(of(&HEADERS)), 0..4),
        body in damaged(BODIES.map(<[u8]>::to_vec).to_vec()),
    ) {
        let Some(target) = target(&target_bytes) else { return Ok(()) };
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = warp::test::request().method(method.as_str()).path(&target).header("host", "localhost");
        for (name, value) in header_bytes.iter().filter_map(|bytes| header(bytes)) {
            request = request.header(name, value);
        }
        let panics = watchdog::panics();
        let routes = routes(TARGET.app.clone());
        let answer = TARGET.runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(20), request.body(body).reply(&routes)).await
        });
        let answer = answer.unwrap_or_else(|_| panic!("{method} {target} gets no response"));
        let (status, text) = (answer.status().as_u16(), String::from_utf8_lossy(answer.body()));
        prop_assert!(status < 500, "{method} {target}: {status} {text}");
        prop_assert_eq!(watchdog::panics(), panics);
        if status >= 400 && method != Method::HEAD {
            let problem: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(&problem["status"], status);
            prop_assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
        }
    }
}

#[test]
fn most_of_the_corpus_is_valid() {
    let sent = TARGETS.iter().filter(|text| target(text.as_bytes()).is_some()).count();
    assert!(sent > 20, "only {sent} targets are valid");
    let sent = HEADERS.iter().filter(|text| header(text.as_bytes()).is_some()).count();
    assert!(sent > 20, "only {sent} headers are valid");
}
