//! The numbers of many devices on the page are those of the log.

use crate::fold::{LoggedNumber, Summaries, counts, fold, log, now, readings, write};
use crate::shown::{legend, pictures, search, table, wait_for_numbers};
use crate::{SOON, assert_no_errors, serve};
use curlew_integration::browser::{Browser, Page, Screen};
use curlew_integration::eventually;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

const FIELD: &str = "temperature";
/// How long the page may take to read 216,000 records.
const LONG: Duration = Duration::from_secs(60);

fn one(key: &str, age: i64, value: f64) -> LoggedNumber {
    LoggedNumber { time: now() - age * 1000, key: key.to_owned(), value }
}

#[test]
fn a_hundred_machines_over_five_minutes_are_all_counted() {
    let (served, browser) = (serve(&[]), Browser::start());
    write(&served.bridge, "plant", FIELD, &[one("m-007", 420, 99.0)]);
    write(&served.bridge, "plant", FIELD, &readings(100, 0..300, 60, &[(42, 200, 60.0), (77, 150, -5.5)]));
    let expected = |minutes: i64| fold(&log(&served.bridge, "plant", FIELD), now() - minutes * 60_000..);
    let page = browser.open(&served.url("?topic=plant"), Screen::Light);
    wait_for_numbers(&page, FIELD, &expected(5), SOON);
    let shown = legend(&page, FIELD);
    assert_eq!((shown.len(), shown["m-042"].max, shown["m-077"].min), (100, 60.0, -5.5));
    // A record from before a window does not count in it.
    assert!(shown["m-007"].max < 30.0, "{shown:?}");
    let longer = browser.open(&served.url("?topic=plant&window=15m"), Screen::Light);
    wait_for_numbers(&longer, FIELD, &expected(15), SOON);
    assert_eq!(legend(&longer, FIELD)["m-007"].max, 99.0);
    // Live records count, too.
    write(&served.bridge, "plant", FIELD, &[one("m-003", 0, 70.5)]);
    wait_for_numbers(&longer, FIELD, &expected(15), SOON);
    [&page, &longer].into_iter().for_each(assert_no_errors);
    pictures(&browser, &served.url("?topic=plant"), "hundred", |page| {
        wait_for_numbers(page, FIELD, &expected(5), SOON);
    });
}

/// Returns the numbers of all keys in a legend that has more keys than rows.
fn whole_legend(page: &Page<'_>, hundreds: usize) -> Summaries {
    let mut all = Summaries::new();
    for hundred in 0..hundreds {
        let prefix = format!("m-{hundred}");
        search(page, FIELD, &prefix);
        let rows = eventually("a hundred keys are found", SOON, || match legend(page, FIELD) {
            rows if rows.len() == 100 && rows.keys().all(|key| key.starts_with(&prefix)) => Ok(rows),
            rows => Err(format!("{} rows for {prefix}", rows.len())),
        });
        all.extend(rows);
    }
    search(page, FIELD, "");
    all
}

#[test]
fn one_of_two_hundred_keys_above_the_threshold_is_named() {
    let (served, browser) = (serve(&[]), Browser::start());
    // The key arrives last and is above the threshold only once.
    write(&served.bridge, "plant", FIELD, &readings(200, 0..60, 0, &[(199, 59, 101.5)]));
    let expected = || fold(&log(&served.bridge, "plant", FIELD), ..);
    let url = served.url("?topic=plant&over=temperature%3A90");
    let page = browser.open(&url, Screen::Light);
    page.wait_for_text("was above threshold: m-199");
    let all = eventually("the numbers of the log", SOON, || match whole_legend(&page, 2) {
        shown if shown == expected() => Ok(shown),
        shown => Err(format!("{:?} instead of {:?}", shown.iter().next_back(), expected().iter().next_back())),
    });
    assert_eq!((all.len(), all["m-199"].max), (200, 101.5));
    let reasons = page.eval("[...document.querySelectorAll('.legend .reason')].map((one) => one.innerText)");
    let above = reasons.as_array().into_iter().flatten().filter(|reason| **reason == json!("above threshold"));
    assert_eq!(above.count(), 1, "{reasons}");
    write(&served.bridge, "plant", FIELD, &[one("m-011", 0, 95.5)]);
    page.wait_for_text("▲ above threshold: m-011 · ▲ was above threshold: m-199");
    // The search finds a key that has no row at first.
    search(&page, FIELD, "m-150");
    eventually("one key is found", SOON, || match legend(&page, FIELD) {
        rows if rows.keys().eq(["m-150"]) => Ok(()),
        rows => Err(format!("{:?}", rows.keys())),
    });
    assert_eq!(page.axe(), Vec::<Value>::new());
    assert_no_errors(&page);
    pictures(&browser, &url, "two-hundred", |page| page.wait_for_text("was above threshold"));
}

