//! Notices that the auth file, or a file that it names, has changed.

use super::Auth;
use crate::worker::Worker;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The thread that reads changed files anew. Dropping it ends and joins it.
pub struct Watch {
    // Closed before the thread is joined.
    ask: Sender<()>,
    _worker: Worker,
}

impl Watch {
    pub fn start(auth: Auth) -> io::Result<Self> {
        let (ask, asked) = bounded(1);
        let _worker = Worker::start("auth-file", move || run(&auth, &asked))?;
        Ok(Self { ask, _worker })
    }

    /// Reads the files soon, whether they have changed or not.
    pub fn read_anew(&self) {
        // Where it is asked already, once is enough.
        let _ = self.ask.try_send(());
    }
}

fn run(auth: &Auth, asked: &Receiver<()>) {
    // They may have changed since they were read: what is as it was is read for nothing.
    let mut seen = Vec::new();
    loop {
        let is_asked = match asked.recv_timeout(LOOK) {
            Ok(()) => true,
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let now = stamps(auth.files());
        if is_asked || now != seen {
            auth.reload();
            seen = now;
        }
    }
}

/// What changes with a file, as good as surely: when it was written, which it is, how long it is. `None`: not there.
type Stamp = Option<(i64, i64, u64, u64)>;

fn stamps(files: Vec<PathBuf>) -> Vec<(PathBuf, Stamp)> {
    files.into_iter().map(|file| (file.clone(), stamp(&file))).collect()
}

/// Of what a link leads to: Kubernetes changes links.
fn stamp(file: &Path) -> Stamp {
    let found = file.metadata().ok()?;
    Some((found.mtime(), found.mtime_nsec(), found.ino(), found.len()))
}
