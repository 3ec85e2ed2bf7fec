//! Real brokers behind the seam; the only place that names a Kafka crate.

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

/// How to speak with Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Driver {
    /// Kafka 0.11 and later. Nothing else is ever chosen by itself, whatever a broker says of its age: who sits in
    /// between could say it too.
    #[value(alias = "auto")]
    Wire,
    /// Only for brokers before Kafka 0.11 (it works up to 3.9) that are trusted with our memory: no headers, no
    /// timestamps, no read_committed.
    Crate,
}

/// Which cluster, and how to reach it.
#[derive(Debug, Clone)]
pub struct KafkaSettings {
    /// `host:port` of some brokers.
    pub brokers: Vec<String>,
    pub security: Security,
    /// Names us in the broker's logs and quotas.
    pub client_id: Option<String>,
    pub driver: Driver,
    /// The largest request with records, in bytes; `None`: as in the Java client.
    pub max_request_bytes: Option<usize>,
    /// The largest age of what is known of a topic that is written to; `None`: the default.
    pub metadata_refresh: Option<Duration>,
    /// Lines for the log at the start.
    pub notes: Vec<String>,
}

impl KafkaSettings {
    /// In `PLAINTEXT`.
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
        let produce = wire::produce::ProducerSettings {
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

/// Never fails: Kafka may be away now and come later.
pub fn connect(connection: &KafkaSettings) -> Arc<dyn Broker> {
    connection.notes.iter().for_each(|note| warn!("{note}"));
    let settings = connection.settings();
    match connection.driver {
        Driver::Wire => Arc::new(Wire::connect(settings)),
        Driver::Crate => Arc::new(CrateDriver::new(&settings)),
    }
}
