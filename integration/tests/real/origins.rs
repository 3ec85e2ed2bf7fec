//! Requests from pages of other origins, with the real binary.

use crate::bridge;
use curlew_integration::bridge::Bridge;
use curlew_integration::kafka::Kafka;

const PAGE: &str = "https://shop.example";

#[test]
fn a_page_of_another_origin_is_rejected_whatever_it_sends() {
    let topic = Kafka::shared().fresh("origin", 1);
    let target = format!("/topics/{topic}");
    for content_type in ["application/json", "application/x-www-form-urlencoded", "text/plain"] {
        let headers = [("Origin", PAGE), ("Content-Type", content_type)];
        bridge().request("POST", &target, &headers, b"{}").expect(403);
    }
    bridge().request("GET", &format!("{target}/events"), &[("Origin", PAGE)], b"").expect(403);
    bridge().request("POST", &target, &[("Origin", "null")], b"x").expect(403);
    assert_eq!(Kafka::shared().consume(&topic), []);

    let own = format!("http://127.0.0.1:{}", bridge().port);
    bridge().request("POST", &target, &[("Origin", &own)], b"x").expect(200);
}

#[test]
fn a_host_that_is_not_loopback_is_rejected() {
    for (host, status) in [("evil.example", 403), ("localhost", 200), ("127.0.0.1:8080", 200), ("[::1]:1", 200)] {
        assert_eq!(bridge().request("GET", "/health", &[("Host", host)], b"").status, status, "{host}");
    }
}

#[test]
fn an_allowed_page_gets_its_cors_headers() {
    let kafka = Kafka::shared();
    let topic = kafka.fresh("allowed", 1);
    let bridge = Bridge::start_with(&kafka.bootstrap(), &["--cors-origin", PAGE]);
    let target = format!("/topics/{topic}");
    let answer = bridge.request("POST", &target, &[("Origin", PAGE)], b"x").expect(200);
    assert_eq!(answer.header("access-control-allow-origin"), Some(PAGE));
    let asked = [
        ("Origin", PAGE),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "last-event-id,content-type,x-kafka-trace"),
    ];
    let preflight = bridge.request("OPTIONS", &target, &asked, b"");
    assert!(matches!(preflight.status, 200 | 204), "{}", preflight.text());
    let allowed = preflight.header("access-control-allow-headers").expect("headers").to_ascii_lowercase();
    assert!(["last-event-id", "content-type", "x-kafka-trace"].iter().all(|h| allowed.contains(h)), "{allowed}");
    assert!(preflight.header("access-control-max-age").is_some());
    bridge.request("POST", &target, &[("Origin", "https://other.example")], b"x").expect(403);
}
