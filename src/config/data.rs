//! Settings of the embedded log: directory, partitions, retention.

use super::values;
use crate::embedded::{EmbeddedSettings, MAX_NEW_PARTITIONS};
use clap::{Args, ValueHint};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Args)]
pub struct DataArgs {
    /// Directory of the topics if --kafka is not given.
    ///
    /// Created if missing. One process at a time can use it.
    #[arg(long, help_heading = "Topics kept here", env = "CURLEW_DATA", value_name = "DIR", value_hint = ValueHint::DirPath, default_value = "./curlew-data")]
    data: PathBuf,

    /// Partitions of new topics in --data.
    ///
    /// With a single partition, all records of a topic are in order.
    #[arg(long, help_heading = "Topics kept here", env = "CURLEW_PARTITIONS", value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u16).range(1..=MAX_NEW_PARTITIONS as i64))]
    partitions: u16,

    /// How long --data retains a record, such as 12h or 30d; or forever.
    #[arg(long, help_heading = "Topics kept here", env = "CURLEW_RETENTION_TIME", value_name = "TIME", default_value = "7d",
          value_parser = values::retention_time)]
    retention_time: Duration,

    /// How much --data retains of each topic, such as 500MiB; or unlimited.
    #[arg(long, help_heading = "Topics kept here", env = "CURLEW_RETENTION_BYTES", value_name = "SIZE", default_value = "1GiB",
          value_parser = values::retention_bytes)]
    retention_bytes: u64,
}

impl DataArgs {
    pub fn settings(&self) -> EmbeddedSettings {
        EmbeddedSettings {
            folder: self.data.clone(),
            partitions: self.partitions.into(),
            retention_time: self.retention_time,
            retention_bytes: self.retention_bytes,
        }
    }
}
