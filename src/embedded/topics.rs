//! The catalog in memory: topics, their partitions, and the segments and epochs of each log.

use super::batch::StoredBatch;
use super::keys::PartitionKey;
use crate::broker::{BrokerError, FetchPosition, NodeId, PartitionInfo, TopicInfo};
use crate::record::{Epoch, EpochSpan, NO_EPOCH, Offset, Partition, Timestamp, TopicName, TopicPartition};
use std::collections::{BTreeMap, VecDeque};

/// The leader of every partition.
pub const NODE: NodeId = 0;

/// How far a timestamp may be ahead of the clock, in ms, as Kafka's default `log.message.timestamp.after.max.ms`
/// (KIP-937). A later one is a mistake (nanoseconds, a wrong clock), and would match every search by time forever.
pub const MAX_AHEAD: Timestamp = 60 * 60 * 1000;

/// How many epochs are kept for each log.
pub const MAX_EPOCHS: usize = 256;

/// All topics by name.
pub type Topics = BTreeMap<TopicName, LogTopic>;

#[derive(Debug, Clone)]
pub struct LogTopic {
    pub id: uuid::Uuid,
    /// The number of the topic in keys of the store, unique among existing topics.
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

    /// The size of all batches, in bytes.
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

/// Validates a fetch position, and returns the key of its partition and the start and end of the log.
pub fn locate(topics: &Topics, position: &FetchPosition) -> Result<(PartitionKey, Offset, Offset), BrokerError> {
    let (topic, log) = find_partition(topics, &position.topic, position.partition)?;
    if position.topic_id.is_some_and(|id| id != topic.id) {
        return Err(BrokerError::Recreated(position.topic.clone()));
    }
    let partition = TopicPartition { topic: position.topic.clone(), partition: position.partition };
    if let Some((end, epoch)) = log.divergence(position.offset, position.last_epoch) {
        return Err(BrokerError::Truncated { partition, end, epoch });
    }
    if position.offset < log.start || position.offset > log.end {
        return Err(BrokerError::OffsetOutOfRange(partition));
    }
    Ok((PartitionKey { topic: topic.number, partition: position.partition as u32 }, log.start, log.end))
}

/// Returns a random epoch, so that no epoch repeats, even if an older copy of the directory is restored. It is larger
/// than any of Kafka's, which have 31 bits.
pub fn random_epoch() -> Epoch {
    fastrand::i64(1 << 31..1 << 47)
}

/// One partition's log.
#[derive(Debug, Clone, Default)]
pub struct PartitionLog {
    /// The log start offset.
    pub start: Offset,
    /// The offset of the next record, which is the high watermark: only records on the disk count.
    pub end: Offset,
    pub segments: VecDeque<Segment>,
    /// The epochs with their first offsets, as in Kafka's leader epoch cache. Each opening of the log starts a new
    /// random epoch, so that no two openings share an epoch, even of different copies of the directory.
    pub epochs: Vec<(Epoch, Offset)>,
}

/// The epoch that starts with the first append after the log is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewEpoch {
    pub epoch: Epoch,
    /// The first offset written under the epoch.
    pub start: Offset,
    pub merged: Option<MergedEpochs>,
}

/// The oldest epochs of a log with more than [`MAX_EPOCHS`], which are merged into the newest one of them.
///
/// All copies of the directory that contain an epoch have the same records before it, so the epoch is also valid for
/// cursors at earlier offsets. Merging into the oldest one would be wrong, because another copy may have other records
/// under it. A cursor with a forgotten epoch is treated as a cursor of another copy, and everything is read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MergedEpochs {
    pub epoch: Epoch,
    /// The start of the first merged epoch.
    pub first: Offset,
    /// The start of the last merged epoch.
    pub last: Offset,
}

/// A range of a log: the unit of retention and of the search by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    pub base: Offset,
    /// The offset of the last record.
    pub last: Offset,
    pub bytes: u64,
    /// The largest timestamp. Timestamps need not be in order.
    pub max_timestamp: Timestamp,
    /// When the first batch was appended, by the clock of this machine.
    pub opened: Timestamp,
    /// When the last batch was appended, by the clock of this machine.
    pub appended: Timestamp,
}

/// The limits at which a segment is full.
#[derive(Debug, Clone, Copy)]
pub struct SegmentLimits {
    pub bytes: u64,
    /// In milliseconds.
    pub age: i64,
}

impl PartitionLog {
    /// The epoch of the last record.
    pub fn epoch(&self) -> Epoch {
        self.epochs.last().map_or(NO_EPOCH, |(epoch, _)| *epoch)
    }

    /// Returns the change for the first append under `epoch`, or `None` if the epoch has already started.
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

    /// The epochs of the records from `from` up to but excluding `next`.
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

    /// Returns where this log diverges from the log that a client has read up to `next`, whose last record has the
    /// epoch `epoch`; `None` if the two agree.
    ///
    /// An unknown epoch belongs to another copy of the directory. The offset up to which both copies agree is unknown,
    /// so the divergence is at the start of the log. That may repeat records but never loses one.
    pub fn divergence(&self, next: Offset, epoch: Epoch) -> Option<(Offset, Epoch)> {
        // Records before the start can neither be compared nor read.
        if epoch == NO_EPOCH || next <= self.start {
            return None;
        }
        let Some(at) = self.epochs.iter().rposition(|(known, _)| *known == epoch) else {
            return Some((self.start, NO_EPOCH));
        };
        let end = self.epochs.get(at + 1).map_or(self.end, |(_, start)| *start);
        (end < next).then_some((end, epoch))
    }

    /// The number of epochs whose records are all before `start`.
    pub fn epochs_before(&self, start: Offset) -> usize {
        self.epochs.iter().skip(1).take_while(|(_, next)| *next <= start).count()
    }

    /// The segments that appending `batches` changes or adds, starting with the current last one.
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

    /// Replaces the last segment with the result of [`grown`](Self::grown).
    pub fn grow(&mut self, grown: Vec<Segment>) {
        self.segments.pop_back();
        self.end = grown.last().map_or(self.end, |last| last.last + 1);
        self.segments.extend(grown);
    }

    /// The segments that may hold a record with a timestamp from `time` to `latest`. Checks all segments, because
    /// timestamps need not be in order.
    ///
    /// Logs of older versions can hold timestamps far in the future. A segment with such a timestamp is treated as if
    /// its largest timestamp were [`MAX_AHEAD`] after its last append.
    pub fn segments_at(&self, time: Timestamp, latest: Timestamp) -> impl Iterator<Item = &Segment> {
        let newest = move |segment: &Segment| match segment.max_timestamp {
            timestamp if timestamp <= latest => timestamp,
            _ => segment.appended.saturating_add(MAX_AHEAD),
        };
        self.segments.iter().filter(move |segment| newest(segment) >= time)
    }
}

impl Segment {
    /// Whether another batch fits. A clock that was set back closes the segment too, so that its age stays meaningful.
    fn accepts(&self, now: Timestamp, limits: SegmentLimits) -> bool {
        self.bytes < limits.bytes && (0..limits.age).contains(&now.saturating_sub(self.opened))
    }
}
