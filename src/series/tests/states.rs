//! Compares folds of states with a naive implementation.

use super::naive::{NaiveReading, naive_readings};
use super::*;
use std::collections::BTreeSet;
use std::ops::Range;

const ALL: Range<i64> = i64::MIN..i64::MAX;

/// The possible names of minimum and maximum, the name of the last state, and the number of readings.
type States = (BTreeSet<String>, String, u64);

fn state_query(states: &[&str], fields: &[&str]) -> SeriesQuery {
    let states = parse_states(states).unwrap();
    SeriesQuery { fields: FieldChoice::parse(fields, &states).unwrap(), states, ..plain() }
}

/// Folds the records, and starts over after a field has exceeded the limit, as computations do.
fn fold_states(
    query: &SeriesQuery,
    steps: &Range<i64>,
    blocks: &[Vec<(i64, TestRecord)>],
) -> (SeriesTable, Arc<StateNames>) {
    let mut names = StateNames::new(query, &share());
    loop {
        let table = fold_with(query, steps, blocks, &names);
        match names.after_excess() {
            Some(restarted) => names = restarted,
            None => return (table, names),
        }
    }
}

fn names_of(names: &StateNames, path: &str) -> Vec<String> {
    let found = names.all().into_iter().find(|(own, _)| own.to_string() == path);
    found.unwrap().1.iter().map(|name| name.to_string()).collect()
}

fn rows_of(table: &SeriesTable, steps: &Range<i64>, kind: FieldKind) -> BTreeMap<PointKey, Numbers> {
    let series = table.series(steps).into_iter().filter(|series| series.field.kind == kind);
    let rows = series.flat_map(|series| {
        let key = move |point: &Point| (series.field.path.to_string(), series.name.map(str::to_owned), point.step);
        series.points.iter().map(move |point| (key(point), (point.min, point.max, point.last, point.count)))
    });
    rows.collect()
}

/// Returns the states in a part of a value.
fn states_in(value: &Value, path: &str, found: &mut Vec<(String, String)>) {
    match value {
        Value::String(text) => found.push((path.to_owned(), text.clone())),
        Value::Bool(bool) => found.push((path.to_owned(), bool.to_string())),
        Value::Number(number) if !number.is_f64() => found.push((path.to_owned(), number.to_string())),
        Value::Object(object) => {
            object.iter().for_each(|(name, value)| states_in(value, &format!("{path}.{name}"), found))
        }
        _ => {}
    }
}

fn states_of(query: &SeriesQuery, part: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    states_in(part, "value", &mut found);
    found.retain(|(path, _)| query.states.iter().any(|listed| listed.to_string() == *path));
    found
}

