//! What there is, in memory: topics, their partitions, and the segments of each log.

use super::batch::StoredBatch;
use super::group_commit::MAX_AHEAD;
use super::store::PartitionKey;
use crate::broker::{BrokerError, FetchPosition, NodeId, PartitionInfo, TopicInfo};
use crate::record::{Epoch, EpochSpan, NO_EPOCH, Offset, Partition, Timestamp, TopicName, TopicPartition};
use std::collections::{BTreeMap, VecDeque};

/// The one leader of every partition.
pub const NODE: NodeId = 0;

/// Epochs of openings that are kept for each log.
pub const MAX_EPOCHS: usize = 256;

/// All topics by name.
pub type Topics = BTreeMap<TopicName, LogTopic>;

#[derive(Debug, Clone)]
pub struct LogTopic {
    pub id: uuid::Uuid,
    /// Names the topic in keys of the store; not used again while the topic lives.
    pub number: u32,
    pub partitions: Vec<PartitionLog>,
}

impl LogTopic {
    pub fn info(&self, name: &TopicName) -> TopicInfo {
        let numbers = 0..self.partitions.len() as Partition;
        let partitions =
            numbers.map(|partition| PartitionInfo { partition, leader: Some(NODE), leader_epoch: 0 }).collect();
        TopicInfo { name: name.clone(), id: Some(self.id), partitions }
    }

    pub fn partition(&self, partition: Partition) -> Option<&PartitionLog> {
        self.partitions.get(usize::try_from(partition).ok()?)
    }

    /// Bytes of all its batches.
    pub fn bytes(&self) -> u64 {
        self.partitions.iter().flat_map(|log| &log.segments).map(|segment| segment.bytes).sum()
    }
}

pub fn find_partition<'a>(
    topics: &'a Topics,
    name: &TopicName,
    partition: Partition,
) -> Result<(&'a LogTopic, &'a PartitionLog), BrokerError> {
    let topic = topics.get(name).ok_or_else(|| BrokerError::UnknownTopic(name.clone()))?;
    let unknown = || BrokerError::UnknownPartition(TopicPartition { topic: name.clone(), partition });
    Ok((topic, topic.partition(partition).ok_or_else(unknown)?))
}

/// The place, start and end of what is asked for, if it can be.
pub fn locate(topics: &Topics, want: &FetchPosition) -> Result<(PartitionKey, Offset, Offset), BrokerError> {
    let (topic, log) = find_partition(topics, &want.topic, want.partition)?;
    if want.topic_id.is_some_and(|id| id != topic.id) {
        return Err(BrokerError::Recreated(want.topic.clone()));
    }
    let place = TopicPartition { topic: want.topic.clone(), partition: want.partition };
    if let Some((end, epoch)) = log.divergence(want.offset, want.last_epoch) {
        return Err(BrokerError::Truncated { place, end, epoch });
    }
    if want.offset < log.start || want.offset > log.end {
        return Err(BrokerError::OffsetOutOfRange(place));
    }
    Ok((PartitionKey { topic: topic.number, partition: want.partition as u32 }, log.start, log.end))
}

/// One partition's log.
#[derive(Debug, Clone, Default)]
pub struct PartitionLog {
    /// The log start offset.
    pub start: Offset,
    /// Of the next record; equals the high watermark: only what is on the disk is counted.
    pub end: Offset,
    pub segments: VecDeque<Segment>,
    /// The epochs of the openings of the log that wrote here, each with its first offset: Kafka's leader epoch cache.
    /// They are random, so that no two openings have the same, whichever copy of the folder they began with.
    pub epochs: Vec<(Epoch, Offset)>,
}

/// The epoch of an opening that appends for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewEpoch {
    pub epoch: Epoch,
    /// Its first offset.
    pub start: Offset,
    pub merged: Option<MergedEpochs>,
}

/// The first epochs of a log that has too many of them: the last of these takes over the offsets of all.
///
/// Every copy of the folder that knows an epoch has the same records before it, so a cursor there may name it as well. The
/// other way around, with the first of them taking over, a copy in which it took over other records would be taken for
/// this one. A cursor that names a forgotten epoch is one of another copy: all is read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MergedEpochs {
    pub epoch: Epoch,
    /// Where the first of them began, and the last.
    pub first: Offset,
    pub last: Offset,
}

/// A stretch of a log: the unit of retention, and of the search by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    pub base: Offset,
    /// Of its last record.
    pub last: Offset,
    pub bytes: u64,
    /// The largest of its records' timestamps. They need not be in order.
    pub max_timestamp: Timestamp,
    /// When its first and its last batch were appended, by this machine's clock.
    pub opened: Timestamp,
    pub appended: Timestamp,
}

/// When a segment is full.
#[derive(Debug, Clone, Copy)]
pub struct SegmentLimits {
    pub bytes: u64,
    /// In ms.
    pub age: i64,
}

impl PartitionLog {
    /// Of the opening that wrote last.
    pub fn epoch(&self) -> Epoch {
        self.epochs.last().map_or(NO_EPOCH, |(epoch, _)| *epoch)
    }

