//! Our own blocking client: Kafka 0.11 to 4.4 and later.

pub mod backoff;
pub mod cluster;
pub mod connection;
pub mod errors;
mod metadata;
pub mod produce;
pub mod settings;
pub mod shape;
pub mod versions;

pub use settings::Settings;
