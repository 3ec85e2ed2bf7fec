//! The schema registry as Curlew uses it.

use curlew_integration::apicurio::Apicurio;
use curlew_integration::bridge::{Bridge, run};
use curlew_integration::eventually;
use serde_json::{Value, json};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);

fn reading() -> Value {
    json!({"type": "record", "name": "Reading", "fields": [{"name": "t", "type": "double"}]})
}

/// The newest record of topic `t`.
fn newest(bridge: &Bridge) -> Value {
    let page = bridge.get("/topics/t/partitions/0/records").expect(200).json();
    page["records"].as_array().and_then(|records| records.last()).unwrap_or_else(|| panic!("no record: {page}")).clone()
}

fn write(bridge: &Bridge) -> curlew_integration::http::Response {
    bridge.post("/topics/t?value_schema=latest", "application/json", r#"{"t":20.5}"#)
}

/// Reading continues and writing is rejected while the registry is down, and both recover without a restart of the bridge.
#[test]
fn a_registry_that_is_killed_and_restarted_stops_no_reader() {
    let mut registry = Apicurio::start();
    let id = registry.register_avro("t-value", &reading());
    let data = tempfile::tempdir().expect("directory");
    let url = registry.url();
    let options = ["--schema-registry", url.as_str()];
    let mut bridge = Bridge::embedded(data.path(), &options);
    write(&bridge).expect(200);
    assert_eq!(newest(&bridge)["value"], json!({"t": 20.5}));

    registry.kill();
    // A bridge without schemas in its cache.
    bridge.kill_and_restart();
    let undecoded = eventually("the stored bytes are shown", SOON, || match newest(&bridge) {
        record if record["schema_error"].is_string() => Ok(record),
        record => Err(record.to_string()),
    });
    assert!(undecoded["schema_error"].as_str().is_some_and(|why| why.contains("cannot be reached")), "{undecoded}");
    write(&bridge).expect(503);
    bridge.get("/ready").expect(200);
    assert!(bridge.get("/metrics").text().contains("curlew_schema_registry_requests_total{outcome=\"unreachable\"}"));

    registry.restart();
    eventually("the value is decoded again", SOON, || match newest(&bridge) {
        record if record["value"] == json!({"t": 20.5}) && record["schema_id"] == id => Ok(()),
        record => Err(record.to_string()),
    });
    eventually("a record with a schema is accepted again", SOON, || match write(&bridge) {
        response if response.status == 200 => Ok(()),
        response => Err(response.text()),
    });
}

#[test]
fn the_doctor_reports_the_registry_and_what_to_do_without_it() {
    let registry = Apicurio::shared();
    let data = tempfile::tempdir().expect("directory");
    let data = data.path().to_str().expect("UTF-8");
    let root = format!("http://127.0.0.1:{}", registry.port);
    let closed = format!("http://127.0.0.1:{}", curlew_integration::free_port());
    for (url, code, words) in [
        (registry.url(), 0, "is Apicurio 3."),
        (format!("{root}/apis/registry/v3"), 0, "accepts the credentials; schemas: AVRO, JSON, PROTOBUF"),
        (root, 1, "for Apicurio with /apis/ccompat/v7"),
        (closed, 1, "check the URL, that the registry is running"),
    ] {
        let output = run(&["doctor", "--data", data, "--schema-registry", &url]);
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().find(|line| line.contains("schema-registry")).unwrap_or_else(|| panic!("{output:?}"));
        assert!(line.contains(words), "{line}");
        assert_eq!(output.status.code(), Some(code), "{text}");
    }
}
