//! Settings of the connection to Kafka.

use super::client_properties::{ClientProperties, RegistryProperties};
use super::invalid_settings::InvalidSettings;
use super::values;
use crate::kafka::{self, Driver};
use clap::{Args, ValueHint};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct KafkaArgs {
    /// Addresses of one or more brokers: host:port,host:port.
    #[arg(long = "kafka", help_heading = "Kafka", env = "CURLEW_KAFKA", value_name = "HOST:PORT,…", value_delimiter = ',',
          value_parser = values::broker)]
    pub(super) brokers: Vec<String>,

    /// File with TLS, user and password for Kafka: the client.properties of Kafka's own tools.
    ///
    /// Supports security.protocol, sasl.mechanism, sasl.jaas.config, ssl.truststore.location as PEM, and others. Its
    /// bootstrap.servers are used if --kafka is not given.
    #[arg(long, help_heading = "Kafka", env = "CURLEW_KAFKA_CONFIG", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) kafka_config: Option<PathBuf>,

    /// Kafka client: wire, or crate for brokers before 0.11.
    ///
    /// crate supports neither TLS nor SASL, and does not check lengths in responses: a broker, or an attacker in between, can
    /// make it allocate more memory than available, which ends the bridge.
    #[arg(long, help_heading = "Kafka", env = "CURLEW_DRIVER", value_name = "DRIVER", default_value = "wire")]
    pub(super) driver: Driver,

    #[arg(skip)]
    connection: Option<kafka::KafkaSettings>,
}

impl KafkaArgs {
    /// The settings of the connection, if Kafka is configured.
    pub fn connection(&self) -> Option<&kafka::KafkaSettings> {
        self.connection.as_ref()
    }

    /// Removes the settings of Kafka.
    pub(super) fn clear(&mut self) {
        self.brokers.clear();
        self.kafka_config = None;
        self.connection = None;
    }

    /// Resolves the settings for [`connection`](Self::connection). Returns the file's properties of the schema registry.
    pub(super) fn connect(&mut self) -> Result<RegistryProperties, InvalidSettings> {
        let (connection, registry) = self.resolve()?;
        self.connection = connection;
        Ok(registry)
    }

    /// Combines the flags with the file of --kafka-config.
    pub(super) fn resolve(&self) -> Result<(Option<kafka::KafkaSettings>, RegistryProperties), InvalidSettings> {
        let file = self.kafka_config.as_deref().map(ClientProperties::read).transpose()?;
        let brokers = match (self.brokers.as_slice(), &file) {
            ([], None) => return Ok((None, RegistryProperties::default())),
            ([], Some(file)) if file.bootstrap.is_empty() => return Err(InvalidSettings::MissingBootstrapServers),
            ([], Some(file)) => file.bootstrap.clone(),
            (given, _) => given.to_vec(),
        };
        let (security, client_id, max_request_bytes, notes, registry) = match file {
            Some(file) => (file.security, file.client_id, file.max_request_bytes, file.notes, file.registry),
            None => Default::default(),
        };
        if security.is_on() && self.driver == Driver::Crate {
            return Err(InvalidSettings::InsecureDriver(security.describe()));
        }
        let settings = kafka::KafkaSettings {
            brokers,
            security,
            client_id,
            driver: self.driver,
            max_request_bytes,
            metadata_refresh: None,
            notes,
        };
        Ok((Some(settings), registry))
    }
}
