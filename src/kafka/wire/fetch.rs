//! Fetches from one leader, on a separate connection.

pub mod epochs;
mod session;

use super::batch::{self, AbortedTransaction};
use super::cluster::ClusterClient;
use super::connection::{BrokerConnection, Interrupter};
use super::decode_error::{BatchFault, Undecodable};
use super::errors::{self, ErrorContext};
use super::metadata;
use crate::broker::{
    AutoCreate, BrokerError, Cause, FetchLimits, FetchPosition, FetchResult, MemorySubject, NodeId, Operation,
    PartitionData, PartitionReader, Staleness, TopicInfo,
};
use crate::record::{Partition, TopicName, TopicPartition};
use crate::sync::lock;
use crate::sync::memory_budget::Share;
use bytes::Bytes;
use epochs::EpochEnds;
use kafka_protocol::messages::fetch_response::PartitionData as PartitionResponse;
use kafka_protocol::messages::{FetchRequest, FetchResponse};
use session::{BY_ID, BY_NAME, FetchSession, SessionResult};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Fetches from `leader`. An interrupt closes the connection; the next fetch opens another.
pub struct LeaderReader {
    cluster: Arc<ClusterClient>,
    leader: NodeId,
    /// The memory budget for responses.
    memory: Arc<Share>,
    live: Option<BrokerConnection>,
    session: FetchSession,
    ends: EpochEnds,
    interrupt: Arc<Interrupt>,
}

impl LeaderReader {
    /// Creates a reader that connects on the first fetch. Responses are charged to `memory`.
    pub fn new(cluster: Arc<ClusterClient>, leader: NodeId, memory: Arc<Share>) -> Self {
        Self {
            cluster,
            leader,
            memory,
            live: None,
            session: FetchSession::default(),
            ends: EpochEnds::default(),
            interrupt: Arc::default(),
        }
    }

    fn fetch_on(
        &mut self,
        connection: &mut BrokerConnection,
        positions: &[FetchPosition],
        limits: FetchLimits,
    ) -> Result<Vec<FetchResult>, BrokerError> {
        let at_most = if positions.iter().all(|position| position.topic_id.is_some()) { BY_ID } else { BY_NAME };
        let version = connection.version_for::<FetchRequest>(at_most)?;
        let truncated = self.ends.check(connection, positions, version, self.cluster.settings().request_timeout)?;
        if !truncated.is_empty() {
            // The other partitions are fetched anyway, because a missing partition would look like one without new
            // records. This request does not wait, which keeps it out of the session.
            let is_intact = |position: &&FetchPosition| {
                truncated.iter().all(|t| (&t.topic, t.partition) != (&position.topic, position.partition))
            };
            let others: Vec<FetchPosition> = positions.iter().filter(is_intact).cloned().collect();
            let at_once = FetchLimits { wait: Duration::ZERO, ..limits };
            let mut fetched =
                if others.is_empty() { Vec::new() } else { self.fetch_checked(connection, &others, at_once, version)? };
            fetched.extend(truncated);
            return Ok(fetched);
        }
        self.fetch_checked(connection, positions, limits, version)
    }

    /// Sends one Fetch request, for positions that passed [`EpochEnds::check`].
    fn fetch_checked(
        &mut self,
        connection: &mut BrokerConnection,
        positions: &[FetchPosition],
        limits: FetchLimits,
        version: i16,
    ) -> Result<Vec<FetchResult>, BrokerError> {
        let timeout = limits.wait + self.cluster.settings().request_timeout;
        let mut call = |session: &mut FetchSession| {
            let request = session.request(positions, limits, version);
            let response = connection.call_within(&request, version, timeout, Some(&self.memory));
            response.inspect_err(|_| session.lost())
        };
        let mut response = call(&mut self.session)?;
        if self.session.apply_response(&response, limits) == SessionResult::Forgotten {
            response = call(&mut self.session)?;
            self.session.apply_response(&response, limits);
        }
        errors::check(response.error_code, ErrorContext::Cluster, None)?;
        let mut fetched = read(VersionedResponse { response, version }, positions, &self.memory);
        self.ends.explain(connection, positions, &mut fetched, self.cluster.settings().request_timeout)?;
        Ok(fetched)
    }

