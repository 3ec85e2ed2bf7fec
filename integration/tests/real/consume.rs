//! Reading over HTTP what other clients have written.

use crate::{SOON, bridge};
use curlew::record::now;
use curlew_integration::java_client::bytes;
use curlew_integration::kafka::Kafka;
use curlew_integration::process::output_with_input;
use curlew_integration::{cache, eventually, file, fresh_topic, http};
use serde_json::{Value, json};
use std::io::BufRead;
use std::process::{Command, Stdio};
use std::time::Duration;

fn kafka() -> &'static Kafka {
    Kafka::shared()
}

/// Runs `clients/kafka_python.py` and returns its output.
pub fn kafka_python(arguments: &[&str], input: &str) -> String {
    let mut python = Command::new(cache().join("python/bin/python"));
    python.arg(file("clients/kafka_python.py")).args(arguments).stderr(Stdio::piped());
    let output = output_with_input(&mut python, input.as_bytes());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Returns the data of all records of a topic, from its beginning to its end.
fn all(topic: &str) -> Vec<String> {
    bridge()
        .events(&format!("/topics/{topic}/events?from=earliest&until=end"))
        .rest()
        .into_iter()
        .map(|e| e.data)
        .collect()
}

#[test]
fn every_compression_is_read() {
    for compression in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = kafka().fresh(compression, 1);
        // Long enough for several blocks in every codec.
        let values: Vec<String> = (0..300).map(|n| format!("{n}:{}", "curlew ".repeat(n * 3 + 1))).collect();
        let records: Value = values.iter().map(|v| json!({"value": v})).collect();
        kafka().produce_compressed(&topic, compression, records);
        assert!(all(&topic) == values, "{compression}: the values are those that were sent");
    }
}

#[test]
fn kafka_pythons_batches_are_read() {
    let topic = kafka().fresh("python", 1);
    let lines: String = (0..20)
        .map(|n| json!({"key": (n % 2 == 0).then_some("even"), "value": format!("v{n}"), "headers": [["n", n.to_string()], ["n", ""]]}).to_string() + "\n")
        .collect();
    kafka_python(&["produce", &kafka().bootstrap(), &topic, "gzip"], &lines);
    let events = bridge().events(&format!("/topics/{topic}/events?from=earliest&until=end&format=record")).rest();
    assert_eq!(events.len(), 20);
    let last = events[18].json();
    assert_eq!((&last["key"], &last["value"], &last["offset"]), (&json!("even"), &json!("v18"), &json!(18)));
    assert_eq!(events[19].json()["key"], Value::Null);
}

#[test]
fn aborted_transactions_are_never_delivered() {
    let topic = kafka().fresh("transactions", 1);
    let mut expected = Vec::new();
    for n in 0..12 {
        let end = if n % 3 == 0 { "abort" } else { "commit" };
        let value = format!("{end} {n}");
        kafka().transaction(&topic, end, json!([{"partition": 0, "value": value}, {"partition": 0, "value": value}]));
        kafka().produce(&topic, json!([{"partition": 0, "value": format!("plain {n}")}]));
        if end == "commit" {
            expected.extend([value.clone(), value]);
        }
        expected.push(format!("plain {n}"));
    }
    kafka().transaction(&topic, "abort", json!([{"partition": 0, "value": "abort at the end"}]));
    assert_eq!(all(&topic), expected);
    assert_eq!(kafka().consume(&topic).iter().map(|r| r.text()).collect::<Vec<_>>(), expected);
}

