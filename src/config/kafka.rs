//! Which Kafka, and how to speak with it.

use super::client_properties::ClientProperties;
use super::values;
use crate::kafka::{self, Driver};
use clap::{Args, ValueHint};
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(next_help_heading = "Kafka")]
pub struct KafkaArgs {
    /// Kafka's address, or several: host:port,host:port.
    #[arg(long = "kafka", env = "CURLEW_KAFKA", value_name = "HOST:PORT,…", value_delimiter = ',',
          value_parser = values::broker)]
    pub(super) brokers: Vec<String>,

    /// File with TLS, user and password for Kafka: the client.properties of Kafka's own tools.
    ///
    /// Such as security.protocol, sasl.mechanism, sasl.jaas.config, and ssl.truststore.location as PEM. Its
    /// bootstrap.servers count where no --kafka is given.
    #[arg(long, env = "CURLEW_KAFKA_CONFIG", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) kafka_config: Option<PathBuf>,

    /// How to speak with Kafka: wire, or crate for brokers before 0.11.
    ///
    /// crate knows no TLS and no SASL, and believes the lengths that it is told: a broker, or whoever sits in between, can
    /// make it ask for more memory than there is, which ends the bridge.
    #[arg(long, env = "CURLEW_DRIVER", value_name = "DRIVER", default_value = "wire")]
    pub(super) driver: Driver,

    #[arg(skip)]
    connection: Option<kafka::KafkaSettings>,
}

impl KafkaArgs {
    /// Kafka, where any is given.
    pub fn connection(&self) -> Option<&kafka::KafkaSettings> {
        self.connection.as_ref()
    }

    /// No Kafka, whatever was given.
    pub(super) fn clear(&mut self) {
        self.brokers.clear();
        self.kafka_config = None;
        self.connection = None;
    }

    /// Puts together what was given, for [`connection`](Self::connection).
    pub(super) fn connect(&mut self) -> Result<(), String> {
        self.connection = self.resolve()?;
        Ok(())
    }

    /// An error says what does not fit.
    pub(super) fn resolve(&self) -> Result<Option<kafka::KafkaSettings>, String> {
        let file = self.kafka_config.as_deref().map(ClientProperties::read).transpose()?;
        let brokers = match (self.brokers.as_slice(), &file) {
            ([], None) => return Ok(None),
            ([], Some(file)) if file.bootstrap.is_empty() => {
                let why = "the file of --kafka-config has no bootstrap.servers; give --kafka HOST:PORT too";
                return Err(why.to_owned());
            }
            ([], Some(file)) => file.bootstrap.clone(),
            (given, _) => given.to_vec(),
        };
        let (security, client_id, max_request_bytes, notes) = match file {
            Some(file) => (file.security, file.client_id, file.max_request_bytes, file.notes),
            None => Default::default(),
        };
        if security.is_on() && self.driver == Driver::Crate {
            return Err(format!(
                "--driver crate speaks PLAINTEXT only, and the file of --kafka-config wants {}; leave --driver out, or \
                 give --driver wire",
                security.describe()
            ));
        }
        Ok(Some(kafka::KafkaSettings {
            brokers,
            security,
            client_id,
            driver: self.driver,
            max_request_bytes,
            metadata_refresh: None,
            notes,
        }))
    }
}
