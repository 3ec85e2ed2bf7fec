//! A file as it was when it was read, to notice that it is another by now.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStamp {
    path: PathBuf,
    /// What changes with it, as good as surely: when it was changed, which it is, how long it is. `None`: not there.
    stamp: Option<(i64, i64, u64, u64)>,
}

impl FileStamp {
    /// Of what a link leads to: Kubernetes changes links.
    pub fn now(path: PathBuf) -> Self {
        let found = path.metadata().ok();
        let stamp = found.map(|found| (found.ctime(), found.ctime_nsec(), found.ino(), found.len()));
        Self { path, stamp }
    }

    pub fn is_another_now(&self) -> bool {
        Self::now(self.path.clone()) != *self
    }
}