#[test]
fn an_envelope_describes_the_complete_record() {
    let topic = kafka().fresh("record", 2);
    kafka().produce(
        &topic,
        json!([
            {"partition": 1, "key": "boiler", "value": "{\"t\": 21.5}", "timestamp": 1_700_000_000_000_i64,
             "headers": [["trace", "abc"], ["trace", null]]},
            {"partition": 1, "key": bytes(&[0xff, 0]), "value": "plain"},
        ]),
    );
    let events = bridge().events(&format!("/topics/{topic}/events?from=earliest&until=end&format=record")).rest();
    let first = events[0].json();
    assert_eq!(first["topic"], json!(topic));
    assert_eq!((&first["partition"], &first["offset"]), (&json!(1), &json!(0)));
    assert_eq!((&first["key"], &first["value"]), (&json!("boiler"), &json!({"t": 21.5})));
    assert!(first["timestamp"] == json!(1_700_000_000_000_i64) || first["timestamp"].is_string(), "{first}");
    assert!(first["headers"].to_string().contains("trace"), "{first}");
    let second = events[1].json();
    assert_eq!(second["value"], json!("plain"));
    assert!(second.to_string().contains("base64") && second.to_string().contains("/wA="), "{second}");
}

#[test]
fn tombstones_and_binary_values_have_separate_events() {
    let topic = kafka().fresh("kinds", 1);
    kafka().produce(&topic, json!([{"key": "boiler", "value": null}, {"value": bytes(&[0xff, 0])}, {"value": ""}]));
    let events = bridge().events(&format!("/topics/{topic}/events?from=earliest&until=end")).rest();
    assert_eq!(events[0].kind, "tombstone");
    assert_eq!(events[0].json()["key"], "boiler");
    assert_eq!((events[1].kind.as_str(), events[1].data.as_str()), ("binary", "/wA="));
    assert_eq!((events[2].kind.as_str(), events[2].data.as_str()), ("message", ""));
}

#[test]
fn a_value_never_becomes_a_field() {
    let topic = kafka().fresh("forger", 1);
    let values =
        ["a\nid: x\n\ndata: b", "a\rid: x\r\rdata: b", "a\r\nevent: gap\r\n\r\n", "\n", "\r", ": c", " lead", "\n\n"];
    let records: Value = values.iter().map(|v| json!({"value": v})).collect();
    kafka().produce(&topic, records);
    let events = bridge().events(&format!("/topics/{topic}/events?from=earliest&until=end")).rest();
    let seen: Vec<&str> = events.iter().map(|e| e.data.as_str()).collect();
    // Server-Sent Events do not distinguish line ends.
    let expected: Vec<String> = values.iter().map(|v| v.replace("\r\n", "\n").replace('\r', "\n")).collect();
    assert_eq!(seen, expected);
    assert!(events.iter().all(|e| e.kind == "message" && e.id.len() > 4), "{events:?}");
}

#[test]
fn from_finds_the_start_position() {
    let now = now();
    let topic = kafka().fresh("from", 1);
    let at = |timestamp: i64, value: &str| {
        kafka().produce(&topic, json!([{"value": value, "timestamp": timestamp}]));
    };
    at(now - 3_600_000, "an hour ago");
    at(now - 600_000, "ten minutes ago");
    at(now, "now");
    let from = |from: &str| -> Vec<String> {
        let stream = bridge().events(&format!("/topics/{topic}/events?until=end&from={from}"));
        stream.rest().into_iter().map(|e| e.data).collect()
    };
    assert_eq!(from("earliest").len(), 3);
    assert_eq!(from("-15m"), ["ten minutes ago", "now"]);
    assert_eq!(from("1970-01-01T00:00:00Z").len(), 3);
    assert_eq!(from("2200-01-01T00:00:00Z"), [""; 0]);
    assert_eq!(from("latest"), [""; 0]);
    let first = bridge().events(&format!("/topics/{topic}/events?from=earliest&limit=1")).rest();
    assert_eq!(from(&first[0].id), ["ten minutes ago", "now"], "a cursor is a start position too");
}

