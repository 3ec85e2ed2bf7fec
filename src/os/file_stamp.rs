//! Detects changes of a file since it was read.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// The state of a file at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStamp {
    path: PathBuf,
    /// Change time in seconds and nanoseconds, inode, length. `None`: the file does not exist.
    stamp: Option<(i64, i64, u64, u64)>,
}

impl FileStamp {
    /// Reads the state of a file. Follows symbolic links, because Kubernetes updates mounted files by changing links.
    pub fn now(path: PathBuf) -> Self {
        let found = path.metadata().ok();
        let stamp = found.map(|found| (found.ctime(), found.ctime_nsec(), found.ino(), found.len()));
        Self { path, stamp }
    }

    /// Whether the state of the file has changed.
    pub fn has_changed(&self) -> bool {
        Self::now(self.path.clone()) != *self
    }
}
