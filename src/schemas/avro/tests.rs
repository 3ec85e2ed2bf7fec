use super::AvroSchema;
use crate::schemas::source::{SchemaKind, SchemaReference, SchemaSource};

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
    schema.encode(json.as_bytes(), &mut out, usize::MAX).map_err(|error| error.to_string())?;
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
        (r#""bytes""#, b"raw", r#""raw""#),
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
        (
            r#"{"type":"bytes","logicalType":"decimal","precision":39}"#,
            b"\x20\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            r#""-170141183460469231731687303715884105728""#,
        ),
        (
            r#"{"type":"bytes","logicalType":"decimal","precision":40,"scale":38}"#,
            b"\x12\x01\0\0\0\0\0\0\0\0",
            r#""0.00000000000000000018446744073709551616""#,
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
        (
            r#"{"type":"long","logicalType":"timestamp-nanos"}"#,
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            r#""1677-09-21T00:12:43.145224192Z""#,
        ),
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

#[test]
fn decimals_of_all_lengths_keep_their_digits() {
    let schema = schema(r#"{"type":"bytes","logicalType":"decimal","precision":1000,"scale":1}"#);
    for length in (1..60).chain([999]) {
        for digits in ["9", "10", "7000000000000000000000003"] {
            let digits: String = digits.chars().cycle().take(length).collect();
            for json in [format!("\"{digits}.5\""), format!("\"-{digits}.0\"")] {
                let again = encoded(&schema, &json).and_then(|bytes| decoded(&schema, &bytes));
                assert_eq!(again.as_deref(), Ok(&*json));
            }
        }
    }
}

#[test]
fn a_union_is_plain_where_the_kind_of_json_tells_its_branch() {
    let records = r#"{"type":"record","name":"A","fields":[{"name":"a","type":"int"}]},
        {"type":"record","name":"n.B","fields":[{"name":"b","type":"int","default":1}]}"#;
    let table = [
        (r#"["null","int","string"]"#.to_owned(), "3", "3"),
        (r#"["null","int","string"]"#.to_owned(), r#"{"int":3}"#, "3"),
        (r#"["null","int","string"]"#.to_owned(), "null", "null"),
        (r#"["long","double"]"#.to_owned(), "3", "3"),
        (r#"["long","double"]"#.to_owned(), "3.0", "3.0"),
        (r#"["null","double"]"#.to_owned(), "3", "3.0"),
        (r#"["null","double"]"#.to_owned(), "\"NaN\"", "\"NaN\""),
        (r#"["string","double"]"#.to_owned(), "\"NaN\"", "\"NaN\""),
        (r#"["string","double"]"#.to_owned(), r#"{"double":"NaN"}"#, r#"{"double":"NaN"}"#),
        (r#"["null","long"]"#.to_owned(), "1e3", "1000"),
        (r#"["int","long"]"#.to_owned(), "3", "3"),
        (r#"["int","long"]"#.to_owned(), r#"{"int":3}"#, r#"{"int":3}"#),
        (r#"["string","bytes"]"#.to_owned(), r#"{"bytes":"a"}"#, r#"{"bytes":"a"}"#),
        (r#"["string","bytes"]"#.to_owned(), "\"a\"", "\"a\""),
        (r#"["string",{"type":"map","values":"string"}]"#.to_owned(), r#"{"string":"a"}"#, "\"a\""),
        (
            r#"["string",{"type":"map","values":"string"}]"#.to_owned(),
            r#"{"map":{"string":"a"}}"#,
            r#"{"map":{"string":"a"}}"#,
        ),
        (r#"["string",{"type":"map","values":"string"}]"#.to_owned(), r#"{"x":"a"}"#, r#"{"x":"a"}"#),
        (format!("[{records}]"), r#"{"a":1}"#, r#"{"A":{"a":1}}"#),
        (format!("[{records}]"), r#"{"n.B":{"b":2}}"#, r#"{"n.B":{"b":2}}"#),
        (format!("[{records}]"), "{}", r#"{"n.B":{"b":1}}"#),
    ];
    for (text, given, json) in table {
        let schema = schema(&text);
        let outcome = encoded(&schema, given).and_then(|bytes| decoded(&schema, &bytes));
        assert_eq!(outcome.as_deref(), Ok(json), "{text} {given}");
    }
}

#[test]
fn a_value_that_does_not_fit_is_an_error_with_its_path() {
    let site =
        r#"{"type":"record","name":"S","fields":[{"name":"name","type":"string"},{"name":"n","type":["null","int"]}]}"#;
    let table = [
        (with_field("\"int\""), "{}", ".a: the field is missing and has no default"),
        (with_field("\"int\""), "[]", ": expected an object, found []"),
        (with_field("\"int\""), r#"{"a":1,"b":2}"#, ".b: the record has no field of this name"),
        (with_field("\"int\""), r#"{"a":1,"a":2}"#, ".a: the field is given twice"),
        (with_field("\"int\""), r#"{"a":2147483648}"#, ".a: expected an integer of 32 bits, found 2147483648"),
        (with_field("\"int\""), r#"{"a":1.5}"#, ".a: expected an integer of 32 bits, found 1.5"),
        (
            with_field("\"long\""),
            r#"{"a":9223372036854775808}"#,
            ".a: expected an integer of 64 bits, found 9223372036854775808",
        ),
        (with_field("\"float\""), r#"{"a":1e39}"#, ".a: expected a number in the range of float, found 1e39"),
        (
            with_field("\"bytes\""),
            "{\"a\":\"\u{100}\"}",
            ".a: expected a string of bytes (characters up to U+00FF), found \"\u{100}\"",
        ),
        (with_field(r#"{"type":"array","items":"string"}"#), r#"{"a":["x",1]}"#, ".a[1]: expected a string, found 1"),
        (
            with_field(r#"{"type":"map","values":"int"}"#),
            r#"{"a":{"b c":"x"}}"#,
            r#".a["b c"]: expected an integer of 32 bits, found "x""#,
        ),
        (with_field(site), r#"{"a":{"name":"x","n":"y"}}"#, r#".a.n: expected one of null, int, found "y""#),
        (
            with_field(r#"{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}"#),
            r#"{"a":"1.234"}"#,
            ".a: 1.234 has more than 2 digits behind the point",
        ),
        (
            with_field(r#"{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}"#),
            r#"{"a":123.4}"#,
            ".a: 123.4 has more than 4 digits with 2 of them behind the point",
        ),
        (
            with_field(r#"{"type":"long","logicalType":"timestamp-millis"}"#),
            r#"{"a":"2026-01-31T08:00:00.1234Z"}"#,
            ".a: expected a time such as \"2026-01-31T08:00:00.123Z\", found \"2026-01-31T08:00:00.1234Z\"",
        ),
        (with_field("\"int\""), "{", ": invalid JSON: EOF while parsing an object at line 1 column 1"),
    ];
    for (text, json, error) in table {
        let mut out = b"before".to_vec();
        let outcome = crate::schemas::schema::Schema::Avro(schema(&text)).encode(json.as_bytes(), &mut out, usize::MAX);
        assert_eq!(outcome.map_err(|error| error.to_string()), Err(error.to_owned()), "{text} {json}");
        assert_eq!(out, b"before");
    }
}

#[test]
fn missing_fields_have_their_defaults() {
    let text = r#"{"type":"record","name":"R","fields":[
        {"name":"n","type":["null","int"],"default":null}, {"name":"s","type":"string","default":"x"},
        {"name":"d","type":{"type":"int","logicalType":"date"},"default":1},
        {"name":"b","type":"bytes","default":"\u00ff"},
        {"name":"r","type":{"type":"record","name":"I","fields":[{"name":"i","type":"long","default":7}]},"default":{}},
        {"name":"l","type":{"type":"array","items":"I"},"default":[{"i":1},{}]},
        {"name":"wrong","type":"int","default":"null"}]}"#;
    let schema = schema(text);
    let error = encoded(&schema, "{}").unwrap_err();
    assert_eq!(error, ".wrong: the field is missing, and its default does not fit its type");
    let bytes = encoded(&schema, r#"{"wrong":0}"#).unwrap();
    let json = "{\"n\":null,\"s\":\"x\",\"d\":\"1970-01-02\",\"b\":\"\u{ff}\",\"r\":{\"i\":7},\"l\":[{\"i\":1},{\"i\":7}],\"wrong\":0}";
    assert_eq!(decoded(&schema, &bytes).as_deref(), Ok(json));
}

#[test]
fn a_schema_can_name_types_of_its_references() {
    let customer = r#"{"type":"record","name":"Customer","namespace":"org","fields":[{"name":"id","type":"Id"}]}"#;
    let id = r#"{"type":"fixed","name":"org.Id","size":1}"#;
    let order = r#"{"type":"record","name":"org.Order","fields":[{"name":"by","type":"Customer"}]}"#;
    let schema = AvroSchema::parse(&source(order, &[id, customer])).unwrap();
    assert_eq!(decoded(&schema, b"x").as_deref(), Ok(r#"{"by":{"id":"x"}}"#));
    let error = |text: &str, references: &[&str]| AvroSchema::parse(&source(text, references)).unwrap_err().0;
    assert_eq!(error(order, &[]), "the type org.Customer is not defined");
    assert_eq!(error(id, &[id]), "the type org.Id is defined twice");
}

#[test]
fn bytes_that_do_not_fit_their_schema_are_errors() {
    let list = r#"{"type":"record","name":"L","fields":[{"name":"next","type":["null","L"]}]}"#;
    let table: &[(&str, Vec<u8>, &str)] = &[
        ("int", vec![0x80], "the value ends too early at byte 1 of 1"),
        ("int", vec![0, 0], "the value ends before its bytes do, at byte 1 of 2"),
        ("int", vec![0xff, 0xff, 0xff, 0xff, 0x1f], "an int has more than 32 bits at byte 5 of 5"),
        ("long", vec![0xff; 11], "an integer has more than 64 bits at byte 10 of 11"),
        ("boolean", vec![2], "a boolean is neither 0 nor 1 at byte 1 of 1"),
        ("string", vec![1], "a length is negative at byte 1 of 1"),
        ("string", vec![2, 0xff], "a string is not UTF-8 at byte 2 of 2"),
        (r#"["null"]"#, vec![2], "a union has no branch with this number, at byte 1 of 1"),
        (
            r#"{"type":"enum","name":"e","symbols":["A"]}"#,
            vec![2],
            "an enum has no symbol with this number, at byte 1 of 1",
        ),
        (
            r#"{"type":"array","items":"null"}"#,
            vec![0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
            "its JSON is too large",
        ),
        (
            r#"{"type":"array","items":{"type":"record","name":"E","fields":[]}}"#,
            vec![0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0],
            "its JSON is too large",
        ),
        (list, vec![2; 100_000], "the value is nested more than 100 levels deep at byte 50 of 100000"),
    ];
    for (text, bytes, error) in table {
        assert_eq!(decoded(&schema(text), bytes).unwrap_err(), *error, "{text}");
    }
}

#[test]
fn json_has_at_most_the_bytes_that_are_allowed() {
    let name = "n".repeat(5_000);
    let sized = |byte: u8, length: usize| {
        let mut encoded = Vec::new();
        super::writer::push_sized(&vec![byte; length], &mut encoded);
        encoded
    };
    let decimal = r#"{"type":"bytes","logicalType":"decimal","precision":1000}"#;
    let least = b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
    let table: &[(&str, Vec<u8>)] = &[
        // Control characters and bytes become longer.
        (r#""string""#, sized(1, 900)),
        (r#""bytes""#, sized(0xff, 900)),
        (r#"{"type":"map","values":"int"}"#, [&[2][..], &sized(1, 900), &[0, 0]].concat()),
        (r#"{"type":"fixed","name":"f","size":900}"#, vec![0xff; 900]),
        (decimal, sized(0x7f, 420)),
        // Names are from the schema.
        (&with_field("\"int\"").replace("\"a\"", &format!("\"{name}\"")), vec![0]),
        (&format!(r#"{{"type":"enum","name":"e","symbols":["{name}"]}}"#), vec![0]),
        (&format!(r#"["string",{{"type":"enum","name":"{name}","symbols":["A"]}}]"#), vec![2, 0]),
        // Numbers are long, brackets and commas many.
        (r#"{"type":"array","items":"long"}"#, [&[0xc8, 1][..], &least.repeat(100), &[0]].concat()),
        (r#"{"type":"array","items":{"type":"array","items":"int"}}"#, [&[0xd0, 0xf][..], &[0; 1_001]].concat()),
    ];
    for (text, encoded) in table {
        let schema = schema(text);
        let mut out = Vec::with_capacity(1_000);
        let (room, most) = (out.capacity(), out.capacity());
        assert!(schema.decode(encoded, &mut out, most).is_err(), "{text}");
        assert_eq!(out.capacity(), room, "{text}");
    }
}

#[test]
fn schemas_from_outside_are_bounded() {
    let error = |text: &str| AvroSchema::parse(&source(text, &[])).unwrap_err().0;
    let nested = |depth: usize| format!("{}\"int\"{}", r#"{"type":"array","items":"#.repeat(depth), "}".repeat(depth));
    assert!(AvroSchema::parse(&source(&nested(100), &[])).is_ok());
    assert!(error(&nested(100_000)).starts_with("the schema has"));
    assert!(error(&nested(10_000)).contains("recursion limit"));
    assert!(error(&format!("[{}1]", "\"x\",".repeat(60_000))).contains("more than 1000 branches"));
    let symbols: Vec<String> = (0..60_000).map(|n| format!("\"s{n}\"")).collect();
    let symbols = format!(r#"{{"type":"enum","name":"E","symbols":[{}]}}"#, symbols.join(","));
    assert_eq!(error(&symbols), "the schema has more than 50000 types, fields and symbols");
    let fields: Vec<String> = (0..20_000).map(|n| format!(r#"{{"name":"f{n}","type":["null","R"]}}"#)).collect();
    let (namespace, fields) = ("n".repeat(200_000), fields.join(","));
    let long = format!(r#"{{"type":"record","name":"R","namespace":"{namespace}","fields":[{fields}]}}"#);
    assert_eq!(error(&long), "the full names of the types have more than 8388608 bytes together");
    // A record that contains itself has no values, and a default that doubles at each level no end.
    let endless = schema(r#"{"type":"record","name":"R","fields":[{"name":"r","type":"R"}]}"#);
    assert!(decoded(&endless, b"").is_err());
    let mut doubling =
        r#"{"type":"record","name":"R0","fields":[{"name":"s","type":"string","default":"0123456789"}]}"#.to_owned();
    for level in 1..30 {
        let (inner, before) = (format!("\"R{}\"", level - 1), doubling);
        doubling = format!(
            r#"{{"type":"record","name":"R{level}","fields":[{{"name":"a","type":{before},"default":{{}}}},{{"name":"b","type":{inner},"default":{{}}}}]}}"#
        );
    }
    assert!(encoded(&schema(&doubling), "{}").is_err());
    // A long default that is copied for each of many defaults, none of which fits.
    let copied = format!(
        r#"{{"type":"record","name":"C","fields":[{{"name":"s","type":"string","default":"{}"}},{{"name":"n","type":"int"}}]}}"#,
        "x".repeat(400_000)
    );
    let copies: Vec<String> = (0..10_000).map(|n| format!(r#"{{"name":"f{n}","type":"C","default":{{}}}}"#)).collect();
    let copies = format!(
        r#"{{"type":"record","name":"R","fields":[{{"name":"q","type":["null",{copied},{{"type":"record","name":"Q","fields":[{}]}}]}},{{"name":"last","type":"int","default":1}}]}}"#,
        copies.join(",")
    );
    let error = encoded(&schema(&copies), r#"{"q":null}"#).unwrap_err();
    assert_eq!(error, ".last: the field is missing, and its default does not fit its type");
    let wide: Vec<String> = (0..20_000).map(|n| format!(r#"{{"name":"f{n}","type":"null","default":null}}"#)).collect();
    let wide = format!(r#"{{"type":"array","items":{{"type":"record","name":"R","fields":[{}]}}}}"#, wide.join(","));
    let error = encoded(&schema(&wide), &format!("[{}{{}}]", "{},".repeat(300_000))).unwrap_err();
    assert!(error.ends_with("the encoded value is too large for its JSON"), "{error}");
}

#[test]
fn unions_that_avro_forbids_are_errors() {
    let error = |text: &str| AvroSchema::parse(&source(text, &[])).unwrap_err().0;
    assert_eq!(error(r#"["int","int"]"#), "a union has two branches named int");
    assert_eq!(error(r#"[["int"]]"#), "a union is directly inside a union");
    assert_eq!(error(r#"{"type":"enum","name":"e","symbols":["A","A"]}"#), "an enum has two symbols named A");
    assert_eq!(
        error(r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"a","type":"int"}]}"#),
        "R has two fields named a"
    );
    assert_eq!(error(r#"{"type":"record","fields":[]}"#), "a record, enum or fixed has no name");
    assert_eq!(error("7"), "a type is a string, an array or an object, not 7");
}
