//! The stored catalog: topics, the start and end of their logs, epochs, and segments.
//!
//! A checksum over all entries is stored with them, so that a changed, lost or added entry is detected on load, without
//! reading the batches. (redb verifies the checksums of its pages only when it reads the entire file.)

use super::keys::{PartitionKey, key, keys, split};
use super::topics::{LogTopic, MergedEpochs, NewEpoch, PartitionLog, Segment, Topics};
use crate::record::{Epoch, Offset, TopicName};
use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};
use std::cell::Cell;
use std::collections::HashMap;
use std::ops::RangeInclusive;

/// Segments by [`key`] of their base offset: last offset, size in bytes, largest timestamp, times of the first and the
/// last append.
const SEGMENTS: TableDefinition<u128, SegmentValue> = TableDefinition::new("segments");
/// The start and end of logs that were trimmed, by [`key`] of offset 0.
const LOGS: TableDefinition<u128, (i64, i64)> = TableDefinition::new("logs");
/// The epochs, by [`key`] of the first offset written under each. Absent in a directory of format 2.
const EPOCHS: TableDefinition<u128, i64> = TableDefinition::new("epochs");
/// Topics by name: number, id, number of partitions.
const TOPICS: TableDefinition<&str, TopicValue> = TableDefinition::new("topics");
/// Its single entry is the [`Checksum`] of all entries of the other tables.
const SUM: TableDefinition<(), u32> = TableDefinition::new("sum");

/// More than any real topic has. Bounds the memory that a damaged number can allocate.
const MAX_PARTITIONS: u32 = 100_000;

type SegmentValue = (i64, u64, i64, i64, i64);
type TopicValue = (u32, u128, u32);

/// The exclusive or of the checksums of all entries, so that adding and removing an entry are the same operation.
#[derive(Debug, Default)]
struct Checksum(Cell<u32>);

impl Checksum {
    fn topic(&self, name: &str, (number, id, partitions): TopicValue) {
        self.toggle(b'T', &[name.as_bytes(), &number.to_le_bytes(), &id.to_le_bytes(), &partitions.to_le_bytes()]);
    }

    fn log(&self, key: u128, (start, end): (i64, i64)) {
        self.toggle(b'L', &[&key.to_le_bytes(), &start.to_le_bytes(), &end.to_le_bytes()]);
    }

    fn epoch(&self, key: u128, epoch: i64) {
        self.toggle(b'E', &[&key.to_le_bytes(), &epoch.to_le_bytes()]);
    }

    fn segment(&self, key: u128, (last, bytes, max_timestamp, opened, appended): SegmentValue) {
        let [max_timestamp, opened, appended] = [max_timestamp, opened, appended].map(i64::to_le_bytes);
        let parts = [&key.to_le_bytes()[..], &last.to_le_bytes(), &bytes.to_le_bytes(), &max_timestamp];
        self.toggle(b'S', &[&parts[..], &[&opened, &appended]].concat());
    }

    fn toggle(&self, kind: u8, parts: &[&[u8]]) {
        let crc = parts.iter().fold(crc32c::crc32c(&[kind]), |crc, part| crc32c::crc32c_append(crc, part));
        self.0.set(self.0.get() ^ crc);
    }
}

/// Creates the tables.
pub fn create_tables(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(TOPICS)?;
    transaction.open_table(LOGS)?;
    transaction.open_table(SEGMENTS)?;
    transaction.open_table(SUM)?.insert((), 0)?;
    Ok(())
}

/// Loads the catalog. Fails with `Corrupted` if it does not match its checksum.
pub fn load(read: &ReadTransaction) -> Result<Topics, redb::Error> {
    let (sum, mut topics, mut logs) = (Checksum::default(), Topics::new(), Logs::default());
    for entry in read.open_table(TOPICS)?.iter()? {
        let (name, topic) = entry?;
        sum.topic(name.value(), topic.value());
        let (number, id, partitions) = topic.value();
        let name = TopicName::new(name.value()).map_err(|e| redb::Error::Corrupted(e.to_string()))?;
        if partitions > MAX_PARTITIONS {
            return Err(redb::Error::Corrupted(format!("topic {name:?} has {partitions} partitions")));
        }
        logs.0.insert(number, vec![PartitionLog::default(); partitions as usize]);
        topics.insert(name, LogTopic { id: uuid::Uuid::from_u128(id), number, partitions: Vec::new() });
    }
    for entry in read.open_table(LOGS)?.iter()? {
        let (key, ends) = entry?;
        sum.log(key.value(), ends.value());
        let log = logs.of(split(key.value()).0)?;
        (log.start, log.end) = ends.value();
    }
    for entry in read.open_table(SEGMENTS)?.iter()? {
        let (key, segment) = entry?;
        sum.segment(key.value(), segment.value());
        let (last, bytes, max_timestamp, opened, appended) = segment.value();
        let (partition, base) = split(key.value());
        let log = logs.of(partition)?;
        log.segments.push_back(Segment { base, last, bytes, max_timestamp, opened, appended });
        log.end = log.end.max(last + 1);
    }
    match read.open_table(EPOCHS) {
        Ok(table) => {
            for entry in table.iter()? {
                let (key, epoch) = entry?;
                sum.epoch(key.value(), epoch.value());
                let (partition, start) = split(key.value());
                logs.of(partition)?.epochs.push((epoch.value(), start));
            }
        }
        Err(redb::TableError::TableDoesNotExist(_)) => {}
        Err(other) => return Err(other.into()),
    }
    if read.open_table(SUM)?.get(())?.map(|stored| stored.value()) != Some(sum.0.get()) {
        return Err(redb::Error::Corrupted("the list of topics and segments does not fit its checksum".to_owned()));
    }
    for topic in topics.values_mut() {
        topic.partitions = logs.0.remove(&topic.number).unwrap_or_default();
    }
    Ok(topics)
}

