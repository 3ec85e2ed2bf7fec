//! The same checks with both drivers on Kafka 3.9, and what each driver cannot do.

use crate::SOON;
use curlew_integration::bridge::Bridge;
use curlew_integration::follow::{Follower, Numbered};
use curlew_integration::kafka::Kafka;
use curlew_integration::{eventually, http};
use serde_json::json;

#[test]
fn each_driver_produces_and_consumes_on_3_9() {
    let kafka = Kafka::shared_old();
    for driver in ["wire", "crate"] {
        let topic = kafka.fresh(driver, 3);
        let bridge = Bridge::start_with(&kafka.bootstrap(), &["--driver", driver]);
        let follower = Follower::start(bridge.port, &format!("/topics/{topic}/events"));
        follower.wait_for_id();
        let mut numbered = Numbered::default();
        for partition in [0, 1, 2, 1, 0, 2] {
            let value = numbered.record(partition)["value"].as_str().expect("text").to_owned();
            let target = format!("/topics/{topic}?partition={partition}&key=k");
            bridge.post(&target, "application/json", value).expect(200);
        }
        kafka.produce(&topic, numbered.records(&[0, 1, 2], 20));
        follower.seen.wait_for_records(66, SOON);
        numbered.assert_exactly_once(&follower.seen);
        let seen = kafka.consume(&topic);
        assert_eq!((seen.len(), seen[0].key.as_deref()), (66, Some(&b"k"[..])), "{driver}");

        let keyed: Vec<Vec<u8>> = (0..20).map(|n| format!("key {n}").into_bytes()).collect();
        for (key, expected) in keyed.iter().zip(kafka.partitions_for(&keyed, 3)) {
            let key = String::from_utf8_lossy(key).replace(' ', "%20");
            let answer = bridge.post(&format!("/topics/{topic}?key={key}"), "text/plain", "v").expect(200).json();
            assert_eq!(answer["offsets"][0]["partition"], expected, "{driver} {key}");
        }
        bridge.request("DELETE", &format!("/topics/{topic}?key=gone"), &[], b"").expect(200);
        assert!(kafka.consume(&topic).iter().any(|r| r.value.is_none()), "{driver} writes tombstones");
    }
}

#[test]
fn the_crate_driver_rejects_what_it_does_not_support() {
    let kafka = Kafka::shared_old();
    let topic = kafka.fresh("refuses", 1);
    let bridge = Bridge::start_with(&kafka.bootstrap(), &["--driver", "crate"]);
    let headers = [("Content-Type", "text/plain"), ("X-Kafka-trace", "abc")];
    for (answer, word) in [
        (bridge.request("POST", &format!("/topics/{topic}"), &headers, b"v"), "header"),
        (bridge.post(&format!("/topics/{topic}?timestamp=1700000000000"), "text/plain", "v"), "timestamp"),
    ] {
        assert!(answer.status >= 400, "{word}: {} {}", answer.status, answer.text());
        assert!(answer.json()["message"].as_str().expect("message").contains(word), "{}", answer.text());
    }
    assert_eq!(kafka.consume(&topic), []);
}

#[test]
fn the_crate_driver_on_4_4_recommends_the_wire_driver() {
    let bridge = Bridge::start_with(&Kafka::shared().bootstrap(), &["--driver", "crate"]);
    let ready = eventually("an answer of /ready", SOON, || match http::get(bridge.port, "/ready") {
        ready if ready.status == 503 => Ok(ready.text()),
        other => Err(format!("{} {}", other.status, other.text())),
    });
    assert!(ready.contains("wire") || ready.contains("--driver"), "{ready}");
}

#[test]
fn aborted_transactions_are_filtered_on_3_9_too() {
    let kafka = Kafka::shared_old();
    let topic = kafka.fresh("transactions", 1);
    kafka.transaction(&topic, "abort", json!([{"value": "no"}]));
    kafka.transaction(&topic, "commit", json!([{"value": "yes"}]));
    let bridge = Bridge::start(&kafka.bootstrap());
    let events = bridge.events(&format!("/topics/{topic}/events?from=earliest&until=end")).rest();
    assert_eq!(events.iter().map(|e| e.data.as_str()).collect::<Vec<_>>(), ["yes"]);
}
