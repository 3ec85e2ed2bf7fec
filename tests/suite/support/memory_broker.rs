//! A broker in memory that implements the `Broker` trait, with faults on demand.

use crossbeam_channel::Receiver;
use curlew::broker::*;
use curlew::record::*;
use curlew::sync::memory_budget::{Share, Shortage};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::time::Instant;

/// The leader of all partitions.
const LEADER: NodeId = 1;
/// A replica of all partitions that is not in sync.
const FOLLOWER: NodeId = 2;

pub struct MemoryBroker {
    own: Weak<MemoryBroker>,
    log: Mutex<Log>,
    /// Notified after every change of `log`.
    changed: Condvar,
    /// The number of fetches by all readers.
    pub fetches: AtomicUsize,
    /// The number of records returned to all readers.
    pub records_read: AtomicUsize,
    /// The number of partitions whose log start offset, and whose end offset, was looked up.
    pub start_look_ups: AtomicUsize,
    pub end_look_ups: AtomicUsize,
    /// Makes `write_all` return at the next submission, as after a fault.
    pub ends_write_all: AtomicBool,
    /// The result of `backlogs()`.
    pub backlogs: Mutex<Vec<Backlog>>,
}

/// Whether compaction removes tombstones. Kafka keeps them for `delete.retention.ms`, so that readers see them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tombstones {
    Kept,
    Removed,
}

pub type FakeDivergence = fn(&FetchPosition) -> Option<(Epoch, Offset)>;

#[derive(Default)]
struct Log {
    topics: BTreeMap<TopicName, Topic>,
    /// Topics that exist but are not found, as on a broker that has just started.
    hidden: BTreeMap<TopicName, Topic>,
    fault: Option<BrokerError>,
    /// The result of reading the configuration of a topic.
    config_fault: Option<BrokerError>,
    /// The number of partitions whose replicas are known, if not all are.
    known_replicas: Option<usize>,
    /// Makes fetches return a divergence, with an epoch and its end, regardless of the log.
    fake_divergence: Option<FakeDivergence>,
    /// The number of changes.
    version: u64,
}

struct Topic {
    id: uuid::Uuid,
    partitions: Vec<Partition>,
    configs: TopicConfigs,
}

#[derive(Clone)]
struct Partition {
    start: Offset,
    end: Offset,
    records: Vec<(Offset, NewRecord)>,
    /// The leader epochs of this log, each with its first offset.
    elections: Vec<(Epoch, Offset)>,
    has_leader: bool,
}

impl Default for Partition {
    fn default() -> Self {
        Self { start: 0, end: 0, records: Vec::new(), elections: vec![(0, 0)], has_leader: true }
    }
}

impl MemoryBroker {
    pub fn new() -> Arc<Self> {
        Arc::new_cyclic(|own| Self {
            own: own.clone(),
            log: Mutex::default(),
            changed: Condvar::new(),
            fetches: AtomicUsize::new(0),
            records_read: AtomicUsize::new(0),
            start_look_ups: AtomicUsize::new(0),
            end_look_ups: AtomicUsize::new(0),
            ends_write_all: AtomicBool::new(false),
            backlogs: Mutex::default(),
        })
    }

    pub fn create(&self, name: &str, partitions: usize) {
        self.change(|log| {
            let topic = Topic {
                id: uuid::Uuid::from_u128(fastrand::u128(1..)),
                partitions: vec![Partition::default(); partitions],
                configs: TopicConfigs::from([
                    ("retention.ms".to_owned(), Some("604800000".to_owned())),
                    ("secret".to_owned(), None),
                ]),
            };
            log.topics.insert(TopicName::new(name).unwrap(), topic);
        });
    }

    pub fn delete(&self, name: &str) {
        self.change(|log| drop(log.topics.remove(&TopicName::new(name).unwrap())));
    }

    pub fn hide(&self, name: &str) {
        self.change(|log| log.hidden.extend(log.topics.remove_entry(&TopicName::new(name).unwrap())));
    }

