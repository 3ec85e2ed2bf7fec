//! Settings of what one client may take.

use super::values;
use crate::cel;
use crate::http::limits::{Loopback, Settings};
use clap::Args;
use std::time::Duration;

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// Memory for bodies, pages of records, batches that are read and chunks that wait for clients; then 503.
    ///
    /// auto is 256MiB, or a quarter of the memory that the process may have (by its control group, else the machine's)
    /// where that is less, but at least 64MiB. Records that wait for Kafka have --queue-bytes beside it.
    #[arg(long, env = "CURLEW_MEMORY_BUDGET", value_name = "SIZE", default_value = "auto",
          value_parser = values::memory_budget)]
    pub memory_budget: usize,

    /// How long a body may take to come whole, but for x-ndjson; then 408.
    #[arg(long, env = "CURLEW_BODY_TIMEOUT", value_name = "TIME", default_value = "1m", value_parser = values::duration)]
    pub body_timeout: Duration,

    /// Largest head of a request, its URL included; more is refused with 431.
    #[arg(long, env = "CURLEW_MAX_HEADER", value_name = "SIZE", default_value = "16KiB", value_parser = values::size)]
    max_header: usize,

    /// How long a client may take for the TLS handshake, or for a request's head; then 408.
    ///
    /// It is also how long a connection may be idle between two requests. One that speaks HTTP/2 is closed without a 408.
    #[arg(long, env = "CURLEW_HEADER_TIMEOUT", value_name = "TIME", default_value = "30s",
          value_parser = values::duration)]
    header_timeout: Duration,

    /// Most connections of one address, or unlimited; one more is refused with 429.
    ///
    /// Addresses of trusted proxies are not counted; of IPv6, a /64 network counts as one address.
    #[arg(long, env = "CURLEW_MAX_CONNECTIONS_PER_ADDRESS", value_name = "N", default_value = "1000",
          value_parser = values::count)]
    max_connections_per_address: usize,

    /// Most event streams of one address, or unlimited; one more is refused with 429.
    ///
    /// Those that come with a key count for it, wherever they come from.
    #[arg(long, env = "CURLEW_MAX_STREAMS_PER_ADDRESS", value_name = "N", default_value = "500",
          value_parser = values::count)]
    max_streams_per_address: usize,

    /// Most event streams of one key, or unlimited; one more is refused with 429.
    ///
    /// Those of its tickets count too: all readers of a page may hang on one key.
    #[arg(long, env = "CURLEW_MAX_STREAMS_PER_KEY", value_name = "N", default_value = "5000",
          value_parser = values::count)]
    max_streams_per_key: usize,

    /// Most requests a second of one key, or of one address without a key, or unlimited; then 429.
    ///
    /// Twice as many may come at once. An x-ndjson body is one request, however long it goes on; event streams with a key
    /// have only the limit of their number, since all of them come back at once after a restart.
    #[arg(long, env = "CURLEW_MAX_REQUESTS_PER_SECOND", value_name = "N", default_value = "1000",
          value_parser = values::count)]
    max_requests_per_second: usize,

    /// Count clients on this machine too in the limits per address.
    ///
    /// Without it they are left out: they are this machine's owner, or a proxy that hides everybody (name that one with
    /// --trusted-proxy).
    #[arg(long, env = "CURLEW_COUNT_LOOPBACK")]
    count_loopback: bool,

    /// Most topics of one event stream.
    #[arg(long, env = "CURLEW_MAX_TOPICS_PER_STREAM", value_name = "N", default_value_t = 64,
          value_parser = clap::value_parser!(u16).range(1..=1000))]
    max_topics_per_stream: u16,

    /// Longest expression of where=, in characters.
    #[arg(long, env = "CURLEW_MAX_FILTER_LENGTH", value_name = "N", default_value_t = 1024,
          value_parser = clap::value_parser!(u16).range(1..))]
    max_filter_length: u16,

    /// Most steps that where= may take for one record; a record that takes more does not match.
    #[arg(long, env = "CURLEW_MAX_FILTER_STEPS", value_name = "N", default_value_t = 262_144,
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
