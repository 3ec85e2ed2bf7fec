//! How the client connects and what it takes.

use super::throttle::ThrottleTime;
use crate::kafka::security::Security;
use std::time::Duration;

/// Of one cluster; shared by all its connections.
#[derive(Debug, Clone)]
pub struct WireSettings {
    /// `host:port` of some brokers; the others are learnt from them.
    pub bootstrap: Vec<String>,
    pub security: Security,
    /// Names us in the broker's logs and quotas.
    pub client_id: String,
    /// For each resolved address, and again for the first answer there.
    pub connect_timeout: Duration,
    /// For each request, from sending to the last byte of its answer.
    pub request_timeout: Duration,
    /// Bytes of one answer; a longer one is [`Corrupt`](crate::broker::BrokerError::Corrupt).
    pub max_frame: usize,
    pub produce: super::produce::ProducerSettings,
    /// What quotas have cost so far.
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
            produce: super::produce::ProducerSettings::default(),
            throttled: ThrottleTime::default(),
        }
    }
}
