//! The records of one partition on their way, in order: what may be sent now, and what an answer means
//! for the rest. Knows no socket and no clock, so that tests can play every misfortune.
//!
//! With `acks=all` a batch carries producer id, epoch and sequence, by which the broker takes it once
//! and in order (KIP-98). What that rests on:
//! - A batch that may have been written is only ever sent again with the very same stamp. Where that
//!   cannot be, its records are settled as `TimedOut(Maybe)`.
//! - A batch that a later one has overtaken (its own response was a timeout) is sent again with its own
//!   sequence before anything new: the broker still remembers it, and returns its offset. Only an
//!   out-of-order sequence proves that the broker's state differs, and starts the next epoch.
//! - Where a batch drops out of the sequence, the others that surely were not written start anew with
//!   the next epoch (KIP-360) and sequence 0, once nothing is in flight.
//! - A new epoch's first batch goes alone: a broker that has no state of a producer takes any
//!   sequence, and would take the second batch although it refused the first.

mod expiry;
mod outcomes;

use super::batch::{PendingRecord, ProducerBatch};
use super::encode::Stamp;
use super::request_size::{Occupancy, RequestCapacity, Sharing};
use crate::broker::{BrokerError, WriteState};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A broker remembers the last five batches of a producer: with more in flight it could not tell a
/// repeated one.
const MAX_IN_FLIGHT: usize = 5;

/// A broker forgets producers that have written nothing for a while (`producer.id.expiration.ms`);
/// after so long the first batch goes alone again.
const PRODUCER_STATE_LIFETIME: Duration = Duration::from_secs(60);

/// How a queue keeps retries from writing twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// By sequence numbers; several batches in flight.
    Idempotent,
    /// One batch in flight; one whose fate is unknown is not sent again.
    Single,
}

/// A connection, never used again for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// A batch to send now. Its answer is due at [`Queue::answered`], whatever becomes of it.
#[derive(Debug, Clone)]
pub struct OutgoingBatch {
    pub number: u64,
    pub batch: Arc<ProducerBatch>,
    pub stamp: Stamp,
    pub sharing: Sharing,
}

#[derive(Debug)]
pub enum NextBatch {
    Send(OutgoingBatch),
    /// The next batch needs more room than there is, or a connection that is idle.
    NeedsCapacity,
    /// The id given is missing, or is this one, which no longer serves.
    NeedsProducerId {
        stale: Option<i64>,
    },
    Nothing,
}

/// What became of a batch that was sent.
#[derive(Debug, Clone, PartialEq)]
pub enum BatchOutcome {
    /// Its records are settled already.
    Written,
    /// It can work later.
    Retry { attempt: WriteState },
    /// The broker closed the connection on the request of so many bytes that carried it, without a response.
    ConnectionClosed { attempt: WriteState, request_bytes: usize },
    /// The broker is missing an earlier batch (out-of-order sequence).
    OutOfOrder,
    /// The broker takes no more from this producer id.
    Fenced,
    /// It came to the broker damaged: once more, then no more.
    Corrupt(BrokerError),
    /// The broker refuses a batch because of one record and does not say which.
    Split(BrokerError),
    /// These records, by their index in the batch, are at fault; nothing was written.
    InvalidRecords(Vec<(usize, BrokerError)>),
    /// It can never work.
    Failed(BrokerError),
}

pub struct PartitionQueue {
    delivery: Delivery,
    max_batch_bytes: usize,
    /// Sealed batches, oldest first.
    batches: VecDeque<QueuedBatch>,
    /// The batch that still grows.
    open: ProducerBatch,
    open_since: Option<Instant>,
    next_number: u64,
    producer: Option<ProducerState>,
    /// Fenced: of no use any more.
    stale_id: Option<i64>,
    reset: ProducerReset,
    last_written: Option<Instant>,
    failures: u32,
    resume_at: Option<Instant>,
}

struct QueuedBatch {
    number: u64,
    batch: Arc<ProducerBatch>,
    /// Of its first record in the present epoch, once sent.
    sequence: Option<i32>,
    stage: BatchStage,
    /// Whether an attempt so far may have been written.
    may_be_written: WriteState,
    /// Whether a later batch was acknowledged before it.
    order: Order,
    /// How many times in a row the broker closed the connection on it.
    closes: u32,
    /// Whether one of those may have been written: not if it is its size that the broker hangs up on.
    close_may_be_written: WriteState,
    /// How many times the broker found it damaged.
    corruptions: u32,
    /// When the next of those who wait for its records ceases to; `None` once all have.
    first_deadline: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum BatchStage {
    Waiting,
    InFlight(ConnectionId),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Kept,
    Overtaken,
}

struct ProducerState {
    id: i64,
    epoch: i16,
    next_sequence: i32,
    /// The broker has taken a batch of this epoch.
    confirmed: bool,
}

/// What has to change before the next batch is sent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum ProducerReset {
    Nothing,
    Epoch,
    Id,
}

