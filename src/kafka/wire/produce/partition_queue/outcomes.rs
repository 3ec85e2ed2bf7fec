//! Applies the outcome of a batch to the queue.

use super::{BatchOutcome, BatchStage, Order, PartitionQueue, ProducerReset, sequence_after};
use crate::broker::{BrokerError, TooLarge, WriteState};
use crate::kafka::wire::produce::batch::ProducerBatch;
use crate::kafka::wire::produce::encode::BATCH_HEADER;
use crate::kafka::wire::produce::request_size::MAX_CLOSES;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Lower bound of the batch size after the broker has rejected larger batches.
const MIN_BATCH_LIMIT: usize = 1024;

const MIN_BACKOFF: Duration = Duration::from_millis(20);
const MAX_BACKOFF: Duration = Duration::from_secs(1);

impl PartitionQueue {
    /// Applies the outcome of batch `number`.
    pub fn on_outcome(&mut self, number: u64, answer: BatchOutcome, now: Instant) {
        let Some(index) = self.batches.iter().position(|s| s.number == number) else { return };
        let Some(slot) = self.batches.get_mut(index) else { return };
        slot.stage = BatchStage::Waiting;
        match answer {
            BatchOutcome::ConnectionClosed { attempt, .. } => {
                slot.closes = slot.closes.saturating_add(1);
                slot.close_may_be_written =
                    if attempt == WriteState::Maybe { attempt } else { slot.close_may_be_written };
            }
            // The broker did not close the connection because of the size.
            _ => {
                (slot.closes, slot.may_be_written, slot.close_may_be_written) = (0, slot.write_state(), WriteState::No)
            }
        }
        match answer {
            BatchOutcome::Written => self.on_written(index, now),
            BatchOutcome::Retry { attempt: WriteState::Maybe }
            | BatchOutcome::ConnectionClosed { attempt: WriteState::Maybe, .. }
                if slot.sequence.is_none() =>
            {
                self.remove(index, &BrokerError::TimedOut(WriteState::Maybe));
                self.back_off(now);
            }
            BatchOutcome::Retry { attempt } => {
                self.note_write_state(index, attempt);
                self.back_off(now);
            }
            BatchOutcome::ConnectionClosed { .. } if slot.closes >= MAX_CLOSES => self.divide_after_closes(index),
            BatchOutcome::ConnectionClosed { .. } => self.back_off(now),
            BatchOutcome::OutOfOrder if index > 0 => {}
            BatchOutcome::OutOfOrder => self.resequence(index, ProducerReset::Epoch, now),
            BatchOutcome::Fenced => self.resequence(index, ProducerReset::Id, now),
            BatchOutcome::Corrupt(_) if slot.corruptions == 0 => slot.corruptions += 1,
            BatchOutcome::Corrupt(error) => self.remove(index, &error),
            BatchOutcome::Split(error) => self.split(index, error),
            BatchOutcome::InvalidRecords(faulty) => self.drop_invalid(index, faulty),
            BatchOutcome::Failed(error) => self.remove(index, &error),
        }
    }

    fn on_written(&mut self, index: usize, now: Instant) {
        self.last_written = Some(now);
        self.failures = 0;
        self.resume_at = None;
        self.batches.remove(index);
        // Sequence numbers have no gaps, so earlier batches are in the log too, unless the broker has lost its state. A
        // retry with their own sequence numbers finds out.
        self.batches.iter_mut().take(index).for_each(|s| s.order = Order::Overtaken);
        if index == 0
            && let Some(producer) = &mut self.producer
        {
            producer.confirmed = true;
        }
    }

    fn note_write_state(&mut self, index: usize, attempt: WriteState) {
        if let Some(slot) = self.batches.get_mut(index)
            && attempt == WriteState::Maybe
        {
            slot.may_be_written = WriteState::Maybe;
        }
    }

