//! Settling records without a response: deadlines, lost brokers and deleted topics.

use super::{BatchStage, PartitionQueue};
use crate::broker::{BrokerError, WriteState};
use crate::kafka::wire::produce::batch::PendingRecord;
use std::sync::Arc;
use std::time::Instant;

impl PartitionQueue {
    /// Fails records past their deadline, with `unsent` if they were certainly not written.
    pub fn expire(&mut self, now: Instant, unsent: &BrokerError) {
        self.expire_open(now, unsent);
        for index in (0..self.batches.len()).rev() {
            if self.batches.get(index).is_some_and(|s| s.first_deadline.is_none_or(|at| at <= now)) {
                self.expire_slot(index, now, unsent);
            }
        }
    }

    /// Fails waiting records that were certainly not written.
    pub fn reject_unwritten(&mut self, error: &BrokerError) {
        self.clear_open().settle_failed(error);
        for index in (0..self.batches.len()).rev() {
            if self
                .batches
                .get(index)
                .is_some_and(|s| s.stage == BatchStage::Waiting && s.write_state() == WriteState::No)
            {
                self.withdraw(index, error);
            }
        }
    }

    /// Fails all waiting records, because their topic or partition no longer exists.
    pub fn fail_waiting(&mut self, error: &BrokerError) {
        self.clear_open().settle_failed(error);
        for index in (0..self.batches.len()).rev() {
            if self.batches.get(index).is_some_and(|s| s.stage == BatchStage::Waiting) {
                self.remove(index, error);
            }
        }
    }

    /// Removes the waiting batch at `index`, which was certainly not written. If it is the newest batch, its sequence
    /// numbers are reused, so that the outcomes of older batches in doubt can still be resolved.
    fn withdraw(&mut self, index: usize, error: &BrokerError) {
        let youngest = self.batches.iter().skip(index + 1).all(|s| s.sequence.is_none());
        if let Some(slot) = self.batches.get_mut(index)
            && let Some(producer) = &mut self.producer
            && youngest
            && let Some(sequence) = slot.sequence.take()
        {
            producer.next_sequence = sequence;
        }
        self.remove(index, error);
    }

    fn expire_open(&mut self, now: Instant, unsent: &BrokerError) {
        let due = |e: &PendingRecord| e.deadline() <= now;
        if self.open.entries().iter().any(due) {
            let (expired, rest): (Vec<_>, Vec<_>) = self.clear_open().into_entries().into_iter().partition(due);
            expired.iter().for_each(|e| e.fail(unsent.clone()));
            rest.into_iter().for_each(|e| self.push(e, now));
        }
    }

    fn expire_slot(&mut self, index: usize, now: Instant, unsent: &BrokerError) {
        let Some(slot) = self.batches.get_mut(index) else { return };
        // A batch without a sequence number was never sent, or restarts in a new epoch, so it may shrink.
        let fresh =
            slot.sequence.is_none() && slot.write_state() == WriteState::No && slot.stage == BatchStage::Waiting;
        let unwritten = slot.write_state() == WriteState::No && slot.stage == BatchStage::Waiting;
        let alive = slot.batch.entries().iter().filter(|e| e.deadline() > now).map(PendingRecord::deadline).min();
        let Some(next_deadline) = alive else {
            if unwritten {
                return self.withdraw(index, unsent);
            }
            let error = &BrokerError::TimedOut(WriteState::Maybe);
            if slot.stage == BatchStage::Waiting {
                return self.remove(index, error);
            }
            // A batch in flight stays in the queue, because its response shows the state of the sequence.
            if slot.first_deadline.take().is_some() {
                slot.batch.settle_failed(error);
            }
            return;
        };
        let error = if fresh { unsent } else { &BrokerError::TimedOut(WriteState::Maybe) };
        slot.batch.entries().iter().filter(|e| e.deadline() <= now).for_each(|e| e.fail(error.clone()));
        slot.first_deadline = Some(next_deadline);
        if fresh {
            let entries = slot.batch.entries().iter().filter(|e| e.deadline() > now).cloned();
            slot.batch = Arc::new(entries.collect());
        }
    }
}
