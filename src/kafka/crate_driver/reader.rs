//! Fetches from one leader through the `kafka` crate.

use super::client::{CrateClient, error_for_code};
use super::failure::CorruptResponse;
use super::response::CrateResponse;
use super::{mixed, topic_infos};
use crate::broker::{
    BrokerError, FetchLimits, FetchPosition, FetchResult, NodeId, Operation, PartitionData, PartitionReader, Staleness,
    TopicInfo,
};
use crate::kafka::wire::errors::ErrorContext;
use crate::record::{Offset, Partition, TopicName, TopicPartition};
use kafka::Error;
use kafka::client::FetchPartition;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The length of one poll. The crate cannot be interrupted, so a long poll is split into short ones.
const POLL: Duration = Duration::from_millis(100);
/// The shortest time from one poll to the next.
const MIN_POLL: Duration = Duration::from_millis(5);
/// The limit of a partition's fetch size, which doubles while a record does not fit.
const MAX_FETCH_BYTES: usize = 128 << 20;

pub struct CrateReader {
    client: CrateClient,
    leader: NodeId,
    /// The cached metadata. Empty if it must be reloaded.
    topics: HashMap<TopicName, TopicInfo>,
    interrupted: Arc<AtomicBool>,
    /// Fetch sizes of partitions whose next record is larger than the usual size.
    larger: HashMap<(TopicName, Partition), usize>,
    /// Positions for which a warning was logged.
    stuck: HashSet<((TopicName, Partition), Offset)>,
}

impl CrateReader {
    pub fn new(client: CrateClient, leader: NodeId) -> Self {
        Self {
            client,
            leader,
            topics: HashMap::new(),
            interrupted: Arc::default(),
            larger: HashMap::new(),
            stuck: HashSet::new(),
        }
    }

    /// Separates the positions that this leader serves from the others, which get an error.
    fn sort<'a>(
        &mut self,
        wants: &'a [FetchPosition],
    ) -> Result<(Vec<&'a FetchPosition>, Vec<FetchResult>), BrokerError> {
        if wants.iter().any(|want| self.check(want).is_err()) {
            self.topics = self.client.call(|kafka| {
                kafka.load_metadata_all()?;
                Ok(topic_infos(kafka))
            })?;
        }
        let mut ours = Vec::new();
        let mut others = Vec::new();
        for want in wants {
            match self.check(want) {
                Ok(()) => ours.push(want),
                Err(error) => others.push(fetched(want, Err(error))),
            }
        }
        Ok((ours, others))
    }

    fn check(&self, want: &FetchPosition) -> Result<(), BrokerError> {
        let topic = self.topics.get(&want.topic).ok_or_else(|| BrokerError::UnknownTopic(want.topic.clone()))?;
        let partition = topic.partitions.iter().find(|p| p.partition == want.partition);
        match partition.ok_or_else(|| BrokerError::UnknownPartition(partition_of(want)))?.leader {
            Some(leader) if leader == self.leader => Ok(()),
            _ => Err(Staleness::NotLeader { node: self.leader, topic_partition: partition_of(want) }.into()),
        }
    }

    fn bytes(&self, want: &FetchPosition, limits: FetchLimits, wants: usize) -> usize {
        let usual = (limits.max_bytes / wants.max(1)).clamp(64 << 10, limits.partition_max_bytes.max(64 << 10));
        self.larger.get(&(want.topic.clone(), want.partition)).copied().unwrap_or(usual)
    }

    /// Sends one request.
    fn poll(
        &mut self,
        wants: &[&FetchPosition],
        limits: FetchLimits,
        wait: Duration,
    ) -> Result<Vec<FetchResult>, BrokerError> {
        let asked: Vec<_> = wants.iter().map(|want| (*want, self.bytes(want, limits, wants.len()))).collect();
        let answers = self.client.call(|kafka| {
            // A recreated client has no metadata.
            if kafka.topics().is_empty() {
                kafka.load_metadata_all()?;
            }
            kafka.set_fetch_max_wait_time(wait)?;
            let answers = kafka.fetch_messages(asked.iter().map(|(want, bytes)| ask(want, *bytes)))?;
            Ok(asked.iter().map(|(want, _)| (*want, find(&answers, want))).collect::<Vec<_>>())
        })?;
        let mut all = Vec::new();
        for (want, answer) in answers {
            let no_answer = || Err(Staleness::NoLeader(partition_of(want)).into());
            let result = match answer.unwrap_or_else(no_answer) {
                Ok(answer) => self.complete(want, answer, self.bytes(want, limits, wants.len())),
                Err(error) => {
                    // The metadata may be stale, whatever the error is.
                    self.topics.clear();
                    Err(error)
                }
            };
            if !matches!(&result, Ok(data) if data.next_offset == want.offset) {
                all.push(fetched(want, result));
            }
        }
        Ok(all)
    }

    /// Interprets the response to a request for up to `bytes`.
    fn complete(
        &mut self,
        want: &FetchPosition,
        answer: CrateResponse,
        bytes: usize,
    ) -> Result<PartitionData, BrokerError> {
        let key = (want.topic.clone(), want.partition);
        let Some(first) = answer.first else {
            // The log continues, but the response has no complete record: the next one is larger.
            if answer.end > want.offset {
                let more = bytes.saturating_mul(2);
                if more < MAX_FETCH_BYTES {
                    self.larger.insert(key, more);
                } else if self.stuck.insert((key, want.offset)) {
                    // It may be a transaction marker, which the old protocol does not return.
                    log::warn!(
                        "{} at offset {}: no readable record in {bytes} bytes, waiting for later records; driver wire \
                         can read more formats",
                        partition_of(want),
                        want.offset
                    );
                }
            }
            return Ok(answer.into_data(want.offset));
        };
        self.larger.remove(&key);
        self.stuck.retain(|(place, _)| *place != key);
        if first == want.offset {
            return Ok(answer.into_data(want.offset));
        }
        let found = mixed::before(first, bytes, |bytes| {
            self.client
                .call(|kafka| {
                    kafka.set_fetch_max_wait_time(Duration::ZERO)?;
                    let answers = kafka.fetch_messages([ask(want, bytes)])?;
                    Ok(find(&answers, want))
                })?
                .unwrap_or_else(|| Err(CorruptResponse::Missing(partition_of(want)).into()))
        })?;
        Ok(found.unwrap_or(answer).into_data(want.offset))
    }
}

