//! The charts show what is in the log: in every range, from its first record to now.

use crate::fold::{LoggedNumber, Summaries, fold, log, now, write, write_records};
use crate::shown::wait_for_legend;
use crate::{TestBridge, assert_no_errors, serve};
use curlew_integration::browser::{Browser, Screen};
use serde_json::{Value, json};
use std::ops::RangeBounds;

const FIELD: &str = "temperature";

fn produce(served: &TestBridge, numbers: &[LoggedNumber]) {
    numbers.chunks(2000).for_each(|batch| write(&served.bridge, "plant", FIELD, batch));
}

/// Returns what the legend must show for the numbers of the log in a range of times.
fn expected(served: &TestBridge, times: impl RangeBounds<i64>) -> Summaries {
    fold(&log(&served.bridge, "plant", FIELD), times)
}

/// Readings of `keys` machines, one per machine and `interval`, from `from` to `to`. No two machines have the same extremes.
fn readings_between(keys: usize, from: i64, to: i64, interval: i64) -> Vec<LoggedNumber> {
    let times = (0..(to - from) / interval).map(|n| (n, from + n * interval));
    let reading = |(n, time)| {
        (0..keys).map(move |key| LoggedNumber {
            key: format!("m-{key}"),
            time,
            value: (n * 37 % 101) as f64 + key as f64 * 1000.0,
        })
    };
    times.flat_map(reading).collect()
}

#[test]
fn the_charts_count_every_record_of_the_window() {
    let (served, browser) = (serve(&[]), Browser::start());
    // Many more records than the list loads, the extremes among the oldest.
    let end = now();
    produce(&served, &readings_between(10, end - 240_000, end - 1000, 1000));
    let page = browser.open(&served.url("?topic=plant"), Screen::Light);
    wait_for_legend(&page, FIELD, &expected(&served, ..));
    page.wait_until("document.getElementById('state').innerText === 'Live'");
    page.wait_for_text("Each point is 1 s: minimum, maximum and last value");
    page.wait_for_text("1,000 loaded, 2,390 offsets in the topic");
    // A new record appears in the chart.
    let later = LoggedNumber { key: "m-3".to_owned(), time: now(), value: -7.0 };
    produce(&served, &[later]);
    wait_for_legend(&page, FIELD, &expected(&served, ..));
    assert_no_errors(&page);
}

#[test]
fn a_fixed_range_of_the_past_is_shown_and_left() {
    let (served, browser) = (serve(&[]), Browser::start());
    let day = 86_400_000;
    let begin = (now() / 60_000) * 60_000 - 3 * day;
    produce(&served, &readings_between(3, begin, begin + 2 * day, 600_000));
    // The topic's records are older than the window.
    let page = browser.open(&served.url("?topic=plant"), Screen::Light);
    page.wait_for_text("No values in this range. The latest record is from");
    page.eval("[...document.querySelectorAll('button')].find((one) => one.innerText === 'Show that time').click()");
    page.wait_until("/from=\\d+&to=\\d+/.test(location.search)");
    page.wait_until("document.querySelectorAll('canvas').length === 1");
    page.eval("document.getElementById('back-to-live').click()");
    page.wait_until("!/from=/.test(location.search)");
    // A link to a range, and the window of everything.
    let (from, to) = (begin + 3_600_000, begin + 7_200_000);
    let page = browser.open(&served.url(&format!("?topic=plant&from={from}&to={to}")), Screen::Light);
    wait_for_legend(&page, FIELD, &expected(&served, from..to));
    page.wait_until("document.getElementById('window').value === 'fixed'");
    page.eval(
        "(() => { const windows = document.getElementById('window'); windows.value = 'all'; \
         windows.dispatchEvent(new Event('change')); })()",
    );
    wait_for_legend(&page, FIELD, &expected(&served, ..));
    assert_eq!(page.eval("location.search"), json!("?topic=plant&window=all"));
    assert_no_errors(&page);
}

