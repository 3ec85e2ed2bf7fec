//! Clients of other REST proxies, with real Kafka: every call of theirs that needs no consumer instance.

use crate::bridge;
use curlew_integration::bridge::{Bridge, run};
use curlew_integration::kafka::Kafka;
use curlew_integration::{cache, file, fresh_topic, http};
use serde_json::{Value, json};
use std::process::Command;

/// Runs a client with a time limit, and returns what it prints.
fn printed_by(command: &mut Command) -> Value {
    let output = command.env("CURLEW_CACHE", cache()).output().expect("the client starts");
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"))
}

fn url() -> String {
    format!("http://127.0.0.1:{}", bridge().port)
}

/// Returns the records of a partition, as the bridge reads them.
fn records(topic: &str, partition: i32) -> Vec<Value> {
    let page = http::get(bridge().port, &format!("/topics/{topic}/partitions/{partition}/records")).expect(200);
    page.json()["records"].as_array().expect("records").clone()
}

#[test]
fn the_node_client_of_the_confluent_rest_proxy_works() {
    let topic = Kafka::shared().fresh("kafka-rest", 2);
    let mut node = Command::new("timeout");
    node.arg("60").arg("node").arg(file("clients/kafka_rest.mjs")).args([&url(), &topic]);
    let results = printed_by(&mut node);
    let brokers = results["brokers"].as_array().expect("brokers");
    assert_eq!(brokers.len(), 1, "{results}");
    let replicas = json!([{"broker": brokers[0], "leader": true, "in_sync": true}]);
    let partition = |number: i32| json!({"partition": number, "leader": brokers[0], "replicas": replicas});
    assert!(results["topics"].as_array().expect("topics").contains(&json!(topic)), "{results}");
    let offsets = |result: &Value| result["offsets"].clone();
    assert_eq!(offsets(&results["produced"]), json!([{"partition": 0, "offset": 0}, {"partition": 0, "offset": 1}]));
    assert_eq!(
        offsets(&results["to_partition"]),
        json!([{"partition": 1, "offset": 0}, {"partition": 1, "offset": 1}])
    );
    assert_eq!(results["topic"]["partitions"][1]["latest"], 2, "{results}");
    assert_eq!(results["topic"]["partitions"][1]["replicas"], replicas);
    assert_eq!(results["topic"]["configs"]["cleanup.policy"], "delete", "{results}");
    assert_eq!(results["partitions"], json!([partition(0), partition(1)]));
    assert_eq!(results["partition"], partition(1));
    let message =
        |key: Value, value: &str, offset: i64| json!({"key": key, "value": value, "partition": 1, "offset": offset});
    let [first, second] = [message(json!(null), "b25l", 0), message(json!("azI="), "dHdv", 1)];
    assert_eq!(results["messages"], json!([first, second]));
    assert_eq!(results["binary_messages"], json!([second]));
    assert_eq!(results["avro_messages"], json!([message(json!(null), "one", 0), message(json!("k2"), "two", 1)]));
    assert_eq!((&results["no_topic"][0], &results["no_topic"][1]), (&json!(404), &json!(40401)), "{results}");
    assert_eq!((&results["no_partition"][0], &results["no_partition"][1]), (&json!(404), &json!(40402)));
    assert_eq!((&results["no_consumers"][0], &results["no_consumers"][1]), (&json!(404), &json!(40403)));
    let [first, second] = &records(&topic, 0)[..] else { panic!("two records") };
    assert_eq!((&first["key"], &first["value"], &second["value"]), (&json!("k"), &json!("v"), &json!("AP8=")));
    let values: Vec<_> = records(&topic, 1).iter().map(|record| record["value"].clone()).collect();
    assert_eq!(values, ["one", "two"]);
}

#[test]
fn the_python_client_of_the_strimzi_bridge_produces() {
    let topic = Kafka::shared().fresh("kafka-bridge-client", 1);
    let mut python = Command::new("timeout");
    python.arg("60").arg(cache().join("python/bin/python")).arg(file("clients/kafka_bridge_producer.py"));
    let results = printed_by(python.args([&url(), &topic]));
    let expected = json!({"one": true, "several": true, "binary": true, "invalid": true, "no_consumers": true});
    assert_eq!(results, expected);
    let records = records(&topic, 0);
    let pair = |record: &Value| (record["key"].clone(), record["value"].clone());
    let expected = [
        (json!("a"), json!("text")),
        (json!("b"), json!("one")),
        (json!(null), json!({"n": 2})),
        (json!("c"), json!("AP8=")),
    ];
    assert_eq!(records.iter().map(pair).collect::<Vec<_>>(), expected);
}

#[test]
fn a_topic_is_created_on_kafka_and_through_a_bridge() {
    let bridge = Bridge::start_with(&Kafka::shared().bootstrap(), &["--allow-create"]);
    let ways = [
        ["--kafka".to_owned(), Kafka::shared().bootstrap()],
        ["--url".to_owned(), format!("http://127.0.0.1:{}", bridge.port)],
    ];
    for way in ways {
        let topic = fresh_topic("created");
        let curlew = |more: &[&str]| run(&[&["topics"], more, &[way[0].as_str(), way[1].as_str()]].concat());
        let create = ["create", &topic, "--partitions", "3", "--topic-config", "retention.ms=86400000"];
        let created = curlew(&create);
        assert!(created.status.success(), "{created:?}");
        let line = String::from_utf8(created.stdout).expect("UTF-8");
        assert_eq!(line, format!("created topic {topic}, partitions 3, replication factor 1\n"));
        let described = bridge.get(&format!("/topics/{topic}")).expect(200).json();
        assert_eq!(described["partitions"].as_array().map(Vec::len), Some(3), "{described}");
        assert_eq!(described["configs"]["retention.ms"], "86400000", "{described}");
        let again = curlew(&create);
        assert_eq!(again.status.code(), Some(1), "{again:?}");
        assert!(String::from_utf8_lossy(&again.stderr).contains("exists already"), "{again:?}");
        let listed = curlew(&["list"]);
        assert!(String::from_utf8_lossy(&listed.stdout).lines().any(|name| name == topic), "{listed:?}");
        let rejected = curlew(&["create", &fresh_topic("rejected"), "--replication-factor", "5"]);
        assert!(String::from_utf8_lossy(&rejected.stderr).contains("eplication factor"), "{rejected:?}");
    }
}
