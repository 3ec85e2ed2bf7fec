//! CloudEvents SDKs: an event that one of them sends, through the bridge or to Kafka, is the same event in all of them.

use crate::bridge;
use curlew_integration::kafka::Kafka;
use curlew_integration::process::output_with_input;
use curlew_integration::{cache, file};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Command;

const CLIENTS: [&str; 4] = ["python-v1", "python-core", "javascript", "go"];
const WAYS: [&str; 5] = ["http-binary", "http-structured", "http-batch", "kafka-binary", "kafka-structured"];

fn client(name: &str) -> Command {
    let python = |api: &str| {
        let mut python = Command::new(cache().join("python/bin/python"));
        python.arg(file("clients/cloudevents_python.py")).arg(api);
        python
    };
    match name {
        "python-v1" => python("v1"),
        "python-core" => python("core"),
        "javascript" => {
            let mut node = Command::new("node");
            node.arg(file("clients/cloudevents.mjs"));
            node
        }
        _ => Command::new(cache().join("cloudevents/client")),
    }
}

/// Runs a client with these lines as input, and returns its output.
fn run(name: &str, arguments: &[&str], lines: &str) -> String {
    let mut command = client(name);
    command.args(arguments).env("CURLEW_CACHE", cache());
    let output = output_with_input(&mut command, lines.as_bytes());
    assert!(output.status.success(), "{name} {arguments:?} failed");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The events that a client sends in each way. The way becomes the start of the id.
fn events(client: &str) -> Vec<Value> {
    let event = |id: &str, kind: &str, name: &str, data: Value| {
        let attributes = json!({
            "specversion": "1.0", "id": format!("{client}/{id}"), "source": "https://example.com/kiln", "type": "com.example.reading",
            "subject": "Zürich 😀 Straße", "time": "2026-01-31T08:00:00.500Z", "datacontenttype": kind,
            "partitionkey": "schlüssel", "comexample": "5 größer",
        });
        json!({"attributes": attributes, name: data})
    };
    vec![
        event("json", "application/json", "json", json!({"temperature": 21.5, "ort": "Köln", "list": [null, true]})),
        event("text", "text/plain", "base64", "R3LDvMOfZQo=".into()),
        event("binary", "application/octet-stream", "base64", "AP/+/2Jpbg==".into()),
    ]
}

/// Returns the printed events by their ids.
fn by_id(printed: &str) -> BTreeMap<String, Value> {
    let events = printed.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    events.map(|event| (event["attributes"]["id"].as_str().expect("an id").to_owned(), event)).collect()
}

#[test]
fn an_event_of_any_sdk_is_the_same_in_every_sdk() {
    let (kafka, bridge) = (Kafka::shared(), bridge());
    let topic = kafka.fresh("cloudevents", 1);
    let (url, bootstrap) = (format!("http://127.0.0.1:{}/topics/{topic}", bridge.port), kafka.bootstrap());
    let mut expected = BTreeMap::new();
    for name in CLIENTS {
        let given = events(name);
        let lines: String = given.iter().map(|event| format!("{event}\n")).collect();
        run(name, &["http", &url], &lines);
        run(name, &["kafka", &bootstrap, &topic], &lines);
        for (way, event) in WAYS.iter().flat_map(|way| given.iter().map(move |event| (way, event))) {
            // The Python SDK has no batches.
            if name.starts_with("python") && *way == "http-batch" {
                continue;
            }
            let mut event = event.clone();
            let id = format!("{way}/{}", event["attributes"]["id"].as_str().expect("an id"));
            event["attributes"]["id"] = id.as_str().into();
            if name == "python-v1" && *way == "kafka-binary" {
                // The attribute is only in the key there, against section 3.1 of the binding.
                event["attributes"].as_object_mut().expect("attributes").remove("partitionkey");
            }
            expected.insert(id, event);
        }
    }
    let page = format!("{url}/partitions/0/records?limit=1000");
    let sent_through_the_bridge: BTreeMap<_, _> =
        expected.clone().into_iter().filter(|(id, _)| id.starts_with("http-")).collect();
    for name in CLIENTS {
        assert_same(&by_id(&run(name, &["read-http", &page], "")), &expected, &format!("{name} through the bridge"));
        let mut read = by_id(&run(name, &["read-kafka", &bootstrap, &topic], ""));
        read.retain(|id, _| id.starts_with("http-"));
        assert_same(&read, &sent_through_the_bridge, &format!("{name} from Kafka"));
    }
}

fn assert_same(read: &BTreeMap<String, Value>, expected: &BTreeMap<String, Value>, what: &str) {
    for (id, event) in expected {
        assert_eq!(read.get(id), Some(event), "{what}: {id}");
    }
    assert_eq!(read.len(), expected.len(), "{what}");
}
