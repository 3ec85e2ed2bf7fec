//! The time limits of a connection, and the signal to end it.

use std::time::Duration;
use tokio::sync::watch;

/// The time limits for a client.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For the TLS handshake, and for the head of a request.
    pub head: Duration,
    /// For the rest of a head when the bridge shuts down.
    pub last_head: Duration,
    /// For the client to read at least some of the bytes sent to it.
    pub stall: Duration,
}

/// Signals that the bridge is shutting down.
#[derive(Clone)]
pub struct ShutdownSignal(pub watch::Receiver<bool>);

impl ShutdownSignal {
    pub async fn received(mut self) {
        // An error means that the sender, `serve`, is gone, which is a shutdown too.
        drop(self.0.wait_for(|is_shutdown| *is_shutdown).await);
    }
}
