//! The cost of streams: memory and CPU of idle streams, and CPU per delivery, compared with Flask.

use crate::Size;
use crate::endpoint::{self, StreamEndpoint};
use crate::fanout::delivery_rate;
use crate::rivals::flask::Flask;
use crate::subscribers::Subscribers;
use crate::table::{Table, median};
use crate::usage::{cpu, resident};
use curlew_integration::bridge::Bridge;
use curlew_integration::kafka::Kafka;
use std::time::{Duration, Instant};

/// Descriptors of a process other than streams.
const OTHER_DESCRIPTORS: usize = 200;
/// Flask uses a separate Kafka consumer with several connections for each stream.
const FLASK_STREAMS: usize = 50;
/// Maximum number of deliveries in flight.
const MANY: u64 = 250_000;
const FEW: u64 = 50_000;

pub fn measure(kafka: &Kafka, size: &Size, table: &mut Table) {
    for streams in size.idle {
        let streams = *streams.min(&descriptors().saturating_sub(OTHER_DESCRIPTORS));
        let topic = kafka.fresh("idle", 1);
        let most = (streams + 10).to_string();
        let mut bridge = Bridge::start_with(&kafka.bootstrap(), &["--max-streams", &most, "--max-connections", &most]);
        let process = bridge.process().id();
        let endpoint = endpoint::curlew(bridge.port, &topic);
        // The first stream allocates what all streams share.
        let first = Subscribers::open(&endpoint, 1, 0);
        let [memory, busy] = cost(&endpoint, process, streams - 1);
        table.row(&format!("memory of each of {streams} idle streams"), "kB", memory, &[]);
        table.row("… CPU of them all", "% of a core", busy, &[]);
        first.stop();
    }
    compare_with_flask(kafka, size, table);
}

fn compare_with_flask(kafka: &Kafka, size: &Size, table: &mut Table) {
    let mut bridge = Bridge::start(&kafka.bootstrap());
    let process = bridge.process().id();
    let flask = Flask::start(&kafka.bootstrap());
    let topic = kafka.fresh("flask", 1);
    let ours = endpoint::curlew(bridge.port, &topic);
    let theirs = flask.endpoint(&topic, endpoint::curlew(bridge.port, &topic).publish);
    for endpoint in [&ours, &theirs] {
        Subscribers::open(endpoint, 1, 0).stop();
    }
    let [memory, busy] = cost(&ours, process, FLASK_STREAMS);
    let [flask_memory, flask_busy] = cost(&theirs, flask.worker(), FLASK_STREAMS);
    let what = format!("memory of each of {FLASK_STREAMS} idle streams");
    table.row(&what, "kB", memory, &[("Flask", flask_memory)]);
    table.row("… CPU of them all", "% of a core", busy, &[("Flask", flask_busy)]);
    let [mut cost, mut flask_cost] = [Vec::new(), Vec::new()];
    table.compare(
        &format!("fan-out to {FLASK_STREAMS} streams"),
        "records/s",
        vec![
            ("Curlew", Box::new(|| delivery_rate(&ours, process, FLASK_STREAMS, size.length, MANY, &mut cost))),
            (
                "Flask",
                Box::new(|| delivery_rate(&theirs, flask.worker(), FLASK_STREAMS, size.length, FEW, &mut flask_cost)),
            ),
        ],
    );
    table.row("… CPU of a million deliveries", "s", median(cost), &[("Flask", median(flask_cost))]);
}

/// Returns the kilobytes of memory per stream, and the CPU of all streams in percent of a core.
fn cost(endpoint: &StreamEndpoint, process: u32, streams: usize) -> [f64; 2] {
    let before = resident(process);
    let subscribers = Subscribers::open(endpoint, streams, 0);
    let memory = resident(process) - before;
    let (before, started) = (cpu(process), Instant::now());
    std::thread::sleep(Duration::from_secs(5));
    let busy = (cpu(process) - before) / started.elapsed().as_secs_f64();
    subscribers.stop();
    [memory / streams as f64 / 1e3, busy * 100.0]
}

/// Returns the limit of open files of this process, which the measured processes inherit.
fn descriptors() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").expect("limits");
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("Max open files");
    line.split_whitespace().next().and_then(|soft| soft.parse().ok()).unwrap_or(usize::MAX)
}
