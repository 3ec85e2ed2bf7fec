//! Avro and JSON Schema: values of Confluent's serializers for Python have the same JSON in Curlew, and their deserializers
//! read the values that Curlew encodes.

use curlew::schemas::schema::Schema;
use curlew::schemas::source::{SchemaKind, SchemaReference, SchemaSource};
use curlew_integration::apicurio::Apicurio;
use curlew_integration::bridge::Bridge;
use curlew_integration::process::confluent_client;
use serde_json::Value;

/// The magic byte and the id of the schema.
const FRAMING: usize = 5;

/// Runs Confluent's serializers (`write`) or deserializers (`read`).
fn confluent(verb: &str, registry: &Apicurio, lines: &[Value]) -> Vec<Value> {
    let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let output = confluent_client("clients/schema_values.py", &[verb, &registry.url()], lines.as_bytes());
    assert!(output.status.success(), "{output:?}; run integration/setup");
    let output = String::from_utf8(output.stdout).expect("UTF-8");
    output.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn hex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("UTF-8"), 16).expect("hex"))
        .collect()
}

fn schema(line: &Value) -> Schema {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let references = line["references"].as_array().expect("an array").iter();
    let kind = if line["kind"] == "AVRO" { SchemaKind::Avro } else { SchemaKind::Json };
    let references = references.map(|r| SchemaReference { name: text(&r["name"]), text: text(&r["text"]) }).collect();
    Schema::parse(&SchemaSource { kind, text: text(&line["schema"]), references }).expect("a valid schema")
}

#[test]
fn values_of_confluents_serializers_are_the_same_in_curlew() {
    let registry = Apicurio::shared();
    let lines = confluent("write", registry, &[]);
    assert!(lines.len() > 30, "only {} values", lines.len());
    for line in &lines {
        let bytes = hex(line["encoded"].as_str().expect("text"));
        let mut json = Vec::new();
        schema(line).decode(&bytes[FRAMING..], &mut json, 1 << 20).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert_eq!(serde_json::from_slice::<Value>(&json).expect("JSON"), line["value"], "{line}");
    }
    // The other way: each value as Curlew encodes it.
    let encoded = lines.iter().map(|line| {
        let mut bytes = hex(line["encoded"].as_str().expect("text"));
        bytes.truncate(FRAMING);
        let json = line["value"].to_string();
        schema(line).encode(json.as_bytes(), &mut bytes, usize::MAX).unwrap_or_else(|e| panic!("{e}: {line}"));
        let mut line = line.clone();
        line["encoded"] = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into();
        line
    });
    let encoded: Vec<Value> = encoded.collect();
    for (read, line) in confluent("read", registry, &encoded).iter().zip(&lines) {
        assert_eq!(read["value"], line["value"], "{line}");
    }
}

#[test]
fn streams_and_pages_show_values_of_confluents_serializers() {
    let registry = Apicurio::shared();
    let directory = tempfile::tempdir().expect("temporary directory");
    let bridge = Bridge::embedded(directory.path(), &["--schema-registry", &registry.url()]);
    let lines = confluent("write", registry, &[]);
    for line in &lines {
        let bytes = hex(line["encoded"].as_str().expect("text"));
        bridge.post("/topics/values", "application/octet-stream", bytes).expect(200);
    }
    let events = bridge.events("/topics/values/events?from=earliest").take(lines.len());
    for (event, line) in events.iter().zip(&lines) {
        assert_eq!(serde_json::from_str::<Value>(event).expect("JSON"), line["value"], "{line}");
    }
}
