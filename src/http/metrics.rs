//! `GET /metrics`, in the formats of Prometheus and OpenMetrics. Gauges are read at scrape time. The only label whose
//! values come from clients is `topic`, with at most 100 values.

mod bridge;
mod encoder;
mod memory;
mod process;
mod requests;
mod schemas;

pub use requests::RequestMetrics;

use super::problem::Problem;
use crate::hub::Hub;
use crate::schemas::registry::SchemaRegistry;
use crate::sync::memory_budget::MemoryBudget;
use bridge::BridgeMetrics;
use memory::MemoryMetrics;
use process::ProcessMetrics;
use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use schemas::SchemaMetrics;
use std::sync::Arc;
use warp::http::header::{ACCEPT, HeaderMap, HeaderValue};

/// The media type of OpenMetrics, which Prometheus requests.
const OPEN_METRICS: &str = "application/openmetrics-text";
const OPEN_METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub struct Metrics {
    registry: Registry,
    pub requests: RequestMetrics,
}

impl Metrics {
    pub fn new(hub: &Arc<Hub>, memory: &MemoryBudget, schemas: Option<&SchemaRegistry>) -> Self {
        let mut registry = Registry::default();
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        registry.register("curlew_build", "Version of the running program", Info::new(version));
        let requests = RequestMetrics::register(&mut registry);
        registry.register_collector(Box::new(BridgeMetrics(hub.clone())));
        registry.register_collector(Box::new(MemoryMetrics(memory.clone())));
        registry.register_collector(Box::new(ProcessMetrics));
        if let Some(schemas) = schemas {
            registry.register_collector(Box::new(SchemaMetrics(schemas.clone())));
        }
        Self { registry, requests }
    }

    /// Returns the media type and the text of all metrics, in the format that `Accept` prefers. Blocks for a moment while a
    /// batch is being fanned out.
    pub fn encode(&self, headers: &HeaderMap) -> Result<(&'static str, String), Problem> {
        let wants_open = |accept: &HeaderValue| accept.to_str().is_ok_and(|text| text.contains(OPEN_METRICS));
        let mut out = String::new();
        let (content_type, written) = if headers.get_all(ACCEPT).iter().any(wants_open) {
            (OPEN_METRICS_TYPE, text::encode(&mut out, &self.registry))
        } else {
            (prometheus_text::CONTENT_TYPE, prometheus_text::encode(&mut out, &self.registry))
        };
        written.map_err(|_| Problem::internal("the metrics cannot be written; please report it"))?;
        Ok((content_type, out))
    }
}
