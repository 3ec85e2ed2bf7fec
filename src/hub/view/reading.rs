//! The progress of reading a view. A round reads every partition up to the end that it had when the round first read it.

use super::fold::PartitionFold;
use crate::broker::{BrokerError, TopicInfo};
use crate::hub::stream::positions_by_leader::{PositionsByLeader, by_leader};
use crate::record::{EpochSpan, Offset, Partition, Position, Records, Timestamp, TopicPartition};
use crate::sync::backoff::Backoff;
use crate::sync::memory_budget::{Share, Shortage};
use std::sync::Arc;
use std::time::{Duration, Instant};

static NO_EPOCHS: EpochSpan = EpochSpan::NONE;

/// The state of a view between its turns.
pub struct ViewReading {
    /// The topic, as it was at the last look-up.
    pub info: Option<TopicInfo>,
    /// Whether the topic must be looked up.
    pub look_up: LookUp,
    /// The folds of the partitions.
    pub partitions: Vec<PartitionFold>,
    /// The round in progress.
    pub round: Option<Round>,
    /// Pauses after errors.
    pub backoff: Backoff,
    /// Number of consecutive turns that failed.
    pub failures: u32,
    /// Number of turns taken. It selects the leader to read from, so that no leader starves.
    pub turn: usize,
    /// The last time when partitions were read again because the schema registry could not be reached.
    decoded_again: Option<Instant>,
    /// The pause before they are read again the next time.
    decode_pause: Duration,
}

/// First and longest pause before partitions are read again whose records could not be decoded because the registry could not be
/// reached. It doubles each time, because a large topic is read as a whole.
const DECODE_PAUSES: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(30 * 60));

/// Whether the topic must be looked up before the next fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookUp {
    Due,
    Done,
}

/// A round of reading.
pub struct Round {
    /// The time when the round began.
    pub began: Instant,
    /// The end of each partition when it was first read in this round.
    ends: Vec<Option<Offset>>,
}

/// A span of records that was read from one partition.
pub struct ReadSpan<'r> {
    /// The records.
    pub batches: &'r [Records],
    /// The leader epochs of the records.
    pub epochs: &'r EpochSpan,
    /// The offset after the span.
    pub next: Offset,
    /// The end of the log, if it is known.
    pub end: Option<Offset>,
}

impl ReadSpan<'_> {
    /// Creates an empty span at the end of the log.
    pub fn nothing_at(end: Offset) -> Self {
        ReadSpan { batches: &[], epochs: &NO_EPOCHS, next: end, end: Some(end) }
    }
}

impl Default for ViewReading {
    fn default() -> Self {
        Self {
            info: None,
            look_up: LookUp::Due,
            partitions: Vec::new(),
            round: None,
            backoff: Backoff::for_broker(),
            failures: 0,
            turn: 0,
            decoded_again: None,
            decode_pause: DECODE_PAUSES.0,
        }
    }
}

impl ViewReading {
    /// Begins a round.
    pub fn begin_round(&mut self, began: Instant, look_up: LookUp) {
        self.round = Some(Round { began, ends: vec![None; self.partitions.len()] });
        if look_up == LookUp::Due {
            self.look_up = LookUp::Due;
        }
        let last = *self.decoded_again.get_or_insert(began);
        if began.saturating_duration_since(last) >= self.decode_pause {
            self.decoded_again = Some(began);
            let undecoded = |partition: &usize| self.partitions[*partition].is_partly_undecoded;
            let undecoded: Vec<_> = (0..self.partitions.len()).filter(undecoded).collect();
            let (first, longest) = DECODE_PAUSES;
            self.decode_pause = if undecoded.is_empty() { first } else { (2 * self.decode_pause).min(longest) };
            undecoded.into_iter().for_each(|partition| self.restart(partition));
        }
    }

    /// Sets the current metadata of the topic. A topic that was recreated is read from its beginning.
    pub fn learn(&mut self, info: TopicInfo) {
        let (id, known) = (self.info.as_ref().and_then(|info| info.id), self.partitions.len());
        if info.partitions.len() < known || (id.is_some() && info.id != id) {
            self.partitions.clear();
            self.round.iter_mut().for_each(|round| round.ends.clear());
        }
        self.partitions.resize_with(info.partitions.len(), PartitionFold::default);
        self.round.iter_mut().for_each(|round| round.ends.resize(info.partitions.len(), None));
        self.info = Some(info);
        self.look_up = LookUp::Done;
    }

