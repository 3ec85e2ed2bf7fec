//! Which Kafka, and how to speak with it.

use super::values;
use crate::kafka::Driver;
use clap::Args;

#[derive(Debug, Args)]
#[command(next_help_heading = "Kafka")]
pub struct Kafka {
    /// Kafka's address, or several: host:port,host:port.
    #[arg(long = "kafka", env = "CURLEW_KAFKA", value_name = "HOST:PORT,…", value_delimiter = ',',
          value_parser = values::broker)]
    pub(super) brokers: Vec<String>,

    /// How to speak with Kafka: wire, crate, or auto, which asks the broker.
    ///
    /// wire is for 0.11 and later, crate only for older brokers.
    #[arg(long, env = "CURLEW_DRIVER", value_name = "DRIVER", default_value = "auto")]
    pub(super) driver: Driver,
}
