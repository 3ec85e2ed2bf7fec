//! Streams that end at a time.

use crate::hub::{Client, resume, subscription, topic};
use crate::resume::{bridge, get};
use crate::support::memory_broker::MemoryBroker;
use curlew::cursor::{Cursor, Selection};
use curlew::hub::*;
use curlew::record::*;
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;

const HOUR: Timestamp = 3_600_000;

fn at(timestamp: Timestamp) -> NewRecord {
    NewRecord { value: Some(timestamp.to_string().into()), timestamp: Some(timestamp), ..NewRecord::default() }
}

fn broker(partitions: &[Vec<Timestamp>]) -> Arc<MemoryBroker> {
    let broker = MemoryBroker::new();
    broker.create("t", partitions.len());
    for (partition, timestamps) in partitions.iter().enumerate() {
        for timestamp in timestamps {
            broker.append_record("t", partition, at(*timestamp));
        }
    }
    broker
}

fn hub_that_waits(broker: &Arc<MemoryBroker>, until_delay: Duration) -> Hub {
    let settings = Settings {
        until_delay,
        metadata_refresh: Duration::from_millis(50),
        topic_patience: Duration::from_secs(1),
        ..Settings::default()
    };
    Hub::start(broker.clone(), settings).unwrap()
}

fn hub(broker: &Arc<MemoryBroker>) -> Hub {
    hub_that_waits(broker, Duration::from_secs(5))
}

fn until(time: Timestamp, start: Start) -> Subscription {
    Subscription { until: Until::Time(time), ..subscription(&["t"], start) }
}

/// Reads a stream to its end, and returns its records as `partition@offset`.
fn records(hub: &Hub, subscription: Subscription) -> Vec<String> {
    let mut client = Client::open(hub, subscription);
    client.read_to_end();
    assert!(client.id.ends_with('~'), "the last id marks the stream as complete: {:?}", client.lines);
    let records = client.lines.iter().filter_map(|line| line.strip_prefix("record t/"));
    records.map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]
    #[test]
    fn a_stream_ends_at_a_time_where_one_from_that_time_begins(
        partitions in prop::collection::vec(prop::collection::vec(0..20i64, 0..12), 1..4),
        time in 0..21i64,
    ) {
        let broker = broker(&partitions);
        let hub = hub(&broker);
        let before = records(&hub, until(time, Start::Earliest));
        let from = Subscription { until: Until::End, ..subscription(&["t"], Start::Time(time)) };
        let after = records(&hub, from);
        let all = partitions.iter().enumerate().map(|(partition, timestamps)| {
            let end = timestamps.iter().position(|timestamp| *timestamp >= time).unwrap_or(timestamps.len());
            let own = format!("{partition}@");
            let of = |records: &[String]| records.iter().filter(|record| record.starts_with(&own)).cloned().collect::<Vec<_>>();
            let expected = |offsets: std::ops::Range<usize>| offsets.map(|offset| format!("{own}{offset}")).collect::<Vec<_>>();
            (of(&before) == expected(0..end), of(&after) == expected(end..timestamps.len()))
        });
        let all: Vec<_> = all.collect();
        prop_assert!(all.iter().all(|right| *right == (true, true)), "{all:?}: {before:?} {after:?}");
    }
}

#[test]
fn a_stream_begins_so_many_records_before_the_end_of_each_partition() {
    let broker = broker(&[vec![1; 5], vec![1; 2], vec![]]);
    let hub = hub(&broker);
    for (count, expected) in [(0, vec![]), (3, vec!["0@2", "0@3", "0@4", "1@0", "1@1"])] {
        let mut read = records(&hub, Subscription { until: Until::End, ..subscription(&["t"], Start::Last(count)) });
        read.sort();
        assert_eq!(read, expected, "{count}");
    }
    let mut client = Client::open(&hub, subscription(&["t"], Start::Last(1)));
    for n in 0..3 {
        broker.append_record("t", n, at(2));
    }
    (0..3).for_each(|n| client.until(&format!("record t/{n}@{} 2", [5, 2, 0][n])));
}

