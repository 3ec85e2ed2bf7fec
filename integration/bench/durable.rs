//! The embedded log: small requests acknowledged after an fsync, batches, and the cost of opening the log.

use crate::Size;
use crate::bulk::ndjson;
use crate::load::{self, Connections, LoadResult};
use crate::record::{LENGTH, record};
use crate::rivals::sqlite::Sqlite;
use crate::table::{ROUNDS, Table, median};
use crate::usage::{peak, resident};
use curlew_integration::bridge::Bridge;
use curlew_integration::kafka::Kafka;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

const CONNECTIONS: usize = 64;
/// Records per request.
const BATCH: usize = 500;
/// Connections that send batches.
const BATCH_CONNECTIONS: usize = 4;

pub fn measure(kafka: &Kafka, size: &Size, table: &mut Table) {
    // Not in the system's directory for temporary files, which may be in memory.
    let directory = tempfile::tempdir_in("target").expect("temporary directory");
    eprintln!("  on {}", file_system(directory.path()));
    let own = Bridge::embedded(&directory.path().join("data"), &[]);
    let through_kafka = Bridge::start(&kafka.bootstrap());
    let topic = kafka.fresh("durable", 1);
    let sqlite = Sqlite::start(&directory.path().join("sqlite"));
    let contenders =
        [("Curlew", own.port), ("Kafka, through Curlew", through_kafka.port), ("Flask and SQLite", sqlite.port)];

    let target = format!("/topics/{topic}");
    let one = load::post(&target, "application/json", &record());
    let run = |port, length| load::run(port, &one, CONNECTIONS, Connections::Kept, length);
    for (_, port) in contenders {
        run(port, size.length / 2);
    }
    let title = format!("written to the disk, {LENGTH} bytes, {CONNECTIONS} connections kept");
    table.compare(
        &title,
        "requests/s",
        contenders.map(|(name, port)| contender(name, move || run(port, size.length).per_second)).into(),
    );
    let delays: Vec<[LoadResult; 3]> =
        (0..ROUNDS).map(|_| contenders.map(|(_, port)| run(port, size.length / 2))).collect();
    for (name, part) in [("p50", 0.5), ("p99", 0.99)] {
        let of = |at: usize| median(delays.iter().map(|outcomes| outcomes[at].percentile(part)).collect());
        table.row(
            &format!("… until the receipt, {name}"),
            "ms",
            of(0),
            &[(contenders[1].0, of(1)), (contenders[2].0, of(2))],
        );
    }

    let many = load::post(&target, "application/vnd.kafka.json.v2+json", &envelope());
    let batches =
        |port| load::run(port, &many, BATCH_CONNECTIONS, Connections::Kept, size.length).per_second * BATCH as f64;
    let title = format!("… {BATCH} records a request, {BATCH_CONNECTIONS} connections");
    table.compare(&title, "records/s", contenders.map(|(name, port)| contender(name, move || batches(port))).into());
    drop((own, sqlite));
    measure_opening(&directory.path().join("large"), size, table);
}

fn contender<'a>(name: &'a str, measure: impl FnMut() -> f64 + 'a) -> crate::table::Contender<'a> {
    (name, Box::new(measure))
}

/// `{"records":[{"value":…},…]}`
fn envelope() -> Vec<u8> {
    let one = [b"{\"value\":", &record()[..], b"}"].concat();
    [b"{\"records\":[", &vec![one; BATCH].join(&b","[..])[..], b"]}"].concat()
}

/// Measures the milliseconds until a bridge with `size.kept` bytes of records responds, and its memory at that time.
/// The page cache is warm.
fn measure_opening(data: &Path, size: &Size, table: &mut Table) {
    let options = ["--retention-bytes", "unlimited"];
    let mut bridge = Bridge::embedded(data, &options);
    let mut line = record();
    line.push(b'\n');
    let records = size.kept / LENGTH;
    ndjson(bridge.port, "large", &line, records);
    let what = format!("opening a log of {} MiB", size.kept >> 20);
    assert_eq!(bridge.stop(), Some(0));
    let clean = (0..ROUNDS).map(|_| {
        let took = time_to_ready(&mut bridge);
        let memory = resident(bridge.process().id());
        assert_eq!(bridge.stop(), Some(0));
        (took, memory)
    });
    let (took, memory): (Vec<_>, Vec<_>) = clean.unzip();
    table.row(&what, "ms", median(took), &[]);
    table.row("… memory then", "MB", median(memory) / 1e6, &[]);
    time_to_ready(&mut bridge);
    let killed = (0..ROUNDS).map(|_| {
        ndjson(bridge.port, "large", &line, 1000);
        bridge.process().kill();
        let took = time_to_ready(&mut bridge);
        (took, peak(bridge.process().id()))
    });
    let (took, memory): (Vec<_>, Vec<_>) = killed.unzip();
    table.row("… after a kill -9", "ms", median(took), &[]);
    table.row("… memory then, at most", "MB", median(memory) / 1e6, &[]);
}

/// Restarts the bridge. Returns the milliseconds until it responds.
fn time_to_ready(bridge: &mut Bridge) -> f64 {
    let started = Instant::now();
    bridge.kill_and_restart();
    bridge.get("/ready").expect(200);
    started.elapsed().as_secs_f64() * 1000.0
}

fn file_system(path: &Path) -> String {
    let output = Command::new("stat").args(["-f", "-c", "%T"]).arg(path).output().expect("stat");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