    /// Replaces "unknown topic" by the verdict of fresh metadata: a leader also returns it for a topic or id that it
    /// does not know yet, or lost a moment ago.
    fn confirm_missing(&self, positions: &[FetchPosition], fetched: &mut [FetchResult]) {
        let doubtful: BTreeSet<TopicName> = fetched.iter().filter(|f| is_missing(f)).map(|f| f.topic.clone()).collect();
        if doubtful.is_empty() {
            return;
        }
        let topics: Vec<TopicName> = doubtful.into_iter().collect();
        let found = match self.cluster.topics(&topics, AutoCreate::Never) {
            Ok(found) => found,
            Err(error) => vec![Err(error); topics.len()],
        };
        let found: HashMap<TopicName, Result<TopicInfo, BrokerError>> = topics.into_iter().zip(found).collect();
        for response in fetched.iter_mut().filter(|f| is_missing(f)) {
            let position = positions
                .iter()
                .find(|position| position.topic == response.topic && position.partition == response.partition);
            if let (Some(position), Some(now)) = (position, found.get(&response.topic)) {
                response.result = Err(missing_error(position, now));
            }
        }
    }
}

fn is_missing(response: &FetchResult) -> bool {
    matches!(response.result, Err(BrokerError::UnknownTopic(_) | BrokerError::Recreated(_)))
}

/// The error for a partition that its leader does not know, by the topic's current metadata.
fn missing_error(position: &FetchPosition, now: &Result<TopicInfo, BrokerError>) -> BrokerError {
    let topic_partition = TopicPartition { topic: position.topic.clone(), partition: position.partition };
    match now {
        Err(BrokerError::UnknownTopic(topic)) if position.topic_id.is_some() => BrokerError::Recreated(topic.clone()),
        Err(error) => error.clone(),
        Ok(TopicInfo { name, id: id @ Some(_), .. }) if position.topic_id.is_some() && *id != position.topic_id => {
            BrokerError::Recreated(name.clone())
        }
        Ok(info) => match metadata::leader(info, &topic_partition) {
            Ok(_) => Staleness::UnknownToLeader(topic_partition).into(),
            Err(error) => error,
        },
    }
}

struct VersionedResponse {
    response: FetchResponse,
    version: i16,
}

impl PartitionReader for LeaderReader {
    /// Returns an empty list at once after an interrupt, even if it came before the call.
    fn fetch(&mut self, positions: &[FetchPosition], limits: FetchLimits) -> Result<Vec<FetchResult>, BrokerError> {
        // Without budget for a response of `max_bytes`, the response would be read only to be discarded.
        if !self.memory.has_free(limits.max_bytes.min(self.memory.largest())) {
            return Err(BrokerError::BudgetUsedUp);
        }
        let mut connection = match self.live.take() {
            Some(connection) => connection,
            None => self.cluster.connect(self.leader)?,
        };
        if let Some(until) = connection.throttled_until() {
            self.interrupt.wait(until);
        }
        if self.interrupt.begin(connection.interrupter()) == Interrupted::Yes {
            self.live = Some(connection);
            return Ok(Vec::new());
        }
        let fetched = self.fetch_on(&mut connection, positions, limits);
        let mut fetched = match (self.interrupt.end(), fetched) {
            (Interrupted::No, fetched) => {
                let fetched = fetched?;
                self.live = Some(connection);
                fetched
            }
            (Interrupted::Yes, Ok(fetched)) => fetched,
            (Interrupted::Yes, Err(_)) => return Ok(Vec::new()),
        };
        self.confirm_missing(positions, &mut fetched);
        for response in &mut fetched {
            response.result = std::mem::replace(&mut response.result, Ok(PartitionData::default()))
                .map_err(|error| self.cluster.with_principal(error));
        }
        Ok(fetched)
    }

    fn interrupter(&self) -> Arc<dyn Fn() + Send + Sync> {
        let interrupt = self.interrupt.clone();
        Arc::new(move || interrupt.interrupt())
    }
}

/// Interrupts a waiting fetch. An interrupt while none waits is kept for the next fetch, which then does not wait
/// with outdated positions.
#[derive(Default)]
struct Interrupt {
    waiting: Mutex<InterruptState>,
    changed: Condvar,
}

#[derive(Default)]
struct InterruptState {
    connection: Option<Interrupter>,
    interrupted: Interrupted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Interrupted {
    Yes,
    #[default]
    No,
}

impl Interrupt {
    /// Waits until `until` or an interrupt, which is kept.
    fn wait(&self, until: Instant) {
        let left = until.saturating_duration_since(Instant::now());
        let waits = |waiting: &mut InterruptState| waiting.interrupted == Interrupted::No;
        drop(self.changed.wait_timeout_while(self.lock(), left, waits));
    }

