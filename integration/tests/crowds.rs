//! Many concurrent streams: they lose nothing, and their cost in memory and fetch requests is limited. `make bench`
//! measures speed.

use curlew_integration::bridge::{Bridge, curlew, run_with_input};
use curlew_integration::crowd::{Crowd, ReadMode, numbered};
use curlew_integration::kafka::{Kafka, Options};
use curlew_integration::proxy::{CountingProxy, FETCH};
use std::io::Write;
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(240);

/// Runs one test at a time, because concurrent tests would affect each other's measurements.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn produce(topic: &str, numbers: std::ops::Range<u64>) {
    let kafka = Kafka::shared().bootstrap();
    let output = run_with_input(&["produce", topic, "--kafka", &kafka], &numbered(numbers));
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_thousand_stalled_streams_cost_little_and_delay_no_other_stream() {
    flow_past_stalled("");
}

#[test]
fn a_thousand_stalled_streams_with_private_chunks_cost_little_and_delay_no_other_stream() {
    // Streams with a limit share no chunks, because each counts its records.
    flow_past_stalled("?limit=1000000");
}

/// Delivers 100 MB to 100 readers while 1,000 streams with this query read nothing.
fn flow_past_stalled(query: &str) {
    let _alone = alone();
    let kafka = Kafka::shared();
    let topic = kafka.fresh("stalled", 1);
    let mut bridge = Bridge::start(&kafka.bootstrap());
    let target = format!("/topics/{topic}/events");
    let readers = Crowd::open(bridge.port, &target, 100, ReadMode::Reads);
    let _stalled = Crowd::open(bridge.port, &format!("{target}{query}"), 1000, ReadMode::ReadsNothing);
    let before = bridge.process().resident();

    const RECORDS: u64 = 500_000;
    let mut producer = curlew(&["produce", &topic, "--kafka", &kafka.bootstrap()])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("curlew produce");
    let mut stdin = producer.stdin.take().expect("stdin");
    let mut peak = before;
    let started = Instant::now();
    // 100 MB over about ten seconds. The readers keep up with this rate.
    for part in 0..100 {
        stdin.write_all(&numbered(part * RECORDS / 100..(part + 1) * RECORDS / 100)).expect("the producer reads");
        let next = started + Duration::from_millis(100) * u32::try_from(part).expect("few");
        while Instant::now() < next {
            peak = peak.max(bridge.process().resident());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    drop(stdin);
    assert!(producer.wait().expect("wait").success());
    readers.wait_for_records(RECORDS, LONG);
    peak = peak.max(bridge.process().resident());
    let grown = (peak - before) / 1024;
    println!(
        "100 MB past 1,000 stalled streams{query}: {grown} MiB more; 100 readers received all in {:?}",
        started.elapsed()
    );
    assert!(grown < 64, "grew by {grown} MiB");
}

#[test]
fn nearly_twenty_thousand_idle_streams_fit_on_a_small_machine() {
    let _alone = alone();
    let kafka = Kafka::shared();
    let topic = kafka.fresh("idle", 1);
    let mut bridge = Bridge::start_with(&kafka.bootstrap(), &["--max-streams", "20000", "--max-connections", "20000"]);
    let target = format!("/topics/{topic}/events");
    // Both ends have the same limit of open files.
    let files = std::fs::read_to_string("/proc/self/limits").expect("limits");
    let files = files.lines().find_map(|line| line.strip_prefix("Max open files")).expect("a line");
    let files: usize = files.split_whitespace().nth(1).and_then(|hard| hard.parse().ok()).unwrap_or(1_000_000);
    let count = (files - 500).min(20_000);
    let warm = Crowd::open(bridge.port, &target, 10, ReadMode::Reads);
    let before = bridge.process().resident();
    let crowd = Crowd::open(bridge.port, &target, count, ReadMode::Reads);
    let each = (bridge.process().resident() - before) as f64 / count as f64;
    let (busy, quiet) = (bridge.process().ticks(), Instant::now());
    std::thread::sleep(Duration::from_secs(5));
    let busy = (bridge.process().ticks() - busy) as f64 * 10.0 / quiet.elapsed().as_millis() as f64;
    println!("{count} idle streams: {each:.1} KiB each, {:.1} % of a core with their heartbeats", busy * 100.0);
    assert!(each < 10.0, "{each} KiB each");
    assert!(busy < 0.2, "{busy} of a core while idle");

    produce(&topic, 0..10);
    crowd.wait_for_records(10, LONG);
    warm.wait_for_records(10, LONG);
}

#[test]
fn five_thousand_streams_reconnect_at_once_and_share_fetches() {
    let _alone = alone();
    let kafka = Kafka::start(Options { proxied: true, ..Options::default() });
    let proxied = kafka.proxied()[0];
    let broker = CountingProxy::start(proxied.listen, proxied.upstream);
    kafka.create("storm", 1);
    let bridge = Bridge::start(&format!("127.0.0.1:{}", proxied.listen));
    let mut crowd = Crowd::open(bridge.port, "/topics/storm/events", 5000, ReadMode::Reads);
    let bootstrap = kafka.bootstrap();
    let produce = |numbers| {
        let output = run_with_input(&["produce", "storm", "--kafka", &bootstrap], &numbered(numbers));
        assert!(output.status.success(), "{output:?}");
    };
    produce(0..100);
    crowd.wait_for_records(100, LONG);
    crowd.disconnect();
    produce(100..5000);
    let fetches = broker.requests(FETCH);
    let cut = Instant::now();
    crowd.reconnect();
    produce(5000..5100);
    crowd.wait_for_records(5100, LONG);
    let fetches = broker.requests(FETCH) - fetches;
    println!("5,000 streams resumed after 1 MB: all received it within {:?}, {fetches} fetch requests", cut.elapsed());
    assert!(fetches < 250, "{fetches} fetch requests");
}

#[test]
fn a_thousand_streams_from_the_beginning_starve_neither_each_other_nor_live_streams() {
    let _alone = alone();
    let kafka = Kafka::shared();
    let topic = kafka.fresh("backlog", 1);
    const RECORDS: u64 = 10_000;
    produce(&topic, 0..RECORDS);
    let bridge = Bridge::start(&kafka.bootstrap());
    let live = Crowd::open(bridge.port, &format!("/topics/{topic}/events"), 20, ReadMode::Reads);
    let started = Instant::now();
    let behind = Crowd::open(bridge.port, &format!("/topics/{topic}/events?from=earliest"), 1000, ReadMode::Reads);
    let mut worst = Duration::ZERO;
    for number in 0..20 {
        produce(&topic, RECORDS + number..RECORDS + number + 1);
        let sent = Instant::now();
        live.wait_for_records(number + 1, LONG);
        worst = worst.max(sent.elapsed());
    }
    behind.wait_for_records(RECORDS + 20, LONG);
    println!("1,000 streams received 2 MB each within {:?}; a live record took {worst:?} at most", started.elapsed());
}

#[test]
fn thousands_of_stalled_streams_from_the_beginning_delay_no_other_stream() {
    let _alone = alone();
    let kafka = Kafka::shared();
    let topic = kafka.fresh("greedy", 1);
    const RECORDS: u64 = 20_000;
    produce(&topic, 0..RECORDS);
    let mut bridge = Bridge::start(&kafka.bootstrap());
    let target = format!("/topics/{topic}/events?from=earliest");
    let before = bridge.process().resident();
    let _stalled = Crowd::open(bridge.port, &target, 3000, ReadMode::ReadsNothing);
    let reader = Crowd::open(bridge.port, &target, 1, ReadMode::Reads);
    reader.wait_for_records(RECORDS, LONG);
    let live = Crowd::open(bridge.port, &format!("/topics/{topic}/events"), 1, ReadMode::Reads);
    produce(&topic, RECORDS..RECORDS + 1);
    live.wait_for_records(1, LONG);
    let each = (bridge.process().resident() - before) / 3000;
    println!("3,000 stalled streams from the beginning: {each} KiB each");
    assert!(each < 40, "{each} KiB each");
}
