//! Metrics of the schema registry.

use super::encoder::MetricsEncoder;
use crate::schemas::registry::SchemaRegistry;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use std::fmt::Error;

#[derive(Debug)]
pub struct SchemaMetrics(pub SchemaRegistry);

impl Collector for SchemaMetrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut page = MetricsEncoder(encoder);
        let usage = self.0.usage();
        let help = "Requests to the schema registry, by their outcome: answered, not_found, refused (the credentials or the \
                    schema), unreachable (no replica answered)";
        let requests = usage.requests.map(|(outcome, count)| ([outcome], count));
        page.counters(("curlew_schema_registry_requests", help), ["outcome"], requests)?;
        let help = "Schema ids in the cache, with their schema or the error in its place";
        page.gauge("curlew_cached_schemas", help, usage.cached)?;
        page.gauge("curlew_cached_schemas_bytes", "Memory of curlew_cached_schemas", usage.cached_bytes)
    }
}