    pub fn show(&self, name: &str) {
        self.change(|log| log.topics.extend(log.hidden.remove_entry(&TopicName::new(name).unwrap())));
    }

    pub fn grow(&self, name: &str, partitions: usize) {
        self.with(name, |topic| topic.partitions.resize(partitions, Partition::default()));
    }

    /// Moves the log start offset to `start`, as retention does.
    pub fn trim(&self, name: &str, partition: usize, start: Offset) {
        self.with(name, |topic| {
            let log = &mut topic.partitions[partition];
            log.start = start;
            log.end = log.end.max(start);
            log.records.retain(|(offset, _)| *offset >= start);
        });
    }

    /// Ends the log at `end`, as an unclean leader election does.
    pub fn truncate(&self, name: &str, partition: usize, end: Offset) {
        self.truncate_and_append(name, partition, end, 0);
    }

    /// Truncates the log and appends other records at once: `new 5`, `new 6`, …
    pub fn truncate_and_append(&self, name: &str, partition: usize, end: Offset, count: usize) {
        self.with(name, |topic| {
            let log = &mut topic.partitions[partition];
            log.end = end;
            log.records.retain(|(offset, _)| *offset < end);
            let epoch = log.leader_epoch() + 1;
            log.elections.retain(|(_, start)| *start < end);
            log.elections.push((epoch, end));
            for _ in 0..count {
                let value = Some(format!("new {}", log.end).into());
                log.append(NewRecord { value, ..NewRecord::default() });
            }
        });
    }

    /// Makes another replica the leader in an unclean election. Its log has these leader epochs, each with its first
    /// offset, and other records at `offsets`: `new 5`, `new 6`, …
    pub fn become_replica(
        &self,
        name: &str,
        partition: usize,
        epochs: &[(Epoch, Offset)],
        offsets: impl Iterator<Item = Offset>,
    ) {
        self.with(name, |topic| {
            let log = &mut topic.partitions[partition];
            log.elections = epochs.to_vec();
            for offset in offsets {
                log.records.retain(|(known, _)| *known < offset);
                let value = Some(format!("new {offset}").into());
                log.end = offset;
                log.append(NewRecord { value, ..NewRecord::default() });
            }
        });
    }

    /// Adds offsets without records: transaction markers, aborted records, or holes left by compaction.
    pub fn skip(&self, name: &str, partition: usize, offsets: Offset) {
        self.with(name, |topic| topic.partitions[partition].end += offsets);
    }

    /// Removes the records that a later record of the same key replaces, as log compaction does, and with
    /// `Tombstones::Removed` also tombstones. The last record stays, because it is in the active segment.
    pub fn compact(&self, name: &str, partition: usize, tombstones: Tombstones) {
        self.with(name, |topic| {
            let records = &mut topic.partitions[partition].records;
            let last: HashMap<_, _> = records.iter().map(|(offset, record)| (record.key.clone(), *offset)).collect();
            let active = records.last().map(|(offset, _)| *offset);
            records.retain(|(offset, record)| {
                let is_latest = record.key.is_none() || last[&record.key] == *offset;
                let is_kept = tombstones == Tombstones::Kept || record.value.is_some();
                Some(*offset) == active || (is_latest && is_kept)
            });
        });
    }

    /// Elects a new leader without losing records, as a clean election does.
    pub fn elect(&self, name: &str, partition: usize) {
        let end = self.with(name, |topic| topic.partitions[partition].end);
        self.truncate(name, partition, end);
    }

    /// Takes the leader from a partition, as when all brokers that have it are down.
    pub fn remove_leader(&self, name: &str, partition: usize) {
        self.with(name, |topic| topic.partitions[partition].has_leader = false);
    }

    pub fn append(&self, name: &str, partition: usize, value: impl Into<Vec<u8>>) -> Offset {
        let value = Some(bytes::Bytes::from(value.into()));
        self.append_record(name, partition, NewRecord { value, ..NewRecord::default() })
    }

