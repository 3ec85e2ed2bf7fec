//! Records that can no longer be read are reported as gaps, never skipped silently.

use crate::{SOON, bridge};
use curlew_integration::bridge::run;
use curlew_integration::kafka::Kafka;
use curlew_integration::sse::{SseEnd, SseEvent, Stream, without_end};
use curlew_integration::{cache, eventually, file};
use serde_json::json;
use std::time::{Duration, Instant};

fn values(of: std::ops::Range<usize>) -> serde_json::Value {
    of.map(|n| json!({"partition": 0, "value": n.to_string()})).collect()
}

#[test]
fn records_removed_by_retention_are_a_gap() {
    let kafka = Kafka::shared();
    let topic = kafka.fresh("retention", 2);
    kafka.produce(&topic, values(0..10));
    let mut stream = bridge().events(&format!("/topics/{topic}/events?from=earliest"));
    let seen: Vec<_> = (0..3).map(|_| stream.event()).collect();
    drop(stream);
    kafka.delete_records(&topic, 0, 6);
    // The bridge may serve records from its read cache for a moment longer.
    let (gap, stream) = eventually("the gap", SOON, || {
        let mut stream =
            Stream::open_at(bridge().port, &format!("/topics/{topic}/events?until=end"), Some(&seen[2].id));
        match stream.event() {
            gap if gap.kind == "gap" => Ok((gap, stream)),
            other => Err(format!("{other:?}")),
        }
    });
    let expected = json!({"topic": topic, "partition": 0, "from": 3, "to": 6, "reason": "retention"});
    assert_eq!(gap.json(), expected);
    let rest = stream.rest();
    assert_eq!(rest.iter().map(|e| e.data.as_str()).collect::<Vec<_>>(), ["6", "7", "8", "9"]);
    // The id of the gap is a position after it.
    let again = Stream::open_at(bridge().port, &format!("/topics/{topic}/events?until=end"), Some(&gap.id)).rest();
    assert_eq!(again.iter().map(|e| e.data.as_str()).collect::<Vec<_>>(), ["6", "7", "8", "9"]);
}

#[test]
fn streams_wait_for_a_deleted_topic_and_a_recreated_one_is_a_gap() {
    let kafka = Kafka::shared();
    let topic = kafka.fresh("deleted", 1);
    kafka.produce(&topic, values(0..4));
    let mut stream = bridge().events(&format!("/topics/{topic}/events?from=earliest"));
    let last = (0..4).map(|_| stream.event()).last().expect("events");
    kafka.delete(&topic);
    stream.wait_for_comment(&format!("waiting for topic {topic}"), SOON);
    kafka.create(&topic, 1);
    kafka.produce(&topic, values(0..6));
    let gap = stream.next_within(SOON).expect("an event");
    assert_eq!((gap.kind.as_str(), &gap.json()["reason"]), ("gap", &json!("recreated")), "{gap:?}");
    assert_eq!(stream.take(6), ["0", "1", "2", "3", "4", "5"], "from its beginning");
    drop(stream);
    // The same after a reconnect.
    let stream = Stream::open_at(bridge().port, &format!("/topics/{topic}/events?until=end"), Some(&last.id));
    let events = stream.rest();
    assert_eq!((events[0].kind.as_str(), &events[0].json()["reason"]), ("gap", &json!("recreated")), "{events:?}");
    let rest: Vec<_> = events[1..].iter().map(|e| e.data.as_str()).collect();
    assert_eq!(rest, ["0", "1", "2", "3", "4", "5"], "from its beginning");
}

/// Returns the last id and the events of a stream that ends by itself.
fn to_the_end(target: &str, id: Option<&str>) -> (String, Vec<SseEvent>) {
    let mut stream = Stream::open_at(bridge().port, target, id);
    let mut events = Vec::new();
    loop {
        match stream.next_within(SOON) {
            Ok(event) => events.push(event),
            Err(SseEnd::Closed) => return (stream.source.last_id.clone(), without_end(events)),
            Err(broken) => panic!("{broken:?}; so far {}", stream.raw()),
        }
    }
}

#[test]
fn retention_of_markers_and_aborted_records_is_not_a_gap() {
    let kafka = Kafka::shared();
    for (end, count) in [("commit", 2), ("abort", 300)] {
        let topic = kafka.fresh("markers", 1);
        let path = format!("/topics/{topic}/events");
        kafka.produce(&topic, values(0..1));
        let mut live = bridge().events(&format!("{path}?from=earliest"));
        live.take(1);
        kafka.transaction(&topic, end, values(0..count));
        if end == "commit" {
            live.take(count);
        }
        // The live stream's id moves once the stream is idle.
        let (seen, deadline) = (live.source.last_id.clone(), Instant::now() + SOON);
        while live.source.last_id == seen {
            let nothing = live.next_within(Duration::from_millis(500));
            assert!(matches!(nothing, Err(SseEnd::Broken(_))) && Instant::now() < deadline, "{nothing:?}");
        }
        let (complete, _) = to_the_end(&format!("{path}?from=earliest&until=end"), None);
        let after = count as i64 + 2;
        kafka.delete_records(&topic, 0, after);
        eventually("the log starts at its end", SOON, || {
            let described = bridge().get(&format!("/topics/{topic}")).expect(200).json();
            match &described["partitions"][0]["earliest"] {
                earliest if *earliest == json!(after) => Ok(()),
                other => Err(other.to_string()),
            }
        });
        for id in [&live.source.last_id, &complete] {
            let (_, events) = to_the_end(&format!("{path}?until=end&last_event_id={id}"), None);
            assert_eq!(events, [], "{end}: nothing was lost");
        }
    }
}