#[test]
fn latest_begins_at_the_id_of_the_first_frame() {
    let topic = kafka().fresh("latest", 4);
    kafka().produce(&topic, json!([{"partition": 0, "value": "before"}]));
    let mut stream = bridge().events(&format!("/topics/{topic}/events"));
    let id = stream.first_id();
    assert!(stream.raw().find(": connected").expect("connected") < stream.raw().find("id: ").expect("id"));
    for p in 0..4 {
        kafka().produce(&topic, json!([{"partition": p, "value": p.to_string()}]));
    }
    let mut data = stream.take(4);
    data.sort();
    assert_eq!(data, ["0", "1", "2", "3"], "order is kept within a partition only");
    drop(stream);
    let target = format!("/topics/{topic}/events?from=latest&until=end");
    for (name, again) in [
        ("Last-Event-ID", curlew_integration::sse::Stream::open_at(bridge().port, &target, Some(&id))),
        ("last_event_id", bridge().events(&format!("{target}&last_event_id={id}"))),
        ("lastEventId", bridge().events(&format!("{target}&lastEventId={id}"))),
    ] {
        let mut data: Vec<String> = again.rest().into_iter().map(|e| e.data).collect();
        data.sort();
        assert_eq!(data, ["0", "1", "2", "3"], "{name} wins over from");
    }
}

#[test]
fn one_stream_delivers_several_topics() {
    let (a, b) = (kafka().fresh("a", 2), kafka().fresh("b", 1));
    kafka().produce(&a, json!([{"value": "of a"}]));
    kafka().produce(&b, json!([{"value": "of b"}]));
    let target = format!("/events?topic={b}&topic={a}&from=earliest&until=end&format=record");
    let mut seen: Vec<(String, String)> = bridge()
        .events(&target)
        .rest()
        .iter()
        .map(|e| {
            (
                e.json()["topic"].as_str().expect("topic").to_owned(),
                e.json()["value"].as_str().expect("value").to_owned(),
            )
        })
        .collect();
    seen.sort();
    assert_eq!(seen, [(a, "of a".to_owned()), (b, "of b".to_owned())]);
}

#[test]
fn filters_deliver_only_matching_records() {
    let topic = kafka().fresh("filters", 2);
    kafka().produce(
        &topic,
        json!([
            {"partition": 0, "key": "x", "value": "0x"},
            {"partition": 1, "key": "x", "value": "1x", "headers": [["kind", "warm"]]},
            {"partition": 1, "key": "y", "value": "1y", "headers": [["kind", "cold"], ["kind", "warm"]]},
            {"partition": 1, "value": "1"},
        ]),
    );
    let read = |filter: &str| -> Vec<String> {
        let mut data: Vec<String> = bridge()
            .events(&format!("/topics/{topic}/events?from=earliest&until=end&{filter}"))
            .rest()
            .into_iter()
            .map(|e| e.data)
            .collect();
        data.sort();
        data
    };
    assert_eq!(read("partition=0"), ["0x"]);
    assert_eq!(read("partition=0&partition=1").len(), 4);
    assert_eq!(read("key=x"), ["0x", "1x"]);
    assert_eq!(read("header=kind:warm"), ["1x", "1y"]);
    assert_eq!(read("key=x&header=kind:warm"), ["1x"]);
}

#[test]
fn scripts_can_use_limit_and_ndjson() {
    let topic = kafka().fresh("scripts", 1);
    kafka().produce(&topic, json!([{"value": "1"}, {"value": "2"}, {"value": "3"}]));
    let target = format!("/topics/{topic}/events?from=earliest&limit=2");
    assert_eq!(bridge().events(&target).rest().len(), 2);
    let answer = bridge().request("GET", &target, &[("Accept", "application/x-ndjson")], b"").expect(200);
    assert!(answer.header("content-type").expect("type").starts_with("application/x-ndjson"));
    let values: Vec<Value> = answer
        .body
        .lines()
        .map(|l| l.expect("line"))
        .filter(|l| !l.is_empty())
        .map(|l| serde_json::from_str::<Value>(&l).expect("JSON"))
        .filter(|v| v.get("value").is_some())
        .map(|mut v| v["value"].take())
        .collect();
    assert_eq!(values, [json!(1), json!(2)]);
}

#[test]
fn a_missing_topic_is_a_404_unless_wait_is_true() {
    let topic = fresh_topic("missing");
    let answer = bridge().get(&format!("/topics/{topic}/events")).expect(404);
    assert_eq!(answer.json()["error_code"], 40401);
    let mut stream = bridge().events(&format!("/topics/{topic}/events?wait=true"));
    stream.wait_for_comment("connected", SOON);
    kafka().create(&topic, 2);
    kafka().produce(&topic, json!([{"partition": 1, "value": "the first"}]));
    assert_eq!(stream.take(1), ["the first"]);
}

