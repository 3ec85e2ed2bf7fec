//! The [`Broker`] implementations for Kafka clusters. Only this module uses the Kafka crates.

#![deny(missing_docs)]

mod crate_driver;
pub mod doctor;
pub mod security;
#[cfg(test)]
mod tests;
pub mod wire;

use crate::broker::Broker;
use clap::ValueEnum;
use crate_driver::CrateDriver;
use log::warn;
use security::Security;
use std::sync::Arc;
use std::time::Duration;
use wire::Wire;

/// Which client talks to Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Driver {
    /// Kafka 0.11 and later. The bridge never switches to `crate` automatically, because anyone on the network path
    /// could forge a broker's version.
    #[value(alias = "auto")]
    Wire,
    /// Only for trusted brokers before Kafka 0.11 (it works up to 3.9), because a malicious response can exhaust the
    /// bridge's memory: no headers, no timestamps, no read_committed.
    Crate,
}

/// Which Kafka cluster to connect to, and how.
#[derive(Debug, Clone)]
pub struct KafkaSettings {
    /// Bootstrap servers, as `host:port`.
    pub brokers: Vec<String>,
    /// TLS and SASL of all connections.
    pub security: Security,
    /// Identifies the bridge in the brokers' logs and quotas. `None` stands for `curlew`.
    pub client_id: Option<String>,
    /// The client to use.
    pub driver: Driver,
    /// The size of the largest produce request in bytes. `None` stands for the Java client's default.
    pub max_request_bytes: Option<usize>,
    /// The maximum age of a topic's metadata when records are produced to it. `None` stands for the default.
    pub metadata_refresh: Option<Duration>,
    /// Warnings to log on connecting.
    pub notes: Vec<String>,
}

impl KafkaSettings {
    /// Returns settings without TLS and SASL (`PLAINTEXT`).
    pub fn plain(brokers: &[&str], driver: Driver) -> Self {
        let brokers = brokers.iter().map(|&broker| broker.to_owned()).collect();
        Self {
            brokers,
            security: Security::default(),
            client_id: None,
            driver,
            max_request_bytes: None,
            metadata_refresh: None,
            notes: Vec::new(),
        }
    }

    fn settings(&self) -> wire::WireSettings {
        let defaults = wire::WireSettings::default();
        let max_request_bytes = self.max_request_bytes.unwrap_or(defaults.produce.max_request_bytes);
        let produce = wire::settings::ProducerSettings {
            max_request_bytes,
            batch_bytes: defaults.produce.batch_bytes.min(max_request_bytes),
            metadata_refresh: self.metadata_refresh.unwrap_or(defaults.produce.metadata_refresh),
            ..defaults.produce
        };
        wire::WireSettings {
            produce,
            bootstrap: self.brokers.clone(),
            security: self.security.clone(),
            client_id: self.client_id.clone().unwrap_or(defaults.client_id),
            ..defaults
        }
    }
}

/// Returns a client of the cluster. It connects on the first request, so this succeeds while Kafka is down.
pub fn connect(connection: &KafkaSettings) -> Arc<dyn Broker> {
    connection.notes.iter().for_each(|note| warn!("{note}"));
    let settings = connection.settings();
    match connection.driver {
        Driver::Wire => Arc::new(Wire::connect(settings)),
        Driver::Crate => Arc::new(CrateDriver::new(&settings)),
    }
}
