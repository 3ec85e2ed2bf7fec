//! Streams that start with the latest record of every key (`from=snapshot`).

use crate::hub::{Client, Lines, hub, resume, subscription, topic};
use crate::resume::{bridge, get};
use crate::support::memory_broker::MemoryBroker;
use curlew::cel::Expression;
use curlew::cursor::{Cursor, Selection};
use curlew::http::{self, App};
use curlew::hub::*;
use curlew::record::*;
use curlew::sync::memory_budget::MemoryBudget;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const ALL: Start = Start::Snapshot { since: None };

fn snapshot(topics: &[&str]) -> Subscription {
    Subscription { format: Arc::new(Lines::KeysAndValues), ..subscription(topics, ALL) }
}

fn record(key: Option<&str>, value: Option<&str>) -> NewRecord {
    let bytes = |text: &str| text.to_owned().into();
    NewRecord { key: key.map(bytes), value: value.map(bytes), ..NewRecord::default() }
}

fn put(broker: &MemoryBroker, partition: usize, key: &str, value: &str) {
    broker.append_record("t", partition, record(Some(key), Some(value)));
}

fn delete(broker: &MemoryBroker, partition: usize, key: &str) {
    broker.append_record("t", partition, record(Some(key), None));
}

/// Returns the lines of a stream up to its end, without ids.
fn all(hub: &Hub, subscription: Subscription) -> Vec<String> {
    let mut client = Client::open(hub, Subscription { until: Until::End, ..subscription });
    client.read_to_end();
    client.story().into_iter().map(str::to_owned).collect()
}

fn broker_with_keys() -> Arc<MemoryBroker> {
    let broker = MemoryBroker::new();
    broker.create("t", 2);
    put(&broker, 0, "a", "1");
    put(&broker, 1, "b", "2");
    put(&broker, 0, "c", "3");
    put(&broker, 0, "a", "4");
    delete(&broker, 0, "c");
    broker.append("t", 1, "no key");
    broker
}

#[test]
fn a_stream_gets_the_latest_record_of_every_key_and_then_every_record() {
    let broker = broker_with_keys();
    let hub = hub(&broker);
    let mut client = Client::open(&hub, snapshot(&["t"]));
    client.until("live");
    // The snapshot has no ids before its end: a client that is disconnected within it receives it again.
    assert!(client.lines[..2].iter().all(|line| line.ends_with(' ')), "{:?}", client.lines);
    let id = client.id.clone();
    put(&broker, 1, "b", "5");
    client.until("record t/1@2");
    delete(&broker, 0, "a");
    client.until("record t/0@4");
    let story = ["record t/0@2 a=4", "record t/1@0 b=2", "live 2", "record t/1@2 b=5", "record t/0@4 a=-"];
    assert_eq!(client.story(), story);
    let mut resumed =
        Client::open(&hub, Subscription { format: Arc::new(Lines::KeysAndValues), ..resume(&["t"], &id) });
    resumed.until("record t/0@4");
    resumed.until("record t/1@2");
    assert_eq!(resumed.lines.len(), 3, "no snapshot again: {:?}", resumed.lines);
}

#[test]
fn a_snapshot_has_the_partitions_keys_headers_and_conditions_of_its_stream() {
    let broker = broker_with_keys();
    broker.create("other", 1);
    let header = |value: &str| vec![Header { name: "unit".into(), value: Some(value.to_owned().into()) }];
    broker.append_record("other", 0, NewRecord { headers: header("C"), ..record(Some("x"), Some("21")) });
    broker.append_record("other", 0, NewRecord { headers: header("K"), ..record(Some("y"), Some("294")) });
    let hub = hub(&broker);
    let of = |filter| Subscription { filter, ..snapshot(&["t", "other"]) };
    let condition =
        |text| Filter { condition: Some(Arc::new(Expression::compile(text).unwrap())), ..Filter::default() };
    let partition = Subscription { selection: Selection::of(vec![1]), ..snapshot(&["t"]) };
    let unit = Filter { headers: vec![(b"unit".to_vec(), b"K".to_vec())], ..Filter::default() };
    let key = Filter { key: Some(b"a".to_vec()), ..Filter::default() };
    let cases = [
        (
            snapshot(&["t", "other"]),
            &["record other/0@0 x=21", "record other/0@1 y=294", "record t/0@2 a=4", "record t/1@0 b=2"][..],
        ),
        (partition, &["record t/1@0 b=2"]),
        (of(key), &["record t/0@2 a=4"]),
        (of(unit), &["record other/0@1 y=294"]),
        // Only the latest record of a key can match: a=1 is not delivered.
        (of(condition("value < 20.0")), &["record t/0@2 a=4", "record t/1@0 b=2"]),
        (of(condition("value == 1.0")), &[]),
    ];
    for (subscription, expected) in cases {
        let story = all(&hub, subscription);
        let live = format!("live {}", expected.len());
        let (records, rest) = story.split_at(expected.len());
        assert_eq!(
            (records, rest.first()),
            (&expected.iter().map(|&e| e.to_owned()).collect::<Vec<_>>()[..], Some(&live)),
            "{story:?}"
        );
    }
}

