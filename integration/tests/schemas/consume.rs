//! `curlew consume` of records with schemas, in each of its outputs.

use curlew_integration::apicurio::Apicurio;
use curlew_integration::bridge::{Bridge, run, run_with_input};
use serde_json::{Value, json};
use std::process::Output;

const AVRO: &str = "application/vnd.kafka.avro.v2+json";
const BINARY: &str = "application/vnd.kafka.binary.v2+json";

/// A bridge with records in topic `t`: two with schemas, one whose value has an unknown schema, and one whose key has.
fn serve(data: &std::path::Path) -> Bridge {
    let url = Apicurio::shared().url();
    let bridge = Bridge::embedded(data, &["--schema-registry", &url]);
    let value = json!({"type": "record", "name": "Order", "fields": [
        {"name": "note", "type": ["null", "string"]},
        {"name": "n", "type": "long"},
    ]});
    let records = json!({"key_schema": "\"string\"", "value_schema": value.to_string(), "records": [
        {"key": "a,b", "value": {"note": {"string": "two\nlines, \"quoted\""}, "n": 9_007_199_254_740_993_u64}},
        {"key": "=1", "value": {"note": null, "n": 2}},
    ]});
    bridge.post("/topics/t", AVRO, records.to_string()).expect(200);
    let undecodable =
        json!({"records": [{"key": "aw==", "value": "AA98fAAG"}, {"key": "AA98fAAG", "value": "eyJuIjo0fQ=="}]});
    bridge.post("/topics/t", BINARY, undecodable.to_string()).expect(200);
    bridge
}

fn consume(bridge: &Bridge, arguments: &[&str]) -> Output {
    let url = format!("http://127.0.0.1:{}", bridge.port);
    run(&[&["consume", "t", "--url", &url, "--from", "earliest", "--until-end"], arguments].concat())
}

#[test]
fn a_table_has_the_cells_of_http_with_the_reasons_of_undecoded_ones() {
    let data = tempfile::tempdir().expect("directory");
    let bridge = serve(data.path());
    let unknown = "schema_error: the schema registry has no schema with id 259816448";
    let expected = [
        "offset,key,value.n,value.note".to_owned(),
        "0,\"a,b\",9007199254740993,\"two\nlines, \"\"quoted\"\"\"".to_owned(),
        "1,'=1,2,".to_owned(),
        format!("2,k,{unknown},{unknown}"),
        format!("3,{unknown},4,"),
    ];
    let expected = expected.map(|line| line + "\r\n").concat();
    let select = "offset,key,value.n,value.note";
    let output = consume(&bridge, &["--output", "csv", "--select", select]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{output:?}");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let http = bridge.get(&format!("/topics/t/events?from=earliest&until=end&format=csv&select={select}"));
    assert_eq!(http.text(), expected);

    // A filter that cannot be applied is reported, because a table has no place for it.
    let filter = ["--output", "csv", "--select", "value.n", "--where", "value.n > 1 && value.n < 4"];
    let filtered = consume(&bridge, &filter);
    assert_eq!(String::from_utf8_lossy(&filtered.stdout), "value.n\r\n2\r\n", "{filtered:?}");
    assert!(String::from_utf8_lossy(&filtered.stderr).contains("\"offset\":2,"), "{filtered:?}");
    let strict = consume(&bridge, &[&filter[..], &["--on-gap", "fail"]].concat());
    assert_ne!(strict.status.code(), Some(0), "{strict:?}");
}

#[test]
fn json_and_values_are_decoded_and_exact_output_is_not() {
    let data = tempfile::tempdir().expect("directory");
    let bridge = serve(data.path());
    let lines = |arguments: &[&str]| -> Vec<Value> {
        let output = consume(&bridge, arguments);
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    let first = json!({"note": "two\nlines, \"quoted\"", "n": 9_007_199_254_740_993_u64});
    let second = json!({"note": null, "n": 2});
    assert_eq!(lines(&["--output", "value"]), [first.clone(), second.clone(), json!({"n": 4})]);
    let records = lines(&["--output", "json"]);
    let of = |name: &str| records.iter().map(|record| record[name].clone()).collect::<Vec<_>>();
    assert_eq!(of("value"), [first, second, json!("AA98fAAG"), json!({"n": 4})]);
    assert_eq!(of("key"), [json!("a,b"), json!("=1"), json!("k"), json!("AA98fAAG")]);
    let failed = |name: &str| of(name).iter().map(Value::is_string).collect::<Vec<_>>();
    assert_eq!(failed("schema_error"), [false, false, true, false]);
    assert_eq!(failed("key_schema_error"), [false, false, false, true]);
    let selected = lines(&["--select", "key,value.n"]);
    let numbers: Vec<_> = selected.iter().map(|record| record["value"]["n"].clone()).collect();
    assert_eq!(numbers, [json!(9_007_199_254_740_993_u64), json!(2), json!(null), json!(4)], "{selected:?}");

    let exact = consume(&bridge, &["--output", "exact"]);
    let copied = run_with_input(
        &["produce", "copy", "--format", "record", "--url", &format!("http://127.0.0.1:{}", bridge.port)],
        &exact.stdout,
    );
    assert!(copied.status.success(), "{copied:?}");
    let copy = bridge.get("/topics/copy/partitions/0/records").expect(200).json();
    let values: Vec<_> = copy["records"].as_array().into_iter().flatten().map(|r| r["value"].clone()).collect();
    assert_eq!(values, of("value"), "a copy has the schemas of its source");
}
