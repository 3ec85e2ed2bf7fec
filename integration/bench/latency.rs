//! The delay until records arrive at 100 streams, compared with a plain consumer of the same broker.

use crate::Size;
use crate::endpoint;
use crate::fanout::{delays, median_percentile};
use crate::publisher::{publish_at_rate, record_count};
use crate::rivals::plain_consumer::PlainConsumer;
use crate::table::{ROUNDS, Table, median};
use curlew_integration::bridge::Bridge;
use curlew_integration::kafka::Kafka;
use std::time::Duration;

const STREAMS: usize = 100;
/// Streams whose timestamps are read when there are many records.
const SAMPLED: usize = 10;

pub fn measure(kafka: &Kafka, size: &Size, table: &mut Table) {
    let bridge = Bridge::start(&kafka.bootstrap());
    let [ours, plain] = ["ours", "plain"].map(|name| kafka.fresh(name, 1));
    let mut consumer = PlainConsumer::start(&kafka.bootstrap(), &plain);
    // The records of both are produced through Curlew.
    let [ours, plain] = [ours, plain].map(|topic| endpoint::curlew(bridge.port, &topic));
    let mut consumer_delays = |rate, length| {
        consumer.expect(record_count(rate, length));
        publish_at_rate(&plain.publish, rate, length);
        consumer.delays()
    };
    // The JVM compiles hot code during this run, which is not counted.
    consumer_delays(1_000, Duration::from_secs(2));
    for (rate, sampled) in [(10, STREAMS), (1_000, SAMPLED)] {
        let (mut our_delays, mut plain_delays) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            our_delays.push(delays(&ours, STREAMS, sampled, rate, size.length));
            plain_delays.push(consumer_delays(rate, size.length));
        }
        for (index, (name, part)) in [("p50", 0.5), ("p99", 0.99)].into_iter().enumerate() {
            let plain = median(plain_delays.iter().map(|delays| delays[index]).collect());
            let ours = median_percentile(&mut our_delays, part);
            let what = format!("produce to arrival, {STREAMS} streams, {rate} records/s, {name}");
            table.row(&what, "ms", ours, &[("one plain Java consumer", plain)]);
        }
    }
}
