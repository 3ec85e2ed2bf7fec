//! Writes submissions through the `kafka` crate, one request at a time.

use super::client::{CrateClient, CrateError, error_for_code};
use super::failure::OldProtocolLimit;
use super::topic_infos;
use crate::broker::{
    Acks, AutoCreate, BrokerError, DeliveryReport, DeliveryResult, ErrorResponse, NodeId, Operation, RecordLocation,
    Remedy, Staleness, Submission, TopicInfo, WriteState,
};
use crate::kafka::wire::errors::ErrorContext;
use crate::record::partitioner::{Sticky, partition_for_key};
use crate::record::{NewRecord, Partition, TopicName, TopicPartition};
use crate::sync::watchdog;
use crossbeam_channel::Receiver;
use kafka::client::{ProduceConfirm, ProduceMessage, RequiredAcks};
use kafka::error::KafkaCode;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The approximate number of records taken from the queue at a time.
const BATCH: usize = 4096;
/// The limit of bytes per partition and request. A broker rejects more than its `message.max.bytes`.
const PARTITION_BYTES: usize = 512 << 10;
/// The pause before records are sent again.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a topic may take to appear after the broker was asked to create it.
const CREATION_TIMEOUT: Duration = Duration::from_secs(5);

/// The producer of the old protocol.
pub struct CrateWriter {
    client: CrateClient,
    topics: HashMap<TopicName, TopicInfo>,
    sticky: HashMap<TopicName, Sticky>,
    /// Limits of records per request, for partitions where the broker rejected more as too large.
    record_limits: HashMap<TopicPartition, usize>,
    /// When the broker first reported a topic as unknown.
    missing: HashMap<TopicName, Instant>,
    /// The results of this round's metadata requests.
    looked_up: HashMap<TopicName, Result<(), BrokerError>>,
}

/// A record without an outcome.
struct Pending {
    topic: TopicName,
    record: NewRecord,
    /// Chosen once, so that a retried record stays in its partition.
    partition: Option<Partition>,
    acks: Acks,
    auto_create: AutoCreate,
    deadline: Instant,
    receipts: DeliveryReport,
    index: usize,
}

impl Pending {
    fn settle(self, outcome: DeliveryResult) {
        self.receipts.settle(self.index, outcome);
    }
}

/// The result of sending a record.
enum SendResult {
    Settled(DeliveryResult),
    Retry,
}

impl CrateWriter {
    /// Creates a writer that loads metadata with its first records.
    pub fn new(client: CrateClient) -> Self {
        Self {
            client,
            topics: HashMap::new(),
            sticky: HashMap::new(),
            record_limits: HashMap::new(),
            missing: HashMap::new(),
            looked_up: HashMap::new(),
        }
    }

    /// Writes submissions until the channel is closed and every record is settled.
    pub fn write_all(&mut self, submissions: &Receiver<Submission>) {
        while let Ok(submission) = submissions.recv() {
            let mut pending = Vec::new();
            queue(submission, &mut pending);
            while pending.len() < BATCH
                && let Ok(submission) = submissions.try_recv()
            {
                queue(submission, &mut pending);
            }
            while !pending.is_empty() {
                let _at_work = watchdog::busy();
                let before = pending.len();
                pending = self.round(pending);
                if pending.len() == before {
                    std::thread::sleep(PAUSE);
                }
            }
            self.record_limits.clear();
            self.missing.clear();
        }
    }

    /// Sends one request to each leader, and returns the records to send again, in order.
    fn round(&mut self, pending: Vec<Pending>) -> Vec<Pending> {
        let mut requests: HashMap<(NodeId, Acks), Vec<(usize, Pending)>> = HashMap::new();
        let mut loads: HashMap<TopicPartition, WriteLoad> = HashMap::new();
        let mut unsent = Vec::new();
        self.looked_up.clear();
        for (order, mut record) in pending.into_iter().enumerate() {
            if Instant::now() >= record.deadline {
                record.settle(Err(BrokerError::TimedOut(WriteState::No)));
                continue;
            }
            let (partition, leader) = match self.choose_partition(&record) {
                Ok(topic_partition) => topic_partition,
                Err(error) if error.remedy() == Remedy::GiveUp => {
                    record.settle(Err(error));
                    continue;
                }
                Err(_) => {
                    unsent.push((order, record));
                    continue;
                }
            };
            record.partition = Some(partition);
            let topic_partition = TopicPartition { topic: record.topic.clone(), partition };
            let most = self.record_limits.get(&topic_partition).copied().unwrap_or(usize::MAX);
            if loads.entry(topic_partition).or_insert(WriteLoad::new(record.acks, most)).add(&record) {
                requests.entry((leader, record.acks)).or_default().push((order, record));
            } else {
                unsent.push((order, record));
            }
        }
        for ((_, acks), records) in requests {
            unsent.extend(self.send(acks, records));
        }
        unsent.sort_by_key(|(order, _)| *order);
        unsent.into_iter().map(|(_, record)| record).collect()
    }