/// A value with states from a few or from many names.
fn value_with_states() -> impl Strategy<Value = Value> {
    let state = prop_oneof![
        8 => "[a-d]".prop_map(Value::from),
        2 => any::<bool>().prop_map(Value::from),
        2 => (-2i64..2).prop_map(Value::from),
        1 => Just(json!(null)),
        1 => Just(json!(0.5)),
        1 => Just(json!(["a"])),
    ];
    (value(), proptest::option::of(state.clone()), proptest::option::of(state), 0u8..60).prop_map(
        |(mut value, state, of_sensors, serial)| {
            state.into_iter().for_each(|state| value["a"] = state);
            value["serial"] = format!("serial-{serial}").into();
            if let Some(sensor) = value.get_mut("sensors").and_then(|sensors| sensors.get_mut(0)) {
                of_sensors.into_iter().for_each(|state| sensor["t"] = state);
            }
            value
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn states_folded_in_any_order_equal_a_naive_fold(
        base in query(),
        records in proptest::collection::vec((record(), value_with_states(), 0usize..6), 0..90),
        window in (0i64..120_000, 0i64..120_000),
    ) {
        let states = parse_states(&["value.a", "value.sensors.t", "value.serial"]).unwrap();
        let fields = match base.fields {
            FieldChoice::AllNumbers => FieldChoice::parse(&[], &states).unwrap(),
            listed => listed,
        };
        let query = SeriesQuery { fields, states, ..base };
        let mut blocks = vec![Vec::new(); 6];
        let mut everything = Vec::new();
        for (offset, (record, value, block)) in (0..).zip(records) {
            let record = TestRecord { value: Some(value.to_string().into_bytes()), ..record };
            blocks[block].push((offset, record.clone()));
            everything.push((offset, record));
        }
        let (from, to) = (START + window.0.min(window.1), START + window.0.max(window.1) + 1);
        let steps = from.div_euclid(query.step)..(to - 1).div_euclid(query.step) + 1;
        let (table, names) = fold_states(&query, &ALL, &blocks);
        prop_assert_eq!(rows_of(&table, &steps, FieldKind::Number), naive(&query, &steps, &everything));

        // Each naive reading is the index of a name in this list.
        let texts: std::cell::RefCell<Vec<String>> = Default::default();
        let index = |name: String| {
            let mut texts = texts.borrow_mut();
            let known = texts.iter().position(|known| *known == name);
            known.unwrap_or_else(|| { texts.push(name); texts.len() - 1 }) as f64
        };
        let read = |part: &Value| -> Vec<(String, f64)> {
            states_of(&query, part).into_iter().map(|(path, name)| (path, index(name))).collect()
        };
        let readings = naive_readings(&query, &steps, &everything, read);
        // Records without a time have states, too.
        let timed = SeriesQuery { time: TimeSource::Record, ..query.clone() };
        let mut states: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
        for ((field, ..), readings) in naive_readings(&timed, &ALL, &everything, read) {
            states.entry(field).or_default().extend(readings.iter().map(|reading| reading.3 as usize));
        }
        let is_exceeded = |field: &str| states.get(field).is_some_and(|states| states.len() > 32);
        let expected: BTreeMap<PointKey, States> = readings
            .into_iter()
            .filter(|((field, ..), _)| !is_exceeded(field))
            .map(|(key, readings)| {
                let name = |reading: &NaiveReading| texts.borrow()[reading.3 as usize].clone();
                let last = readings.iter().max_by_key(|(time, offset, element, _)| (*time, *offset, *element)).unwrap();
                (key, (readings.iter().map(name).collect(), name(last), readings.len() as u64))
            })
            .collect();
        let found = rows_of(&table, &steps, FieldKind::State);
        prop_assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        for (key, (min, max, last, count)) in found {
            let names = names_of(&names, &key.0);
            let (states, last_name, readings) = &expected[&key];
            let of_step = names.iter().enumerate().filter(|(_, name)| states.contains(*name));
            let indexes: BTreeSet<_> = of_step.map(|(index, _)| index).collect();
            prop_assert_eq!(indexes.len(), states.len());
            prop_assert_eq!((min as usize, max as usize), (*indexes.first().unwrap(), *indexes.last().unwrap()));
            prop_assert_eq!((&names[last as usize], count), (last_name, *readings));
        }
        let too_many = table.omitted(&ALL).reasons().find(|(reason, _)| *reason == Omission::TooManyStates);
        prop_assert_eq!(too_many.is_some(), states.keys().any(|field| is_exceeded(field)));
    }
}

/// Folds the values in one step. Returns each state series with the names of its minimum, maximum and last state.
fn states(query: &SeriesQuery, values: &[&str]) -> Vec<(String, [String; 3], u64)> {
    let (table, names) = fold_states(query, &ALL, &[in_one_step(values)]);
    let rows = rows_of(&table, &ALL, FieldKind::State).into_iter();
    rows.map(|((field, ..), (min, max, last, count))| {
        let names = names_of(&names, &field);
        (field, [min, max, last].map(|index| names[index as usize].clone()), count)
    })
    .collect()
}

#[test]
fn texts_booleans_and_integers_are_states() {
    let row = |field: &str, [min, max, last]: [&str; 3], count| {
        (field.to_owned(), [min, max, last].map(str::to_owned), count)
    };
    let state = state_query(&["value.state"], &[]);
    let whole = state_query(&["value"], &[]);
    for (query, values, expected) in [
        (&state, vec![r#"{"state":"on","t":1}"#], vec![row("value.state", ["on", "on", "on"], 1)]),
        (
            &state,
            vec![r#"{"state":true}"#, r#"{"state":false}"#],
            vec![row("value.state", ["true", "false", "false"], 2)],
        ),
        (
            &state,
            vec![r#"{"state":3}"#, r#"{"state":1}"#, r#"{"state":3}"#],
            vec![row("value.state", ["3", "1", "3"], 3)],
        ),
        (&state, vec![r#"{"state":0.5}"#, r#"{"state":null}"#, r#"{"state":{"a":1}}"#, r#"{"state":["on"]}"#], vec![]),
        (&state, vec![r#"{"state":"on","state":"off"}"#], vec![row("value.state", ["off", "off", "off"], 1)]),
        (&state, vec![r#"{"state":"on","state":null}"#], vec![]),
        (&whole, vec!["running\n", "\"running\"", "true"], vec![row("value", ["running", "true", "true"], 3)]),
        (&whole, vec!["", "{\"a\":", "[1", "\"", "a\u{0}"], vec![]),
    ] {
        assert_eq!(states(query, &values), expected, "{values:?}");
    }
}

#[test]
fn one_part_may_be_a_number_and_a_state() {
    let query = state_query(&["value.on"], &["value.on"]);
    let values = [r#"{"on":true}"#, r#"{"on":false}"#];
    let numbers: Vec<_> = rows_of(&one(&query, &values), &ALL, FieldKind::Number).into_values().collect();
    assert_eq!(numbers, [(0.0, 1.0, 0.0, 2)]);
    assert_eq!(states(&query, &values)[0].1, ["true", "false", "false"]);
}

#[test]
fn states_that_are_left_out_are_counted_with_their_reason() {
    let counts = |query: &SeriesQuery, values: &[&str]| -> Vec<(Omission, u64)> {
        let (table, _) = fold_states(query, &ALL, &[in_one_step(values)]);
        table.omitted(&ALL).reasons().collect()
    };
    let query = state_query(&["value.state"], &[]);
    assert_eq!(counts(&query, &["off", r#"{"t":1}"#]), [(Omission::NotJson, 1), (Omission::NoState, 1)]);
    let with_numbers = state_query(&["value.state"], &["value.t"]);
    assert_eq!(counts(&with_numbers, &[r#"{"t":1}"#, r#"{"state":"on"}"#, "{}"]), [(Omission::NoNumber, 1)]);
    let long = format!(r#"{{"state":"{}"}}"#, "x".repeat(257));
    assert_eq!(counts(&query, &[&long, r#"{"state":"on"}"#]), [(Omission::LongName, 1)]);
    let many: Vec<_> = (0..33).map(|state| format!(r#"{{"state":"{state}"}}"#)).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    assert_eq!(counts(&query, &many[..32]), []);
    assert_eq!(counts(&query, &many), [(Omission::TooManyStates, 33)]);
    assert_eq!(states(&query, &many), []);
}
