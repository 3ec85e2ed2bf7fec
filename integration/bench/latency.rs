//! How soon records arrive at a hundred streams, beside a plain consumer of the same broker.

use crate::Size;
use crate::fanout::{delays, of_turns};
use crate::place;
use crate::publisher::{paced, records_of};
use crate::rivals::plain_consumer::PlainConsumer;
use crate::table::{TURNS, Table, median};
use curlew_integration::bridge::Bridge;
use curlew_integration::kafka::Kafka;
use std::time::Duration;

const STREAMS: usize = 100;
/// Streams whose stamps are read where there are many records.
const SAMPLED: usize = 10;

pub fn measure(kafka: &Kafka, size: &Size, table: &mut Table) {
    let bridge = Bridge::start(&kafka.bootstrap());
    let [ours, plain] = ["ours", "plain"].map(|name| kafka.fresh(name, 1));
    let mut consumer = PlainConsumer::start(&kafka.bootstrap(), &plain);
    // Both get their records by the same way in.
    let [ours, plain] = [ours, plain].map(|topic| place::curlew(bridge.port, &topic));
    let mut plainly = |rate, length| {
        consumer.expect(records_of(rate, length));
        paced(&plain.publish, rate, length);
        consumer.delays()
    };
    // Java compiles what it runs often; that is not counted.
    plainly(1_000, Duration::from_secs(2));
    for (rate, sampled) in [(10, STREAMS), (1_000, SAMPLED)] {
        let (mut our_delays, mut plain_delays) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            our_delays.push(delays(&ours, STREAMS, sampled, rate, size.length));
            plain_delays.push(plainly(rate, size.length));
        }
        for (place, (name, part)) in [("p50", 0.5), ("p99", 0.99)].into_iter().enumerate() {
            let plain = median(plain_delays.iter().map(|delays| delays[place]).collect());
            let ours = of_turns(&mut our_delays, part);
            let what = format!("produce to arrival, {STREAMS} streams, {rate} records/s, {name}");
            table.row(&what, "ms", ours, &[("one plain Java consumer", plain)]);
        }
    }
}
