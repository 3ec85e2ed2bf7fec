//! The errors of the store, and what the operator can do about them.

use crate::broker::BrokerError;
use std::io::ErrorKind;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreError {
    /// The disk is full. Writes succeed again once there is space.
    Full(String),
    /// The operating system fails to read or write.
    Io(String),
    /// The data on the disk is not what was written.
    Damaged(String),
}

impl StoreError {
    /// Classifies an error of redb. `what` names the file.
    pub fn from_redb(error: redb::Error, what: &str) -> Self {
        match error {
            redb::Error::Io(e) => Self::from_io(&e, what),
            redb::Error::Corrupted(why) => Self::damaged(what, &why),
            redb::Error::UpgradeRequired(version) => {
                Self::Io(format!("{what} has the old format {version}: use the curlew that wrote it"))
            }
            error => Self::Io(format!("{what}: {error}")),
        }
    }

    pub fn from_io(error: &std::io::Error, what: &str) -> Self {
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => Self::full(what),
            // redb returns these for a file that is not a redb database.
            ErrorKind::InvalidData | ErrorKind::UnexpectedEof => Self::damaged(what, &error.to_string()),
            _ => Self::Io(format!("{what}: {error}")),
        }
    }

    pub fn full(what: &str) -> Self {
        Self::Full(format!(
            "no room on the disk of {what}: free some, or keep less with --retention-bytes; writing goes on by itself"
        ))
    }

    pub fn damaged(what: &str, why: &str) -> Self {
        Self::Damaged(format!(
            "{what} is damaged ({why}): restore a copy of the folder, or move it away to start with an empty log"
        ))
    }
}

impl From<StoreError> for BrokerError {
    fn from(failure: StoreError) -> Self {
        match failure {
            StoreError::Full(why) => Self::DiskFull(why),
            StoreError::Io(why) => Self::Storage(why),
            StoreError::Damaged(why) => Self::Damaged(why),
        }
    }
}

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Full(why) | Self::Io(why) | Self::Damaged(why)) = self;
        f.write_str(why)
    }
}
