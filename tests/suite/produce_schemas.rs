//! Producing with schemas: envelopes of the REST proxies, and single records with `?value_schema=latest`.

use crate::produce::{Bridge, JSON, NDJSON, V2_JSON};
use crate::produce_encoded::{AVRO, EncodingBridge, JSON_SCHEMA};
use crate::support::fake_catalog::Conduct;
use curlew::http::produce::Bodies;
use curlew::schemas::source::{SchemaKind, SchemaSource};
use curlew::sync::memory_budget::{MIN, MemoryBudget};
use serde_json::json;

const PROTOBUF: &str = "application/vnd.kafka.protobuf.v2+json";

fn has_no_records(bridge: &EncodingBridge) -> bool {
    bridge.bridge.records(0).is_empty() && bridge.bridge.records(1).is_empty()
}

#[tokio::test]
async fn a_bridge_without_a_registry_says_how_to_configure_one() {
    let bridge = Bridge::new();
    let body = r#"{"value_schema_id": 1, "records": [{"value": 1}]}"#;
    for content_type in [AVRO, JSON_SCHEMA, PROTOBUF, "application/vnd.kafka.avro.v1+json"] {
        let answer = bridge.post("t", &[("content-type", content_type)], body).await;
        answer.is_problem(422, 422, &["--schema-registry"]);
    }
    bridge.post("t?value_schema=latest", &[], "1").await.is_problem(422, 422, &["--schema-registry"]);
    bridge.delete("t?key=k&key_schema=latest").await.is_problem(422, 422, &["--schema-registry"]);
    assert_eq!(bridge.records(0), []);
}

