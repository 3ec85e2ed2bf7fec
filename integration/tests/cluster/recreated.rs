//! A topic is recreated while one broker is cut off from the controller and still knows the deleted one.

use crate::others::OtherBrokers;
use crate::{LONG, SharedCluster, shared_cluster};
use curlew_integration::bridge::Bridge;
use curlew_integration::eventually;
use curlew_integration::follow::Follower;
use serde_json::{Value, json};

const RECORDS: usize = 10;

fn records(name: &str) -> Value {
    let record = |n: usize| json!({"partition": n % 2, "value": format!("{name}-{n}")});
    (0..RECORDS).map(record).collect()
}

#[test]
fn a_topic_that_is_recreated_while_a_broker_is_cut_off_is_one_gap() {
    let SharedCluster { kafka, .. } = &mut *shared_cluster();
    let topic = curlew_integration::fresh_topic("recreated");
    let assignment = json!([[2, 3], [3, 2]]);
    kafka.create_on(&topic, assignment.clone(), json!({}));
    let bridge = Bridge::start_with(&kafka.bootstrap(), &["--metadata-refresh", "1s"]);
    let follower = Follower::start(bridge.port, &format!("/topics/{topic}/events?from=earliest"));
    kafka.produce(&topic, records("old"));
    follower.seen.wait_for_records(RECORDS, LONG);

    kafka.cut_off(1);
    let others = OtherBrokers::new(kafka, &topic);
    others.wait_for_brokers(2);
    others.call(json!({"do": "delete"}));
    eventually("the topic is gone", LONG, || match others.try_call(json!({"do": "leaders"})) {
        Err(error) if error.contains("UnknownTopic") => Ok(()),
        other => Err(format!("{other:?}")),
    });
    others.call(json!({"do": "create", "assignment": assignment, "config": {}}));
    others.call(json!({"do": "produce", "compression": "gzip", "records": records("new")}));
    follower.seen.wait_for_records(RECORDS * 2, LONG);

    // Broker 1 has responded at least twice, a few seconds apart.
    eventually("broker 1 is known to be outdated", LONG, || {
        let log = bridge.log();
        let responses = format!("names an outdated leader of {topic}/0");
        if log.contains(&responses) { Ok(()) } else { Err(log) }
    });
    kafka.reconnect(1);
    others.call(json!({"do": "produce", "compression": "gzip", "records": records("last")}));
    follower.seen.wait_for_records(RECORDS * 3, LONG);
    let events = follower.seen.events();
    let gaps: Vec<_> = events.iter().filter(|event| event.kind == "gap").map(|gap| gap.json()).collect();
    assert!(gaps.iter().all(|gap| gap["reason"] == "recreated"), "{gaps:?}");
    assert_eq!(gaps.len(), 2, "one for each partition: {gaps:?}");
    let mut values: Vec<_> = events.iter().filter(|e| e.kind == "message").map(|e| e.data.clone()).collect();
    values.sort();
    let mut expected: Vec<_> =
        ["old", "new", "last"].iter().flat_map(|name| (0..RECORDS).map(move |n| format!("{name}-{n}"))).collect();
    expected.sort();
    assert_eq!(values, expected);
    kafka.wait_for_isr(&topic, 2);
    others.wait_for_brokers(3);
}
