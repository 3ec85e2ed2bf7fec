//! Time series of real topics.

use crate::{SOON, bridge};
use curlew::record::now;
use curlew_integration::eventually;
use curlew_integration::kafka::Kafka;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Minimum, maximum, last and count, by name and beginning of the step.
type Points = BTreeMap<(String, i64), (i64, i64, i64, usize)>;

const STEP: i64 = 30_000;

fn points(answer: &Value) -> Points {
    let mut found = Points::new();
    for series in answer["series"].as_array().expect("series") {
        for point in series["points"].as_array().expect("points") {
            let number = |index: usize| point[index].as_i64().expect("an integer");
            let name = series["by"].as_str().expect("a name").to_owned();
            found.insert((name, number(0)), (number(1), number(2), number(3), number(4) as usize));
        }
    }
    found
}

#[test]
fn series_of_kafka_equal_a_naive_fold_of_its_late_records() {
    let kafka = Kafka::shared();
    let topic = kafka.fresh("series", 3);
    let begin = now() - 600_000;
    // A machine writes to one partition, and some of its records are late.
    let record = |number: i64| {
        let (machine, late) = (number % 5, if number % 7 == 0 { 200_000 } else { 0 });
        let time = (begin + number * 1000 - late).max(begin);
        (format!("m{machine}"), machine % 3, time, number * 37 % 101)
    };
    let mut expected = BTreeMap::<(String, i64), Vec<(i64, i64, i64)>>::new();
    let mut produce = |numbers: std::ops::Range<i64>| {
        let records: Vec<_> = numbers.clone().map(record).collect();
        let envelope: Vec<_> = records
            .iter()
            .map(|(name, partition, time, number)| {
                json!({"value": {"m": name, "t": number}, "partition": partition, "timestamp": time})
            })
            .collect();
        let body = json!({ "records": envelope }).to_string();
        bridge().post(&format!("/topics/{topic}"), "application/vnd.kafka.json.v2+json", body).expect(200);
        for (order, (name, _, time, number)) in numbers.zip(records) {
            expected.entry((name, time.div_euclid(STEP) * STEP)).or_default().push((time, order, number));
        }
        let point = |readings: &Vec<(i64, i64, i64)>| {
            let numbers = || readings.iter().map(|reading| reading.2);
            let last = readings.iter().max().expect("a reading").2;
            (numbers().min().expect("a reading"), numbers().max().expect("a reading"), last, readings.len())
        };
        expected.iter().map(|(key, readings)| (key.clone(), point(readings))).collect::<Points>()
    };
    let target = format!("/topics/{topic}/series?from={begin}&step=30s&by=value.m&field=value.t");
    for numbers in [0..300, 300..310, 310..600] {
        let expected = produce(numbers);
        let answer = bridge().get(&target).expect(200).json();
        assert_eq!(answer["complete_from"], answer["from"], "{answer}");
        assert_eq!(points(&answer), expected);
    }
    let csv = bridge().request("GET", &target, &[("Accept", "text/csv")], b"").expect(200).text();
    assert!(csv.starts_with("time,time_ms,field,by,min,max,last,count\r\n"), "{csv}");
    // A topic of the same name is another one.
    kafka.delete(&topic);
    kafka.create(&topic, 3);
    let body = json!({"records": [{"value": {"m": "m9", "t": 1}, "timestamp": begin}]}).to_string();
    bridge().post(&format!("/topics/{topic}"), "application/vnd.kafka.json.v2+json", body).expect(200);
    eventually("the series of the new topic", SOON, || {
        let answer = bridge().get(&target);
        match answer.status {
            200 if points(&answer.json()).values().map(|point| point.3).sum::<usize>() == 1 => Ok(()),
            status => Err(format!("{status}")),
        }
    });
}
