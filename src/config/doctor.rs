//! The settings of `curlew doctor`.

use super::file::ConfigFile;
use super::kafka::KafkaArgs;
use super::{LogLevel, values};
use crate::kafka::KafkaSettings;
use crate::record::TopicName;
use clap::{ArgAction, Args, ValueHint};
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Debug, Args)]
pub struct Doctor {
    #[command(flatten)]
    file: ConfigFile,

    #[command(flatten)]
    pub(super) kafka: KafkaArgs,

    /// Folder to look at where no --kafka is given.
    #[arg(long, env = "CURLEW_DATA", value_name = "FOLDER", value_hint = ValueHint::DirPath,
          default_value = "./curlew-data")]
    data: PathBuf,

    /// Topic that must be there, to be read and written. Repeatable.
    #[arg(long = "topic", value_name = "TOPIC", action = ArgAction::Append, value_parser = TopicName::new)]
    pub topics: Vec<TopicName>,

    /// How long each try may take.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = values::duration)]
    pub timeout: Duration,

    /// How long `serve` waits for Kafka's receipt, and may send a record again.
    #[arg(long, env = "CURLEW_PRODUCE_TIMEOUT", value_name = "TIME", default_value = "30s",
          value_parser = values::duration)]
    pub produce_timeout: Duration,

    /// Print one JSON object instead of lines: {"ok":…,"findings":[{"step","outcome","what","remedy"}]}.
    #[arg(long)]
    pub json: bool,
}

/// What is to be looked at: what `serve` would use.
#[derive(Debug)]
pub enum DoctorTarget<'a> {
    Kafka(&'a KafkaSettings),
    Folder(&'a Path),
}

impl Doctor {
    pub fn target(&self) -> DoctorTarget<'_> {
        self.kafka.connection().map_or(DoctorTarget::Folder(&self.data), DoctorTarget::Kafka)
    }

    /// What is found is said anyway.
    pub(super) fn log_level(&self) -> LogLevel {
        LogLevel::Error
    }
}
