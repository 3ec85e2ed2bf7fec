//! The settings of `serve` that limit the process, a client or a stream.

use super::values;
use crate::cel;
use crate::http::limits::{Loopback, Settings};
use clap::Args;
use std::time::Duration;

#[derive(Debug, Args)]
pub struct LimitArgs {
    /// Memory for bodies, pages of records, fetched batches, snapshots, schemas and chunks queued for clients; beyond it, 503.
    ///
    /// auto is a quarter of the memory available to the process (the machine's, or the limit of its control group if that is
    /// less), but at least 64MiB and at most 256MiB. Records queued for Kafka are limited separately, by --queue-bytes.
    #[arg(long, help_heading = "Limits", env = "CURLEW_MEMORY_BUDGET", value_name = "SIZE", default_value = "auto",
          value_parser = values::memory_budget)]
    pub memory_budget: usize,

    /// Memory for the latest records of one topic (from=snapshot); a topic that needs more is rejected with 413.
    ///
    /// A record takes about 160 bytes more than its key, value and headers. auto is an eighth of the memory budget, which
    /// all topics share.
    #[arg(long, help_heading = "Limits", env = "CURLEW_SNAPSHOT_BYTES", value_name = "SIZE", default_value = "auto",
          value_parser = values::size_or_auto)]
    pub snapshot_bytes: usize,

    /// Timeout for receiving a complete body, except x-ndjson; then 408.
    #[arg(long, help_heading = "Limits", env = "CURLEW_BODY_TIMEOUT", value_name = "TIME", default_value = "1m", value_parser = values::duration)]
    pub body_timeout: Duration,

    /// Maximum size of a request's header section with the URL; larger ones are rejected with 431.
    #[arg(long, help_heading = "Limits", env = "CURLEW_MAX_HEADER", value_name = "SIZE", default_value = "16KiB", value_parser = values::size)]
    max_header: usize,

    /// Timeout for the TLS handshake, and for a request's header section; then 408.
    ///
    /// Also the idle timeout between two requests. HTTP/2 connections are closed without a 408.
    #[arg(long, help_heading = "Limits", env = "CURLEW_HEADER_TIMEOUT", value_name = "TIME", default_value = "30s",
          value_parser = values::duration)]
    header_timeout: Duration,

    /// Maximum number of connections per address, or unlimited; further ones are rejected with 429.
    ///
    /// Addresses of trusted proxies are not counted. An IPv6 /64 network counts as one address.
    #[arg(long, help_heading = "Limits", env = "CURLEW_MAX_CONNECTIONS_PER_ADDRESS", value_name = "N", default_value = "1000",
          value_parser = values::count_or_unlimited)]
    max_connections_per_address: usize,

    /// Maximum number of event streams per address, or unlimited; further ones are rejected with 429.
    ///
    /// Streams with a key count for the key instead of the address.
    #[arg(long, help_heading = "Limits", env = "CURLEW_MAX_STREAMS_PER_ADDRESS", value_name = "N", default_value = "500",
          value_parser = values::count_or_unlimited)]
    max_streams_per_address: usize,

    /// Maximum number of event streams per key, or unlimited; further ones are rejected with 429.
    ///
    /// Streams of its tickets are included, so all readers of a page may count for one key.
    #[arg(long, help_heading = "Limits", env = "CURLEW_MAX_STREAMS_PER_KEY", value_name = "N", default_value = "5000",
          value_parser = values::count_or_unlimited)]
    max_streams_per_key: usize,

    /// Maximum number of requests per second and key, or address without a key, or unlimited; then 429.
    ///
    /// Bursts of twice as many are allowed. An x-ndjson body is one request, whatever its duration. Event streams with a key
    /// are limited only in number, since all of them reconnect at once after a restart.
    #[arg(long, help_heading = "Limits", env = "CURLEW_MAX_REQUESTS_PER_SECOND", value_name = "N", default_value = "1000",
          value_parser = values::count_or_unlimited)]
    max_requests_per_second: usize,

    /// Apply the limits per address to loopback addresses too.
    ///
    /// By default they are exempt: they are the machine's owner, or a proxy in front of all clients (name it with
    /// --trusted-proxy).
    #[arg(long, help_heading = "Limits", env = "CURLEW_COUNT_LOOPBACK")]
    count_loopback: bool,

    /// Maximum number of topics per event stream.
    #[arg(long, help_heading = "Limits", env = "CURLEW_MAX_TOPICS_PER_STREAM", value_name = "N", default_value_t = 64,
          value_parser = clap::value_parser!(u16).range(1..=1000))]
    max_topics_per_stream: u16,

    /// Maximum length of a where= expression in characters.
    #[arg(long, help_heading = "Limits", env = "CURLEW_MAX_FILTER_LENGTH", value_name = "N", default_value_t = 1024,
          value_parser = clap::value_parser!(u16).range(1..))]
    max_filter_length: u16,

    /// Maximum number of evaluation steps of where= per record; a record that exceeds it does not match.
    #[arg(long, help_heading = "Limits", env = "CURLEW_MAX_FILTER_STEPS", value_name = "N", default_value_t = 262_144,
          value_parser = clap::value_parser!(u32).range(1..=1 << 26))]
    max_filter_steps: u32,
}

impl LimitArgs {
    pub fn settings(&self) -> Settings {
        Settings {
            max_header: self.max_header,
            header_timeout: self.header_timeout,
            connections_per_address: self.max_connections_per_address,
            streams_per_address: self.max_streams_per_address,
            streams_per_key: self.max_streams_per_key,
            requests_per_second: self.max_requests_per_second,
            topics_per_stream: self.max_topics_per_stream.into(),
            filter: cel::CelLimits { length: self.max_filter_length.into(), steps: self.max_filter_steps },
            loopback: if self.count_loopback { Loopback::Counted } else { Loopback::Exempt },
        }
    }
}
