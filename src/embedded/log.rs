//! The state shared by the writer, the readers and retention: the store, its topics, and a condition variable for
//! waiting readers.

use super::EmbeddedSettings;
use super::batch::{self, StoredBatch};
use super::data_dir::DataDir;
use super::disk_space::DiskSpace;
use super::failure::{Damage, OpenError, StoreError};
use super::keys::PartitionKey;
use super::store::BatchStore;
use super::topics::{LogTopic, MAX_AHEAD, SegmentLimits, Topics, find_partition, locate, random_epoch};
use crate::broker::{BrokerError, FetchPosition, OffsetAt, PartitionData};
use crate::record::{Epoch, Offset, Partition, Position, Records, Timestamp, TopicName, TopicPartition, now};
use crate::sync::memory_budget::Share;
use crate::sync::{lock, watchdog};
use bytes::Bytes;
use log::{error, info, warn};
use std::ops::{ControlFlow, RangeInclusive};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

pub struct EmbeddedLog {
    pub settings: EmbeddedSettings,
    store: BatchStore,
    topics: Mutex<Topics>,
    /// Notified after every change of `topics`, and by interrupters.
    pub changed: Condvar,
    pub disk_space: DiskSpace,
    /// The epoch of new records: see [`PartitionLog::epochs`](super::topics::PartitionLog::epochs).
    epoch: Epoch,
    /// The first damage that was found.
    first_damage: Mutex<Option<StoreError>>,
    /// Locked by the thread that changes the store, from reading `topics` to updating them.
    writing: Mutex<()>,
    // Dropped last, because it holds the lock of the directory.
    data_dir: DataDir,
}

/// Exclusive access for changing the log.
pub struct WriteGuard<'a>(&'a EmbeddedLog, #[allow(dead_code)] MutexGuard<'a, ()>);

/// Batches for one partition, ready to be stored.
pub struct Append {
    pub topic: TopicName,
    pub partition: Partition,
    pub batches: Vec<StoredBatch>,
}

impl EmbeddedLog {
    pub fn open(settings: EmbeddedSettings) -> Result<Self, OpenError> {
        let data_dir = DataDir::open(&settings.folder)?;
        let store = BatchStore::open(data_dir.path()).map_err(OpenError::Open)?;
        let topics = store.load().map_err(OpenError::Read)?;
        data_dir.sync().map_err(|source| OpenError::Sync { folder: data_dir.path().to_owned(), source })?;
        Ok(Self {
            settings,
            store,
            topics: Mutex::new(topics),
            changed: Condvar::new(),
            disk_space: DiskSpace::default(),
            first_damage: Mutex::default(),
            epoch: random_epoch(),
            writing: Mutex::default(),
            data_dir,
        })
    }

    pub fn describe(&self) -> String {
        format!("embedded {}", self.data_dir.path().display())
    }

    /// Fails if the file is not open, the disk is full, or damage was found.
    pub fn ready(&self) -> Result<(), StoreError> {
        self.store.ready()?;
        self.disk_space.check(self.data_dir.path())?;
        lock(&self.first_damage).clone().map_or(Ok(()), Err)
    }