    /// Returns the record's partition and its leader.
    fn choose_partition(&mut self, record: &Pending) -> Result<(Partition, NodeId), BrokerError> {
        if !self.topics.contains_key(&record.topic) {
            match self.looked_up.get(&record.topic) {
                Some(looked_up) => looked_up.clone()?,
                None => {
                    let looked_up = self.look_up(record);
                    self.looked_up.insert(record.topic.clone(), looked_up.clone());
                    looked_up?;
                }
            }
        }
        let Some(topic) = self.topics.get(&record.topic) else {
            let since = self.missing.entry(record.topic.clone()).or_insert_with(Instant::now);
            let wait = record.auto_create == AutoCreate::Ask && since.elapsed() < CREATION_TIMEOUT;
            return Err(if wait {
                BrokerError::NotCreatedYet(record.topic.clone())
            } else {
                BrokerError::UnknownTopic(record.topic.clone())
            });
        };
        let info = |p: Partition| topic.partitions.iter().find(|info| info.partition == p);
        let partition = match (record.partition.or(record.record.partition), &record.record.key) {
            (Some(partition), _) => partition,
            (None, Some(key)) => partition_for_key(key, topic.partitions.len()),
            (None, None) => {
                let available: Vec<_> =
                    topic.partitions.iter().filter(|p| p.leader.is_some()).map(|p| p.partition).collect();
                let sticky = self.sticky.entry(record.topic.clone()).or_default();
                sticky.choose(&available, &mut fastrand::Rng::new()).unwrap_or(0)
            }
        };
        let topic_partition = || TopicPartition { topic: record.topic.clone(), partition };
        match info(partition).ok_or_else(|| BrokerError::UnknownPartition(topic_partition()))?.leader {
            Some(leader) => Ok((partition, leader)),
            None => {
                self.topics.remove(&record.topic);
                Err(Staleness::NoLeader(topic_partition()).into())
            }
        }
    }

    /// Reloads the metadata. A request by name creates the topic if the broker creates topics automatically.
    fn look_up(&mut self, record: &Pending) -> Result<(), BrokerError> {
        let (name, create) = (record.topic.as_str(), record.auto_create);
        self.topics = self.client.call(|kafka| {
            kafka.load_metadata_all()?;
            if create == AutoCreate::Ask && !topic_infos(kafka).keys().any(|topic| topic.as_str() == name) {
                kafka.load_metadata(&[name])?;
            }
            Ok(topic_infos(kafka))
        })?;
        Ok(())
    }

    /// Sends one request, and returns the records to send again.
    fn send(&mut self, acks: Acks, records: Vec<(usize, Pending)>) -> Vec<(usize, Pending)> {
        let deadline = records.iter().map(|(_, record)| record.deadline).min().unwrap_or_else(Instant::now);
        let timeout = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let required = match acks {
            Acks::All => RequiredAcks::All,
            Acks::Leader => RequiredAcks::One,
            Acks::None => RequiredAcks::None,
        };
        let confirms = self.client.try_call(|kafka| {
            // A recreated client has no metadata.
            if kafka.topics().is_empty() {
                kafka.load_metadata_all()?;
            }
            kafka.produce_messages(required, timeout, records.iter().map(|(_, record)| message(record)))
        });
        for (_, record) in &records {
            if let (Some(sticky), Some(partition)) = (self.sticky.get_mut(&record.topic), record.partition) {
                sticky.batch_sent(partition);
            }
        }
        let confirmed = match confirms {
            Ok(confirms) => Confirmed::of(&confirms),
            Err(failure) => return self.all_failed(failure, records),
        };
        let mut sizes: HashMap<TopicPartition, usize> = HashMap::new();
        let mut unsent = Vec::new();
        for (_, record) in &records {
            *sizes.entry(partition_of(record)).or_default() += 1;
        }
        let mut counted: HashMap<TopicPartition, i64> = HashMap::new();
        for (order, record) in records {
            let topic_partition = partition_of(&record);
            let partition = topic_partition.partition;
            let count = counted.entry(topic_partition.clone()).or_default();
            let nth = std::mem::replace(count, *count + 1);
            let result = match confirmed.0.get(&topic_partition) {
                _ if acks == Acks::None => SendResult::Settled(Ok(RecordLocation { partition, offset: None })),
                Some(Ok(base)) => SendResult::Settled(Ok(RecordLocation { partition, offset: Some(base + nth) })),
                Some(Err(code)) => {
                    self.rejected(*code, &topic_partition, sizes.get(&topic_partition).copied().unwrap_or(1))
                }
                None => SendResult::Settled(Err(BrokerError::TimedOut(WriteState::Maybe))),
            };
            match result {
                SendResult::Settled(outcome) => record.settle(outcome),
                SendResult::Retry => unsent.push((order, record)),
            }
        }
        unsent
    }

