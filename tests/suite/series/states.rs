//! `state=`: texts, booleans and integers as states.

use super::*;

const DAY: &str = "step=31d";

/// The names of minimum, maximum and last, and the count, by field, name and time of the step.
type States = BTreeMap<(String, Option<String>, i64), ([String; 3], u64)>;

fn states(answer: &Value) -> States {
    let mut found = States::new();
    for series in answer["series"].as_array().unwrap().iter().filter(|series| !series["states"].is_null()) {
        let by = series["by"].as_str().map(str::to_owned);
        for point in series["points"].as_array().unwrap() {
            let name = |at: usize| series["states"][point[at].as_u64().unwrap() as usize].as_str().unwrap().to_owned();
            let key = (series["field"].as_str().unwrap().to_owned(), by.clone(), point[0].as_i64().unwrap());
            found.insert(key, ([name(1), name(2), name(3)], point[4].as_u64().unwrap()));
        }
    }
    found
}

/// Returns the last state of each point.
fn last_states(answer: &Value) -> Vec<String> {
    states(answer).into_values().map(|([_, _, last], _)| last).collect()
}

#[tokio::test]
async fn states_equal_a_naive_fold_of_a_log_with_late_records() {
    for _ in 0..6 {
        let world = world();
        let partitions = fastrand::usize(1..4);
        world.broker.create("t", partitions);
        let now = now();
        let names = ["running", "heating up", "overheated", "cooling down", "off"];
        // Machine, time, offset and name.
        let mut records = Vec::new();
        let mut offsets = vec![0i64; partitions];
        let step = [1000, 7000, 60_000][fastrand::usize(..3)];
        for round in 0..3 {
            for _ in 0..100 {
                // A machine writes to one partition.
                let machine = fastrand::usize(0..5);
                let (partition, time) = (machine % partitions, now - fastrand::i64(0..600_000));
                let name = names[fastrand::usize(..names.len())];
                world.append(partition, time, json!({"m": format!("m{machine}"), "s": name, "t": 1}));
                records.push((machine, time, offsets[partition], name));
                offsets[partition] += 1;
            }
            let from = now - 200_000 * (round + 1);
            let answer = world.json(&format!("?from={from}&step={step}ms&by=value.m&state=value.s")).await;
            assert_eq!(answer["complete_from"], answer["from"], "{answer}");
            let window = answer["from"].as_i64().unwrap()..answer["to"].as_i64().unwrap();
            let mut expected: BTreeMap<_, Vec<_>> = BTreeMap::new();
            for (machine, time, offset, name) in records.iter().filter(|(_, time, ..)| window.contains(time)) {
                let key = ("value.s".to_owned(), Some(format!("m{machine}")), time.div_euclid(step) * step);
                expected.entry(key).or_default().push((*time, *offset, *name));
            }
            let found = states(&answer);
            assert!(found.keys().eq(expected.keys()), "{answer}");
            // Series of one field have the same names.
            let table = &answer["series"][0]["states"];
            let index = |name: &str| table.as_array().unwrap().iter().position(|known| known == name).unwrap();
            for (key, ([min, max, last], count)) in found {
                let readings = &expected[&key];
                let indexes = || readings.iter().map(|(_, _, name)| index(name));
                assert_eq!(last, readings.iter().max().unwrap().2, "{key:?}");
                assert_eq!((index(&min), index(&max)), (indexes().min().unwrap(), indexes().max().unwrap()), "{key:?}");
                assert_eq!(count, readings.len() as u64);
            }
        }
    }
}

#[tokio::test]
async fn state_without_field_returns_only_states() {
    let world = world();
    world.broker.create("t", 1);
    for (state, on, t) in [("running", true, 1), ("overheated", false, 2)] {
        world.append(0, now(), json!({"state": state, "on": on, "mode": 7, "t": t}));
    }
    let answer = world.json(&format!("?{DAY}&state=value.state&state=value.on&state=value.mode")).await;
    let fields: Vec<_> = answer["series"].as_array().unwrap().iter().map(|series| &series["field"]).collect();
    assert_eq!(fields, ["value.mode", "value.on", "value.state"].map(Value::from).iter().collect::<Vec<_>>());
    assert_eq!(last_states(&answer), ["7", "false", "overheated"]);
    let answer = world.json(&format!("?{DAY}&state=value.on&field=value.t&field=value.on")).await;
    let kinds = |field: &str| -> Vec<bool> {
        let series = answer["series"].as_array().unwrap().iter().filter(|series| series["field"] == field);
        let mut kinds: Vec<_> = series.map(|series| series["states"].is_array()).collect();
        kinds.sort_unstable();
        kinds
    };
    assert_eq!((kinds("value.t"), kinds("value.on")), (vec![false], vec![false, true]), "{answer}");
}

