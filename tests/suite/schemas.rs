//! Records whose keys and values have schemas, on a broker in memory and with a registry that fails on demand.

use crate::resume::{self, bridge};
use crate::support::documented::is_documented;
use crate::support::memory_broker::MemoryBroker;
use crate::support::wait::until;
use curlew::broker::{Broker, BrokerError, FetchLimits, FetchPosition};
use curlew::http::App;
use curlew::record::{Header, NO_EPOCH, NewRecord, Records, TopicName};
use curlew::schemas::decoding_broker::{DecodingBroker, SchemaLookup};
use curlew::schemas::framing::SchemaId;
use curlew::schemas::registry::{Lookup, RegistryError};
use curlew::schemas::schema::Schema;
use curlew::schemas::source::{SchemaKind, SchemaSource};
use curlew::sync::memory_budget::Share;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const NDJSON: &str = "application/x-ndjson";
const TEXT: u32 = 1;
const READING: u32 = 2;

/// A registry that has what it was given. All other schemas are pending.
#[derive(Default)]
struct FakeRegistry(Mutex<HashMap<SchemaId, Lookup>>);

impl FakeRegistry {
    fn set(&self, id: u32, lookup: Lookup) {
        self.0.lock().unwrap().insert(SchemaId::Id(id), lookup);
    }

    fn fail(&self, id: u32) {
        self.set(id, Lookup::Failed(Arc::new(RegistryError::Unreachable("connection refused".into()))));
    }