    /// What changes with the first append of the opening `epoch`; `None`: it has appended before.
    pub fn new_epoch(&self, epoch: Epoch) -> Option<NewEpoch> {
        let surplus = (self.epochs.len() + 1).saturating_sub(MAX_EPOCHS);
        let merged = match (self.epochs.first(), self.epochs.get(surplus)) {
            (Some((_, first)), Some((epoch, last))) if surplus > 0 => {
                Some(MergedEpochs { epoch: *epoch, first: *first, last: *last })
            }
            _ => None,
        };
        (self.epoch() != epoch).then_some(NewEpoch { epoch, start: self.end, merged })
    }

    pub fn begin_epoch(&mut self, new: NewEpoch) {
        if let Some(MergedEpochs { epoch, first, last }) = new.merged {
            self.epochs.retain(|(_, start)| *start > last);
            self.epochs.insert(0, (epoch, first));
        }
        self.epochs.push((new.epoch, new.start));
    }

    /// The epochs of the records from `from` on, up to `next`.
    pub fn epochs_of(&self, from: Offset, next: Offset) -> EpochSpan {
        let mut epochs = EpochSpan::default();
        let first = self.epochs.partition_point(|(_, start)| *start <= from);
        let before = first.checked_sub(1).and_then(|at| self.epochs.get(at));
        epochs.begin(from, before.map_or(NO_EPOCH, |(epoch, _)| *epoch));
        let later = self.epochs.iter().skip(first).take_while(|(_, start)| *start < next);
        later.for_each(|(epoch, start)| epochs.begin(*start, *epoch));
        epochs
    }

    /// The epoch of the record before `next`.
    pub fn epoch_before(&self, next: Offset) -> Epoch {
        let before = self.epochs.iter().rev().find(|(_, start)| *start < next);
        before.map_or(NO_EPOCH, |(epoch, _)| *epoch)
    }

    /// Where the log stops being the one that was read up to `next`, last under `epoch`; `None`: nowhere.
    ///
    /// An epoch that is not here was of another copy of the folder. How long both were the same nobody knows, so all of
    /// this one is read: that repeats records, and never leaves one out.
    pub fn divergence(&self, next: Offset, epoch: Epoch) -> Option<(Offset, Epoch)> {
        // What is before the start is not here to be compared, and not wanted.
        if epoch == NO_EPOCH || next <= self.start {
            return None;
        }
        let Some(at) = self.epochs.iter().rposition(|(known, _)| *known == epoch) else {
            return Some((self.start, NO_EPOCH));
        };
        let end = self.epochs.get(at + 1).map_or(self.end, |(_, start)| *start);
        (end < next).then_some((end, epoch))
    }

    /// Epochs whose records are all before `start`.
    pub fn epochs_before(&self, start: Offset) -> usize {
        self.epochs.iter().skip(1).take_while(|(_, next)| *next <= start).count()
    }

    /// The segments after `batches` are appended: the last one of now, if it takes any, and new ones.
    pub fn grown(&self, batches: &[StoredBatch], now: Timestamp, limits: SegmentLimits) -> Vec<Segment> {
        let mut grown: Vec<Segment> = self.segments.back().copied().into_iter().collect();
        for batch in batches {
            let (last, bytes) = (batch.next() - 1, batch.len() as u64);
            match grown.last_mut().filter(|segment| segment.accepts(now, limits)) {
                Some(segment) => {
                    segment.last = last;
                    segment.bytes += bytes;
                    segment.max_timestamp = segment.max_timestamp.max(batch.max_timestamp());
                    segment.appended = now;
                }
                None => grown.push(Segment {
                    base: batch.base(),
                    last,
                    bytes,
                    max_timestamp: batch.max_timestamp(),
                    opened: now,
                    appended: now,
                }),
            }
        }
        grown
    }

    /// Takes over what [`grown`](Self::grown) gave.
    pub fn grow(&mut self, grown: Vec<Segment>) {
        self.segments.pop_back();
        self.end = grown.last().map_or(self.end, |last| last.last + 1);
        self.segments.extend(grown);
    }

    /// The segments that may hold a record of `time` or later that is not after `latest`: clocks jump, so all are looked at.
    ///
    /// A log of an older version can hold timestamps far ahead of when their records came. They tell nothing about their
    /// segment, which then counts as one with timestamps up to [`MAX_AHEAD`] after its last append.
    pub fn segments_at(&self, time: Timestamp, latest: Timestamp) -> impl Iterator<Item = &Segment> {
        let newest = move |segment: &Segment| match segment.max_timestamp {
            timestamp if timestamp <= latest => timestamp,
            _ => segment.appended.saturating_add(MAX_AHEAD),
        };
        self.segments.iter().filter(move |segment| newest(segment) >= time)
    }
}

impl Segment {
    /// A clock that was set back ends it too, so that its age means something.
    fn accepts(&self, now: Timestamp, limits: SegmentLimits) -> bool {
        self.bytes < limits.bytes && (0..limits.age).contains(&now.saturating_sub(self.opened))
    }
}
