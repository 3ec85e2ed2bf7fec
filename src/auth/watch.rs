//! Polls the auth file, and the files that it names, for changes.

use super::Authenticator;
use crate::sync::watchdog::{self, Worker};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::io;
use std::time::Duration;

/// The interval between two polls.
const LOOK: Duration = Duration::from_secs(1);

/// The thread that reloads changed files. Dropping it stops and joins the thread.
pub struct Watch {
    // Fields drop in order: the channel closes before the thread is joined.
    ask: Sender<()>,
    _worker: Worker,
}

impl Watch {
    pub fn start(auth: Authenticator) -> io::Result<Self> {
        let (ask, asked) = bounded(1);
        let _worker = Worker::start("auth-file", move || run(&auth, &asked))?;
        Ok(Self { ask, _worker })
    }

    /// Wakes the thread to reload the files, whether they have changed or not.
    pub fn read_anew(&self) {
        // A full channel means that a reload is already pending.
        let _ = self.ask.try_send(());
    }
}

fn run(auth: &Authenticator, asked: &Receiver<()>) {
    loop {
        let is_asked = match asked.recv_timeout(LOOK) {
            Ok(()) => true,
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let _at_work = watchdog::busy();
        if is_asked || auth.has_changed() {
            auth.reload();
        }
    }
}
