//! SIGINT and SIGTERM: the first ends the program in order, the second at once. SIGHUP: files are read anew.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Both ways to be told to end.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From now on the two signals no longer end the process by themselves. Needs a tokio runtime.
    pub fn catch() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next of either.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Being told to read files anew.
pub struct HangUps(Signal);

impl HangUps {
    /// From now on SIGHUP no longer ends the process. Needs a tokio runtime.
    pub fn catch() -> io::Result<Self> {
        Ok(Self(signal(SignalKind::hangup())?))
    }

    /// Calls `work` at each of them; ends when it is dropped.
    pub async fn each(mut self, work: impl Fn()) {
        while self.0.recv().await.is_some() {
            work();
        }
    }
}
