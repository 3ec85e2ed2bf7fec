//! Protobuf as Confluent's Python serializer writes it and its deserializer reads it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use curlew_integration::apicurio::Apicurio;
use curlew_integration::bridge::Bridge;
use curlew_integration::kafka::Kafka;
use curlew_integration::process::confluent_client;
use serde_json::{Value, json};
use std::sync::OnceLock;

/// Runs `clients/protobuf_records.py` and returns the lines that it prints.
fn python(verb: &str, input: &[Value]) -> Vec<Value> {
    let lines: String = input.iter().map(|line| format!("{line}\n")).collect();
    let output = confluent_client("clients/protobuf_records.py", &[&Apicurio::shared().url(), verb], lines.as_bytes());
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout)
        .expect("UTF-8")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

fn bridge() -> &'static Bridge {
    static SHARED: OnceLock<Bridge> = OnceLock::new();
    SHARED.get_or_init(|| {
        Bridge::start_with(&Kafka::shared().bootstrap(), &["--schema-registry", &Apicurio::shared().url()])
    })
}

#[test]
fn what_python_writes_is_shown_as_the_json_of_google() {
    let lines = python("write", &[]);
    assert!(lines.len() > 10);
    let topic = Kafka::shared().fresh("protobuf", 1);
    for line in &lines {
        let encoded = STANDARD.decode(line["encoded"].as_str().expect("text")).expect("base64");
        bridge().post(&format!("/topics/{topic}"), "application/octet-stream", encoded).expect(200);
    }
    let read = |query: &str| -> Vec<Value> {
        let target = format!("/topics/{topic}/events?from=earliest&until=end{query}");
        let records = bridge().request("GET", &target, &[("Accept", "application/x-ndjson")], b"").expect(200).text();
        // Empty lines are heartbeats.
        let lines = records.lines().filter(|line| !line.is_empty());
        let records = lines.map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        records.filter(|record| record["offset"].is_number()).map(|record| record["value"].clone()).collect()
    };
    let expected: Vec<&Value> = lines.iter().map(|line| &line["json"]).collect();
    assert_eq!(read("").iter().collect::<Vec<_>>(), expected);
    // A field without presence has its default value in a filter too.
    let first = expected.iter().filter(|json| json["x"] == 0).count();
    assert_eq!(read("&where=value.x%3D%3D0").len(), first);
    assert_eq!(first, 1);
}

#[test]
fn what_is_produced_is_read_by_python() {
    // The texts of files, where Python registers their descriptors.
    let site = r#"syntax = "proto3"; package shop; enum Country { UNKNOWN = 0; NORWAY = 1; }
        message Site { string site_name = 1; Country country = 2; }"#;
    let order = r#"syntax = "proto3"; package shop;
        import "shop/site.proto"; import "google/protobuf/timestamp.proto"; import "google/protobuf/any.proto";
        import "google/protobuf/struct.proto"; import "google/protobuf/duration.proto"; import "google/protobuf/wrappers.proto";
        message Order {
          oneof payment { string card = 1; int64 cash = 2; Site pay_at = 3; }
          message Line { string sku = 1; sint64 delta = 2; repeated Line sub = 3; optional bool last = 4; }
          int32 i = 10; uint64 big = 11; float f = 12; double d = 13; bytes raw = 14; repeated int64 numbers = 15;
          repeated Line lines = 16; google.protobuf.Timestamp at = 17; google.protobuf.Duration took = 18;
          google.protobuf.Struct free = 19; google.protobuf.Int32Value wrapped = 20; google.protobuf.Any detail = 21;
          optional int32 maybe = 22; Country country = 23; repeated Country countries = 24;
          map<string, Site> by_name = 30; map<sint32, double> by_number = 31; map<bool, string> by_flag = 32;
        }"#;
    let registry = Apicurio::shared();
    registry.register("text%2Fsite.proto", &json!({"schemaType": "PROTOBUF", "schema": site}));
    let references = json!([{"name": "shop/site.proto", "subject": "text/site.proto", "version": 1}]);
    let id =
        registry.register("text-order", &json!({"schemaType": "PROTOBUF", "schema": order, "references": references}));

    let orders: Vec<Value> = python("write", &[])
        .into_iter()
        .filter(|line| line["message"] == "shop.Order")
        .map(|line| line["json"].clone())
        .collect();
    let topic = Kafka::shared().fresh("protobuf", 1);
    let target = format!("/topics/{topic}?value_schema_id={id}");
    for order in &orders {
        bridge().post(&target, "application/json", order.to_string()).expect(200);
    }
    let refused = bridge().post(&target, "application/json", r#"{"lines":[{"sub":[{"sku":5}]}]}"#).expect(422).text();
    assert!(refused.contains("value.lines[0].sub[0].sku: invalid type: integer `5`, expected a string"), "{refused}");
    let records = Kafka::shared().consume(&topic);
    let encoded = records.iter().map(|record| STANDARD.encode(record.value.as_ref().expect("a value")));
    let lines: Vec<Value> = encoded.map(|encoded| json!({"message": "shop.Order", "encoded": encoded})).collect();
    assert_eq!(python("read", &lines), orders);
}
