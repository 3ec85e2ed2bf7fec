//! `make bench`: compares Curlew with other programs on the same machine, alternating between them, and prints a table
//! for the README.
//!
//! The load generator, the broker and the measured program share the cores of the machine, so only numbers of the same
//! run are comparable. `BENCH=quick` shortens all measurements.

mod avro;
mod backfill;
mod bare_warp;
mod bulk;
mod durable;
mod endpoint;
mod fanout;
mod idle;
mod latency;
mod load;
mod machines;
mod publisher;
mod reading;
mod record;
mod requests;
mod rivals;
mod sample;
mod series;
mod snapshot;
mod subscribers;
mod table;
mod usage;
mod viewers;

use curlew_integration::kafka::{Kafka, Options};
use std::process::Command;
use std::time::{Duration, Instant};
use table::Table;

/// The size of the measurements.
pub struct Size {
    /// Duration of one measurement of requests or streams.
    length: Duration,
    /// Number of records in one NDJSON request.
    produced: usize,
    /// Number of records in a topic that is read completely.
    consumed: usize,
    /// Bytes of records in the log that is opened.
    kept: usize,
    /// Numbers of idle streams.
    idle: &'static [usize],
    /// Number of keys in a snapshot.
    keys: u64,
    /// Number of records in a time series.
    readings: u64,
    /// Number of streams that read the same topic.
    viewers: usize,
}

const FULL: Size = Size {
    length: Duration::from_secs(4),
    produced: 500_000,
    consumed: 1_000_000,
    kept: 1 << 30,
    idle: &[5_000, 20_000],
    keys: 100_000,
    readings: 21_600_000,
    viewers: 1_000,
};
const QUICK: Size = Size {
    length: Duration::from_secs(1),
    produced: 100_000,
    consumed: 200_000,
    kept: 100 << 20,
    idle: &[1_000],
    keys: 10_000,
    readings: 2_160_000,
    viewers: 100,
};

#[derive(Clone, Copy)]
enum Part {
    OnKafka(fn(&Kafka, &Size, &mut Table)),
    Embedded(fn(&Size, &mut Table)),
}

const PARTS: [(&str, Part); 12] = [
    ("requests", Part::OnKafka(requests::measure)),
    ("bulk", Part::OnKafka(bulk::measure)),
    ("durable", Part::OnKafka(durable::measure)),
    ("fanout", Part::OnKafka(fanout::measure)),
    ("latency", Part::OnKafka(latency::measure)),
    ("backfill", Part::OnKafka(backfill::measure)),
    ("avro", Part::OnKafka(avro::measure)),
    ("idle", Part::OnKafka(idle::measure)),
    ("snapshot", Part::Embedded(snapshot::measure)),
    ("series", Part::Embedded(series::measure)),
    ("viewers", Part::Embedded(viewers::measure)),
    ("sample", Part::Embedded(sample::measure)),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["bare-warp", port] => bare_warp::serve(port.parse().expect("a port")),
        ref names => {
            let known = |name: &&str| PARTS.iter().any(|(part, _)| part == name);
            assert!(names.iter().all(known), "usage: bench [{}]...", PARTS.map(|(name, _)| name).join("|"));
            let is_asked = |name: &str| names.is_empty() || names.contains(&name);
            measure(PARTS.into_iter().filter(|(name, _)| is_asked(name)));
        }
    }
}

fn measure(parts: impl Iterator<Item = (&'static str, Part)>) {
    let is_quick = std::env::var("BENCH").is_ok_and(|size| size == "quick");
    let size = if is_quick { QUICK } else { FULL };
    let load = load_average();
    let started = Instant::now();
    let (mut kafka, mut table) = (None, Table::default());
    for (name, part) in parts {
        eprintln!("{name}, after {} s", started.elapsed().as_secs());
        match part {
            Part::OnKafka(measure) => {
                let start = || Kafka::start(Options { java: &["-Xmx1g"], ..Options::default() });
                measure(kafka.get_or_insert_with(start), &size, &mut table);
            }
            Part::Embedded(measure) => {
                // An idle Kafka would use memory and some CPU.
                kafka = None;
                measure(&size, &mut table);
            }
        }
    }
    let command = if is_quick { "BENCH=quick make bench" } else { "make bench" };
    println!("`{command}` on {}, {}, in {} s;", today(), processor(), started.elapsed().as_secs());
    println!("load of the minute before: {load}. Medians of {} turns.\n", table::ROUNDS);
    table.print();
}

/// Returns the load average of the last minute. A high load makes the numbers unreliable.
fn load_average() -> String {
    let all = std::fs::read_to_string("/proc/loadavg").expect("/proc/loadavg");
    all.split(' ').next().unwrap_or("?").to_owned()
}

fn processor() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let all = std::fs::read_to_string("/proc/cpuinfo").expect("/proc/cpuinfo");
    let model = all.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    format!("{cores} cores of {}", model.map_or("an unknown processor", |(_, name)| name))
}

fn today() -> String {
    let output = Command::new("date").arg("+%Y-%m-%d").output().expect("date");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
