//! Where streams end, and the position of their last id.

use crate::hub::{Client, hub, idle_hub, resume, subscription, topic};
use crate::resume::{bridge, bridge_with, get};
use crate::support::memory_broker::MemoryBroker;
use curlew::cursor::{Cursor, Selection};
use curlew::http::routes;
use curlew::hub::*;
use curlew::record::*;
use std::num::NonZeroU64;
use std::sync::Arc;

/// Returns a cursor at these offsets of the partitions of topic `t`.
fn at(offsets: &[Offset]) -> Start {
    let offsets = offsets.iter().enumerate().map(|(p, offset)| (topic("t"), p as Partition, *offset)).collect();
    Start::Cursor(Cursor::at(offsets, vec![topic("t")], Selection::All).unwrap())
}

fn until_end(start: Start) -> Subscription {
    Subscription { until: Until::End, ..subscription(&["t"], start) }
}

fn broker_with(records: &[usize]) -> Arc<MemoryBroker> {
    let broker = MemoryBroker::new();
    broker.create("t", records.len());
    for (partition, count) in records.iter().enumerate() {
        (0..*count).for_each(|n| {
            broker.append("t", partition, format!("{n}"));
        });
    }
    broker
}

/// Returns the next offsets in an id.
fn offsets(id: &str) -> Vec<Offset> {
    let cursor = Cursor::parse(id, vec![topic("t")], Selection::All).unwrap();
    cursor.offsets(0).map(|(_, next)| next).collect()
}

#[test]
fn a_cursor_past_the_end_is_a_gap_in_bounded_streams_too() {
    let truncated = "gap t/0:99-4:truncated";
    let (end, limit) = (Until::End, NonZeroU64::new(1));
    for (until, limit) in [(end, None), (Until::Forever, limit), (end, limit)] {
        let broker = broker_with(&[4]);
        let hub = idle_hub(&broker);
        let mut client = Client::open(&hub, Subscription { until, limit, ..subscription(&["t"], at(&[99])) });
        client.until(truncated);
        if until == Until::Forever {
            broker.append("t", 0, "after");
        }
        client.read_to_end();
        assert!(!client.lines.iter().any(|line| line.starts_with("problem")), "{:?}", client.lines);
        let offset = if until == Until::Forever { 5 } else { 4 };
        assert_eq!(offsets(&client.id), [offset], "{:?}", client.lines);
    }
    // The other partitions are read to their ends.
    let broker = broker_with(&[4, 2]);
    let hub = idle_hub(&broker);
    let mut client = Client::open(&hub, until_end(at(&[99, 0])));
    client.read_to_end();
    let mut story = client.story();
    story.retain(|line| *line != "at");
    story.sort_unstable();
    assert_eq!(story, [truncated, "record t/1@0 0", "record t/1@1 1"]);
    assert_eq!(offsets(&client.id), [4, 2]);
}

#[test]
fn a_cursor_before_the_start_is_a_gap_even_if_no_records_are_left() {
    let broker = broker_with(&[4]);
    broker.trim("t", 0, 4);
    let hub = idle_hub(&broker);
    let mut client = Client::open(&hub, until_end(at(&[2])));
    client.read_to_end();
    client.lines.dedup();
    assert!(client.story().contains(&"gap t/0:2-4:retention"), "{:?}", client.story());
    assert_eq!(offsets(&client.id), [4]);
}

#[test]
fn a_cursor_at_the_end_is_no_gap() {
    let broker = broker_with(&[4, 0]);
    let hub = idle_hub(&broker);
    let mut client = Client::open(&hub, until_end(at(&[4, 0])));
    client.read_to_end();
    assert!(client.story().iter().all(|line| *line == "at"), "{:?}", client.story());
    assert_eq!(offsets(&client.id), [4, 0]);
}

#[test]
fn the_id_of_an_idle_stream_moves_past_records_that_are_never_delivered() {
    let broker = broker_with(&[1]);
    let hub = hub(&broker);
    let mut live = Client::open(&hub, subscription(&["t"], Start::Latest));
    live.until("at");
    // A transaction of two records with its marker, then 300 aborted records.
    broker.append("t", 0, "a");
    broker.append("t", 0, "b");
    broker.skip("t", 0, 1);
    live.until("record t/0@2");
    broker.skip("t", 0, 301);
    while offsets(&live.id) != [305] {
        live.next();
    }
    broker.trim("t", 0, 305);
    let mut again = Client::open(&hub, until_end(at(&offsets(&live.id))));
    again.read_to_end();
    assert!(!again.lines.iter().any(|line| line.starts_with("gap")), "{:?}", again.lines);
}

