//! What cannot be read any more is told, never passed over.

use crate::{SOON, bridge};
use curlew_integration::eventually;
use curlew_integration::kafka::Kafka;
use curlew_integration::sse::{End, Stream};
use serde_json::json;

fn values(of: std::ops::Range<usize>) -> serde_json::Value {
    of.map(|n| json!({"partition": 0, "value": n.to_string()})).collect()
}

#[test]
fn what_retention_removed_is_a_gap() {
    let kafka = Kafka::shared();
    let topic = kafka.fresh("retention", 2);
    kafka.produce(&topic, values(0..10));
    let mut stream = bridge().events(&format!("/topics/{topic}/events?from=earliest"));
    let seen: Vec<_> = (0..3).map(|_| stream.event()).collect();
    drop(stream);
    kafka.delete_records(&topic, 0, 6);
    // What the bridge has just read it may serve for a moment longer.
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
    // The gap's id is a place after the gap.
    let again = Stream::open_at(bridge().port, &format!("/topics/{topic}/events?until=end"), Some(&gap.id)).rest();
    assert_eq!(again.iter().map(|e| e.data.as_str()).collect::<Vec<_>>(), ["6", "7", "8", "9"]);
}

#[test]
fn a_deleted_topic_is_a_problem_and_one_made_anew_is_a_gap() {
    let kafka = Kafka::shared();
    let topic = kafka.fresh("deleted", 1);
    kafka.produce(&topic, values(0..4));
    let mut stream = bridge().events(&format!("/topics/{topic}/events?from=earliest"));
    let last = (0..4).map(|_| stream.event()).last().expect("events");
    kafka.delete(&topic);
    let problem = stream.next_within(SOON).expect("an event");
    assert_eq!(problem.kind, "problem");
    assert!(problem.json()["status"].is_number() && problem.json()["detail"].is_string(), "{problem:?}");
    assert_eq!(stream.next_within(SOON), Err(End::Closed));

    kafka.create(&topic, 1);
    kafka.produce(&topic, values(0..6));
    let stream = Stream::open_at(bridge().port, &format!("/topics/{topic}/events?until=end"), Some(&last.id));
    let events = stream.rest();
    assert_eq!((events[0].kind.as_str(), &events[0].json()["reason"]), ("gap", &json!("recreated")), "{events:?}");
    let rest: Vec<_> = events[1..].iter().map(|e| e.data.as_str()).collect();
    assert_eq!(rest, ["0", "1", "2", "3", "4", "5"], "from its beginning");
}

#[test]
fn a_compacted_log_has_holes_and_no_gaps() {
    let kafka = Kafka::shared();
    let topic = curlew_integration::fresh_topic("compacted");
    let config = json!({"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.001", "segment.ms": "200",
        "min.compaction.lag.ms": "0", "max.compaction.lag.ms": "500", "delete.retention.ms": "60000"});
    kafka.create_with(&topic, 1, config);
    for n in 0..20 {
        kafka.produce(&topic, json!([{"key": "same", "value": n.to_string()}]));
    }
    let left = curlew_integration::eventually("the cleaner ran", std::time::Duration::from_secs(60), || {
        // A record after the segment's time closes it.
        std::thread::sleep(std::time::Duration::from_millis(300));
        kafka.produce(&topic, json!([{"key": "other", "value": "other"}]));
        let left: Vec<String> = kafka.consume(&topic).iter().map(|r| r.text()).collect();
        if left.iter().any(|v| v == "3") { Err(format!("{left:?}")) } else { Ok(left) }
    });
    let events = bridge().events(&format!("/topics/{topic}/events?from=earliest&until=end")).rest();
    assert!(events.iter().all(|e| e.kind == "message"), "{events:?}");
    assert!(events.len() <= left.len() && events.iter().any(|e| e.data == "19"), "{events:?}");
}
