//! Metrics of the memory budget: its size, and its use.

use super::encoder::MetricsEncoder;
use crate::sync::memory_budget::MemoryBudget;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use std::fmt::Error;

#[derive(Debug)]
pub struct MemoryMetrics(pub MemoryBudget);

impl Collector for MemoryMetrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut page = MetricsEncoder(encoder);
        let help = "Bytes of the memory budget (--memory-budget), by its shares: small_bodies and bodies of requests, pages of \
                    records and other large responses, tables of time series (series), offsets and newest records of all \
                    topics (topics), batches read by the live flow (live) or by streams that catch up (catch_up), the \
                    latest records of topics (snapshots), schemas of the registry, chunks of frames that wait for slow clients, and live_chunks for \
                    fast ones";
        let shares = self.0.shares();
        let most = shares.map(|share| (share.name(), share.limit() as u64));
        page.gauges(("curlew_memory_budget_bytes", help), "share", most)?;
        let help = "Bytes of each share that are in use; a request that does not fit is rejected with 503, a batch is read later";
        let used = shares.map(|share| (share.name(), share.used() as u64));
        page.gauges(("curlew_memory_used_bytes", help), "share", used)
    }
}
