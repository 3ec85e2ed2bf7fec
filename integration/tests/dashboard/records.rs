//! The list of records: live, paused, filtered, after a restart and in several tabs.

use crate::shown::rows;
use crate::{SOON, TestBridge, assert_no_errors, serve};
use curlew_integration::browser::{Browser, Screen};
use curlew_integration::eventually;
use serde_json::json;

#[test]
fn records_from_curl_appear_in_the_chart_and_the_list() {
    let (served, browser) = (serve(&[]), Browser::start());
    let overview = browser.open(&served.url(""), Screen::Light);
    overview.wait_for_text("curl");
    served.produce("machines", "boiler", r#"{"temperature": 81.5, "state": "ok"}"#);
    overview.wait_for_text("machines");
    let page = browser.open(&served.url("?topic=machines"), Screen::Light);
    page.wait_for_text("81.5");
    served.produce("machines", "pump-2", r#"{"temperature": 54.25}"#);
    page.wait_for_text("54.25");
    let text = page.text();
    assert!(text.contains("temperature") && text.contains("pump-2"), "{text}");
    let drawn = r#"[...document.querySelectorAll("canvas")].some((canvas) => {
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return data.some((value) => value !== 0);
    })"#;
    page.wait_until(drawn);
    served.produce("notes", "a", "not JSON");
    let notes = browser.open(&served.url("?topic=notes"), Screen::Light);
    notes.wait_for_text("not JSON");
    assert_eq!(notes.eval("document.querySelectorAll('canvas').length"), json!(0), "nothing to draw");
    [&overview, &page, &notes].into_iter().for_each(assert_no_errors);
}

#[test]
fn a_record_is_produced_from_the_page() {
    let (served, browser) = (serve(&[]), Browser::start());
    let page = browser.open(&served.url(""), Screen::Light);
    page.wait_for_text("Produce");
    page.eval(
        r#"(() => {
            document.getElementById("produce").click();
            const form = document.querySelector("dialog form");
            const [topic, key] = form.querySelectorAll("input");
            const value = form.querySelectorAll("textarea")[0];
            topic.value = "orders"; key.value = "k"; value.value = '{"n": 1}';
            value.dispatchEvent(new Event("input"));
            form.requestSubmit();
        })()"#,
    );
    eventually("the record is stored", SOON, || {
        let stored = served.bridge.get("/topics/orders/partitions/0/records");
        if stored.status == 200 && stored.text().contains(r#""n": 1"#) { Ok(()) } else { Err(stored.text()) }
    });
    page.wait_for_text("Written: partition 0, offset 0");
    assert_no_errors(&page);
}

#[test]
fn a_restart_is_shown_and_no_record_is_lost_or_duplicated() {
    let (mut served, browser) = (serve(&[]), Browser::start());
    (0..50).for_each(|n| served.produce("log", "k", &format!("number {n}")));
    let page = browser.open(&served.url("?topic=log"), Screen::Light);
    page.wait_for_text("number 49");
    assert_eq!(served.bridge.stop(), Some(0));
    page.wait_until("/reconnecting/.test(document.getElementById('state').innerText)");
    served.bridge.kill_and_restart();
    (50..120).for_each(|n| served.produce("log", "k", &format!("number {n}")));
    page.wait_for_text("number 119");
    served.bridge.kill_and_restart();
    (120..150).for_each(|n| served.produce("log", "k", &format!("number {n}")));
    page.wait_for_text("number 149");
    let rows = rows(&page);
    let numbers: Vec<&str> = rows.iter().filter_map(|row| row.rsplit("number ").next()).map(str::trim).collect();
    let expected: Vec<String> = (0..150).rev().map(|n| n.to_string()).collect();
    assert_eq!(numbers, expected);
}

