//! Metrics of the process, under the names that all Prometheus clients use.

use super::encoder::MetricsEncoder;
use crate::os::process::usage;
use crate::sync::watchdog;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use std::fmt::Error;

#[derive(Debug)]
pub struct ProcessMetrics;

impl Collector for ProcessMetrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut page = MetricsEncoder(encoder);
        page.counter(
            "curlew_worker_panics",
            "Panics of the bridge's threads; each is logged, and its thread restarted",
            watchdog::panics(),
        )?;
        let Ok(usage) = usage() else { return Ok(()) };
        page.gauge(
            "process_start_time_seconds",
            "Start time of the process in seconds since the Unix epoch",
            usage.started,
        )?;
        page.counter("process_cpu_seconds", "User and system CPU time", usage.cpu)?;
        page.gauge("process_resident_memory_bytes", "Resident memory", usage.resident)?;
        page.gauge("process_virtual_memory_bytes", "Virtual memory", usage.virtual_memory)?;
        page.gauge("process_threads", "Threads", usage.threads)?;
        page.gauge("process_open_fds", "Open file descriptors, connections included", usage.open_files)?;
        usage.max_files.map_or(Ok(()), |most| page.gauge("process_max_fds", "Limit of open file descriptors", most))
    }
}