#[test]
fn a_drag_zooms_in_a_double_click_zooms_out_and_back_undoes_it() {
    let (served, browser) = (serve(&[]), Browser::start());
    let begin = (now() / 1000) * 1000 - 3_600_000;
    let (from, to) = (begin, begin + 600_000);
    produce(&served, &readings_between(2, from, to, 1000));
    let page = browser.open(&served.url(&format!("?topic=plant&from={from}&to={to}")), Screen::Light);
    wait_for_legend(&page, FIELD, &expected(&served, from..to));
    page.eval(
        "(() => { const canvas = document.querySelector('canvas'); const { left, top, width } = canvas.getBoundingClientRect(); \
         canvas.setPointerCapture = () => {}; const at = (type, part) => canvas.dispatchEvent(new PointerEvent(type, \
         { clientX: left + width * part, clientY: top + 50, button: 0, pointerType: 'mouse', pointerId: 1, bubbles: true })); \
         at('pointerdown', 0.5); at('pointermove', 0.6); at('pointerup', 0.7); })()",
    );
    page.wait_until(&format!("!location.search.includes('from={from}&')"));
    let zoomed = page.eval("['from', 'to'].map((name) => Number(new URLSearchParams(location.search).get(name)))");
    let (zoomed_from, zoomed_to) = (zoomed[0].as_i64().expect("a time"), zoomed[1].as_i64().expect("a time"));
    assert!(zoomed_from > from + 200_000 && zoomed_to < to && zoomed_to > zoomed_from + 100_000, "{zoomed}");
    page.wait_until("[...document.querySelectorAll('.note')].some((note) => note.innerText.includes('500 ms'))");
    page.eval("document.querySelector('canvas').dispatchEvent(new MouseEvent('dblclick', { bubbles: true }))");
    page.wait_until(&format!("!location.search.includes('from={zoomed_from}&')"));
    page.eval("history.go(-2)");
    page.wait_until(&format!("location.search.includes('from={from}&')"));
    wait_for_legend(&page, FIELD, &expected(&served, from..to));
    assert_no_errors(&page);
}

#[test]
fn many_series_get_longer_steps_and_none_is_left_out() {
    let (served, browser) = (serve(&[]), Browser::start());
    // More points of a second than a response has room for.
    let (fields, keys, seconds) = (4, 100, 280);
    let end = now();
    let batches: Vec<i64> = (0..seconds).collect();
    for batch in batches.chunks(20) {
        let record = move |second: i64, key: usize| {
            let values: serde_json::Map<_, _> =
                (0..fields).map(|field| (format!("f{field}"), json!(second + field))).collect();
            json!({"key": format!("m-{key}"), "timestamp": end - (seconds - second) * 1000, "value": values})
        };
        let records: Vec<Value> =
            batch.iter().flat_map(|second| (0..keys).map(move |key| record(*second, key))).collect();
        write_records(&served.bridge, "many", records);
    }
    let page = browser.open(&served.url("?topic=many"), Screen::Light);
    page.wait_until("document.querySelectorAll('.chart canvas').length === 4");
    page.wait_for_text("Each point is 2 s");
    page.wait_until(
        "(async () => { const { latest } = await import('/dashboard/feed.js'); const { series } = latest; \
         return series.state.kind === 'live' && series.omitted.series === 0 && series.fields.size === 4 && \
         [...series.fields.values()].every((keys) => keys.size === 100); })()",
    );
    assert!(!page.text().contains("left out"), "{}", page.text());
    assert_no_errors(&page);
}

#[test]
fn a_topic_that_is_created_later_gets_its_charts() {
    let (served, browser) = (serve(&[]), Browser::start());
    let page = browser.open(&served.url("?topic=plant"), Screen::Light);
    page.wait_for_text("does not exist yet");
    produce(&served, &readings_between(1, now() - 1000, now(), 1000));
    wait_for_legend(&page, FIELD, &expected(&served, ..));
    page.wait_until("document.getElementById('state').innerText === 'Live'");
    assert_no_errors(&page);
}
