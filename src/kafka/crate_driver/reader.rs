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

/// The reader of one leader.
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
    /// Creates a reader for the partitions of `leader`.
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
        positions: &'a [FetchPosition],
    ) -> Result<(Vec<&'a FetchPosition>, Vec<FetchResult>), BrokerError> {
        if positions.iter().any(|position| self.check(position).is_err()) {
            self.topics = self.client.call(|kafka| {
                kafka.load_metadata_all()?;
                Ok(topic_infos(kafka))
            })?;
        }
        let mut ours = Vec::new();
        let mut others = Vec::new();
        for position in positions {
            match self.check(position) {
                Ok(()) => ours.push(position),
                Err(error) => others.push(fetched(position, Err(error))),
            }
        }
        Ok((ours, others))
    }

    fn check(&self, position: &FetchPosition) -> Result<(), BrokerError> {
        let topic =
            self.topics.get(&position.topic).ok_or_else(|| BrokerError::UnknownTopic(position.topic.clone()))?;
        let partition = topic.partitions.iter().find(|p| p.partition == position.partition);
        match partition.ok_or_else(|| BrokerError::UnknownPartition(partition_of(position)))?.leader {
            Some(leader) if leader == self.leader => Ok(()),
            _ => Err(Staleness::NotLeader { node: self.leader, topic_partition: partition_of(position) }.into()),
        }
    }

    fn bytes(&self, position: &FetchPosition, limits: FetchLimits, positions: usize) -> usize {
        let usual = (limits.max_bytes / positions.max(1)).clamp(64 << 10, limits.partition_max_bytes.max(64 << 10));
        self.larger.get(&(position.topic.clone(), position.partition)).copied().unwrap_or(usual)
    }

    /// Sends one request for the positions, which this leader serves.
    fn poll(
        &mut self,
        positions: &[&FetchPosition],
        limits: FetchLimits,
        wait: Duration,
    ) -> Result<Vec<FetchResult>, BrokerError> {
        let requested: Vec<_> =
            positions.iter().map(|position| (*position, self.bytes(position, limits, positions.len()))).collect();
        let responses = self.client.call(|kafka| {
            // A recreated client has no metadata.
            if kafka.topics().is_empty() {
                kafka.load_metadata_all()?;
            }
            kafka.set_fetch_max_wait_time(wait)?;
            let responses = kafka.fetch_messages(requested.iter().map(|(position, bytes)| ask(position, *bytes)))?;
            Ok(requested.iter().map(|(position, _)| (*position, find(&responses, position))).collect::<Vec<_>>())
        })?;
        let mut all = Vec::new();
        for (position, response) in responses {
            let no_response = || Err(Staleness::NoLeader(partition_of(position)).into());
            let result = match response.unwrap_or_else(no_response) {
                Ok(response) => self.complete(position, response, self.bytes(position, limits, positions.len())),
                Err(error) => {
                    // The metadata may be stale, whatever the error is.
                    self.topics.clear();
                    Err(error)
                }
            };
            if !matches!(&result, Ok(data) if data.next_offset == position.offset) {
                all.push(fetched(position, result));
            }
        }
        Ok(all)
    }

    /// Converts the response to a request for up to `bytes`, with records that the crate has dropped.
    fn complete(
        &mut self,
        position: &FetchPosition,
        response: CrateResponse,
        bytes: usize,
    ) -> Result<PartitionData, BrokerError> {
        let key = (position.topic.clone(), position.partition);
        let Some(first) = response.first else {
            // The log continues, but the response has no complete record: the next one is larger.
            if response.end > position.offset {
                let more = bytes.saturating_mul(2);
                if more < MAX_FETCH_BYTES {
                    self.larger.insert(key, more);
                } else if self.stuck.insert((key, position.offset)) {
                    // It may be a transaction marker, which the old protocol does not return.
                    log::warn!(
                        "{} at offset {}: no readable record in {bytes} bytes, waiting for later records; driver wire \
                         can read more formats",
                        partition_of(position),
                        position.offset
                    );
                }
            }
            return Ok(response.into_data(position.offset));
        };
        self.larger.remove(&key);
        self.stuck.retain(|(partition_key, _)| *partition_key != key);
        if first == position.offset {
            return Ok(response.into_data(position.offset));
        }
        let found = mixed::before(first, bytes, |bytes| {
            self.client
                .call(|kafka| {
                    kafka.set_fetch_max_wait_time(Duration::ZERO)?;
                    let responses = kafka.fetch_messages([ask(position, bytes)])?;
                    Ok(find(&responses, position))
                })?
                .unwrap_or_else(|| Err(CorruptResponse::Missing(partition_of(position)).into()))
        })?;
        Ok(found.unwrap_or(response).into_data(position.offset))
    }
}

impl PartitionReader for CrateReader {
    fn fetch(&mut self, positions: &[FetchPosition], limits: FetchLimits) -> Result<Vec<FetchResult>, BrokerError> {
        let until = Instant::now() + limits.wait;
        loop {
            let (ours, others) = self.sort(positions)?;
            if !others.is_empty() {
                return Ok(others);
            }
            let left = until.saturating_duration_since(Instant::now());
            let requested = Instant::now();
            let fetched = self.poll(&ours, limits, left.min(POLL)).inspect_err(|_| self.topics.clear())?;
            let interrupted = self.interrupted.swap(false, Ordering::AcqRel);
            if !fetched.is_empty() || interrupted || Instant::now() >= until {
                return Ok(fetched);
            }
            // A broker does not delay a response without readable records, so polling without a pause would spin.
            std::thread::sleep(MIN_POLL.saturating_sub(requested.elapsed()));
        }
    }

    fn interrupter(&self) -> Arc<dyn Fn() + Send + Sync> {
        let interrupted = self.interrupted.clone();
        Arc::new(move || interrupted.store(true, Ordering::Release))
    }
}

fn ask(position: &FetchPosition, bytes: usize) -> FetchPartition<'_> {
    let bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
    FetchPartition::new(position.topic.as_str(), position.partition, position.offset).with_max_bytes(bytes)
}

fn partition_of(position: &FetchPosition) -> TopicPartition {
    TopicPartition { topic: position.topic.clone(), partition: position.partition }
}

fn fetched(position: &FetchPosition, result: Result<PartitionData, BrokerError>) -> FetchResult {
    FetchResult { topic: position.topic.clone(), partition: position.partition, offset: position.offset, result }
}

fn find(
    responses: &[kafka::client::fetch::Response],
    position: &FetchPosition,
) -> Option<Result<CrateResponse, BrokerError>> {
    let mut topics = responses.iter().flat_map(|response| response.topics());
    let topic = topics.find(|topic| topic.topic() == position.topic.as_str())?;
    let partition = topic.partitions().iter().find(|partition| partition.partition() == position.partition)?;
    Some(match partition.data() {
        Ok(data) => Ok(CrateResponse::of(data, position.offset)),
        Err(error) => match &*error {
            Error::Kafka(code) => {
                Err(error_for_code(*code as i16, ErrorContext::Partition(&partition_of(position), Operation::Read)))
            }
            other => Err(CorruptResponse::Other(other.to_string()).into()),
        },
    })
}
