//! From the embedded log to Kafka and back, byte for byte: `curlew export` and `curlew produce --format record`.

use crate::bridge;
use curlew_integration::bridge::{Bridge, run, run_with_input};
use curlew_integration::fresh_topic;
use curlew_integration::kafka::Kafka;
use serde_json::json;

const BINARY: &str = "application/vnd.kafka.binary.v2+json";

/// Binary records whose keys, values and headers look like JSON or base64, or are empty or null.
fn odd_records() -> String {
    json!({"records": [
        {"key": "aw==", "value": "bnVsbA==", "timestamp": 1_700_000_000_000_i64},
        {"key": null, "value": "ImEi", "timestamp": 1_700_000_000_001_i64, "headers": [{"key": "h", "value": "/w=="}, {"key": "h", "value": null}]},
        {"key": "/w==", "value": null, "timestamp": 1_700_000_000_002_i64},
        {"key": "", "value": "", "timestamp": 1_700_000_000_003_i64},
        {"value": "eyJhIjogMS4wfQ==", "timestamp": 1_700_000_000_004_i64},
        {"value": "DQoA/w==", "timestamp": 1_700_000_000_005_i64},
    ]})
    .to_string()
}

#[track_caller]
fn export(topic: &str, from: &[&str]) -> Vec<u8> {
    let output = run(&[&["export", topic], from].concat());
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    output.stdout
}

#[test]
fn a_topic_moves_from_the_embedded_log_to_kafka_and_back_unchanged() {
    let (kafka, topic) = (Kafka::shared(), fresh_topic("moved"));
    let data = tempfile::tempdir().expect("temporary directory");
    let own = Bridge::embedded(data.path(), &[]);
    own.post(&format!("/topics/{topic}"), BINARY, odd_records()).expect(200);
    let url = format!("http://127.0.0.1:{}", own.port);
    let file = export(&topic, &["--url", &url]);

    kafka.create(&topic, 1);
    let bootstrap = kafka.bootstrap();
    let to_kafka = run_with_input(&["produce", &topic, "--format", "record", "--kafka", &bootstrap], &file);
    assert!(to_kafka.status.success(), "{to_kafka:?}");
    let seen = kafka.consume(&topic);
    let moved: Vec<_> = seen.iter().map(|r| (r.key.clone(), r.value.clone(), r.timestamp)).collect();
    let owned = |text: &[u8]| Some(text.to_vec());
    let expected = [
        (owned(b"k"), owned(b"null")),
        (None, owned(b"\"a\"")),
        (owned(b"\xff"), None),
        (owned(b""), owned(b"")),
        (None, owned(b"{\"a\": 1.0}")),
        (None, owned(b"\r\n\0\xff")),
    ];
    let expected: Vec<_> = (1_700_000_000_000_i64..).zip(expected).map(|(t, (k, v))| (k, v, t)).collect();
    assert_eq!(moved, expected);
    assert_eq!(seen[1].headers, [("h".to_owned(), owned(b"\xff")), ("h".to_owned(), None)]);

    // An export from Kafka, directly or through a bridge, equals the export from the embedded log.
    let through = format!("http://127.0.0.1:{}", bridge().port);
    for way in [["--kafka", &bootstrap], ["--url", &through]] {
        assert_eq!(String::from_utf8_lossy(&export(&topic, &way)), String::from_utf8_lossy(&file), "{way:?}");
    }
    let back = fresh_topic("back");
    let returned = run_with_input(&["produce", &back, "--format", "record", "--url", &url], &file);
    assert!(returned.status.success(), "{returned:?}");
    let again = String::from_utf8(export(&back, &["--url", &url])).expect("UTF-8");
    assert_eq!(again.replace(&back, &topic), String::from_utf8_lossy(&file));
}

#[test]
fn partitions_are_kept_on_request() {
    let data = tempfile::tempdir().expect("temporary directory");
    let own = Bridge::embedded(data.path(), &["--partitions", "3"]);
    let url = format!("http://127.0.0.1:{}", own.port);
    for partition in [2, 0, 2] {
        own.post(&format!("/topics/a?partition={partition}"), "text/plain", "x").expect(200);
    }
    let file = export("a", &["--url", &url]);
    let kept = ["produce", "b", "--format", "record", "--keep-partitions", "--url", &url];
    assert!(run_with_input(&kept, &file).status.success());
    let ends = |topic: &str| own.get(&format!("/topics/{topic}")).expect(200).json()["partitions"].clone();
    let latest: Vec<_> = ends("b").as_array().expect("partitions").iter().map(|p| p["latest"].clone()).collect();
    assert_eq!(latest, [json!(1), json!(0), json!(2)]);
}

#[test]
fn an_incomplete_export_or_import_causes_exit_code_1() {
    let data = tempfile::tempdir().expect("temporary directory");
    let own = Bridge::embedded(data.path(), &[]);
    let url = format!("http://127.0.0.1:{}", own.port);
    let missing = run(&["export", "nothing-here", "--url", &url]);
    assert_eq!((missing.status.code(), missing.stdout.len()), (Some(1), 0), "{missing:?}");
    assert!(String::from_utf8_lossy(&missing.stderr).contains("no topic"), "{missing:?}");
    let missing = run(&["export", "nothing-here", "--kafka", &Kafka::shared().bootstrap()]);
    assert_eq!((missing.status.code(), missing.stdout.len()), (Some(1), 0), "{missing:?}");

    let cut = run_with_input(&["produce", "t", "--format", "record", "--url", &url], b"{\"value\":1}\n{\"value\":");
    assert_eq!(cut.status.code(), Some(1));
    let printed = String::from_utf8_lossy(&cut.stderr).into_owned();
    assert!(printed.contains("line 2 is not a record, and nothing from this line on was sent"), "{printed}");
    assert_eq!(own.get("/topics/t").expect(200).json()["partitions"][0]["latest"], 1);
}

#[test]
fn a_gap_makes_an_export_fail() {
    let data = tempfile::tempdir().expect("temporary directory");
    let own = Bridge::embedded(data.path(), &["--allow-delete"]);
    let url = format!("http://127.0.0.1:{}", own.port);
    for value in ["a", "b"] {
        own.post("/topics/t", "text/plain", value).expect(200);
    }
    let id = own.events("/topics/t/events?from=earliest&until=end").rest().remove(1).id;
    own.request("DELETE", "/topics/t?records=all", &[], b"").expect(204);
    own.post("/topics/t", "text/plain", "new").expect(200);
    let export = run(&["export", "t", "--from", &id, "--url", &url]);
    assert_eq!(export.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&export.stderr).contains("recreated"), "{export:?}");
}