#[test]
fn one_record_per_transaction_does_not_cause_an_id_frame_per_record() {
    let broker = broker_with(&[0]);
    let hub = idle_hub(&broker);
    let mut live = Client::open(&hub, subscription(&["t"], Start::Latest));
    live.until("at");
    for n in 0..200 {
        let offset = broker.append("t", 0, format!("{n}"));
        broker.skip("t", 0, 1);
        live.until(&format!("record t/0@{offset}"));
    }
    let ids_only = live.story().iter().filter(|line| **line == "at").count();
    // One at the start, and on a slow machine one every 5 s.
    assert!(ids_only <= 10, "{ids_only} id-only frames for 200 records");
}

#[test]
fn the_last_id_of_a_bounded_stream_is_past_records_that_are_never_delivered() {
    for records in [0, 1, 3] {
        let broker = broker_with(&[records, 1]);
        broker.skip("t", 0, 300);
        let hub = idle_hub(&broker);
        let mut client = Client::open(&hub, until_end(Start::Earliest));
        client.read_to_end();
        assert_eq!(offsets(&client.id), [records as Offset + 300, 1], "{:?}", client.lines);
        // If retention removes only offsets after the last record, this client loses nothing.
        broker.trim("t", 0, records as Offset + 300);
        let mut again = Client::open(&hub, resume(&["t"], &client.id));
        again.until("at");
        broker.append("t", 0, "next");
        again.until(&format!("record t/0@{}", records + 300));
        assert!(!again.lines.iter().any(|line| line.starts_with("gap")), "{:?}", again.lines);
    }
}

/// Returns the ids in a body of Server-Sent Events.
fn ids(body: &[u8]) -> Vec<String> {
    let text = String::from_utf8(body.to_vec()).unwrap();
    text.lines().filter_map(|line| line.strip_prefix("id: ")).map(str::to_owned).collect()
}

#[tokio::test]
async fn the_automatic_reconnect_of_a_complete_stream_is_204() {
    let broker = broker_with(&[3, 1]);
    let app = bridge(&broker);
    let resumed = async |path: &str, id: &str| get(&app, path, &[("last-event-id", id)]).await;
    for bound in ["until=end", "limit=2", "limit=9&until=end"] {
        let path = format!("/topics/t/events?from=earliest&{bound}");
        let answer = get(&app, &path, &[]).await;
        assert_eq!(answer.status(), 200);
        let ids = ids(answer.body());
        let (last, earlier) = ids.split_last().unwrap();
        assert!(last.ends_with('~') && !earlier.iter().any(|id| id.ends_with('~')), "{bound}: {ids:?}");
        let again = resumed(&path, last).await;
        assert_eq!((again.status().as_u16(), again.body().len()), (204, 0), "{bound}");
        // A stream that was cut before its last frame continues.
        assert_eq!(resumed(&path, &earlier[0]).await.status(), 200, "{bound}");
        // A script that passes the id in the URL continues from there.
        broker.append("t", 0, "more");
        broker.append("t", 0, "more");
        let more = get(&app, &format!("{path}&last_event_id={last}"), &[]).await;
        let text = String::from_utf8(more.body().to_vec()).unwrap();
        assert!(more.status() == 200 && text.contains("\ndata: "), "{bound}: {text}");
        assert_eq!(resumed(&path, "AAAA~").await.status(), 400, "a damaged cursor is damaged");
    }
}

#[tokio::test]
async fn the_last_id_of_a_complete_stream_always_comes_with_data() {
    let broker = broker_with(&[3, 0]);
    broker.skip("t", 0, 2);
    let app = bridge(&broker);
    // Transaction markers last, no matching record, and no record at all.
    for query in ["from=earliest&until=end", "from=earliest&until=end&key=none", "until=end", "partition=1&until=end"] {
        let path = format!("/topics/t/events?{query}");
        let answer = get(&app, &path, &[]).await;
        let text = String::from_utf8(answer.body().to_vec()).unwrap();
        let last = text.trim_end().rsplit("\n\n").next().unwrap();
        assert!(last.starts_with("event: end\ndata: {}\nid: ") && last.ends_with('~'), "{query}: {text}");
        assert_eq!(text.matches("event: end").count(), 1, "{query}: {text}");
    }
    // If a record is last, it carries the id itself.
    let answer = get(&app, "/topics/t/events?from=earliest&limit=3", &[]).await;
    let text = String::from_utf8(answer.body().to_vec()).unwrap();
    assert!(!text.contains("event:") && text.trim_end().ends_with('~'), "{text}");
}

