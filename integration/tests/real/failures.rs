//! Invalid settings, and an unavailable Kafka.

use crate::SOON;
use curlew_integration::bridge::{Bridge, run};
use curlew_integration::kafka::{Kafka, Options};
use curlew_integration::{eventually, free_port, http};
use serde_json::json;
use std::net::TcpListener;

#[test]
fn the_bridge_starts_without_kafka_and_begins_when_kafka_starts() {
    let port = free_port();
    let bridge = Bridge::start(&format!("127.0.0.1:{port}"));
    bridge.get("/health").expect(200);
    let ready = bridge.get("/ready").expect(503);
    assert!(ready.json()["detail"].as_str().expect("detail").len() > 10, "{}", ready.text());
    let mut stream = bridge.events("/topics/late/events?wait=true");
    stream.wait_for_comment("connected", std::time::Duration::from_secs(2));
    let answer = bridge.post("/topics/late", "text/plain", "lost");
    assert!(matches!(answer.status, 503 | 504), "{} {}", answer.status, answer.text());
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert!(answer.status == 504 || answer.header("retry-after").is_some(), "a 503 has a Retry-After");

    let kafka = Kafka::start(Options { port: Some(port), ..Options::default() });
    eventually("the bridge is ready", SOON, || match http::get(bridge.port, "/ready") {
        ready if ready.status == 200 => Ok(()),
        other => Err(other.text()),
    });
    // The latest offset is looked up when the broker first responds.
    stream.first_id();
    kafka.create("late", 1);
    kafka.produce("late", json!([{"value": "the first"}]));
    assert_eq!(stream.take(1), ["the first"]);
    bridge.post("/topics/late", "text/plain", "the second").expect(200);
    assert_eq!(stream.take(1), ["the second"]);
}

#[test]
fn sigterm_ends_the_bridge_with_open_streams() {
    let kafka = Kafka::shared();
    let topic = kafka.fresh("term", 1);
    let mut bridge = Bridge::start(&kafka.bootstrap());
    let mut stream = bridge.events(&format!("/topics/{topic}/events"));
    stream.first_id();
    assert_eq!(bridge.stop(), Some(0));
    let rest = stream.rest();
    assert!(rest.iter().all(|e| e.kind == "problem"), "{rest:?}");
}

#[test]
fn invalid_settings_are_reported_in_one_line_with_exit_code_2() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("address").to_string();
    let cases: [(&[&str], &str); 9] = [
        (&["serve", "--kafka", "127.0.0.1:9", "--listen", &taken], &taken),
        (&["serve", "--kafka", "127.0.0.1:9", "--listen", "nonsense"], "nonsense"),
        (&["serve", "--kafka", "127.0.0.1:9", "--listen", "127.0.0.1:99999"], "99999"),
        (&["serve", "--kafka", "no-port", "--listen", "127.0.0.1:0"], "no-port"),
        (&["serve", "--kafka", "127.0.0.1:9", "--driver", "steam"], "steam"),
        (&["serve", "--kafka", "127.0.0.1:9", "--nonsense"], "--nonsense"),
        (&["serve", "--kafka", "127.0.0.1:9", "--cors-origin", "not an origin"], "not an origin"),
        (&["serve", "--data", "/dev/null/curlew", "--listen", "127.0.0.1:0"], "--data"),
        (&["consume", "bad topic", "--kafka", "127.0.0.1:9"], "bad topic"),
    ];
    let mut wrong = Vec::new();
    for (arguments, named) in cases {
        let output = run(arguments);
        let printed = String::from_utf8_lossy(&output.stderr);
        if output.status.code() != Some(2) || printed.trim().lines().count() != 1 || !printed.contains(named) {
            wrong.push(format!("{arguments:?}: {}, said {printed:?}, should name {named:?}", output.status));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_server_that_is_not_kafka_is_reported_as_an_error() {
    // Answers every request with the header of a 2 GB frame, then garbage.
    let impostor = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = impostor.local_addr().expect("address").to_string();
    std::thread::spawn(move || {
        for mut client in impostor.incoming().map_while(Result::ok) {
            let _ = std::io::Write::write_all(&mut client, &[&[0x7f, 0xff, 0xff, 0xff][..], &[0xa5; 4000]].concat());
        }
    });
    let mut bridge = Bridge::start(&address);
    let ready = bridge.get("/ready").expect(503);
    assert!(ready.json()["detail"].is_string());
    bridge.get("/health").expect(200);
    let status = std::fs::read_to_string(format!("/proc/{}/status", bridge.process().id())).expect("status");
    let resident = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).expect("VmRSS");
    let kilobytes: usize = resident.trim().trim_end_matches(" kB").parse().expect("number");
    assert!(kilobytes < 200_000, "{kilobytes} kB");
}
