//! Real brokers behind the seam; the only place that names a Kafka crate.

mod auto;
mod crate_driver;
pub mod wire;

use crate::broker::Broker;
use auto::Auto;
use clap::ValueEnum;
use crate_driver::CrateDriver;
use std::sync::Arc;
use wire::Wire;

/// How to speak with Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Driver {
    /// Ask the broker, then choose.
    Auto,
    /// Kafka 0.11 and later.
    Wire,
    /// Only for brokers before Kafka 0.11 (it works up to 3.9): no headers, no timestamps, no read_committed.
    Crate,
}

/// Brokers by their `host:port`. Never fails: Kafka may be away now and come later.
pub fn connect(brokers: &[String], driver: Driver) -> Arc<dyn Broker> {
    let settings = wire::Settings { bootstrap: brokers.to_vec(), ..wire::Settings::default() };
    match driver {
        Driver::Auto => Arc::new(Auto::new(settings)),
        Driver::Wire => Arc::new(Wire::connect(settings)),
        Driver::Crate => Arc::new(CrateDriver::new(&settings)),
    }
}
