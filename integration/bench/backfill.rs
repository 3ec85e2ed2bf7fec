//! Reading a complete topic: the throughput to one client compared with other readers, the memory, and the effect on
//! live streams.

use crate::Size;
use crate::endpoint;
use crate::fanout::{delays, median_percentile};
use crate::record::LENGTH;
use crate::rivals::{consumer_performance, producer_performance, records_per_second};
use crate::subscribers::Delays;
use crate::table::{ROUNDS, Table};
use crate::usage::{peak, resident};
use curlew_integration::bridge::{Bridge, binary};
use curlew_integration::kafka::Kafka;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// The load of live streams during the backfill.
const LIVE_STREAMS: usize = 100;
const LIVE_RATE: u32 = 100;

pub fn measure(kafka: &Kafka, size: &Size, table: &mut Table) {
    let bootstrap = kafka.bootstrap();
    let topic = kafka.fresh("backfill", 1);
    producer_performance(&bootstrap, &topic, size.consumed);
    let mut bridge = Bridge::start(&bootstrap);
    let process = bridge.process().id();
    let port = bridge.port;
    let before = resident(process);
    let with_curl = || {
        let target = format!("http://127.0.0.1:{port}/topics/{topic}/events?from=earliest&until=end");
        records_per_second(Path::new("curl"), &["-sfN", &target], None, size.consumed)
    };
    table.compare(
        &format!("{} records of {LENGTH} bytes from the earliest on", size.consumed),
        "records/s",
        vec![
            ("Curlew to curl", Box::new(with_curl)),
            (
                "`curlew consume`, without HTTP",
                Box::new(|| {
                    let arguments = ["consume", &topic, "--kafka", &bootstrap, "--from", "earliest", "--until-end"];
                    records_per_second(&binary(), &arguments, None, size.consumed)
                }),
            ),
            ("ConsumerPerformance", Box::new(|| consumer_performance(&bootstrap, &topic, size.consumed))),
            (
                "kcat -C",
                Box::new(|| {
                    let arguments = ["-C", "-q", "-e", "-o", "beginning", "-b", &bootstrap, "-t", &topic];
                    records_per_second(Path::new("kcat"), &arguments, None, size.consumed)
                }),
            ),
        ],
    );
    let most = peak(process) / 1e6;
    table.row("… Curlew's memory, at most", "MB", most, &[("before the first", before / 1e6)]);

    let live = endpoint::curlew(port, &kafka.fresh("live", 1));
    let live = || delays(&live, LIVE_STREAMS, LIVE_STREAMS, LIVE_RATE, size.length);
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        alone.push(live());
        beside.push(while_repeating(&with_curl, live));
    }
    for (name, part) in [("p50", 0.5), ("p99", 0.99)] {
        let [alone, beside] = [&mut alone, &mut beside].map(|delays| median_percentile(delays, part));
        let what =
            format!("produce to arrival, {LIVE_STREAMS} streams, {LIVE_RATE} records/s, beside backfills, {name}");
        table.row(&what, "ms", beside, &[("Curlew without them", alone)]);
    }
}

/// Repeats the backfill until the live streams have been measured.
fn while_repeating(backfill: &(impl Fn() -> f64 + Sync), live: impl FnOnce() -> Delays) -> Delays {
    let measured = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !measured.load(Ordering::Relaxed) {
                backfill();
            }
        });
        let delays = live();
        measured.store(true, Ordering::Relaxed);
        delays
    })
}