    pub fn append_record(&self, name: &str, partition: usize, record: NewRecord) -> Offset {
        self.with(name, |topic| topic.partitions[partition].append(record))
    }

    /// Appends all values at once, and returns the last offset.
    pub fn append_all(&self, name: &str, partition: usize, values: impl Iterator<Item = Vec<u8>>) -> Offset {
        let records = values.map(|value| NewRecord { value: Some(value.into()), ..NewRecord::default() });
        self.with(name, |topic| records.fold(-1, |_, record| topic.partitions[partition].append(record)))
    }

    /// Returns the records of a partition, as another consumer reads them.
    pub fn records(&self, name: &str, partition: usize) -> Vec<(Offset, NewRecord)> {
        self.with(name, |topic| topic.partitions[partition].records.clone())
    }

    /// Makes every call fail with `fault`, until called with `None`.
    pub fn fail_with(&self, fault: Option<BrokerError>) {
        self.change(|log| log.fault = fault);
    }

    /// Makes reading the configuration of topics fail with `fault`.
    pub fn hide_configs(&self, fault: BrokerError) {
        self.change(|log| log.config_fault = Some(fault));
    }

    /// Hides the replicas of further partitions, as a broker that lags behind.
    pub fn limit_replicas(&self, partitions: usize) {
        self.change(|log| log.known_replicas = Some(partitions));
    }

    /// Makes fetches fail with a divergence if the function returns one.
    pub fn fake_divergence(&self, divergence: FakeDivergence) {
        self.change(|log| log.fake_divergence = Some(divergence));
    }

    fn with<T>(&self, name: &str, act: impl FnOnce(&mut Topic) -> T) -> T {
        let name = TopicName::new(name).unwrap();
        self.change(|log| act(log.topics.get_mut(&name).expect("no such topic")))
    }

    fn change<T>(&self, act: impl FnOnce(&mut Log) -> T) -> T {
        let mut log = self.log.lock().unwrap();
        log.version += 1;
        let result = act(&mut log);
        self.changed.notify_all();
        result
    }

    fn healthy(&self) -> Result<MutexGuard<'_, Log>, BrokerError> {
        let log = self.log.lock().unwrap();
        log.fault.clone().map_or(Ok(log), Err)
    }
}

impl Partition {
    fn append(&mut self, record: NewRecord) -> Offset {
        let offset = self.end;
        self.records.push((offset, record));
        self.end += 1;
        offset
    }

    fn leader_epoch(&self) -> Epoch {
        self.elections.last().unwrap().0
    }

    /// The position at `next`, with the epoch of the record before it.
    fn position(&self, next: Offset) -> Position {
        Position { next, epoch: if next > 0 { self.epoch_of(next - 1) } else { NO_EPOCH } }
    }

    fn epoch_of(&self, offset: Offset) -> Epoch {
        self.elections.iter().rev().find(|(_, start)| *start <= offset).unwrap().0
    }

    /// The largest epoch up to `epoch` and its end, or `None` if `epoch` is later than all.
    fn end_of(&self, epoch: Epoch) -> Option<(Epoch, Offset)> {
        let at = self.elections.partition_point(|(known, _)| *known <= epoch);
        let end = self.elections.get(at).map_or(self.end, |(_, start)| *start);
        (epoch <= self.leader_epoch()).then(|| (self.elections[at.saturating_sub(1)].0.min(epoch), end))
    }
}

impl Log {
    fn partition(&self, place: &TopicPartition) -> Result<&Partition, BrokerError> {
        let topic = self.topics.get(&place.topic).ok_or_else(|| BrokerError::UnknownTopic(place.topic.clone()))?;
        topic.partitions.get(place.partition as usize).ok_or_else(|| BrokerError::UnknownPartition(place.clone()))
    }