impl PartitionQueue {
    /// Batches of at most about `limit` bytes.
    pub fn new(delivery: Delivery, max_batch_bytes: usize) -> Self {
        Self {
            delivery,
            max_batch_bytes,
            batches: VecDeque::new(),
            open: ProducerBatch::default(),
            open_since: None,
            next_number: 0,
            producer: None,
            stale_id: None,
            reset: ProducerReset::Nothing,
            last_written: None,
            failures: 0,
            resume_at: None,
        }
    }

    pub fn push(&mut self, entry: PendingRecord, now: Instant) {
        if !self.open.fits(&entry, self.max_batch_bytes) {
            self.seal();
        }
        self.open_since.get_or_insert(now);
        self.open.push(entry);
    }

    /// Nothing waits and nothing is in flight.
    pub fn is_idle(&self) -> bool {
        self.batches.is_empty() && self.open.is_empty()
    }

    /// Every caller has had its outcome, though answers may be due.
    pub fn is_settled(&self) -> bool {
        self.open.is_empty() && self.batches.iter().all(|s| s.first_deadline.is_none())
    }

    /// The broker gives no producer id.
    pub fn disable_sequences(&mut self) {
        if self.producer.is_none() {
            self.delivery = Delivery::Single;
        }
    }

    /// The broker gives one after all. Only for queues of `acks=all`.
    pub fn enable_sequences(&mut self) {
        self.delivery = Delivery::Idempotent;
    }

    /// A whole batch, or one to be sent again, waits.
    pub fn has_ready_batch(&self) -> bool {
        self.batches.iter().any(|s| s.stage == BatchStage::Waiting)
    }

    /// Bytes of the batch that still grows, and since when.
    pub fn open(&self) -> Option<(usize, Instant)> {
        self.open_since.map(|since| (self.open.bytes(), since))
    }

    /// The connection on which batches await their responses.
    pub fn connection_in_flight(&self) -> Option<ConnectionId> {
        self.batches.iter().find_map(|slot| match slot.stage {
            BatchStage::InFlight(connection) => Some(connection),
            BatchStage::Waiting => None,
        })
    }

    /// When the first of those who wait for its records ceases to.
    pub fn first_deadline(&self) -> Option<Instant> {
        let open = self.open.entries().first().map(PendingRecord::deadline);
        self.batches.iter().filter_map(|slot| slot.first_deadline).chain(open).min()
    }

    /// When a pause ends, if there is one.
    pub fn resume_at(&self) -> Option<Instant> {
        self.resume_at
    }

    /// The next batch for `connection`, if one may be sent there now and has capacity.
    pub fn next(
        &mut self,
        connection: ConnectionId,
        producer_id: Option<i64>,
        capacity: RequestCapacity,
        now: Instant,
    ) -> NextBatch {
        if self.is_idle() || self.resume_at.is_some_and(|at| at > now) {
            return NextBatch::Nothing;
        }
        self.resume_at = None;
        let in_flight = self.batches.iter().filter(|s| s.stage != BatchStage::Waiting).count();
        if self.reset > ProducerReset::Nothing {
            if in_flight > 0 {
                return NextBatch::Nothing;
            }
            self.apply_reset();
        }
        if let Err(missing) = self.adopt_producer_id(producer_id) {
            return missing;
        }
        // In flight come first and on this connection, else their answers first: one that is to be sent
        // again must not come after a younger one, nor be overtaken on another connection.
        let orderly = self.batches.iter().take(in_flight).all(|s| s.stage == BatchStage::InFlight(connection));
        if !orderly || in_flight >= self.max_in_flight(now) {
            return NextBatch::Nothing;
        }
        let (bytes, closes) = match self.batches.get(in_flight) {
            Some(slot) => (slot.batch.bytes(), slot.closes),
            None if self.open.is_empty() => return NextBatch::Nothing,
            None => (self.open.bytes(), 0),
        };
        let sharing = capacity.sharing(bytes, closes);
        if capacity.occupancy == Occupancy::Shared && (sharing == Sharing::Alone || bytes > capacity.left) {
            return NextBatch::NeedsCapacity;
        }
        if in_flight == self.batches.len() {
            self.seal();
        }
        let Some(slot) = self.batches.get_mut(in_flight) else { return NextBatch::Nothing };
        slot.stage = BatchStage::InFlight(connection);
        let stamp = match &mut self.producer {
            None => Stamp::NONE,
            Some(producer) => {
                let base_sequence = *slot.sequence.get_or_insert(producer.next_sequence);
                if base_sequence == producer.next_sequence {
                    producer.next_sequence = sequence_after(base_sequence, slot.batch.len());
                }
                Stamp { producer_id: producer.id, producer_epoch: producer.epoch, base_sequence }
            }
        };
        NextBatch::Send(OutgoingBatch { number: slot.number, batch: slot.batch.clone(), stamp, sharing })
    }

