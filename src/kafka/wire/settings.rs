//! The client's connection settings and limits.

use super::throttle::ThrottleTime;
use crate::kafka::security::Security;
use std::time::Duration;

/// The settings of one cluster, shared by all its connections.
#[derive(Debug, Clone)]
pub struct WireSettings {
    /// Bootstrap servers, as `host:port`; they return the addresses of all brokers.
    pub bootstrap: Vec<String>,
    /// TLS and SASL of all connections.
    pub security: Security,
    /// Identifies the bridge in the brokers' logs and quotas.
    pub client_id: String,
    /// The timeout of connecting to each resolved address, and of the first response.
    pub connect_timeout: Duration,
    /// The timeout of a request, from sending it to the last byte of its response.
    pub request_timeout: Duration,
    /// The maximum size of a response in bytes. A larger one fails with
    /// [`Corrupt`](crate::broker::BrokerError::Corrupt).
    pub max_frame: usize,
    /// The settings of the producer.
    pub produce: ProducerSettings,
    /// The total throttle time of the connections so far.
    pub throttled: ThrottleTime,
}

impl Default for WireSettings {
    fn default() -> Self {
        Self {
            bootstrap: vec!["127.0.0.1:9092".to_owned()],
            security: Security::default(),
            client_id: "curlew".to_owned(),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            max_frame: 128 << 20,
            produce: ProducerSettings::default(),
            throttled: ThrottleTime::default(),
        }
    }
}

/// How the producer batches and retries.
#[derive(Debug, Clone)]
pub struct ProducerSettings {
    /// The size of a batch in bytes, and approximately of a request.
    pub batch_bytes: usize,
    /// The limit of one record in bytes, including the rest of its request; a larger record is rejected.
    pub max_request_bytes: usize,
    /// How long records are collected while other requests are in flight. With none in flight they are sent at once.
    pub linger: Duration,
    /// How long a broker may take for a request, whose `timeout_ms` is four fifths of this. Must be longer than Kafka's
    /// session timeout (9 s), after which a dead follower leaves the in-sync replicas, and shorter than callers wait, so
    /// that there is time for a retry.
    pub request_timeout: Duration,
    /// The maximum age of a topic's metadata when records are produced to it.
    pub metadata_refresh: Duration,
    /// After no broker has responded for this long, unsent records are rejected.
    pub unavailable_after: Duration,
}

impl Default for ProducerSettings {
    fn default() -> Self {
        // Brokers accept batches of 1 MiB (`message.max.bytes`) by default.
        Self {
            batch_bytes: 1_000_000,
            // The Java client's default.
            max_request_bytes: 1_048_576,
            linger: Duration::from_millis(2),
            request_timeout: Duration::from_secs(20),
            metadata_refresh: Duration::from_secs(5),
            unavailable_after: Duration::from_secs(5),
        }
    }
}