    fn fetch(&self, position: &FetchPosition, most: usize, memory: &Arc<Share>) -> Result<PartitionData, BrokerError> {
        let place = TopicPartition { topic: position.topic.clone(), partition: position.partition };
        let log = self.partition(&place)?;
        if position.topic_id.is_some() && position.topic_id != Some(self.topics[&position.topic].id) {
            return Err(BrokerError::Recreated(position.topic.clone()));
        }
        if position.leader_epoch >= 0 && Epoch::from(position.leader_epoch) != log.leader_epoch() {
            return Err(Staleness::NotLeader { node: 0, topic_partition: place }.into());
        }
        if let Some((epoch, end)) = self.fake_divergence.and_then(|divergence| divergence(position)) {
            return Err(BrokerError::Truncated { partition: place, end, epoch });
        }
        if position.last_epoch != NO_EPOCH && position.offset >= log.start {
            let (epoch, end) =
                log.end_of(position.last_epoch).ok_or_else(|| BrokerError::OffsetOutOfRange(place.clone()))?;
            if epoch < position.last_epoch || end < position.offset {
                return Err(BrokerError::Truncated { partition: place, end, epoch });
            }
        }
        if position.offset < log.start || position.offset > log.end {
            return Err(BrokerError::OffsetOutOfRange(place));
        }
        let mut epochs = EpochSpan::default();
        let (mut batches, mut next_offset, mut bytes) = (Vec::new(), position.offset, 0);
        let mut all = true;
        // Batches of three records. As on a real broker, the first one may start before the requested offset.
        for batch in log.records.chunks(3).filter(|batch| batch.last().is_some_and(|last| last.0 >= position.offset)) {
            if bytes > most {
                all = false;
                break;
            }
            bytes += batch.iter().map(|(_, record)| record.size()).sum::<usize>();
            match encode(batch, memory) {
                Ok(batch) => batches.push(batch),
                Err(shortage) if batches.is_empty() => return Err(shortage.into()),
                Err(_) => {
                    all = false;
                    break;
                }
            }
            for (offset, _) in batch {
                // Missing offsets belong to the following record, as in Kafka's responses.
                epochs.begin(next_offset.min(*offset), log.epoch_of(*offset));
                next_offset = next_offset.max(offset + 1);
            }
        }
        if all {
            next_offset = log.end;
        }
        Ok(PartitionData { batches, next_offset, epochs, log_start: log.start, end: log.end })
    }
}

fn encode(batch: &[(Offset, NewRecord)], memory: &Arc<Share>) -> Result<Records, Shortage> {
    let paid = memory.reserve(batch.iter().map(|(_, record)| record.bytes()).sum())?;
    let mut data = Vec::new();
    let mut put = |part: &Option<bytes::Bytes>| {
        part.as_ref().map(|part| {
            data.extend_from_slice(part);
            data.len() - part.len()..data.len()
        })
    };
    let mut parts = Vec::new();
    for (offset, record) in batch {
        let headers: Vec<_> =
            record.headers.iter().map(|h| (put(&Some(h.name.clone().into())).unwrap(), put(&h.value))).collect();
        parts.push((*offset, record.timestamp.unwrap_or(0), put(&record.key), put(&record.value), headers));
    }
    data.shrink_to_fit();
    let mut records = Records::over(paid.hold(data));
    for (offset, timestamp, key, value, headers) in parts {
        records.push(offset, timestamp, key, value);
        headers.into_iter().for_each(|(name, value)| records.push_header(name, value));
    }
    Ok(records)
}

impl Broker for MemoryBroker {
    fn describe(&self) -> String {
        "memory".to_owned()
    }

    fn ready(&self) -> Result<(), BrokerError> {
        self.healthy().map(drop)
    }

    fn backlogs(&self) -> Vec<Backlog> {
        self.backlogs.lock().unwrap().clone()
    }

    fn capabilities(&self) -> Result<Capabilities, BrokerError> {
        Ok(Capabilities { headers: Support::Yes, timestamps: Support::Yes, idempotence: Support::Yes })
    }

