//! Records with schemas: what the page shows with a schema registry, and without an answer from it.

use crate::fold::now;
use crate::shown::rows;
use crate::{SOON, TestBridge, assert_no_errors, serve};
use curlew_integration::apicurio::Apicurio;
use curlew_integration::browser::{Browser, Page, Screen};
use curlew_integration::eventually;
use serde_json::{Value, json};

const AVRO: &str = "application/vnd.kafka.avro.v2+json";
const UNREACHABLE: &str = "not decoded: the schema registry cannot be reached";

/// Tiles and the rows of the legend of `temperature`, as texts.
const NUMBERS: &str = r#"(() => {
    const texts = (selector) => [...document.querySelectorAll(selector)].map((one) => one.innerText.replaceAll(/\s+/g, " ").trim());
    return { tiles: texts(".tile"), legend: texts(".chart:not([hidden]) tbody tr") };
})()"#;

/// The kind of a topic's keys in Avro.
#[derive(Debug, Clone, Copy)]
enum Keys {
    Text,
    Record,
}

/// Writes records of `(key, temperature, age in seconds)`, with Avro keys and values.
fn write(served: &TestBridge, topic: &str, keys: Keys, records: &[(&str, f64, i64)]) {
    let key = match keys {
        Keys::Text => json!("string"),
        Keys::Record => json!({"type": "record", "name": "Machine", "fields": [{"name": "id", "type": "string"}]}),
    };
    let value = json!({"type": "record", "name": "Reading", "fields": [
        {"name": "temperature", "type": "double"},
        {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["IDLE", "BUSY"]}},
    ]});
    let now = now();
    let record = |(id, temperature, age): &(&str, f64, i64)| {
        let key = match keys {
            Keys::Text => json!(id),
            Keys::Record => json!({"id": id}),
        };
        let state = if *temperature > 50.0 { "BUSY" } else { "IDLE" };
        json!({"key": key, "value": {"temperature": temperature, "state": state}, "timestamp": now - age * 1000})
    };
    let records: Vec<Value> = records.iter().map(record).collect();
    let body = json!({"key_schema": key.to_string(), "value_schema": value.to_string(), "records": records});
    served.bridge.post(&format!("/topics/{topic}"), AVRO, body.to_string()).expect(200);
}

/// Numbers of two machines in the last four minutes, of which the newest are 50 s old.
fn past() -> Vec<(&'static str, f64, i64)> {
    let at = |n: i64| [("pump", 60.0 + n as f64 / 4.0, n * 5), ("fan", 20.0 + n as f64 / 8.0, n * 5)];
    (10..48).rev().flat_map(at).collect()
}

/// Waits until a tile and a row of the legend begin with `key` and contain `number`.
#[track_caller]
fn wait_for_number(page: &Page<'_>, key: &str, number: &str) {
    eventually(&format!("{key} is {number}"), SOON, || {
        let seen = page.eval(NUMBERS);
        let is_shown = |place: &str| {
            let mut texts = seen[place].as_array().into_iter().flatten().filter_map(Value::as_str);
            texts.any(|text| text.starts_with(&format!("{key} ")) && text.split(' ').any(|word| word == number))
        };
        if is_shown("tiles") && is_shown("legend") { Ok(()) } else { Err(format!("{seen}; {}", page.text())) }
    });
}

#[test]
fn decoded_keys_and_values_are_shown_in_tiles_charts_and_tables() {
    let url = Apicurio::shared().url();
    let (served, browser) = (serve(&["--schema-registry", &url]), Browser::start());
    for (topic, keys, pump, fan) in
        [("plant", Keys::Text, "pump", "fan"), ("lines", Keys::Record, r#"{"id":"pump"}"#, r#"{"id":"fan"}"#)]
    {
        write(&served, topic, keys, &past());
        let page = browser.open(&served.url(&format!("?topic={topic}")), Screen::Light);
        wait_for_number(&page, pump, "62.5");
        wait_for_number(&page, fan, "21.25");
        for (warm, cold) in [(81.5, 19.25), (83.75, 18.5)] {
            write(&served, topic, keys, &[("pump", warm, 0), ("fan", cold, 0)]);
            wait_for_number(&page, pump, &warm.to_string());
            wait_for_number(&page, fan, &cold.to_string());
        }
        let newest = rows(&page).first().cloned().unwrap_or_default();
        assert!(newest.contains(fan) && newest.contains(r#"{"temperature":18.5,"state":"IDLE"}"#), "{newest}");
        page.eval("document.querySelector('.list .row').click()");
        page.wait_for_text("Decoded by schema");
        let text = page.text();
        assert!(text.contains("BUSY") && !text.contains("base64") && !text.contains("not decoded"), "{text}");
        let overview = browser.open(&served.url(""), Screen::Light);
        overview.wait_for_text(&format!(r#"{fan}: {{"temperature":18.5,"state":"IDLE"}}"#));
        [&page, &overview].into_iter().for_each(assert_no_errors);
    }
}

#[test]
fn a_page_without_the_registry_says_so_and_shows_new_records_when_it_is_back() {
    let mut registry = Apicurio::start();
    let url = registry.url();
    let (mut served, browser) = (serve(&["--schema-registry", &url]), Browser::start());
    write(&served, "plant", Keys::Text, &past());
    registry.kill();
    // A bridge without schemas in its cache.
    served.bridge.kill_and_restart();
    let overview = browser.open(&served.url(""), Screen::Light);
    overview.wait_for_text(UNREACHABLE);
    let page = browser.open(&served.url("?topic=plant"), Screen::Light);
    page.wait_for_text(&format!("Nothing to draw: the latest values are {UNREACHABLE}"));
    page.wait_for_text("Not in the charts: 76 records that could not be decoded by their schema");
    let listed = rows(&page);
    assert!(listed.len() == 76 && listed.iter().all(|row| row.contains(UNREACHABLE)), "{:?}", listed.first());
    page.eval("document.querySelector('.list .row').click()");
    page.wait_for_text(&format!("(base64, {UNREACHABLE}"));
    page.wait_for_text(&format!("The value is {UNREACHABLE}"));
    assert_eq!(page.eval(NUMBERS), json!({"tiles": [], "legend": []}), "nothing is known");

    registry.restart();
    eventually("records are accepted again", SOON, || {
        let body = json!({"value_schema": "\"int\"", "records": [{"value": 1}]}).to_string();
        let response = served.bridge.post("/topics/other", AVRO, body);
        if response.status == 200 { Ok(()) } else { Err(response.text()) }
    });
    write(&served, "plant", Keys::Text, &[("pump", 81.5, 0), ("fan", 19.25, 0)]);
    wait_for_number(&page, "pump", "81.5");
    wait_for_number(&page, "fan", "19.25");
    overview.bring_to_front();
    overview.wait_for_text(r#"fan: {"temperature":19.25,"state":"IDLE"}"#);
    let reloaded = browser.open(&served.url("?topic=plant"), Screen::Light);
    // Current, minimum and maximum: the earlier records are among them.
    reloaded.wait_until(&format!("{NUMBERS}.legend.includes('pump 81.5 62.5 81.5')"));
    assert!(rows(&reloaded).iter().all(|row| !row.contains("not decoded")), "{}", reloaded.text());
    [&page, &overview, &reloaded].into_iter().for_each(assert_no_errors);
}
