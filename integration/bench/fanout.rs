//! One topic to many streams: how many records a second arrive, and how soon, beside Nchan and a bare warp stream.

use crate::audience::{Audience, Delays};
use crate::bare_warp::BareWarp;
use crate::place::{self, PATIENCE, Place};
use crate::publisher::{flood, paced};
use crate::rivals::nchan::Nchan;
use crate::table::{TURNS, Table, median};
use crate::usage::cpu;
use crate::{Size, record};
use curlew_integration::bridge::Bridge;
use curlew_integration::kafka::Kafka;
use std::time::{Duration, Instant};

const STREAMS: [usize; 3] = [1, 100, 1_000];

/// Deliveries that may be on their way at once, and records of each stream: about a megabyte.
const ON_THE_WAY: u64 = 1_000_000;
const RECORDS_ON_THE_WAY: u64 = 5_000;

pub fn measure(kafka: &Kafka, size: &Size, table: &mut Table) {
    let mut bridge = Bridge::start(&kafka.bootstrap());
    let process = bridge.process().id();
    let nchan = Nchan::start();
    let warp = BareWarp::start();
    for streams in STREAMS {
        // Fewer than Nchan keeps: it must not forget what is still on its way.
        let on_the_way = ON_THE_WAY.min(RECORDS_ON_THE_WAY * streams as u64);
        let topic = kafka.fresh("fanout", 1);
        let ours = place::curlew(bridge.port, &topic);
        let mut costs = [Vec::new(), Vec::new()];
        let [our_cost, nchans_cost] = &mut costs;
        table.compare(
            &format!("fan-out of {}-byte records to {streams} streams", record::LENGTH),
            "records/s",
            vec![
                ("Curlew", Box::new(|| delivered(&ours, process, streams, size.length, on_the_way, our_cost))),
                (
                    "Nchan",
                    Box::new(|| {
                        delivered(&nchan.place(), nchan.worker(), streams, size.length, on_the_way, nchans_cost)
                    }),
                ),
                ("bare warp stream", Box::new(|| sent(&warp.place(), streams, size.length))),
            ],
        );
        let [ours, nchans] = costs.map(median);
        table.row(&format!("CPU of a million deliveries to {streams} streams"), "s", ours, &[("Nchan", nchans)]);
    }
    for streams in STREAMS {
        let topic = kafka.fresh("soon", 1);
        let ours = place::curlew(bridge.port, &topic);
        let [mut our_delays, mut nchans_delays] = [Vec::new(), Vec::new()];
        for _ in 0..TURNS {
            our_delays.push(delays(&ours, streams, streams, 10, size.length));
            nchans_delays.push(delays(&nchan.place(), streams, streams, 10, size.length));
        }
        for (name, part) in [("p50", 0.5), ("p99", 0.99)] {
            let [ours, nchans] = [&mut our_delays, &mut nchans_delays].map(|delays| of_turns(delays, part));
            let what = format!("produce to arrival, {streams} streams, 10 records/s, {name}");
            table.row(&what, "ms", ours, &[("Nchan", nchans)]);
        }
    }
}

/// Records a second that came to all streams together, from the first publish to the last arrival.
///
/// At most `on_the_way` deliveries are under way at a time: with less, one side would wait for the other. `costs` gets
/// the seconds of CPU of a million deliveries.
pub fn delivered(
    place: &Place,
    process: u32,
    streams: usize,
    length: Duration,
    on_the_way: u64,
    costs: &mut Vec<f64>,
) -> f64 {
    let audience = Audience::open(place, streams, 0);
    let many = streams as u64;
    let window = on_the_way / many;
    let (started, used) = (Instant::now(), cpu(process));
    let published = flood(&place.publish, length, window, || audience.heard() / many);
    let all = published * many;
    audience.wait_for(all, PATIENCE);
    let took = started.elapsed();
    costs.push((cpu(process) - used) / all as f64 * 1e6);
    assert_eq!(audience.heard(), all, "more came than was published");
    audience.leave();
    all as f64 / took.as_secs_f64()
}

/// Records a second that came of an endless stream.
fn sent(place: &Place, streams: usize, length: Duration) -> f64 {
    let audience = Audience::open(place, streams, 0);
    let (started, before) = (Instant::now(), audience.heard());
    std::thread::sleep(length);
    let came = audience.heard() - before;
    let took = started.elapsed();
    audience.leave();
    came as f64 / took.as_secs_f64()
}

/// From the produce call to the arrival at the first `sampled` streams.
pub fn delays(place: &Place, streams: usize, sampled: usize, rate: u32, length: Duration) -> Delays {
    let audience = Audience::open(place, streams, sampled);
    let published = paced(&place.publish, rate, length);
    audience.wait_for(published * streams as u64, PATIENCE);
    audience.leave()
}

/// The median over the turns.
pub fn of_turns(delays: &mut [Delays], part: f64) -> f64 {
    median(delays.iter_mut().map(|delays| delays.percentile(part)).collect())
}
