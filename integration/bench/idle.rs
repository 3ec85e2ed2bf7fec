//! Streams without records: the memory of each, and the CPU of all.

use crate::Size;
use crate::audience::Audience;
use crate::place;
use crate::table::Table;
use crate::usage::{cpu, resident};
use curlew_integration::bridge::Bridge;
use curlew_integration::kafka::Kafka;
use std::time::{Duration, Instant};

/// Descriptors of a process that are not streams.
const OTHER_DESCRIPTORS: usize = 200;

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
        let before = resident(process);
        let rest = Audience::open(&place, streams - 1, 0);
        let memory = resident(process) - before;
        let (before, started) = (cpu(process), Instant::now());
        std::thread::sleep(Duration::from_secs(5));
        let busy = (cpu(process) - before) / started.elapsed().as_secs_f64();
        table.row(&format!("memory of each of {streams} idle streams"), "kB", memory / streams as f64 / 1e3, &[]);
        table.row("… CPU of them all", "% of a core", busy * 100.0, &[]);
        first.leave();
        rest.leave();
    }
}

/// Files that this process may open, and so the measured ones.
fn descriptors() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").expect("limits");
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("Max open files");
    line.split_whitespace().next().and_then(|soft| soft.parse().ok()).unwrap_or(usize::MAX)
}
