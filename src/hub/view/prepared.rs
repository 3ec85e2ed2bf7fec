//! The views of a stream that starts with a snapshot. They are requested, and can be checked, before the stream is
//! opened.

use super::keyed_view::ViewProgress;
use super::store::ViewLease;
use crate::broker::BrokerError;
use std::time::Instant;

/// The views that a stream needs to start with a snapshot.
#[derive(Debug, Clone)]
pub struct PreparedSnapshot {
    /// The leases of the views, in the order of the stream's topics.
    pub(in crate::hub) views: Vec<ViewLease>,
    /// The time of the request.
    pub(in crate::hub) asked: Instant,
}

/// Whether a stream can start with a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotCheck {
    /// The log is being read.
    Pending,
    /// The stream can start.
    Ready,
    /// The stream would end with this error.
    Failed(BrokerError),
}

impl PreparedSnapshot {
    /// Returns the combined progress of the views. Requests rounds where they are needed.
    pub fn check(&self) -> SnapshotCheck {
        let mut check = SnapshotCheck::Ready;
        for view in &self.views {
            match view.ask(self.asked) {
                ViewProgress::Failed(error) => return SnapshotCheck::Failed(error),
                ViewProgress::Pending => check = SnapshotCheck::Pending,
                ViewProgress::Ready(_) => {}
            }
        }
        check
    }
}
