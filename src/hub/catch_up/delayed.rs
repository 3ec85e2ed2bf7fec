//! A task in a pause.

use super::task::CatchUpTask;
use std::time::Instant;

/// A task in a pause. Tasks are ordered by the end of their pauses.
pub struct Delayed {
    /// The end of the pause.
    pub due: Instant,
    /// The task.
    pub task: Box<CatchUpTask>,
}

impl PartialEq for Delayed {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}

impl Eq for Delayed {}

impl PartialOrd for Delayed {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Delayed {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.due.cmp(&other.due)
    }
}
