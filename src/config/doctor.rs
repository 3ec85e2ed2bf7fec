//! The settings of `curlew doctor`.

use super::file::ConfigFile;
use super::kafka::KafkaArgs;
use super::registry::RegistryArgs;
use super::{LogLevel, values};
use crate::kafka::KafkaSettings;
use crate::record::TopicName;
use crate::schemas::registry::RegistrySettings;
use clap::{ArgAction, Args, ValueHint};
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Debug, Args)]
pub struct Doctor {
    #[command(flatten)]
    file: ConfigFile,

    #[command(flatten)]
    pub(super) kafka: KafkaArgs,

    #[command(flatten)]
    pub(super) registry: RegistryArgs,

    /// Data directory to check if --kafka is not given.
    #[arg(long, env = "CURLEW_DATA", value_name = "DIR", value_hint = ValueHint::DirPath,
          default_value = "./curlew-data")]
    data: PathBuf,

    /// Topic that must exist and be readable and writable. Repeatable.
    #[arg(long = "topic", value_name = "TOPIC", action = ArgAction::Append, value_parser = TopicName::new)]
    pub topics: Vec<TopicName>,

    /// Timeout of each attempt.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = values::duration)]
    pub timeout: Duration,

    /// How long `serve` retries a record and waits for Kafka's acknowledgement.
    #[arg(long, env = "CURLEW_PRODUCE_TIMEOUT", value_name = "TIME", default_value = "30s",
          value_parser = values::duration)]
    pub produce_timeout: Duration,

    /// Print one JSON object instead of lines: {"ok":…,"findings":[{"step","outcome","what","remedy"}]}.
    #[arg(long)]
    pub json: bool,
}

/// The log to check, which is the one that `serve` would use.
#[derive(Debug)]
pub enum DoctorTarget<'a> {
    Kafka(&'a KafkaSettings),
    DataDir(&'a Path),
}

impl Doctor {
    /// Kafka if it is configured, the data directory otherwise.
    pub fn target(&self) -> DoctorTarget<'_> {
        self.kafka.connection().map_or(DoctorTarget::DataDir(&self.data), DoctorTarget::Kafka)
    }

    /// The schema registry to check, if it is configured.
    pub fn schema_registry(&self) -> Option<RegistrySettings> {
        self.registry.settings().map(|settings| RegistrySettings { timeout: self.timeout, ..settings.clone() })
    }

    /// Only errors: the findings report everything else.
    pub(super) fn log_level(&self) -> LogLevel {
        LogLevel::Error
    }
}