    /// Registers `connection`, which an interrupt then closes. Returns `Yes` if an interrupt came before; then nothing
    /// is registered.
    fn begin(&self, connection: Interrupter) -> Interrupted {
        let mut waiting = self.lock();
        let interrupted = std::mem::take(&mut waiting.interrupted);
        waiting.connection = (interrupted == Interrupted::No).then_some(connection);
        interrupted
    }

    /// Returns whether an interrupt came since `begin`.
    fn end(&self) -> Interrupted {
        let mut waiting = self.lock();
        waiting.connection = None;
        std::mem::take(&mut waiting.interrupted)
    }

    fn interrupt(&self) {
        let mut waiting = self.lock();
        waiting.interrupted = Interrupted::Yes;
        self.changed.notify_all();
        if let Some(connection) = &waiting.connection {
            connection.interrupt();
        }
    }

    fn lock(&self) -> MutexGuard<'_, InterruptState> {
        lock(&self.waiting)
    }
}

/// Decodes a response partition by partition. If the budget does not suffice for one, it and the later ones are left
/// to the next fetch.
fn read(
    VersionedResponse { response, version }: VersionedResponse,
    positions: &[FetchPosition],
    memory: &Arc<Share>,
) -> Vec<FetchResult> {
    let by_id = version > BY_NAME;
    let key = |position: &FetchPosition| {
        let name = if by_id { "" } else { position.topic.as_str() };
        let id = if by_id { position.topic_id.unwrap_or_default() } else { uuid::Uuid::nil() };
        (name.to_owned(), id, position.partition)
    };
    let requested: HashMap<(String, uuid::Uuid, Partition), &FetchPosition> =
        positions.iter().map(|position| (key(position), position)).collect();
    let records = |partition: &PartitionResponse| partition.records.as_ref().map_or(0, Bytes::len);
    let total: usize = response.responses.iter().flat_map(|topic| &topic.partitions).map(records).sum();
    let mut fetched = Vec::new();
    let mut is_short = false;
    for topic in response.responses {
        for mut partition in topic.partitions {
            if 2 * records(&partition) < total {
                // These records would keep the whole response in memory.
                partition.records = partition.records.map(|records| detached(records, memory));
            }
            let key = (topic.topic.0.to_string(), topic.topic_id, partition.partition_index);
            if let Some(position) = requested.get(&key) {
                let result = if is_short {
                    Err(BrokerError::BudgetUsedUp)
                } else {
                    decode_partition(partition, position, memory)
                };
                is_short |= matches!(result, Err(BrokerError::BudgetUsedUp | BrokerError::OverBudget(_)));
                fetched.push(FetchResult {
                    topic: position.topic.clone(),
                    partition: position.partition,
                    offset: position.offset,
                    result,
                });
            }
        }
    }
    fetched
}

/// Copies the records out of the response, if the budget allows.
fn detached(records: Bytes, memory: &Arc<Share>) -> Bytes {
    match memory.reserve(records.len()) {
        Ok(paid) => paid.hold(records.to_vec()),
        Err(_) => records,
    }
}

/// A batch in a Fetch response is not valid.
#[derive(Debug, thiserror::Error)]
#[error("{topic_partition}: {fault}")]
struct CorruptBatch {
    topic_partition: TopicPartition,
    #[source]
    fault: BatchFault,
}

fn decode_partition(
    response: PartitionResponse,
    position: &FetchPosition,
    memory: &Arc<Share>,
) -> Result<PartitionData, BrokerError> {
    let topic_partition = TopicPartition { topic: position.topic.clone(), partition: position.partition };
    errors::check(response.error_code, ErrorContext::Partition(&topic_partition, Operation::Read), None)?;
    let aborted = response.aborted_transactions.unwrap_or_default().into_iter();
    let aborted = aborted.map(|t| AbortedTransaction { producer_id: t.producer_id.0, first_offset: t.first_offset });
    epochs::check_divergence(position, &response.diverging_epoch)?;
    let records = response.records.unwrap_or_default();
    let read = batch::read(&records, position.offset, aborted.collect(), memory).map_err(|why| match why {
        Undecodable::NoMemory(shortage) => {
            BrokerError::no_memory(shortage, MemorySubject::Batch(topic_partition, position.offset))
        }
        Undecodable::Damaged(fault) => BrokerError::Corrupt(Cause::new(CorruptBatch { topic_partition, fault })),
    })?;
    Ok(PartitionData {
        batches: read.batches,
        next_offset: read.next_offset,
        epochs: read.epochs,
        // Absent before Fetch v5.
        log_start: response.log_start_offset.max(0),
        end: if response.last_stable_offset >= 0 { response.last_stable_offset } else { response.high_watermark },
    })
}

#[cfg(test)]
mod tests;
