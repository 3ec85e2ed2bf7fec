//! Highly compressed batches in real Kafka, which are large once they are read, beside a healthy client of another topic.

use crate::alone;
use crate::healthy::Healthy;
use crate::limits::Trial;
use crate::neighbours::{MOST_MEMORY, limited, measured, wait_until};
use curlew_integration::bridge::Bridge;
use curlew_integration::http;
use curlew_integration::kafka::{Kafka, Options};
use serde_json::{Value, json};
use std::io::Read;

const PARTITIONS: usize = 40;
/// Bytes of one record, and so of its batch: less than a stream may reserve for one read. All batches, which arrive in one
/// Fetch response, are larger than the whole budget.
const INFLATED: usize = 10_000_000;
/// More than a stream may reserve for one read.
const TOO_LARGE: usize = 60_000_000;

#[test]
fn batches_that_inflate_a_thousandfold_are_read_one_by_one_within_the_budget() {
    let _alone = alone();
    let kafka = Kafka::start(Options::default());
    kafka.create("healthy", 1);
    kafka.create("packed", PARTITIONS);
    kafka.create("bomb", 1);
    let zeros = |partition: usize| json!({"partition": partition, "value": {"zeros": INFLATED}});
    let last = |partition: usize| json!({"partition": partition, "key": "last", "value": partition.to_string()});
    let records: Vec<Value> = (0..PARTITIONS).flat_map(|p| [zeros(p), last(p)]).collect();
    kafka.produce_compressed("packed", "zstd", json!(records));
    kafka.produce_compressed("bomb", "zstd", json!([{"value": {"zeros": TOO_LARGE}}]));

    let bridge = Bridge::start(&kafka.bootstrap());
    let port = bridge.port;
    let mut trial = limited(Trial::of(bridge, Healthy::start_reading));
    let all = "/topics/packed/events?from=earliest&until=end";
    let length = std::thread::spawn(move || {
        let mut stream = http::connect(port);
        http::write_head(&mut stream, "GET", all, &[]).expect("it takes requests");
        let mut answer = http::read_head(stream).expect("an answer");
        let mut bytes = vec![0; 1 << 20];
        std::iter::from_fn(|| Some(answer.read(&mut bytes).expect("all of it")).filter(|read| *read > 0)).sum::<usize>()
    });
    let length = length.join().expect("the stream is complete");
    assert!(length > PARTITIONS * INFLATED, "{length} bytes");

    let mut passed: Vec<usize> = trial
        .bridge
        .events(&format!("{all}&key=last"))
        .rest()
        .iter()
        .map(|event| event.data.parse().expect("a number"))
        .collect();
    passed.sort_unstable();
    assert_eq!(passed, (0..PARTITIONS).collect::<Vec<_>>());

    let events = trial.bridge.events("/topics/bomb/events?from=earliest").rest();
    let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["problem"]);
    assert!(events[0].data.contains("--memory-budget"), "{}", events[0].data);

    wait_until("the healthy client has been measured", || measured(&trial) >= 200);
    assert_eq!(trial.bridge.process().exited(), None);
    let attack_name = "a stream from the earliest record of 40 partitions, a batch in each that is 10 MB inflated";
    let grown = trial.row("--memory-budget", attack_name, "it reads them one by one");
    assert!(grown < MOST_MEMORY, "{grown} KiB");
}
