//! Many streams at once: what they cost, and that none of them loses anything. Memory and counts are judged here; for
//! speed there is `make bench`.

use curlew_integration::bridge::{Bridge, curlew, run_with_input};
use curlew_integration::crowd::{Crowd, Manner, numbered};
use curlew_integration::kafka::{Kafka, Options};
use curlew_integration::proxy::{CountingProxy, FETCH};
use std::io::Write;
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(240);

/// One crowd at a time: together they would only measure each other.
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
fn a_thousand_streams_that_take_nothing_cost_little_and_disturb_nobody() {
    flow_past_stalled("");
}

#[test]
fn neither_do_a_thousand_that_share_nothing() {
    // Each counts for itself, so none has its chunks in common with another.
    flow_past_stalled("?limit=1000000");
}

/// 100 MB to 100 readers, past 1,000 streams of this query that take nothing.
fn flow_past_stalled(query: &str) {
    let _alone = alone();
    let kafka = Kafka::shared();
    let topic = kafka.fresh("stalled", 1);
    let mut bridge = Bridge::start(&kafka.bootstrap());
    let target = format!("/topics/{topic}/events");
    let readers = Crowd::open(bridge.port, &target, 100, Manner::Reads);
    let _stalled = Crowd::open(bridge.port, &format!("{target}{query}"), 1000, Manner::TakesNothing);
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
    // 100 MB over about ten seconds: as fast as a busy plant, and as the readers can read.
    for part in 0..100 {
        stdin.write_all(&numbered(part * RECORDS / 100..(part + 1) * RECORDS / 100)).expect("it reads");
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
        "100 MB past 1,000 stalled streams{query}: {grown} MiB more; 100 readers had all in {:?}",
        started.elapsed()
    );
    assert!(grown < 64, "grew by {grown} MiB");
}

#[test]
fn nearly_twenty_thousand_idle_streams_fit_a_small_box() {
    let _alone = alone();
    let kafka = Kafka::shared();
    let topic = kafka.fresh("idle", 1);
    let mut bridge = Bridge::start_with(&kafka.bootstrap(), &["--max-streams", "20000", "--max-connections", "20000"]);
    let target = format!("/topics/{topic}/events");
    // Both ends are under the same limit of open files.
    let files = std::fs::read_to_string("/proc/self/limits").expect("limits");
    let files = files.lines().find_map(|line| line.strip_prefix("Max open files")).expect("a line");
    let files: usize = files.split_whitespace().nth(1).and_then(|hard| hard.parse().ok()).unwrap_or(1_000_000);
    let count = (files - 500).min(20_000);
    let warm = Crowd::open(bridge.port, &target, 10, Manner::Reads);
    let before = bridge.process().resident();
    let crowd = Crowd::open(bridge.port, &target, count, Manner::Reads);
    let each = (bridge.process().resident() - before) as f64 / count as f64;
    let (busy, quiet) = (bridge.process().ticks(), Instant::now());
    std::thread::sleep(Duration::from_secs(5));
    let busy = (bridge.process().ticks() - busy) as f64 * 10.0 / quiet.elapsed().as_millis() as f64;
    println!("{count} idle streams: {each:.1} KiB each, {:.1} % of a core with their heartbeats", busy * 100.0);
    assert!(each < 10.0, "{each} KiB each");
    assert!(busy < 0.2, "{busy} of a core while nothing happens");

    produce(&topic, 0..10);
    crowd.wait_for_records(10, LONG);
    warm.wait_for_records(10, LONG);
}

#[test]
fn five_thousand_streams_cut_at_once_are_all_back_without_a_fetch_for_each() {
    let _alone = alone();
    let kafka = Kafka::start(Options { proxied: true, ..Options::default() });
    let place = kafka.proxied()[0];
    let broker = CountingProxy::start(place.listen, place.upstream);
    kafka.create("storm", 1);
    let bridge = Bridge::start(&format!("127.0.0.1:{}", place.listen));
    let mut crowd = Crowd::open(bridge.port, "/topics/storm/events", 5000, Manner::Reads);
    let bootstrap = kafka.bootstrap();
    let produce = |numbers| {
        let output = run_with_input(&["produce", "storm", "--kafka", &bootstrap], &numbered(numbers));
        assert!(output.status.success(), "{output:?}");
    };
    produce(0..100);
    crowd.wait_for_records(100, LONG);
    crowd.cut();
    produce(100..5000);
    let fetches = broker.requests(FETCH);
    let cut = Instant::now();
    crowd.come_back();
    produce(5000..5100);
    crowd.wait_for_records(5100, LONG);
    let fetches = broker.requests(FETCH) - fetches;
    println!("5,000 streams back after 1 MB: all have it in {:?}, {fetches} fetch requests", cut.elapsed());
    assert!(fetches < 250, "{fetches} fetch requests");
}

#[test]
fn a_thousand_streams_from_the_beginning_starve_neither_each_other_nor_the_live_ones() {
    let _alone = alone();
    let kafka = Kafka::shared();
    let topic = kafka.fresh("backlog", 1);
    const RECORDS: u64 = 10_000;
    produce(&topic, 0..RECORDS);
    let bridge = Bridge::start(&kafka.bootstrap());
    let live = Crowd::open(bridge.port, &format!("/topics/{topic}/events"), 20, Manner::Reads);
    let started = Instant::now();
    let behind = Crowd::open(bridge.port, &format!("/topics/{topic}/events?from=earliest"), 1000, Manner::Reads);
    let mut worst = Duration::ZERO;
    for number in 0..20 {
        produce(&topic, RECORDS + number..RECORDS + number + 1);
        let asked = Instant::now();
        live.wait_for_records(number + 1, LONG);
        worst = worst.max(asked.elapsed());
    }
    behind.wait_for_records(RECORDS + 20, LONG);
    println!("1,000 streams had 2 MB each after {:?}; a live record took {worst:?} at most", started.elapsed());
}

#[test]
fn thousands_from_the_beginning_that_take_nothing_hold_nobody_up() {
    let _alone = alone();
    let kafka = Kafka::shared();
    let topic = kafka.fresh("greedy", 1);
    const RECORDS: u64 = 20_000;
    produce(&topic, 0..RECORDS);
    let mut bridge = Bridge::start(&kafka.bootstrap());
    let target = format!("/topics/{topic}/events?from=earliest");
    let before = bridge.process().resident();
    let _stalled = Crowd::open(bridge.port, &target, 3000, Manner::TakesNothing);
    let reader = Crowd::open(bridge.port, &target, 1, Manner::Reads);
    reader.wait_for_records(RECORDS, LONG);
    let live = Crowd::open(bridge.port, &format!("/topics/{topic}/events"), 1, Manner::Reads);
    produce(&topic, RECORDS..RECORDS + 1);
    live.wait_for_records(1, LONG);
    let each = (bridge.process().resident() - before) / 3000;
    println!("3,000 streams from the beginning that take nothing: {each} KiB each");
    assert!(each < 40, "{each} KiB each");
}
