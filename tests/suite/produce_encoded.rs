//! Keys and values that are encoded by schemas, as the REST proxies do it.

use crate::produce::{Answer, Bridge, JSON, PATIENCE};
use crate::support::fake_catalog::{Conduct, FakeCatalog};
use curlew::http::produce::{Bodies, SchemaEncoder};
use curlew::schemas::source::{SchemaKind, SchemaSource};
use curlew::sync::memory_budget::MemoryBudget;
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

pub const AVRO: &str = "application/vnd.kafka.avro.v2+json";
pub const JSON_SCHEMA: &str = "application/vnd.kafka.jsonschema.v2+json";

/// A site with the temperature of its boiler.
const READING: &str = r#"{"type": "record", "name": "Reading", "fields": [
    {"name": "site", "type": {"type": "record", "name": "Site", "fields": [{"name": "name", "type": "string"}]}},
    {"name": "t", "type": "int"}]}"#;

/// A key or value as it is stored.
type Stored = Option<Vec<u8>>;

/// A bridge with a schema registry in memory.
pub struct EncodingBridge {
    pub bridge: Bridge,
    pub catalog: Arc<FakeCatalog>,
}

impl EncodingBridge {
    pub fn new() -> Self {
        let (mut bridge, catalog) = (Bridge::new(), FakeCatalog::new());
        bridge.settings.schemas = Some(SchemaEncoder::new(catalog.clone()));
        Self { bridge, catalog }
    }

    fn add(&self, subject: &str, kind: SchemaKind, text: &str) -> u32 {
        self.catalog.add(subject, SchemaSource { kind, text: text.to_owned(), references: Vec::new() })
    }

