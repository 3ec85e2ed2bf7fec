//! What streams cost: the memory and CPU of idle ones, and what a delivery takes, beside the Flask way.

use crate::Size;
use crate::audience::Audience;
use crate::fanout::delivered;
use crate::place::{self, Place};
use crate::rivals::flask::Flask;
use crate::table::{Table, median};
use crate::usage::{cpu, resident};
use curlew_integration::bridge::Bridge;
use curlew_integration::kafka::Kafka;
use std::time::{Duration, Instant};

/// Descriptors of a process that are not streams.
const OTHER_DESCRIPTORS: usize = 200;
/// Each takes Flask a consumer with connections of its own.
const FLASK_STREAMS: usize = 50;
/// Deliveries that may be on their way.
const MANY: u64 = 250_000;
const FEW: u64 = 50_000;

pub fn measure(kafka: &Kafka, size: &Size, table: &mut Table) {
    for streams in size.idle {
        let streams = *streams.min(&descriptors().saturating_sub(OTHER_DESCRIPTORS));
        let topic = kafka.fresh("idle", 1);
        let most = (streams + 10).to_string();
        let mut bridge = Bridge::start_with(&kafka.bootstrap(), &["--max-streams", &most, "--max-connections", &most]);
        let process = bridge.process().id();
        let place = place::curlew(bridge.port, &topic);
        // The first brings what all share.
        let first = Audience::open(&place, 1, 0);
        let [memory, busy] = cost(&place, process, streams - 1);
        table.row(&format!("memory of each of {streams} idle streams"), "kB", memory, &[]);
        table.row("… CPU of them all", "% of a core", busy, &[]);
        first.leave();
    }
    beside_flask(kafka, size, table);
}

fn beside_flask(kafka: &Kafka, size: &Size, table: &mut Table) {
    let mut bridge = Bridge::start(&kafka.bootstrap());
    let process = bridge.process().id();
    let flask = Flask::start(&kafka.bootstrap());
    let topic = kafka.fresh("flask", 1);
    let ours = place::curlew(bridge.port, &topic);
    let theirs = flask.place(&topic, place::curlew(bridge.port, &topic).publish);
    for place in [&ours, &theirs] {
        Audience::open(place, 1, 0).leave();
    }
    let [memory, busy] = cost(&ours, process, FLASK_STREAMS);
    let [flasks_memory, flasks_busy] = cost(&theirs, flask.worker(), FLASK_STREAMS);
    let what = format!("memory of each of {FLASK_STREAMS} idle streams");
    table.row(&what, "kB", memory, &[("Flask", flasks_memory)]);
    table.row("… CPU of them all", "% of a core", busy, &[("Flask", flasks_busy)]);
    let [mut cost, mut flasks_cost] = [Vec::new(), Vec::new()];
    table.compare(
        &format!("fan-out to {FLASK_STREAMS} streams"),
        "records/s",
        vec![
            ("Curlew", Box::new(|| delivered(&ours, process, FLASK_STREAMS, size.length, MANY, &mut cost))),
            (
                "Flask",
                Box::new(|| delivered(&theirs, flask.worker(), FLASK_STREAMS, size.length, FEW, &mut flasks_cost)),
            ),
        ],
    );
    table.row("… CPU of a million deliveries", "s", median(cost), &[("Flask", median(flasks_cost))]);
}

/// Kilobytes of memory that each of `streams` takes, and the CPU of all, in percent of a core.
fn cost(place: &Place, process: u32, streams: usize) -> [f64; 2] {
    let before = resident(process);
    let audience = Audience::open(place, streams, 0);
    let memory = resident(process) - before;
    let (before, started) = (cpu(process), Instant::now());
    std::thread::sleep(Duration::from_secs(5));
    let busy = (cpu(process) - before) / started.elapsed().as_secs_f64();
    audience.leave();
    [memory / streams as f64 / 1e3, busy * 100.0]
}

/// Files that this process may open, and so the measured ones.
fn descriptors() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").expect("limits");
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("Max open files");
    line.split_whitespace().next().and_then(|soft| soft.parse().ok()).unwrap_or(usize::MAX)
}
