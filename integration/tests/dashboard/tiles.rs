//! The latest values of the keys, compared with the log.

use crate::fold::{now, write_records};
use crate::{TestBridge, assert_no_errors, serve};
use curlew_integration::browser::{Browser, Page, Screen};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// Key → `{ values: { field: text }, age, over, silent }`.
const TILES: &str = r#"Object.fromEntries([...document.querySelectorAll(".tile")].map((tile) => [
    tile.querySelector("h3").innerText,
    {
        values: Object.fromEntries([...tile.querySelectorAll("dl > div")].map((row) => [row.children[0].innerText, row.children[1].innerText])),
        age: tile.querySelector(".age").innerText,
        over: tile.classList.contains("is-over"),
        silent: tile.classList.contains("is-silent"),
    },
]))"#;

/// Produces records of `(key, value, age in seconds)`.
fn produce(served: &TestBridge, topic: &str, records: &[(&str, Value, i64)]) {
    let now = now();
    let record =
        |(key, value, age): &(&str, Value, i64)| json!({"key": key, "value": value, "timestamp": now - age * 1000});
    write_records(&served.bridge, topic, records.iter().map(record).collect());
}

/// Returns the value and the timestamp of each key in the log.
fn latest(served: &TestBridge, topic: &str) -> BTreeMap<String, (Value, i64)> {
    let log = served.bridge.get(&format!("/topics/{topic}/partitions/0/records?limit=10000")).expect(200).json();
    let mut latest = BTreeMap::new();
    for record in log["records"].as_array().expect("records") {
        let key = record["key"].as_str().expect("a key").to_owned();
        match &record["value"] {
            Value::Null => drop(latest.remove(&key)),
            value => drop(latest.insert(key, (value.clone(), record["timestamp"].as_i64().expect("a timestamp")))),
        }
    }
    latest
}

/// Parses an age such as `12 s ago` or `silent for 3 h` into its limits in seconds.
fn age_limits(text: &str) -> (i64, i64) {
    let words: Vec<&str> = text.trim_start_matches("silent for ").split(' ').collect();
    let number: i64 = words[0].parse().unwrap_or_else(|_| panic!("{text}"));
    let unit = match words[1] {
        "s" => 1,
        "min" => 60,
        "h" => 3600,
        _ => 86_400,
    };
    (number * unit - unit / 2 - 1, number * unit + unit / 2 + 1)
}

#[track_caller]
fn wait_for_tiles(page: &Page<'_>, count: usize) {
    page.wait_until(&format!("document.querySelectorAll('.tile').length === {count}"));
}

#[test]
fn tiles_have_the_latest_value_and_age_of_every_key() {
    let (served, browser) = (serve(&[]), Browser::start());
    produce(
        &served,
        "plant",
        &[
            ("pump", json!({"temperature": 54.25, "rpm": 12_571_953_755_u64}), 3 * 3600),
            ("gone", json!({"temperature": 1}), 2 * 3600),
            ("fan", json!({"temperature": 20.0}), 660),
            ("boiler", json!({"temperature": 70}), 400),
            ("boiler", json!({"temperature": 81.5}), 100),
            ("hall", json!({"temperature": 19}), 3),
            ("gone", Value::Null, 2),
        ],
    );
    let page = browser.open(&served.url("?topic=plant&over=temperature%3A80"), Screen::Light);
    wait_for_tiles(&page, 4);
    let expected = latest(&served, "plant");
    assert_eq!(expected.len(), 4);
    let tiles = page.eval(TILES);
    for (key, (value, timestamp)) in &expected {
        let tile = &tiles[key];
        for (field, number) in value.as_object().expect("an object") {
            let shown = tile["values"][field].as_str().expect("a value").trim_start_matches("▲ ").replace(',', "");
            assert_eq!(shown.parse::<f64>().ok(), number.as_f64(), "{key} {field}: {tile}");
        }
        let age = (now() - timestamp) / 1000;
        let (low, high) = age_limits(tile["age"].as_str().expect("an age"));
        assert!((low - 2..=high + 2).contains(&age), "{key} is {age} s old: {tile}");
        assert_eq!(tile["silent"], json!(age >= 600), "{key}: {tile}");
        assert_eq!(tile["over"], json!(value["temperature"].as_f64() > Some(80.0)), "{key}: {tile}");
    }
    let before = tiles["hall"]["age"].clone();
    page.wait_until(&format!("({TILES}).hall.age !== {before}"));
    assert_no_errors(&page);
}

