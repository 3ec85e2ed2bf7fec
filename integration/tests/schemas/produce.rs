//! Records that Curlew encodes, as Confluent's deserializers read them.

use curlew_integration::apicurio::Apicurio;
use curlew_integration::bridge::Bridge;
use curlew_integration::kafka::Kafka;
use curlew_integration::process::confluent_client;
use serde_json::{Value, json};

const AVRO: &str = "application/vnd.kafka.avro.v2+json";

/// Returns the first records of a topic as Confluent's deserializers read them.
fn read(registry: &Apicurio, topic: &str, count: usize, kind: &str) -> Vec<Value> {
    let arguments = [&Kafka::shared().bootstrap(), &registry.url(), topic, &count.to_string(), kind];
    let output = confluent_client("clients/read_encoded.py", &arguments, b"");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn bridge(registry: &Apicurio) -> Bridge {
    Bridge::start_with(&Kafka::shared().bootstrap(), &["--schema-registry", &registry.url()])
}

#[test]
fn confluents_deserializers_read_what_curlew_encodes() {
    let registry = Apicurio::shared();
    let bridge = bridge(registry);
    let avro = json!({"type": "record", "name": "Node", "namespace": "plant", "fields": [
        {"name": "name", "type": "string"},
        {"name": "t", "type": ["null", "double"], "default": null},
        {"name": "counts", "type": {"type": "array", "items": "long"}},
        {"name": "tags", "type": {"type": "map", "values": ["string", "int"]}},
        {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["ON", "OFF"]}},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
        {"name": "parts", "type": {"type": "array", "items": "plant.Node"}, "default": []},
    ]});
    let part =
        json!({"name": "part", "t": null, "counts": [], "tags": {}, "state": "OFF", "price": "-0.01", "parts": []});
    let node = json!({"name": "Kessel ü", "t": 21.5, "counts": [1, -9_007_199_254_740_993i64],
        "tags": {"a": "x", "b": 7}, "state": "ON", "price": "14.36", "parts": [part]});
    let json_schema = json!({"type": "object", "properties": {"t": {"type": "number"}}, "required": ["t"]});
    let rows = [
        ("avro", avro.to_string(), node),
        ("jsonschema", json_schema.to_string(), json!({"t": 21.5, "more": [1, null]})),
    ];
    for (kind, schema, value) in rows {
        let topic = Kafka::shared().fresh(&format!("encoded-{kind}"), 1);
        let target = format!("/topics/{topic}");
        let body = json!({"value_schema": schema, "records": [{"value": value}, {"value": null}]});
        let content_type = format!("application/vnd.kafka.{kind}.v2+json");
        let answer = bridge.post(&target, &content_type, body.to_string()).expect(200).json();
        let id = &answer["value_schema_id"];
        let known = json!({"value_schema_id": id, "records": [{"value": value}]});
        bridge.post(&target, &content_type, known.to_string()).expect(200);
        // As curl -d sends it.
        let form = "application/x-www-form-urlencoded";
        bridge.post(&format!("{target}?value_schema=latest&key=k"), form, value.to_string()).expect(200);
        let subject = registry.get(&format!("/subjects/{topic}-value/versions/latest")).expect(200).json();
        assert_eq!(&subject["id"], id, "{subject}");
        let reader = if kind == "jsonschema" { "json" } else { kind };
        let of = |key: Value, value: &Value| json!({"key": key, "value": value});
        let expected =
            [of(Value::Null, &value), of(Value::Null, &Value::Null), of(Value::Null, &value), of(json!("k"), &value)];
        assert_eq!(read(registry, &topic, 4, reader), expected, "{kind}");
    }
}

#[test]
fn without_its_registry_only_records_with_known_schemas_are_written() {
    let mut registry = Apicurio::start();
    let bridge = bridge(&registry);
    let topic = Kafka::shared().fresh("registry-down", 1);
    let target = format!("/topics/{topic}");
    let first = json!({"value_schema": "\"int\"", "records": [{"value": 1}]}).to_string();
    let id = bridge.post(&target, AVRO, &first).expect(200).json()["value_schema_id"].clone();
    registry.kill();
    // A schema that is known needs no registry.
    let known = json!({"value_schema_id": id, "records": [{"value": 2}]}).to_string();
    bridge.post(&target, AVRO, &known).expect(200);
    let unknown =
        json!({"value_schema": "{\"type\": \"int\", \"doc\": \"changed\"}", "records": [{"value": 3}]}).to_string();
    let refused = bridge.post(&target, AVRO, &unknown).expect(503);
    assert_eq!(refused.json()["error_code"], 40801, "{}", refused.text());
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    let described = bridge.get(&target).expect(200).json();
    assert_eq!(described["partitions"][0]["latest"], 2, "{described}");
    registry.restart();
    bridge.post(&target, AVRO, &unknown).expect(200);
    let values: Vec<Value> = read(&registry, &topic, 3, "avro").iter().map(|record| record["value"].clone()).collect();
    assert_eq!(values, [1, 2, 3]);
}
