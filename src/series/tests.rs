//! Compares folds with a naive implementation that keeps every reading. The records are divided arbitrarily into
//! blocks, and the tables of the blocks are merged.
#![allow(clippy::unwrap_used)]

mod naive;
mod states;

use super::*;
use crate::record::{Records, Timestamp};
use crate::sync::memory_budget::Share;
use naive::naive;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Debug, Clone)]
struct TestRecord {
    time: Timestamp,
    key: Option<String>,
    header: Option<String>,
    value: Option<Vec<u8>>,
}

/// Field, name and step.
type PointKey = (String, Option<String>, i64);
/// Minimum, maximum, last and count.
type Numbers = (f64, f64, f64, u64);

fn share() -> Arc<Share> {
    Share::new("series", 16 << 20, 16 << 20)
}

fn records(records: &[(i64, TestRecord)]) -> Records {
    let mut data = Vec::new();
    let mut put = |bytes: &[u8]| {
        data.extend_from_slice(bytes);
        data.len() - bytes.len()..data.len()
    };
    let mut parts = Vec::new();
    for (offset, record) in records {
        let key = record.key.as_ref().map(|key| put(key.as_bytes()));
        let value = record.value.as_ref().map(|value| put(value));
        let header = record.header.as_ref().map(|header| (put(b"h"), put(header.as_bytes())));
        parts.push((*offset, record.time, key, value, header));
    }
    let mut records = Records::over(data.into());
    for (offset, time, key, value, header) in parts {
        records.push(offset, time, key, value);
        if let Some((name, value)) = header {
            records.push_header(name, Some(value));
        }
    }
    records
}

/// Folds blocks of records and merges them in the order given.
fn fold(query: &SeriesQuery, steps: &std::ops::Range<i64>, blocks: &[Vec<(i64, TestRecord)>]) -> SeriesTable {
    let names = StateNames::new(query, &share());
    fold_with(query, steps, blocks, &names)
}

fn fold_with(
    query: &SeriesQuery,
    steps: &std::ops::Range<i64>,
    blocks: &[Vec<(i64, TestRecord)>],
    names: &Arc<StateNames>,
) -> SeriesTable {
    let memory = share();
    let mut table = SeriesTable::new(&memory);
    for (version, block) in blocks.iter().enumerate() {
        let mut fold = Fold::new(Arc::new(query.clone()), steps.clone(), &memory, names);
        records(block).iter().for_each(|record| fold.add(&record));
        table.merge(&fold.into_table(), version as u32);
    }
    table
}

fn points(table: &SeriesTable, steps: &std::ops::Range<i64>) -> BTreeMap<PointKey, Numbers> {
    let mut found = BTreeMap::new();
    for series in table.series(steps) {
        assert!(series.points.is_sorted_by(|a, b| a.step < b.step));
        assert_eq!(series.count, series.points.iter().map(|point| point.count).sum::<u64>());
        for point in series.points {
            let key = (series.field.path.to_string(), series.name.map(str::to_owned), point.step);
            assert!(found.insert(key, (point.min, point.max, point.last, point.count)).is_none());
        }
    }
    found
}

const START: Timestamp = 1_769_846_400_000;

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        (-50i64..50).prop_map(Value::from),
        (-500i32..500).prop_map(|tenths| json!(f64::from(tenths) / 10.0)),
        any::<f64>().prop_filter("JSON has no NaN", |number| number.is_finite()).prop_map(Value::from),
        (-(1i64 << 53)..=1 << 53).prop_map(Value::from),
    ]
}

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![4 => number(), 1 => Just(json!(null)), 1 => any::<bool>().prop_map(Value::from), 1 => "[a-c]{1,2}".prop_map(Value::from)]
}

prop_compose! {
    fn sensor()(id in "[a-c]", t in leaf(), n in proptest::option::of(number())) -> Value {
        let mut sensor = json!({"id": id, "t": t});
        n.into_iter().for_each(|n| sensor["n"] = n);
        sensor
    }
}