#[tokio::test]
async fn a_field_with_more_than_32_states_is_omitted_and_counted() {
    let world = world();
    world.broker.create("t", 2);
    let append = |numbers: std::ops::Range<i32>| {
        for number in numbers {
            world.append(0, now(), json!({"serial": format!("s{number}"), "state": "on"}));
        }
    };
    append(0..32);
    let query = format!("?{DAY}&state=value.serial&state=value.state");
    let answer = world.json(&query).await;
    assert_eq!(answer["series"].as_array().unwrap().len(), 2);
    assert_eq!(answer["omitted"], json!({"series": 0, "records": 0, "reasons": {}}));
    append(32..40);
    // Another partition is read by another fold.
    world.append(1, now(), json!({"state": "off"}));
    for _ in 0..2 {
        let answer = world.json(&query).await;
        let fields: Vec<_> = answer["series"].as_array().unwrap().iter().map(|series| &series["field"]).collect();
        assert_eq!(fields, ["value.state"], "{answer}");
        assert_eq!(answer["complete_from"], answer["from"], "{answer}");
        assert_eq!(states(&answer).into_values().map(|(_, count)| count).sum::<u64>(), 41);
        assert_eq!(answer["omitted"], json!({"series": 0, "records": 40, "reasons": {"too_many_states": 40}}));
    }
}

#[tokio::test]
async fn csv_has_the_names_of_states() {
    let world = world();
    world.broker.create("t", 1);
    let time = 1_769_846_400_000;
    for state in ["running", "=cmd()", "too \"hot\", stop", "running"] {
        world.append(0, time, json!({"state": state, "t": 20}));
    }
    let range = format!("from={time}&to={}&step=1m", time + 1);
    let answer = world.get(&format!("/topics/t/series?{range}&state=value.state&format=csv"), &[]).await;
    let expected = "time,time_ms,field,by,min,max,last,count\r\n\
                    2026-01-31 08:00:00,1769846400000,value.state,,running,\"too \"\"hot\"\", stop\",running,4\r\n";
    assert_eq!(text(&answer), expected);
    let both = format!("/topics/t/series?{range}&state=value.state&field=value.t&where=value.state+==+%22%3Dcmd()%22");
    let answer = world.get(&both, &[("accept", "text/csv")]).await;
    let expected = "time,time_ms,field,by,min,max,last,count\r\n\
                    2026-01-31 08:00:00,1769846400000,value.state,,'=cmd(),'=cmd(),'=cmd(),1\r\n\
                    2026-01-31 08:00:00,1769846400000,value.t,,20,20,20,1\r\n";
    let sorted = |text: &str| text.lines().map(str::to_owned).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(sorted(&text(&answer)), sorted(expected));
}

#[tokio::test]
async fn an_index_stays_valid_over_updates_and_reconnects() {
    let world = world();
    world.broker.create("t", 1);
    let begin = now();
    let append = |ago: i64, state: &str| world.append(0, begin - ago, json!({"state": state}));
    append(20_000, "running");
    append(10_000, "off");
    let query = "?from=-1m&step=1s&state=value.state";
    let mut updates = world.updates(query, None).await;
    let first = updates.points().await;
    let table = |event: &SeriesEvent| -> Vec<String> {
        serde_json::from_value(event.data["series"][0]["states"].clone()).unwrap()
    };
    assert_eq!((first.kind.as_str(), last_states(&first.data)), ("", vec!["running".to_owned(), "off".to_owned()]));
    append(10_000, "overheated");
    let second = updates.points().await;
    assert_eq!((second.kind.as_str(), last_states(&second.data)), ("update", vec!["overheated".to_owned()]));
    assert!(table(&second).starts_with(&table(&first)), "{second:?}");
    drop(updates);
    append(20_000, "cooling down");
    let third = world.updates(query, Some(&second.id)).await.points().await;
    assert_eq!((third.kind.as_str(), last_states(&third.data)), ("update", vec!["cooling down".to_owned()]));
    assert!(table(&third).starts_with(&table(&second)), "{third:?}");
}

#[tokio::test]
async fn a_stream_starts_over_when_a_field_has_too_many_states() {
    let world = world();
    world.broker.create("t", 1);
    let append = |state: i32| world.append(0, now(), json!({"serial": state, "state": "on"}));
    (0..32).for_each(append);
    let mut updates = world.updates("?from=-1m&step=1s&state=value.serial&state=value.state", None).await;
    let first = updates.points().await;
    assert_eq!(states(&first.data).into_keys().map(|(field, ..)| field).max().unwrap(), "value.state");
    assert!(first.data["series"].as_array().unwrap().len() == 2, "{first:?}");
    append(32);
    let (mut has_started_over, deadline) = (false, Instant::now() + LONG);
    loop {
        let next = updates.next().await.expect("the stream goes on");
        // Otherwise a client would keep the points of `value.serial`, which lack the last reading.
        has_started_over |= next.kind.is_empty();
        assert!(states(&next.data).into_keys().all(|(field, ..)| field == "value.state"), "{next:?}");
        if has_started_over && next.data["omitted"]["reasons"]["too_many_states"] == 33 {
            break;
        }
        assert!(Instant::now() < deadline, "{next:?}");
    }
}
