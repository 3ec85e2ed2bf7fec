//! Holds back records that later ones may replace: of each key, only the latest record in an interval is sent.
//!
//! In each partition, an interval is a range of offsets. It ends before the first record whose timestamp is in a later
//! interval, and earlier if its records have been held for too long or use too much memory. A late record belongs to
//! the interval in which it arrives. At the end of an interval, the latest record of each key is sent, in the order of
//! offsets. So every record before a sent one has been sent or has been replaced by a later record: a stream that
//! resumes after a sent record repeats no record, and misses no latest record.

use crate::record::owned::OwnedRecord;
use crate::record::{Offset, Partition, Position, RecordRef};
use crate::sync::memory_budget::{Reservation, Share};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Maximum number of keys whose records are held in one partition.
const MAX_KEYS: usize = 10_000;
/// Number of consecutive records from earlier intervals after which the current interval is considered wrong, because
/// one clock was ahead. If several devices with different clocks send records alternately, some of these records belong
/// to the current interval, so this number is not reached.
const MAX_LATE: u32 = 100;
/// Memory of a held record in addition to its key and its copy, in bytes.
const RECORD_BYTES: usize = 160;

/// The held records of one stream or feed.
#[derive(Debug)]
pub struct Sampler {
    interval: Duration,
    /// By topic index and partition.
    held: HashMap<(usize, Partition), HeldRecords>,
    share: Arc<Share>,
    memory: Reservation,
}

/// The held records of one partition.
#[derive(Debug)]
struct HeldRecords {
    /// The number of the current interval, counted from the Unix epoch.
    interval: i64,
    /// Number of consecutive records from earlier intervals, and the latest of these intervals.
    late: (u32, i64),
    /// The position from which a stream must resume to get the held records.
    start: Position,
    /// The time when the first record of the current interval arrived.
    since: Instant,
    /// The latest record of each key. All records without a key share one entry.
    latest: HashMap<Option<Box<[u8]>>, HeldRecord>,
    /// The records of an interval that has ended, the last one first.
    due: Vec<HeldRecord>,
}

/// A record that may still be replaced, or that is due to be sent.
#[derive(Debug)]
pub struct HeldRecord {
    record: OwnedRecord,
    /// The position after the record.
    pub after: Position,
    bytes: usize,
}

/// The result of [`Sampler::offer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    Held,
    /// The records that are due must be sent first.
    SendDue,
    /// There is no memory for the record, so it must be sent now.
    SendNow,
}

impl HeldRecord {
    pub fn offset(&self) -> Offset {
        self.after.next - 1
    }

    pub fn record(&self) -> RecordRef<'_> {
        self.record.as_ref()
    }
}

impl Sampler {
    /// Creates an empty sampler. The memory of its records is limited to the largest reservation of `share`.
    pub fn new(interval: Duration, share: &Arc<Share>) -> Self {
        let memory = share.empty_reservation();
        Self { interval, held: HashMap::new(), share: share.clone(), memory }
    }

    /// Creates an empty sampler with the same interval.
    pub fn empty(&self) -> Self {
        Self::new(self.interval, &self.share)
    }

    /// Offers the record between the positions `before` and `after`.
    pub fn offer(
        &mut self,
        place: (usize, Partition),
        record: &RecordRef<'_>,
        before: Position,
        after: Position,
    ) -> Offer {
        let length = i64::try_from(self.interval.as_millis()).unwrap_or(i64::MAX).max(1);
        let own = record.timestamp.div_euclid(length);
        let held = self.held.entry(place).or_insert_with(|| HeldRecords {
            interval: own,
            late: (0, i64::MIN),
            start: before,
            since: Instant::now(),
            latest: HashMap::new(),
            due: Vec::new(),
        });
        if !held.due.is_empty() {
            return Offer::SendDue;
        }
        let number = if held.late.0 >= MAX_LATE { held.late.1.max(own) } else { held.interval.max(own) };
        if number != held.interval {
            held.end_interval();
            (held.interval, held.late) = (number, (0, i64::MIN));
            if !held.due.is_empty() {
                return Offer::SendDue;
            }
        }
        let key = record.stored_key().map(Box::<[u8]>::from);
        let bytes = RECORD_BYTES + 2 * key.as_ref().map_or(0, |key| key.len()) + OwnedRecord::memory_for(record);
        let replaced = held.latest.get(&key).map(|held| held.bytes);
        let is_full = replaced.is_none() && held.latest.len() >= MAX_KEYS;
        let wanted = (self.memory.bytes() + bytes).saturating_sub(replaced.unwrap_or(0));
        if is_full || self.memory.set(wanted).is_err() {
            held.end_interval();
            return if held.due.is_empty() { Offer::SendNow } else { Offer::SendDue };
        }
        if held.latest.is_empty() {
            (held.start, held.since) = (before, Instant::now());
        }
        held.late = match own {
            _ if own >= held.interval => (0, i64::MIN),
            _ => (held.late.0 + 1, held.late.1.max(own)),
        };
        held.latest.insert(key, HeldRecord { record: OwnedRecord::copy(record), after, bytes });
        Offer::Held
    }

    /// Returns the share to which the held records are charged.
    pub fn share(&self) -> &Arc<Share> {
        &self.share
    }

    /// Ends the interval of a partition, regardless of the timestamps of its next records.
    pub fn end_interval(&mut self, place: (usize, Partition)) {
        if let Some(held) = self.held.get_mut(&place).filter(|held| !held.latest.is_empty()) {
            held.end_interval();
            held.interval = held.interval.saturating_add(1);
        }
    }

    /// Returns the next record to send.
    pub fn next_due(&self, place: (usize, Partition)) -> Option<&HeldRecord> {
        self.held.get(&place)?.due.last()
    }

    /// Drops the record that [`next_due`](Self::next_due) returned, after it has been sent.
    pub fn sent(&mut self, place: (usize, Partition)) {
        if let Some(held) = self.held.get_mut(&place)
            && let Some(sent) = held.due.pop()
        {
            held.start = sent.after;
            self.memory.shrink(self.memory.bytes().saturating_sub(sent.bytes));
        }
    }

    /// Returns the position from which a stream must resume to get the held records of a partition, or `None` if no
    /// record of it is held.
    pub fn resume_at(&self, place: (usize, Partition)) -> Option<Position> {
        self.held.get(&place).filter(|held| held.holds()).map(|held| held.start)
    }

    /// Returns the partitions with held records.
    pub fn places(&self) -> Vec<(usize, Partition)> {
        let mut places: Vec<_> = self.held.iter().filter(|(_, held)| held.holds()).map(|(place, _)| *place).collect();
        places.sort_unstable();
        places
    }

    /// Whether the records of a partition have been held for longer than an interval and a quarter. With this quarter,
    /// the intervals of a busy partition end by timestamps, which are the same for every stream.
    pub fn is_overdue(&self, place: (usize, Partition)) -> bool {
        let most = self.interval + self.interval / 4;
        self.held.get(&place).is_some_and(|held| !held.due.is_empty() || (held.holds() && held.since.elapsed() >= most))
    }

    /// Drops all held records.
    pub fn clear(&mut self) {
        self.held.values_mut().for_each(|held| (held.latest, held.due) = Default::default());
        self.memory.shrink(0);
    }
}

impl HeldRecords {
    fn holds(&self) -> bool {
        !self.latest.is_empty() || !self.due.is_empty()
    }

    fn end_interval(&mut self) {
        if self.due.is_empty() {
            self.due = std::mem::take(&mut self.latest).into_values().collect();
            self.due.sort_unstable_by_key(|held| std::cmp::Reverse(held.offset()));
        }
    }
}
