#![allow(clippy::unwrap_used)]

use super::whatwg::{EventSource, SseEvent};
use super::{EventFormat, envelope, format};
use crate::broker::BrokerError;
use crate::hub::{Format, Gap, GapReason};
use crate::record::{Records, SpanRef, TopicName};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use expect_test::{Expect, expect};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;

type Blob = Option<Vec<u8>>;

/// The fields of a test record.
#[derive(Debug, Clone, Default)]
struct Sample {
    key: Blob,
    value: Blob,
    headers: Vec<(Vec<u8>, Blob)>,
    timestamp: i64,
}

fn value(bytes: impl AsRef<[u8]>) -> Sample {
    Sample { value: Some(bytes.as_ref().to_vec()), ..Sample::default() }
}

impl Sample {
    fn key(mut self, key: impl AsRef<[u8]>) -> Self {
        self.key = Some(key.as_ref().to_vec());
        self
    }

    fn header(mut self, name: impl AsRef<[u8]>, value: Option<&[u8]>) -> Self {
        self.headers.push((name.as_ref().to_vec(), value.map(<[u8]>::to_vec)));
        self
    }

    /// Builds a single record at `offset`.
    fn records(&self, offset: i64) -> Records {
        let mut data = Vec::new();
        let mut put = |bytes: &[u8]| -> SpanRef {
            data.extend_from_slice(bytes);
            data.len() - bytes.len()..data.len()
        };
        let key = self.key.as_deref().map(&mut put);
        let value = self.value.as_deref().map(&mut put);
        let headers: Vec<_> = self.headers.iter().map(|(n, v)| (put(n), v.as_deref().map(&mut put))).collect();
        let mut records = Records::over(Bytes::from(data));
        records.push(offset, self.timestamp, key, value);
        headers.into_iter().for_each(|(name, value)| records.push_header(name, value));
        records
    }
}

fn topic() -> TopicName {
    TopicName::new("t").unwrap()
}

fn frame(format: &Arc<dyn Format>, sample: &Sample, offset: i64, id: &str) -> Vec<u8> {
    let mut out = Vec::new();
    format.record(&mut out, &topic(), 0, &sample.records(offset).iter().next().unwrap(), id);
    out
}

fn written(write: impl Fn(&dyn Format, &mut Vec<u8>), kind: EventFormat) -> String {
    let mut out = Vec::new();
    write(&*format(kind), &mut out);
    String::from_utf8(out).unwrap()
}

/// Compares a frame with its expected form, in which `\r` stands for CR, and `·` for a space at the end of a line.
#[track_caller]
fn check(kind: EventFormat, sample: Sample, expected: Expect) {
    let frame = frame(&format(kind), &sample, 8, "c-1");
    expected.assert_eq(&String::from_utf8(frame).unwrap().replace('\r', "\\r").replace(" \n", "·\n"));
}

/// Parses a complete stream as a browser does.
fn browser(stream: &[u8]) -> (EventSource, Vec<SseEvent>) {
    let mut browser = EventSource::default();
    let events = browser.feed(stream);
    (browser, events)
}

fn lost() -> Gap {
    Gap { topic: topic(), partition: 3, from: 10, to: 25, reason: GapReason::Retention }
}