    /// Returns the partitions of the topic.
    pub fn places(&self) -> Vec<TopicPartition> {
        let Some(info) = &self.info else { return Vec::new() };
        let place = |partition| TopicPartition { topic: info.name.clone(), partition };
        info.partitions.iter().map(|info| place(info.partition)).collect()
    }

    /// Discards the fold of a partition, because the log was truncated. The partition is looked up and read again.
    pub fn restart(&mut self, partition: usize) {
        self.partitions[partition] = PartitionFold::default();
        self.forget_end(partition);
        self.look_up = LookUp::Due;
    }

    /// Continues a partition at another offset.
    pub fn jump(&mut self, partition: usize, to: Position) {
        self.partitions[partition].at = Some(to);
        self.forget_end(partition);
    }

    fn forget_end(&mut self, partition: usize) {
        if let Some(end) = self.round.as_mut().and_then(|round| round.ends.get_mut(partition)) {
            *end = None;
        }
    }

    /// Adds a span that was read at the position of a partition.
    pub fn advance(&mut self, partition: usize, span: &ReadSpan<'_>, share: &Arc<Share>) -> Result<(), Shortage> {
        let Some(fold) = self.partitions.get_mut(partition) else { return Ok(()) };
        let Some(from) = fold.at else { return Ok(()) };
        // A batch may begin before the requested offset.
        let records = span.batches.iter().flat_map(Records::iter).skip_while(|record| record.offset < from.next);
        for record in records {
            fold.apply(partition as Partition, &record, share)?;
        }
        let next = span.next.max(from.next);
        fold.at = Some(Position { next, epoch: span.epochs.before(next).unwrap_or(from.epoch) });
        let end = self.round.as_mut().and_then(|round| round.ends.get_mut(partition));
        if let (Some(end @ None), Some(now)) = (end, span.end) {
            *end = Some(now);
        }
        Ok(())
    }

    /// Whether a partition has been read up to its end in this round.
    fn is_at_end(&self, partition: usize) -> bool {
        let end = self.round.as_ref().and_then(|round| *round.ends.get(partition)?);
        let at = self.partitions.get(partition).and_then(|fold| fold.at);
        at.zip(end).is_some_and(|(at, end)| at.next >= end)
    }

    /// Whether the round is complete.
    pub fn is_finished(&self) -> bool {
        self.look_up == LookUp::Done && (0..self.partitions.len()).all(|partition| self.is_at_end(partition))
    }

    /// Returns the positions to fetch in this round, by leader. Returns an error if a partition has no leader.
    pub fn wants(&self) -> Result<PositionsByLeader, BrokerError> {
        let Some(info) = &self.info else { return Ok(PositionsByLeader::new()) };
        let behind = (0..self.partitions.len()).filter(|partition| !self.is_at_end(*partition));
        by_leader(behind.filter_map(|partition| Some((info, partition as Partition, self.partitions[partition].at?))))
    }

    /// Returns the memory of the latest records, in bytes.
    pub fn bytes(&self) -> usize {
        self.partitions.iter().map(PartitionFold::bytes).sum()
    }

    /// Drops the records that are no longer in the log, and those before `oldest`.
    pub fn expire(&mut self, oldest: Option<Timestamp>) {
        self.partitions.iter_mut().for_each(|fold| fold.expire(oldest));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_read_again_some_time_after_the_registry_could_not_be_reached() {
        let mut reading = ViewReading::default();
        reading.partitions.resize_with(2, PartitionFold::default);
        reading.partitions.iter_mut().for_each(|fold| fold.at = Some(Position::from(7)));
        let start = Instant::now();
        for (after, at) in [(0, Some(7)), (29, Some(7)), (30, None), (89, Some(7)), (90, None)] {
            // The registry is never reached.
            reading.partitions[0].is_partly_undecoded = true;
            reading.partitions[0].at = Some(Position::from(7));
            reading.begin_round(start + Duration::from_secs(after), LookUp::Done);
            let next: Vec<_> = reading.partitions.iter().map(|fold| fold.at.map(|at| at.next)).collect();
            assert_eq!(next, [at, Some(7)], "after {after} s");
        }
    }
}
