//! An unclean election removes records, and the log grows past the positions of readers: the same offsets hold other
//! records (KIP-320).

use crate::{LONG, SharedCluster, shared_cluster};
use curlew_integration::eventually;
use curlew_integration::follow::{Follower, ReceivedEvents};
use curlew_integration::kafka::Kafka;
use serde_json::{Value, json};

/// Records on both replicas, records only on the leader when it dies, and records after the election.
const COMMON: usize = 146;
const LOST: usize = 660;
const NEW: usize = 800;

fn records(name: &str, count: usize) -> Value {
    (0..count).map(|n| json!({"partition": 0, "value": format!("{name}-{n}")})).collect()
}

/// Waits for all new records, and checks that the gap comes before the first of them and that none is missing.
#[track_caller]
fn assert_gap_then_all_records(seen: &ReceivedEvents, before: usize) {
    seen.wait_for_records(before + NEW, LONG);
    let events = seen.events();
    let gap = events.iter().position(|event| event.kind == "gap").expect("a gap");
    let responses = events[gap].json();
    assert_eq!((&responses["reason"], &responses["partition"]), (&json!("truncated"), &json!(0)), "{responses}");
    assert_eq!(gap, before, "{:?}", &events[gap.saturating_sub(2)..]);
    let after: Vec<_> = events[gap + 1..].iter().map(|event| event.data.clone()).collect();
    let expected: Vec<_> = (0..NEW).map(|n| format!("new-{n}")).collect();
    assert_eq!(after, expected);
}

#[test]
fn a_log_that_was_truncated_and_regrown_is_a_gap_and_then_every_new_record() {
    let SharedCluster { kafka, bridge } = &mut *shared_cluster();
    let topic = curlew_integration::fresh_topic("regrown");
    let config = json!({"min.insync.replicas": "1", "unclean.leader.election.enable": "true"});
    kafka.create_on(&topic, json!([[1, 2]]), config);
    // A broker that an earlier test had cut off may not know the topic yet.
    let target = format!("/topics/{topic}/events?from=earliest&wait=true");
    kafka.produce(&topic, records("common", COMMON));
    let live = Follower::start(bridge.port, &target);
    live.seen.wait_for_records(COMMON, LONG);

    kafka.kill(2);
    kafka.wait_for_isr(&topic, 1);
    kafka.produce(&topic, records("lost", LOST));
    live.seen.wait_for_records(COMMON + LOST, LONG);
    let cut = Follower::start(bridge.port, &target);
    cut.seen.wait_for_records(COMMON + LOST, LONG);
    let id = cut.stop();

    kafka.kill(1);
    kafka.restart(2);
    eventually("the old follower leads", LONG, || match kafka.leaders(&topic)?[..] {
        [2] => Ok(()),
        ref other => Err(format!("{other:?}")),
    });
    // A separate producer: the first one relies on the acknowledgements of its records.
    let locations = kafka.produce_compressed(&topic, "gzip", records("new", NEW));
    assert_eq!(locations[0], (0, COMMON as i64), "the log was truncated");

    assert_gap_then_all_records(&live.seen, COMMON + LOST);
    let resumed = Follower::start_at(bridge.port, &target, &id);
    assert_gap_then_all_records(&resumed.seen, 0);
    kafka.restart(1);
}

fn wait_for_last(seen: &ReceivedEvents) {
    eventually("the last record", LONG, || match seen.events().last() {
        Some(event) if event.data == "last-0" => Ok(()),
        last => Err(format!("{last:?}")),
    });
}

/// Two unclean elections: the first leader comes back with records that the other replica never had, past the
/// positions of readers or exactly up to them. A topic without writes meanwhile loses nothing.
#[test]
fn records_that_return_before_the_cursor_are_a_gap_and_are_read_again() {
    let SharedCluster { kafka, bridge } = &mut *shared_cluster();
    // Records written between the elections.
    let topics = [15, LOST].map(|between| (curlew_integration::fresh_topic(&format!("came-back-{between}")), between));
    let quiet = curlew_integration::fresh_topic("quiet");
    let config = json!({"min.insync.replicas": "1", "unclean.leader.election.enable": "true"});
    topics.iter().for_each(|(topic, _)| kafka.create_on(topic, json!([[1, 2]]), config.clone()));
    kafka.create_on(&quiet, json!([[2, 1]]), config);
    let names: Vec<_> = topics.iter().map(|(topic, _)| topic).chain([&quiet]).collect();
    let lead = |kafka: &Kafka, node: i64| {
        for topic in &names {
            eventually("it leads", LONG, || match kafka.leaders(topic)?[..] {
                [leader] if leader == node => Ok(()),
                ref other => Err(format!("{other:?}")),
            });
        }
    };
    names.iter().for_each(|topic| drop(kafka.produce(topic, records("common", COMMON))));
    kafka.kill(2);
    names.iter().for_each(|topic| kafka.wait_for_isr(topic, 1));
    topics.iter().for_each(|(topic, _)| drop(kafka.produce(topic, records("back", LOST))));
    lead(kafka, 1);
    // Broker 1 leads it under an epoch without records, which broker 2 never sees.
    let latest = Follower::start(bridge.port, &format!("/topics/{quiet}/events?from=latest&wait=true"));
    latest.wait_for_id();
    let end = latest.stop();

    kafka.kill(1);
    kafka.restart(2);
    lead(kafka, 2);
    let mut ids = Vec::new();
    for (topic, between) in &topics {
        let locations = kafka.produce_compressed(topic, "gzip", records("between", *between));
        assert_eq!(locations[0], (0, COMMON as i64), "the log was truncated");
        let reader = Follower::start(bridge.port, &format!("/topics/{topic}/events?from=earliest&wait=true"));
        reader.seen.wait_for_records(COMMON + between, LONG);
        ids.push(reader.stop());
    }

    kafka.kill(2);
    kafka.restart(1);
    lead(kafka, 1);
    names.iter().for_each(|topic| drop(kafka.produce_compressed(topic, "gzip", records("last", 1))));
    for ((topic, between), id) in topics.iter().zip(&ids) {
        let resumed = Follower::start_at(bridge.port, &format!("/topics/{topic}/events?wait=true"), id);
        wait_for_last(&resumed.seen);
        let events = resumed.seen.events();
        let responses = events[0].json();
        assert_eq!(
            (&responses["reason"], &responses["from"]),
            (&json!("truncated"), &json!(COMMON + between)),
            "{responses}"
        );
        let again = usize::try_from(responses["to"].as_i64().expect("an offset")).expect("an offset");
        assert!(again <= COMMON, "{responses}");
        let after: Vec<_> = events[1..].iter().map(|event| event.data.clone()).collect();
        let common = (again..COMMON).map(|n| format!("common-{n}"));
        let back = (0..LOST).map(|n| format!("back-{n}"));
        let expected: Vec<_> = common.chain(back).chain(["last-0".to_owned()]).collect();
        assert_eq!(after, expected);
    }
    let resumed = Follower::start_at(bridge.port, &format!("/topics/{quiet}/events?wait=true"), &end);
    wait_for_last(&resumed.seen);
    let events: Vec<_> = resumed.seen.events().into_iter().map(|event| event.data).collect();
    assert_eq!(events, ["last-0"]);
    kafka.restart(2);
}
