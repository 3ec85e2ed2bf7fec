//! `make bench`: Curlew beside others on the same machine, in turns, and the ratios.
//!
//! Load generator, broker and the measured share the machine's cores, so only numbers of one run are
//! to be compared. `BENCH=quick` shortens everything.

mod bare_warp;
mod bulk;
mod load;
mod requests;
mod rivals;
mod streams;
mod table;

use curlew_integration::kafka::{Kafka, Options};
use std::time::{Duration, Instant};

/// How much is measured.
pub struct Size {
    /// Of one measurement of requests, or of streams.
    length: Duration,
    /// Records of one ndjson stream.
    produced: usize,
    /// Records of the topic that is read.
    consumed: usize,
    /// Streams with records.
    busy: usize,
    /// Streams without.
    idle: usize,
}

const FULL: Size =
    Size { length: Duration::from_secs(4), produced: 500_000, consumed: 1_000_000, busy: 500, idle: 5_000 };
const QUICK: Size =
    Size { length: Duration::from_secs(1), produced: 100_000, consumed: 200_000, busy: 100, idle: 1_000 };

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["bare-warp", port] => bare_warp::serve(port.parse().expect("a port")),
        [] => all(if std::env::var("BENCH").is_ok_and(|b| b == "quick") { QUICK } else { FULL }),
        _ => panic!("usage: bench, or bench bare-warp PORT"),
    }
}

fn all(size: Size) {
    let started = Instant::now();
    println!("load of the last minute before the start: {}", load_average());
    let java = &["-Xmx1g"];
    let kafka = Kafka::start(Options { java, ..Options::default() });
    requests::measure(&kafka, &size);
    bulk::measure(&kafka, &size);
    streams::measure(&kafka, &size);
    println!("in {} s", started.elapsed().as_secs());
}

/// Numbers taken while others use the cores are worth little; the reader is told.
fn load_average() -> String {
    let all = std::fs::read_to_string("/proc/loadavg").expect("/proc/loadavg");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{} on {cores} cores", all.split(' ').next().unwrap_or("?"))
}
