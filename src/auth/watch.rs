//! Polls the auth file, and the files that it names, for changes.

use super::Authenticator;
use crate::sync::watchdog;
use crate::sync::worker::Worker;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::io;
use std::time::Duration;

/// The interval between two polls.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The thread that reloads changed files. Dropping it stops and joins the thread.
pub struct AuthWatcher {
    // Fields drop in order: the channel closes before the thread is joined.
    wake: Sender<()>,
    _worker: Worker,
}

impl AuthWatcher {
    pub fn start(auth: Authenticator) -> io::Result<Self> {
        let (wake, wakeups) = bounded(1);
        let _worker = Worker::start("auth-file", move || run(&auth, &wakeups))?;
        Ok(Self { wake, _worker })
    }

    /// Wakes the thread, which then reloads the files even if they have not changed.
    pub fn reload_soon(&self) {
        // A full channel means that a reload is already pending.
        let _ = self.wake.try_send(());
    }
}

fn run(auth: &Authenticator, wakeups: &Receiver<()>) {
    loop {
        let is_woken = match wakeups.recv_timeout(POLL_INTERVAL) {
            Ok(()) => true,
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let _busy = watchdog::busy();
        if is_woken || auth.has_changed() {
            auth.reload();
        }
    }
}
