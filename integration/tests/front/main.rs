//! The front of the real binary, on its own log: TLS, and what clients throw at it that mean no good.

mod browser;
mod healthy;
mod inflation;
mod limits;
mod memory;
mod neighbours;
mod provider;
mod tls;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// One at a time: together they would only measure each other.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
