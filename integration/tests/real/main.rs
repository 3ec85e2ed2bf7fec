//! The real binary against real brokers, with third-party clients.
//!
//! One program, so that its suites share brokers and the Java client.

mod cloudevents;
mod conformance;
mod consume;
mod doctor;
mod drivers;
mod embedded;
mod failures;
mod gaps;
mod harness;
mod image;
mod metrics;
mod moving;
mod openapi;
mod origins;
mod produce;
mod producer;
mod rest_clients;
mod resume;
mod security;
mod select;
mod series;
mod service;
mod ship;
mod snapshot;
mod streams;
mod survive;
mod terminal;
mod uploads;
mod walk_through;

use curlew_integration::bridge::Bridge;
use curlew_integration::kafka::Kafka;
use std::sync::OnceLock;
use std::time::Duration;

/// A bridge to the shared 4.4.0 broker, for tests that do not change it.
fn bridge() -> &'static Bridge {
    static SHARED: OnceLock<Bridge> = OnceLock::new();
    SHARED.get_or_init(|| Bridge::start(&Kafka::shared().bootstrap()))
}

const SOON: Duration = Duration::from_secs(30);
