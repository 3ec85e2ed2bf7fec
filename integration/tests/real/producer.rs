//! The Kafka producer: topics that are being created, and brokers with tight limits.

use crate::bridge;
use curlew_integration::bridge::{Bridge, run};
use curlew_integration::fresh_topic;
use curlew_integration::kafka::{Kafka, Options};
use std::time::{Duration, Instant};

/// Like Azure Event Hubs, which closes the connection on a larger request instead of reporting an error.
const LARGEST_REQUEST: usize = 1_046_528;

#[test]
fn many_new_topics_are_created_and_written_at_once() {
    // Kafka creates about 20 topics per second.
    let bridge = Bridge::start_with(&Kafka::shared().bootstrap(), &["--produce-timeout", "55s"]);
    let topics: Vec<String> = (0..150).map(|_| fresh_topic("many")).collect();
    std::thread::scope(|scope| {
        for topic in &topics {
            let bridge = &bridge;
            scope.spawn(move || bridge.post(&format!("/topics/{topic}"), "text/plain", "first").expect(200));
        }
    });
}

#[test]
fn a_topic_whose_name_collides_is_a_422_in_kafkas_words() {
    let (existing, colliding) = ("collides.with_this", "collides_with.this");
    Kafka::shared().create(existing, 1);
    let answer = bridge().post(&format!("/topics/{colliding}"), "text/plain", "x").expect(422);
    let message = answer.json()["message"].as_str().expect("message").to_owned();
    assert!(message.contains("collides with existing topic: collides.with_this"), "{message}");
}

#[test]
fn a_broker_that_disconnects_on_a_large_request_fails_only_that_record() {
    let properties = vec![
        format!("socket.request.max.bytes={LARGEST_REQUEST}"),
        "auto.create.topics.enable=false".to_owned(),
        "producer.id.expiration.ms=20000".to_owned(),
    ];
    let kafka = Kafka::start(Options { properties, ..Options::default() });
    kafka.create_with("hangs-up", 1, serde_json::json!({"max.message.bytes": "2000000"}));
    kafka.create("other", 1);
    let bridge = Bridge::start(&kafka.bootstrap());
    let post = |topic: &str, body: &[u8]| bridge.post(&format!("/topics/{topic}"), "text/plain", body);
    post("hangs-up", b"before").expect(200);

    let began = Instant::now();
    std::thread::scope(|scope| {
        let poison = scope.spawn(|| (post("hangs-up", &vec![b'x'; 1_047_000]), began.elapsed()));
        let neighbours: Vec<_> =
            ["hangs-up", "other"].map(|topic| scope.spawn(move || (post(topic, b"neighbour"), began.elapsed()))).into();
        let (answer, after) = poison.join().expect("an answer");
        assert!(answer.text().contains("socket.request.max.bytes"), "{}", answer.text());
        answer.expect(413);
        println!("413 after {after:?}");
        // Milliseconds on an idle machine; the producer's deadline is 30 s.
        assert!(after < Duration::from_secs(10), "413 after {after:?}");
        for neighbour in neighbours {
            let (answer, after) = neighbour.join().expect("an answer");
            answer.expect(200);
            println!("a neighbour after {after:?}");
            assert!(after < Duration::from_secs(10), "200 after {after:?}");
        }
    });
    post("hangs-up", b"after").expect(200);
    // A body larger than one request, so that its batches are sent one after the other.
    let many: String = (0..3000).map(|n| format!("{{\"n\":{n},\"pad\":\"{:0>990}\"}}\n", "")).collect();
    let answer = bridge.post("/topics/hangs-up", "application/x-ndjson", &many).expect(200);
    assert_eq!(answer.json()["written"], 3000, "{}", answer.text());
    assert_eq!(kafka.consume("hangs-up").len(), 3 + 3000);
    assert!(!bridge.log().contains("SASL"), "{}", bridge.log());

    // This broker expires producer ids before retries end, which `curlew doctor` finds.
    let doctor = run(&["doctor", "--kafka", &kafka.bootstrap()]);
    let found = String::from_utf8_lossy(&doctor.stdout);
    let line = found.lines().find(|line| line.contains("producer-expiry")).expect("a line");
    assert!(line.starts_with("failed") && line.contains("written twice"), "{line}");

    // Automatic creation is off, which the bridge learns from the broker.
    let missing = Instant::now();
    assert_eq!(post("nowhere", b"x").expect(404).json()["error_code"], 40401);
    assert!(missing.elapsed() < Duration::from_secs(15), "404 after {:?}", missing.elapsed());
}

/// Quotas: KIP-219.
#[test]
fn a_kafka_producer_quota_delays_records_and_loses_none() {
    let (kafka, topic) = (Kafka::shared(), fresh_topic("quota"));
    kafka.create(&topic, 1);
    let directory = tempfile::tempdir().expect("temporary directory");
    let config = directory.path().join("client.properties");
    std::fs::write(&config, format!("client.id={topic}\n")).expect("a file");
    // Kafka counts over at least 10 s, so the second or third record exceeds the quota.
    kafka.set_producer_quota(&topic, 100_000);
    let bridge = Bridge::start_with(&kafka.bootstrap(), &["--kafka-config", config.to_str().expect("UTF-8")]);
    let post = |bytes: usize| bridge.post(&format!("/topics/{topic}"), "text/plain", vec![b'x'; bytes]).expect(200);
    let throttled = || {
        let metrics = bridge.get("/metrics").text();
        let value = metrics.lines().find_map(|line| line.strip_prefix("curlew_broker_throttle_seconds_total "));
        value.expect("the counter").parse::<f64>().expect("a number")
    };
    assert_eq!(throttled(), 0.0);
    let mut posted = 0;
    while throttled() == 0.0 {
        assert!(posted < 20, "Kafka does not throttle");
        post(600_000);
        posted += 1;
    }
    // Sent when the broker reads again.
    post(1);
    assert_eq!(kafka.consume(&topic).len(), posted + 1);
    assert!(!bridge.log().contains("lost the producer connection"), "a connection was lost: {}", bridge.log());
}