impl PartitionReader for CrateReader {
    fn fetch(&mut self, wants: &[FetchPosition], limits: FetchLimits) -> Result<Vec<FetchResult>, BrokerError> {
        let until = Instant::now() + limits.wait;
        loop {
            let (ours, others) = self.sort(wants)?;
            if !others.is_empty() {
                return Ok(others);
            }
            let left = until.saturating_duration_since(Instant::now());
            let asked = Instant::now();
            let fetched = self.poll(&ours, limits, left.min(POLL)).inspect_err(|_| self.topics.clear())?;
            let interrupted = self.interrupted.swap(false, Ordering::AcqRel);
            if !fetched.is_empty() || interrupted || Instant::now() >= until {
                return Ok(fetched);
            }
            // A broker does not delay a response without readable records, so polling without a pause would spin.
            std::thread::sleep(MIN_POLL.saturating_sub(asked.elapsed()));
        }
    }

    fn interrupter(&self) -> Arc<dyn Fn() + Send + Sync> {
        let interrupted = self.interrupted.clone();
        Arc::new(move || interrupted.store(true, Ordering::Release))
    }
}

fn ask(want: &FetchPosition, bytes: usize) -> FetchPartition<'_> {
    let bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
    FetchPartition::new(want.topic.as_str(), want.partition, want.offset).with_max_bytes(bytes)
}

fn partition_of(want: &FetchPosition) -> TopicPartition {
    TopicPartition { topic: want.topic.clone(), partition: want.partition }
}

fn fetched(want: &FetchPosition, result: Result<PartitionData, BrokerError>) -> FetchResult {
    FetchResult { topic: want.topic.clone(), partition: want.partition, offset: want.offset, result }
}

fn find(
    answers: &[kafka::client::fetch::Response],
    want: &FetchPosition,
) -> Option<Result<CrateResponse, BrokerError>> {
    let mut topics = answers.iter().flat_map(|answer| answer.topics());
    let topic = topics.find(|topic| topic.topic() == want.topic.as_str())?;
    let partition = topic.partitions().iter().find(|partition| partition.partition() == want.partition)?;
    Some(match partition.data() {
        Ok(data) => Ok(CrateResponse::of(data, want.offset)),
        Err(error) => match &*error {
            Error::Kafka(code) => {
                Err(error_for_code(*code as i16, ErrorContext::Partition(&partition_of(want), Operation::Read)))
            }
            other => Err(CorruptResponse::Other(other.to_string()).into()),
        },
    })
}
