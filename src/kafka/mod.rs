//! Real brokers behind the seam; the only place that names a Kafka crate.

pub mod wire;