#[test]
fn the_second_snapshot_is_served_from_memory() {
    let broker = MemoryBroker::new();
    broker.create("t", 1);
    for n in 0..3000 {
        put(&broker, 0, &format!("key {}", n % 100), &"x".repeat(1000));
    }
    let hub = hub(&broker);
    let mut first = Client::open(&hub, snapshot(&["t"]));
    first.until("live 100 ");
    assert_eq!(broker.records_read.load(Ordering::Relaxed), 3000);
    let mut second = Client::open(&hub, snapshot(&["t"]));
    second.until("live 100 ");
    assert_eq!((&first.lines, broker.records_read.load(Ordering::Relaxed)), (&second.lines, 3000));
    drop(second);
    // What comes later is read by the live flow, once the stream has joined it, and taken from its memory.
    let (mut last, deadline) = (3000, Instant::now() + Duration::from_secs(20));
    loop {
        put(&broker, 0, "key 1", "new");
        first.until(&format!("record t/0@{last}"));
        let behind = hub.status().behind;
        if behind.catching_up + behind.stalled == 0 {
            break;
        }
        assert!(Instant::now() < deadline, "the stream does not join the live flow");
        last += 1;
    }
    Client::open(&hub, snapshot(&["t"])).until("live 100 ");
    put(&broker, 0, "key 1", "newer");
    first.until(&format!("record t/0@{}", last + 1));
    let read = broker.records_read.load(Ordering::Relaxed);
    let mut third = Client::open(&hub, snapshot(&["t"]));
    third.until("live 100 ");
    assert_eq!(third.lines[99], format!("record t/0@{} key 1=newer ", last + 1));
    assert_eq!(broker.records_read.load(Ordering::Relaxed), read);
}

#[test]
fn a_topic_whose_latest_records_are_too_large_has_no_snapshot_and_holds_no_memory() {
    let broker = MemoryBroker::new();
    broker.create("t", 1);
    let value = "x".repeat(100);
    (0..1000).for_each(|n| put(&broker, 0, &format!("old {n}"), &value));
    for n in 0..100 {
        let timestamp = Some(now());
        broker.append_record("t", 0, NewRecord { timestamp, ..record(Some(&format!("new {n}")), Some(&value)) });
    }
    let memory = MemoryBudget::default();
    let settings = Settings { snapshot_bytes: 100_000, memory: memory.clone(), ..Settings::default() };
    let hub = Hub::start(broker.clone(), settings).unwrap();
    let read = || {
        let story = all(&hub, snapshot(&["t"]));
        assert!(story[0].contains("SnapshotTooLarge") && story[0].contains("100000"), "{story:?}");
        assert_eq!((story.len(), memory.snapshots.used()), (1, 0));
        broker.records_read.load(Ordering::Relaxed)
    };
    let once = read();
    assert_eq!(read(), once, "a client that reconnects at once causes no reads");
    // A snapshot of fewer records fits.
    let recent = Start::Snapshot { since: Some(now() - 3_600_000) };
    let story = all(&hub, Subscription { start: recent, ..snapshot(&["t"]) });
    assert_eq!(story[100], "live 100", "{:?}", story.last());
}

