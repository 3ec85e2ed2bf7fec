//! Settings that are valid one by one, but not together or with the files that they name.

use super::EarlyExit;
use super::client_properties::ClientPropertiesError;
use super::registry::RegistrySettingsError;
use std::net::SocketAddr;
use thiserror::Error;

#[derive(Debug, Error)]
pub enum InvalidSettings {
    #[error(
        "on {listen} the bridge is reachable from the network, and without --auth-file every client may read and write every \
         topic; give --auth-file FILE (`curlew key new` creates a key for it), or --insecure-no-auth if that is intended, \
         such as behind an authenticating proxy"
    )]
    Unauthenticated { listen: SocketAddr },
    /// `available` is the share of the budget for request bodies. Both sizes are in bytes.
    #[error(
        "--max-body is {max_body} bytes, and --memory-budget leaves {available} for bodies; lower --max-body, or raise \
         --memory-budget to {} bytes", max_body.div_ceil(3).saturating_mul(16)
    )]
    BodyBeyondBudget { max_body: usize, available: usize },
    /// Sizes in bytes: the two settings, and the share of the budget for snapshots.
    #[error(
        "--snapshot-bytes is {snapshot_bytes} bytes, and --memory-budget leaves {available} for snapshots; lower \
         --snapshot-bytes, or raise --memory-budget to {} bytes", snapshot_bytes.div_ceil(2).saturating_mul(16)
    )]
    SnapshotBeyondBudget { snapshot_bytes: usize, available: usize },
    #[error("--keep-partitions is for --format record: a line that is a value names no partition")]
    KeepPartitionsOfValues,
    #[error("--output csv needs columns; name them with --select, such as --select timestamp,key,value.temperature")]
    CsvWithoutSelect,
    #[error("--select prints its fields as JSON or CSV; with it, --output is json or csv")]
    SelectWithOutput,
    #[error("--key-separator is for --format value: a line that is a record names its key itself")]
    KeySeparatorOfRecords,
    #[error("the file of --kafka-config has no bootstrap.servers; give --kafka HOST:PORT too")]
    MissingBootstrapServers,
    /// Contains the security protocol of the file.
    #[error(
        "--driver crate supports only PLAINTEXT, and the file of --kafka-config requires {0}; omit --driver, or give \
         --driver wire"
    )]
    InsecureDriver(String),
    #[error(transparent)]
    ClientProperties(#[from] ClientPropertiesError),
    #[error(transparent)]
    Registry(#[from] RegistrySettingsError),
    /// A setting for which `demo` has no flag, so that the value is from a variable. Contains clap's message.
    #[error("{0} (from the environment)")]
    Variable(String),
}

impl From<InvalidSettings> for EarlyExit {
    fn from(error: InvalidSettings) -> Self {
        Self::Error(error.to_string())
    }
}
