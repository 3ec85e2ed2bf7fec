//! The page at 10,000 records per second: it says how far it is behind, stays responsive, and is live soon after.

use crate::fold::{ENVELOPE, fold, log};
use crate::shown::{behind, listed, pictures, state, wait_for_numbers, wait_for_state};
use crate::smooth::{assert_smooth, forget_tasks, longest_task, observe_tasks};
use crate::{SOON, TestBridge, assert_no_errors, serve_alone};
use curlew_integration::EndOnDrop;
use curlew_integration::browser::{Browser, Page, Screen};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const RATE: usize = 10_000;
const TICK: Duration = Duration::from_millis(100);
/// Tasks count after this many ticks: compilation and the first layout are over.
const WARM_UP: u32 = 10;
/// The page may be live again this long after the load.
const RETURN: Duration = Duration::from_secs(5);
/// The state of the page is from responses that are up to two seconds apart, and it is live if it is behind by less than
/// two seconds of the rate.
const HONEST: usize = 5 * RATE;

/// Returns the duration of the load: `$CURLEW_SOAK` seconds, 8 by default. After a minute the list has been full for long, and
/// a longer log takes long to compare.
fn length() -> Duration {
    let seconds = std::env::var("CURLEW_SOAK").map_or(8, |n| n.parse().expect("CURLEW_SOAK is a number of seconds"));
    Duration::from_secs(seconds).min(Duration::from_secs(60))
}

/// Returns the records of one tick: 20 keys, whose values change from tick to tick.
fn batch(tick: u32) -> String {
    let record =
        |n: usize| json!({"key": format!("m-{:02}", n % 20), "value": {"v": n % 20 + tick as usize % 17, "w": n}});
    let records: Vec<Value> = (0..RATE / 10).map(record).collect();
    json!({ "records": records }).to_string()
}

#[test]
fn ten_thousand_records_per_second_are_followed_without_long_tasks() {
    assert_smooth(longest_task_under_load);
}

/// Returns the longest task in ms after the warm-up.
fn longest_task_under_load() -> f64 {
    let (served, browser) = (serve_alone(&[]), Browser::start());
    served.bridge.post("/topics/busy", ENVELOPE, batch(0)).expect(200);
    let page = browser.open(&served.url("?topic=busy"), Screen::Light);
    page.wait_until("document.querySelectorAll('canvas').length > 0");
    wait_for_state(&page, "Live", SOON);
    observe_tasks(&page);
    page.eval(
        "window.most = 0; setInterval(() => { window.most = Math.max(window.most, performance.memory.usedJSHeapSize); }, 250), 0",
    );
    let (sent, over) = (AtomicUsize::new(RATE / 10), AtomicBool::new(false));
    let states = std::thread::scope(|scope| {
        let sending = scope.spawn(|| produce(&served, &sent, &over));
        // A failed assertion ends the load, which the scope waits for.
        let _end = EndOnDrop(&over);
        watch(&page, &sent, || sending.is_finished())
    });
    let ended = Instant::now();
    wait_for_state(&page, "Live", RETURN);
    let returned = ended.elapsed();
    let numbers = log(&served.bridge, "busy", "v");
    let sent = sent.into_inner();
    assert_eq!(numbers.len(), sent);
    // The values repeat every 17 ticks, so that all windows have the same extremes.
    wait_for_numbers(&page, "v", &fold(&numbers, ..), RETURN);
    assert_eq!(listed(&page), sent, "records in the list");
    let longest = longest_task(&page);
    let heap = page.eval("window.most").as_f64().expect("a number") / 1e6;
    println!(
        "{sent} records: live after {returned:.1?}, longest task {longest:.0} ms (0: none over 50), heap {heap:.0} MB"
    );
    println!("states: {states:?}");
    assert!(heap < 300.0, "{heap} MB");
    assert_no_errors(&page);
    pictures(&browser, &served.url("?topic=busy"), "busy", |page| wait_for_state(page, "Live", SOON));
    longest
}

/// Writes at [`RATE`], and counts the acknowledged records in `sent`.
fn produce(served: &TestBridge, sent: &AtomicUsize, over: &AtomicBool) {
    let batches: Vec<String> = (0..17).map(batch).collect();
    let (started, length) = (Instant::now(), length());
    for tick in 1.. {
        if started.elapsed() >= length || over.load(Ordering::Relaxed) {
            return;
        }
        let body = &batches[tick as usize % batches.len()];
        served.bridge.post("/topics/busy", ENVELOPE, body).expect(200);
        sent.fetch_add(RATE / 10, Ordering::Relaxed);
        std::thread::sleep((TICK * tick).saturating_sub(started.elapsed()));
    }
}

/// Reads the state of the page until the load is over, and compares it with the records that the page has. Returns the
/// different states.
fn watch(page: &Page<'_>, sent: &AtomicUsize, is_over: impl Fn() -> bool) -> Vec<String> {
    let started = Instant::now();
    let (mut is_warm, mut states) = (false, Vec::new());
    while !is_over() {
        if !is_warm && started.elapsed() > TICK * WARM_UP {
            is_warm = true;
            forget_tasks(page);
        }
        // Records that arrive while the page is read are in favour of the page.
        let (acknowledged, listed) = (sent.load(Ordering::Relaxed), listed(page));
        let state = state(page);
        let lag = acknowledged.saturating_sub(listed);
        assert!(state != "Live" || lag < HONEST, "the page says that it is live, {lag} records behind");
        let most = sent.load(Ordering::Relaxed) + RATE / 10 - listed;
        assert!(behind(&state).is_none_or(|claimed| claimed <= most), "{state:?}, at most {most} records behind");
        if states.last() != Some(&state) {
            states.push(state);
        }
        std::thread::sleep(TICK);
    }
    states
}