    /// The broker will never accept the stamp of the batch at `index`.
    fn resequence(&mut self, index: usize, reset: ProducerReset, now: Instant) {
        self.back_off(now);
        self.reset = self.reset.max(reset);
        if self.batches.get(index).is_some_and(|s| s.write_state() == WriteState::Maybe) {
            self.remove(index, &BrokerError::TimedOut(WriteState::Maybe));
        }
    }

    /// The broker keeps closing the connection on the batch at `index` while it answers other requests.
    fn divide_after_closes(&mut self, index: usize) {
        let Some(slot) = self.batches.get_mut(index) else { return };
        // The broker read only the length of the request.
        slot.close_may_be_written = WriteState::No;
        let why = TooLarge::ConnectionClosed { bytes: slot.batch.bytes(), closes: slot.closes };
        if slot.batch.len() < 2 {
            log::warn!("rejected a record as too large: {why}");
            return self.remove(index, &BrokerError::TooLarge(why));
        }
        self.split(index, BrokerError::TooLarge(why));
        // Each half may still be too large, so it counts as closed once.
        self.batches.iter_mut().skip(index).take(2).for_each(|half| half.closes = 1);
    }

    /// Splits the batch at `index` into halves that keep their sequence numbers. A single record fails with `error`.
    fn split(&mut self, index: usize, error: BrokerError) {
        let Some(slot) = self.batches.get(index) else { return };
        if slot.batch.len() < 2 {
            let error = match error {
                BrokerError::TooLarge(TooLarge::Rejected(response)) => {
                    let bytes = slot.batch.bytes();
                    BrokerError::TooLarge(TooLarge::Batch { bytes, header: BATCH_HEADER, response })
                }
                error => error,
            };
            return self.remove(index, &error);
        }
        if matches!(error, BrokerError::TooLarge(_)) {
            self.max_batch_bytes = self.max_batch_bytes.min(slot.batch.bytes() / 2).max(MIN_BATCH_LIMIT);
        }
        let Some(slot) = self.batches.remove(index) else { return };
        let doubt = slot.write_state();
        let mut first = Arc::unwrap_or_clone(slot.batch);
        let second = first.split_off_half();
        let second_sequence = slot.sequence.map(|s| sequence_after(s, first.len()));
        let second = self.queued(second, second_sequence, doubt);
        let first = self.queued(first, slot.sequence, doubt);
        self.batches.insert(index, second);
        self.batches.insert(index, first);
    }

    /// Retries the batch at `index` without its invalid records.
    fn drop_invalid(&mut self, index: usize, mut faulty: Vec<(usize, BrokerError)>) {
        let records = self.batches.get(index).map_or(0, |s| s.batch.len());
        if let Some(stray) = faulty.iter().position(|(index, _)| *index >= records) {
            // The broker names records that do not exist: find the invalid ones by splitting.
            return self.split(index, faulty.swap_remove(stray).1);
        }
        let Some(slot) = self.batches.remove(index) else { return };
        let doubt = slot.write_state();
        self.reset = self.reset.max(ProducerReset::Epoch);
        for (index, error) in &faulty {
            if let Some(entry) = slot.batch.entries().get(*index) {
                entry.fail(error.clone());
            }
        }
        let mut faulty: Vec<usize> = faulty.into_iter().map(|(index, _)| index).collect();
        faulty.sort_unstable();
        let entries = Arc::unwrap_or_clone(slot.batch).into_entries().into_iter().enumerate();
        let rest: ProducerBatch = entries.filter(|(n, _)| faulty.binary_search(n).is_err()).map(|(_, e)| e).collect();
        if !rest.is_empty() {
            let rest = self.queued(rest, None, doubt);
            self.batches.insert(index, rest);
        }
    }

    /// Exponential back-off with jitter, so that partitions do not retry in step.
    fn back_off(&mut self, now: Instant) {
        let longest = MIN_BACKOFF.saturating_mul(1 << self.failures.min(6)).min(MAX_BACKOFF);
        self.failures = self.failures.saturating_add(1);
        self.resume_at = Some(now + longest.mul_f64(0.5 + fastrand::f64() / 2.0));
    }
}