#[tokio::test]
async fn requests_without_a_usable_schema_are_rejected_as_by_the_rest_proxies() {
    let bridge = EncodingBridge::new();
    /// The body, the error code, words in the detail.
    type Row<'a> = (&'a str, u32, &'a [&'a str]);
    let rows: [Row; 11] = [
        (r#"{"records": [{"value": {"foo": "bar"}}]}"#, 42202, &["value_schema"]),
        (r#"{"records": [{"value": "YmFzZTY0"}]}"#, 42202, &["value_schema"]),
        (r#"{"records": [{"key": {"foo": "bar"}}]}"#, 42201, &["key_schema"]),
        (r#"{"value_schema_id": 1, "records": [{"key": 1, "value": 1}]}"#, 42201, &["key_schema"]),
        (r#"{"value_schema_id": 666, "records": [{"value": 1}]}"#, 42205, &["666"]),
        (r#"{"value_schema_id": "666", "records": [{"value": 1}]}"#, 42205, &["666"]),
        (r#"{"value_schema_id": -1, "records": [{"value": 1}]}"#, 422, &["value_schema_id must be a number"]),
        (r#"{"value_schema_id": 1, "value_schema": "x", "records": [{"value": 1}]}"#, 422, &["both"]),
        (r#"{"value_schema": {"type": "int"}, "records": [{"value": 1}]}"#, 422, &["JSON string"]),
        (r#"{"value_schema": "{", "records": [{"value": 1}]}"#, 42205, &["value schema"]),
        (
            r#"{"value_schema_id": 1, "records": [{"key": null, "valur": 1}, {"value": 1}]}"#,
            422,
            &["records[0]", "value"],
        ),
    ];
    for (body, code, words) in rows {
        bridge.post("t", AVRO, body).await.is_problem(422, code, words);
    }
    for (path, content_type, words) in [
        ("t?value_schema=1", JSON, "allowed is latest"),
        ("t?value_schema_id=x", JSON, "number"),
        ("t?value_schema=latest&value_schema_id=1", JSON, "both"),
        ("t?value_schema=latest", NDJSON, "one record"),
        ("t?value_schema=latest", V2_JSON, "one record"),
        ("t?key_schema=latest", AVRO, "one record"),
    ] {
        bridge.post(path, content_type, "{}").await.is_problem(400, 400, &[words]);
    }
    assert!(has_no_records(&bridge));
    assert_eq!(bridge.catalog.subjects(), Vec::<String>::new());
}

#[tokio::test]
async fn an_unreachable_registry_is_a_503_before_a_record_is_queued() {
    let bridge = EncodingBridge::new();
    bridge.catalog.set(Conduct::Unreachable);
    let schema = r#"{"value_schema": "\"int\"", "records": [{"value": 1}]}"#;
    for (path, content_type, body) in [
        ("t", AVRO, schema),
        ("t", AVRO, r#"{"value_schema_id": 1, "records": [{"value": 1}]}"#),
        ("t?value_schema=latest", JSON, "1"),
        ("t?value_schema_id=1", JSON, "1"),
        ("t?key_schema=latest&key=1", JSON, "1"),
    ] {
        let answer = bridge.post(path, content_type, body).await;
        answer.is_problem(503, 40801, &["cannot be reached", "nothing was written, try again"]);
    }
    let response = bridge.bridge.send("t?value_schema=latest", &[], crate::produce::chunks(["1"])).await;
    assert!(response.headers().contains_key("retry-after"));
    bridge.bridge.delete("t?key=1&key_schema=latest").await.is_problem(503, 40801, &["the key schema"]);
    assert!(has_no_records(&bridge));
}

#[tokio::test]
async fn a_registry_that_the_client_cannot_help_is_a_503_with_its_cause() {
    let bridge = EncodingBridge::new();
    let body = r#"{"value_schema_id": 1, "records": [{"value": 1}]}"#;
    for (conduct, retry_after, words) in [
        (Conduct::Unauthorized, "60", ["bridge's credentials", "until the bridge's operator corrects the credentials"]),
        (Conduct::Exhausted, "8", ["1000 unknown ids per minute", "nothing was written, try again in 8 s"]),
    ] {
        bridge.catalog.set(conduct);
        let answer = bridge.post("t", AVRO, body).await;
        answer.is_problem(503, 40801, &words);
        assert!(!answer.body["detail"].as_str().unwrap().contains("reached"), "{answer:?}");
        let answer = bridge.bridge.send("t?value_schema=latest", &[], crate::produce::chunks(["1"])).await;
        assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (503, &retry_after.parse().unwrap()));
    }
    assert!(has_no_records(&bridge));
}

#[tokio::test]
async fn a_value_that_is_validated_is_charged_to_the_memory_budget() {
    let mut bridge = EncodingBridge::new();
    let memory = MemoryBudget::new(MIN);
    bridge.bridge.settings.bodies = Bodies::new(&memory);
    let text = r#"{"type": "array"}"#.to_owned();
    bridge.catalog.add("t-value", SchemaSource { kind: SchemaKind::Json, text, references: Vec::new() });
    // An object of a member takes 640 bytes.
    let objects = |count: usize| format!("[{}]", vec![r#"{"":0}"#; count].join(","));
    let path = "t?value_schema=latest&partition=0";
    bridge.post(path, JSON, objects(10_000)).await.is_problem(413, 413, &["--memory-budget"]);
    assert!(has_no_records(&bridge));
    assert_eq!(bridge.post(path, JSON, objects(1_000)).await.status, 200);
    assert_eq!(bridge.bridge.records(0).len(), 1);
    assert_eq!(memory.bodies.used(), 0);
}

#[tokio::test]
async fn an_envelope_that_is_sent_as_one_record_is_answered_with_a_warning() {
    let bridge = Bridge::new();
    let envelope = r#"{"records": [{"key": "a", "value": 1}, {"value": null}]}"#;
    let answer = bridge.post("t?partition=0", &[("content-type", JSON)], envelope).await;
    assert_eq!((answer.status, &answer.body["offsets"]), (200, &json!([{"partition": 0, "offset": 0}])));
    assert!(answer.body["warning"].as_str().unwrap().contains(V2_JSON), "{answer:?}");
    for (content_type, body) in [
        (JSON, r#"{"records": [{"value": 1}], "site": "north"}"#),
        (JSON, r#"{"records": [{"n": 1}]}"#),
        ("text/plain", envelope),
        (NDJSON, envelope),
        (V2_JSON, envelope),
    ] {
        let answer = bridge.post("t", &[("content-type", content_type)], body).await;
        assert_eq!((answer.status, answer.body.get("warning")), (200, None), "{content_type} {body}");
    }
    assert_eq!(bridge.values(0)[0], envelope);
}