#[test]
fn tiles_follow_the_log_in_every_window() {
    let (served, browser) = (serve(&[]), Browser::start());
    produce(
        &served,
        "plant",
        &[("boiler", json!({"temperature": 20}), 7200), ("fan", json!({"temperature": 5}), 90_000)],
    );
    // An hour ago, the boiler was at 20.
    let fixed = format!("?topic=plant&from={}&to={}", now() - 8_000_000, now() - 6_000_000);
    for (step, query) in ["?topic=plant", "?topic=plant&window=6h", &fixed].into_iter().enumerate() {
        let page = browser.open(&served.url(query), Screen::Light);
        wait_for_tiles(&page, 2);
        let value = 60 + step;
        produce(&served, "plant", &[("boiler", json!({"temperature": value}), 0)]);
        page.wait_until(&format!("({TILES}).boiler.values.temperature === '{value}'"));
        let tiles = page.eval(TILES);
        let (_, oldest) = age_limits(tiles["boiler"]["age"].as_str().expect("an age"));
        assert!(oldest <= 20, "{query}: {tiles}");
        assert_eq!(tiles["fan"]["silent"], json!(true), "{query}: {tiles}");
        assert_no_errors(&page);
    }
}

#[test]
fn of_many_keys_those_above_the_threshold_are_shown_and_the_rest_is_counted() {
    let (served, browser) = (serve(&[]), Browser::start());
    let keys: Vec<String> = (0..200).map(|n| format!("m-{n}")).collect();
    let records: Vec<(&str, Value, i64)> = keys
        .iter()
        .enumerate()
        .map(|(n, key)| {
            (key.as_str(), json!({"temperature": if n == 199 { 61.5 } else { 20.0 }}), if n < 3 { 900 } else { 1 })
        })
        .collect();
    produce(&served, "plant", &records);
    let page = browser.open(&served.url("?topic=plant&over=temperature%3A50"), Screen::Light);
    wait_for_tiles(&page, 24);
    page.wait_for_text("200 keys");
    assert_eq!(page.eval("document.querySelector('.tile h3').innerText"), json!("m-199"));
    page.wait_for_text("176 more");
    let press = |label: &str| {
        let find = format!(
            "[...document.querySelectorAll('.tiles-section button')].find((one) => one.innerText === {})",
            json!(label)
        );
        page.eval(&format!("{find}.click()"));
    };
    press("3 silent");
    wait_for_tiles(&page, 3);
    press("3 silent");
    press("1 above the threshold");
    wait_for_tiles(&page, 1);
    press("1 above the threshold");
    press("Show more");
    wait_for_tiles(&page, 120);
    page.eval("(() => { const search = document.querySelector('.tiles-section input'); search.value = 'M-150'; search.dispatchEvent(new Event('input')); })()");
    wait_for_tiles(&page, 1);
    assert_no_errors(&page);
}

#[test]
fn a_topic_too_large_for_a_snapshot_says_that_keys_may_be_missing() {
    let (served, browser) = (serve(&["--snapshot-bytes", "64K"]), Browser::start());
    let keys: Vec<String> = (0..40).map(|n| format!("m-{n}")).collect();
    let padding = "x".repeat(4000);
    let records: Vec<(&str, Value, i64)> =
        keys.iter().map(|key| (key.as_str(), json!({"temperature": 20, "note": padding}), 1)).collect();
    produce(&served, "plant", &records);
    let page = browser.open(&served.url("?topic=plant"), Screen::Light);
    page.wait_for_text("40 keys");
    page.wait_for_text("Keys without a value in the window may be missing");
    page.wait_for_text("--snapshot-bytes");
    assert_no_errors(&page);
}

#[test]
fn ages_stop_where_the_page_does_not_know_more() {
    let (mut served, browser) = (serve(&[]), Browser::start());
    produce(&served, "plant", &[("boiler", json!({"temperature": 20}), 1)]);
    let page = browser.open(&served.url("?topic=plant&window=15m"), Screen::Light);
    wait_for_tiles(&page, 1);
    produce(&served, "plant", &[("pump", json!({"temperature": 20}), 580)]);
    wait_for_tiles(&page, 2);
    assert_eq!(served.bridge.stop(), Some(0));
    page.wait_until("/ at \\d\\d:\\d\\d:\\d\\d/.test(document.querySelector('.tiles-section').innerText)");
    // Ten minutes after the record, nothing is known of the last seconds.
    let age = format!("({TILES}).boiler.age");
    let before = page.eval(&age);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(page.eval(&age), before);
    assert_eq!(page.eval(TILES)["pump"]["silent"], json!(false));
    served.bridge.kill_and_restart();
    page.wait_until(&format!("({TILES}).pump.silent"));
}
