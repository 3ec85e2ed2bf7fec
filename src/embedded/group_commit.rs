//! Group commit: all waiting submissions are written in one transaction, with one sync.

use super::batch::StoredBatch;
use super::failure::{StoreError, Unacceptable};
use super::log::{Append, EmbeddedLog, WriteGuard};
use super::retention;
use super::topics::MAX_AHEAD;
use crate::broker::{Acks, AutoCreate, BrokerError, DeliveryReport, RecordLocation, Submission, TooLarge, WriteState};
use crate::record::partitioner::{Sticky, partition_for_key};
use crate::record::{NewRecord, Offset, Partition, Timestamp, TopicName, TopicPartition, now};
use crate::sync::watchdog;
use crossbeam_channel::{Receiver, Sender};
use std::collections::HashMap;
use std::time::Instant;

/// The maximum size of a group, in bytes of records.
const GROUP_BYTES: usize = 4 << 20;
/// The approximate size of a stored batch, in bytes.
const BATCH_BYTES: usize = 128 << 10;
/// The largest record, as Kafka's default `max.message.bytes`.
pub const MAX_RECORD: usize = 1_048_588;

/// Writes submissions until the channel is closed and every submission is settled.
pub fn write_all(log: &EmbeddedLog, submissions: &Receiver<Submission>, nudge: &Sender<()>) {
    let mut stickies = HashMap::new();
    while let Ok(first) = submissions.recv() {
        let mut bytes = size(&first);
        let mut taken = vec![first];
        while bytes < GROUP_BYTES
            && let Ok(next) = submissions.try_recv()
        {
            bytes += size(&next);
            taken.push(next);
        }
        write(log, taken, &mut stickies);
        if log.topics().values().any(|topic| retention::exceeds_size(log, topic)) {
            let _ = nudge.try_send(());
        }
    }
}

fn size(submission: &Submission) -> usize {
    submission.records.iter().map(NewRecord::size).sum()
}

fn write(log: &EmbeddedLog, submissions: Vec<Submission>, stickies: &mut HashMap<TopicName, Sticky>) {
    let _busy = watchdog::busy();
    let writing = match log.begin_write() {
        Ok(writing) => writing,
        Err(failure) => {
            let error = failure.into();
            return submissions.iter().for_each(|submission| reject(submission, &error));
        }
    };
    let mut group = Group { log, now: now(), appends: HashMap::new(), sticky_partitioners: stickies };
    for submission in submissions {
        if submission.deadline <= Instant::now() {
            reject(&submission, &BrokerError::TimedOut(WriteState::No));
        } else if let Err(error) = group.add(&submission, &writing) {
            reject(&submission, &error);
        }
    }
    group.commit(&writing);
}

fn reject(submission: &Submission, error: &BrokerError) {
    (0..submission.records.len()).for_each(|index| submission.receipts.settle(index, Err(error.clone())));
}

/// The submissions that are written together.
struct Group<'a> {
    log: &'a EmbeddedLog,
    now: Timestamp,
    appends: HashMap<(TopicName, Partition), PartitionAppend>,
    sticky_partitioners: &'a mut HashMap<TopicName, Sticky>,
}

/// The part of a group that goes to one partition.
struct PartitionAppend {
    base: Offset,
    batches: Vec<StoredBatch>,
    waiting: Vec<PendingAppend>,
}

struct PendingAppend {
    receipts: DeliveryReport,
    index: usize,
    acks: Acks,
    offset: Offset,
}

