//! `/metrics` on a real broker, read by the parser of Prometheus' Python client.

use crate::SOON;
use curlew_integration::bridge::Bridge;
use curlew_integration::http::Response;
use curlew_integration::kafka::Kafka;
use curlew_integration::process::output_with_input;
use curlew_integration::{cache, eventually, file, fresh_topic};
use serde_json::Value;
use std::process::Command;

/// Parses samples by name and labels with `clients/metrics.py`.
fn read(format: &str, answer: &Response) -> Value {
    let mut python = Command::new(cache().join("schemathesis/bin/python"));
    let output = output_with_input(python.arg(file("clients/metrics.py")).arg(format), &answer.body);
    assert!(output.status.success(), "{}", answer.text());
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn prometheus_can_read_all_metrics() {
    let bridge = Bridge::start(&Kafka::shared().bootstrap());
    let topic = fresh_topic("metrics");
    for n in 0..3 {
        bridge.post(&format!("/topics/{topic}"), "application/json", n.to_string()).expect(200);
    }
    let mut stream = bridge.events(&format!("/topics/{topic}/events?from=earliest"));
    stream.take(3);
    eventually("the stream is live", SOON, || {
        let metrics = read("text", &bridge.get("/metrics").expect(200));
        match metrics[r#"curlew_streams{state=live}"#].as_f64() {
            Some(1.0) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    bridge.post(&format!("/topics/{topic}"), "application/json", "3").expect(200);
    stream.take(1);
    // The client has the record before its latency is recorded.
    eventually("the delivery is counted", SOON, || {
        let metrics = read("text", &bridge.get("/metrics").expect(200));
        match metrics["curlew_delivery_latency_seconds_count"].as_f64() {
            Some(count) if count >= 1.0 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });

    let open = [("accept", "application/openmetrics-text; version=1.0.0")];
    for (format, answer) in [
        ("text", bridge.get("/metrics").expect(200)),
        ("openmetrics", bridge.request("GET", "/metrics", &open, b"").expect(200)),
    ] {
        let metrics = read(format, &answer);
        let value = |series: &str| metrics[series].as_f64().unwrap_or_else(|| panic!("no {series} in {metrics:#}"));
        assert_eq!(value("curlew_produced_records_total{outcome=acknowledged}"), 4.0);
        assert_eq!(value("curlew_produced_bytes_total{outcome=acknowledged}"), 4.0);
        assert_eq!(value("curlew_delivered_records_total"), 4.0);
        assert_eq!(value("curlew_produce_latency_seconds_count"), 4.0);
        assert!(value("curlew_delivery_latency_seconds_count") >= 1.0);
        assert!(value("curlew_delivery_latency_seconds_sum") < 60.0);
        assert!(value("curlew_broker_connections_total") >= 2.0);
        assert_eq!(value("curlew_broker_outages"), 0.0);
        assert_eq!(value("curlew_stream_lag_records{flow=live}"), 0.0);
        assert_eq!(value(&format!("curlew_topic_lag_records{{topic={topic}}}")), 0.0);
        assert_eq!(value("curlew_worker_panics_total"), 0.0);
    }
}
