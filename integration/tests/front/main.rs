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

/// Runs one test at a time, because concurrent tests would affect each other's measurements.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
