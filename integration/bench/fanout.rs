//! One topic to many streams: throughput and delay, compared with Nchan and with a bare warp stream.

use crate::bare_warp::BareWarp;
use crate::endpoint::{self, StreamEndpoint, TIMEOUT};
use crate::publisher::{publish_at_rate, publish_fast};
use crate::rivals::nchan::Nchan;
use crate::subscribers::{Delays, Subscribers};
use crate::table::{ROUNDS, Table, median};
use crate::usage::cpu;
use crate::{Size, record};
use curlew_integration::bridge::Bridge;
use curlew_integration::kafka::Kafka;
use std::time::{Duration, Instant};

const STREAMS: [usize; 3] = [1, 100, 1_000];

/// Maximum number of deliveries in flight, and of records in flight per stream: about a megabyte.
const MAX_IN_FLIGHT: u64 = 1_000_000;
const MAX_RECORDS_IN_FLIGHT: u64 = 5_000;

pub fn measure(kafka: &Kafka, size: &Size, table: &mut Table) {
    let mut bridge = Bridge::start(&kafka.bootstrap());
    let process = bridge.process().id();
    let nchan = Nchan::start();
    let warp = BareWarp::start();
    for streams in STREAMS {
        // Fewer than Nchan keeps, so that it discards no record in flight.
        let in_flight = MAX_IN_FLIGHT.min(MAX_RECORDS_IN_FLIGHT * streams as u64);
        let topic = kafka.fresh("fanout", 1);
        let ours = endpoint::curlew(bridge.port, &topic);
        let mut costs = [Vec::new(), Vec::new()];
        let [our_cost, nchan_cost] = &mut costs;
        table.compare(
            &format!("fan-out of {}-byte records to {streams} streams", record::LENGTH),
            "records/s",
            vec![
                ("Curlew", Box::new(|| delivery_rate(&ours, process, streams, size.length, in_flight, our_cost))),
                (
                    "Nchan",
                    Box::new(|| {
                        delivery_rate(&nchan.endpoint(), nchan.worker(), streams, size.length, in_flight, nchan_cost)
                    }),
                ),
                ("bare warp stream", Box::new(|| receive_rate(&warp.endpoint(), streams, size.length))),
            ],
        );
        let [ours, nchan_value] = costs.map(median);
        table.row(&format!("CPU of a million deliveries to {streams} streams"), "s", ours, &[("Nchan", nchan_value)]);
    }
    for streams in STREAMS {
        let topic = kafka.fresh("soon", 1);
        let ours = endpoint::curlew(bridge.port, &topic);
        let [mut our_delays, mut nchan_delays] = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            our_delays.push(delays(&ours, streams, streams, 10, size.length));
            nchan_delays.push(delays(&nchan.endpoint(), streams, streams, 10, size.length));
        }
        for (name, part) in [("p50", 0.5), ("p99", 0.99)] {
            let [ours, nchan_value] =
                [&mut our_delays, &mut nchan_delays].map(|delays| median_percentile(delays, part));
            let what = format!("produce to arrival, {streams} streams, 10 records/s, {name}");
            table.row(&what, "ms", ours, &[("Nchan", nchan_value)]);
        }
    }
}

/// Returns the records per second that all streams receive together, from the first publish to the last arrival.
///
/// At most `in_flight` deliveries are in flight. A lower limit would make publisher and subscribers wait for each
/// other. Appends to `costs` the CPU seconds per million deliveries.
pub fn delivery_rate(
    endpoint: &StreamEndpoint,
    process: u32,
    streams: usize,
    length: Duration,
    in_flight: u64,
    costs: &mut Vec<f64>,
) -> f64 {
    let subscribers = Subscribers::open(endpoint, streams, 0);
    let many = streams as u64;
    let window = in_flight / many;
    let (started, used) = (Instant::now(), cpu(process));
    let published = publish_fast(&endpoint.publish, length, window, || subscribers.received() / many);
    let all = published * many;
    subscribers.wait_for(all, TIMEOUT);
    let took = started.elapsed();
    costs.push((cpu(process) - used) / all as f64 * 1e6);
    assert_eq!(subscribers.received(), all, "more records arrived than were published");
    subscribers.stop();
    all as f64 / took.as_secs_f64()
}

/// Returns the records per second that the streams of an endless source receive.
fn receive_rate(endpoint: &StreamEndpoint, streams: usize, length: Duration) -> f64 {
    let subscribers = Subscribers::open(endpoint, streams, 0);
    let (started, before) = (Instant::now(), subscribers.received());
    std::thread::sleep(length);
    let arrived = subscribers.received() - before;
    let took = started.elapsed();
    subscribers.stop();
    arrived as f64 / took.as_secs_f64()
}

/// Measures the delay from the produce request to the arrival at the first `sampled` streams.
pub fn delays(endpoint: &StreamEndpoint, streams: usize, sampled: usize, rate: u32, length: Duration) -> Delays {
    let subscribers = Subscribers::open(endpoint, streams, sampled);
    let published = publish_at_rate(&endpoint.publish, rate, length);
    subscribers.wait_for(published * streams as u64, TIMEOUT);
    subscribers.stop()
}

/// Returns the median of a percentile over the rounds.
pub fn median_percentile(delays: &mut [Delays], part: f64) -> f64 {
    median(delays.iter_mut().map(|delays| delays.percentile(part)).collect())
}