    fn list_topics(&self) -> Result<Vec<TopicInfo>, BrokerError> {
        let names: Vec<_> = self.healthy()?.topics.keys().cloned().collect();
        self.topics(&names)?.into_iter().collect()
    }

    fn brokers(&self) -> Result<Vec<NodeId>, BrokerError> {
        self.healthy().map(|_| vec![LEADER, FOLLOWER])
    }

    fn replicas(&self, topic: &TopicName) -> Result<Vec<Vec<Replica>>, BrokerError> {
        let log = self.healthy()?;
        let topic = log.topics.get(topic).ok_or_else(|| BrokerError::UnknownTopic(topic.clone()))?;
        let of = |log: &Partition| {
            vec![Replica { broker: LEADER, in_sync: log.has_leader }, Replica { broker: FOLLOWER, in_sync: false }]
        };
        let known = log.known_replicas.unwrap_or(usize::MAX);
        Ok(topic.partitions.iter().take(known).map(of).collect())
    }

    fn topic_configs(&self, topic: &TopicName) -> Result<TopicConfigs, BrokerError> {
        let log = self.healthy()?;
        let topic = log.topics.get(topic).ok_or_else(|| BrokerError::UnknownTopic(topic.clone()))?;
        log.config_fault.clone().map_or_else(|| Ok(topic.configs.clone()), Err)
    }

    fn create_topic(&self, topic: &NewTopic) -> Result<CreatedTopic, BrokerError> {
        if self.healthy()?.topics.contains_key(&topic.name) {
            return Err(BrokerError::TopicExists(topic.name.clone()));
        }
        if topic.partitions.is_some_and(|partitions| partitions > 100) {
            return Err(BrokerError::InvalidTopic("at most 100 partitions".into()));
        }
        if topic.replication_factor.is_some_and(|factor| factor > 2) {
            return Err(BrokerError::InvalidTopic("only 2 brokers".into()));
        }
        let partitions = topic.partitions.unwrap_or(1);
        self.create(topic.name.as_str(), partitions as usize);
        let configs = topic.configs.iter().map(|(name, value)| (name.clone(), Some(value.clone())));
        self.with(topic.name.as_str(), |topic| topic.configs.extend(configs));
        Ok(CreatedTopic {
            partitions: Some(partitions),
            replication_factor: Some(topic.replication_factor.unwrap_or(2)),
        })
    }

    fn delete_topic(&self, topic: &TopicName) -> Result<(), BrokerError> {
        let known = self.healthy()?.topics.contains_key(topic);
        self.delete(topic.as_str());
        if known { Ok(()) } else { Err(BrokerError::UnknownTopic(topic.clone())) }
    }

    fn topics(&self, topics: &[TopicName]) -> Result<Vec<Result<TopicInfo, BrokerError>>, BrokerError> {
        let log = self.healthy()?;
        let describe = |name: &TopicName| {
            let topic = log.topics.get(name).ok_or_else(|| BrokerError::UnknownTopic(name.clone()))?;
            let partition = |(log, partition): (&Partition, i32)| PartitionInfo {
                partition,
                leader: log.has_leader.then_some(LEADER),
                leader_epoch: log.leader_epoch() as i32,
            };
            let partitions = topic.partitions.iter().zip(0..).map(partition).collect();
            Ok(TopicInfo { name: name.clone(), id: Some(topic.id), partitions })
        };
        Ok(topics.iter().map(describe).collect())
    }

    fn positions(&self, queries: &[(TopicPartition, OffsetAt)]) -> Vec<Result<Position, BrokerError>> {
        let find = |(place, at): &(TopicPartition, OffsetAt)| {
            let log = self.healthy()?;
            let log = log.partition(place)?;
            if *at == OffsetAt::Latest {
                self.end_look_ups.fetch_add(1, Ordering::Relaxed);
            }
            if !log.has_leader {
                return Err(Staleness::NoLeader(place.clone()).into());
            }
            Ok(match at {
                OffsetAt::Earliest => {
                    self.start_look_ups.fetch_add(1, Ordering::Relaxed);
                    log.start.into()
                }
                OffsetAt::Latest => log.position(log.end),
                OffsetAt::Time(time) => {
                    let found = log.records.iter().find(|(_, r)| r.timestamp.unwrap_or(0) >= *time);
                    log.position(found.map_or(log.end, |(offset, _)| *offset))
                }
            })
        };
        queries.iter().map(find).collect()
    }

