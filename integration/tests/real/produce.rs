//! Records produced over HTTP, as Kafka's Java consumer sees them.

use crate::{SOON, bridge};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use curlew_integration::bridge::Bridge;
use curlew_integration::kafka::Kafka;
use curlew_integration::{eventually, fresh_topic, http};
use serde_json::{Value, json};
use std::io::{BufRead, Write};

const JSON_V2: &str = "application/vnd.kafka.json.v2+json";
const BINARY_V2: &str = "application/vnd.kafka.binary.v2+json";

fn kafka() -> &'static Kafka {
    Kafka::shared()
}

#[test]
fn a_body_is_the_value_of_its_record_byte_for_byte() {
    let untouched = " { \"a\" :  1.0,\r\n \"a\":2 }\n".as_bytes();
    let all_bytes: Vec<u8> = (0..=255).collect();
    let cases: [(&str, &[u8]); 7] = [
        ("application/json", untouched),
        ("application/json; charset=utf-8", b"[1]"),
        ("application/x-www-form-urlencoded", br#"{"Hello": "World"}"#),
        ("application/x-www-form-urlencoded", b"a=%20&b=+"),
        ("text/plain", "h\u{e9}llo".as_bytes()),
        ("application/octet-stream", &all_bytes),
        ("text/csv", b""),
    ];
    let topic = kafka().fresh("bodies", 1);
    for (offset, (content_type, body)) in cases.iter().enumerate() {
        let answer = bridge().post(&format!("/topics/{topic}"), content_type, body).expect(200);
        assert_eq!(answer.json(), json!({"offsets": [{"partition": 0, "offset": offset}]}), "{content_type}");
    }
    bridge().request("POST", &format!("/topics/{topic}"), &[], b"no type").expect(200);
    let seen: Vec<Vec<u8>> = kafka().consume(&topic).into_iter().map(|r| r.value.expect("a value")).collect();
    let sent: Vec<&[u8]> = cases.iter().map(|(_, body)| *body).chain([&b"no type"[..]]).collect();
    assert_eq!(seen, sent);
}

#[test]
fn key_partition_timestamp_and_headers_are_taken_from_the_request() {
    let topic = kafka().fresh("parts", 3);
    let target = format!("/topics/{topic}?key=a%20key&partition=2&timestamp=2023-11-14T22:13:20Z");
    let headers =
        [("Content-Type", "text/plain"), ("X-Kafka-Trace", "abc"), ("X-Kafka-trace", "def"), ("X-Other", "x")];
    bridge().request("POST", &target, &headers, b"v").expect(200);
    bridge().post(&format!("/topics/{topic}?partition=2&timestamp=1700000000001"), "text/plain", "w").expect(200);
    let seen = kafka().consume(&topic);
    assert_eq!(
        seen.iter().map(|r| (r.partition, r.timestamp)).collect::<Vec<_>>(),
        [(2, 1_700_000_000_000), (2, 1_700_000_000_001)]
    );
    assert_eq!(seen[0].key.as_deref(), Some(&b"a key"[..]));
    assert_eq!(seen[0].headers, [("trace".into(), Some(b"abc".to_vec())), ("trace".into(), Some(b"def".to_vec()))]);
    assert_eq!((&seen[1].key, &seen[1].headers), (&None, &vec![]));
}

#[test]
fn keyed_records_go_where_the_java_client_sends_them() {
    let topic = kafka().fresh("murmur", 7);
    let mut random = fastrand::Rng::with_seed(7);
    let keys: Vec<Vec<u8>> =
        (0..300).map(|i| std::iter::repeat_with(|| random.u8(..)).take(i % 40 + 1).collect()).collect();
    let records: Vec<Value> = keys.iter().map(|k| json!({"key": STANDARD.encode(k), "value": "dg=="})).collect();
    let body = json!({ "records": records }).to_string();
    let answer = bridge().post(&format!("/topics/{topic}"), BINARY_V2, body).expect(200).json();
    let partitions: Vec<i64> = answer["offsets"]
        .as_array()
        .expect("offsets")
        .iter()
        .map(|o| o["partition"].as_i64().expect("number"))
        .collect();
    assert_eq!(partitions, kafka().partitions_for(&keys, 7));
    for seen in kafka().consume(&topic) {
        let index = keys.iter().position(|k| Some(k) == seen.key.as_ref()).expect("one of the keys");
        assert_eq!(seen.partition, partitions[index]);
    }
}

#[test]
fn an_envelope_of_the_rest_proxy_is_accepted() {
    let topic = kafka().fresh("envelope", 2);
    let body = json!({"records": [
        {"key": {"id": 1}, "value": {"a": [1, 2]}, "partition": 1},
        {"value": "text", "partition": 1, "timestamp": 1_700_000_000_000_i64,
         "headers": [{"key": "h", "value": "AAE="}, {"key": "h", "value": "Ag=="}]},
        {"key": "gone", "value": null, "partition": 1},
    ]});
    let answer = bridge().post(&format!("/topics/{topic}"), JSON_V2, body.to_string()).expect(200).json();
    assert_eq!(answer["offsets"].as_array().map(Vec::len), Some(3));
    assert_eq!((&answer["offsets"][2]["partition"], &answer["offsets"][2]["offset"]), (&json!(1), &json!(2)));
    let seen = kafka().consume(&topic);
    let parsed =
        |bytes: &Option<Vec<u8>>| serde_json::from_slice::<Value>(bytes.as_deref().expect("bytes")).expect("JSON");
    assert_eq!((parsed(&seen[0].key), parsed(&seen[0].value)), (json!({"id": 1}), json!({"a": [1, 2]})));
    assert_eq!((parsed(&seen[1].value), seen[1].timestamp), (json!("text"), 1_700_000_000_000));
    assert_eq!(seen[1].headers, [("h".into(), Some(vec![0, 1])), ("h".into(), Some(vec![2]))]);
    assert_eq!(seen[2].value, None);
}

#[test]
fn one_record_too_large_fails_alone() {
    let topic = fresh_topic("large");
    kafka().create_with(&topic, 1, json!({"max.message.bytes": "3000"}));
    // Incompressible bytes.
    let large = STANDARD.encode(std::iter::repeat_with(|| fastrand::u8(..)).take(6000).collect::<Vec<u8>>());
    let body = json!({"records": [{"value": "YQ=="}, {"value": large}, {"value": "Yg=="}]}).to_string();
    let answer = bridge().post(&format!("/topics/{topic}"), BINARY_V2, body).expect(207).json();
    let offsets = &answer["offsets"];
    assert_eq!((offsets[0]["offset"].as_i64(), offsets[2]["offset"].as_i64()), (Some(0), Some(1)), "{answer}");
    assert!(offsets[1]["error_code"].is_i64() && offsets[1]["error"].is_string(), "{answer}");
    assert_eq!(kafka().consume(&topic).iter().map(|r| r.text()).collect::<Vec<_>>(), ["a", "b"]);

    let alone = STANDARD.decode(&large).expect("base64");
    let answer = bridge().post(&format!("/topics/{topic}"), "application/octet-stream", alone).expect(413);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
}

#[test]
fn an_envelope_without_a_valid_record_is_a_422() {
    let topic = kafka().fresh("invalid", 1);
    let body = json!({"records": [{"value": "%"}, {"value": "$$$"}]}).to_string();
    let answer = bridge().post(&format!("/topics/{topic}"), BINARY_V2, body).expect(422);
    assert!(!answer.text().is_empty());
    assert_eq!(kafka().consume(&topic), []);
}

#[test]
fn receipts_arrive_while_the_body_is_still_sent() {
    let topic = kafka().fresh("ndjson", 1);
    let mut stream = http::connect(bridge().port);
    let headers = [("Content-Type", "application/x-ndjson"), ("Transfer-Encoding", "chunked")];
    http::write_head(&mut stream, "POST", &format!("/topics/{topic}?key=k&receipts=stream"), &headers).expect("sent");
    let mut body = stream.try_clone().expect("socket");
    let mut chunk = move |text: &str| write!(body, "{:x}\r\n{text}\r\n", text.len()).expect("sent");
    chunk("{\"n\": 0}\n{\"n\"");
    let answer = http::read_head(stream).expect("the answer begins before the body has ended");
    assert_eq!(answer.status, 200);
    let mut lines = answer.into_body().lines();
    let mut receipt = || -> Value { serde_json::from_str(&lines.next().expect("line").expect("read")).expect("JSON") };
    assert_eq!(receipt(), json!({"partition": 0, "offset": 0}));
    chunk(": 1}\n");
    assert_eq!(receipt(), json!({"partition": 0, "offset": 1}));
    chunk("{bad\n{\"n\": 2}");
    chunk("");
    let bad = receipt();
    assert!(bad["error_code"].is_i64() && bad["offset"].is_null(), "{bad}");
    assert_eq!(receipt(), json!({"partition": 0, "offset": 2}));
    let seen: Vec<String> = kafka().consume(&topic).iter().map(|r| r.text()).collect();
    assert_eq!(seen, [r#"{"n": 0}"#, r#"{"n": 1}"#, r#"{"n": 2}"#]);
}

#[test]
fn a_long_ndjson_body_keeps_its_order() {
    let topic = kafka().fresh("order", 1);
    let lines: String = (0..20_000).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    let answer = bridge().post(&format!("/topics/{topic}"), "application/x-ndjson", &lines).expect(200).json();
    let range = json!({"partition": 0, "first": 0, "last": 19_999});
    assert_eq!(answer, json!({"written": 20_000, "failed": 0, "offsets": [range], "errors": []}));
    let seen: String = kafka().consume(&topic).iter().map(|r| r.text() + "\n").collect();
    assert!(seen == lines, "the log holds the lines in order");
}

#[test]
fn delete_with_a_key_writes_a_tombstone() {
    let topic = kafka().fresh("tombstone", 1);
    bridge().request("DELETE", &format!("/topics/{topic}?key=boiler"), &[], b"").expect(200);
    let seen = kafka().consume(&topic);
    assert_eq!((seen[0].key.as_deref(), &seen[0].value), (Some(&b"boiler"[..]), &None));
}

#[test]
fn acks_decide_the_status() {
    let topic = kafka().fresh("acks", 1);
    let at = |acks: &str| bridge().post(&format!("/topics/{topic}?acks={acks}"), "text/plain", acks);
    assert_eq!(at("all").expect(200).json()["offsets"][0]["offset"], 0);
    assert_eq!(at("1").expect(200).json()["offsets"][0]["offset"], 1);
    let unsure = at("0").expect(202);
    assert!(!unsure.text().contains("\"offset\":"), "{}", unsure.text());
    eventually("the record of acks=0 is there", SOON, || match kafka().consume(&topic).len() {
        3 => Ok(()),
        n => Err(format!("{n}")),
    });
    at("2").expect(400);
}

#[test]
fn a_missing_topic_is_created_by_its_first_record_unless_auto_creation_is_off() {
    bridge().post(&format!("/topics/{}", fresh_topic("made")), "text/plain", "v").expect(200);
    let strict = Bridge::start_with(&kafka().bootstrap(), &["--no-auto-create"]);
    let topic = fresh_topic("unmade");
    let answer = strict.post(&format!("/topics/{topic}"), "text/plain", "v").expect(404);
    assert_eq!(answer.json()["error_code"], 40401);
    assert!(kafka().leaders(&topic).is_err(), "no topic was created");
}

#[test]
fn kafka_python_reads_keys_and_headers() {
    let topic = kafka().fresh("python", 2);
    let headers = [("Content-Type", "text/plain"), ("X-Kafka-h", "1")];
    bridge().request("POST", &format!("/topics/{topic}?key=k&partition=1"), &headers, b"v").expect(200);
    let output = crate::consume::kafka_python(&["consume", &kafka().bootstrap(), &topic], "");
    let record: Value = serde_json::from_str(output.lines().next().expect("a record")).expect("JSON");
    assert_eq!(record, json!({"partition": 1, "offset": 0, "key": "k", "value": "v", "headers": [["h", "1"]]}));
}

#[test]
fn errors_state_what_is_wrong_with_the_request() {
    let topic = kafka().fresh("wrong", 1);
    let cases: [(&str, &str, &str, u16); 8] = [
        ("/topics/TOPIC", "application/json", "{", 422),
        ("/topics/TOPIC", "application/vnd.kafka.thrift.v2+json", "x", 415),
        ("/topics/TOPIC", JSON_V2, "{", 422),
        ("/topics/TOPIC?partition=7", "text/plain", "x", 404),
        ("/topics/TOPIC?partition=x", "text/plain", "x", 400),
        ("/topics/TOPIC?timestamp=soon", "text/plain", "x", 400),
        ("/topics/TOPIC?acks=2", "text/plain", "x", 400),
        ("/topics/a%20b", "text/plain", "x", 422),
    ];
    let mut wrong = Vec::new();
    for (target, content_type, body, status) in cases {
        let answer = bridge().post(&target.replace("TOPIC", &topic), content_type, body);
        // 400 means "cannot be parsed" and 422 "not valid". Both are the fault of the client.
        let same_kind = |a: u16, b: u16| a == b || (matches!(a, 400 | 422) && matches!(b, 400 | 422));
        let problem = answer.header("content-type") == Some("application/problem+json")
            && answer.json()["message"].is_string()
            && answer.json()["error_code"].is_i64();
        if !same_kind(answer.status, status) || !problem {
            wrong.push(format!("{target} {content_type}: {} {}, expected {status}", answer.status, answer.text()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(kafka().consume(&topic), []);
}
