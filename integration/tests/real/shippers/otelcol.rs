//! The OpenTelemetry Collector, built from its modules in `integration/otelcol`.

use super::{Shipper, example, json};
use crate::SOON;
use curlew_integration::{cache, eventually, free_port, http};
use serde_json::{Value, json};
use std::ops::Range;

pub struct Otelcol {
    shipper: Shipper,
    receiver: u16,
    telemetry: u16,
}

impl Otelcol {
    pub fn start(port: u16, topic: &str) -> Self {
        let (receiver, telemetry) = (free_port(), free_port());
        let config = |_: &str| {
            let receivers = json!({"otlp": {"protocols": {"http": {"endpoint": format!("127.0.0.1:{receiver}")}}}});
            let prometheus = json!({"host": "127.0.0.1", "port": telemetry});
            let service = json!({
                "telemetry": {"metrics": {"readers": [{"pull": {"exporter": {"prometheus": prometheus}}}]}},
                "pipelines": {"logs": {"receivers": ["otlp"], "exporters": ["otlp_http"]}},
            });
            format!("receivers: {receivers}\nservice: {service}\n{}", example("otel-collector.yaml", port, topic))
        };
        let arguments = |path: &str| vec!["--config".to_owned(), format!("{path}/config")];
        let shipper = Shipper::start(&cache().join("otelcol/otelcol"), config, arguments);
        eventually("the Collector is up", SOON, || http::try_connect(receiver).map_err(|error| error.to_string()));
        Self { shipper, receiver, telemetry }
    }

    /// Passes one request to the Collector, with a log record for each of these numbers.
    pub fn log(&self, numbers: Range<usize>) {
        let records: Vec<Value> = numbers.map(|number| json!({"body": {"stringValue": text(number)}})).collect();
        let body = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}).to_string();
        http::post(self.receiver, "/v1/logs", "application/json", body).expect(200);
    }

    /// Returns the counters of the exporter: sent, failed, rejected by its queue.
    pub fn counters(&self) -> [usize; 3] {
        let text = http::get(self.telemetry, "/metrics").expect(200).text();
        ["sent", "send_failed", "enqueue_failed"].map(|name| {
            let name = format!("otelcol_exporter_{name}_log_records");
            let line = text.lines().find(|line| line.starts_with(&name));
            line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default()
        })
    }

    /// Returns how many responses had this status, one of an error.
    pub fn responses(&self, status: u16) -> usize {
        self.shipper.logged(&format!("HTTP Status Code {status}"))
    }
}

/// The text of a log record.
pub fn text(number: usize) -> String {
    format!("Kessel {number}: \"zu heiß\"")
}

/// Returns the texts of the log records in a request.
pub fn texts(value: &[u8]) -> Vec<String> {
    let request = json(value);
    let records = request["resourceLogs"][0]["scopeLogs"][0]["logRecords"].as_array().expect("log records");
    records.iter().map(|record| record["body"]["stringValue"].as_str().expect("a text").to_owned()).collect()
}