#[test]
fn since_leaves_out_keys_whose_latest_record_is_older() {
    let broker = MemoryBroker::new();
    broker.create("t", 1);
    let now = now();
    for (key, age) in [("a", 500_000), ("b", 50_000), ("c", 40_000), ("a", 30_000), ("b", 60_000), ("d", 0)] {
        let timestamp = Some(now - age);
        broker.append_record("t", 0, NewRecord { timestamp, ..record(Some(key), Some(&age.to_string())) });
    }
    let hub = hub(&broker);
    let since =
        |age: i64| all(&hub, Subscription { start: Start::Snapshot { since: Some(now - age) }, ..snapshot(&["t"]) });
    assert_eq!(since(45_000)[..4], ["record t/0@2 c=40000", "record t/0@3 a=30000", "record t/0@5 d=0", "live 3"]);
    assert_eq!(since(1000)[..2], ["record t/0@5 d=0", "live 1"]);
    assert_eq!(since(60_000)[3..5], ["record t/0@5 d=0", "live 4"]);
}

#[test]
fn a_snapshot_follows_a_topic_that_is_recreated_truncated_or_grows() {
    let broker = broker_with_keys();
    let hub = hub(&broker);
    let mut kept = Client::open(&hub, snapshot(&["t"]));
    kept.until("live 2 ");
    let latest = |expected: &[&str]| {
        let story = all(&hub, snapshot(&["t"]));
        let count = story.iter().position(|line| line.starts_with("live")).unwrap_or_else(|| panic!("{story:?}"));
        assert_eq!(story[..count], *expected);
    };
    broker.grow("t", 3);
    put(&broker, 2, "d", "6");
    latest(&["record t/0@2 a=4", "record t/1@0 b=2", "record t/2@0 d=6"]);
    // The record that replaced an earlier one is lost, so the earlier one is the latest again.
    broker.truncate_and_append("t", 0, 2, 3);
    latest(&["record t/0@0 a=1", "record t/0@1 c=3", "record t/1@0 b=2", "record t/2@0 d=6"]);
    broker.delete("t");
    broker.create("t", 1);
    put(&broker, 0, "b", "7");
    latest(&["record t/0@0 b=7"]);
}

#[test]
fn a_record_that_retention_has_deleted_is_not_in_the_snapshot() {
    let broker = broker_with_keys();
    let hub = hub(&broker);
    assert_eq!(all(&hub, snapshot(&["t"]))[..3], ["record t/0@2 a=4", "record t/1@0 b=2", "live 2"]);
    broker.trim("t", 0, 4);
    assert_eq!(all(&hub, snapshot(&["t"]))[..2], ["record t/1@0 b=2", "live 1"]);
    put(&broker, 0, "e", "8");
    assert_eq!(all(&hub, snapshot(&["t"]))[..3], ["record t/0@4 e=8", "record t/1@0 b=2", "live 2"]);
}

#[test]
fn a_limit_inside_a_snapshot_ends_the_stream_with_an_id_that_skips_nothing() {
    let broker = broker_with_keys();
    let hub = hub(&broker);
    let mut client = Client::open(&hub, Subscription { limit: NonZeroU64::new(1), ..snapshot(&["t"]) });
    client.read_to_end();
    assert_eq!(client.story(), ["record t/0@2 a=4", "at"]);
    assert!(Cursor::is_complete(&client.id));
    let mut resumed = Client::open(&hub, Subscription { until: Until::End, ..resume(&["t"], &client.id) });
    resumed.read_to_end();
    assert_eq!(resumed.lines.iter().filter(|line| line.starts_with("record")).count(), 6);
    // A limit that is reached after the snapshot.
    let mut client = Client::open(&hub, Subscription { limit: NonZeroU64::new(3), ..snapshot(&["t"]) });
    client.until("live 2 ");
    put(&broker, 0, "f", "9");
    client.read_to_end();
    assert_eq!(client.lines.len(), 4, "{:?}", client.lines);
}

#[test]
fn a_topic_that_does_not_exist_yet_has_an_empty_snapshot() {
    let broker = MemoryBroker::new();
    let hub = hub(&broker);
    let mut client = Client::open(&hub, Subscription { missing: Missing::Wait, ..snapshot(&["t"]) });
    client.until("live 0 ");
    broker.create("t", 1);
    put(&broker, 0, "a", "1");
    client.until("record t/0@0 a=1");
    let mut refused = Client::open(&hub, snapshot(&["never"]));
    refused.read_to_end();
    assert!(refused.lines[0].contains("UnknownTopic"), "{:?}", refused.lines);
}

/// A step of a random test case.
#[derive(Debug, Clone)]
enum SnapshotStep {
    /// Appends a record with this partition, key and value.
    Append(usize, Option<u8>, Option<u8>),
    Trim(usize),
    Open(Option<i32>),
}