    pub async fn post(&self, path: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Answer {
        self.bridge.post(path, &[("content-type", content_type)], body).await
    }

    async fn envelope(&self, body: Value) -> Answer {
        self.post("t?acks=all", AVRO, body.to_string()).await
    }

    /// Returns the keys and values of partition 0 as they are stored.
    fn stored(&self) -> Vec<(Stored, Stored)> {
        let bytes = |data: Option<bytes::Bytes>| data.map(|data| data.to_vec());
        self.bridge.records(0).into_iter().map(|record| (bytes(record.key), bytes(record.value))).collect()
    }
}

/// Returns encoded bytes after the id of their schema.
fn framed(id: u8, encoded: &[u8]) -> Option<Vec<u8>> {
    Some([&[0, 0, 0, 0, id], encoded].concat())
}

#[tokio::test]
async fn an_envelope_is_encoded_by_schemas_that_are_registered_or_known() {
    let bridge = EncodingBridge::new();
    let first = json!({"key_schema": "\"string\"", "value_schema": READING, "records": [
        {"key": "boiler", "value": {"site": {"name": "north"}, "t": 21}, "partition": 0},
        {"key": "boiler", "value": null, "partition": 0},
    ]});
    let answer = bridge.envelope(first.clone()).await;
    let offsets = json!([{"partition": 0, "offset": 0}, {"partition": 0, "offset": 1}]);
    assert_eq!((answer.status, &answer.body["offsets"]), (200, &offsets), "{answer:?}");
    assert_eq!((&answer.body["key_schema_id"], &answer.body["value_schema_id"]), (&json!(1), &json!(2)));
    let (key, value) = (framed(1, b"\x0cboiler"), framed(2, b"\x0anorth\x2a"));
    assert_eq!(bridge.stored(), [(key.clone(), value.clone()), (key, None)]);
    assert_eq!(bridge.catalog.subjects(), ["t-key", "t-value"]);
    // The same schemas are not registered again.
    assert_eq!(bridge.envelope(first).await.status, 200);
    assert_eq!(bridge.catalog.subjects().len(), 2);
    // Clients may send the ids next time, as a number or as its text.
    for id in [json!(2), json!("2")] {
        let known = json!({"value_schema_id": id, "records": [{"value": {"site": {"name": "north"}, "t": 21}, "partition": 0}]});
        let answer = bridge.envelope(known).await;
        assert_eq!((answer.status, &answer.body["value_schema_id"]), (200, &json!(2)), "{answer:?}");
        assert_eq!(answer.body["key_schema_id"], Value::Null);
        assert_eq!(bridge.stored().last(), Some(&(None, value.clone())));
    }
}

#[tokio::test]
async fn the_requests_of_karapaces_suite_have_its_results() {
    let bridge = EncodingBridge::new();
    let evolved = bridge.add(
        "t-value",
        SchemaKind::Avro,
        r#"{"type": "record", "name": "Schema1", "fields": [{"name": "name", "type": "string"}]}"#,
    );
    let fields = json!({"validField": {"type": "string"}, "invalidField": {"type": "integer"}});
    let fields = json!({"type": "object", "properties": fields}).to_string();
    let by_json_schema = bridge.add("t-value", SchemaKind::Json, &fields);
    let one = |part: &str, value: Value| json!([{ part: value }]);
    let both = |field: Value| one("value", json!({"validField": "valid value", "invalidField": field}));
    let rows = [
        (AVRO, json!({"value_schema": "\"string\"", "records": one("value", json!("foobar"))}), 200, 0),
        (AVRO, json!({"value_schema": "{\"type\":\"string\"}", "records": one("value", json!("foobar2"))}), 200, 0),
        (AVRO, json!({"value_schema": "\"int\"", "records": one("value", json!(1))}), 200, 0),
        (AVRO, json!({"value_schema": "{\"type\":\"int\"}", "records": one("value", json!(2))}), 200, 0),
        // A record with only a key is a tombstone.
        (AVRO, json!({"key_schema": "\"string\"", "records": one("key", json!("a"))}), 200, 0),
        (AVRO, json!({"key_schema_id": evolved, "records": one("key", json!({"name": "a"}))}), 200, 0),
        (AVRO, json!({"key_schema_id": 666, "records": one("key", json!({"name": "a"}))}), 422, 42205),
        (AVRO, json!({"value_schema_id": 666, "records": one("value", json!({"name": "a"}))}), 422, 42205),
        (
            AVRO,
            json!({"value_schema_id": evolved.to_string(), "records": one("value", json!({"name": "Foobar"}))}),
            200,
            0,
        ),
        // Karapace's code is 42205, the one of Confluent's proxy is 42203.
        (
            AVRO,
            json!({"value_schema_id": evolved.to_string(), "records": one("value", json!({"temperature": 25}))}),
            422,
            42203,
        ),
        (JSON_SCHEMA, json!({"value_schema_id": by_json_schema, "records": both(json!(1))}), 200, 0),
        (JSON_SCHEMA, json!({"value_schema_id": by_json_schema, "records": both(json!("not an integer"))}), 422, 42203),
        (JSON_SCHEMA, json!({"value_schema_id": evolved, "records": one("value", json!({"name": "a"}))}), 422, 42205),
        (AVRO, json!({"value_schema": "{\"type\":\"no such type\"}", "records": one("value", json!(1))}), 422, 42205),
    ];
    for (content_type, body, status, code) in rows {
        let before = bridge.bridge.records(0).len() + bridge.bridge.records(1).len();
        let answer = bridge.post("t", content_type, body.to_string()).await;
        assert_eq!(
            (answer.status, answer.body["error_code"].as_u64().unwrap_or(0)),
            (status, code),
            "{body} {answer:?}"
        );
        let written = bridge.bridge.records(0).len() + bridge.bridge.records(1).len() - before;
        assert_eq!(written, usize::from(status == 200), "{body}");
        if status == 200 {
            assert!(answer.body.get("value_schema_id").is_some(), "{answer:?}");
        }
    }
    bridge.catalog.set(Conduct::Rejects);
    let incompatible = json!({"value_schema": "\"bytes\"", "records": [{"value": "a"}]});
    bridge.envelope(incompatible).await.is_problem(422, 40801, &["incompatible"]);
}

#[tokio::test]
async fn a_record_that_does_not_fit_is_named_and_keeps_all_others_from_being_written() {
    let bridge = EncodingBridge::new();
    let good = json!({"value": {"site": {"name": "north"}, "t": 21}});
    let named = json!({"value": {"site": {"name": 7}, "t": 21}});
    let large = json!({"value": {"site": {"name": "north"}, "t": 1e300}});
    let answer = bridge.envelope(json!({"value_schema": READING, "records": [good, named, good, large]})).await;
    let words = ["records[1]: value.site.name: ", "records[3]: value.t: ", "nothing was written"];
    answer.is_problem(422, 42203, &words);
    let partition = json!({"value": {"site": {"name": "north"}, "t": 21}, "partition": -1});
    let answer = bridge.envelope(json!({"value_schema": READING, "records": [good, partition]})).await;
    answer.is_problem(422, 422, &["records[1]: partition is -1", "nothing was written"]);
    let all = json!({"value_schema": READING, "records": vec![named; 1000]});
    let answer = bridge.envelope(all).await;
    answer.is_problem(422, 42203, &["records[0]: ", "records[7]: "]);
    assert!(answer.body["detail"].as_str().unwrap().len() < 2000, "{answer:?}");
    let long =
        json!({"value_schema": READING, "records": [{"value": {"site": {"name": "north"}, "t": "x".repeat(100_000)}}]});
    assert!(bridge.envelope(long).await.body["detail"].as_str().unwrap().len() < 1000);
    assert_eq!(bridge.stored(), []);
}

#[tokio::test]
async fn a_single_record_is_encoded_by_the_latest_schema_or_one_with_an_id() {
    let bridge = EncodingBridge::new();
    let key = bridge.add("t-key", SchemaKind::Avro, "\"string\"");
    let value = bridge.add("t-value", SchemaKind::Avro, READING);
    let body = r#"{"site": {"name": "north"}, "t": 21}"#;
    let encoded = framed(2, b"\x0anorth\x2a");
    let form = "application/x-www-form-urlencoded";
    for (query, content_type, stored_key) in [
        ("value_schema=latest".to_owned(), JSON, None),
        (format!("value_schema_id={value}"), form, None),
        ("value_schema=latest&key=boiler".to_owned(), form, Some(b"boiler".to_vec())),
        ("value_schema=latest&key_schema=latest&key=boiler".to_owned(), JSON, framed(1, b"\x0cboiler")),
        (format!("value_schema=latest&key_schema_id={key}&key=%22boiler%22"), JSON, framed(1, b"\x0cboiler")),
    ] {
        let answer = bridge.post(&format!("t?partition=0&{query}"), content_type, body).await;
        assert_eq!((answer.status, &answer.body["value_schema_id"]), (200, &json!(value)), "{query} {answer:?}");
        assert_eq!(bridge.stored().last(), Some(&(stored_key, encoded.clone())), "{query}");
    }
    let before = bridge.stored().len();
    let bad = r#"{"site": {"name": 7}, "t": 21}"#;
    bridge.post("t?value_schema=latest", JSON, bad).await.is_problem(422, 42203, &["value.site.name: "]);
    bridge.post("t?value_schema=latest", form, "t=21").await.is_problem(422, 42203, &["value"]);
    bridge.post("t?key=7&key_schema=latest", JSON, "1").await.is_problem(422, 42203, &["key: "]);
    bridge.post("t?key=%FF&key_schema=latest", JSON, "1").await.is_problem(422, 422, &["UTF-8"]);
    bridge.post("other?value_schema=latest", JSON, "1").await.is_problem(422, 42205, &["other-value"]);
    let answer = bridge.bridge.delete("t?partition=0&key=boiler&key_schema=latest").await;
    assert_eq!((answer.status, &answer.body["key_schema_id"]), (200, &json!(key)));
    assert_eq!(bridge.stored()[before..], [(framed(1, b"\x0cboiler"), None)]);
}

#[tokio::test]
async fn a_slow_registry_does_not_delay_requests_whose_schemas_are_known() {
    let bridge = EncodingBridge::new();
    let id = bridge.add("t-value", SchemaKind::Avro, "\"int\"");
    let known = format!("t?value_schema_id={id}");
    let text = json!({"value_schema": "\"int\"", "records": [{"value": 1}]});
    assert_eq!(bridge.post(&known, JSON, "1").await.status, 200);
    bridge.catalog.set(Conduct::Hangs);
    let slow = join_all((0..100).map(|_| bridge.post("t?value_schema=latest", JSON, "2")));
    let others = async {
        while bridge.catalog.waiting() < 32 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for _ in 0..3 {
            let fast = async {
                let by_id = bridge.post(&known, JSON, "1").await;
                (by_id, bridge.envelope(text.clone()).await, bridge.post("t", JSON, "1").await)
            };
            let (by_id, by_text, plain) = tokio::time::timeout(Duration::from_secs(2), fast).await.unwrap();
            assert_eq!((by_id.status, by_text.status, plain.status), (200, 200, 200));
        }
        bridge.catalog.set(Conduct::Answers);
    };
    let (slow, ()) = tokio::time::timeout(PATIENCE, async { tokio::join!(slow, others) }).await.unwrap();
    for answer in slow {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

#[tokio::test]
async fn encoded_records_count_in_the_memory_budget_of_bodies() {
    let mut bridge = EncodingBridge::new();
    let memory = MemoryBudget::new(4 << 20);
    bridge.bridge.settings.bodies = Bodies::new(&memory);
    let records = |bytes: usize| json!({"value_schema": "\"string\"", "records": [{"value": "x".repeat(bytes)}]});
    let limit = memory.bodies.limit();
    // The body, a copy of its value and the encoded value must fit.
    assert_eq!(bridge.envelope(records(limit / 4)).await.status, 200);
    let answer = bridge.envelope(records(limit * 2 / 5)).await;
    answer.is_problem(413, 413, &["memory"]);
    assert_eq!(bridge.stored().len() + bridge.bridge.records(1).len(), 1);
    assert_eq!(memory.bodies.used() + memory.small_bodies.used(), 0);
}

#[tokio::test]
async fn a_record_that_defaults_make_too_large_is_a_413_that_names_it() {
    let mut bridge = EncodingBridge::new();
    bridge.bridge.settings.max_body = 10_000;
    let default = "x".repeat(10_000);
    let text = json!({"type": "record", "name": "R", "fields": [{"name": "s", "type": "string", "default": default}]});
    let id = bridge.add("t-value", SchemaKind::Avro, &text.to_string());
    let answer =
        bridge.envelope(json!({"value_schema_id": id, "records": [{"value": {"s": "a"}}, {"value": {}}]})).await;
    answer.is_problem(413, 413, &["records[1]: the value is larger than 10000 bytes", "nothing was written"]);
    bridge.post("t?value_schema=latest", JSON, "{}").await.is_problem(413, 413, &["the value is larger than 10000"]);
    assert_eq!(bridge.stored().len() + bridge.bridge.records(1).len(), 0);
    bridge.bridge.settings.max_body = 10_003;
    assert_eq!(bridge.post("t?value_schema=latest", JSON, "{}").await.status, 200);
}