/// Returns the number of open streams of records.
fn record_streams(served: &TestBridge) -> u64 {
    let metrics = served.bridge.get("/metrics").text();
    let states = metrics.lines().filter(|line| line.starts_with("curlew_streams{"));
    states.map(|line| line.rsplit(' ').next().and_then(|n| n.parse::<u64>().ok()).expect(line)).sum()
}

#[test]
fn tabs_share_the_stream_of_records_and_only_visible_ones_have_another_for_their_charts() {
    // Three tabs: if they did not share the stream of records, or hidden ones kept their charts, streams would be rejected.
    let (served, browser) = (serve(&["--max-streams", "2"]), Browser::start());
    served.produce("a", "k", "first of a");
    served.produce("b", "k", "first of b");
    let live = "document.getElementById('state').innerText === 'Live'";
    let one = browser.open(&served.url("?topic=a"), Screen::Light);
    one.wait_for_text("first of a");
    one.wait_until(live);
    let other = browser.open(&served.url("?topic=b"), Screen::Light);
    other.wait_for_text("first of b");
    other.wait_until(live);
    let same = browser.open(&served.url("?topic=b"), Screen::Light);
    same.wait_for_text("first of b");
    served.produce("b", "k", "second of b");
    same.wait_for_text("second of b");
    same.wait_until(live);
    assert_eq!(record_streams(&served), 1);
    served.produce("a", "k", "second of a");
    // A hidden tab catches up when it becomes visible.
    one.bring_to_front();
    one.wait_for_text("second of a");
    one.wait_until(live);
    other.bring_to_front();
    other.wait_for_text("second of b");
    other.wait_until(live);
    for page in [&one, &other, &same] {
        let twice = page.eval("document.body.innerText.split('second of').length - 1");
        assert!(twice.as_u64().is_some_and(|twice| twice <= 2), "{}", page.text());
    }
}

#[test]
fn a_paused_page_counts_waiting_records_and_loses_none() {
    let (served, browser) = (serve(&[]), Browser::start());
    (0..5).for_each(|n| served.produce("log", "k", &format!("number {n}")));
    let page = browser.open(&served.url("?topic=log"), Screen::Light);
    page.wait_for_text("number 4");
    page.eval("document.getElementById('pause').click()");
    (5..12).for_each(|n| served.produce("log", "k", &format!("number {n}")));
    page.wait_for_text("7 waiting");
    assert!(!page.text().contains("number 5"), "{}", page.text());
    page.eval("document.getElementById('pause').click()");
    page.wait_for_text("number 11");
    let rows = rows(&page);
    assert_eq!(rows.len(), 12, "{rows:?}");
    assert_no_errors(&page);
}

#[test]
fn the_url_holds_the_state_of_the_view() {
    let (served, browser) = (serve(&[]), Browser::start());
    (0..200).for_each(|n| served.produce("log", ["boiler", "fan"][n % 2], &format!("number {n} {}", n % 7)));
    let cases = [("q=number%2017%20", "number 17 "), ("key=fan&q=number%20199", "number 199"), ("at=42", "number 42 ")];
    for (query, shown) in cases {
        let page = browser.open(&served.url(&format!("?topic=log&{query}")), Screen::Light);
        page.wait_for_text(shown.trim_end());
        let rows = page.eval("document.querySelectorAll('.list .row:not([hidden])').length");
        assert!(query.starts_with("at") || rows == json!(1), "{query}: {rows} rows\n{}", page.text());
    }
    let page = browser.open(&served.url("?topic=log&window=10m"), Screen::Light);
    page.wait_for_text("number 199");
    assert_eq!(page.eval("document.getElementById('window').value"), json!("5m"), "an unknown window");
    page.eval(
        "(() => { const text = document.getElementById('filter-text'); text.value = 'number 7 '; \
         text.dispatchEvent(new Event('input')); })()",
    );
    page.wait_until("location.search.includes('q=number')");
    page.wait_until("document.querySelectorAll('.list .row:not([hidden])').length === 1");
}
