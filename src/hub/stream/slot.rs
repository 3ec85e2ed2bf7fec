//! Limits the number of open streams.

use crate::hub::Rejected;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts one open stream until it is dropped.
pub struct StreamSlot(Arc<AtomicUsize>);

impl StreamSlot {
    /// Adds one to `streams`, the number of open streams. Rejects the stream if `most` are open.
    pub fn take(streams: &Arc<AtomicUsize>, most: usize) -> Result<Self, Rejected> {
        let fits = |open: usize| (open < most).then_some(open + 1);
        match streams.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits) {
            Ok(_) => Ok(Self(streams.clone())),
            Err(_) => Err(Rejected::TooManyStreams),
        }
    }
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
