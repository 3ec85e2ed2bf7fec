//! Items of an upload that are in flight together.

use super::queued::PendingOutcomes;
use crate::broker::DeliveryResult;
use crate::http::problem::Problem;
use crate::sync::memory_budget::Reservation;
use std::collections::VecDeque;

/// Items that were read together: the invalid and the queued ones, each in the order of the body.
pub struct ItemGroup {
    pub invalid: Vec<(u64, Problem)>,
    /// The numbers of the queued items.
    pub queued: Vec<u64>,
    /// `None` if no item is queued.
    pub waiting: Option<PendingOutcomes>,
    pub _memory: Option<Reservation>,
}

impl ItemGroup {
    pub fn len(&self) -> usize {
        self.invalid.len() + self.queued.len()
    }

    /// Returns the outcomes of the queued items. Cancel safe until it is ready.
    pub async fn outcomes(&mut self) -> Vec<DeliveryResult> {
        match &mut self.waiting {
            Some(waiting) => waiting.await,
            None => Vec::new(),
        }
    }
}

/// Returns the outcomes of the first group, once there is one. Cancel safe until it is ready.
pub async fn front(groups: &mut VecDeque<ItemGroup>) -> Vec<DeliveryResult> {
    match groups.front_mut() {
        Some(group) => group.outcomes().await,
        None => std::future::pending().await,
    }
}
