//! The producer's queue for one partition. It decides which batch may be sent next, and applies the outcome of each
//! batch to the others. It has no socket and no clock, so that tests can simulate every failure.
//!
//! With `acks=all` a batch carries producer id, epoch and sequence number, by which the broker writes it once and in
//! order (KIP-98). This rests on:
//! - A batch that may have been written is only ever retried with the same stamp. Where that is impossible, its
//!   records are settled as `TimedOut(Maybe)`.
//! - A batch that was overtaken by a later one (its own response was a timeout) is retried with its own sequence
//!   number before anything new: the broker still remembers it and returns its offset. Only an out-of-order sequence
//!   proves that the broker's state differs, and starts the next epoch.
//! - When a batch drops out of the sequence, the other batches that were certainly not written restart at sequence 0
//!   of the next epoch (KIP-360), once nothing is in flight.
//! - The first batch of a new epoch is sent alone: a broker without state of a producer accepts any sequence, and
//!   would accept the second batch although it rejected the first.

mod expiry;
mod outcomes;

use super::batch::{PendingRecord, ProducerBatch};
use super::encode::Stamp;
use super::request_size::{Occupancy, RequestCapacity, Sharing};
use crate::broker::{BrokerError, WriteState};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A broker remembers the last five batches of a producer; it could not detect duplicates of older ones.
const MAX_IN_FLIGHT: usize = 5;

/// A broker forgets producers that have been idle for `producer.id.expiration.ms`. After this long the first batch is
/// sent alone again.
const PRODUCER_STATE_LIFETIME: Duration = Duration::from_secs(60);

/// How a queue prevents duplicates when it retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Sequence numbers, with several batches in flight.
    Idempotent,
    /// One batch in flight, which is not retried if it may have been written.
    Single,
}

/// Identifies a connection; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// A batch to send now. Its outcome must be reported to [`PartitionQueue::on_outcome`] in every case.
#[derive(Debug, Clone)]
pub struct OutgoingBatch {
    pub number: u64,
    pub batch: Arc<ProducerBatch>,
    pub stamp: Stamp,
    pub sharing: Sharing,
}

/// The next batch to send, or the reason for not sending one.
#[derive(Debug)]
pub enum NextBatch {
    Send(OutgoingBatch),
    /// The next batch exceeds the capacity, or needs an idle connection.
    NeedsCapacity,
    /// A producer id is needed: none was offered, or the offered one is `stale` (fenced).
    NeedsProducerId {
        stale: Option<i64>,
    },
    Nothing,
}

/// The outcome of a batch that was sent.
#[derive(Debug, Clone, PartialEq)]
pub enum BatchOutcome {
    /// Written; its records are settled already.
    Written,
    /// Failed with a retriable error.
    Retry { attempt: WriteState },
    /// The broker closed the connection without a response; the request had `request_bytes`.
    ConnectionClosed { attempt: WriteState, request_bytes: usize },
    /// The broker is missing an earlier batch (out-of-order sequence).
    OutOfOrder,
    /// The broker rejects this producer id or epoch.
    Fenced,
    /// The checksum did not match at the broker; retried once.
    Corrupt(BrokerError),
    /// The broker rejects the batch because of one record and does not say which.
    Split(BrokerError),
    /// These records, by index in the batch, are invalid; nothing was written.
    InvalidRecords(Vec<(usize, BrokerError)>),
    /// Failed for good.
    Failed(BrokerError),
}

/// The records of one partition that wait or are in flight, in order.
pub struct PartitionQueue {
    delivery: Delivery,
    max_batch_bytes: usize,
    /// Sealed batches, oldest first.
    batches: VecDeque<QueuedBatch>,
    /// The batch to which records are appended.
    open: ProducerBatch,
    open_since: Option<Instant>,
    next_number: u64,
    producer: Option<ProducerState>,
    /// The fenced producer id.
    stale_id: Option<i64>,
    reset: ProducerReset,
    last_written: Option<Instant>,
    failures: u32,
    resume_at: Option<Instant>,
}

