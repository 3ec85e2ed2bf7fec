//! What an answer means for the batch and for those behind it.

use super::{BatchOutcome, BatchStage, Order, PartitionQueue, ProducerReset, sequence_after};
use crate::broker::{BrokerError, WriteState};
use crate::kafka::wire::produce::batch::ProducerBatch;
use crate::kafka::wire::produce::encode::BATCH_HEADER;
use crate::kafka::wire::produce::room::MOST_CUTS;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Batches shrink to this at most where the broker finds them too large.
const LEAST_LIMIT: usize = 1024;

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl PartitionQueue {
    /// What became of batch `number`.
    pub fn answered(&mut self, number: u64, answer: BatchOutcome, now: Instant) {
        let Some(place) = self.slots.iter().position(|s| s.number == number) else { return };
        let Some(slot) = self.slots.get_mut(place) else { return };
        slot.stage = BatchStage::Waiting;
        match answer {
            BatchOutcome::Cut { attempt, .. } => {
                slot.cuts = slot.cuts.saturating_add(1);
                slot.cut_doubt = if attempt == WriteState::Maybe { attempt } else { slot.cut_doubt };
            }
            // Its size was not the reason.
            _ => (slot.cuts, slot.may_be_written, slot.cut_doubt) = (0, slot.doubt(), WriteState::No),
        }
        match answer {
            BatchOutcome::Written => self.written(place, now),
            BatchOutcome::Retry { attempt: WriteState::Maybe }
            | BatchOutcome::Cut { attempt: WriteState::Maybe, .. }
                if slot.sequence.is_none() =>
            {
                self.remove(place, &BrokerError::TimedOut(WriteState::Maybe));
                self.pause(now);
            }
            BatchOutcome::Retry { attempt } => {
                self.doubt(place, attempt);
                self.pause(now);
            }
            BatchOutcome::Cut { .. } if slot.cuts >= MOST_CUTS => self.divide_cut(place),
            BatchOutcome::Cut { .. } => self.pause(now),
            BatchOutcome::OutOfOrder if place > 0 => {}
            BatchOutcome::OutOfOrder => self.resequence(place, ProducerReset::Epoch, now),
            BatchOutcome::Fenced => self.resequence(place, ProducerReset::Id, now),
            BatchOutcome::Damaged(_) if slot.damaged == 0 => slot.damaged += 1,
            BatchOutcome::Damaged(error) => self.remove(place, &error),
            BatchOutcome::Divide(error) => self.divide(place, error),
            BatchOutcome::Faulty(faulty) => self.drop_faulty(place, faulty),
            BatchOutcome::Failed(error) => self.remove(place, &error),
        }
    }

    fn written(&mut self, place: usize, now: Instant) {
        self.last_written = Some(now);
        self.failures = 0;
        self.resume_at = None;
        self.slots.remove(place);
        // Sequences have no holes, so those before it are in the log too, unless the broker has lost its
        // state. Sending them again with their own sequences tells which.
        self.slots.iter_mut().take(place).for_each(|s| s.order = Order::Overtaken);
        if place == 0
            && let Some(producer) = &mut self.producer
        {
            producer.confirmed = true;
        }
    }

    fn doubt(&mut self, place: usize, attempt: WriteState) {
        if let Some(slot) = self.slots.get_mut(place)
            && attempt == WriteState::Maybe
        {
            slot.may_be_written = WriteState::Maybe;
        }
    }

    /// The stamp of the batch at `place` will never be taken.
    fn resequence(&mut self, place: usize, renew: ProducerReset, now: Instant) {
        self.pause(now);
        self.renew = self.renew.max(renew);
        if self.slots.get(place).is_some_and(|s| s.doubt() == WriteState::Maybe) {
            self.remove(place, &BrokerError::TimedOut(WriteState::Maybe));
        }
    }

    /// The broker closes the connection on the batch at `place` and answers other requests.
    fn divide_cut(&mut self, place: usize) {
        let Some(slot) = self.slots.get_mut(place) else { return };
        // It read no more than the length of the request.
        slot.cut_doubt = WriteState::No;
        let bytes = slot.batch.bytes();
        let why = format!(
            "the broker closes the connection on a request with these {bytes} bytes ({} times, while it answers \
             others), so its socket.request.max.bytes must be smaller",
            slot.cuts
        );
        if slot.batch.len() < 2 {
            log::warn!("rejected a record as too large: {why}");
            return self.remove(place, &BrokerError::TooLarge(why));
        }
        self.divide(place, BrokerError::TooLarge(why));
        // The halves have no other fault than their size, but may still be too large.
        self.slots.iter_mut().skip(place).take(2).for_each(|half| half.cuts = 1);
    }

    /// Halves the batch at `place`, each half with its part of the sequences. A single record is the
    /// one at fault.
    fn divide(&mut self, place: usize, error: BrokerError) {
        let Some(slot) = self.slots.get(place) else { return };
        if slot.batch.len() < 2 {
            let error = match error {
                BrokerError::TooLarge(why) => {
                    // As the broker counts (the whole batch, not the record alone).
                    let bytes = slot.batch.bytes();
                    BrokerError::TooLarge(format!(
                        "the record takes {bytes} bytes with its batch header of {BATCH_HEADER}, more than the topic's \
                         max.message.bytes ({why})"
                    ))
                }
                error => error,
            };
            return self.remove(place, &error);
        }
        if matches!(error, BrokerError::TooLarge(_)) {
            self.limit = self.limit.min(slot.batch.bytes() / 2).max(LEAST_LIMIT);
        }
        let Some(slot) = self.slots.remove(place) else { return };
        let doubt = slot.doubt();
        let mut first = Arc::unwrap_or_clone(slot.batch);
        let second = first.split_off_half();
        let second_sequence = slot.sequence.map(|s| sequence_after(s, first.len()));
        let second = self.slot(second, second_sequence, doubt);
        let first = self.slot(first, slot.sequence, doubt);
        self.slots.insert(place, second);
        self.slots.insert(place, first);
    }

    /// Sends the batch at `place` again without some of its records.
    fn drop_faulty(&mut self, place: usize, mut faulty: Vec<(usize, BrokerError)>) {
        let records = self.slots.get(place).map_or(0, |s| s.batch.len());
        if let Some(stray) = faulty.iter().position(|(index, _)| *index >= records) {
            // A broker that names records that are not there: find out without its help.
            return self.divide(place, faulty.swap_remove(stray).1);
        }
        let Some(slot) = self.slots.remove(place) else { return };
        let doubt = slot.doubt();
        self.renew = self.renew.max(ProducerReset::Epoch);
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
            let rest = self.slot(rest, None, doubt);
            self.slots.insert(place, rest);
        }
    }

    /// Longer with every failure in a row; half of it by chance, so that partitions do not come in step.
    fn pause(&mut self, now: Instant) {
        let whole = FIRST_PAUSE.saturating_mul(1 << self.failures.min(6)).min(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        self.resume_at = Some(now + whole.mul_f64(0.5 + fastrand::f64() / 2.0));
    }
}