    fn recover(&self) {
        self.set(TEXT, ready(r#""string""#));
        let fields = r#"[{"name":"t","type":"int"},{"name":"site","type":"string"}]"#;
        self.set(READING, ready(&format!(r#"{{"type":"record","name":"Reading","fields":{fields}}}"#)));
    }
}

impl SchemaLookup for FakeRegistry {
    fn lookup(&self, id: SchemaId) -> Lookup {
        self.0.lock().unwrap().get(&id).cloned().unwrap_or(Lookup::Pending)
    }
}

fn ready(avro: &str) -> Lookup {
    let source = SchemaSource { kind: SchemaKind::Avro, text: avro.to_owned(), references: Vec::new() };
    Lookup::Ready(Arc::new(Schema::parse(&source).unwrap()))
}

struct World {
    log: Arc<MemoryBroker>,
    registry: Arc<FakeRegistry>,
    app: Arc<App>,
}

/// A bridge with an empty topic `t`.
fn world(partitions: usize) -> World {
    let (log, registry) = (MemoryBroker::new(), Arc::<FakeRegistry>::default());
    log.create("t", partitions);
    let app = bridge(&Arc::new(DecodingBroker::new(log.clone(), registry.clone())));
    World { log, registry, app }
}

impl World {
    fn append(&self, partition: usize, key: Option<Vec<u8>>, value: Option<Vec<u8>>) {
        let timestamp = Some(1_769_846_400_000);
        let record =
            NewRecord { key: key.map(Into::into), value: value.map(Into::into), timestamp, ..NewRecord::default() };
        self.log.append_record("t", partition, record);
    }

    /// Returns the response to a request.
    fn get(&self, path: &str, accept: &str) -> String {
        get(&self.app, path, accept)
    }

    /// Returns the records of a stream from its beginning to its end.
    fn lines(&self, query: &str) -> Vec<Value> {
        let body = self.get(&format!("/topics/t/events?from=earliest&until=end&{query}"), NDJSON);
        body.lines().filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn get(app: &Arc<App>, path: &str, accept: &str) -> String {
    let path = &path.replace('>', "%3E");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answer = runtime.block_on(resume::get(app, path, &[("accept", accept)]));
    is_documented("GET", path, answer.status());
    let body = String::from_utf8(answer.body().to_vec()).unwrap();
    assert_eq!(answer.status(), 200, "{path}: {body}");
    body
}

fn framed(id: u32, encoded: &[u8]) -> Vec<u8> {
    [&[0], &id.to_be_bytes()[..], encoded].concat()
}

fn text(text: &str) -> Vec<u8> {
    framed(TEXT, &[&[2 * text.len() as u8], text.as_bytes()].concat())
}

fn reading(t: u8, site: &str) -> Vec<u8> {
    framed(READING, &[&[2 * t, 2 * site.len() as u8], site.as_bytes()].concat())
}

fn position(partition: i32, offset: i64) -> FetchPosition {
    let topic = TopicName::new("t").unwrap();
    FetchPosition { topic, topic_id: None, partition, offset, leader_epoch: -1, last_epoch: NO_EPOCH }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// A world with a reading, a record without a schema, and a tombstone.
fn three_records() -> World {
    let world = world(1);
    world.append(0, Some(text("boiler")), Some(reading(21, "a")));
    world.append(0, Some(b"boiler".to_vec()), Some(br#"{"t": 5}"#.to_vec()));
    world.append(0, Some(text("pump")), None);
    world
}

#[test]
fn every_format_shows_the_json_and_exact_the_stored_bytes() {
    let world = three_records();
    world.registry.recover();
    let records = world.lines("");
    assert_eq!(records[0]["key"], "boiler");
    assert_eq!((&records[0]["key_schema_id"], &records[0]["schema_id"]), (&json!(TEXT), &json!(READING)));
    assert_eq!(records[0]["value"], json!({"t": 21, "site": "a"}));
    assert_eq!((records[1].get("schema_id"), &records[1]["value"]), (None, &json!({"t": 5})));
    assert_eq!((&records[2]["key"], &records[2]["value"]), (&json!("pump"), &Value::Null));
    let path = "/topics/t/events?from=earliest&until=end";
    let events = world.get(path, "text/event-stream");
    assert!(events.contains("\ndata: {\"t\":21,\"site\":\"a\"}\nid: "), "{events}");
    assert!(events.contains(r#""key":"pump","key_schema_id":1}"#), "the tombstone: {events}");
    for accept in [NDJSON, "text/event-stream"] {
        let exact = format!("{path}&format=exact");
        let body = |app: &Arc<App>| get(app, &exact, accept).lines().skip(1).collect::<Vec<_>>().join("\n");
        assert_eq!(body(&world.app), body(&bridge(&world.log)), "as without a registry");
    }
    let page: Value = serde_json::from_str(&world.get("/topics/t/partitions/0/records", "*/*")).unwrap();
    assert_eq!(page["records"], Value::from(records));
    let csv = world.get(&format!("{path}&format=csv&select=key,value.t"), "*/*");
    assert_eq!(csv, "key,value.t\r\nboiler,21\r\nboiler,5\r\npump,\r\n");
}

#[test]
fn a_guid_in_a_header_is_shown_as_text() {
    let (world, guid) = (world(1), uuid::Uuid::from_bytes([0xab; 16]));
    world.registry.0.lock().unwrap().insert(SchemaId::Guid(guid), ready(r#""string""#));
    let header = Header { name: "__value_schema_id".into(), value: Some([&[1][..], &[0xab; 16]].concat().into()) };
    let record = NewRecord { value: Some(b"\x02a".to_vec().into()), headers: vec![header], ..NewRecord::default() };
    world.log.append_record("t", 0, record);
    let records = world.lines("");
    assert_eq!((&records[0]["value"], &records[0]["schema_id"]), (&json!("a"), &json!(guid.to_string())));
}

#[test]
fn filters_and_fields_read_the_json() {
    let world = three_records();
    world.registry.recover();
    let offsets = |query: &str| -> Vec<i64> {
        world.lines(query).iter().map(|record| record["offset"].as_i64().unwrap()).collect()
    };
    for (query, expected) in [
        ("where=value.t+>+20", vec![0]),
        ("where=value.site+==+'a'", vec![0]),
        ("where=key+==+'boiler'", vec![0, 1]),
        ("key=boiler", vec![0, 1]),
        ("key=%22boiler%22", vec![0]),
        ("key=pump", vec![2]),
        ("key=pum", vec![]),
    ] {
        assert_eq!(offsets(query), expected, "{query}");
    }
    assert_eq!(world.lines("select=value.t")[0], json!({"value": {"t": 21}}));
}

#[test]
fn a_record_without_its_schema_is_base64_with_the_reason() {
    let world = three_records();
    world.registry.fail(TEXT);
    world.registry.fail(READING);
    let reason = "the schema registry cannot be reached: connection refused";
    let records = world.lines("");
    assert_eq!(records[0]["value"], base64(&reading(21, "a")));
    let about = ["encoding", "schema_id", "schema_error", "key_encoding", "key_schema_id", "key_schema_error"];
    let expected = json!(["base64", READING, reason, "base64", TEXT, reason]);
    assert_eq!(Value::from(about.map(|name| records[0][name].clone()).to_vec()), expected);
    assert_eq!((records.len(), records[1].get("schema_error")), (3, None));
    let path = "/topics/t/events?from=earliest&until=end";
    let events = world.get(path, "text/event-stream");
    let event = events.split("\n\n").find(|event| event.starts_with("event: schema_error\n")).expect("an event");
    let data: Value = serde_json::from_str(event.lines().nth(1).unwrap().strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(data, records[0]);
    assert!(event.lines().last().unwrap().starts_with("id: "), "{event}");
    assert_eq!(
        world.lines("select=value.t")[0],
        json!({"value": {"t": null}, "schema_id": READING, "schema_error": reason})
    );
    let csv = world.get(&format!("{path}&format=csv&select=offset,value.t"), "*/*");
    assert_eq!(csv.lines().nth(1), Some(&*format!("0,schema_error: {reason}")));
}

#[test]
fn a_filter_that_cannot_be_applied_says_so() {
    let world = three_records();
    world.registry.recover();
    world.registry.fail(READING);
    let reason = "the schema registry cannot be reached: connection refused";
    let place = json!({"event": "schema_error", "topic": "t", "partition": 0, "offset": 0});
    let with = |more: Value| {
        let mut notice = place.clone();
        notice.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        notice
    };
    let of_value = with(json!({"schema_id": READING, "schema_error": reason}));
    assert_eq!(world.lines("where=value.t+>+1")[0], of_value);
    assert_eq!(world.lines("where=value.t+>+1").len(), 2, "the other record matches");
    assert_eq!(world.lines("where=!(value.t+>+1)"), std::slice::from_ref(&of_value));
    assert_eq!(world.lines("where=has(value.x)"), [of_value], "and the others do not match");
    // The value does not matter here.
    assert_eq!(world.lines("where=key+==+'pump'+%26%26+value+==+null").len(), 1);
    assert_eq!(world.lines("where=offset+==+0")[0]["schema_error"], reason, "the record itself");
    let without_keys = three_records();
    without_keys.registry.fail(TEXT);
    without_keys.registry.fail(READING);
    let of_key = with(json!({"key_schema_id": TEXT, "key_schema_error": reason}));
    let notices = without_keys.lines("key=boiler");
    let events: Vec<_> = notices.iter().map(|line| (line["event"].as_str(), line["offset"].as_i64())).collect();
    assert_eq!(events, [(Some("schema_error"), Some(0)), (None, Some(1)), (Some("schema_error"), Some(2))]);
    assert_eq!(notices[0]["key_schema_error"], of_key["key_schema_error"]);
    let events = world.get("/topics/t/events?from=earliest&until=end&where=value.t+>+1", "text/event-stream");
    assert!(events.contains("event: schema_error\ndata: {\"topic\":\"t\",\"partition\":0,\"offset\":0,"), "{events}");
}

#[test]
fn bytes_that_do_not_fit_their_schema_are_an_error_of_one_record() {
    let world = world(1);
    world.registry.recover();
    world.append(0, None, Some(framed(READING, b"\x02\xff\xff\xff")));
    world.append(0, None, Some(reading(3, "a")));
    let records = world.lines("");
    assert!(
        records[0]["schema_error"].as_str().unwrap().starts_with("cannot be decoded by schema 2: "),
        "{}",
        records[0]
    );
    assert_eq!(records[1]["value"]["t"], 3);
    let metrics = world.get("/metrics", "*/*");
    assert!(metrics.contains("curlew_schema_decoded_total 1\n"), "{metrics}");
    assert!(metrics.contains("curlew_schema_errors_total{reason=\"undecodable\"} 1\n"), "{metrics}");
}

#[test]
fn a_stream_waits_for_a_schema_and_only_its_partition() {
    let world = world(2);
    world.registry.set(TEXT, ready(r#""string""#));
    world.append(0, None, Some(text("before")));
    world.append(0, None, Some(reading(1, "a")));
    world.append(1, None, Some(text("other partition")));
    let (app, (sent, received)) = (world.app.clone(), std::sync::mpsc::channel());
    let reader = std::thread::spawn(move || {
        let body = get(&app, "/topics/t/events?from=earliest&limit=4", NDJSON);
        sent.send(body).unwrap();
    });
    // The page waits too, and neither fails.
    let app = world.app.clone();
    let page = std::thread::spawn(move || get(&app, "/topics/t/partitions/0/records?offset=1", "*/*"));
    let series = world.app.clone();
    let series = std::thread::spawn(move || {
        get(&series, "/topics/t/series?from=2020-01-01T00:00:00Z&step=1d&field=value.t", "*/*")
    });
    let delivered = || world.app.hub.counts().delivered.records();
    until("two records are delivered", || delivered() >= 2);
    assert!(received.try_recv().is_err(), "the third record has no schema yet");
    world.registry.recover();
    assert!(page.join().unwrap().contains(r#""value":{"t":1,"site":"a"}"#));
    assert!(series.join().unwrap().contains(r#""field":"value.t""#));
    until("the third record is delivered", || delivered() >= 3);
    world.append(1, None, Some(reading(2, "b")));
    reader.join().unwrap();
    let body = received.recv().unwrap();
    let records: Vec<Value> =
        body.lines().filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |partition: i64| -> Vec<&Value> {
        let own = records.iter().filter(|record| record["partition"] == partition);
        own.map(|record| &record["value"]).collect()
    };
    assert_eq!(of(0), [&json!("before"), &json!({"t": 1, "site": "a"})]);
    assert_eq!(of(1), [&json!("other partition"), &json!({"t": 2, "site": "b"})]);
    let errors = world.app.hub.counts().errors();
    assert!(errors.is_empty(), "waiting is no error: {errors:?}");
}

#[test]
fn a_live_series_reads_the_other_partitions_of_a_pending_one() {
    let world = world(2);
    world.registry.set(TEXT, ready(r#""string""#));
    world.append(1, None, Some(b"{\"t\": 1}".to_vec()));
    let (from, app) = ("2020-01-01T00:00:00Z", &world.app);
    let count = || {
        let path = format!("/topics/t/series?from={from}&step=1d&field=value.t");
        let series: Value = serde_json::from_str(&get(app, &path, "*/*")).unwrap();
        series["series"][0]["points"][0][4].as_i64()
    };
    until("the history is read", || count() == Some(1));
    // The schema of the first partition never arrives.
    world.append(0, None, Some(reading(2, "a")));
    world.append(1, None, Some(b"{\"t\": 3}".to_vec()));
    until("the second partition is followed", || count() == Some(2));
}

#[test]
fn many_unknown_ids_do_not_delay_other_partitions() {
    const OTHERS: usize = 100;
    let world = world(OTHERS + 1);
    world.registry.set(TEXT, ready(r#""string""#));
    let unknown = (1_000..).map(|id| framed(id, b"")).zip((0..OTHERS).cycle());
    unknown.take(3 * OTHERS).for_each(|(value, partition)| world.append(partition, None, Some(value)));
    world.append(OTHERS, None, Some(text("known")));
    let broker = DecodingBroker::new(world.log.clone(), world.registry.clone());
    let mut reader = broker.reader(1, &Share::new("test", 1 << 20, 1 << 20));
    let limits = FetchLimits { wait: Duration::ZERO, max_bytes: 1 << 20, partition_max_bytes: 1 << 20 };
    let positions: Vec<_> = (0..=OTHERS as i32).map(|partition| position(partition, 0)).collect();
    let fetched = reader.fetch(&positions, limits).unwrap();
    assert!(matches!(fetched[0].result, Err(BrokerError::SchemaPending(_))), "{:?}", fetched[0].result);
    assert_eq!(fetched[OTHERS].result.as_ref().unwrap().next_offset, 1);
}

#[test]
fn a_snapshot_keeps_one_record_for_each_stored_key() {
    let world = world(1);
    world.registry.recover();
    world.registry.set(9, ready(r#""string""#));
    let other = framed(9, b"\x0cboiler");
    world.append(0, Some(text("boiler")), Some(reading(1, "a")));
    world.append(0, Some(other), Some(reading(2, "a")));
    world.append(0, Some(text("boiler")), Some(reading(3, "a")));
    let body = world.get("/topics/t/events?from=snapshot&until=end", NDJSON);
    let lines: Vec<Value> =
        body.lines().filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).unwrap()).collect();
    let values: Vec<_> = lines
        .iter()
        .filter(|line| line.get("value").is_some())
        .map(|line| (&line["key"], &line["value"]["t"]))
        .collect();
    assert_eq!(values, [(&json!("boiler"), &json!(2)), (&json!("boiler"), &json!(3))], "as compaction does");
}

#[test]
fn a_series_counts_the_records_that_it_cannot_read() {
    let world = world(1);
    world.registry.recover();
    world.append(0, None, Some(reading(4, "a")));
    world.append(0, None, Some(framed(READING, b"\x02\xff\xff\xff")));
    let path = "/topics/t/series?from=2026-01-01T00:00:00Z&to=2026-03-01T00:00:00Z&step=1d&field=value.t";
    for query in ["", "&where=value.t+>+0"] {
        let series: Value = serde_json::from_str(&world.get(&format!("{path}{query}"), "*/*")).unwrap();
        assert_eq!(series["omitted"]["reasons"]["schema_error"], 1, "{series}");
        assert_eq!(series["series"][0]["points"][0][3], 4.0, "{series}");
    }
}

#[test]
fn the_list_of_topics_shows_the_json() {
    let world = three_records();
    world.registry.recover();
    let has_it = || world.get("/topics?last=true", "*/*").contains(r#""key":"pump""#);
    until("the newest record has been read", has_it);
}

#[test]
fn the_json_stays_within_the_memory_of_the_fetch() {
    const RECORDS: i64 = 60;
    let world = world(1);
    world.registry.recover();
    (0..RECORDS).for_each(|_| world.append(0, None, Some(text(&"x".repeat(60)))));
    // Each character takes six bytes in JSON, more than the share has for one batch.
    let large = framed(TEXT, &[&[0xe0, 0x5d][..], &[1; 6000]].concat());
    world.append(0, None, Some(large));
    world.append(0, None, Some(text("last")));
    let share = Share::new("test", 40_000, 20_000);
    let broker = DecodingBroker::new(world.log.clone(), world.registry.clone());
    let mut reader = broker.reader(1, &share);
    let (mut next, mut decoded, mut errors) = (0, 0, Vec::new());
    while next < RECORDS + 2 {
        let limits = FetchLimits { wait: Duration::ZERO, max_bytes: 200, partition_max_bytes: 1 << 20 };
        let data = reader.fetch(&[position(0, next)], limits).unwrap().pop().unwrap().result.unwrap();
        assert!(data.next_offset > next, "every fetch makes progress");
        assert!(share.used() <= share.limit());
        for record in data.batches.iter().flat_map(Records::iter).filter(|record| record.offset >= next) {
            match record.value_error() {
                None => decoded += i64::from(record.value.unwrap().starts_with(b"\"")),
                Some(error) => errors.push((record.offset, error.to_owned())),
            }
        }
        next = data.next_offset;
    }
    assert_eq!(decoded, RECORDS + 1);
    assert_eq!(errors.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), [RECORDS], "{errors:?}");
    assert_eq!(share.used(), 0, "released");
}