#[test]
fn the_head_of_a_stream_stops_proxies_from_buffering() {
    let topic = kafka().fresh("head", 1);
    let stream = bridge().events(&format!("/topics/{topic}/events"));
    assert_eq!(stream.header("cache-control"), Some("no-cache, no-transform"));
    assert_eq!(stream.header("x-accel-buffering"), Some("no"));
}

#[test]
fn an_idle_stream_sends_heartbeats() {
    let topic = kafka().fresh("silence", 1);
    let mut stream = bridge().events(&format!("/topics/{topic}/events"));
    stream.first_id();
    stream.wait_for_comment("heartbeat", Duration::from_secs(20));
    let retry = stream.source.retry.as_deref().expect("a retry").parse::<u64>().expect("a number");
    assert!((2000..2500).contains(&retry), "2 s plus a random part: {retry}");
}

#[test]
fn errors_name_the_invalid_parameter() {
    let topic = kafka().fresh("wrong", 1);
    let other = kafka().fresh("other", 1);
    let id = bridge().events(&format!("/topics/{other}/events")).first_id();
    let damaged = format!("{}A", &id[..id.len() - 2]);
    let cases = [
        "from=yesterday",
        "from=-15x",
        "until=later",
        "limit=many",
        "partition=x",
        "format=xml",
        "header=x",
        "where=valu.a%20%3E%201",
        "where=value.a%20%3E",
        &format!("from={id}"),
        &format!("last_event_id={id}"),
        &format!("last_event_id={damaged}"),
        "nonsense=1",
    ]
    .map(String::from);
    let mut wrong = Vec::new();
    for case in cases {
        let answer = bridge().get(&format!("/topics/{topic}/events?until=end&{case}"));
        let problem = answer.header("content-type") == Some("application/problem+json");
        if !matches!(answer.status, 400 | 422) || !problem || !answer.json()["message"].is_string() {
            wrong.push(format!("{case}: {} {}", answer.status, answer.text()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    bridge().request("GET", &format!("/topics/{topic}/events"), &[("Accept", "image/png")], b"").expect(406);
    bridge().get(&format!("/topics/{topic}/events?partition=7")).expect(404);
    bridge().request("PUT", &format!("/topics/{topic}"), &[], b"").expect(405);
}

#[test]
fn topics_partitions_and_records_are_listed() {
    let topic = kafka().fresh("look", 2);
    kafka().produce(&topic, json!([{"partition": 1, "value": "{\"n\":1}"}, {"partition": 1, "value": "two"}]));
    kafka().delete_records(&topic, 1, 1);
    let names = bridge().get("/topics").expect(200).json();
    assert!(names.to_string().contains(&topic), "{names}");
    assert!(!names.to_string().contains("__consumer_offsets"), "{names}");
    let described = bridge().get(&format!("/topics/{topic}")).expect(200).json();
    let partition = &described["partitions"][1];
    assert_eq!((&partition["earliest"], &partition["latest"]), (&json!(1), &json!(2)), "{described}");
    assert_eq!(partition["leader"], json!(1), "{described}");
    let page =
        bridge().get(&format!("/topics/{topic}/partitions/1/records?offset=1&limit=10&timeout=1000")).expect(200);
    assert!(page.text().contains("two"), "{}", page.text());
    bridge().get(&format!("/topics/{topic}/partitions/9/records?offset=0")).expect(404);
    bridge().get("/health").expect(200);
    bridge().get("/ready").expect(200);
}

#[test]
fn a_disconnected_client_frees_its_stream() {
    let topic = kafka().fresh("gone", 1);
    for _ in 0..50 {
        let mut stream = bridge().events(&format!("/topics/{topic}/events"));
        stream.first_id();
    }
    eventually("the bridge still answers", SOON, || match http::get(bridge().port, "/ready").status {
        200 => Ok(()),
        status => Err(status.to_string()),
    });
}