impl Group<'_> {
    fn add(&mut self, submission: &Submission, writing: &WriteGuard<'_>) -> Result<(), BrokerError> {
        let partitions = self.partitions(submission, writing)?;
        let mut random = fastrand::Rng::new();
        for (index, record) in submission.records.iter().enumerate() {
            let partition = match (record.partition, &record.key) {
                (Some(partition), _) => partition,
                (None, Some(key)) => partition_for_key(key, partitions.len()),
                (None, None) => {
                    let sticky = self.sticky_partitioners.entry(submission.topic.clone()).or_default();
                    sticky.choose(&partitions, &mut random).unwrap_or_default()
                }
            };
            let outcome = match validate(submission, record, partition, &partitions, self.now) {
                Ok(()) => self.push(submission, index, record, partition),
                Err(error) => Some(Err(error)),
            };
            outcome.into_iter().for_each(|outcome| submission.receipts.settle(index, outcome));
        }
        Ok(())
    }

    /// Returns the partitions of the topic. Creates a missing topic if the submission allows it.
    fn partitions(&self, submission: &Submission, writing: &WriteGuard<'_>) -> Result<Vec<Partition>, BrokerError> {
        let count = || self.log.topics().get(&submission.topic).map(|topic| topic.partitions.len());
        let count = match count() {
            Some(count) => count,
            None if submission.auto_create == AutoCreate::Never => {
                return Err(BrokerError::UnknownTopic(submission.topic.clone()));
            }
            None => {
                writing.create_topic(&submission.topic, self.log.settings.partitions)?;
                self.log.settings.partitions
            }
        };
        Ok((0..count as Partition).collect())
    }

    /// Adds a record to its batch. Returns its outcome at once for `acks=0`.
    fn push(
        &mut self,
        submission: &Submission,
        index: usize,
        record: &NewRecord,
        partition: Partition,
    ) -> Option<Result<RecordLocation, BrokerError>> {
        let end = || {
            let topics = self.log.topics();
            topics.get(&submission.topic).and_then(|topic| topic.partition(partition)).map_or(0, |log| log.end)
        };
        let part = self.appends.entry((submission.topic.clone(), partition)).or_insert_with(|| {
            let base = end();
            PartitionAppend { base, batches: vec![StoredBatch::new(base)], waiting: Vec::new() }
        });
        let offset = part.push(record, self.now);
        if submission.acks == Acks::None {
            return Some(Ok(RecordLocation { partition, offset: None }));
        }
        part.waiting.push(PendingAppend {
            receipts: submission.receipts.clone(),
            index,
            acks: submission.acks,
            offset,
        });
        None
    }

    fn commit(mut self, writing: &WriteGuard<'_>) {
        let mut appends = Vec::with_capacity(self.appends.len());
        let mut waiting = Vec::new();
        for ((topic, partition), part) in std::mem::take(&mut self.appends) {
            self.sticky_partitioners.entry(topic.clone()).or_default().batch_sent(partition);
            waiting.push((topic.clone(), partition, part.base, part.waiting));
            appends.push(Append { topic, partition, batches: part.batches });
        }
        if appends.is_empty() {
            return;
        }
        let settle_leader = || {
            for (_, partition, _, waiting) in &waiting {
                let early = waiting.iter().filter(|waiting| waiting.acks == Acks::Leader);
                early.for_each(|waiting| waiting.settle(*partition));
            }
        };
        let written = writing.append(appends, self.now, settle_leader);
        self.log.disk_space.record(&written);
        for (topic, partition, base, waiting) in waiting {
            match &written {
                Ok(()) => waiting.iter().for_each(|waiting| waiting.settle(partition)),
                Err(failure) => self.settle_failed(&topic, partition, base, &waiting, failure),
            }
        }
    }

    /// Settles the records of a failed commit. A transaction is atomic, so the end of the log shows whether it was
    /// written, unless the file could not be reopened.
    fn settle_failed(
        &self,
        topic: &TopicName,
        partition: Partition,
        base: Offset,
        waiting: &[PendingAppend],
        why: &StoreError,
    ) {
        let why = if self.log.is_state_known() { why.clone().into() } else { BrokerError::TimedOut(WriteState::Maybe) };
        let topics = self.log.topics();
        let landed = topics.get(topic).and_then(|t| t.partition(partition)).is_some_and(|log| log.end > base);
        for waiting in waiting {
            match landed {
                true => waiting.settle(partition),
                false => waiting.receipts.settle(waiting.index, Err(why.clone())),
            }
        }
    }
}

fn validate(
    submission: &Submission,
    record: &NewRecord,
    partition: Partition,
    partitions: &[Partition],
    now: Timestamp,
) -> Result<(), BrokerError> {
    if !partitions.contains(&partition) {
        let topic = submission.topic.clone();
        return Err(BrokerError::UnknownPartition(TopicPartition { topic, partition }));
    }
    let (size, bytes) = (record.size(), record.bytes());
    if size > MAX_RECORD {
        let limit = MAX_RECORD - (size - bytes);
        return Err(BrokerError::TooLarge(TooLarge::Record { bytes, limit }));
    }
    match record.timestamp {
        Some(timestamp) if timestamp > now.saturating_add(MAX_AHEAD) => {
            Err(Unacceptable::Timestamp { timestamp, now }.into())
        }
        _ => Ok(()),
    }
}

impl PartitionAppend {
    fn push(&mut self, record: &NewRecord, now: Timestamp) -> Offset {
        let next = self.batches.last().map_or(self.base, StoredBatch::next);
        if self.batches.last().is_none_or(|batch| batch.len() >= BATCH_BYTES) {
            self.batches.push(StoredBatch::new(next));
        }
        self.batches.iter_mut().last().into_iter().for_each(|batch| batch.push(record, now));
        next
    }
}

impl PendingAppend {
    fn settle(&self, partition: Partition) {
        self.receipts.settle(self.index, Ok(RecordLocation { partition, offset: Some(self.offset) }));
    }
}
