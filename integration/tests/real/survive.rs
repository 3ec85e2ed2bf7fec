//! Restarts, replicas, elections and added partitions: a resumed follower misses no record.

use crate::bridge;
use curlew_integration::bridge::Bridge;
use curlew_integration::follow::{Follower, Numbered};
use curlew_integration::kafka::{Kafka, Options};
use serde_json::{Value, json};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(90);

/// Returns the records with their values parsed as JSON.
fn as_json_values(mut records: Value) -> Value {
    for record in records.as_array_mut().expect("a list") {
        record["value"] = serde_json::from_str(record["value"].as_str().expect("text")).expect("JSON");
    }
    records
}

fn events(topic: &str) -> String {
    format!("/topics/{topic}/events")
}

#[test]
fn a_killed_bridge_loses_nothing() {
    let kafka = Kafka::shared();
    let topic = kafka.fresh("killed", 4);
    let mut bridge = Bridge::start(&kafka.bootstrap());
    let follower = Follower::start(bridge.port, &events(&topic));
    follower.wait_for_id();
    let mut numbered = Numbered::default();
    for round in 0..5 {
        let partitions: &[usize] = if round == 0 { &[0] } else { &[0, 1, 2, 3] };
        kafka.produce(&topic, numbered.records(partitions, 50));
        bridge.kill_and_restart();
        kafka.produce(&topic, numbered.records(&[1, 2, 3], 5));
    }
    follower.seen.wait_for_records(numbered.total(), LONG);
    numbered.assert_exactly_once(&follower.seen);
}

#[test]
fn a_second_bridge_takes_over_in_the_middle_of_a_stream() {
    let kafka = Kafka::shared();
    let topic = kafka.fresh("replica", 4);
    let second = Bridge::start(&kafka.bootstrap());
    let mut numbered = Numbered::default();
    let mut id = String::new();
    let mut all = Vec::new();
    for round in 0..6 {
        let port = if round % 2 == 0 { bridge().port } else { second.port };
        let follower = Follower::start_at(port, &events(&topic), &id);
        follower.wait_for_id();
        let before = numbered.total();
        kafka.produce(&topic, numbered.records(&[round % 4], 10));
        follower.seen.wait_for_records(numbered.total() - before + if round == 0 { 0 } else { 3 }, LONG);
        let seen = follower.seen.clone();
        id = follower.stop();
        all.extend(seen.events());
        // While no client reads.
        kafka.produce(&topic, numbered.records(&[(round + 1) % 4], 3));
    }
    let follower = Follower::start_at(bridge().port, &events(&topic), &id);
    follower.seen.wait_for_records(3, LONG);
    all.extend(follower.seen.events());
    assert_eq!(numbered.check(&all), Default::default());
    assert_eq!(all.len(), numbered.total());
}

#[test]
fn a_broker_restart_loses_nothing() {
    let mut kafka = Kafka::start(Options::default());
    let bridge = Bridge::start(&kafka.bootstrap());
    kafka.create("restart", 4);
    let follower = Follower::start(bridge.port, &events("restart"));
    follower.wait_for_id();
    let mut numbered = Numbered::default();
    kafka.produce("restart", numbered.records(&[0, 1], 50));
    follower.seen.wait_for_records(100, LONG);
    for kill in [false, true] {
        if kill {
            kafka.kill(1)
        } else {
            kafka.stop(1)
        }
        kafka.restart(1);
        kafka.produce("restart", numbered.records(&[0, 1, 2, 3], 50));
        follower.seen.wait_for_records(numbered.total(), LONG);
    }
    numbered.assert_exactly_once(&follower.seen);
    assert_eq!(follower.connections(), 1, "the stream stays open meanwhile");
    let made = bridge.post(
        "/topics/restart?partition=3",
        "application/json",
        numbered.record(3)["value"].as_str().expect("a string"),
    );
    assert_eq!(made.expect(200).json()["offsets"][0]["offset"], 100);
}

/// A fault of a broker. Every broker is also a controller.
enum BrokerFault {
    Stopped(usize),
    Killed(usize),
    ActiveControllerKilled,
}

#[test]
fn a_change_of_leaders_or_of_the_active_controller_causes_no_loss_and_no_duplicates() {
    let mut kafka = Kafka::start(Options { brokers: 3, ..Options::default() });
    kafka.call(json!({"do": "create", "topic": "moving", "config": {"min.insync.replicas": "2"},
        "assignment": [[1, 2, 3], [2, 3, 1], [3, 1, 2], [1, 3, 2]]}));
    let bridge = Bridge::start(&kafka.bootstrap());
    let follower = Follower::start(bridge.port, &events("moving"));
    follower.wait_for_id();
    let mut numbered = Numbered::default();
    // Written through the bridge, so that its producer must follow the leaders too.
    let mut write = |rounds: usize| {
        for _ in 0..rounds {
            let records = as_json_values(numbered.records(&[0, 1, 2, 3], 5));
            bridge
                .post("/topics/moving", "application/vnd.kafka.json.v2+json", json!({"records": records}).to_string())
                .expect(200);
        }
        numbered.total()
    };
    let total = write(5);
    follower.seen.wait_for_records(total, LONG);
    for end in [BrokerFault::Stopped(1), BrokerFault::Killed(2), BrokerFault::ActiveControllerKilled] {
        let broker = match end {
            BrokerFault::Stopped(broker) | BrokerFault::Killed(broker) => broker,
            BrokerFault::ActiveControllerKilled => kafka.active_controller(),
        };
        match end {
            BrokerFault::Stopped(_) => kafka.stop(broker),
            BrokerFault::Killed(_) | BrokerFault::ActiveControllerKilled => kafka.kill(broker),
        }
        let total = write(10);
        follower.seen.wait_for_records(total, LONG);
        kafka.restart(broker);
        let total = write(5);
        follower.seen.wait_for_records(total, LONG);
    }
    numbered.assert_exactly_once(&follower.seen);
    assert_eq!(kafka.consume("moving").len(), numbered.total(), "nothing was written twice");
}

#[test]
fn partitions_added_while_connected_and_while_away_are_read_from_their_beginning() {
    let kafka = Kafka::shared();
    let topic = kafka.fresh("growing", 1);
    let mut numbered = Numbered::default();
    let follower = Follower::start(bridge().port, &events(&topic));
    follower.wait_for_id();
    kafka.produce(&topic, numbered.records(&[0], 5));
    follower.seen.wait_for_records(5, LONG);

    kafka.set_partitions(&topic, 3);
    kafka.produce(&topic, numbered.records(&[0, 1, 2], 5));
    follower.seen.wait_for_records(20, LONG);
    let mut all = follower.seen.events();
    let id = follower.stop();

    kafka.set_partitions(&topic, 5);
    kafka.produce(&topic, numbered.records(&[0, 3, 4], 5));
    let follower = Follower::start_at(bridge().port, &events(&topic), &id);
    follower.seen.wait_for_records(15, LONG);
    all.extend(follower.seen.events());
    assert_eq!(numbered.check(&all), Default::default());
    assert_eq!(all.len(), numbered.total(), "and nothing else arrived");
}