    fn max_in_flight(&self, now: Instant) -> usize {
        let remembered =
            self.last_written.is_some_and(|at| now.saturating_duration_since(at) < PRODUCER_STATE_LIFETIME);
        // Newer batches would push an overtaken one out of the five that the broker remembers.
        let in_order = self.batches.iter().all(|s| s.order == Order::Kept);
        match &self.producer {
            Some(producer) if producer.confirmed && remembered && in_order => MAX_IN_FLIGHT,
            _ => 1,
        }
    }

    fn adopt_producer_id(&mut self, offered: Option<i64>) -> Result<(), NextBatch> {
        // The answer to a batch without a stamp says nothing of what the broker knows of a producer.
        let unstamped = |slot: &QueuedBatch| slot.stage != BatchStage::Waiting && slot.sequence.is_none();
        if self.delivery == Delivery::Single || self.producer.is_some() || self.batches.iter().any(unstamped) {
            return Ok(());
        }
        let stale = self.stale_id;
        let id = offered.filter(|id| Some(*id) != stale).ok_or(NextBatch::NeedsProducerId { stale })?;
        self.producer = Some(ProducerState { id, epoch: 0, next_sequence: 0, confirmed: false });
        Ok(())
    }

    /// The next epoch or producer id from sequence 0, for all that surely was not written.
    fn apply_reset(&mut self) {
        for index in (0..self.batches.len()).rev() {
            if self.batches.get(index).is_some_and(|s| s.write_state() == WriteState::Maybe) {
                self.remove(index, &BrokerError::TimedOut(WriteState::Maybe));
            }
        }
        self.batches.iter_mut().for_each(|s| (s.sequence, s.order) = (None, Order::Kept));
        let reset = std::mem::replace(&mut self.reset, ProducerReset::Nothing);
        if let Some(producer) = self.producer.take() {
            match producer.epoch.checked_add(1) {
                Some(epoch) if reset == ProducerReset::Epoch => {
                    self.producer = Some(ProducerState { epoch, next_sequence: 0, confirmed: false, ..producer });
                }
                _ => self.stale_id = Some(producer.id),
            }
        }
    }

    /// Takes the batch at `index` out for good; what surely was not written gets `error`.
    fn remove(&mut self, index: usize, error: &BrokerError) {
        let Some(slot) = self.batches.remove(index) else { return };
        slot.batch.settle_failed(error);
        if slot.sequence.is_some() {
            self.reset = self.reset.max(ProducerReset::Epoch);
        }
    }

    fn seal(&mut self) {
        if !self.open.is_empty() {
            let batch = self.clear_open();
            let slot = self.queued(batch, None, WriteState::No);
            self.batches.push_back(slot);
        }
    }

    fn clear_open(&mut self) -> ProducerBatch {
        self.open_since = None;
        std::mem::take(&mut self.open)
    }

    fn queued(&mut self, batch: ProducerBatch, sequence: Option<i32>, doubt: WriteState) -> QueuedBatch {
        let number = self.next_number;
        self.next_number += 1;
        let first_deadline = batch.entries().iter().map(PendingRecord::deadline).min();
        QueuedBatch {
            number,
            batch: Arc::new(batch),
            sequence,
            stage: BatchStage::Waiting,
            may_be_written: doubt,
            order: Order::Kept,
            closes: 0,
            close_may_be_written: WriteState::No,
            corruptions: 0,
            first_deadline,
        }
    }
}

impl QueuedBatch {
    fn write_state(&self) -> WriteState {
        if self.close_may_be_written == WriteState::Maybe { WriteState::Maybe } else { self.may_be_written }
    }
}

/// Sequences count from 0 again after `i32::MAX`.
fn sequence_after(base: i32, records: usize) -> i32 {
    ((i64::from(base) + records as i64) % (i64::from(i32::MAX) + 1)) as i32
}

#[cfg(test)]
mod tests;
