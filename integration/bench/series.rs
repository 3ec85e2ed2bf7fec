//! Opening a page with a chart of hours: the time series of a topic, compared with reading all of its records.

use crate::Size;
use crate::machines::{self, MachineRecords, hundredths};
use crate::reading::read_stream;
use crate::table::{ROUNDS, Table, median, number};
use crate::usage::{peak, resident};
use curlew::record::now;
use curlew_integration::bridge::Bridge;
use serde_json::Value;
use std::time::{Duration, Instant};

const MACHINES: u64 = 100;
/// Steps of different lengths are different questions, each of which has a first viewer.
const STEPS: [&str; ROUNDS] = ["1m", "2m", "3m"];
/// Time limit for the first viewer.
const TIMEOUT: Duration = Duration::from_secs(120);

pub fn measure(size: &Size, table: &mut Table) {
    let (_directory, mut bridge) = machines::bridge();
    let records = size.readings;
    let first = now() - i64::try_from(records).expect("few records");
    let started = Instant::now();
    MachineRecords { machines: MACHINES, first: Some(first) }.fill(bridge.port, "machines", records);
    eprintln!("  wrote {records} records in {:.1} s", started.elapsed().as_secs_f64());
    let before = resident(bridge.process().id());
    let (mut first_viewer, mut next_viewer, mut bytes) = (Vec::new(), Vec::new(), 0);
    for step in STEPS {
        let target = format!("/topics/machines/series?from={first}&by=key&step={step}&timeout=30000");
        let (took, _) = complete_series(&bridge, &target, first, records);
        first_viewer.push(took * 1000.0);
        for _ in 0..ROUNDS {
            let took;
            (took, bytes) = complete_series(&bridge, &target, first, records);
            next_viewer.push(took * 1000.0);
        }
        eprintln!("  step {step}: {} ms, then {} ms", number(took * 1000.0), number(median(next_viewer.clone())));
    }
    let most = peak(bridge.process().id());
    let plain = read_stream(bridge.port, "/topics/machines/events?from=earliest&until=end&format=record");
    assert_eq!(plain.records, records);
    let hours = records as f64 / 3.6e6;
    let what = format!("series of {MACHINES} machines, {} records of {hours} h, first viewer", number(records as f64));
    table.row(&what, "ms", median(first_viewer), &[("all records", plain.seconds * 1000.0)]);
    table.row("… next viewer", "ms", median(next_viewer), &[("all records", plain.seconds * 1000.0)]);
    table.row("… bytes to a viewer", "MB", bytes as f64 / 1e6, &[("all records", plain.bytes as f64 / 1e6)]);
    table.row("… memory at most", "MB", most / 1e6, &[("before the first viewer", before / 1e6)]);
}

/// Requests the series until they are complete. Returns the seconds that this took, and the size of the response. Checks the
/// numbers of all series together.
fn complete_series(bridge: &Bridge, target: &str, first: i64, records: u64) -> (f64, usize) {
    let started = Instant::now();
    let (took, response) = loop {
        let response = bridge.get(target).expect(200);
        let took = started.elapsed();
        let complete_from: i64 = response.header("x-complete-from").and_then(|from| from.parse().ok()).expect("a time");
        if complete_from <= first {
            break (took.as_secs_f64(), response);
        }
        assert!(took < TIMEOUT, "after {took:?} the series are complete from {complete_from} on, not from {first} on");
    };
    let answer = response.json();
    let points: Vec<&Vec<Value>> = answer["series"]
        .as_array()
        .expect("series")
        .iter()
        .filter(|series| series["field"] == "value.temperature")
        .flat_map(|series| series["points"].as_array().expect("points"))
        .map(|point| point.as_array().expect("a point"))
        .collect();
    let values = |index: usize| points.iter().map(move |point| point[index].as_f64().expect("a number"));
    let expected = || (0..records.min(3_000)).map(|number| hundredths(number) as f64 / 100.0);
    assert_eq!(values(4).sum::<f64>(), records as f64, "each record counts once");
    assert_eq!(values(1).fold(f64::INFINITY, f64::min), expected().fold(f64::INFINITY, f64::min));
    assert_eq!(values(2).fold(f64::NEG_INFINITY, f64::max), expected().fold(f64::NEG_INFINITY, f64::max));
    assert_eq!(answer["omitted"]["records"], 0);
    (took, response.body.len())
}
