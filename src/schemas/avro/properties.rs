//! Properties of generated schemas and values. A list of numbers makes all choices.

use super::AvroSchema;
use crate::schemas::source::{SchemaKind, SchemaSource};
use proptest::prelude::*;
use serde_json::{Value, json};

struct Choices {
    numbers: Vec<u32>,
    next: usize,
    /// The number of named types so far.
    names: u32,
}

/// Schemas of scalars, with JSON values.
const SCALARS: [(&str, &[&str]); 21] = [
    (r#"{"type":"null"}"#, &["null"]),
    (r#"{"type":"boolean"}"#, &["true", "false"]),
    (r#"{"type":"int"}"#, &["0", "-2147483648", "2147483647"]),
    (r#"{"type":"long"}"#, &["-1", "9223372036854775807", "-9223372036854775808"]),
    (r#"{"type":"float"}"#, &["0.1", "-0.0", "\"NaN\"", "1e38", "16777216"]),
    (r#"{"type":"double"}"#, &["0.1", "1e300", "\"Infinity\"", "\"-Infinity\"", "3"]),
    (r#"{"type":"bytes"}"#, &[r#""""#, r#""\u0000\u00ff\"""#, "\"NaN\""]),
    (r#"{"type":"string"}"#, &[r#""""#, r#""\ud83d\udc26\\ \u0001\n""#, "\"NaN\"", "\"A\"", "\"1970-01-01\""]),
    (r#"{"type":"enum","name":"?","symbols":["A","NaN"]}"#, &["\"A\"", "\"NaN\""]),
    (r#"{"type":"fixed","name":"?","size":2}"#, &["\"ab\"", r#""\u00ff\u0000""#]),
    (r#"{"type":"fixed","name":"?","size":0}"#, &["\"\""]),
    (
        r#"{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}"#,
        &["\"1.28\"", "-0.05", "\"0\"", "1234567", "1e-2"],
    ),
    (
        r#"{"type":"fixed","name":"?","size":3,"logicalType":"decimal","precision":6}"#,
        &["\"-128\"", "65536", "\"1e5\""],
    ),
    (r#"{"type":"int","logicalType":"date"}"#, &["\"2026-01-31\"", "-2147483648", "\"0000-01-01\""]),
    (r#"{"type":"int","logicalType":"time-millis"}"#, &["\"08:00:00.123\"", "-1", "\"23:59:59\""]),
    (r#"{"type":"long","logicalType":"time-micros"}"#, &["\"08:00\"", "86400000000"]),
    (
        r#"{"type":"long","logicalType":"timestamp-millis"}"#,
        &["\"2026-01-31T10:00:00+02:00\"", "-1", "9223372036854775807"],
    ),
    (r#"{"type":"long","logicalType":"timestamp-nanos"}"#, &["\"2026-01-31T08:00:00.123456789Z\"", "1"]),
    (
        r#"{"type":"long","logicalType":"local-timestamp-micros"}"#,
        &["\"9999-12-31T23:59:59.999999\"", "-9223372036854775808"],
    ),
    (r#"{"type":"fixed","name":"?","size":16,"logicalType":"uuid"}"#, &["\"00112233-4455-6677-8899-AABBCCDDEEFF\""]),
    (
        r#"{"type":"fixed","name":"?","size":12,"logicalType":"duration"}"#,
        &["\"P4294967295M1DT4294967.295S\"", "\"P0M\""],
    ),
];

/// Names of members and keys, some of them also names of branches.
const NAMES: [&str; 7] = ["a", "string", "map", "T1", "\u{e9} \"", "null", ""];

impl Choices {
    fn below(&mut self, count: usize) -> usize {
        let number = self.numbers.get(self.next).copied().unwrap_or_default();
        self.next += 1;
        number as usize % count
    }

    fn name(&mut self) -> String {
        self.names += 1;
        format!("T{}", self.names)
    }

    fn schema(&mut self, depth: u32) -> Value {
        match self.below(if depth == 0 { 4 } else { 8 }) {
            4 => json!({"type": "array", "items": self.schema(depth - 1)}),
            5 => json!({"type": "map", "values": self.schema(depth - 1)}),
            6 => {
                let name = self.name();
                let count = self.below(NAMES.len());
                let start = self.below(NAMES.len());
                let names = NAMES.iter().cycle().skip(start).take(count);
                let fields: Vec<Value> =
                    names.map(|field| json!({"name": field, "type": self.schema(depth - 1)})).collect();
                json!({"type": "record", "name": name, "fields": fields})
            }
            7 => {
                let mut branches: Vec<Value> = Vec::new();
                for _ in 0..=self.below(5) {
                    let branch = self.schema(depth - 1);
                    if branch.is_object() && branches.iter().all(|other| branch_name(other) != branch_name(&branch)) {
                        branches.push(branch);
                    }
                }
                if branches.is_empty() {
                    branches.push(json!({"type": "null"}));
                }
                Value::Array(branches)
            }
            _ => {
                let (text, _) = SCALARS[self.below(SCALARS.len())];
                let mut schema: Value = serde_json::from_str(text).unwrap();
                if schema.get("name").is_some() {
                    schema["name"] = self.name().into();
                }
                schema
            }
        }
    }

    /// Returns the JSON of a value, with the names of all branches.
    fn value(&mut self, schema: &Value) -> String {
        if let Value::Array(branches) = schema {
            let branch = &branches[self.below(branches.len())];
            return format!("{{{:?}:{}}}", branch_name(branch), self.value(branch));
        }
        match schema["type"].as_str().unwrap() {
            "array" => {
                let items: Vec<String> = (0..self.below(4)).map(|_| self.value(&schema["items"])).collect();
                format!("[{}]", items.join(","))
            }
            "map" => {
                let count = self.below(3);
                let start = self.below(NAMES.len());
                let names = NAMES.iter().cycle().skip(start).take(count);
                let members: Vec<String> =
                    names.map(|name| format!("{}: {}", json!(name), self.value(&schema["values"]))).collect();
                format!("{{{}}}", members.join(" ,"))
            }
            "record" => {
                let fields = schema["fields"].as_array().unwrap().iter();
                let mut members: Vec<String> =
                    fields.map(|field| format!("{}:{}", field["name"], self.value(&field["type"]))).collect();
                if self.below(2) == 0 {
                    members.reverse();
                }
                format!("{{{}}}", members.join(","))
            }
            _ => {
                let same = |text: &str| {
                    let mut known: Value = serde_json::from_str(text).unwrap();
                    if known.get("name").is_some() {
                        known["name"] = schema["name"].clone();
                    }
                    known == *schema
                };
                let (_, values) = SCALARS.iter().find(|(text, _)| same(text)).unwrap();
                values[self.below(values.len())].to_owned()
            }
        }
    }
}

fn branch_name(schema: &Value) -> &str {
    schema.get("name").unwrap_or(&schema["type"]).as_str().unwrap()
}

fn parsed(text: &str) -> Result<AvroSchema, String> {
    let source = SchemaSource { kind: SchemaKind::Avro, text: text.to_owned(), references: Vec::new() };
    AvroSchema::parse(&source).map_err(|error| error.to_string())
}

fn decoded(schema: &AvroSchema, encoded: &[u8], most: usize) -> Result<String, String> {
    let mut out = Vec::new();
    schema.decode(encoded, &mut out, most).map_err(|error| error.to_string())?;
    assert!(out.len() <= most);
    Ok(String::from_utf8(out).unwrap())
}

fn encoded(schema: &AvroSchema, json: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    schema.encode(json.as_bytes(), &mut out, usize::MAX).map_err(|error| error.to_string())?;
    Ok(out)
}

fn generated(numbers: Vec<u32>) -> (Value, String) {
    let mut choices = Choices { numbers, next: 0, names: 0 };
    let schema = choices.schema(4);
    let value = choices.value(&schema);
    (schema, value)
}

proptest! {
    #[test]
    fn decoded_avro_is_encoded_as_the_same_bytes(numbers in proptest::collection::vec(any::<u32>(), 0..60)) {
        let (schema, value) = generated(numbers);
        let parsed = parsed(&schema.to_string()).unwrap();
        let bytes = encoded(&parsed, &value);
        prop_assert!(bytes.is_ok(), "{schema} {value}: {bytes:?}");
        let bytes = bytes.unwrap();
        let json = decoded(&parsed, &bytes, 1 << 20);
        prop_assert!(json.is_ok(), "{schema} {value}: {json:?}");
        let json = json.unwrap();
        prop_assert_eq!(encoded(&parsed, &json), Ok(bytes), "{} {} {}", schema, value, json);
    }

    #[test]
    fn damaged_avro_is_an_error_or_a_value(
        numbers in proptest::collection::vec(any::<u32>(), 0..60),
        place in any::<prop::sample::Index>(),
        damage in proptest::collection::vec(any::<u8>(), 0..12),
        most in 0..400_usize,
    ) {
        let (schema, value) = generated(numbers);
        let parsed = parsed(&schema.to_string()).unwrap();
        let mut bytes = encoded(&parsed, &value).unwrap();
        let start = place.index(bytes.len() + 1);
        let end = (start + 1).min(bytes.len());
        bytes.splice(start..end, damage);
        if let Ok(json) = decoded(&parsed, &bytes, most)
            // A decimal of the log may have more digits than its schema allows.
            && !schema.to_string().contains("decimal")
        {
            let again = encoded(&parsed, &json);
            prop_assert!(again.is_ok(), "{schema} {json}: {again:?}");
            prop_assert_eq!(decoded(&parsed, &again.unwrap(), most), Ok(json));
        }
    }

    #[test]
    fn damaged_avro_schemas_and_values_are_errors(
        numbers in proptest::collection::vec(any::<u32>(), 0..60),
        place in any::<prop::sample::Index>(),
        damage in "[\\[\\]{}\",:0-9a-z]{0,8}|\"(type|name|record|fields|default|T1|long)\"|[^a]{0,3}",
    ) {
        let (schema, value) = generated(numbers);
        let damaged = |text: &str| {
            let start = text.char_indices().map(|(at, _)| at).nth(place.index(text.chars().count())).unwrap_or_default();
            format!("{}{damage}{}", &text[..start], text[start..].chars().skip(1).collect::<String>())
        };
        let _ = encoded(&parsed(&schema.to_string()).unwrap(), &damaged(&value));
        if let Ok(parsed) = parsed(&damaged(&schema.to_string())) {
            let _ = encoded(&parsed, &value);
            let _ = decoded(&parsed, value.as_bytes(), 1000);
        }
    }
}
