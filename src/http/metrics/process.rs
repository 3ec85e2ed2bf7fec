//! The process, by the names that all Prometheus clients give it.

use super::page::MetricsEncoder;
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
            "Panics of the bridge's threads, each of which was logged and its thread started again",
            watchdog::panics(),
        )?;
        let Ok(usage) = usage() else { return Ok(()) };
        page.gauge("process_start_time_seconds", "When the process began, since 1970", usage.started)?;
        page.counter("process_cpu_seconds", "Processor time of user and system", usage.cpu)?;
        page.gauge("process_resident_memory_bytes", "Main memory in use", usage.resident)?;
        page.gauge("process_virtual_memory_bytes", "Address space in use", usage.virtual_memory)?;
        page.gauge("process_threads", "Threads", usage.threads)?;
        page.gauge("process_open_fds", "Open files, connections among them", usage.open_files)?;
        usage.max_files.map_or(Ok(()), |most| page.gauge("process_max_fds", "Open files that are allowed", most))
    }
}