fn steps() -> impl Strategy<Value = Vec<SnapshotStep>> {
    let append = (0usize..3, prop::option::weighted(0.9, 0u8..6), prop::option::weighted(0.8, any::<u8>()));
    let step = prop_oneof![
        30 => append.prop_map(|(partition, key, value)| SnapshotStep::Append(partition, key, value)),
        1 => (0usize..3).prop_map(SnapshotStep::Trim),
        3 => prop::option::weighted(0.2, 0i32..3).prop_map(SnapshotStep::Open),
    ];
    prop::collection::vec(step, 1..120)
}

/// Returns the next offset of each partition in an id.
fn positions(id: &str, selection: &Selection) -> BTreeMap<Partition, Offset> {
    Cursor::parse(id, vec![topic("t")], selection.clone()).unwrap().offsets(0).collect()
}

/// Returns the latest records by partition and key, from the log before a position.
fn fold(broker: &MemoryBroker, cut: &BTreeMap<Partition, Offset>) -> BTreeSet<String> {
    let mut latest = BTreeSet::new();
    for (partition, end) in cut {
        let mut by_key = BTreeMap::new();
        let text = |bytes: &Option<bytes::Bytes>| bytes.as_ref().map(|b| String::from_utf8(b.to_vec()).unwrap());
        for (offset, record) in broker.records("t", *partition as usize).iter().filter(|(offset, _)| offset < end) {
            if let Some(key) = text(&record.key) {
                by_key.insert(key, (*offset, text(&record.value)));
            }
        }
        let alive = by_key.into_iter().filter_map(|(key, (offset, value))| Some((key, offset, value?)));
        latest.extend(alive.map(|(key, offset, value)| format!("record t/{partition}@{offset} {key}={value}")));
    }
    latest
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_snapshot_equals_a_fold_by_key_at_every_cut_point_and_nothing_is_missing_after_it(steps in steps()) {
        let broker = MemoryBroker::new();
        broker.create("t", 3);
        let hub = hub(&broker);
        let mut clients = Vec::new();
        for step in steps {
            match step {
                SnapshotStep::Append(partition, key, value) => {
                    let text = |byte: Option<u8>| byte.map(|byte| byte.to_string().into());
                    broker.append_record("t", partition, NewRecord { key: text(key), value: text(value), ..NewRecord::default() });
                }
                SnapshotStep::Trim(partition) => {
                    let end = broker.records("t", partition).last().map_or(0, |(offset, _)| offset + 1);
                    broker.trim("t", partition, (end - 2).max(0));
                }
                SnapshotStep::Open(partition) => {
                    let selection = Selection::of(partition.into_iter().collect());
                    let mut client = Client::open(&hub, Subscription { selection: selection.clone(), ..snapshot(&["t"]) });
                    client.until("live");
                    let live = client.lines.iter().position(|line| line.starts_with("live")).unwrap();
                    let id = client.lines[live].rsplit(' ').next().unwrap().to_owned();
                    let cut = positions(&id, &selection);
                    let found: Vec<_> = client.story()[..live].iter().map(|line| line.to_string()).collect();
                    let expected = fold(&broker, &cut);
                    prop_assert_eq!(found.iter().cloned().collect::<BTreeSet<_>>(), expected.clone());
                    prop_assert_eq!(found.len(), expected.len());
                    let keys = format!("live {} ", expected.len());
                    prop_assert!(client.lines[live].starts_with(&keys));
                    clients.push((client, cut, live));
                }
            }
        }
        let ends: BTreeMap<_, _> = (0..3).map(|partition| (partition, broker.append("t", partition as usize, "end"))).collect();
        for (client, cut, live) in &mut clients {
            for (partition, from) in cut.iter() {
                let end = ends[partition];
                client.until(&format!("record t/{partition}@{end} "));
                // Each offset from the cut on is a record or in a gap, once and in order.
                let mut next = *from;
                for line in &client.lines[*live + 1..] {
                    if let Some(rest) = line.strip_prefix(&format!("record t/{partition}@")) {
                        prop_assert_eq!(rest.split(' ').next().unwrap(), next.to_string());
                        next += 1;
                    } else if let Some(rest) = line.strip_prefix(&format!("gap t/{partition}:")) {
                        let (gap, to) = rest.split(':').next().unwrap().split_once('-').unwrap();
                        prop_assert_eq!(gap, next.to_string());
                        next = to.parse().unwrap();
                    }
                }
                prop_assert_eq!(next, end + 1);
            }
        }
    }
}

