//! A limit on requests about unknown ids.

use super::RegistryError;
use crate::sync::lock;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The most unknown ids per minute about which the registry is asked.
pub const MAX_MISSES: usize = 1_000;
const MISS_WINDOW: Duration = Duration::from_secs(60);

/// Counts the unknown ids of each minute.
#[derive(Debug)]
pub struct MissLimit {
    window: Mutex<MissWindow>,
}

#[derive(Debug)]
struct MissWindow {
    started: Instant,
    misses: usize,
}

impl MissLimit {
    pub fn new() -> Self {
        Self { window: Mutex::new(MissWindow { started: Instant::now(), misses: 0 }) }
    }

    /// Fails if the registry was asked about too many unknown ids in this minute. The error is not to be cached: errors without
    /// a limit on their number would displace the schemas.
    pub fn check(&self) -> Result<(), RegistryError> {
        let mut window = lock(&self.window);
        let age = window.started.elapsed();
        if age >= MISS_WINDOW {
            *window = MissWindow { started: Instant::now(), misses: 0 };
        }
        match window.misses {
            0..MAX_MISSES => Ok(()),
            _ => Err(RegistryError::TooManyUnknown { retry_after: MISS_WINDOW.saturating_sub(age) }),
        }
    }

    /// Counts an id that the registry does not have.
    pub fn count(&self) {
        lock(&self.window).misses += 1;
    }
}
