//! A look at the views of a stream before it is opened.

use super::keyed_view::ViewProgress;
use super::store::ViewLease;
use crate::broker::BrokerError;
use std::time::Instant;

/// The views of a stream that starts with a snapshot, which are being read.
#[derive(Debug)]
pub struct PreparedSnapshot {
    pub(in crate::hub) views: Vec<ViewLease>,
    pub(in crate::hub) asked: Instant,
}

/// Whether a stream can start with a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotCheck {
    /// The log is being read.
    Pending,
    /// It can.
    Ready,
    /// It would end with this error.
    Failed(BrokerError),
}

impl PreparedSnapshot {
    /// Whether the views are read.
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
