//! CloudEvents 1.0 through the routes: requests in each content mode, the records of the Kafka binding, and events out.

use crate::produce;
use crate::resume::{self, bridge};
use crate::support::documented::is_documented;
use crate::support::memory_broker::MemoryBroker;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use curlew::http::{self, App, WebhookSenders, routes};
use curlew::hub::{self, Hub};
use curlew::record::{Header, NewRecord};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

const STRUCTURED: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";
/// The attributes that every event needs, as request headers.
const REQUIRED: [(&str, &str); 4] =
    [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/s"), ("ce-type", "com.example.someevent")];

struct Bridge {
    broker: Arc<MemoryBroker>,
    app: Arc<App>,
    runtime: tokio::runtime::Runtime,
}

impl Bridge {
    /// Starts a bridge with the topic `t`.
    fn new() -> Self {
        let broker = MemoryBroker::new();
        broker.create("t", 1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let app = bridge(&broker);
        Self { broker, app, runtime }
    }

    /// Produces a body. Returns the status and the response.
    fn post(&self, query: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, Value) {
        let path = format!("/topics/t?{query}");
        let request = warp::test::request().method("POST").path(&path).header("host", "localhost").body(body);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, value.as_bytes()));
        let answer = self.runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(20), request.reply(&routes(self.app.clone()))).await
        });
        let answer = answer.expect("the response ends");
        is_documented("POST", &path, answer.status());
        (answer.status().as_u16(), serde_json::from_slice(answer.body()).unwrap())
    }

    #[track_caller]
    fn accepts(&self, query: &str, headers: &[(&str, &str)], body: &[u8]) {
        let (status, answer) = self.post(query, headers, body);
        assert_eq!(status, 200, "{answer}");
    }

    fn last(&self) -> NewRecord {
        self.broker.records("t", 0).pop().expect("a record").1
    }

    /// Returns all records as a stream of lines.
    fn lines(&self) -> Vec<String> {
        let path = "/topics/t/events?from=earliest&until=end&format=cloudevents";
        let answer = self.runtime.block_on(resume::get(&self.app, path, &[("accept", "application/x-ndjson")]));
        assert_eq!(answer.status(), 200, "{:?}", answer.body());
        let text = String::from_utf8(answer.body().to_vec()).unwrap();
        text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    fn last_event(&self) -> Value {
        serde_json::from_str(self.lines().last().expect("an event")).unwrap()
    }
}

fn with_required<'a>(headers: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    REQUIRED.into_iter().chain(headers.iter().copied()).collect()
}

/// Returns the headers of a record as texts.
fn headers(record: &NewRecord) -> Vec<(String, String)> {
    let value = |header: &'_ Header| std::str::from_utf8(header.value.as_deref().unwrap()).unwrap().to_owned();
    record.headers.iter().map(|header| (header.name.clone(), value(header))).collect()
}