#[test]
fn a_cursor_past_the_end_is_a_gap_with_until_end_too() {
    let kafka = Kafka::shared();
    let topic = kafka.fresh("past", 1);
    kafka.produce(&topic, values(0..4));
    let target = format!("/topics/{topic}/events?from={topic}:0:99&until=end");
    let (id, events) = to_the_end(&target, None);
    let expected = json!({"topic": topic, "partition": 0, "from": 99, "to": 4, "reason": "truncated"});
    assert_eq!((events.len(), events[0].kind.as_str(), events[0].json()), (1, "gap", expected));
    kafka.produce(&topic, values(4..6));
    let (_, rest) = to_the_end(&format!("/topics/{topic}/events?until=end&from={id}"), None);
    assert_eq!(
        rest.iter().map(|e| e.data.as_str()).collect::<Vec<_>>(),
        ["4", "5"],
        "the id is the position of the actual end"
    );
    let from = format!("{topic}:0:99");
    let url = format!("http://127.0.0.1:{}", bridge().port);
    for way in [["--kafka", &kafka.bootstrap()], ["--url", &url]] {
        let output = run(&["consume", &topic, way[0], way[1], "--from", &from, "--until-end"]);
        let printed = String::from_utf8_lossy(&output.stderr);
        assert!(
            printed.contains("gap") && printed.contains("truncated") && printed.contains("99"),
            "{way:?}: {output:?}"
        );
    }
}

#[test]
fn the_reconnect_of_an_eventsource_whose_stream_is_complete_is_a_204() {
    let kafka = Kafka::shared();
    let topic = kafka.fresh("complete", 1);
    kafka.produce(&topic, values(0..3));
    for (bound, records) in [("until=end", 3), ("limit=2", 2)] {
        let target = format!("/topics/{topic}/events?from=earliest&{bound}");
        let stream = bridge().get(&target).expect(200).text();
        assert_eq!(stream.matches("data: ").count(), records, "{bound}: {stream}");
        let id = stream.lines().rev().find_map(|line| line.strip_prefix("id: ")).expect("an id");
        bridge().request("GET", &target, &[("Last-Event-ID", id)], b"").expect(204);
    }
}

#[test]
fn a_third_party_eventsource_stops_when_its_stream_is_complete() {
    let kafka = Kafka::shared();
    let topic = kafka.fresh("complete", 1);
    let marked = kafka.fresh("marked", 1);
    kafka.produce(&topic, values(0..3));
    kafka.transaction(&marked, "commit", values(0..3));
    // The last offset is a record, a transaction marker, or a record that the filter drops; or the filter drops all
    // records.
    let streams = [
        (&topic, "until=end", 3),
        (&topic, "limit=2", 2),
        (&marked, "until=end", 3),
        (&topic, "until=end&where=value<2", 2),
        (&topic, "until=end&key=none", 0),
    ];
    for (topic, bound, records) in streams {
        let url = format!("http://127.0.0.1:{}/topics/{topic}/events?from=earliest&{bound}", bridge().port);
        // With a timeout: a client that is not stopped reconnects forever.
        let mut node = std::process::Command::new("timeout");
        node.arg("60").arg("node").arg(file("clients/eventsource.mjs")).arg(url).env("CURLEW_CACHE", cache());
        // It runs until it is killed, unless the stream stops it.
        let output = node.output().expect("node");
        let (out, printed) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(printed.lines().last().is_some_and(|line| line.starts_with("204")), "{bound}: {printed}");
        assert_eq!(out.lines().count(), records, "{bound}: {out}");
    }
}

#[test]
fn a_compacted_log_has_no_gaps() {
    let kafka = Kafka::shared();
    let topic = curlew_integration::fresh_topic("compacted");
    let config = json!({"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.001", "segment.ms": "200",
        "min.compaction.lag.ms": "0", "max.compaction.lag.ms": "500", "delete.retention.ms": "60000"});
    kafka.create_with(&topic, 1, config);
    for n in 0..20 {
        kafka.produce(&topic, json!([{"key": "same", "value": n.to_string()}]));
    }
    let left = curlew_integration::eventually("the cleaner ran", std::time::Duration::from_secs(60), || {
        // A record after the segment's time limit closes the segment.
        std::thread::sleep(std::time::Duration::from_millis(300));
        kafka.produce(&topic, json!([{"key": "other", "value": "other"}]));
        let left: Vec<String> = kafka.consume(&topic).iter().map(|r| r.text()).collect();
        if left.iter().any(|v| v == "3") { Err(format!("{left:?}")) } else { Ok(left) }
    });
    let events = bridge().events(&format!("/topics/{topic}/events?from=earliest&until=end")).rest();
    assert!(events.iter().all(|e| e.kind == "message"), "{events:?}");
    assert!(events.len() <= left.len() && events.iter().any(|e| e.data == "19"), "{events:?}");
}
