//! The HTTP side of the real binary with the embedded log: TLS, and attacks by clients.

mod browser;
mod healthy;
mod inflation;
mod limits;
mod memory;
mod neighbours;
mod provider;
mod tls;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Runs tests one at a time: together they would only measure each other.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