    fn reader(&self, _leader: NodeId, memory: &Arc<Share>) -> Box<dyn PartitionReader> {
        let broker = self.own.upgrade().expect("the broker is in use");
        Box::new(MemoryReader { broker, memory: memory.clone(), interrupted: Arc::default() })
    }

    fn write_all(&self, submissions: Receiver<Submission>) {
        for Submission { topic, records, receipts, auto_create, acks, .. } in submissions {
            if self.ends_write_all.load(Ordering::Relaxed) {
                return;
            }
            for (index, record) in records.into_iter().enumerate() {
                receipts.settle(index, self.write(&topic, record, acks, auto_create));
            }
        }
    }
}

impl MemoryBroker {
    fn write(&self, topic: &TopicName, record: NewRecord, acks: Acks, auto_create: AutoCreate) -> DeliveryResult {
        drop(self.healthy()?);
        let known = self.log.lock().unwrap().topics.contains_key(topic);
        if !known && auto_create == AutoCreate::Never {
            return Err(BrokerError::UnknownTopic(topic.clone()));
        }
        if !known {
            self.create(topic.as_str(), 1);
        }
        let (bytes, limit) = (record.value.as_ref().map_or(0, |value| value.len()), 1 << 20);
        if bytes > limit {
            return Err(BrokerError::TooLarge(TooLarge::Record { bytes, limit }));
        }
        let partition = record.partition.unwrap_or(0);
        self.log.lock().unwrap().partition(&TopicPartition { topic: topic.clone(), partition })?;
        let offset = self.append_record(topic.as_str(), partition as usize, record);
        Ok(RecordLocation { partition, offset: (acks != Acks::None).then_some(offset) })
    }
}

struct MemoryReader {
    broker: Arc<MemoryBroker>,
    memory: Arc<Share>,
    interrupted: Arc<AtomicBool>,
}

impl PartitionReader for MemoryReader {
    fn fetch(&mut self, positions: &[FetchPosition], limits: FetchLimits) -> Result<Vec<FetchResult>, BrokerError> {
        self.broker.fetches.fetch_add(1, Ordering::Relaxed);
        let until = Instant::now() + limits.wait;
        let mut log = self.broker.healthy()?;
        loop {
            let answer = |position: &FetchPosition| FetchResult {
                topic: position.topic.clone(),
                partition: position.partition,
                offset: position.offset,
                result: log.fetch(position, limits.partition_max_bytes, &self.memory),
            };
            let fetched: Vec<_> = positions.iter().map(answer).collect();
            let left = until.saturating_duration_since(Instant::now());
            let something = |f: &FetchResult| f.result.as_ref().map_or(true, |data| data.next_offset > f.offset);
            let read = fetched.iter().flat_map(|f| &f.result).flat_map(|data| &data.batches).map(Records::len).sum();
            self.broker.records_read.fetch_add(read, Ordering::Relaxed);
            if fetched.iter().any(something) || left.is_zero() || self.interrupted.swap(false, Ordering::SeqCst) {
                return Ok(fetched);
            }
            log = self.broker.changed.wait_timeout(log, left).unwrap().0;
            if let Some(fault) = &log.fault {
                return Err(fault.clone());
            }
        }
    }

    fn interrupter(&self) -> Arc<dyn Fn() + Send + Sync> {
        let (broker, interrupted) = (self.broker.clone(), self.interrupted.clone());
        Arc::new(move || {
            interrupted.store(true, Ordering::SeqCst);
            let _log = broker.log.lock().unwrap();
            broker.changed.notify_all();
        })
    }
}