/// The logs of each topic, by the number of the topic.
#[derive(Default)]
struct Logs(HashMap<u32, Vec<PartitionLog>>);

impl Logs {
    fn of(&mut self, partition: PartitionKey) -> Result<&mut PartitionLog, redb::Error> {
        let log = self.0.get_mut(&partition.topic).and_then(|logs| logs.get_mut(partition.partition as usize));
        log.ok_or_else(|| {
            redb::Error::Corrupted(format!("a log of no topic ({}/{})", partition.topic, partition.partition))
        })
    }
}

/// The changes of one transaction to the catalog.
pub struct CatalogEdit<'a> {
    transaction: &'a WriteTransaction,
    sum: Checksum,
}

impl<'a> CatalogEdit<'a> {
    pub fn of(transaction: &'a WriteTransaction) -> Self {
        Self { transaction, sum: Checksum::default() }
    }

    pub fn put_topic(&self, name: &TopicName, topic: &LogTopic) -> Result<(), redb::Error> {
        let value = (topic.number, topic.id.as_u128(), topic.partitions.len() as u32);
        let mut table = self.transaction.open_table(TOPICS)?;
        if let Some(old) = table.insert(name.as_str(), value)? {
            self.sum.topic(name.as_str(), old.value());
        }
        self.sum.topic(name.as_str(), value);
        Ok(())
    }

    /// Removes a topic with its logs, epochs and segments, whose keys are all in `keys`.
    pub fn remove_topic(&self, name: &TopicName, keys: RangeInclusive<u128>) -> Result<(), redb::Error> {
        if let Some(old) = self.transaction.open_table(TOPICS)?.remove(name.as_str())? {
            self.sum.topic(name.as_str(), old.value());
        }
        self.transaction.open_table(LOGS)?.retain_in(keys.clone(), |key, old| {
            self.sum.log(key, old);
            false
        })?;
        self.remove_epochs(keys.clone())?;
        self.remove_segments(keys)
    }

    pub fn put_segments(&self, partition: PartitionKey, segments: &[Segment]) -> Result<(), redb::Error> {
        let mut table = self.transaction.open_table(SEGMENTS)?;
        for s in segments {
            let (key, value) = (key(partition, s.base), (s.last, s.bytes, s.max_timestamp, s.opened, s.appended));
            if let Some(old) = table.insert(key, value)? {
                self.sum.segment(key, old.value());
            }
            self.sum.segment(key, value);
        }
        Ok(())
    }

    pub fn begin_epoch(&self, partition: PartitionKey, new: NewEpoch) -> Result<(), redb::Error> {
        if let Some(MergedEpochs { epoch, first, last }) = new.merged {
            self.remove_epochs(keys(partition, first..=last))?;
            self.put_epoch(partition, first, epoch)?;
        }
        self.put_epoch(partition, new.start, new.epoch)
    }

    /// Adds the epoch of the records from offset `start` on.
    fn put_epoch(&self, partition: PartitionKey, start: Offset, epoch: Epoch) -> Result<(), redb::Error> {
        let key = key(partition, start);
        if let Some(old) = self.transaction.open_table(EPOCHS)?.insert(key, epoch)? {
            self.sum.epoch(key, old.value());
        }
        self.sum.epoch(key, epoch);
        Ok(())
    }

    fn remove_epochs(&self, keys: RangeInclusive<u128>) -> Result<(), redb::Error> {
        self.transaction.open_table(EPOCHS)?.retain_in(keys, |key, old| {
            self.sum.epoch(key, old);
            false
        })?;
        Ok(())
    }

    /// Forgets the epochs that began before the offset `first`.
    pub fn forget_epochs(&self, partition: PartitionKey, first: Offset) -> Result<(), redb::Error> {
        if first > 0 { self.remove_epochs(keys(partition, 0..=first - 1)) } else { Ok(()) }
    }

    /// Removes the segments before `start`, and stores that the log starts there and ends at `end` or later.
    pub fn trim(&self, partition: PartitionKey, start: Offset, end: Offset) -> Result<(), redb::Error> {
        let (key, value) = (key(partition, 0), (start, end));
        if let Some(old) = self.transaction.open_table(LOGS)?.insert(key, value)? {
            self.sum.log(key, old.value());
        }
        self.sum.log(key, value);
        self.remove_segments(keys(partition, 0..=start - 1))
    }

    fn remove_segments(&self, keys: RangeInclusive<u128>) -> Result<(), redb::Error> {
        self.transaction.open_table(SEGMENTS)?.retain_in(keys, |key, old| {
            self.sum.segment(key, old);
            false
        })?;
        Ok(())
    }

    /// Updates the stored checksum. Must be called last in the transaction.
    pub fn finish(self) -> Result<(), redb::Error> {
        let changed = self.sum.0.get();
        if changed != 0 {
            let mut table = self.transaction.open_table(SUM)?;
            let sum = table.get(())?.map_or(0, |stored| stored.value());
            table.insert((), sum ^ changed)?;
        }
        Ok(())
    }
}