#[test]
fn a_value_is_the_data_of_its_event_and_the_id_comes_last() {
    check(
        EventFormat::SseValue,
        value(r#"{"temperature": 21.5}"#).key("boiler").header("a", Some(b"b")),
        expect![[r#"
        data: {"temperature": 21.5}
        id: c-1

    "#]],
    );
}

#[test]
fn each_line_of_a_value_is_a_data_line() {
    check(
        EventFormat::SseValue,
        value("a\nb\rc\r\nd\n\re"),
        expect![[r#"
        data: a
        data: b
        data: c
        data: d
        data:·
        data: e
        id: c-1

    "#]],
    );
    check(
        EventFormat::SseValue,
        value("ends\n"),
        expect![[r#"
        data: ends
        data:·
        id: c-1

    "#]],
    );
    check(
        EventFormat::SseValue,
        value("\r\n"),
        expect![[r#"
        data:·
        data:·
        id: c-1

    "#]],
    );
    check(
        EventFormat::SseValue,
        value("x\nid: forged\revent: forged\r\nretry: 1\n\n: comment"),
        expect![[r#"
        data: x
        data: id: forged
        data: event: forged
        data: retry: 1
        data:·
        data: : comment
        id: c-1

    "#]],
    );
}

#[test]
fn an_empty_value_is_still_an_event() {
    check(
        EventFormat::SseValue,
        value(""),
        expect![[r#"
        data:·
        id: c-1

    "#]],
    );
}

#[test]
fn a_value_that_is_not_utf_8_is_base64() {
    check(
        EventFormat::SseValue,
        value(b"\xff\xfe\xfb\nid: 1\n"),
        expect![[r#"
        event: binary
        data: //77CmlkOiAxCg==
        id: c-1

    "#]],
    );
}

#[test]
fn a_tombstone_event_contains_its_key() {
    let tombstone = Sample::default();
    check(
        EventFormat::SseValue,
        tombstone.clone().key("boiler"),
        expect![[r#"
        event: tombstone
        data: {"topic":"t","partition":0,"offset":8,"key":"boiler"}
        id: c-1

    "#]],
    );
    check(
        EventFormat::SseValue,
        tombstone.clone().key(r#"{"id": 7}"#),
        expect![[r#"
        event: tombstone
        data: {"topic":"t","partition":0,"offset":8,"key":{"id": 7}}
        id: c-1

    "#]],
    );
    check(
        EventFormat::SseValue,
        tombstone.clone().key(b"\xff"),
        expect![[r#"
        event: tombstone
        data: {"topic":"t","partition":0,"offset":8,"key":"/w==","key_encoding":"base64"}
        id: c-1

    "#]],
    );
    check(
        EventFormat::SseValue,
        tombstone.clone(),
        expect![[r#"
        event: tombstone
        data: {"topic":"t","partition":0,"offset":8,"key":null}
        id: c-1

    "#]],
    );
    check(
        EventFormat::SseRecord,
        tombstone.clone().key("boiler"),
        expect![[r#"
        event: tombstone
        data: {"topic":"t","partition":0,"offset":8,"timestamp":0,"key":"boiler","headers":[],"value":null}
        id: c-1

    "#]],
    );
    check(
        EventFormat::Ndjson,
        tombstone.key("boiler"),
        expect![[r#"
        {"topic":"t","partition":0,"offset":8,"timestamp":0,"key":"boiler","headers":[],"value":null}
    "#]],
    );
}

#[test]
fn an_envelope_contains_the_complete_record() {
    let record = value(r#"{"temperature": 21.5}"#).key("boiler");
    let record = record.header("unit", Some(b"\xc2\xb0C")).header("unit", None).header(b"\xff", Some(b"\x80"));
    check(
        EventFormat::SseRecord,
        record.clone(),
        expect![[r#"
        data: {"topic":"t","partition":0,"offset":8,"timestamp":0,"key":"boiler","headers":[{"name":"unit","value":"°C"},{"name":"unit","value":null},{"name":"/w==","name_encoding":"base64","value":"gA==","encoding":"base64"}],"value":{"temperature": 21.5}}
        id: c-1

    "#]],
    );
    check(
        EventFormat::Ndjson,
        record,
        expect![[r#"
        {"topic":"t","partition":0,"offset":8,"timestamp":0,"key":"boiler","headers":[{"name":"unit","value":"°C"},{"name":"unit","value":null},{"name":"/w==","name_encoding":"base64","value":"gA==","encoding":"base64"}],"value":{"temperature": 21.5}}
    "#]],
    );
}

#[test]
fn an_unknown_timestamp_is_null() {
    check(
        EventFormat::Ndjson,
        Sample { timestamp: -1, ..value("1") },
        expect![[r#"
        {"topic":"t","partition":0,"offset":8,"timestamp":null,"key":null,"headers":[],"value":1}
    "#]],
    );
}

#[track_caller]
fn check_embedded(bytes: &str, expected: &str) {
    let mut out = Vec::new();
    envelope::write(&mut out, &topic(), 0, &value(bytes).records(0).iter().next().unwrap());
    let out = String::from_utf8(out).unwrap();
    let (_, embedded) = out.split_once(r#""value":"#).unwrap();
    assert_eq!(embedded, format!("{expected}}}"));
    serde_json::from_str::<Value>(&out).unwrap();
}

#[test]
fn a_value_that_is_json_keeps_its_bytes() {
    for json in [
        "1.10",
        "-0",
        "123456789012345678901234567890",
        "1E5",
        r#"{"a": 1, "a": [ 2 ]}"#,
        r#""\u00e9 \ud83d\ude00""#,
        "null",
        "\"\u{2028}\"",
        " true ",
    ] {
        check_embedded(json, json);
    }
}

#[test]
fn a_json_value_of_many_lines_becomes_one_line() {
    check_embedded("{\r\n  \"a\": [1,\n\t2],\r  \"b\\\" \\\\\": \"x  y\\n\"\n}\n", r#"{"a":[1,2],"b\" \\":"x  y\n"}"#);
    check_embedded("\n7\n", "7");
}

#[test]
fn a_value_that_is_almost_json_is_a_string() {
    for text in ["", "NaN", "-", "01", "tru", "{\"a\":1", "1 2", "[1,]", "'a'", "plain", "2024-01-01", "1e999"] {
        check_embedded(text, &Value::from(text).to_string());
    }
    check_embedded(r#""\ud800""#, r#""\"\\ud800\"""#);
    check_embedded("{\"a\":\n", r#""{\"a\":\n""#);
    check_embedded("\u{feff}1", "\"\u{feff}1\"");
}

#[test]
fn json_nested_too_deep_for_readers_is_a_string() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    check_embedded(&nested(120), &nested(120));
    check_embedded(&nested(121), &format!("\"{}\"", nested(121)));
    check_embedded(&nested(100_000), &format!("\"{}\"", nested(100_000)));
}

#[test]
fn a_checkpoint_is_an_id_alone() {
    let checkpoint = |format: &dyn Format, out: &mut Vec<u8>| format.checkpoint(out, "c-1");
    assert_eq!(written(checkpoint, EventFormat::SseValue), "id: c-1\n\n");
    assert_eq!(written(checkpoint, EventFormat::SseRecord), "id: c-1\n\n");
    assert_eq!(written(checkpoint, EventFormat::Ndjson), "");
    let (browser, events) = browser(b"id: c-1\n\n");
    assert_eq!((browser.last_id.as_str(), events), ("c-1", vec![]));
}

#[test]
fn a_complete_stream_ends_with_a_separate_event() {
    let complete = |format: &dyn Format, out: &mut Vec<u8>| format.complete(out, "c-1~");
    let frame = "event: end\ndata: {}\nid: c-1~\n\n";
    assert_eq!(written(complete, EventFormat::SseValue), frame);
    assert_eq!(written(complete, EventFormat::SseExact), frame);
    assert_eq!(written(complete, EventFormat::Ndjson), "");
    let (browser, events) = browser(frame.as_bytes());
    assert_eq!((browser.last_id.as_str(), events.len()), ("c-1~", 1));
    assert_eq!((events[0].kind.as_str(), events[0].json()), ("end", json!({})));
}

#[test]
fn a_gap_names_the_missing_offsets() {
    let gap = |format: &dyn Format, out: &mut Vec<u8>| format.gap(out, &lost(), "c-1");
    expect![[r#"
        event: gap
        data: {"topic":"t","partition":3,"from":10,"to":25,"reason":"retention"}
        id: c-1

    "#]]
    .assert_eq(&written(gap, EventFormat::SseValue));
    assert_eq!(written(gap, EventFormat::SseRecord), written(gap, EventFormat::SseValue));
    expect![[r#"
        {"event":"gap","topic":"t","partition":3,"from":10,"to":25,"reason":"retention"}
    "#]]
    .assert_eq(&written(gap, EventFormat::Ndjson));
}

#[test]
fn a_problem_event_has_no_id() {
    let problem = |format: &dyn Format, out: &mut Vec<u8>| format.problem(out, &BrokerError::UnknownTopic(topic()));
    expect![[r#"
        event: problem
        data: {"detail":"there is no topic \"t\"; produce to it (the broker may create it), or wait for it with /topics/t/events?wait=true","error_code":40401,"message":"there is no topic \"t\"; produce to it (the broker may create it), or wait for it with /topics/t/events?wait=true","status":404,"title":"Not Found","type":"about:blank"}

    "#]].assert_eq(&written(problem, EventFormat::SseValue));
    assert_eq!(written(problem, EventFormat::SseRecord), written(problem, EventFormat::SseValue));
    let ending = |format: &dyn Format, out: &mut Vec<u8>| format.problem(out, &BrokerError::ShuttingDown);
    let ending = written(ending, EventFormat::SseValue);
    let (retry, rest) = ending.split_once('\n').unwrap();
    assert!((500..1500).contains(&retry.strip_prefix("retry: ").unwrap().parse::<u32>().unwrap()), "{retry}");
    assert!(rest.starts_with("event: problem\ndata: {") && rest.contains("shutting down"), "{rest}");
    expect![[r#"
        {"event":"problem","detail":"there is no topic \"t\"; produce to it (the broker may create it), or wait for it with /topics/t/events?wait=true","error_code":40401,"message":"there is no topic \"t\"; produce to it (the broker may create it), or wait for it with /topics/t/events?wait=true","status":404,"title":"Not Found","type":"about:blank"}
    "#]].assert_eq(&written(problem, EventFormat::Ndjson));
}

#[test]
fn waiting_is_a_comment_or_a_line_with_an_event_member() {
    let waiting = |format: &dyn Format, out: &mut Vec<u8>| format.waiting(out, &topic());
    assert_eq!(written(waiting, EventFormat::SseValue), ": waiting for topic t\n\n");
    assert_eq!(browser(b": waiting for topic t\n\n").0.comments, ["waiting for topic t"]);
    assert_eq!(written(waiting, EventFormat::Ndjson), "{\"event\":\"waiting\",\"topic\":\"t\"}\n");
}

#[test]
fn only_server_sent_events_use_ids_and_each_format_has_a_name() {
    let of = |kind| (format(kind).name().to_owned(), format(kind).uses_ids());
    assert_eq!(of(EventFormat::SseValue), ("sse-value".to_owned(), true));
    assert_eq!(of(EventFormat::SseRecord), ("sse-record".to_owned(), true));
    assert_eq!(of(EventFormat::Ndjson), ("ndjson".to_owned(), false));
}

/// The expected form of `bytes` in an envelope, computed by serde_json.
fn embedded(bytes: Option<&[u8]>) -> (Value, bool) {
    let Some(bytes) = bytes else { return (Value::Null, false) };
    serde_json::from_slice(bytes).map_or_else(|_| text(Some(bytes)), |json| (json, false))
}

fn text(bytes: Option<&[u8]>) -> (Value, bool) {
    let Some(bytes) = bytes else { return (Value::Null, false) };
    match std::str::from_utf8(bytes) {
        Ok(text) => (text.into(), false),
        Err(_) => (STANDARD.encode(bytes).into(), true),
    }
}

fn object<const N: usize>(members: [(&str, (Value, bool), &str); N]) -> Value {
    let mut object = json!({});
    for (name, (value, is_base64), encoding) in members {
        object[name] = value;
        if is_base64 {
            object[encoding] = "base64".into();
        }
    }
    object
}

fn expected_envelope(sample: &Sample, offset: i64) -> Value {
    let header = |(name, value): &(Vec<u8>, Blob)| {
        object([("name", text(Some(name)), "name_encoding"), ("value", text(value.as_deref()), "encoding")])
    };
    let mut envelope = object([
        ("key", embedded(sample.key.as_deref()), "key_encoding"),
        ("value", embedded(sample.value.as_deref()), "encoding"),
    ]);
    envelope["topic"] = "t".into();
    envelope["partition"] = 0.into();
    envelope["offset"] = offset.into();
    envelope["timestamp"] = if sample.timestamp == -1 { Value::Null } else { sample.timestamp.into() };
    envelope["headers"] = sample.headers.iter().map(header).collect();
    envelope
}

fn expected_event(sample: &Sample, offset: i64, id: &str) -> SseEvent {
    let (kind, data) = match &sample.value {
        None => {
            let mut tombstone = object([("key", embedded(sample.key.as_deref()), "key_encoding")]);
            tombstone["topic"] = "t".into();
            tombstone["partition"] = 0.into();
            tombstone["offset"] = offset.into();
            ("tombstone", tombstone.to_string())
        }
        Some(value) => match std::str::from_utf8(value) {
            Ok(text) => ("message", text.replace("\r\n", "\n").replace('\r', "\n")),
            Err(_) => ("binary", STANDARD.encode(value)),
        },
    };
    SseEvent { kind: kind.to_owned(), data, id: id.to_owned() }
}

/// Normalizes the order of members in a tombstone's JSON.
fn normal(mut event: SseEvent) -> SseEvent {
    if event.kind == "tombstone" {
        event.data = event.json().to_string();
    }
    event
}

/// Bytes that are likely to break a format: line ends, field names, JSON and fragments of it, and arbitrary bytes.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let pieces = "\r|\n|\r\n|data: |id: x|event: y|retry: 1|:| |\0|\u{feff}|\u{2028}|\"|\\|\\u|d800";
    let json = "{|}|[|]|,|null|12|.5|e9|\t|{\"a\": 1}|[1,\r\n2]|ü";
    let pieces: Vec<_> = pieces.split('|').chain(json.split('|')).collect();
    let piece = prop_oneof![
        8 => prop::sample::select(pieces).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop_oneof![
        4 => prop::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat()),
        1 => json_text().prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ]
}

/// JSON, pretty-printed over several lines or not.
fn json_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[ \"\\\\\r\n\ta-c{}]{0,8}".prop_map(Value::from),
    ];
    let json = leaf.prop_recursive(4, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[ \"\\\\\na-c]{0,4}", inner, 0..4).prop_map(|m| m.into_iter().collect()),
        ]
    });
    (json, any::<bool>(), any::<bool>()).prop_map(|(json, pretty, dos)| {
        let text = if pretty { serde_json::to_string_pretty(&json).unwrap() } else { json.to_string() };
        if dos { text.replace('\n', "\r\n") } else { text }
    })
}

fn sample() -> impl Strategy<Value = Sample> {
    let header = (bytes(), prop::option::of(bytes()));
    let timestamp = prop_oneof![Just(-1), any::<i64>()];
    (prop::option::of(bytes()), prop::option::of(bytes()), prop::collection::vec(header, 0..3), timestamp)
        .prop_map(|(key, value, headers, timestamp)| Sample { key, value, headers, timestamp })
}

fn samples() -> impl Strategy<Value = Vec<(Sample, String)>> {
    prop::collection::vec((sample(), "[A-Za-z0-9._~-]{1,40}"), 0..6)
}

fn stream(kind: EventFormat, samples: &[(Sample, String)]) -> Vec<u8> {
    let format = format(kind);
    (0..).zip(samples).flat_map(|(offset, (sample, id))| frame(&format, sample, offset, id)).collect()
}

proptest! {
    #[test]
    fn a_browser_sees_each_value_and_no_field_from_a_publisher(samples in samples()) {
        let (browser, events) = browser(&stream(EventFormat::SseValue, &samples));
        let expected: Vec<_> = (0..).zip(&samples).map(|(offset, (s, id))| expected_event(s, offset, id)).collect();
        prop_assert_eq!(events.into_iter().map(normal).collect::<Vec<_>>(), expected);
        prop_assert_eq!(browser.retry, None);
    }

    #[test]
    fn a_browser_sees_each_envelope(samples in samples()) {
        let (browser, events) = browser(&stream(EventFormat::SseRecord, &samples));
        prop_assert_eq!(events.len(), samples.len());
        for (offset, (event, (sample, id))) in (0..).zip(events.iter().zip(&samples)) {
            let kind = if sample.value.is_some() { "message" } else { "tombstone" };
            prop_assert_eq!((event.kind.as_str(), &event.id), (kind, id));
            prop_assert_eq!(event.json(), expected_envelope(sample, offset));
        }
        prop_assert_eq!(browser.retry, None);
    }

    #[test]
    fn no_frame_is_larger_than_its_bound(samples in samples()) {
        let kinds = [
            EventFormat::SseValue,
            EventFormat::SseRecord,
            EventFormat::SseExact,
            EventFormat::SseCloudEvents,
            EventFormat::Ndjson,
            EventFormat::NdjsonExact,
            EventFormat::NdjsonCloudEvents,
        ];
        for kind in kinds {
            let format = format(kind);
            for (sample, _) in &samples {
                let records = sample.records(0);
                let bound = format.bound(&records.iter().next().unwrap());
                let written = frame(&format, sample, 0, "").len();
                prop_assert!(written <= bound, "{written} bytes, {bound} allowed: {sample:?}");
                prop_assert!(bound <= format.quick_bound(&records.iter().next().unwrap()));
            }
        }
    }

    #[test]
    fn each_line_of_ndjson_is_one_record(samples in samples()) {
        let stream = String::from_utf8(stream(EventFormat::Ndjson, &samples)).unwrap();
        prop_assert!(!stream.contains('\r'));
        let lines: Vec<Value> = stream.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let expected: Vec<_> = (0..).zip(&samples).map(|(offset, (s, _))| expected_envelope(s, offset)).collect();
        prop_assert_eq!(lines, expected);
    }

    #[test]
    fn a_stream_cut_anywhere_shows_complete_events_and_the_id_of_the_last(samples in samples(), cut in any::<prop::sample::Index>()) {
        let whole = stream(EventFormat::SseValue, &samples);
        let cut = cut.index(whole.len() + 1);
        let (browser, events) = browser(&whole[..cut]);
        let seen = events.len();
        let expected: Vec<_> = (0..).zip(&samples).map(|(offset, (s, id))| expected_event(s, offset, id)).collect();
        prop_assert_eq!(events.into_iter().map(normal).collect::<Vec<_>>(), &expected[..seen]);
        let last = seen.checked_sub(1).map_or("", |last| samples[last].1.as_str());
        prop_assert_eq!(browser.last_id, last);
    }
}

#[test]
fn the_oracle_reads_frames_cut_anywhere() {
    let bytes = "\u{feff}retry: 2000\r\n: hi\r\n\r\nid: a\n\ndata: x\rdata:  y\revent: k\nid: b\n\nid: c\n".as_bytes();
    for cut in 0..bytes.len() {
        let mut browser = EventSource::default();
        let events = [browser.feed(&bytes[..cut]), browser.feed(&bytes[cut..])].concat();
        let expected = SseEvent { kind: "k".into(), data: "x\n y".into(), id: "b".into() };
        assert_eq!((events, browser.last_id.as_str()), (vec![expected], "b"), "cut at {cut}");
        assert_eq!((browser.retry.as_deref(), browser.comments), (Some("2000"), vec!["hi".to_owned()]), "cut at {cut}");
    }
    assert_eq!(EventSource::resuming_at("a").feed(b"data: x\n\n")[0].id, "a");
}