#[tokio::test]
async fn a_gap_before_the_end_is_a_line_in_ndjson_too() {
    let app = bridge(&broker_with(&[4]));
    let path = "/topics/t/events?from=t:0:99&until=end";
    let answer = get(&app, path, &[("accept", "application/x-ndjson")]).await;
    let text = String::from_utf8(answer.body().to_vec()).unwrap();
    let expected = r#"{"event":"gap","topic":"t","partition":0,"from":99,"to":4,"reason":"truncated"}"#;
    assert_eq!(text.trim(), expected);
}

fn with_short_ids(broker: &Arc<MemoryBroker>) -> Hub {
    let (metadata_refresh, max_id_bytes) = (std::time::Duration::from_millis(50), 100);
    Hub::start(broker.clone(), Settings { metadata_refresh, max_id_bytes, ..Settings::default() }).unwrap()
}

#[test]
fn a_stream_whose_id_would_be_too_long_to_send_back_gets_no_id() {
    let broker = broker_with(&[0; 200]);
    let hub = with_short_ids(&broker);
    let mut rejected = Client::open(&hub, subscription(&["t"], Start::Latest));
    rejected.read_to_end();
    assert!(rejected.lines.len() == 1 && rejected.lines[0].starts_with("problem IdTooLong"), "{:?}", rejected.lines);
    assert!(rejected.lines[0].contains("partitions: 200"), "{:?}", rejected.lines);
}

#[test]
fn a_stream_whose_id_grows_too_long_to_send_back_ends_with_a_problem() {
    type Growth = fn(&MemoryBroker);
    let growths: [Growth; 2] = [
        |broker| broker.grow("t", 200),
        |broker| {
            // Offsets with nine base-64 digits.
            broker.trim("t", 0, 1 << 50);
            broker.append("t", 0, "far");
        },
    ];
    for growth in growths {
        let broker = broker_with(&[1; 20]);
        let hub = with_short_ids(&broker);
        let mut client = Client::open(&hub, subscription(&["t"], Start::Latest));
        client.until("at");
        broker.append("t", 0, "live");
        client.until("record t/0@1");
        growth(&broker);
        client.read_to_end();
        assert!(client.lines.last().unwrap().starts_with("problem IdTooLong"), "{:?}", client.lines);
    }
}

#[tokio::test]
async fn a_stream_whose_id_would_be_too_long_is_rejected_with_the_number_of_partitions_that_fit() {
    let broker = MemoryBroker::new();
    broker.create("a", 1200);
    broker.create("b", 1200);
    let limits = curlew::http::limits::Settings { max_header: 1 << 10, ..curlew::http::limits::Settings::default() };
    let app = bridge_with(&broker, limits);
    let get = async |path: &str, accept: &str| get(&app, path, &[("accept", accept)]).await;
    let events = "text/event-stream";
    let rejected = get("/events?topic=a&topic=b", events).await;
    let text = String::from_utf8(rejected.body().to_vec()).unwrap();
    assert_eq!(rejected.status(), 422, "{text}");
    assert!(text.contains("2400 partitions") && text.contains("768") && text.contains("--max-header"), "{text}");
    let fit: usize = text.split_once("about ").unwrap().1.split(' ').next().unwrap().parse().unwrap();
    broker.create("fits", fit);
    broker.create("too-many", fit + 5);
    assert_eq!(get("/topics/fits/events?until=end", events).await.status(), 200, "{fit} partitions");
    assert_eq!(get("/topics/too-many/events?until=end", events).await.status(), 422, "{fit} partitions and 5");
    assert_eq!(get("/topics/a/events?partition=7&until=end", events).await.status(), 200);
    assert_eq!(get("/topics/a/events?until=end", "application/x-ndjson").await.status(), 200, "NDJSON has no ids");
}

/// A hub that waits a minute for deleted topics.
fn patient_hub(broker: &Arc<MemoryBroker>) -> Hub {
    let metadata_refresh = std::time::Duration::from_millis(50);
    Hub::start(broker.clone(), Settings { metadata_refresh, ..Settings::default() }).unwrap()
}

/// Returns topics `a` and `b` with one record each, a hub, and a live stream that has read both.
fn two_topics() -> (Arc<MemoryBroker>, Hub, Client) {
    let broker = MemoryBroker::new();
    for name in ["a", "b"] {
        broker.create(name, 1);
        broker.append(name, 0, "before");
    }
    let hub = patient_hub(&broker);
    let mut client = Client::open(&hub, subscription(&["a", "b"], Start::Earliest));
    client.until("record a/0@0");
    client.until("record b/0@0");
    (broker, hub, client)
}