#[test]
fn six_hours_of_216_000_records_are_one_answer() {
    let (served, browser) = (serve(&[]), Browser::start());
    let special = [(3, 21_000, 75.5), (8, 10_800, -12.25), (5, 1, 60.75)];
    let all = readings(10, 0..21_600, 300, &special);
    all.chunks(36_000).for_each(|numbers| write(&served.bridge, "plant", FIELD, numbers));
    let log = log(&served.bridge, "plant", FIELD);
    assert_eq!(log.len(), 216_000);
    let expected = fold(&log, ..);
    let url = served.url("?topic=plant&window=6h");
    let page = browser.open(&url, Screen::Light);
    wait_for_numbers(&page, FIELD, &expected, LONG);
    let shown = legend(&page, FIELD);
    assert_eq!((shown["m-003"].max, shown["m-008"].min, shown["m-005"].max), (75.5, -12.25, 60.75));
    // The table has the same extremes, over all its rows.
    let table = table(&page, FIELD);
    for (key, extreme) in [("m-003", "75.5"), ("m-008", "-12.25"), ("m-005", "60.75")] {
        let cells = table[key].as_array().unwrap_or_else(|| panic!("{key} in {table}"));
        let with = cells.iter().filter_map(Value::as_str).filter(|cell| cell.contains(extreme));
        assert!((1..=2).contains(&with.count()), "{key} in {table}");
        assert!(cells.iter().all(|cell| *cell != json!("–")), "{key} in {table}");
    }
    // The tiles may ask for the last minutes, too.
    let questions: Vec<_> = page.requests().into_iter().filter(|url| url.contains("/series?from=-6h")).collect();
    assert_eq!(questions.len(), 1, "{:?}", page.requests());
    // The page does not show how many records a number stands for, so this is read from the answer that it got.
    let answer = page.eval(&format!(
        "fetch({}, {{ headers: {{ accept: 'application/json' }} }}).then((answer) => answer.json())",
        json!(questions[0])
    ));
    let time = |name: &str| answer[name].as_i64().expect("a time");
    let (from, to, step) = (time("from"), time("to"), time("step"));
    // The window is widened to whole steps.
    assert!((21_600_000..=21_600_000 + 2 * step).contains(&(to - from)), "from {from} to {to}, step {step}");
    assert_eq!(time("complete_from"), from);
    let count = |series: &Value| {
        let points = series["points"].as_array().expect("points").iter();
        let counts = points.map(|point| point[4].as_u64().expect("a count"));
        (series["by"].as_str().expect("a key").to_owned(), counts.sum())
    };
    let answered = answer["series"].as_array().expect("series");
    assert_eq!(answered.len(), 10);
    assert_eq!(answered.iter().map(count).collect::<BTreeMap<String, u64>>(), counts(&log, from..to));
    assert_no_errors(&page);
    pictures(&browser, &url, "six-hours", |page| wait_for_numbers(page, FIELD, &expected, LONG));
}

#[test]
fn integers_above_a_billion_are_exact() {
    let (served, browser) = (serve(&[]), Browser::start());
    let largest = 9_007_199_254_740_991.0;
    let numbers = [
        one("main", 20, 12_571_953_754.0),
        one("main", 10, 12_571_953_756.0),
        one("main", 0, 12_571_953_755.0),
        one("other", 10, -largest),
        one("other", 0, largest),
    ];
    write(&served.bridge, "meters", "count", &numbers);
    let url = served.url("?topic=meters");
    let page = browser.open(&url, Screen::Light);
    let expected = fold(&log(&served.bridge, "meters", "count"), ..);
    assert_eq!(expected["other"].min, -largest);
    wait_for_numbers(&page, "count", &expected, SOON);
    page.wait_for_text("12,571,953,755");
    let table = table(&page, "count").to_string();
    assert!(table.contains("12,571,953,755") && table.contains("9,007,199,254,740,991"), "{table}");
    // The crosshair announces the exact number.
    page.eval("document.querySelector('canvas').dispatchEvent(new KeyboardEvent('keydown', { key: 'End' }))");
    page.wait_until("document.getElementById('announce').innerText.replace(/,/g, '').includes('12571953755')");
    assert!(!page.text().contains("e+"), "{}", page.text());
    assert_no_errors(&page);
    pictures(&browser, &url, "integers", |page| wait_for_numbers(page, "count", &expected, SOON));
}
