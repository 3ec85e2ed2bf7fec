//! Counts keys and values with a schema.

use crate::broker::{SchemaCounts, SchemaFailure};
use std::sync::atomic::{AtomicU64, Ordering};

/// The counts of all readers together.
#[derive(Debug, Default)]
pub struct SchemaCounters {
    decoded: AtomicU64,
    failed: [AtomicU64; SchemaFailure::ALL.len()],
}

impl SchemaCounters {
    /// Counts a key or value that was decoded.
    pub fn decoded(&self) {
        self.decoded.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a key or value that could not be decoded.
    pub fn failed(&self, reason: SchemaFailure) {
        self.failed[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the counts since the start.
    pub fn counts(&self) -> SchemaCounts {
        let mut counts = SchemaCounts::of(self.decoded.load(Ordering::Relaxed));
        for reason in SchemaFailure::ALL {
            counts.set_failed(reason, self.failed[reason as usize].load(Ordering::Relaxed));
        }
        counts
    }
}