#[test]
fn a_stream_until_a_future_time_is_live_and_ends_when_it_has_passed() {
    let broker = broker(&[vec![1], vec![2]]);
    let hub = hub_that_waits(&broker, Duration::from_millis(100));
    let time = now() + 1_500;
    let mut clients = [
        Client::open(&hub, until(time, Start::Latest)),
        Client::open(&hub, until(time, Start::Latest)),
        Client::open(&hub, until(time, Start::Earliest)),
    ];
    clients.iter_mut().for_each(|client| client.until("at"));
    clients[2].until("record t/1@0");
    broker.append_record("t", 0, at(3));
    broker.append_record("t", 1, at(time - 1));
    clients.iter_mut().for_each(|client| client.until("record t/1@1"));
    // Partition 0 ends before this record, though its next one is older; partition 1 goes on.
    broker.append_record("t", 0, at(time));
    broker.append_record("t", 0, at(4));
    broker.append_record("t", 1, at(5));
    for client in &mut clients {
        client.until("record t/1@2");
        client.read_to_end();
        assert!(client.id.ends_with('~') && now() >= time, "{:?}", client.lines);
        let last = Cursor::parse(&client.id, vec![topic("t")], Selection::All).unwrap();
        assert_eq!(last.offsets(0).collect::<Vec<_>>(), [(0, 2), (1, 3)], "{:?}", client.lines);
        assert!(!client.lines.iter().any(|line| line.starts_with("record t/0@2") || line.starts_with("problem")));
    }
    // The id is an ordinary position.
    let mut again = Client::open(&hub, resume(&["t"], &clients[0].id));
    again.until("record t/0@3");
    assert_eq!(again.story(), ["at", &format!("record t/0@2 {time}"), "record t/0@3 4"]);
}

#[test]
fn a_stream_ends_early_once_every_partition_has_reached_the_time() {
    let time = now() + HOUR;
    let broker = broker(&[vec![1, time], vec![2]]);
    let hub = hub(&broker);
    let mut from_latest = Client::open(&hub, until(time, Start::Latest));
    let mut from_earliest = Client::open(&hub, until(time, Start::Earliest));
    from_latest.until("at");
    from_earliest.until("record t/1@0");
    broker.append_record("t", 1, at(3));
    from_latest.until("record t/1@1");
    broker.append_record("t", 1, at(time + 1));
    for client in [&mut from_latest, &mut from_earliest] {
        client.read_to_end();
        assert!(client.id.ends_with('~'), "{:?}", client.lines);
        assert!(!client.lines.iter().any(|line| line.starts_with("record t/0@1") || line.starts_with("record t/1@2")));
    }
    assert!(from_latest.lines.iter().all(|line| !line.starts_with("record t/0")), "{:?}", from_latest.lines);
}

#[test]
fn a_cursor_past_the_end_of_a_truncated_log_is_a_gap_until_a_time_too() {
    let future = now() + HOUR;
    for time in [10, future] {
        let broker = broker(&[vec![1, 2, 3, 4]]);
        let hub = hub(&broker);
        let cursor = Cursor::at(vec![(topic("t"), 0, 99)], vec![topic("t")], Selection::All).unwrap();
        let mut client = Client::open(&hub, until(time, Start::Cursor(cursor)));
        client.until("gap t/0:99-4:truncated");
        if time == future {
            broker.append_record("t", 0, at(5));
            client.until("record t/0@4");
            broker.append_record("t", 0, at(time));
        }
        client.read_to_end();
        assert!(client.id.ends_with('~'), "{:?}", client.lines);
    }
}

#[tokio::test]
async fn the_automatic_reconnect_of_a_stream_that_ended_at_a_time_is_a_204() {
    let broker = broker(&[vec![1], vec![now() - HOUR]]);
    let app = bridge(&broker);
    let path = "/topics/t/events?from=earliest&until=-15m";
    let answer = get(&app, path, &[]).await;
    let body = String::from_utf8(answer.body().to_vec()).unwrap();
    assert_eq!((answer.status().as_u16(), body.matches("data: ").count()), (200, 2), "{body}");
    let id = body.lines().filter_map(|line| line.strip_prefix("id: ")).next_back().unwrap();
    assert_eq!(get(&app, path, &[("last-event-id", id)]).await.status(), 204);
    for bad in ["latest", "noon", "2026-01-31", "15m"] {
        let path = format!("/topics/t/events?until={bad}");
        let answer = get(&app, &path, &[]).await;
        let body = String::from_utf8_lossy(answer.body());
        assert!(answer.status() == 400 && body.contains("allowed are end") && body.contains("-15m"), "{bad}: {body}");
    }
}
