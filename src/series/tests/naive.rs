//! A naive implementation of folds, which parses values as trees and keeps every reading.

use super::*;

/// The time, offset, element and number of a reading.
pub type NaiveReading = (Timestamp, i64, usize, f64);

fn at<'v>(value: &'v Value, path: &[&str]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, name| value.get(name))
}

fn numbers(value: &Value, path: &str, fields: &FieldChoice, found: &mut Vec<(String, f64)>) {
    match value {
        Value::Number(number) => found.push((path.to_owned(), number.as_f64().unwrap())),
        Value::Bool(bool) if *fields != FieldChoice::AllNumbers => {
            found.push((path.to_owned(), f64::from(u8::from(*bool))))
        }
        Value::Object(object) => {
            object.iter().for_each(|(name, value)| numbers(value, &format!("{path}.{name}"), fields, found));
        }
        _ => {}
    }
}

/// The naive implementation: parses values as trees, and keeps every reading. Supports only the paths of [`query`].
pub fn naive(
    query: &SeriesQuery,
    steps: &std::ops::Range<i64>,
    records: &[(i64, TestRecord)],
) -> BTreeMap<PointKey, Numbers> {
    let is_listed = |path: &str| match &query.fields {
        FieldChoice::AllNumbers => true,
        FieldChoice::Listed(listed) => listed.iter().any(|listed| listed.to_string() == path),
    };
    let read = |part: &Value| {
        let mut found = Vec::new();
        numbers(part, "value", &query.fields, &mut found);
        found.retain(|(path, _)| is_listed(path));
        found
    };
    let numbers = |readings: Vec<NaiveReading>| {
        let last = readings.iter().copied().max_by(|a, b| (a.0, a.1, a.2).cmp(&(b.0, b.1, b.2))).unwrap().3;
        let min = readings.iter().map(|reading| reading.3).fold(f64::INFINITY, f64::min);
        let max = readings.iter().map(|reading| reading.3).fold(f64::NEG_INFINITY, f64::max);
        (min, max, last, readings.len() as u64)
    };
    naive_readings(query, steps, records, read).into_iter().map(|(key, readings)| (key, numbers(readings))).collect()
}

/// Returns the readings of each point. `read` returns the paths and numbers of the readings in a part of a value.
pub fn naive_readings(
    query: &SeriesQuery,
    steps: &std::ops::Range<i64>,
    records: &[(i64, TestRecord)],
    read: impl Fn(&Value) -> Vec<(String, f64)>,
) -> BTreeMap<PointKey, Vec<NaiveReading>> {
    let mut all: BTreeMap<PointKey, Vec<NaiveReading>> = BTreeMap::new();
    for (offset, record) in records {
        let Some(Ok(value)) = record.value.as_ref().map(|value| serde_json::from_slice::<Value>(value)) else {
            continue;
        };
        let mut parts = Vec::new();
        let mut outside = value.clone();
        if query.each.is_some()
            && let Some(sensors) = outside.as_object_mut().and_then(|value| value.remove("sensors"))
        {
            let elements = match sensors {
                Value::Array(elements) => elements,
                other => vec![other],
            };
            parts.extend(elements.into_iter().map(|element| json!({ "sensors": element })));
        }
        parts.insert(0, outside);
        for (element, part) in parts.iter().enumerate() {
            let mut found = read(part);
            let text = |value: &Value| match value {
                Value::String(text) => Some(text.clone()),
                Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
                _ => None,
            };
            let name = match &query.by {
                None => None,
                Some(GroupBy::Key) => record.key.clone(),
                Some(GroupBy::Header(_)) => record.header.clone(),
                Some(GroupBy::Value(path)) => {
                    found.retain(|(field, _)| *field != path.to_string() || query.fields != FieldChoice::AllNumbers);
                    let names: Vec<_> = path.names().collect();
                    let is_of_element = query.each.as_ref().is_some_and(|each| path.is_within(each));
                    at(if is_of_element { part } else { &value }, &names).and_then(text)
                }
            };
            let time = match &query.time {
                TimeSource::Record => Some(record.time),
                TimeSource::Value(path) => {
                    found.retain(|(field, _)| *field != path.to_string());
                    value.get("ts").and_then(Value::as_i64)
                }
            };
            let Some(time) = time else { continue };
            let step = time.div_euclid(query.step);
            for (field, number) in found.into_iter().filter(|_| steps.contains(&step)) {
                all.entry((field, name.clone(), step)).or_default().push((time, *offset, element, number));
            }
        }
    }
    all
}