/// Requests a stream through the routes, and returns its body and status.
async fn ask(app: &Arc<App>, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let answer = get(app, path, headers).await;
    (answer.status().as_u16(), String::from_utf8(answer.body().to_vec()).unwrap())
}

#[tokio::test]
async fn the_frames_of_a_snapshot_have_no_id_before_event_live() {
    let broker = broker_with_keys();
    let app = bridge(&broker);
    let (status, body) = ask(&app, "/topics/t/events?from=snapshot&until=end", &[]).await;
    let (_, frames) = body.split_once(": connected\n\n").unwrap();
    let (snapshot, rest) = frames.split_once("event: live\n").unwrap();
    assert_eq!((status, snapshot), (200, "data: 4\n\ndata: 2\n\n"));
    let (live, end) = rest.split_once("\n\n").unwrap();
    let (data, id) = live.split_once("\nid: ").unwrap();
    assert_eq!(data, r#"data: {"keys":2}"#);
    assert_eq!(end, format!("event: end\ndata: {{}}\nid: {id}~\n\n"));
    // A cursor wins over `from`: a client that reconnects receives the new records and no snapshot.
    put(&broker, 0, "a", "5");
    for headers in [&[("last-event-id", id)][..], &[]] {
        let query = if headers.is_empty() { format!("&last_event_id={id}") } else { String::new() };
        let path = format!("/topics/t/events?from=snapshot&since=-24h&until=end{query}");
        let (_, body) = ask(&app, &path, headers).await;
        assert!(body.contains("\n\ndata: 5\nid: ") && !body.contains("event: live"), "{body}");
    }
    let complete = end.split("id: ").nth(1).unwrap().trim();
    let again = ask(&app, "/topics/t/events?from=snapshot&until=end", &[("last-event-id", complete)]).await;
    assert_eq!(again, (204, String::new()));
}

#[tokio::test]
async fn the_lines_of_a_snapshot_end_with_a_notice() {
    let broker = broker_with_keys();
    let app = bridge(&broker);
    let accept = [("accept", "application/x-ndjson")];
    let (_, body) = ask(&app, "/events?topic=t&from=snapshot&until=end", &accept).await;
    let line = |partition, offset, key, value| {
        format!(
            "{{\"topic\":\"t\",\"partition\":{partition},\"offset\":{offset},\"timestamp\":0,\"key\":\"{key}\",\"headers\":[],\
             \"value\":{value}}}\n"
        )
    };
    let live = "{\"event\":\"live\",\"keys\":2}\n";
    assert_eq!(body, format!("\n{}{}{live}", line(0, 2, "a", 4), line(1, 0, "b", 2)));
    let (_, limited) = ask(&app, "/events?topic=t&from=snapshot&limit=1", &accept).await;
    assert_eq!(limited, format!("\n{}", line(0, 2, "a", 4)));
}

#[tokio::test]
async fn a_snapshot_that_is_too_large_is_a_413_and_an_invalid_since_a_400() {
    let broker = broker_with_keys();
    let settings = Settings { snapshot_bytes: 300, ..Settings::default() };
    let app = App::new(Arc::new(Hub::start(broker.clone(), settings).unwrap()), http::Settings::default());
    let cases = [
        (
            "from=snapshot",
            413,
            "the latest records of topic \\\"t\\\" take more than 300 bytes in memory; narrow the snapshot",
        ),
        ("from=snapshot&until=end", 413, "raise --snapshot-bytes"),
        ("from=snapshot&since=yesterday", 400, "since is \\\"yesterday\\\"; allowed are an age like -24h"),
        ("from=snapshot&since=latest", 400, "since is \\\"latest\\\""),
        ("from=latest&since=-24h", 400, "use it with from=snapshot"),
        ("since=-24h", 400, "use it with from=snapshot"),
        ("from=newest", 400, "allowed are latest, earliest, snapshot"),
    ];
    for (query, expected, detail) in cases {
        let (status, body) = ask(&app, &format!("/topics/t/events?{query}"), &[]).await;
        assert_eq!(status, expected, "{query}: {body}");
        assert!(body.contains(detail), "{query}: {body}");
    }
    let (status, _) = ask(&app, "/topics/never/events?from=snapshot", &[]).await;
    assert_eq!(status, 404);
}