prop_compose! {
    fn value()(
        machine in proptest::option::of("[a-d]"),
        fields in proptest::collection::btree_map("[a-c]", leaf(), 0..3),
        inner in proptest::option::of(proptest::collection::btree_map("[x-z]", leaf(), 0..3)),
        sensors in proptest::option::of(prop_oneof![
            4 => proptest::collection::vec(sensor(), 0..4).prop_map(Value::from),
            1 => sensor(),
        ]),
        ts in proptest::option::of(0i64..120_000),
    ) -> Value {
        let mut value = json!({});
        fields.into_iter().for_each(|(name, field)| value[name] = field);
        machine.into_iter().for_each(|machine| value["machine"] = machine.into());
        inner.into_iter().for_each(|inner| value["inner"] = json!(inner));
        sensors.into_iter().for_each(|sensors| value["sensors"] = sensors);
        ts.into_iter().for_each(|ts| value["ts"] = (START + ts).into());
        value
    }
}

prop_compose! {
    fn record()(
        late in 0i64..120_000,
        key in proptest::option::of("[k-n]"),
        header in proptest::option::of("[h-i]"),
        value in prop_oneof![
            12 => value().prop_map(|value| Some(value.to_string().into_bytes())),
            2 => number().prop_map(|number| Some(number.to_string().into_bytes())),
            1 => Just(None),
            1 => proptest::collection::vec(any::<u8>(), 0..8).prop_map(Some),
        ],
    ) -> TestRecord {
        TestRecord { time: START + late, key, header, value }
    }
}

fn path(text: &str) -> ValuePath {
    ValuePath::parse(text).unwrap()
}