    pub fn topics(&self) -> MutexGuard<'_, Topics> {
        lock(&self.topics)
    }

    /// Locks the log for changes. After a failed write, reopens the file first, so that the offsets are those on the
    /// disk.
    pub fn begin_write(&self) -> Result<WriteGuard<'_>, StoreError> {
        let writing = WriteGuard(self, self.lock_writes());
        if !self.store.is_open() {
            writing.reopen()?;
        }
        Ok(writing)
    }

    fn lock_writes(&self) -> MutexGuard<'_, ()> {
        let _paused = watchdog::pause();
        lock(&self.writing)
    }

    #[cfg(test)]
    pub fn close(&self) {
        self.store.close();
    }

    /// Whether the file is open. Otherwise the last write has failed, and may or may not be on the disk.
    pub fn is_state_known(&self) -> bool {
        self.store.is_open()
    }

    pub fn segment_limits(&self) -> SegmentLimits {
        let bytes = (self.settings.retention_bytes / 16).clamp(16 << 10, 4 << 20);
        let age = i64::try_from(self.settings.retention_time.as_millis() / 16).unwrap_or(i64::MAX);
        SegmentLimits { bytes, age }
    }

    pub fn position(&self, topic_partition: &TopicPartition, at: OffsetAt) -> Result<Position, BrokerError> {
        let next = self.offset(topic_partition, at)?;
        if at == OffsetAt::Earliest {
            return Ok(next.into());
        }
        let topics = self.topics();
        let (_, log) = find_partition(&topics, &topic_partition.topic, topic_partition.partition)?;
        Ok(Position { next, epoch: log.epoch_before(next) })
    }

    pub fn offset(&self, topic_partition: &TopicPartition, at: OffsetAt) -> Result<Offset, BrokerError> {
        // Older versions accepted timestamps further ahead of the clock, which would match every search by time
        // forever.
        let latest = now().saturating_add(MAX_AHEAD);
        let (found, time, number, end) = {
            let topics = self.topics();
            let (topic, log) = find_partition(&topics, &topic_partition.topic, topic_partition.partition)?;
            match at {
                OffsetAt::Earliest => return Ok(log.start),
                OffsetAt::Latest => return Ok(log.end),
                OffsetAt::Time(time) => {
                    let found: Vec<_> = log.segments_at(time, latest).map(|s| s.base..=s.last).collect();
                    (found, time..=latest, topic.number, log.end)
                }
            }
        };
        let key = PartitionKey { topic: number, partition: topic_partition.partition as u32 };
        for offsets in found {
            if let Some(offset) = self.first_at(key, offsets, &time)? {
                return Ok(offset.min(end));
            }
        }
        Ok(end)
    }

    /// Returns the first record of a segment whose timestamp is in `time`.
    fn first_at(
        &self,
        key: PartitionKey,
        offsets: RangeInclusive<Offset>,
        time: &RangeInclusive<Timestamp>,
    ) -> Result<Option<Offset>, BrokerError> {
        let (from, last) = (*offsets.start(), *offsets.end());
        let mut next = from;
        let mut found = Ok(None);
        self.store.read(key, from, |stored| {
            let mut search = || -> Result<Option<Offset>, batch::Damaged> {
                let (base, count) = batch::offsets(stored)?;
                next = base + count;
                if base > last || batch::max_timestamp(stored)? < *time.start() {
                    return Ok(None);
                }
                let records = batch::decode(Bytes::copy_from_slice(stored), from)?;
                Ok(records.iter().find(|record| time.contains(&record.timestamp)).map(|record| record.offset))
            };
            match search() {
                Ok(None) if next <= last => return ControlFlow::Continue(()),
                Ok(offset) => found = Ok(offset),
                Err(batch::Damaged) => found = Err(self.damaged(key, from)),
            }
            ControlFlow::Break(())
        })?;
        found
    }

    /// Whether a fetch at `position` returns records or an error.
    pub fn has_news(&self, topics: &Topics, position: &FetchPosition) -> bool {
        locate(topics, position).map_or(true, |(_, _, end)| position.offset < end)
    }

    /// Reads about `max_bytes` of records at `position`. The first batch is returned even if it is larger.
    pub fn fetch(
        &self,
        position: &FetchPosition,
        max_bytes: usize,
        memory: &Arc<Share>,
    ) -> Result<PartitionData, BrokerError> {
        let (key, start, end) = locate(&self.topics(), position)?;
        let next_offset = position.offset;
        let mut data = PartitionData { next_offset, log_start: start, end, ..PartitionData::default() };
        if position.offset == end {
            return Ok(data);
        }
        let mut left = max_bytes;
        let (mut damaged, mut shortage) = (false, None);
        self.store.read(key, position.offset, |stored| {
            if !data.batches.is_empty() && stored.len() > left {
                return ControlFlow::Break(());
            }
            left = left.saturating_sub(stored.len());
            let (paid, mut spans) = match batch::reserve(stored.len(), memory) {
                Ok(paid) => paid,
                Err(why) => {
                    shortage = Some(why);
                    return ControlFlow::Break(());
                }
            };
            let records = batch::decode(paid.hold(stored.to_vec()), data.next_offset).map(|records| {
                spans.shrink(records.memory() - stored.len());
                records.with_reservation(spans)
            });
            match records.and_then(|records| append_records(&mut data, records)) {
                Ok(on) => on,
                Err(batch::Damaged) => {
                    damaged = true;
                    ControlFlow::Break(())
                }
            }
        })?;
        if let (true, Some(shortage)) = (data.batches.is_empty(), shortage) {
            return Err(shortage.into());
        }
        // Batches before the damage are intact, and are returned first.
        if data.batches.is_empty() && (damaged || data.next_offset < data.end) {
            // A missing batch may have been removed by retention, or with its topic, since `topics` was read. The lock
            // ensures that such a removal is complete and shows in `topics`.
            let _writing = self.lock_writes();
            locate(&self.topics(), position)?;
            return Err(self.damaged(key, data.next_offset));
        }
        let topics = self.topics();
        locate(&topics, position)?;
        let (_, log) = find_partition(&topics, &position.topic, position.partition)?;
        data.epochs = log.epochs_of(position.offset, data.next_offset);
        drop(topics);
        Ok(data)
    }

    /// Fails unless the log contains the offset or ends there.
    pub fn check_position(&self, position: &FetchPosition) -> Result<(), BrokerError> {
        locate(&self.topics(), position).map(drop)
    }

    fn damaged(&self, key: PartitionKey, offset: Offset) -> BrokerError {
        let topics = self.topics();
        let topic = topics.iter().find(|(_, topic)| topic.number == key.topic).map(|(name, _)| name.clone());
        let topic_partition = topic.map(|topic| TopicPartition { topic, partition: key.partition as Partition });
        let damage = Damage::Batch { topic_partition, offset };
        let error = StoreError::Damaged { file: self.store.path().to_owned(), damage };
        lock(&self.first_damage).get_or_insert(error.clone());
        error.into()
    }
}