    /// Decides what to do when the broker rejects `records` records for one partition.
    fn rejected(&mut self, code: KafkaCode, topic_partition: &TopicPartition, records: usize) -> SendResult {
        match code {
            // The broker may have written them, and without sequence numbers a retry would write them twice.
            KafkaCode::RequestTimedOut | KafkaCode::NotEnoughReplicasAfterAppend => {
                return SendResult::Settled(Err(BrokerError::TimedOut(WriteState::Maybe)));
            }
            // Sends fewer records at a time until only the one that is too large fails.
            KafkaCode::MessageSizeTooLarge | KafkaCode::RecordListTooLarge | KafkaCode::InvalidMessageSize
                if records > 1 =>
            {
                self.record_limits.insert(topic_partition.clone(), records / 2);
                return SendResult::Retry;
            }
            _ => {}
        }
        let error = error_for_code(code as i16, ErrorContext::Partition(topic_partition, Operation::Write));
        match error.remedy() {
            Remedy::GiveUp if !matches!(error, BrokerError::UnknownTopic(_)) => SendResult::Settled(Err(error)),
            // An unknown topic is retried too: a former leader may have reported it, so the metadata decides.
            _ => {
                self.topics.clear();
                SendResult::Retry
            }
        }
    }

    fn all_failed(&mut self, failure: CrateError, records: Vec<(usize, Pending)>) -> Vec<(usize, Pending)> {
        let outcome = match failure {
            CrateError::NotSent(_) => None,
            CrateError::Cut(error) => {
                log::warn!("a produce request was cut off ({error}); {} records may have been written", records.len());
                Some(BrokerError::TimedOut(WriteState::Maybe))
            }
            // The crate itself returns this if a leader is lost after the metadata was loaded.
            CrateError::Answered(BrokerError::Refused(ErrorResponse { code, .. }))
                if code == KafkaCode::UnknownTopicOrPartition as i16 =>
            {
                None
            }
            CrateError::Answered(error) if error.remedy() == Remedy::GiveUp => Some(error),
            CrateError::Answered(_) => None,
        };
        self.topics.clear();
        let Some(error) = outcome else { return records };
        records.into_iter().for_each(|(_, record)| record.settle(Err(error.clone())));
        Vec::new()
    }
}

/// The load of one partition in a request.
struct WriteLoad {
    acks: Acks,
    bytes: usize,
    records: usize,
    most: usize,
    /// Set by the first record that does not fit. Later ones must wait too, or they would overtake it.
    full: bool,
}

impl WriteLoad {
    fn new(acks: Acks, most: usize) -> Self {
        Self { acks, bytes: 0, records: 0, most: most.max(1), full: false }
    }

    fn add(&mut self, record: &Pending) -> bool {
        let bytes = record.record.size();
        let fits = self.records == 0 || (self.bytes + bytes <= PARTITION_BYTES && self.records < self.most);
        self.full |= !fits || record.acks != self.acks;
        if !self.full {
            self.bytes += bytes;
            self.records += 1;
        }
        !self.full
    }
}

/// The base offset of each partition's records, or the error code.
struct Confirmed(HashMap<TopicPartition, Result<i64, KafkaCode>>);

impl Confirmed {
    fn of(confirms: &[ProduceConfirm]) -> Self {
        let mut all = HashMap::new();
        for confirm in confirms {
            let Ok(topic) = TopicName::new(&confirm.topic) else { continue };
            for partition in &confirm.partition_confirms {
                let topic_partition = TopicPartition { topic: topic.clone(), partition: partition.partition };
                all.insert(topic_partition, partition.offset);
            }
        }
        Self(all)
    }
}

fn partition_of(record: &Pending) -> TopicPartition {
    TopicPartition { topic: record.topic.clone(), partition: record.partition.unwrap_or_default() }
}

fn message(record: &Pending) -> ProduceMessage<'_, '_> {
    ProduceMessage {
        topic: record.topic.as_str(),
        partition: record.partition.unwrap_or_default(),
        key: record.record.key.as_deref(),
        value: record.record.value.as_deref(),
    }
}

/// Queues a submission's records. Those that the old protocol cannot carry fail at once.
fn queue(submission: Submission, pending: &mut Vec<Pending>) {
    let Submission { topic, acks, auto_create, records, deadline, receipts } = submission;
    for (index, record) in records.into_iter().enumerate() {
        let cannot = match &record {
            NewRecord { headers, .. } if !headers.is_empty() => Some(OldProtocolLimit::Headers),
            NewRecord { timestamp: Some(_), .. } => Some(OldProtocolLimit::Timestamps),
            _ => None,
        };
        match cannot {
            Some(limit) => receipts.settle(index, Err(limit.into())),
            None => pending.push(Pending {
                topic: topic.clone(),
                record,
                partition: None,
                acks,
                auto_create,
                deadline,
                receipts: receipts.clone(),
                index,
            }),
        }
    }
}
