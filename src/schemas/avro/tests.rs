use super::AvroSchema;
use crate::schemas::schema::{SchemaKind, SchemaReference, SchemaSource};

fn source(text: &str, references: &[&str]) -> SchemaSource {
    let references = references.iter().map(|text| SchemaReference { name: "r".to_owned(), text: (*text).to_owned() });
    SchemaSource { kind: SchemaKind::Avro, text: text.to_owned(), references: references.collect() }
}

#[track_caller]
fn schema(text: &str) -> AvroSchema {
    AvroSchema::parse(&source(text, &[])).unwrap()
}

fn decoded(schema: &AvroSchema, encoded: &[u8]) -> Result<String, String> {
    let mut out = Vec::new();
    schema.decode(encoded, &mut out, 1 << 20).map_err(|error| error.to_string())?;
    Ok(String::from_utf8(out).unwrap())
}

fn encoded(schema: &AvroSchema, json: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    schema.encode(json.as_bytes(), &mut out).map_err(|error| error.to_string())?;
    Ok(out)
}

/// A record of one field.
fn with_field(of: &str) -> String {
    format!(r#"{{"type":"record","name":"R","fields":[{{"name":"a","type":{of}}}]}}"#)
}

#[test]
fn each_type_has_a_json_form() {
    let table: &[(&str, &[u8], &str)] = &[
        (r#""null""#, b"", "null"),
        ("null", b"", "null"),
        (r#""boolean""#, b"\x01", "true"),
        (r#""int""#, b"\xff\xff\xff\xff\x0f", "-2147483648"),
        (r#""long""#, b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", "9223372036854775807"),
        (r#""long""#, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "-9223372036854775808"),
        (r#""float""#, b"\xcd\xcc\xcc\x3d", "0.1"),
        (r#""double""#, b"\x00\x00\x00\x00\x00\x00\xf8\x3f", "1.5"),
        (r#""double""#, b"\x00\x00\x00\x00\x00\x00\xf8\x7f", r#""NaN""#),
        (r#""double""#, b"\x00\x00\x00\x00\x00\x00\xf0\xff", r#""-Infinity""#),
        (r#""bytes""#, b"\x06a\x00\xff", "\"a\\u0000\u{ff}\""),
        (r#""string""#, "\u{a}\"\\\n\u{e9}".as_bytes(), "\"\\\"\\\\\\n\u{e9}\""),
        (r#"{"type":"fixed","name":"f","size":2}"#, b"ab", r#""ab""#),
        (r#"{"type":"enum","name":"e","symbols":["A","B"]}"#, b"\x02", r#""B""#),
        (r#"{"type":"array","items":"int"}"#, b"\x04\x02\x04\x02\x06\x00", "[1,2,3]"),
        (r#"{"type":"array","items":"int"}"#, b"\x03\x04\x02\x04\x00", "[1,2]"),
        (r#"{"type":"array","items":"null"}"#, b"\x04\x00", "[null,null]"),
        (r#"{"type":"map","values":"int"}"#, b"\x02\x02a\x02\x00", r#"{"a":1}"#),
        (&with_field(r#"["null","string"]"#), b"\x02\x02x", r#"{"a":"x"}"#),
        (&with_field(r#"["null","string"]"#), b"\x00", r#"{"a":null}"#),
        (r#"{"type":"bytes","logicalType":"decimal","precision":6,"scale":2}"#, b"\x04\x30\x39", r#""123.45""#),
        (r#"{"type":"bytes","logicalType":"decimal","precision":6,"scale":2}"#, b"\x02\xfb", r#""-0.05""#),
        (r#"{"type":"bytes","logicalType":"decimal","precision":6}"#, b"\x02\x00", r#""0""#),
        (
            r#"{"type":"fixed","name":"d","size":4,"logicalType":"decimal","precision":9,"scale":3}"#,
            b"\xff\xff\xff\xff",
            r#""-0.001""#,
        ),
        (r#"{"type":"int","logicalType":"date"}"#, b"\x02", r#""1970-01-02""#),
        (r#"{"type":"int","logicalType":"date"}"#, b"\x01", r#""1969-12-31""#),
        (r#"{"type":"int","logicalType":"date"}"#, b"\xfe\xff\xff\xff\x0f", "2147483647"),
        (r#"{"type":"int","logicalType":"time-millis"}"#, b"\x02", r#""00:00:00.001""#),
        (r#"{"type":"int","logicalType":"time-millis"}"#, b"\x01", "-1"),
        (r#"{"type":"long","logicalType":"time-micros"}"#, b"\x80\x88\xbd\xb9\x10", r#""00:36:47.752704""#),
        (r#"{"type":"long","logicalType":"timestamp-millis"}"#, b"\x01", r#""1969-12-31T23:59:59.999Z""#),
        (r#"{"type":"long","logicalType":"timestamp-micros"}"#, b"\x02", r#""1970-01-01T00:00:00.000001Z""#),
        (r#"{"type":"long","logicalType":"timestamp-nanos"}"#, b"\x02", r#""1970-01-01T00:00:00.000000001Z""#),
        (r#"{"type":"long","logicalType":"local-timestamp-millis"}"#, b"\x02", r#""1970-01-01T00:00:00.001""#),
        (r#"{"type":"string","logicalType":"uuid"}"#, b"\x04ab", r#""ab""#),
        (
            r#"{"type":"fixed","name":"u","size":16,"logicalType":"uuid"}"#,
            b"\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff",
            r#""00112233-4455-6677-8899-aabbccddeeff""#,
        ),
        (
            r#"{"type":"fixed","name":"u","size":12,"logicalType":"duration"}"#,
            b"\x01\x00\x00\x00\x02\x00\x00\x00\xbc\x0b\x00\x00",
            r#""P1M2DT3.004S""#,
        ),
        (r#"{"type":"string","logicalType":"date"}"#, b"\x02a", r#""a""#),
        (r#"{"type":{"type":"long"}}"#, b"\x02", "1"),
        (
            r#"{"type":"record","name":"n.L","fields":[{"name":"v","type":"int"},{"name":"next","type":["null","L"]}]}"#,
            b"\x02\x02\x04\x00",
            r#"{"v":1,"next":{"v":2,"next":null}}"#,
        ),
    ];
    for (text, bytes, json) in table {
        let schema = schema(text);
        assert_eq!(decoded(&schema, bytes).as_deref(), Ok(*json), "{text}");
        let again = encoded(&schema, json).and_then(|bytes| decoded(&schema, &bytes));
        assert_eq!(again.as_deref(), Ok(*json), "{text}");
    }
}
