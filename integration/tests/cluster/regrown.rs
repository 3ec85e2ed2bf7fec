//! An unclean election takes records back, and the log grows past the place where readers are: the same offsets, other
//! records (KIP-320).

use crate::{LONG, World, world};
use curlew_integration::eventually;
use curlew_integration::follow::{Follower, Seen};
use serde_json::{Value, json};

/// Records that both replicas have, that only the leader has when it dies, and that come after the election.
const COMMON: usize = 146;
const LOST: usize = 660;
const NEW: usize = 800;

fn records(name: &str, count: usize) -> Value {
    (0..count).map(|n| json!({"partition": 0, "value": format!("{name}-{n}")})).collect()
}

/// Waits for all new records, and checks that the gap was told before the first of them and that none is missing.
#[track_caller]
fn assert_told_and_whole(seen: &Seen, before: usize) {
    seen.wait_for_records(before + NEW, LONG);
    let events = seen.events();
    let gap = events.iter().position(|event| event.kind == "gap").expect("a gap");
    let told = events[gap].json();
    assert_eq!((&told["reason"], &told["partition"]), (&json!("truncated"), &json!(0)), "{told}");
    assert_eq!(gap, before, "{:?}", &events[gap.saturating_sub(2)..]);
    let after: Vec<_> = events[gap + 1..].iter().map(|event| event.data.clone()).collect();
    let expected: Vec<_> = (0..NEW).map(|n| format!("new-{n}")).collect();
    assert_eq!(after, expected);
}

#[test]
fn a_log_that_was_truncated_and_regrown_is_a_gap_and_then_every_new_record() {
    let World { kafka, bridge } = &mut *world();
    let topic = curlew_integration::fresh_topic("regrown");
    let config = json!({"min.insync.replicas": "1", "unclean.leader.election.enable": "true"});
    kafka.create_on(&topic, json!([[1, 2]]), config);
    let target = format!("/topics/{topic}/events?from=earliest");
    kafka.produce(&topic, records("common", COMMON));
    let live = Follower::start(bridge.port, &target);
    live.seen.wait_for_records(COMMON, LONG);

    kafka.kill(2);
    kafka.wait_for_isr(&topic, 1);
    kafka.produce(&topic, records("lost", LOST));
    live.seen.wait_for_records(COMMON + LOST, LONG);
    let cut = Follower::start(bridge.port, &target);
    cut.seen.wait_for_records(COMMON + LOST, LONG);
    let id = cut.leave();

    kafka.kill(1);
    kafka.start_again(2);
    eventually("the old follower leads", LONG, || match kafka.leaders(&topic)?[..] {
        [2] => Ok(()),
        ref other => Err(format!("{other:?}")),
    });
    // Another producer: the first one knows that its records were acknowledged.
    let places = kafka.produce_compressed(&topic, "gzip", records("new", NEW));
    assert_eq!(places[0], (0, COMMON as i64), "the log was truncated");

    assert_told_and_whole(&live.seen, COMMON + LOST);
    let resumed = Follower::start_at(bridge.port, &target, &id);
    assert_told_and_whole(&resumed.seen, 0);
    kafka.start_again(1);
}