#[test]
fn a_stream_continues_with_its_other_topics_while_one_is_missing() {
    for is_connected in [true, false] {
        let (broker, mut hub, mut client) = two_topics();
        if is_connected {
            broker.delete("b");
        } else {
            let id = client.id.clone();
            drop(client);
            broker.delete("b");
            // Another bridge, which never saw the topic.
            hub = patient_hub(&broker);
            client = Client::open(&hub, resume(&["a", "b"], &id));
        }
        client.until("waiting b");
        broker.append("a", 0, "meanwhile");
        client.until("record a/0@1 meanwhile");
        broker.create("b", 1);
        broker.append("b", 0, "new");
        client.until("gap b/0:1-0:recreated");
        client.until("record b/0@0 new");
        broker.append("a", 0, "after");
        client.until("record a/0@2 after");
        let count = client.lines.iter().filter(|line| line.starts_with("gap") || line.starts_with("problem")).count();
        assert_eq!(count, 1, "{:?}", client.lines);
        drop(hub);
    }
}

#[test]
fn a_topic_that_returns_with_the_same_id_resumes_where_it_was() {
    for is_connected in [true, false] {
        let (broker, mut hub, mut client) = two_topics();
        if is_connected {
            broker.hide("b");
        } else {
            let id = client.id.clone();
            drop(client);
            broker.hide("b");
            hub = patient_hub(&broker);
            client = Client::open(&hub, resume(&["a", "b"], &id));
        }
        client.until("waiting b");
        broker.show("b");
        broker.append("b", 0, "next");
        client.until("record b/0@1 next");
        broker.append("b", 0, "last");
        client.until("record b/0@2 last");
        assert!(!client.lines.iter().any(|line| line.starts_with("gap")), "{:?}", client.lines);
        let seen = client.lines.iter().filter(|line| line.starts_with("record b/")).count();
        assert_eq!(seen, if is_connected { 3 } else { 2 }, "{:?}", client.lines);
        drop(hub);
    }
}

#[test]
fn a_stream_waits_for_its_only_topic_before_it_ends() {
    for is_connected in [true, false] {
        let broker = broker_with(&[2]);
        let own = hub(&broker);
        let mut client = Client::open(&own, subscription(&["t"], Start::Earliest));
        client.until("record t/0@1");
        let id = client.id.clone();
        if is_connected {
            broker.delete("t");
        } else {
            drop(client);
            broker.delete("t");
            client = Client::open(&own, resume(&["t"], &id));
        }
        client.until("waiting t");
        client.until("gap t/0:2-0:recreated");
        client.until("problem UnknownTopic(\"t\")");
        client.read_to_end();
        // The last id records that the topic was given up: a client that resumes with it does not wait again.
        let mut again = Client::open(&own, resume(&["t"], &client.id));
        again.read_to_end();
        assert!(again.lines.last().unwrap().starts_with("problem UnknownTopic"), "{:?}", again.lines);
        // A stream with wait=true stays open.
        let mut waiting = Client::open(&own, Subscription { missing: Missing::Wait, ..resume(&["t"], &id) });
        waiting.until("gap t/0:2-0:recreated");
        broker.create("t", 1);
        broker.append("t", 0, "new");
        waiting.until("record t/0@0 new");
    }
}

#[tokio::test]
async fn a_missing_topic_is_404_only_for_clients_without_a_position_in_it() {
    let broker = MemoryBroker::new();
    broker.create("here", 1);
    let app = bridge(&broker);
    let head = async |path: &str, cursor: Option<Cursor>| {
        let request = warp::test::request().method("HEAD").path(path);
        let id = cursor.map(|mut cursor| cursor.text().to_owned());
        let request = id.iter().fold(request, |request, id| request.header("last-event-id", id));
        request.reply(&routes(app.clone())).await.status().as_u16()
    };
    let cursor = |offsets: &[(&str, Offset)], topics: &[&str]| {
        let offsets = offsets.iter().map(|(name, next)| (topic(name), 0, *next)).collect();
        Some(Cursor::at(offsets, topics.iter().map(|name| topic(name)).collect(), Selection::All).unwrap())
    };
    let (one, two) = ("/topics/gone/events", "/events?topic=here&topic=gone");
    assert_eq!(head(one, None).await, 404);
    assert_eq!(head(two, None).await, 404);
    assert_eq!(head(one, cursor(&[("gone", 5)], &["gone"])).await, 200);
    assert_eq!(head(one, cursor(&[], &["gone"])).await, 404, "the topic was given up before");
    assert_eq!(head(two, cursor(&[("here", 1), ("gone", 5)], &["here", "gone"])).await, 200);
    assert_eq!(head(two, cursor(&[("here", 1)], &["here", "gone"])).await, 200);
}
