//! Notices that the auth file, or a file that it names, has changed.

use super::Authenticator;
use crate::sync::watchdog::{self, Worker};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::io;
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
    pub fn start(auth: Authenticator) -> io::Result<Self> {
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
