//! `select=` and `format=csv` through the routes, without a network.

use crate::resume::{self, bridge};
use crate::support::memory_broker::MemoryBroker;
use curlew::http::App;
use curlew::record::{Header, NewRecord};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;

const NDJSON: &str = "application/x-ndjson";

fn record(key: Option<&str>, value: Option<&[u8]>) -> NewRecord {
    let header = |name: &str, value: &[u8]| Header { name: name.into(), value: Some(value.to_vec().into()) };
    NewRecord {
        key: key.map(|key| key.to_owned().into()),
        value: value.map(|value| value.to_vec().into()),
        headers: vec![header("source", b"a"), header("source", b"line-1"), header("sig", b"\xff")],
        timestamp: Some(1_769_846_400_000),
        ..NewRecord::default()
    }
}

/// Starts a bridge with these records in topic `t`.
fn bridge_of(records: impl IntoIterator<Item = NewRecord>) -> Arc<App> {
    let broker = MemoryBroker::new();
    broker.create("t", 1);
    for record in records {
        broker.append_record("t", 0, record);
    }
    bridge(&broker)
}

/// Requests all records. Returns the status, the content type and the body.
fn get(app: &Arc<App>, accept: &str, query: &[(&str, &str)]) -> (u16, String, String) {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    let path = format!("/topics/t/events?from=earliest&until=end&{query}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answer = runtime.block_on(resume::get(app, &path, &[("accept", accept)]));
    let content_type = answer.headers()["content-type"].to_str().unwrap().to_owned();
    (answer.status().as_u16(), content_type, String::from_utf8(answer.body().to_vec()).unwrap())
}

fn lines(app: &Arc<App>, query: &[(&str, &str)]) -> Vec<String> {
    let (status, _, body) = get(app, NDJSON, query);
    assert_eq!(status, 200, "{query:?}: {body}");
    body.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn select_sends_only_these_fields_of_the_envelope() {
    let value = br#"{"temperature": 21.50, "big":12345678901234567890123, "odd name":{"a" : [1, {"t":"x"}]},"temperature":22.0}"#;
    let app = bridge_of([
        record(Some("boiler"), Some(value)),
        record(None, Some(b"text")),
        record(Some("{\"id\":7}"), None),
        record(Some("k"), Some(b"\xff")),
    ]);
    let value_text = String::from_utf8(value.to_vec()).unwrap();
    let cases: [(&str, [&str; 4]); 9] = [
        (
            "value.temperature,key",
            [
                r#"{"value":{"temperature":22.0},"key":"boiler"}"#,
                r#"{"value":{"temperature":null},"key":null}"#,
                r#"{"value":{"temperature":null},"key":{"id":7}}"#,
                r#"{"value":{"temperature":null},"key":"k"}"#,
            ],
        ),
        ("value.big", [r#"{"value":{"big":12345678901234567890123}}"#, "", "", ""]),
        (r#"value["odd name"].a[1].t"#, [r#"{"value":{"odd name":{"a":[null,{"t":"x"}]}}}"#, "", "", ""]),
        ("value['odd name'].a[3]", [r#"{"value":{"odd name":{"a":[null,null,null,null]}}}"#, "", "", ""]),
        ("key.id,offset", ["", r#"{"key":{"id":null},"offset":1}"#, r#"{"key":{"id":7},"offset":2}"#, ""]),
        (
            "value",
            [
                &format!(r#"{{"value":{value_text}}}"#),
                r#"{"value":"text"}"#,
                r#"{"value":null}"#,
                r#"{"value":"/w==","encoding":"base64"}"#,
            ],
        ),
        ("headers.source,timestamp", [r#"{"headers":{"source":"line-1"},"timestamp":1769846400000}"#, "", "", ""]),
        (r#"headers["x-none"]"#, [r#"{"headers":{"x-none":null}}"#, "", "", ""]),
        (
            "headers.sig,headers.source,topic,partition",
            [
                r#"{"headers":{"sig":"/w==","source":"line-1"},"headers_encoding":{"sig":"base64"},"topic":"t","partition":0}"#,
                "",
                "",
                "",
            ],
        ),
    ];
    for (select, expected) in cases {
        let written = lines(&app, &[("select", select)]);
        for (written, expected) in written.iter().zip(expected).filter(|(_, expected)| !expected.is_empty()) {
            assert_eq!(written, expected, "{select}");
        }
        assert_eq!(written.len(), 4, "{select}");
    }
    let (envelope, headers) = (lines(&app, &[]), lines(&app, &[("select", "headers"), ("format", "record")]));
    for (envelope, headers) in envelope.iter().zip(&headers) {
        assert!(envelope.contains(headers.trim_matches(['{', '}'])), "{headers}: the list of the envelope {envelope}");
    }
}

#[test]
fn an_event_of_selected_fields_has_an_id_and_a_tombstone_its_name() {
    let app = bridge_of([record(Some("a"), Some(b"{\"t\":\n1}")), record(Some("a"), None)]);
    let (status, content_type, body) = get(&app, "*/*", &[("select", "value.t,key")]);
    assert_eq!((status, content_type.as_str()), (200, "text/event-stream"));
    let frames: Vec<_> = body.split("\n\n").collect();
    assert!(frames[2].starts_with("data: {\"value\":{\"t\":1},\"key\":\"a\"}\nid: "), "{body}");
    assert!(frames[3].starts_with("event: tombstone\ndata: {\"value\":{\"t\":null},\"key\":\"a\"}\nid: "), "{body}");
}

#[test]
fn an_invalid_selection_is_a_400_that_says_what_is_allowed() {
    let app = bridge_of([]);
    let long = format!("value.{}", "a".repeat(1024));
    let cases: [(&[(&str, &str)], &str); 7] = [
        (&[("select", "temperature")], "select, column 1: expected one of value, key, headers"),
        (&[("select", "value.temperature > 3")], "select, column 19: expected `.`, `[`, `,` or the end"),
        (&[("select", "value,value.a")], "value.a is a part of value"),
        (&[("select", "")], "allowed are up to 32 paths, separated by commas, such as key, value.temperature"),
        (&[("select", &long)], "at most 1024 are allowed"),
        (&[("select", "key"), ("format", "exact")], "format is \\\"exact\\\"; with select allowed are record"),
        (&[("select", "key"), ("select", "key")], "more than once"),
    ];
    for (query, expected) in cases {
        let (status, _, body) = get(&app, NDJSON, query);
        assert!(status == 400 && body.contains(expected), "{query:?}: {status} {body}");
    }
}

#[test]
fn format_csv_is_a_table_of_the_selected_fields() {
    let app = bridge_of([
        record(Some("a"), Some(br#"{"t":21.50,"note":"x, \"y\""}"#)),
        record(None, None),
        record(Some("=1+1"), Some(b"text")),
    ]);
    let expected = "key,value.t,value.note,headers.source,timestamp\r\n\
                    a,21.50,\"x, \"\"y\"\"\",line-1,1769846400000\r\n\
                    ,,,line-1,1769846400000\r\n\
                    '=1+1,,,line-1,1769846400000\r\n";
    let select = ("select", "key,value.t,value.note,headers.source,timestamp");
    let csv = ("format", "csv");
    for (accept, query) in
        [("*/*", &[select, csv][..]), ("text/csv", &[select]), ("text/html, text/*;q=0.5", &[select, csv])]
    {
        let (status, content_type, body) = get(&app, accept, query);
        assert_eq!((status, content_type.as_str()), (200, "text/csv; charset=utf-8; header=present"), "{body}");
        assert_eq!(body, expected, "{accept}");
    }
    for (accept, query, status, why) in [
        ("*/*", &[csv][..], 400, "CSV needs columns; name them with select"),
        ("text/csv", &[], 400, "CSV needs columns"),
        ("text/csv", &[select, ("format", "record")], 400, "with select allowed are record"),
        ("text/event-stream", &[select, csv], 406, "text/csv (with format=csv)"),
    ] {
        let (answered, _, body) = get(&app, accept, query);
        assert!(answered == status && body.contains(why), "{accept} {query:?}: {answered} {body}");
    }
}

/// JSON with few names, so that paths meet fields.
fn tree() -> impl Strategy<Value = Value> {
    let leaf =
        prop_oneof![Just(json!(null)), any::<i64>().prop_map(Value::from), "[a\"\\n]{0,3}".prop_map(Value::from)];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[ab]", inner, 0..3)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Paths as text and as JSON pointers.
fn paths() -> impl Strategy<Value = Vec<(String, String)>> {
    let step = prop_oneof![
        "[ab]".prop_map(|name| (format!(".{name}"), format!("/{name}"))),
        (0..3).prop_map(|index| (format!("[{index}]"), format!("/{index}"))),
    ];
    let path = prop::collection::vec(step, 0..4).prop_map(|steps| {
        let (text, pointer): (Vec<_>, Vec<_>) = steps.into_iter().unzip();
        (format!("value{}", text.concat()), format!("/value{}", pointer.concat()))
    });
    prop::collection::vec(path, 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn a_selected_path_has_the_value_that_it_has_in_the_envelope(values in prop::collection::vec(tree(), 1..8), paths in paths()) {
        let app = bridge_of(values.iter().map(|value| record(None, Some(value.to_string().as_bytes()))));
        let select: Vec<_> = paths.iter().map(|(text, _)| text.as_str()).collect();
        let (status, _, body) = get(&app, NDJSON, &[("select", &select.join(","))]);
        if status == 400 {
            prop_assert!(paths.len() > 1, "one path is valid: {body}");
            return Ok(());
        }
        let written: Vec<Value> = body.lines().filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).unwrap()).collect();
        prop_assert_eq!(written.len(), values.len());
        for (written, value) in written.iter().zip(&values) {
            let envelope = json!({ "value": value });
            for (text, pointer) in &paths {
                let (own, full) = (written.pointer(pointer), envelope.pointer(pointer));
                prop_assert_eq!(own, Some(full.unwrap_or(&Value::Null)), "{} of {} is {}", text, value, written);
            }
        }
    }
}
