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
                    records and other large answers, what the live flow has read (live) or streams that catch up \
                    (catch_up), chunks of frames that wait for slow clients, and for quick ones beside them (live_chunks)";
        let shares = self.0.shares();
        let most = shares.map(|share| (share.name(), share.limit() as u64));
        page.gauges(("curlew_memory_budget_bytes", help), "share", most)?;
        let help = "Bytes of each share that are in use; what does not fit is refused with 503, or read later";
        let used = shares.map(|share| (share.name(), share.used() as u64));
        page.gauges(("curlew_memory_used_bytes", help), "share", used)
    }
}
