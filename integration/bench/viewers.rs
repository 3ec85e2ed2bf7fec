//! The cost of many pages that show the same chart: streams of time series, compared with streams of records.

use crate::Size;
use crate::endpoint::{Publish, StreamEndpoint};
use crate::machines::{self, MachineRecords};
use crate::subscribers::Subscribers;
use crate::table::{ROUNDS, Table, median};
use crate::usage::cpu;
use curlew_integration::bridge::Bridge;
use std::time::{Duration, Instant};

const MACHINES: u64 = 10;
/// Records per second.
const RATE: u64 = 1_000;

pub fn measure(size: &Size, table: &mut Table) {
    let (_directory, mut bridge) = machines::bridge();
    let length = size.length * 2;
    let streams = size.viewers;
    let series = "/topics/machines/series?from=-1m&by=key&field=value.temperature&step=1s";
    let mut costs = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        let alone = cpu_beside(&mut bridge, RATE, length, None).0;
        for (target, costs) in [series, "/topics/machines/events"].into_iter().zip(&mut costs) {
            let (busy, _) = cpu_beside(&mut bridge, RATE, length, Some((target, streams)));
            costs.push((busy - alone).max(0.0) / streams as f64 * 1000.0);
        }
    }
    let [ours, plain] = costs.map(median);
    let what = format!("CPU of each of {streams} viewers of one series, {RATE} records/s");
    table.row(&what, "ms/s", ours, &[("all records", plain)]);
}

/// Publishes records for `length`, while this number of streams is open. Returns the CPU seconds that the bridge uses for
/// each second of records, and the number of records that each stream has received for each record that was published.
pub fn cpu_beside(bridge: &mut Bridge, rate: u64, length: Duration, streams: Option<(&str, usize)>) -> (f64, f64) {
    let (process, port) = (bridge.process().id(), bridge.port);
    let records = MachineRecords { machines: MACHINES, first: None };
    // The topic exists, and has records.
    records.publish(port, "machines", rate, Duration::from_millis(500));
    let subscribers = streams.map(|(target, streams)| {
        let endpoint = StreamEndpoint { port, target: target.to_owned(), ready: "\nid:", publish: Publish::Endless };
        Subscribers::open(&endpoint, streams, 0)
    });
    let (before, started) = (cpu(process), Instant::now());
    let published = records.publish(port, "machines", rate, length);
    // What is not delivered yet counts too.
    std::thread::sleep(Duration::from_secs(1));
    eprintln!("  {published} records in {:.1} s", started.elapsed().as_secs_f64());
    let used = (cpu(process) - before) / (published as f64 / rate as f64);
    let received = subscribers.as_ref().map_or(0, Subscribers::received);
    subscribers.map(Subscribers::stop);
    let streams = streams.map_or(1, |(_, streams)| streams);
    (used, received as f64 / streams as f64 / published as f64)
}
