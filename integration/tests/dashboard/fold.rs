//! The records of the tests, and what the page of a topic must show: a naive fold over the records of its log.

pub use curlew::record::now;
use curlew_integration::bridge::Bridge;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ops::{Range, RangeBounds};

pub const ENVELOPE: &str = "application/vnd.kafka.json.v2+json";

/// A number of the log, with the time of its record in ms.
#[derive(Debug, Clone)]
pub struct LoggedNumber {
    pub time: i64,
    pub key: String,
    pub value: f64,
}

/// The numbers of a key in a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KeySummary {
    pub current: f64,
    pub min: f64,
    pub max: f64,
}

pub type Summaries = BTreeMap<String, KeySummary>;

/// Reads a field of all records from the log, oldest first. CSV is short, and no part of `/series` reads it.
pub fn log(bridge: &Bridge, topic: &str, field: &str) -> Vec<LoggedNumber> {
    let select = format!("timestamp,key,value.{field}");
    let target = format!("/topics/{topic}/events?from=earliest&until=end&format=csv&select={select}");
    let csv = bridge.get(&target).expect(200).text();
    let rows = csv.lines().skip(1).map(|line| {
        let cells: Vec<&str> = line.split(',').collect();
        let [time, key, value] = cells[..] else { panic!("{line:?} is not a row of three cells") };
        let number = |text: &str| text.parse().unwrap_or_else(|e| panic!("{line:?}: {e}"));
        LoggedNumber { time: number(time) as i64, key: key.to_owned(), value: number(value) }
    });
    rows.collect()
}

/// Returns the numbers of each key in a range of times in ms. Of records with equal times, the later one is current.
pub fn fold(log: &[LoggedNumber], times: impl RangeBounds<i64>) -> Summaries {
    let mut newest = BTreeMap::new();
    let mut summaries = Summaries::new();
    for LoggedNumber { time, key, value } in log.iter().filter(|number| times.contains(&number.time)) {
        let first = KeySummary { current: *value, min: *value, max: *value };
        let summary = summaries.entry(key.clone()).or_insert(first);
        summary.min = summary.min.min(*value);
        summary.max = summary.max.max(*value);
        let newest = newest.entry(key).or_insert(*time);
        if *time >= *newest {
            (*newest, summary.current) = (*time, *value);
        }
    }
    summaries
}

/// Returns how many numbers each key has in a range of times in ms.
pub fn counts(log: &[LoggedNumber], times: impl RangeBounds<i64>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for number in log.iter().filter(|number| times.contains(&number.time)) {
        *counts.entry(number.key.clone()).or_default() += 1;
    }
    counts
}

/// Returns a number of each machine and second, oldest first. `special` replaces the usual number of a machine, by its age
/// in seconds. Readings in the oldest `margin` seconds are no extremes, because they leave the window during the test.
pub fn readings(machines: usize, ages: Range<i64>, margin: i64, special: &[(usize, i64, f64)]) -> Vec<LoggedNumber> {
    let now = now();
    let oldest = ages.end - margin;
    let number = |machine: usize, age: i64| {
        let wave = if age >= oldest { 20 } else { (age * 7 + machine as i64 * 3) % 41 };
        let usual = 20.0 + machine as f64 / 4.0 + wave as f64 / 8.0;
        special.iter().find(|(of, at, _)| (*of, *at) == (machine, age)).map_or(usual, |special| special.2)
    };
    let reading = |machine: usize, age: i64| LoggedNumber {
        time: now - age * 1000,
        key: format!("m-{machine:03}"),
        value: number(machine, age),
    };
    ages.rev().flat_map(|age| (0..machines).map(move |machine| reading(machine, age))).collect()
}

/// Writes numbers with their keys and times in one request.
pub fn write(bridge: &Bridge, topic: &str, field: &str, numbers: &[LoggedNumber]) {
    // An `f64` without decimals would be written with `.0`.
    let json = |value: f64| if value.fract() == 0.0 { json!(value as i64) } else { json!(value) };
    let records = numbers.iter().map(|number| {
        let value = json(number.value);
        json!({"key": number.key, "value": {field: value}, "timestamp": number.time})
    });
    write_records(bridge, topic, records.collect());
}

/// Writes records in one request.
pub fn write_records(bridge: &Bridge, topic: &str, records: Vec<Value>) {
    bridge.post(&format!("/topics/{topic}"), ENVELOPE, json!({ "records": records }).to_string()).expect(200);
}
