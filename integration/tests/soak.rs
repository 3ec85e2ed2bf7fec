//! A soak test of `$CURLEW_SOAK` seconds (60 by default; `make soak` sets 600): a publisher, a thousand readers,
//! stalled readers, revoked keys, and a Kafka that is stopped and killed. No record is lost or duplicated, memory stays
//! flat, and no thread or descriptor leaks.

use curlew_integration::bridge::{Bridge, curlew, run};
use curlew_integration::crowd::{Crowd, ReadMode, numbered};
use curlew_integration::kafka::{Kafka, Options};
use curlew_integration::{EndOnDrop, eventually};
use std::io::Write;
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const READERS: usize = 1000;
const STALLED: usize = 50;
const GUESTS: usize = 50;
/// Records per second, of 200 bytes each.
const RATE: u64 = 50;
const CYCLE: Duration = Duration::from_secs(15);
const LONG: Duration = Duration::from_secs(120);
/// Maximum growth of memory from one cycle to another, in MiB.
const FLAT: usize = 24;

fn length() -> Duration {
    let seconds = std::env::var("CURLEW_SOAK").map_or(60, |n| n.parse().expect("CURLEW_SOAK is a number of seconds"));
    Duration::from_secs(seconds)
}

/// A key and its lines of the auth file.
struct Key {
    secret: String,
    lines: String,
}

impl Key {
    fn new(name: &str) -> Self {
        let output = run(&["key", "new", "--name", name]);
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let (secret, lines) = text.split_once('\n').expect("a key and its lines");
        Self { secret: secret.to_owned(), lines: lines.to_owned() }
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.secret)
    }
}

fn write_keys(file: &Path, keys: &[&Key]) {
    let lines: Vec<&str> = keys.iter().map(|key| key.lines.as_str()).collect();
    let new = file.with_extension("new");
    std::fs::write(&new, lines.join("\n")).expect("keys");
    std::fs::rename(new, file).expect("keys");
}

/// `curlew produce` through the bridge, with numbered lines as input.
struct Publisher {
    child: Child,
    stdin: ChildStdin,
}

impl Publisher {
    fn start(port: u16, topic: &str, key: &Key) -> Self {
        let url = format!("http://127.0.0.1:{port}");
        let mut command = curlew(&["produce", topic, "--url", &url]);
        let mut child = command.env("CURLEW_TOKEN", &key.secret).stdin(Stdio::piped()).spawn().expect("curlew produce");
        let stdin = child.stdin.take().expect("stdin");
        Self { child, stdin }
    }

    /// Publishes until `ended` is set, and then asserts that every record was acknowledged.
    fn publish(mut self, published: &AtomicU64, ended: &AtomicBool) {
        let started = Instant::now();
        for number in 0.. {
            if ended.load(Ordering::Relaxed) {
                break;
            }
            self.stdin.write_all(&numbered(number..number + 1)).expect("it reads");
            published.store(number + 1, Ordering::Relaxed);
            let next = started + Duration::from_millis((number + 1) * 1000 / RATE);
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        drop(self.stdin);
        assert!(self.child.wait().expect("wait").success(), "records were not acknowledged");
    }
}

/// The resources of a process.
#[derive(Debug, Clone, Copy)]
struct ResourceUsage {
    mib: usize,
    threads: usize,
    descriptors: usize,
}

impl ResourceUsage {
    fn of(bridge: &mut Bridge) -> Self {
        let process = bridge.process();
        let count = |of: &str| std::fs::read_dir(format!("/proc/{}/{of}", process.id())).expect("proc").count();
        Self { mib: process.resident() / 1024, threads: count("task"), descriptors: count("fd") }
    }
}

#[test]
fn a_busy_bridge_loses_nothing_and_leaks_nothing() {
    let mut kafka = Kafka::start(Options::default());
    let topic = kafka.fresh("soak", 1);
    let directory = tempfile::tempdir().expect("temporary directory");
    let file = directory.path().join("auth.toml");
    let [publisher, reader, guest] = ["publisher", "reader", "guest"].map(Key::new);
    write_keys(&file, &[&publisher, &reader, &guest]);
    let options = ["--auth-file", file.to_str().expect("UTF-8"), "--stall-timeout", "5s"];
    let mut bridge = Bridge::start_with(&kafka.bootstrap(), &options);
    let target = format!("/topics/{topic}/events");
    let port = bridge.port;
    let open = |key: &Key, count, manner| Crowd::open_as(port, &target, &key.bearer(), count, manner);

    let (published, ended) = (AtomicU64::new(0), AtomicBool::new(false));
    let idle = ResourceUsage::of(&mut bridge);
    let mut readers = open(&reader, READERS, ReadMode::Reads);
    let mut cycles = Vec::new();
    std::thread::scope(|scope| {
        // Ends the publisher on panics too.
        let _end = EndOnDrop(&ended);
        let publishing = Publisher::start(port, &topic, &publisher);
        let publishing = scope.spawn(|| publishing.publish(&published, &ended));
        let started = Instant::now();
        while started.elapsed() < length() {
            let cycle = Instant::now();
            let stalled = open(&reader, STALLED, ReadMode::ReadsNothing);
            let guests = open(&guest, GUESTS, ReadMode::ReadsUntilProblem);
            match cycles.len() % 2 {
                0 => kafka.stop(1),
                _ => kafka.kill(1),
            }
            write_keys(&file, &[&publisher, &reader]);
            guests.wait_until_ended(LONG);
            kafka.restart(1);
            write_keys(&file, &[&publisher, &reader, &guest]);
            let due = published.load(Ordering::Relaxed);
            readers.wait_for_records(due, LONG);
            readers.disconnect();
            readers.reconnect();
            readers.wait_for_records(due + RATE, LONG);
            drop((stalled, guests));
            std::thread::sleep(CYCLE.saturating_sub(cycle.elapsed()));
            assert!(!publishing.is_finished(), "the publisher has ended");
            let usage = ResourceUsage::of(&mut bridge);
            println!("after {} s: {due} records, {usage:?}", started.elapsed().as_secs());
            cycles.push(usage);
        }
        ended.store(true, Ordering::Relaxed);
        publishing.join().expect("the publisher");
    });
    let records = published.load(Ordering::Relaxed);
    readers.wait_for_records(records, LONG);
    assert!(
        readers.seen().iter().all(|seen| seen.records == records),
        "some streams received more than {records} records"
    );

    // The first cycle allocates what all later cycles reuse.
    let (first, last) = (cycles[0], cycles[cycles.len() - 1]);
    assert!(last.mib < first.mib + FLAT, "memory grew: {cycles:?}");
    readers.disconnect();
    let left = eventually("all descriptors are closed", LONG, || {
        let usage = ResourceUsage::of(&mut bridge);
        if usage.descriptors < idle.descriptors + 50 { Ok(usage) } else { Err(format!("{usage:?}")) }
    });
    assert!(left.threads <= first.threads, "threads leaked: {cycles:?}, then {left:?}");
    let health = bridge.get("/health").expect(200).json();
    assert_eq!(health["panics"], 0, "{health}");
    println!("{records} records to {READERS} readers, each once and in order, over {} stops of Kafka", cycles.len());
}
