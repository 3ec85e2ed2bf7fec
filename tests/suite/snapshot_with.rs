//! `from=snapshot` together with the other parameters of a stream, through the routes.

use crate::hub::{Client, Lines, hub, resume, subscription};
use crate::resume::{bridge, get};
use crate::support::memory_broker::MemoryBroker;
use curlew::http::App;
use curlew::hub::*;
use curlew::record::*;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

const HOUR: Timestamp = 3_600_000;

fn put(broker: &MemoryBroker, topic: &str, partition: usize, (key, value, timestamp): (&str, &str, Timestamp)) {
    let bytes = |text: &str| Some(text.to_owned().into());
    let value = if value.is_empty() { None } else { bytes(value) };
    let record = NewRecord { key: bytes(key), value, timestamp: Some(timestamp), ..NewRecord::default() };
    broker.append_record(topic, partition, record);
}

/// Topics `a` and `b`: three machines, of which one was removed, and two.
fn machines() -> Arc<MemoryBroker> {
    let broker = MemoryBroker::new();
    broker.create("a", 2);
    broker.create("b", 1);
    for (partition, given) in [
        (0, ("m1", r#"{"t":20,"on":true}"#, 1000)),
        (1, ("m2", r#"{"t":31.50,"on":false}"#, 2000)),
        (0, ("m3", r#"{"t":7}"#, 3000)),
        (0, ("m1", r#"{"t":40,"on":true}"#, 4000)),
        (0, ("m3", "", 5000)),
    ] {
        put(&broker, "a", partition, given);
    }
    put(&broker, "b", 0, ("m9", r#"{"t":50,"on":true}"#, 1500));
    put(&broker, "b", 0, ("m8", r#"{"t":1,"on":true}"#, 2500));
    broker
}

async fn body(app: &Arc<App>, path: &str, accept: &str) -> String {
    let answer = get(app, path, &[("accept", accept)]).await;
    let body = String::from_utf8(answer.body().to_vec()).unwrap();
    assert_eq!(answer.status(), 200, "{path}: {body}");
    body
}

#[tokio::test]
async fn a_snapshot_as_csv_is_a_row_for_each_key() {
    let app = bridge(&machines());
    let path = "/topics/a/events?from=snapshot&until=end&format=csv&select=key,value.t,offset";
    assert_eq!(body(&app, path, "*/*").await, "key,value.t,offset\r\nm2,31.50,0\r\nm1,40,2\r\n");
    let path = "/events?topic=b&topic=a&from=snapshot&until=end&format=csv&select=topic,key,value.t&where=value.on";
    assert_eq!(body(&app, path, "*/*").await, "topic,key,value.t\r\na,m1,40\r\nb,m9,50\r\nb,m8,1\r\n");
}

#[tokio::test]
async fn a_snapshot_of_several_topics_has_the_fields_and_conditions_of_its_stream() {
    let broker = machines();
    let app = bridge(&broker);
    let path = "/events?topic=b&topic=a&from=snapshot&until=end&select=key,value.t&where=value.t%20%3E%3D%2031.5";
    let expected = [
        r#"{"key":"m2","value":{"t":31.50}}"#,
        r#"{"key":"m1","value":{"t":40}}"#,
        r#"{"key":"m9","value":{"t":50}}"#,
        r#"{"event":"live","keys":3}"#,
    ];
    let lines = body(&app, path, "application/x-ndjson").await;
    assert_eq!(lines.lines().filter(|line| !line.is_empty()).collect::<Vec<_>>(), expected);
    // A key whose latest record does not match is left out, although an earlier one matches.
    put(&broker, "a", 0, ("m1", r#"{"t":3}"#, 6000));
    let lines = body(&app, path, "application/x-ndjson").await;
    assert!(!lines.contains("m1") && lines.contains(r#""keys":2}"#), "{lines}");
    let events = body(&app, &path.replace("&until=end", "&limit=1"), "text/event-stream").await;
    let data: Vec<_> = events.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    assert_eq!(data, [expected[0], "{}"], "{events}");
}

#[tokio::test]
async fn a_topic_that_does_not_exist_adds_nothing_to_the_snapshot_of_the_others() {
    let app = bridge(&machines());
    let accept = "application/x-ndjson";
    let path = "/events?topic=never&topic=b&from=snapshot&limit=2&wait=true&select=topic,key";
    let lines = body(&app, path, accept).await;
    let records: Vec<_> = lines.lines().filter(|line| line.contains("key")).collect();
    assert_eq!(records, [r#"{"topic":"b","key":"m9"}"#, r#"{"topic":"b","key":"m8"}"#], "{lines}");
    let refused = get(&app, "/events?topic=never&topic=b&from=snapshot", &[("accept", accept)]).await;
    assert_eq!(refused.status(), 404);
}

#[tokio::test]
async fn a_snapshot_until_a_past_time_is_the_current_state_and_ends() {
    let app = bridge(&machines());
    for until in ["end", "-1h", "1970-01-01T00:00:01Z"] {
        let events = body(&app, &format!("/topics/a/events?from=snapshot&until={until}"), "*/*").await;
        let (snapshot, rest) = events.split_once("event: live\ndata: {\"keys\":2}\nid: ").unwrap();
        let data: Vec<_> = snapshot.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        assert_eq!(data, [r#"{"t":31.50,"on":false}"#, r#"{"t":40,"on":true}"#], "{until}: {events}");
        let (id, end) = rest.split_once("\n\n").unwrap();
        assert_eq!(end, format!("event: end\ndata: {{}}\nid: {id}~\n\n"), "{until}");
    }
}

fn keys_and_values(start: Start) -> Subscription {
    Subscription { format: Arc::new(Lines::KeysAndValues), ..subscription(&["t"], start) }
}

#[test]
fn a_snapshot_until_a_future_time_is_live_until_then() {
    let broker = MemoryBroker::new();
    broker.create("t", 1);
    let time = now() + HOUR;
    put(&broker, "t", 0, ("a", "1", 1));
    let hub = hub(&broker);
    let start = Start::Snapshot { since: None };
    let mut client = Client::open(&hub, Subscription { until: Until::Time(time), ..keys_and_values(start) });
    client.until("live 1 ");
    put(&broker, "t", 0, ("a", "2", time - 1));
    client.until("record t/0@1");
    put(&broker, "t", 0, ("a", "3", time));
    client.read_to_end();
    assert_eq!(client.story()[..3], ["record t/0@0 a=1", "live 1", "record t/0@1 a=2"], "{:?}", client.lines);
    assert!(client.id.ends_with('~') && !client.lines.iter().any(|line| line.contains("a=3")), "{:?}", client.lines);
}

#[test]
fn a_sample_after_a_snapshot_sends_the_latest_record_of_each_interval() {
    let broker = MemoryBroker::new();
    broker.create("t", 1);
    for given in [("a", "1", 0), ("b", "2", 1), ("a", "3", 2)] {
        put(&broker, "t", 0, given);
    }
    let hub = hub(&broker);
    let filter = Filter { sample: Some(Duration::from_secs(3600)), ..Filter::default() };
    let start = Start::Snapshot { since: None };
    let mut client = Client::open(&hub, Subscription { filter: filter.clone(), ..keys_and_values(start) });
    // The snapshot itself is not held back.
    client.until("live 2 ");
    let id = client.id.clone();
    for given in [("a", "4", 3), ("b", "", 4), ("a", "5", 5), ("c", "6", HOUR)] {
        put(&broker, "t", 0, given);
    }
    client.until("record t/0@5");
    let expected = ["record t/0@1 b=2", "record t/0@2 a=3", "live 2", "record t/0@4 b=-", "record t/0@5 a=5"];
    let records =
        |client: &Client| client.story().into_iter().filter(|line| *line != "at").map(str::to_owned).collect();
    let story: Vec<String> = records(&client);
    assert_eq!(story, expected);
    // The id after the snapshot continues there, and the snapshot is not sent again.
    let again = keys_and_values(resume(&["t"], &id).start);
    let mut again = Client::open(&hub, Subscription { filter, until: Until::End, ..again });
    again.read_to_end();
    let story: Vec<String> = records(&again);
    assert_eq!(story, ["record t/0@4 b=-", "record t/0@5 a=5", "record t/0@6 c=6"]);
}

#[tokio::test]
async fn the_check_before_a_stream_and_the_stream_share_one_round_of_reading() {
    // A round looks up the log start offset. If this machine is too slow, a snapshot is dropped and read again.
    let mut look_ups = Vec::new();
    for _ in 0..5 {
        let broker = machines();
        let app = bridge(&broker);
        let events = body(&app, "/topics/b/events?from=snapshot&until=end", "*/*").await;
        assert!(events.contains("\"keys\":2}"), "{events}");
        look_ups.push(broker.start_look_ups.load(Ordering::Relaxed));
        if look_ups.ends_with(&[1]) {
            return;
        }
    }
    panic!("more than one round for each stream: {look_ups:?}");
}
