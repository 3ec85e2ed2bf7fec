//! The log of our own: small requests that are answered after an fsync, batches, and what opening it costs.

use crate::Size;
use crate::bulk::ndjson;
use crate::load::{self, Connections, Outcome};
use crate::record::{LENGTH, record};
use crate::rivals::sqlite::Sqlite;
use crate::table::{TURNS, Table, median};
use crate::usage::{peak, resident};
use curlew_integration::bridge::Bridge;
use curlew_integration::kafka::Kafka;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

const CONNECTIONS: usize = 64;
/// Records of one request.
const BATCH: usize = 500;
/// Connections that send batches.
const BATCHING: usize = 4;

pub fn measure(kafka: &Kafka, size: &Size, table: &mut Table) {
    // Not in the system's folder for temporary files, which may be memory.
    let folder = tempfile::tempdir_in("target").expect("temp folder");
    eprintln!("  on {}", file_system(folder.path()));
    let own = Bridge::embedded(&folder.path().join("data"), &[]);
    let through_kafka = Bridge::start(&kafka.bootstrap());
    let topic = kafka.fresh("durable", 1);
    let sqlite = Sqlite::start(&folder.path().join("sqlite"));
    let places =
        [("Curlew", own.port), ("Kafka, through Curlew", through_kafka.port), ("Flask and SQLite", sqlite.port)];

    let target = format!("/topics/{topic}");
    let one = load::post(&target, "application/json", &record());
    let run = |port, length| load::run(port, &one, CONNECTIONS, Connections::Kept, length);
    for (_, port) in places {
        run(port, size.length / 2);
    }
    let title = format!("written to the disk, {LENGTH} bytes, {CONNECTIONS} connections kept");
    table.compare(
        &title,
        "requests/s",
        places.map(|(name, port)| contender(name, move || run(port, size.length).per_second)).into(),
    );
    let delays: Vec<[Outcome; 3]> = (0..TURNS).map(|_| places.map(|(_, port)| run(port, size.length / 2))).collect();
    for (name, part) in [("p50", 0.5), ("p99", 0.99)] {
        let of = |at: usize| median(delays.iter().map(|outcomes| outcomes[at].percentile(part)).collect());
        table.row(&format!("… until the receipt, {name}"), "ms", of(0), &[(places[1].0, of(1)), (places[2].0, of(2))]);
    }

    let many = load::post(&target, "application/vnd.kafka.json.v2+json", &envelope());
    let batches = |port| load::run(port, &many, BATCHING, Connections::Kept, size.length).per_second * BATCH as f64;
    let title = format!("… {BATCH} records a request, {BATCHING} connections");
    table.compare(&title, "records/s", places.map(|(name, port)| contender(name, move || batches(port))).into());
    drop((own, sqlite));
    opening(&folder.path().join("large"), size, table);
}

fn contender<'a>(name: &'a str, measure: impl FnMut() -> f64 + 'a) -> crate::table::Contender<'a> {
    (name, Box::new(measure))
}

/// `{"records":[{"value":…},…]}`
fn envelope() -> Vec<u8> {
    let one = [b"{\"value\":", &record()[..], b"}"].concat();
    [b"{\"records\":[", &vec![one; BATCH].join(&b","[..])[..], b"]}"].concat()
}

/// Milliseconds until a log of so much answers, and its memory then. The page cache is warm.
fn opening(data: &Path, size: &Size, table: &mut Table) {
    let options = ["--retention-bytes", "unlimited"];
    let mut bridge = Bridge::embedded(data, &options);
    let mut line = record();
    line.push(b'\n');
    let records = size.kept / LENGTH;
    ndjson(bridge.port, "large", &line, records);
    let what = format!("opening a log of {} MiB", size.kept >> 20);
    assert_eq!(bridge.stop(), Some(0));
    let clean = (0..TURNS).map(|_| {
        let took = opened(&mut bridge);
        let memory = resident(bridge.process().id());
        assert_eq!(bridge.stop(), Some(0));
        (took, memory)
    });
    let (took, memory): (Vec<_>, Vec<_>) = clean.unzip();
    table.row(&what, "ms", median(took), &[]);
    table.row("… memory then", "MB", median(memory) / 1e6, &[]);
    opened(&mut bridge);
    let killed = (0..TURNS).map(|_| {
        ndjson(bridge.port, "large", &line, 1000);
        bridge.process().kill();
        let took = opened(&mut bridge);
        (took, peak(bridge.process().id()))
    });
    let (took, memory): (Vec<_>, Vec<_>) = killed.unzip();
    table.row("… after a kill -9", "ms", median(took), &[]);
    table.row("… memory then, at most", "MB", median(memory) / 1e6, &[]);
}

/// Starts it again; milliseconds until it answers.
fn opened(bridge: &mut Bridge) -> f64 {
    let started = Instant::now();
    bridge.kill_and_start_again();
    bridge.get("/ready").expect(200);
    started.elapsed().as_secs_f64() * 1000.0
}

fn file_system(path: &Path) -> String {
    let output = Command::new("stat").args(["-f", "-c", "%T"]).arg(path).output().expect("stat");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
