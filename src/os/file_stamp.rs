//! Detects that a file has changed since it was read.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// A file's state at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStamp {
    path: PathBuf,
    /// Change time in seconds and nanoseconds, inode, length. `None`: the file does not exist.
    stamp: Option<(i64, i64, u64, u64)>,
}

impl FileStamp {
    /// Reads the state of the file. Follows symbolic links, since Kubernetes updates mounted files by changing links.
    pub fn now(path: PathBuf) -> Self {
        let found = path.metadata().ok();
        let stamp = found.map(|found| (found.ctime(), found.ctime_nsec(), found.ino(), found.len()));
        Self { path, stamp }
    }

    /// Whether the file now differs from this stamp.
    pub fn has_changed(&self) -> bool {
        Self::now(self.path.clone()) != *self
    }
}
