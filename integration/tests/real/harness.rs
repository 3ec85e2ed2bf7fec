//! Tests of the harness itself, with the Java client: its results must not depend on Curlew.

use curlew_integration::kafka::{Kafka, Options};
use serde_json::json;

#[test]
fn the_java_client_reads_back_what_it_wrote() {
    for kafka in [Kafka::shared(), Kafka::shared_old()] {
        let topic = kafka.fresh("harness", 2);
        let written = kafka.produce_compressed(
            &topic,
            "zstd",
            json!([
                {"partition": 1, "key": "k", "value": "v", "timestamp": 1000, "headers": [["a", "1"], ["a", null]]},
                {"partition": 1, "value": null},
            ]),
        );
        assert_eq!(written, [(1, 0), (1, 1)]);
        kafka.transaction(&topic, "abort", json!([{"partition": 0, "value": "aborted"}]));
        kafka.transaction(&topic, "commit", json!([{"partition": 0, "value": "committed"}]));
        let mut seen = kafka.consume(&topic);
        seen.sort_by_key(|r| (r.partition, r.offset));
        assert_eq!(seen.iter().map(|r| r.text()).collect::<Vec<_>>(), ["committed", "v", ""]);
        assert_eq!((seen[1].timestamp, seen[1].key.as_deref()), (1000, Some(&b"k"[..])));
        assert_eq!(seen[1].headers, [("a".into(), Some(b"1".to_vec())), ("a".into(), None)]);
        kafka.delete_records(&topic, 1, 1);
        assert_eq!(kafka.consume(&topic).len(), 2);
        kafka.delete(&topic);
    }
}

#[test]
fn a_cluster_survives_the_loss_of_a_leader() {
    let mut kafka = Kafka::start(Options { brokers: 3, ..Options::default() });
    kafka.call(json!({"do": "create", "topic": "moving", "assignment": [[1, 2], [2, 3], [3, 1]]}));
    assert_eq!(kafka.leaders("moving"), Ok(vec![1, 2, 3]));
    kafka.produce("moving", json!([{"partition": 0, "value": "before"}]));
    kafka.stop(1);
    kafka.produce("moving", json!([{"partition": 0, "value": "after"}]));
    kafka.restart(1);
    let seen: Vec<String> = kafka.consume("moving").iter().map(|r| r.text()).collect();
    assert_eq!(seen, ["before", "after"]);
}
