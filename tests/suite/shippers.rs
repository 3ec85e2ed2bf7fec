//! Bodies as log shippers and webhooks send them, on a broker in memory. The shippers that can be installed are tested as
//! real programs, in `integration/tests/real/shippers.rs`.

use crate::produce::{Answer, Bridge, Chunk, JSON, NDJSON, V2_JSON, answer, chunks};
use bytes::Bytes;
use curlew::broker::{BrokerError, WriteState};
use curlew::http::produce::Bodies;
use curlew::record::NewRecord;
use curlew::sync::memory_budget::MemoryBudget;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream;
use hmac::{Hmac, KeyInit, Mac};
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::Sha256;
use std::io::Write;

const TEXT: &str = "text/plain";

impl Bridge {
    async fn post_as(&self, query: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Answer {
        self.post(&format!("t?partition=0{query}"), &[("content-type", content_type)], body).await
    }
}

#[tokio::test]
async fn bodies_of_shippers_become_the_records_that_their_users_expect() {
    let metric = r#"{"values":[0.25],"dstypes":["gauge"],"dsnames":["value"],"time":1735689600.125,"interval":10.000,"host":"h","plugin":"load"}"#;
    let [one, two] = [r#"{"date":1735689600.5,"log":"a, [b]"}"#, r#"{"date":1735689601.0,"log":"\"c\"]"}"#];
    let line = "cpu,host=h usage_idle=99.5 1735689600000000000";
    let metrics =
        r#"{"metrics":[{"fields":{"usage_idle":99.5},"name":"cpu","tags":{"host":"h"},"timestamp":1735689600}]}"#;
    /// Shipper, query, type, body, records.
    type Row<'a> = (&'a str, &'a str, &'a str, String, Vec<&'a str>);
    let rows: [Row; 13] = [
        ("Fluent Bit, json", "&split=array", JSON, format!("[{one},{two}]"), vec![one, two]),
        ("Fluent Bit, json as one record", "", JSON, "[1, 2]".into(), vec!["[1, 2]"]),
        ("Fluent Bit, json_lines", "&split=lines", NDJSON, format!("{one}\n{two}\n"), vec![one, two]),
        ("Fluent Bit, gelf", "&split=lines", JSON, format!("{one}\n{two}\n"), vec![one, two]),
        ("Fluent Bit, msgpack", "", "application/msgpack", "\u{1}\n\u{2}".into(), vec!["\u{1}\n\u{2}"]),
        ("Vector, json", "&split=array", JSON, format!("[{one},{two}]"), vec![one, two]),
        ("Vector, newline_delimited", "", NDJSON, format!("{one}\n{two}"), vec![one, two]),
        ("Vector, text", "&split=lines", TEXT, "a{\n \n b\r\n".into(), vec!["a{", " b"]),
        (
            "Telegraf, influx",
            "&split=lines",
            "text/plain; charset=utf-8",
            format!("{line}\n{line}\n"),
            vec![line, line],
        ),
        ("Telegraf, json", "", JSON, metrics.into(), vec![metrics]),
        ("collectd", "&split=array", JSON, format!("[{metric},\n {metric} ]\r\n"), vec![metric, metric]),
        ("no type", "&split=array", "", "[{}]".into(), vec!["{}"]),
        (
            "RFC 7464",
            "",
            "application/json-seq",
            "\u{1e}{\"a\":\n1}\n\u{1e}2\n\u{1e} \"x\"\n".into(),
            vec!["{\"a\":\n1}", "2", "\"x\""],
        ),
    ];
    for (shipper, query, content_type, body, records) in rows {
        let bridge = Bridge::new();
        let answer = bridge.post_as(query, content_type, body).await;
        assert_eq!(
            (answer.status, bridge.values(0)),
            (200, records.iter().map(ToString::to_string).collect()),
            "{shipper}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn several_texts_in_one_json_body_are_rejected_with_the_way_to_send_them() {
    for body in ["{\"a\":1}{\"a\":2}", "{\"a\":1}\n{\"a\":2}\n"] {
        for content_type in [JSON, "application/vnd.api+json"] {
            let bridge = Bridge::new();
            bridge.post_as("", content_type, body).await.is_problem(422, 422, &["one per line", "split=lines", NDJSON]);
            assert_eq!(bridge.values(0), [""; 0]);
        }
    }
    let stream = Bridge::new().post_as("&split=lines", JSON, "{\"a\":1}{\"a\":2}").await;
    stream.is_problem(422, 422, &["line 1", "one per line"]);
}

#[tokio::test]
async fn an_invalid_element_fails_alone() {
    let bridge = Bridge::new();
    let large = "x".repeat((1 << 20) + 1);
    let larger = "y".repeat(3 << 20);
    let body = format!(r#"[1,{{"a":tru}},"{large}","{larger}",[2],3 4]"#);
    let answer = bridge.post_as("&split=array", JSON, body).await;
    assert_eq!((answer.status, bridge.values(0)), (207, vec!["1".to_owned(), "[2]".to_owned()]), "{answer:?}");
    assert_eq!(answer.body["offsets"], json!([{"partition": 0, "first": 0, "last": 1}]));
    let errors: Vec<(&Value, &Value)> = answer.body["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| (&error["element"], &error["error_code"]))
        .collect();
    assert_eq!(
        errors,
        [(&json!(2), &json!(422)), (&json!(3), &json!(413)), (&json!(4), &json!(413)), (&json!(6), &json!(422))]
    );
    assert!(!answer.body["errors"][3]["error"].as_str().unwrap().contains("split"), "{answer:?}");
}

#[tokio::test]
async fn a_body_that_is_not_an_array_is_rejected_from_its_error_on() {
    for (body, written, words) in [
        ("{\"a\":1}", 0, "starts with '{'"),
        ("", 0, "empty"),
        ("\u{feff}[1]", 0, "byte order mark"),
        ("[1,,2]", 1, "','"),
        ("[1,2,]", 2, "']'"),
        ("[1}]", 0, "'}'"),
        ("[1,2", 1, "ends before"),
        ("[1,\"2]", 1, "ends before"),
        ("[1][2]", 1, "split=lines"),
    ] {
        let bridge = Bridge::new();
        let answer = bridge.post_as("&split=array", JSON, body).await;
        assert_eq!(bridge.values(0).len(), written, "{body}");
        let detail = if written == 0 { &answer.body["detail"] } else { &answer.body["incomplete"] };
        assert!(detail.as_str().unwrap().contains(words), "{body}: {answer:?}");
        assert_eq!(answer.status, if written == 0 { 422 } else { 207 }, "{body}");
    }
    for empty in ["[]", " [ \n] \n"] {
        let answer = Bridge::new().post_as("&split=array", JSON, empty).await;
        assert_eq!((answer.status, &answer.body["written"]), (200, &json!(0)), "{answer:?}");
    }
}

/// A shipper treats every 2xx as complete success and discards its copy.
#[tokio::test]
async fn a_split_body_that_a_retry_can_write_is_never_a_success() {
    for (fault, status, code) in [
        (BrokerError::Unavailable("refused".into()), 503, 50003),
        (BrokerError::TimedOut(WriteState::Maybe), 504, 50002),
    ] {
        for (query, content_type, first, rest) in [
            ("&split=array", JSON, "[1,", "2,3]"),
            ("&split=lines", NDJSON, "1\n", "2\n3\n"),
            ("&split=lines", TEXT, "1\n", "2\n3\n"),
        ] {
            let bridge = Bridge::new();
            let (broker, fault) = (bridge.broker.clone(), fault.clone());
            let body = Box::pin(stream::unfold(0, move |step| {
                let (broker, fault) = (broker.clone(), fault.clone());
                async move {
                    while step == 1 && broker.records("t", 0).is_empty() {
                        tokio::task::yield_now().await;
                    }
                    match step {
                        0 => Some((Chunk::Ok(Bytes::from(first)), 1)),
                        1 => {
                            broker.fail_with(Some(fault));
                            Some((Ok(Bytes::from(rest)), 2))
                        }
                        _ => None,
                    }
                }
            }));
            let path = format!("t?partition=0{query}");
            let body = crate::produce::Synced::new(body);
            let answer = answer(bridge.send(&path, &[("content-type", content_type)], body).await).await;
            answer.is_problem(status, code, &["only 1 records were written"]);
            assert_eq!((&answer.body["written"], &answer.body["failed"]), (&json!(1), &json!(2)), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn split_is_only_for_bodies_that_can_be_split() {
    for (path, content_type, words) in [
        ("t?split=csv", JSON, "allowed are array"),
        ("t?split=array", NDJSON, "remove split"),
        ("t?split=lines", V2_JSON, "remove split"),
        ("t?split=lines", "application/json-seq", "remove split"),
    ] {
        let bridge = Bridge::new();
        bridge.post(path, &[("content-type", content_type)], "[1]").await.is_problem(400, 400, &[words]);
        assert_eq!(bridge.values(0), [""; 0]);
    }
}

#[tokio::test]
async fn parameters_and_headers_apply_to_every_record_of_a_split_body() {
    let bridge = Bridge::new();
    let headers = [("content-type", JSON), ("x-kafka-site", "north")];
    let answer = bridge.post("t?split=array&key=k&partition=1&timestamp=1700000000123", &headers, "[1,2]").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let record = |value: &'static str| NewRecord {
        partition: Some(1),
        key: Some("k".into()),
        value: Some(value.into()),
        headers: vec![curlew::record::Header { name: "site".into(), value: Some("north".into()) }],
        timestamp: Some(1_700_000_000_123),
    };
    let written: Vec<_> = bridge.broker.records("t", 1).into_iter().map(|(_, record)| record).collect();
    assert_eq!(written, [record("1"), record("2")]);
}

#[tokio::test]
async fn a_compressed_body_is_split_and_other_compressions_are_named() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(b"[1,2]").unwrap();
    let packed = encoder.finish().unwrap();
    let bridge = Bridge::new();
    let path = "t?partition=0&split=array";
    let headers = |encoding| [("content-type", JSON), ("content-encoding", encoding)];
    assert_eq!(bridge.post(path, &headers("gzip"), packed).await.status, 200);
    assert_eq!(bridge.values(0), ["1", "2"]);
    for encoding in ["deflate", "zstd", "snappy"] {
        bridge.post(path, &headers(encoding), "[1]").await.is_problem(415, 415, &[encoding, "gzip, or none"]);
    }
}

/// A text of a number that is cut off is still a number, so RFC 7464 needs white space after it.
#[tokio::test]
async fn a_text_that_may_be_cut_off_fails_alone() {
    let bridge = Bridge::new();
    let answer = bridge.post_as("", "application/json-seq", "\u{1e}12\u{1e}[3]\u{1e}4\n").await;
    assert_eq!((answer.status, bridge.values(0)), (207, vec!["[3]".to_owned(), "4".to_owned()]), "{answer:?}");
    assert_eq!(answer.body["errors"][0]["text"], json!(1), "{answer:?}");
}

/// The example of GitHub's documentation, "Validating webhook deliveries".
#[tokio::test]
async fn the_signature_of_a_webhook_can_be_checked_with_its_record() {
    const SIGNATURE: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let mut bridge = Bridge::new();
    bridge.settings.record_headers = ["x-github-*", "X-Hub-Signature-256"].map(|text| text.parse().unwrap()).to_vec();
    let headers = [
        ("content-type", TEXT),
        ("X-GitHub-Event", "push"),
        ("x-hub-signature-256", SIGNATURE),
        ("authorization", "Bearer secret"),
        ("x-other", "1"),
    ];
    assert_eq!(bridge.post("t?partition=0", &headers, "Hello, World!").await.status, 200);
    // An envelope has its own headers, and each record gets the copied ones too.
    let envelope = r#"{"records":[{"value":1,"partition":0,"headers":[{"key":"x-github-event","value":"b3du"}]}]}"#;
    let headers = [("content-type", V2_JSON), ("x-github-event", "push"), ("x-github-delivery", "72d3")];
    assert_eq!(bridge.post("t", &headers, envelope).await.status, 200);

    let records: Vec<_> = bridge.broker.records("t", 0).into_iter().map(|(_, record)| record).collect();
    let named = |record: &NewRecord| -> Vec<String> {
        let text = |value: &Option<Bytes>| String::from_utf8_lossy(value.as_ref().unwrap()).into_owned();
        record.headers.iter().map(|header| format!("{}={}", header.name, text(&header.value))).collect()
    };
    assert_eq!(named(&records[0]), ["x-github-event=push".to_owned(), format!("x-hub-signature-256={SIGNATURE}")]);
    assert_eq!(named(&records[1]), ["x-github-event=own", "x-github-delivery=72d3"]);
    let mut mac = Hmac::<Sha256>::new_from_slice(b"It's a Secret to Everybody").unwrap();
    mac.update(records[0].value.as_ref().unwrap());
    let computed: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(format!("sha256={computed}"), SIGNATURE);
}

#[tokio::test]
async fn copied_headers_count_in_the_memory_of_each_record() {
    let mut bridge = Bridge::new();
    bridge.settings.bodies = Bodies::new(&MemoryBudget::new(4 << 20));
    bridge.settings.record_headers = vec!["x-*".parse().unwrap()];
    let names: Vec<String> = (0..90).map(|number| format!("x-{number}")).collect();
    let event = json!({"specversion": "1.0", "id": "1", "source": "/s", "type": "t"});
    for (content_type, body) in [
        (V2_JSON, json!({"records": vec![json!({"value": 1}); 100]})),
        ("application/cloudevents-batch+json", json!(vec![event; 100])),
    ] {
        let copied = names.iter().map(|name| (name.as_str(), "1"));
        let headers: Vec<_> = copied.chain([("content-type", content_type)]).collect();
        bridge.post("t", &headers, body.to_string()).await.is_problem(413, 413, &["memory"]);
    }
    assert_eq!(bridge.records(0).len() + bridge.records(1).len(), 0);
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i32>().prop_map(Value::from),
        r#"[a\[\]{},:"\\ \n]{0,6}"#.prop_map(Value::from)
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let members = prop::collection::vec((r#"[a\]"\\]{0,3}"#, inner.clone()), 0..3);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::from),
            members.prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn an_array_is_split_into_its_elements_regardless_of_chunks_and_white_space(
        elements in prop::collection::vec(json_value(), 0..12),
        space in "[ \n\r\t]{0,2}",
        pretty in any::<bool>(),
        chunk in 1..40usize,
    ) {
        let text = |value: &Value| if pretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
        let texts: Vec<String> = elements.iter().map(|element| text(element).unwrap()).collect();
        let body = format!("{space}[{space}{}{space}]{space}", texts.join(&format!("{space},{space}")));
        let parts: Vec<Vec<u8>> = body.as_bytes().chunks(chunk).map(<[u8]>::to_vec).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let bridge = Bridge::new();
            let sent = bridge.send("t?partition=0&split=array", &[("content-type", JSON)], chunks(parts)).await;
            let answer = answer(sent).await;
            prop_assert_eq!(answer.status, 200, "{:?}", answer);
            prop_assert_eq!(bridge.values(0), texts);
            Ok(())
        })?;
    }

    #[test]
    fn an_arbitrary_body_is_split_without_a_panic(body in r#"[\[\]{},:"\\1 \n]{0,30}"#, chunk in 1..9usize) {
        let parts: Vec<Vec<u8>> = body.as_bytes().chunks(chunk).map(<[u8]>::to_vec).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let bridge = Bridge::new();
            let answer = answer(bridge.send("t?partition=0&split=array", &[("content-type", JSON)], chunks(parts)).await).await;
            // The JSON parser is the oracle.
            if let Ok(elements) = serde_json::from_str::<Vec<Value>>(&body) {
                prop_assert_eq!(answer.status, 200, "{:?}", answer);
                prop_assert_eq!(bridge.values(0).len(), elements.len());
            } else {
                prop_assert_ne!(answer.status, 200, "{:?}", answer);
            }
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn form_feeds_are_no_white_space_of_json() {
    for (query, content_type, body) in [
        ("&split=array", JSON, "[1\u{c}]"),
        ("&split=array", JSON, "[{}\t\u{c}\n]"),
        ("", "application/json-seq", "\u{1e}\u{c}{}\n"),
        ("", "application/json-seq", "\u{1e}{}\u{c}\n"),
    ] {
        let bridge = Bridge::new();
        let answer = bridge.post_as(query, content_type, body).await;
        assert_eq!((answer.status, bridge.values(0).len()), (422, 0), "{body:?}: {answer:?}");
    }
}
