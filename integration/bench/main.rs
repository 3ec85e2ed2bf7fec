//! `make bench`: Curlew beside others on the same machine, in turns, and the ratios.
//!
//! Load generator, broker and the measured share the machine's cores, so only numbers of one run are
//! to be compared. `BENCH=quick` shortens everything.

mod bare_warp;
mod load;
mod requests;
mod table;

use curlew_integration::kafka::{Kafka, Options};
use std::time::{Duration, Instant};

/// How much is measured.
pub struct Size {
    /// Of one measurement of requests, or of streams.
    length: Duration,
}

const FULL: Size = Size { length: Duration::from_secs(4) };
const QUICK: Size = Size { length: Duration::from_secs(1) };

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
    let java = &["-Xmx1g"];
    let kafka = Kafka::start(Options { java, ..Options::default() });
    requests::measure(&kafka, &size);
    println!("in {} s", started.elapsed().as_secs());
}