fn query() -> impl Strategy<Value = SeriesQuery> {
    let fields = prop_oneof![
        Just(FieldChoice::AllNumbers),
        Just(FieldChoice::parse(&["value.a", "value.inner.x", "value.sensors.t", "value.machine"], &[]).unwrap()),
    ];
    let by = prop_oneof![
        Just(None),
        Just(Some("key")),
        Just(Some("header:h")),
        Just(Some("value.machine")),
        Just(Some("value.inner.y")),
        Just(Some("value.sensors.id")),
    ];
    let step = prop_oneof![Just(10i64), 10i64..50_000, Just(60_000), Just(86_400_000)];
    (fields, by, any::<bool>(), any::<bool>(), step).prop_map(|(fields, by, each, time, step)| SeriesQuery {
        fields,
        states: Vec::new(),
        by: by.map(|by| GroupBy::parse(by).unwrap()),
        each: each.then(|| path("value.sensors")),
        time: if time { TimeSource::parse("value.ts").unwrap() } else { TimeSource::Record },
        step,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn blocks_folded_in_any_order_equal_a_naive_fold(
        query in query(),
        records in proptest::collection::vec((record(), 0usize..6), 0..60),
        window in (0i64..120_000, 0i64..120_000),
    ) {
        let records: Vec<_> = (0..).zip(records).collect();
        let mut blocks = vec![Vec::new(); 6];
        records.iter().for_each(|(offset, (record, block))| blocks[*block].push((*offset, record.clone())));
        let everything: Vec<_> = records.into_iter().map(|(offset, (record, _))| (offset, record)).collect();
        let (from, to) = (START + window.0.min(window.1), START + window.0.max(window.1) + 1);
        let steps = from.div_euclid(query.step)..(to - 1).div_euclid(query.step) + 1;
        let all_steps = i64::MIN..i64::MAX;
        let table = fold(&query, &all_steps, &blocks);
        prop_assert_eq!(points(&table, &steps), naive(&query, &steps, &everything));
        prop_assert_eq!(points(&fold(&query, &steps, &blocks), &all_steps), naive(&query, &steps, &everything));
        // Once old points are dropped, the table equals one that never had them.
        let mut dropped = table;
        dropped.drop_before(steps.start);
        let rest = steps.start..i64::MAX;
        prop_assert_eq!(points(&dropped, &all_steps), naive(&query, &rest, &everything));
        dropped.merge(&fold(&query, &(i64::MIN..steps.start), &blocks), 9);
        prop_assert_eq!(points(&dropped, &all_steps), naive(&query, &all_steps, &everything));
    }
}

fn one(query: &SeriesQuery, values: &[&str]) -> SeriesTable {
    fold(query, &(i64::MIN..i64::MAX), &[in_one_step(values)])
}

/// Returns records with these values, all of the same time.
fn in_one_step(values: &[&str]) -> Vec<(i64, TestRecord)> {
    let record = |value: &&str| TestRecord {
        time: START,
        key: Some("k".into()),
        header: None,
        value: Some(value.as_bytes().to_vec()),
    };
    (0..).zip(values.iter().map(record)).collect()
}

fn plain() -> SeriesQuery {
    SeriesQuery {
        fields: FieldChoice::AllNumbers,
        states: Vec::new(),
        by: None,
        each: None,
        time: TimeSource::Record,
        step: 1000,
    }
}

fn rows(table: &SeriesTable) -> Vec<(String, Option<String>, Numbers)> {
    points(table, &(i64::MIN..i64::MAX)).into_iter().map(|((field, name, _), numbers)| (field, name, numbers)).collect()
}

#[test]
fn the_payloads_that_devices_send_are_read() {
    let listed = |paths: &[&str]| SeriesQuery { fields: FieldChoice::parse(paths, &[]).unwrap(), ..plain() };
    let named = |by: &str| SeriesQuery { by: Some(GroupBy::parse(by).unwrap()), ..plain() };
    let row = |field: &str, name: Option<&str>, number: f64| {
        (field.to_owned(), name.map(str::to_owned), (number, number, number, 1))
    };
    let each = SeriesQuery { each: Some(path("value.sensors")), ..named("value.sensors.id") };
    let all = SeriesQuery { each: Some(path("value")), ..named("value.id") };
    for (query, value, expected) in [
        (plain(), "21.5", vec![row("value", None, 21.5)]),
        (plain(), "12571953755", vec![row("value", None, 12_571_953_755.0)]),
        (plain(), "9007199254740993", vec![row("value", None, 9_007_199_254_740_992.0)]),
        (plain(), "0.30000000000000004", vec![row("value", None, 0.1 + 0.2)]),
        (plain(), r#"{"t":1,"t":2}"#, vec![row("value.t", None, 2.0)]),
        (plain(), r#"{"t":1,"t":null}"#, vec![]),
        (plain(), r#"{"a":{"t":1},"a":{"u":2}}"#, vec![row("value.a.u", None, 2.0)]),
        (
            plain(),
            r#"{"t":1,"t":null,"t":3,"a":{"t":4}}"#,
            vec![row("value.a.t", None, 4.0), row("value.t", None, 3.0)],
        ),
        (named("value.id"), r#"{"t":1,"id":"a","id":null}"#, vec![row("value.t", None, 1.0)]),
        (each.clone(), r#"{"sensors":[{"id":"a","t":1}],"sensors":null,"t":3}"#, vec![row("value.t", None, 3.0)]),
        (
            each.clone(),
            r#"{"sensors":[{"id":"a","t":1,"t":[]},{"id":"b","t":2}]}"#,
            vec![row("value.sensors.t", Some("b"), 2.0)],
        ),
        (plain(), r#"{"a b":{"c":[1,{"d":2}],"e":3}}"#, vec![row(r#"value["a b"].e"#, None, 3.0)]),
        (plain(), r#"{"on":true,"t":"21.5 °C"}"#, vec![]),
        (
            listed(&["value.on", "value.t"]),
            r#"{"on":true,"t":"21.5 °C"}"#,
            vec![row("value.on", None, 1.0), row("value.t", None, 21.5)],
        ),
        (listed(&["value"]), "21.5 °C", vec![row("value", None, 21.5)]),
        (listed(&["value"]), "off", vec![]),
        (named("key"), r#"{"t":1}"#, vec![row("value.t", Some("k"), 1.0)]),
        (named("header:h"), r#"{"t":1}"#, vec![row("value.t", None, 1.0)]),
        (named("value.id"), r#"{"t":1,"id":17}"#, vec![row("value.t", Some("17"), 1.0)]),
        (
            each,
            r#"{"sensors":[{"id":"a","t":1},{"t":2,"id":"b"},{"id":"c"}],"t":3}"#,
            vec![
                row("value.sensors.t", Some("a"), 1.0),
                row("value.sensors.t", Some("b"), 2.0),
                row("value.t", None, 3.0),
            ],
        ),
        (
            all,
            r#"[{"id":"a","t":1},{"id":"b","t":2}]"#,
            vec![row("value.t", Some("a"), 1.0), row("value.t", Some("b"), 2.0)],
        ),
    ] {
        assert_eq!(rows(&one(&query, &[value])), expected, "{value}");
    }
}

#[test]
fn what_is_left_out_is_counted_with_its_reason() {
    let counts = |query: &SeriesQuery, values: &[&str]| -> Vec<(Omission, u64)> {
        one(query, values).omitted(&(i64::MIN..i64::MAX)).reasons().collect()
    };
    let timed = SeriesQuery { time: TimeSource::parse("value.at").unwrap(), ..plain() };
    let by = SeriesQuery { by: Some(GroupBy::parse("value.id").unwrap()), ..plain() };
    assert_eq!(counts(&plain(), &["off", "{", r#"{"a":"b"}"#, "1"]), [(Omission::NotJson, 2), (Omission::NoNumber, 1)]);
    assert_eq!(
        counts(&timed, &[r#"{"t":1}"#, r#"{"t":1,"at":"soon"}"#, r#"{"t":1,"at":1769846400}"#]),
        [(Omission::NoTime, 2)]
    );
    let long = format!(r#"{{"t":1,"id":"{}"}}"#, "x".repeat(257));
    assert_eq!(counts(&by, &[&long, r#"{"t":1,"id":"x"}"#]), [(Omission::LongName, 1)]);
    let wide: String = (0..70).map(|n| format!(r#""f{n}":{n},"#)).collect();
    let table = one(&plain(), &[&format!("{{{}\"z\":0}}", wide)]);
    assert_eq!(table.series(&(i64::MIN..i64::MAX)).len(), 64);
    assert_eq!(table.omitted(&(i64::MIN..i64::MAX)).reasons().collect::<Vec<_>>(), [(Omission::TooManySeries, 1)]);
}

#[test]
fn series_are_in_order_of_their_fields_and_readings() {
    let query = SeriesQuery { by: Some(GroupBy::parse("value.id").unwrap()), ..plain() };
    let table = one(
        &query,
        &[
            r#"{"id":"a","y":1,"x":1}"#,
            r#"{"id":"b","y":1,"x":1}"#,
            r#"{"id":"b","y":1,"x":1}"#,
            r#"{"id":"c","z":1}"#,
            r#"{"id":"a","z":1}"#,
            r#"{"id":"c","z":1}"#,
            r#"{"id":"c","z":1}"#,
        ],
    );
    let series = table.series(&(i64::MIN..i64::MAX));
    let found: Vec<_> = series.iter().map(|series| (series.field.path.to_string(), series.name.unwrap())).collect();
    let expected =
        [("value.z", "c"), ("value.z", "a"), ("value.x", "b"), ("value.x", "a"), ("value.y", "b"), ("value.y", "a")];
    assert_eq!(found, expected.map(|(field, name)| (field.to_owned(), name)));
}

#[test]
fn series_that_do_not_fit_in_memory_are_counted() {
    let small = Share::new("series", 1 << 20, 1 << 20);
    let mut table = SeriesTable::new(&small);
    let query = Arc::new(SeriesQuery { by: Some(GroupBy::Key), ..plain() });
    let names = StateNames::new(&query, &small);
    let keys = 10_000;
    for block in 0..20 {
        let mut fold = Fold::new(query.clone(), i64::MIN..i64::MAX, &share(), &names);
        let record = |number: i64| TestRecord {
            time: START + number,
            key: Some(format!("key-{number}")),
            header: None,
            value: Some(b"1".to_vec()),
        };
        let block: Vec<_> =
            (block * keys / 20..(block + 1) * keys / 20).map(|number| (number, record(number))).collect();
        records(&block).iter().for_each(|record| fold.add(&record));
        table.merge(&fold.into_table(), 1);
    }
    let all = i64::MIN..i64::MAX;
    let shown = table.series(&all).len() as u64;
    assert!((500..4000).contains(&shown), "{shown}");
    assert_eq!(table.omitted(&all).total(), keys as u64 - shown);
    let refused = table.refused_series();
    assert!(refused.abs_diff(keys as u64 - shown) < 200, "{refused}");
    assert!(small.used() <= small.limit());
    table.drop_before(i64::MAX);
    assert!(small.used() < 1024, "{}", small.used());
}
