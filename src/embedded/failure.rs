//! The errors of the store, and what the operator can do about them.

use super::data_dir::DataDirError;
use crate::broker::{BrokerError, Cause};
use crate::record::{Offset, TopicPartition};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

/// An error of the file with the log.
#[derive(Debug, Clone, Error)]
pub enum StoreError {
    /// The disk is full. Writes succeed again once there is space.
    #[error("no space left on the disk of {}; free some, or keep less: writing resumes automatically", file.display())]
    Full {
        /// The file.
        file: PathBuf,
    },
    /// The operating system fails to read or write.
    #[error("{}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// The error of the operating system.
        source: Arc<io::Error>,
    },
    /// The database reports another error.
    #[error("{}: {source}", file.display())]
    Database {
        /// The file.
        file: PathBuf,
        /// The error of the database.
        source: Arc<redb::Error>,
    },
    /// An earlier version of redb has written the file.
    #[error("{} has the old format {version}: use the curlew that wrote it", file.display())]
    OldFormat {
        /// The file.
        file: PathBuf,
        /// The version of the format.
        version: u8,
    },
    /// A write has failed, and the file has not been reopened yet.
    #[error("{} cannot be opened at the moment", file.display())]
    Closed {
        /// The file.
        file: PathBuf,
    },
    /// The data on the disk differs from the data that was written.
    #[error(
        "{} is damaged ({damage}): restore a copy of the directory, or move it away to start with an empty log",
        file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// The damage.
        #[source]
        damage: Damage,
    },
}

/// Damage in the file of the log.
#[derive(Debug, Clone, Error)]
pub enum Damage {
    /// The database finds its structures corrupted.
    #[error("{0}")]
    Structure(String),
    /// The file is not a database.
    #[error("{0}")]
    NotADatabase(#[source] Arc<io::Error>),
    /// The pages of the database are inconsistent, which makes redb panic.
    #[error("its pages do not fit together")]
    Pages,
    /// A batch is missing, or does not match its checksum. The partition is `None` if its topic was deleted.
    #[error("the batch of {} at offset {offset} is missing or changed", partition_name(topic_partition.as_ref()))]
    Batch {
        /// The partition.
        topic_partition: Option<TopicPartition>,
        /// The first offset of the batch.
        offset: Offset,
    },
}

fn partition_name(topic_partition: Option<&TopicPartition>) -> String {
    topic_partition.map_or_else(|| "?".to_owned(), TopicPartition::to_string)
}

impl StoreError {
    /// Classifies an error of redb in `file`.
    pub fn from_redb(error: redb::Error, file: &Path) -> Self {
        let path = file.to_owned();
        match error {
            redb::Error::Io(error) => Self::from_io(error, file),
            redb::Error::Corrupted(why) => Self::Damaged { file: path, damage: Damage::Structure(why) },
            redb::Error::UpgradeRequired(version) => Self::OldFormat { file: path, version },
            error => Self::Database { file: path, source: Arc::new(error) },
        }
    }

    /// Classifies an error of the operating system for `file`.
    pub fn from_io(error: io::Error, file: &Path) -> Self {
        let file = file.to_owned();
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => Self::Full { file },
            // redb returns these for a file that is not a redb database.
            ErrorKind::InvalidData | ErrorKind::UnexpectedEof => {
                Self::Damaged { file, damage: Damage::NotADatabase(Arc::new(error)) }
            }
            _ => Self::Io { file, source: Arc::new(error) },
        }
    }
}

impl From<StoreError> for BrokerError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full { .. } => Self::DiskFull(Cause::new(error)),
            StoreError::Damaged { .. } => Self::Damaged(Cause::new(error)),
            StoreError::Io { .. }
            | StoreError::Database { .. }
            | StoreError::OldFormat { .. }
            | StoreError::Closed { .. } => Self::Storage(Cause::new(error)),
        }
    }
}

/// A record that the log does not accept.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unacceptable {
    /// The timestamp is so far ahead of the clock that it must be a mistake.
    #[error(
        "its timestamp {timestamp} is more than an hour ahead of the clock ({now}); timestamps are milliseconds since the epoch"
    )]
    Timestamp {
        /// The timestamp of the record.
        timestamp: i64,
        /// The time of the clock.
        now: i64,
    },
}

impl From<Unacceptable> for BrokerError {
    fn from(error: Unacceptable) -> Self {
        Self::InvalidRecord(Cause::new(error))
    }
}

/// Settings of a new topic that the log does not support.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidNewTopic {
    /// The number of partitions is out of range.
    #[error("a topic of the embedded log has 1 to {most} partitions")]
    Partitions {
        /// The maximum.
        most: usize,
    },
    /// There is only one broker.
    #[error("the embedded log has one broker, so the only replication factor is 1")]
    Replication,
    /// Settings apply to all topics. Contains the name of the rejected one.
    #[error(
        "the embedded log has no {0:?} of a single topic; --retention-time and --retention-bytes apply to all topics"
    )]
    Config(String),
}

impl From<InvalidNewTopic> for BrokerError {
    fn from(error: InvalidNewTopic) -> Self {
        Self::InvalidTopic(Cause::new(error))
    }
}

/// The embedded log cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The directory cannot be used.
    #[error(transparent)]
    Directory(#[from] DataDirError),
    /// The file cannot be opened.
    #[error("cannot open the data: {0}")]
    Open(#[source] StoreError),
    /// The catalog cannot be read.
    #[error("cannot read the data: {0}")]
    Read(#[source] StoreError),
    /// The directory cannot be synced.
    #[error("cannot write {}: {source}", folder.display())]
    Sync {
        /// The directory.
        folder: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A background thread cannot be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
}

impl OpenError {
    /// Whether another directory may help.
    pub fn concerns_directory(&self) -> bool {
        match self {
            Self::Directory(error) => error.concerns_directory(),
            Self::Open(_) | Self::Read(_) | Self::Sync { .. } | Self::Thread(_) => false,
        }
    }
}