#[test]
fn an_event_in_binary_mode_becomes_a_record_of_the_kafka_binding() {
    let bridge = Bridge::new();
    let given = with_required(&[
        ("Ce-Time", "2018-04-05T03:56:24Z"),
        ("CE-SUBJECT", "Euro%20%E2%82%AC%20%F0%9F%98%80"),
        ("ce-partitionkey", "boiler"),
        ("ce-comexampleothervalue", "5"),
        ("content-type", "application/vnd.apache.thrift.binary"),
        ("x-kafka-site", "north"),
    ]);
    bridge.accepts("timestamp=1769846400000", &given, b"\xff\0data");
    let record = bridge.last();
    assert_eq!(
        headers(&record),
        [
            ("ce_specversion", "1.0"),
            ("ce_id", "1"),
            ("ce_source", "/s"),
            ("ce_type", "com.example.someevent"),
            ("ce_time", "2018-04-05T03:56:24Z"),
            ("ce_subject", "Euro € 😀"),
            ("ce_partitionkey", "boiler"),
            ("ce_comexampleothervalue", "5"),
            ("content-type", "application/vnd.apache.thrift.binary"),
            ("site", "north"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
    assert_eq!((record.key.as_deref(), record.value.as_deref()), (Some(&b"boiler"[..]), Some(&b"\xff\0data"[..])));
    assert_eq!(record.timestamp, Some(1_769_846_400_000));
    assert_eq!(
        bridge.lines(),
        ["{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/s\",\"type\":\"com.example.someevent\",\
          \"time\":\"2018-04-05T03:56:24Z\",\"subject\":\"Euro € 😀\",\"partitionkey\":\"boiler\",\
          \"comexampleothervalue\":\"5\",\"datacontenttype\":\"application/vnd.apache.thrift.binary\",\
          \"data_base64\":\"/wBkYXRh\"}"]
    );
    // The key of the request precedes the key of the event, which keeps its attribute.
    bridge.accepts("key=other", &given, b"x");
    assert_eq!(bridge.last().key.as_deref(), Some(&b"other"[..]));
    assert_eq!(bridge.last_event()["partitionkey"], "boiler");
}

/// The examples of the JSON event format, section 3.2, and of its batches, section 4.3.
#[test]
fn the_examples_of_the_json_format_keep_their_attributes_and_data() {
    let common = json!({
        "specversion": "1.0", "type": "com.example.someevent", "source": "/mycontext", "id": "A234-1234-1234",
        "time": "2018-04-05T17:31:00Z", "comexampleextension1": "value", "comexampleothervalue": 5,
    });
    let with = |more: Value| {
        let mut event = common.clone();
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    };
    let json_data = json!({"appinfoA": "abc", "appinfoB": 123, "appinfoC": true});
    let rows: [(Value, Option<&[u8]>, Value); 9] = [
        (
            json!({"datacontenttype": "application/vnd.apache.thrift.binary", "data_base64": "AP8="}),
            Some(b"\0\xff"),
            json!({"datacontenttype": "application/vnd.apache.thrift.binary", "data_base64": "AP8="}),
        ),
        (
            json!({"unsetextension": null, "datacontenttype": "application/xml", "data": "<much wow=\"xml\"/>"}),
            Some(b"<much wow=\"xml\"/>"),
            json!({"datacontenttype": "application/xml", "data": "<much wow=\"xml\"/>"}),
        ),
        (
            json!({"subject": null, "datacontenttype": "application/json", "data": json_data}),
            Some(br#"{"appinfoA":"abc","appinfoB":123,"appinfoC":true}"#),
            json!({"datacontenttype": "application/json", "data": json_data}),
        ),
        (
            json!({"data": "I'm just a string"}),
            Some(b"\"I'm just a string\""),
            json!({"datacontenttype": "application/json", "data": "I'm just a string"}),
        ),
        (json!({"data": null}), Some(b"null"), json!({"datacontenttype": "application/json", "data": null})),
        (json!({"data_base64": null}), None, json!({})),
        (
            json!({"subject": "Zürich 😀", "number": -5.0, "flag": true}),
            None,
            json!({"subject": "Zürich 😀", "number": "-5", "flag": "true"}),
        ),
        (
            json!({"datacontenttype": "text/plain", "data": ""}),
            Some(b""),
            json!({"datacontenttype": "text/plain", "data": ""}),
        ),
        (json!({"datacontenttype": "text/plain", "data": null}), None, json!({"datacontenttype": "text/plain"})),
    ];
    let bridge = Bridge::new();
    let mut batch = Vec::new();
    for (more, value, out) in &rows {
        let event = with(more.clone());
        bridge.accepts(
            "",
            &[("content-type", "Application/CloudEvents+JSON; charset=UTF-8")],
            event.to_string().as_bytes(),
        );
        assert_eq!(bridge.last().value.as_deref(), *value, "{event}");
        let mut expected = with(out.clone());
        expected["comexampleothervalue"] = "5".into();
        assert_eq!(bridge.last_event(), expected);
        batch.push(event);
    }
    let before = bridge.lines();
    bridge.accepts("", &[("content-type", BATCH)], Value::from(batch).to_string().as_bytes());
    assert_eq!(bridge.lines()[rows.len()..], before);
}

#[test]
fn an_event_without_an_attribute_that_it_needs_is_a_400_that_names_it() {
    let bridge = Bridge::new();
    let refused = |headers: &[(&str, &str)], body: &str, status: u16, words: &[&str]| {
        let (given, answer) = bridge.post("", headers, body.as_bytes());
        assert_eq!(given, status, "{answer}");
        let detail = answer["detail"].as_str().unwrap();
        words.iter().for_each(|word| assert!(detail.contains(word), "{word:?} is not in {detail:?}"));
    };
    let structured = |event: &str, words: &[&str]| refused(&[("content-type", STRUCTURED)], event, 400, words);
    let binary = |more: &[(&str, &str)], words: &[&str]| refused(&with_required(more), "", 400, words);

    refused(&[("ce-id", "1")], "", 400, &["source, specversion, type are missing"]);
    refused(&[("ce-subject", "1")], "{}", 400, &["id, source, specversion, type are missing"]);
    refused(&REQUIRED[..3], "", 400, &["attribute type is missing"]);
    structured("{}", &["id, source, specversion, type"]);
    structured(r#"{"specversion":"1.0","id":"","source":null,"type":"t"}"#, &["id, source are missing or empty"]);
    structured(r#"{"specversion":"0.3","id":"1","source":"s","type":"t"}"#, &["\"0.3\"", "\"1.0\""]);
    binary(&[("ce-my-ext", "1")], &["\"my-ext\"", "lower-case letters and digits"]);
    binary(&[("ce-", "1")], &["\"\""]);
    binary(&[("ce-data", "1")], &["\"data\" is reserved"]);
    binary(&[("ce-time", "yesterday")], &["\"yesterday\"", "RFC 3339"]);
    binary(&[("ce-subject", "")], &["subject is empty"]);
    binary(&[("ce-subject", "a%0Ab")], &["subject contains U+000A"]);
    binary(&[("ce-subject", "%C0%A0")], &["ce-subject", "UTF-8"]);
    binary(&[("ce-subject", "5\"")], &["ce-subject", "%22"]);
    binary(&[("ce-datacontenttype", "text/plain")], &["Content-Type"]);
    binary(&[("x-kafka-ce_id", "2")], &["X-Kafka-ce_id"]);
    refused(&with_required(&[("content-type", "application/json")]), "{", 422, &["not JSON"]);
    refused(&[("content-type", STRUCTURED)], "no", 422, &["not JSON"]);
    refused(&[("content-type", BATCH)], "{}", 422, &["JSON array"]);
    refused(&[("content-type", "application/cloudevents+avro")], "x", 415, &["application/cloudevents+json"]);
    let with = |more: &str| format!(r#"{{"specversion":"1.0","id":"1","source":"s","type":"t",{more}}}"#);
    for (more, words) in [
        (r#""Subject":"a""#, &["\"Subject\""][..]),
        (r#""id":"2""#, &["occurs twice"]),
        (r#""ext":1.5"#, &["ext is 1.5", "integers"]),
        (r#""ext":2147483648"#, &["2147483648", "integers"]),
        (r#""ext":{"a":1}"#, &["ext is {\"a\":1}"]),
        (r#""ext":"\ud800""#, &["ext is"]),
        (r#""ext":"\uffff""#, &["U+FFFF"]),
        (r#""data":1,"data_base64":"""#, &["both data and data_base64"]),
        (r#""data_base64":"?""#, &["base64"]),
        (r#""data_base64":5"#, &["base64"]),
        (r#""datacontenttype":"text/xml","data":{}"#, &["\"text/xml\"", "data_base64"]),
        (r#""datacontenttype":"text/plain; charset=latin1","data":"ü""#, &["charset"]),
        (r#""datacontenttype":"","data":"ü""#, &["datacontenttype is empty"]),
    ] {
        structured(&with(more), words);
    }
    structured(&with(&(0..300).map(|n| format!("\"x{n}\":1")).collect::<Vec<_>>().join(",")), &["256"]);
    assert_eq!(bridge.lines().len(), 0);
}

#[tokio::test]
async fn an_attribute_that_occurs_twice_is_rejected() {
    let bridge = produce::Bridge::new();
    for (more, word) in [
        (&[("ce-id", "2")][..], "\"id\" occurs twice"),
        (&[("content-type", "a/b"), ("content-type", "a/c")], "\"datacontenttype\" occurs twice"),
    ] {
        bridge.post("t", &with_required(more), "x").await.is_problem(400, 400, &[word]);
    }
}

#[tokio::test]
async fn copied_headers_are_no_attributes() {
    let mut bridge = produce::Bridge::new();
    bridge.settings.record_headers = ["content-type", "ce_*", "x-site"].map(|text| text.parse().unwrap()).to_vec();
    let event = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","data_base64":"AA=="}"#;
    let more = [("content-type", STRUCTURED), ("ce_subject", "other"), ("x-site", "north")];
    let answer = bridge.post("t?partition=0", &more, event).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let names: Vec<_> = bridge.records(0).remove(0).headers.into_iter().map(|header| header.name).collect();
    assert_eq!(names, ["ce_specversion", "ce_id", "ce_source", "ce_type", "x-site"]);
}

#[test]
fn a_bad_event_in_a_batch_does_not_keep_the_others_from_being_written() {
    let bridge = Bridge::new();
    let event = |id: &str| json!({"specversion": "1.0", "id": id, "source": "/s", "type": "t", "data": id});
    let batch = json!([event("a"), event(""), event("b"), 5]).to_string();
    let (status, answer) = bridge.post("", &[("content-type", BATCH)], batch.as_bytes());
    assert_eq!(status, 207, "{answer}");
    let offsets = answer["offsets"].as_array().unwrap();
    assert_eq!(
        (&offsets[0], &offsets[2]),
        (&json!({"partition": 0, "offset": 0}), &json!({"partition": 0, "offset": 1}))
    );
    assert_eq!(offsets[1]["error_code"], 400);
    assert!(offsets[1]["error"].as_str().unwrap().starts_with("event 1: the attribute id is missing"), "{answer}");
    assert!(offsets[3]["error"].as_str().unwrap().starts_with("event 3: the event is not a JSON object"), "{answer}");
    let (status, answer) = bridge.post("", &[("content-type", BATCH)], json!([event(""), 5]).to_string().as_bytes());
    assert_eq!(status, 400, "{answer}");
    let long = json!("x".repeat(100_000)).to_string();
    let (status, answer) = bridge.post("", &[("content-type", STRUCTURED)], long.as_bytes());
    assert!(status == 400 && answer.to_string().len() < 1000, "{status}: {} bytes", answer.to_string().len());
    assert_eq!(bridge.post("", &[("content-type", BATCH)], b" [] "), (200, json!({"offsets": []})));
    assert_eq!(bridge.post("acks=0", &[("content-type", BATCH)], batch.as_bytes()).0, 207);
    assert_eq!(bridge.lines().len(), 4);
}

fn record(headers: &[(&str, &[u8])], key: Option<&[u8]>, value: Option<&[u8]>) -> NewRecord {
    let header = |(name, value): &(&str, &[u8])| Header { name: (*name).into(), value: Some(value.to_vec().into()) };
    NewRecord {
        key: key.map(|key| key.to_vec().into()),
        value: value.map(|value| value.to_vec().into()),
        headers: headers.iter().map(header).collect(),
        timestamp: Some(1_769_846_400_000),
        ..NewRecord::default()
    }
}

#[test]
fn a_page_contains_events_or_is_a_batch_of_them() {
    let bridge = Bridge::new();
    let data = [("content-type", "text/plain")];
    bridge.accepts("", &with_required(&data), b"one");
    bridge.accepts("", &[], b"two");
    let get = |query: &str, headers: &[(&str, &str)]| {
        let path = format!("/topics/t/partitions/0/records?{query}");
        let answer = bridge.runtime.block_on(resume::get(&bridge.app, &path, headers));
        is_documented("GET", &path, answer.status());
        let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let body: Value = serde_json::from_slice(answer.body()).unwrap();
        (answer.status().as_u16(), header("content-type").unwrap(), header("link"), body)
    };
    let events: Vec<Value> = bridge.lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (status, kind, link, body) = get("format=cloudevents", &[]);
    assert_eq!((status, kind.as_str(), link), (200, "application/json", None));
    assert_eq!((&body["records"], &body["next_offset"]), (&Value::from(events.clone()), &json!(2)));
    let accept = [("accept", "application/cloudevents-batch+json, application/json;q=0.5")];
    let (status, kind, link, body) = get("limit=1", &accept);
    assert_eq!((status, kind.as_str(), link.as_deref()), (200, BATCH, Some("<?offset=1&limit=1>; rel=\"next\"")));
    assert_eq!(body, json!([events[0]]));
    let (_, _, link, body) = get("offset=2&limit=5", &accept);
    assert_eq!((link.as_deref(), body), (Some("<?offset=2&limit=5>; rel=\"next\""), json!([])));
    assert_eq!(get("", &[("accept", "*/*")]).3["records"][1]["value"], "two");
    let (status, _, _, body) = get("format=csv", &accept);
    assert_eq!(status, 400);
    assert!(body["detail"].as_str().unwrap().contains("record and cloudevents"), "{body}");
    // A batch is posted as it is.
    bridge.accepts("", &[("content-type", BATCH)], json!(events).to_string().as_bytes());
    let all: Vec<Value> = bridge.lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(all[2..], events);
}

#[test]
fn only_a_listed_sender_of_webhooks_is_answered_with_consent() {
    let ask = |senders: &[&str], rate: usize, path: &str, headers: &[(&str, &str)]| {
        let senders = WebhookSenders(senders.iter().map(|name| (*name).to_owned()).collect());
        let settings = http::Settings {
            webhook_senders: senders,
            limits: http::limits::Settings { requests_per_second: rate, ..http::limits::Settings::default() },
            ..http::Settings::default()
        };
        let hub = Hub::start(MemoryBroker::new(), hub::Settings::default()).unwrap();
        let app = App::new(Arc::new(hub), settings);
        let request = warp::test::request().method("OPTIONS").path(path).header("host", "localhost");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let answer = runtime.block_on(request.reply(&routes(app)));
        let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        (answer.status().as_u16(), header("webhook-allowed-origin"), header("webhook-allowed-rate"), header("allow"))
    };
    let sender = [("webhook-request-origin", "EventEmitter.example.com"), ("webhook-request-rate", "120")];
    let allow = Some("GET, HEAD, POST, DELETE, OPTIONS".to_owned());
    let consent = |rate: &str| (204, Some(sender[0].1.to_owned()), Some(rate.to_owned()), allow.clone());
    let silence = (204, None, None, allow.clone());
    assert_eq!(ask(&["eventemitter.example.com"], 2, "/topics/t?key=a", &sender), consent("120"));
    assert_eq!(ask(&["*"], http::limits::UNLIMITED, "/topics/t", &sender), consent("*"));
    assert_eq!(ask(&[], 2, "/topics/t", &sender), silence);
    assert_eq!(ask(&["example.com"], 2, "/topics/t", &sender), silence);
    assert_eq!(ask(&["*"], 2, "/topics/t", &[]), silence);
    assert_eq!(ask(&["*"], 2, "/topics", &sender).1, None);
    // The rules for pages come first: a sender is no page.
    let page = [sender[0], ("origin", "https://evil.example")];
    assert_eq!(ask(&["*"], 2, "/topics/t", &page), (403, None, None, None));
}

type Headers<'a> = &'a [(&'a str, &'a [u8])];

#[test]
fn records_of_other_kafka_bindings_come_out_as_their_events() {
    let bridge = Bridge::new();
    let required: [(&str, &[u8]); 4] =
        [("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_source", b"/s"), ("ce_type", b"t")];
    let is_event = |more: Headers, value: Option<&[u8]>, expected: Value| {
        let headers: Vec<_> = required.iter().chain(more).copied().collect();
        bridge.broker.append_record("t", 0, record(&headers, Some(b"key"), value));
        let mut event = json!({"specversion": "1.0", "id": "1", "source": "/s", "type": "t"});
        event.as_object_mut().unwrap().extend(expected.as_object().unwrap().clone());
        assert_eq!(bridge.last_event(), event);
    };
    is_event(&[("site", b"north")], Some(b" {\"a\": 1} "), json!({"data": {"a": 1}}));
    is_event(&[("ce_subject", "Zürich".as_bytes())], None, json!({"subject": "Zürich"}));
    is_event(&[("ce_id", b"2")], None, json!({"id": "2"}));
    is_event(&[("ce_Odd-Name", b"2")], None, json!({"Odd-Name": "2"}));
    // Without a type, only JSON can be shown as data.
    is_event(&[], Some(b"text"), json!({"data_base64": "dGV4dA=="}));
    is_event(
        &[("content-type", b"text/plain")],
        Some(b"text"),
        json!({"datacontenttype": "text/plain", "data": "text"}),
    );
    is_event(
        &[("content-type", b"text/plain"), ("ce_datacontenttype", b"x/y")],
        Some(b"\xff"),
        json!({"datacontenttype": "text/plain", "data_base64": "/w=="}),
    );
    is_event(
        &[("ce_datacontenttype", b"text/xml")],
        Some(b"<a/>"),
        json!({"datacontenttype": "text/xml", "data": "<a/>"}),
    );
    is_event(
        &[("content-type", b"application/json")],
        Some(b"{broken"),
        json!({"datacontenttype": "application/json", "data_base64": "e2Jyb2tlbg=="}),
    );

    let event = r#"{ "specversion":"1.0","id":"1","source":"/s","type":"t", "number" : 5,
        "datacontenttype":"text/xml", "data":"<a/>" }"#;
    let content_type: [(&str, &[u8]); 1] = [("content-type", b"Application/CloudEvents+json; charset=UTF-8")];
    for content_type in [&content_type[..], &[]] {
        bridge.broker.append_record("t", 0, record(content_type, None, Some(event.as_bytes())));
        assert_eq!(bridge.last_event(), serde_json::from_str::<Value>(event).unwrap());
    }
    // Python's v1 API writes datacontenttype as content-type, and removes it from the event.
    let event = json!({"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": "<a/>"});
    let moved: [(&str, &[u8]); 1] = [("content-type", b"text/xml")];
    bridge.broker.append_record("t", 0, record(&moved, None, Some(event.to_string().as_bytes())));
    let mut expected = event.clone();
    expected["datacontenttype"] = "text/xml".into();
    assert_eq!(bridge.last_event(), expected);
    expected["datacontenttype"] = Value::Null;
    bridge.broker.append_record("t", 0, record(&moved, None, Some(expected.to_string().as_bytes())));
    assert_eq!(bridge.lines().last().unwrap(), &expected.to_string());
}

#[test]
fn a_record_that_is_not_an_event_is_wrapped_in_one() {
    let bridge = Bridge::new();
    let is_wrapped = |headers: Headers, key: Option<&[u8]>, value: Option<&[u8]>, kind: &str, expected: Value| {
        let offset = bridge.broker.append_record("t", 0, record(headers, key, value));
        let mut event = json!({
            "specversion": "1.0", "id": format!("t/0/{offset}"), "source": "/topics/t",
            "type": format!("curlew.{kind}"), "time": "2026-01-31T08:00:00Z",
        });
        event.as_object_mut().unwrap().extend(expected.as_object().unwrap().clone());
        assert_eq!(bridge.last_event(), event);
    };
    let json_type = "application/json";
    is_wrapped(&[], None, Some(b"{\"a\":1}"), "record", json!({"datacontenttype": json_type, "data": {"a": 1}}));
    is_wrapped(
        &[("site", b"north")],
        Some("kälte".as_bytes()),
        Some(b"text\n"),
        "record",
        json!({"partitionkey": "kälte", "datacontenttype": "text/plain", "data": "text\n"}),
    );
    is_wrapped(
        &[],
        Some(b"\xff"),
        Some(b"\xfe"),
        "record",
        json!({"datacontenttype": "application/octet-stream", "data_base64": "/g=="}),
    );
    is_wrapped(&[], Some(b"k"), None, "tombstone", json!({"partitionkey": "k"}));
    is_wrapped(
        &[("content-type", b"image/png")],
        None,
        Some(b"1"),
        "record",
        json!({"datacontenttype": "image/png", "data_base64": "MQ=="}),
    );
    let all_but: [(&str, &[u8]); 3] = [("ce_specversion", b"1.0"), ("ce_source", b"/s"), ("ce_type", b"t")];
    is_wrapped(&all_but, None, Some(b"1"), "record", json!({"datacontenttype": json_type, "data": 1}));
    let repeated: Vec<(&str, &[u8])> = all_but.into_iter().chain((0..254).map(|_| ("ce_id", &b"1"[..]))).collect();
    is_wrapped(&repeated, None, Some(b"1"), "record", json!({"datacontenttype": json_type, "data": 1}));
    for (text, data) in [("{\"id\":1}", json!({"id": 1})), ("[]", json!([]))] {
        let content_type = "application/cloudevents+json";
        is_wrapped(
            &[("content-type", content_type.as_bytes())],
            None,
            Some(text.as_bytes()),
            "record",
            json!({"datacontenttype": content_type, "data": data}),
        );
    }
    let path = "/topics/t/events?from=earliest&until=end&format=cloudevents";
    let answer = bridge.runtime.block_on(resume::get(&bridge.app, path, &[]));
    let text = String::from_utf8(answer.body().to_vec()).unwrap();
    assert_eq!(
        text.matches("\nevent: tombstone\ndata: {\"specversion\":\"1.0\",\"id\":\"t/0/3\"").count(),
        1,
        "{text}"
    );
}

#[derive(Debug, Clone)]
struct Event {
    attributes: Vec<(String, String)>,
    content_type: Option<String>,
    data: Option<Vec<u8>>,
}

fn event() -> impl Strategy<Value = Event> {
    let text = || "[ -~äß€😀\u{2028}]{1,12}";
    let types = prop::sample::select(vec![
        "text/plain",
        "application/xml; charset=utf-8",
        "application/octet-stream",
        "image/png",
    ]);
    let data = prop_oneof![
        4 => "[ -~\r\n\tä€😀]{1,20}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 1..20),
    ];
    let json =
        (Just("application/json"), prop_oneof![Just("{\"a\":[1,null]}"), Just("\"x\""), Just("-1.5e3"), Just(" [ ] ")]);
    let payload = prop_oneof![
        3 => (types, data).prop_map(|(kind, data)| (Some(kind.to_owned()), Some(data))),
        2 => json.prop_map(|(kind, data)| (Some(kind.to_owned()), Some(data.as_bytes().to_vec()))),
        1 => Just((None, None)),
    ];
    let extensions = prop::collection::btree_map("x[a-z0-9]{0,8}", "[ -~äß€😀]{0,12}", 0..4);
    (text(), text(), text(), prop::option::of(text()), extensions, payload).prop_map(
        |(id, source, kind, subject, extensions, (content_type, data))| {
            let required = [("specversion", "1.0".to_owned()), ("id", id), ("source", source), ("type", kind)];
            let attributes = required.into_iter().chain(subject.map(|subject| ("subject", subject)));
            let attributes = attributes.map(|(name, value)| (name.to_owned(), value)).chain(extensions);
            Event { attributes: attributes.collect(), content_type, data }
        },
    )
}

impl Event {
    /// Returns the attributes in the JSON format, without the data.
    fn members(&self) -> Map<String, Value> {
        let text = |(name, value): &(String, String)| (name.clone(), Value::from(value.as_str()));
        let content_type = self.content_type.iter().map(|kind| ("datacontenttype".to_owned(), kind.as_str().into()));
        self.attributes.iter().map(text).chain(content_type).collect()
    }

    fn json(&self) -> String {
        let mut members = self.members();
        if let Some(data) = &self.data {
            match serde_json::from_slice(data) {
                Ok(json) if self.content_type.as_deref() == Some("application/json") => {
                    members.insert("data".into(), json)
                }
                _ => match std::str::from_utf8(data) {
                    Ok(text) => members.insert("data".into(), text.into()),
                    Err(_) => members.insert("data_base64".into(), STANDARD.encode(data).into()),
                },
            };
        }
        Value::from(members).to_string()
    }

    /// Asserts that this event came out: the same attributes, and data with the same bytes or the same JSON value.
    fn is(&self, line: &str) {
        let mut out: Map<String, Value> = serde_json::from_str(line).unwrap();
        let (data, base64) = (out.remove("data"), out.remove("data_base64"));
        assert_eq!(out, self.members());
        let bytes = base64.map(|text| STANDARD.decode(text.as_str().unwrap()).unwrap());
        match (&self.data, data, bytes) {
            (None, None, None) => {}
            (Some(given), None, Some(bytes)) => assert_eq!(*given, bytes),
            (Some(given), Some(data), None) if self.content_type.as_deref() == Some("application/json") => {
                assert_eq!(serde_json::from_slice::<Value>(given).unwrap(), data);
            }
            (Some(given), Some(Value::String(text)), None) => assert_eq!(*given, text.as_bytes()),
            other => panic!("{other:?}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_event_comes_out_as_it_went_in(events in prop::collection::vec(event(), 1..6)) {
        let bridge = Bridge::new();
        for event in &events {
            let encode = |value: &str| utf8_percent_encode(value, NON_ALPHANUMERIC).to_string();
            let encoded: Vec<_> =
                event.attributes.iter().map(|(name, value)| (format!("ce-{name}"), encode(value))).collect();
            let kind = event.content_type.as_ref().map(|kind| ("content-type", kind.as_str()));
            let headers: Vec<_> =
                encoded.iter().map(|(name, value)| (name.as_str(), value.as_str())).chain(kind).collect();
            bridge.accepts("", &headers, event.data.as_deref().unwrap_or_default());
            bridge.accepts("", &[("content-type", STRUCTURED)], event.json().as_bytes());
        }
        let batch = events.iter().map(Event::json).collect::<Vec<_>>().join(",");
        bridge.accepts("", &[("content-type", BATCH)], format!("[{batch}]").as_bytes());
        let lines = bridge.lines();
        assert_eq!(lines.len(), 3 * events.len());
        let given = events.iter().flat_map(|event| [event, event]).chain(&events);
        given.zip(&lines).for_each(|(event, line)| event.is(line));
    }

    #[test]
    fn no_body_makes_the_bridge_fail(body in "[\\[\\]{}:,\"a-z0-9\\\\]{0,60}") {
        let bridge = Bridge::new();
        for kind in [STRUCTURED, BATCH] {
            let (status, answer) = bridge.post("", &[("content-type", kind)], body.as_bytes());
            assert!(matches!(status, 200 | 207 | 400 | 422), "{status}: {answer}");
        }
    }
}
