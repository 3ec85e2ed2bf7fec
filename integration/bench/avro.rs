//! Avro: to JSON in one stream and in a thousand, which share it, and from JSON.

use crate::Size;
use crate::endpoint::{self, StreamEndpoint, TIMEOUT};
use crate::record::MARK;
use crate::rivals::records_per_second;
use crate::subscribers::Subscribers;
use crate::table::Table;
use base64::prelude::{BASE64_STANDARD, Engine};
use curlew::schemas::schema::Schema;
use curlew::schemas::source::{SchemaKind, SchemaSource};
use curlew_integration::apicurio::Apicurio;
use curlew_integration::bridge::Bridge;
use curlew_integration::cache;
use curlew_integration::http;
use curlew_integration::kafka::Kafka;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

const STREAMS: [usize; 2] = [1, 1_000];
/// Records per request.
const BATCH: usize = 500;
/// Deliveries in flight.
const MAX_IN_FLIGHT: u64 = 1_000_000;

pub fn measure(kafka: &Kafka, size: &Size, table: &mut Table) {
    let registry = Apicurio::shared();
    let schema = schema();
    let id = registry.register_avro("bench-value", &schema);
    let framed = [&[0][..], &id.to_be_bytes(), &encoded(&schema)].concat();
    let bootstrap = kafka.bootstrap();
    let decoding = Bridge::start_with(&bootstrap, &["--schema-registry", &registry.url()]);
    let plain = Bridge::start(&bootstrap);

    let topic = kafka.fresh("avro", 1);
    let stored = records(&json!(BASE64_STANDARD.encode(&framed)), None);
    let binary = "application/vnd.kafka.binary.v2+json";
    for _ in 0..size.consumed / BATCH {
        decoding.post(&format!("/topics/{topic}"), binary, &stored).expect(200);
    }
    let confluent = |command: &str, topic: &str, input: Option<&Path>, records: usize| {
        let script = curlew_integration::file("bench/rivals/avro.py");
        let (script, records_text) = (script.to_string_lossy(), records.to_string());
        let arguments = [&script, command, &bootstrap, &registry.url(), topic, &records_text];
        records_per_second(&cache().join("schemas/bin/python"), &arguments, input, records)
    };
    let read = |port: u16| {
        let target = format!("http://127.0.0.1:{port}/topics/{topic}/events?from=earliest&until=end");
        records_per_second(Path::new("curl"), &["-sfN", &target], None, size.consumed / BATCH * BATCH)
    };
    table.compare(
        &format!("{} records of Avro from the earliest on, as JSON", size.consumed),
        "records/s",
        vec![
            ("Curlew to curl", Box::new(|| read(decoding.port))),
            ("the same without a registry, as base64", Box::new(|| read(plain.port))),
            (
                "Confluent's Python client (librdkafka, fastavro), start included",
                Box::new(|| confluent("consume", &topic, None, size.consumed / BATCH * BATCH)),
            ),
        ],
    );
    for streams in STREAMS {
        let endpoint = endpoint::curlew(decoding.port, &kafka.fresh("avro-live", 1));
        table.compare(
            &format!("fan-out of Avro as JSON to {streams} streams"),
            "records/s",
            vec![("Curlew", Box::new(|| delivery_rate(&endpoint, binary, &stored, streams, size.length)))],
        );
    }
    // Its serializer takes the time as a number of milliseconds.
    let written = kafka.fresh("avro-rival", 1);
    registry.register_avro(&format!("{written}-value"), &schema);
    let input = std::env::temp_dir().join(format!("curlew-bench-avro-{}.json", std::process::id()));
    let mut plain_value = value();
    plain_value["at"] = json!(1_769_846_400_123_i64);
    std::fs::write(&input, plain_value.to_string()).expect("written");
    let given = records(&value(), Some(id));
    let topic = kafka.fresh("avro-in", 1);
    let produce = |port: u16, kind: &str, body: &str| produced(port, &topic, kind, body, size.length);
    table.compare(
        &format!("produce from JSON to Avro, {BATCH} records a request"),
        "records/s",
        vec![
            ("Curlew, avro.v2", Box::new(|| produce(decoding.port, "application/vnd.kafka.avro.v2+json", &given))),
            (
                "Curlew, json.v2",
                Box::new(|| produce(plain.port, "application/vnd.kafka.json.v2+json", &records(&value(), None))),
            ),
            (
                "Confluent's Python client, start included",
                Box::new(|| confluent("produce", &written, Some(&input), size.consumed)),
            ),
        ],
    );
    let _ = std::fs::remove_file(&input);
}

fn schema() -> Value {
    let field = |name: &str, of: Value| json!({"name": name, "type": of});
    json!({"type": "record", "name": "Reading", "fields": [
        field("device", json!("string")),
        field("at", json!({"type": "long", "logicalType": "timestamp-millis"})),
        field("temperature", json!(["null", "double"])),
        field("state", json!({"type": "enum", "name": "State", "symbols": ["OFF", "ON"]})),
        field("samples", json!({"type": "array", "items": "int"})),
        field("note", json!("string")),
    ]})
}

/// A value with the mark by which records are counted.
fn value() -> Value {
    json!({
        "device": format!("thermometer-17{}", char::from(MARK)), "at": "2026-01-31T08:00:00.123Z", "temperature": 21.5,
        "state": "ON", "samples": [1, 20, 300, 4000], "note": "x".repeat(60),
    })
}

fn encoded(schema: &Value) -> Vec<u8> {
    let source = SchemaSource { kind: SchemaKind::Avro, text: schema.to_string(), references: Vec::new() };
    let mut bytes = Vec::new();
    Schema::parse(&source)
        .expect("a schema")
        .encode(value().to_string().as_bytes(), &mut bytes, usize::MAX)
        .expect("a value");
    bytes
}

/// Returns a body of the REST proxies' envelope.
fn records(value: &Value, schema: Option<u32>) -> String {
    let records: Vec<Value> = (0..BATCH).map(|_| json!({"value": value})).collect();
    match schema {
        Some(id) => json!({"value_schema_id": id, "records": records}).to_string(),
        None => json!({"records": records}).to_string(),
    }
}

fn produced(port: u16, topic: &str, kind: &str, body: &str, length: Duration) -> f64 {
    let started = Instant::now();
    let mut records = 0;
    while started.elapsed() < length {
        http::post(port, &format!("/topics/{topic}"), kind, body).expect(200);
        records += BATCH;
    }
    records as f64 / started.elapsed().as_secs_f64()
}

/// Returns the records per second that all streams receive together.
fn delivery_rate(endpoint: &StreamEndpoint, kind: &str, body: &str, streams: usize, length: Duration) -> f64 {
    let endpoint::Publish::Curlew { port, topic } = &endpoint.publish else { panic!("a topic of a bridge") };
    let subscribers = Subscribers::open(endpoint, streams, 0);
    let (many, batch) = (streams as u64, BATCH as u64);
    let started = Instant::now();
    let mut all = 0;
    while started.elapsed() < length {
        http::post(*port, &format!("/topics/{topic}"), kind, body).expect(200);
        all += batch * many;
        subscribers.wait_for(all.saturating_sub(MAX_IN_FLIGHT.max(batch * many)), TIMEOUT);
    }
    subscribers.wait_for(all, TIMEOUT);
    let took = started.elapsed();
    subscribers.stop();
    all as f64 / took.as_secs_f64()
}
