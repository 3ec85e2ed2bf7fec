//! Protobuf as Confluent's Python serializer writes it and its deserializer reads it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use curlew::schemas::schema::{Schema, SchemaKind, SchemaReference, SchemaSource};
use curlew_integration::apicurio::Apicurio;
use curlew_integration::{cache, file};
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Stdio};

/// Runs `clients/protobuf_records.py` and returns the lines that it prints.
fn python(verb: &str, input: &[Value]) -> Vec<Value> {
    let mut child = Command::new(cache().join("schemas/bin/python"))
        .args([&file("clients/protobuf_records.py").display().to_string(), &Apicurio::shared().url(), verb])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines: String = input.iter().map(|line| format!("{line}\n")).collect();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Fetches a schema with its imports, as the registry has them.
fn schema(id: u32) -> Schema {
    let stored = Apicurio::shared().get(&format!("/schemas/ids/{id}")).expect(200).json();
    let mut references = Vec::new();
    for reference in stored["references"].as_array().into_iter().flatten() {
        let path = format!(
            "/subjects/{}/versions/{}",
            reference["subject"].as_str().unwrap().replace('/', "%2F"),
            reference["version"]
        );
        let imported = Apicurio::shared().get(&path).expect(200).json();
        let (name, text) =
            (reference["name"].as_str().unwrap().to_owned(), imported["schema"].as_str().unwrap().to_owned());
        references.push(SchemaReference { name, text });
    }
    let text = stored["schema"].as_str().unwrap().to_owned();
    Schema::parse(&SchemaSource { kind: SchemaKind::Protobuf, text, references }).unwrap()
}

fn id_of(encoded: &[u8]) -> u32 {
    assert_eq!(encoded[0], 0);
    u32::from_be_bytes(encoded[1..5].try_into().unwrap())
}

#[test]
fn what_python_writes_has_the_json_of_google() {
    let lines = python("write", &[]);
    assert!(lines.len() > 10);
    for line in lines {
        let encoded = STANDARD.decode(line["encoded"].as_str().unwrap()).unwrap();
        let mut json = Vec::new();
        schema(id_of(&encoded)).decode(&encoded[5..], &mut json, 1 << 20).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&json).unwrap(), line["json"], "{}", line["message"]);
    }
}

#[test]
fn what_is_encoded_is_read_by_python() {
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
    registry.register("text/site.proto", &json!({"schemaType": "PROTOBUF", "schema": site}));
    let references = json!([{"name": "shop/site.proto", "subject": "text/site.proto", "version": 1}]);
    let id =
        registry.register("text-order", &json!({"schemaType": "PROTOBUF", "schema": order, "references": references}));
    let schema = schema(id);

    let orders: Vec<Value> = python("write", &[])
        .into_iter()
        .filter(|line| line["message"] == "shop.Order")
        .map(|line| line["json"].clone())
        .collect();
    let encoded = orders.iter().map(|order| {
        let mut framed = [&[0][..], &id.to_be_bytes()].concat();
        schema.encode(order.to_string().as_bytes(), &mut framed).unwrap_or_else(|error| panic!("{order}: {error}"));
        json!({"message": "shop.Order", "encoded": STANDARD.encode(framed)})
    });
    assert_eq!(python("read", &encoded.collect::<Vec<_>>()), orders);
}