/// Offsets in this log are consecutive, so a batch that does not start at `next_offset` shows that another one was
/// lost.
fn append_records(data: &mut PartitionData, records: Records) -> Result<ControlFlow<()>, batch::Damaged> {
    let mut offsets = records.iter().map(|record| record.offset);
    if offsets.next() != Some(data.next_offset) {
        return Err(batch::Damaged);
    }
    // A batch that was committed after `end` was read is left to the next fetch.
    let next = offsets.last().unwrap_or(data.next_offset) + 1;
    if next > data.end {
        return Ok(ControlFlow::Break(()));
    }
    data.next_offset = next;
    data.batches.push(records);
    Ok(ControlFlow::Continue(()))
}

impl WriteGuard<'_> {
    /// Creates a topic. Fails if it exists.
    pub fn create_topic(&self, name: &TopicName, partitions: usize) -> Result<(), BrokerError> {
        let topic = {
            let topics = self.0.topics();
            if topics.contains_key(name) {
                return Err(BrokerError::TopicExists(name.clone()));
            }
            LogTopic {
                id: uuid::Uuid::from_u128(fastrand::u128(1..)),
                number: topics.values().map(|topic| topic.number + 1).max().unwrap_or_default(),
                partitions: vec![Default::default(); partitions],
            }
        };
        self.commit(0, |changes| changes.put_topic(name, &topic), || {})?;
        info!("created topic {name:?} with {partitions} partition(s)");
        self.change(|topics| drop(topics.insert(name.clone(), topic)));
        Ok(())
    }

    pub fn delete_topic(&self, name: &TopicName) -> Result<(), BrokerError> {
        let number = self.0.topics().get(name).map(|topic| topic.number);
        let number = number.ok_or_else(|| BrokerError::UnknownTopic(name.clone()))?;
        // Between this commit and the change of `topics`, a reader that misses a batch waits in `lock_writes`.
        self.commit(0, |changes| changes.remove_topic(name, number), || {})?;
        info!("deleted topic {name:?}");
        self.change(|topics| drop(topics.remove(name)));
        Ok(())
    }

    /// Stores `appends` in one transaction, calls `before_sync`, and shows them to readers once they are durable.
    pub fn append(&self, appends: Vec<Append>, now: Timestamp, before_sync: impl FnOnce()) -> Result<(), StoreError> {
        let bytes = appends.iter().flat_map(|a| &a.batches).map(|batch| batch.len() as u64).sum();
        let limits = self.0.segment_limits();
        let mut stored = Vec::with_capacity(appends.len());
        let mut grown = Vec::with_capacity(appends.len());
        {
            let topics = self.0.topics();
            for Append { topic, partition, batches } in appends {
                let Ok((found, log)) = find_partition(&topics, &topic, partition) else { continue };
                let segments = log.grown(&batches, now, limits);
                let key = PartitionKey { topic: found.number, partition: partition as u32 };
                let begins = log.new_epoch(self.0.epoch);
                let batches: Vec<_> = batches.into_iter().map(|batch| (batch.next() - 1, batch.finish())).collect();
                stored.push((key, batches, segments.clone(), begins));
                grown.push((topic, partition, segments, begins));
            }
        }
        let append = |changes: &super::store::Changes| {
            stored.into_iter().try_for_each(|(key, batches, segments, begins)| {
                begins.map_or(Ok(()), |new| changes.begin_epoch(key, new))?;
                changes.append(key, batches, &segments)
            })
        };
        self.commit(bytes, append, before_sync)?;
        self.change(|topics| {
            for (topic, partition, segments, begins) in grown {
                let log = topics.get_mut(&topic).and_then(|topic| topic.partitions.get_mut(partition as usize));
                if let Some(log) = log {
                    begins.into_iter().for_each(|new| log.begin_epoch(new));
                    log.grow(segments);
                }
            }
        });
        Ok(())
    }

    /// Removes the first `segments` segments of a log.
    pub fn trim(&self, name: &TopicName, partition: Partition, segments: usize) -> Result<(), BrokerError> {
        let (key, start, end, old_epochs, first_epoch) = {
            let topics = self.0.topics();
            let (topic, log) = find_partition(&topics, name, partition)?;
            let start = log.segments.get(segments).map_or(log.end, |first| first.base);
            let old = log.epochs_before(start);
            let first = log.epochs.get(old).map_or(0, |(_, start)| *start);
            (PartitionKey { topic: topic.number, partition: partition as u32 }, start, log.end, old, first)
        };
        let trim = |changes: &super::store::Changes| {
            changes.forget_epochs(key, first_epoch)?;
            changes.trim(key, start, end)
        };
        self.commit(0, trim, || {})?;
        self.change(|topics| {
            let log = topics.get_mut(name).and_then(|topic| topic.partitions.get_mut(partition as usize));
            if let Some(log) = log {
                log.segments.drain(..segments.min(log.segments.len()));
                log.epochs.drain(..old_epochs.min(log.epochs.len()));
                log.start = start;
            }
        });
        Ok(())
    }

    fn change(&self, change: impl FnOnce(&mut Topics)) {
        change(&mut self.0.topics());
        self.0.changed.notify_all();
    }

    pub(super) fn commit(
        &self,
        bytes: u64,
        work: impl FnOnce(&super::store::Changes) -> Result<(), redb::Error>,
        before_sync: impl FnOnce(),
    ) -> Result<(), StoreError> {
        if bytes > 0 {
            let live = self.0.topics().values().map(LogTopic::bytes).sum();
            self.0.store.check_space(bytes, live)?;
        }
        let Err(failed) = self.0.store.write(work, before_sync) else { return Ok(()) };
        warn!("a write failed: {failed}");
        if let Err(e) = self.reopen() {
            error!("cannot reopen the data: {e}");
        }
        Err(failed)
    }

    /// Reloads `topics`, because a write may have failed after its commit.
    fn reopen(&self) -> Result<(), StoreError> {
        let reloaded = self.0.store.reopen()?;
        self.change(|topics| *topics = reloaded);
        Ok(())
    }
}