struct QueuedBatch {
    number: u64,
    batch: Arc<ProducerBatch>,
    /// Sequence number of its first record in the current epoch, once sent.
    sequence: Option<i32>,
    stage: BatchStage,
    /// Whether an earlier attempt may have been written.
    may_be_written: WriteState,
    /// Whether a later batch was acknowledged first.
    order: Order,
    /// Number of consecutive attempts after which the broker closed the connection.
    closes: u32,
    /// Whether one of those attempts may have been written. If the broker rejects the size, none was.
    close_may_be_written: WriteState,
    /// How many times the broker found a wrong checksum.
    corruptions: u32,
    /// Earliest deadline of its unsettled records; `None` if all are settled.
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
    /// The broker has acknowledged a batch of this epoch.
    confirmed: bool,
}

/// The part of the producer's state to replace before the next batch is sent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum ProducerReset {
    Nothing,
    Epoch,
    Id,
}

impl PartitionQueue {
    /// Creates a queue whose batches have about `max_batch_bytes` at most.
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

    /// Appends a record to the open batch, or to a new one if that is full.
    pub fn push(&mut self, entry: PendingRecord, now: Instant) {
        if !self.open.fits(&entry, self.max_batch_bytes) {
            self.seal();
        }
        self.open_since.get_or_insert(now);
        self.open.push(entry);
    }

    /// Whether no record waits and none is in flight.
    pub fn is_idle(&self) -> bool {
        self.batches.is_empty() && self.open.is_empty()
    }

    /// Whether every caller has its outcome, though responses may be outstanding.
    pub fn is_settled(&self) -> bool {
        self.open.is_empty() && self.batches.iter().all(|s| s.first_deadline.is_none())
    }

    /// Switches to [`Delivery::Single`]: the broker denies a producer id.
    pub fn disable_sequences(&mut self) {
        if self.producer.is_none() {
            self.delivery = Delivery::Single;
        }
    }

    /// Switches to [`Delivery::Idempotent`]: a producer id was granted. Only for queues of `acks=all`.
    pub fn enable_sequences(&mut self) {
        self.delivery = Delivery::Idempotent;
    }

    /// Whether a full batch or a retry waits.
    pub fn has_ready_batch(&self) -> bool {
        self.batches.iter().any(|s| s.stage == BatchStage::Waiting)
    }

    /// Size of the open batch in bytes, and the time of its first record.
    pub fn open(&self) -> Option<(usize, Instant)> {
        self.open_since.map(|since| (self.open.bytes(), since))
    }

    /// The connection that carries the batches in flight.
    pub fn connection_in_flight(&self) -> Option<ConnectionId> {
        self.batches.iter().find_map(|slot| match slot.stage {
            BatchStage::InFlight(connection) => Some(connection),
            BatchStage::Waiting => None,
        })
    }

    /// Earliest deadline of the unsettled records.
    pub fn first_deadline(&self) -> Option<Instant> {
        let open = self.open.entries().first().map(PendingRecord::deadline);
        self.batches.iter().filter_map(|slot| slot.first_deadline).chain(open).min()
    }

    /// When the back-off ends, if one is running.
    pub fn resume_at(&self) -> Option<Instant> {
        self.resume_at
    }

    /// Returns the next batch for `connection`, if one may be sent there now and fits the capacity.
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
        // Every batch in flight must be at the front of the queue and on this connection; otherwise the queue waits for
        // the outstanding responses. A retry is then never sent after a newer batch, nor overtaken on another
        // connection.
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
        // The response to a batch without a stamp says nothing about the state of a producer.
        let unstamped = |slot: &QueuedBatch| slot.stage != BatchStage::Waiting && slot.sequence.is_none();
        if self.delivery == Delivery::Single || self.producer.is_some() || self.batches.iter().any(unstamped) {
            return Ok(());
        }
        let stale = self.stale_id;
        let id = offered.filter(|id| Some(*id) != stale).ok_or(NextBatch::NeedsProducerId { stale })?;
        self.producer = Some(ProducerState { id, epoch: 0, next_sequence: 0, confirmed: false });
        Ok(())
    }

    /// Starts the next epoch or producer id at sequence 0 with the batches that were certainly not written.
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

    /// Removes the batch at `index`, and fails its unsettled records with `error`.
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

/// Sequence numbers wrap to 0 after `i32::MAX`.
fn sequence_after(base: i32, records: usize) -> i32 {
    ((i64::from(base) + records as i64) % (i64::from(i32::MAX) + 1)) as i32
}

#[cfg(test)]
mod tests;
