//! SIGINT and SIGTERM, which end the process, and SIGHUP, which reloads files.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGINT and SIGTERM. Callers drain at the first and exit at the second.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Replaces the default action of both signals, which is to end the process. Requires a tokio runtime.
    pub fn catch() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// SIGHUP, the conventional request to reload files.
pub struct HangUps(Signal);

impl HangUps {
    /// Replaces the default action, which is to end the process. Requires a tokio runtime.
    pub fn catch() -> io::Result<Self> {
        Ok(Self(signal(SignalKind::hangup())?))
    }

    /// Calls `work` at each signal until the future is dropped.
    pub async fn for_each(mut self, work: impl Fn()) {
        while self.0.recv().await.is_some() {
            work();
        }
    }
}
