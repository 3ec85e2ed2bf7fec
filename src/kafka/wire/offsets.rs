//! Offsets of log start, log end and timestamps (ListOffsets).

mod epoch_before;

use super::cluster::ClusterClient;
use super::errors::{self, ErrorContext};
use super::metadata;
use super::pool::ConnectionPool;
use crate::broker::{AutoCreate, BrokerError, NodeId, OffsetAt, Operation, Remedy, Staleness};
use crate::record::{Epoch, NO_EPOCH, Partition, Position, TopicName, TopicPartition};
use crate::sync::backoff::Backoff;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};
use kafka_protocol::protocol::StrBytes;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::thread;
use std::time::{Duration, Instant};

/// Later versions only concern tiered storage (KIP-405).
const VERSION: i16 = 7;
/// How long to wait for an election or a restart.
const PATIENCE: Duration = Duration::from_secs(5);
const READ_COMMITTED: i8 = 1;
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
/// The offset or epoch in a response without a match.
const NOT_FOUND: i64 = -1;

/// The detail to find for each partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetDetail {
    /// The offset only.
    Offsets,
    /// Also the leader epoch of the record before it.
    Positions,
}

/// Finds the offset of each requested point, in order. Blocks for about five seconds at most.
pub fn find(
    cluster: &ClusterClient,
    pool: &ConnectionPool,
    requested: &[(TopicPartition, OffsetAt)],
    detail: OffsetDetail,
) -> Vec<Result<Position, BrokerError>> {
    let deadline = Instant::now() + PATIENCE;
    let mut queries: Vec<OffsetQuery> =
        requested.iter().map(|(partition, at)| OffsetQuery::new(partition, *at)).collect();
    let mut backoff = Backoff::for_broker();
    loop {
        for (leader, group) in by_leader(cluster, &mut queries) {
            query_leader(pool, leader, &mut queries, &group);
            if detail == OffsetDetail::Positions {
                epoch_before::find_epochs(pool, leader, &mut queries, group);
            }
        }
        let stale: BTreeSet<TopicName> = queries.iter().filter_map(OffsetQuery::topic_to_refresh).cloned().collect();
        let pause = backoff.pause(fastrand::f64());
        if !queries.iter().any(|query| query.result.is_none()) || Instant::now() + pause > deadline {
            break;
        }
        if !stale.is_empty() {
            thread::sleep(pause);
            // A failure shows in the next round, which finds no leader.
            let _ = cluster.topics(&stale.into_iter().collect::<Vec<_>>(), AutoCreate::Never);
        }
    }
    let late = || BrokerError::Unavailable("no broker returned an offset in time".into());
    let result = |q: OffsetQuery<'_>| q.result.unwrap_or_else(|| Err(q.last_error.unwrap_or_else(late)));
    queries.into_iter().map(|q| result(q).map_err(|error| cluster.with_principal(error))).collect()
}

struct OffsetQuery<'a> {
    topic_partition: &'a TopicPartition,
    at: OffsetAt,
    leader_epoch: i32,
    result: Option<Result<Position, BrokerError>>,
    /// The retriable error of the last attempt.
    last_error: Option<BrokerError>,
}

impl<'a> OffsetQuery<'a> {
    fn new(topic_partition: &'a TopicPartition, at: OffsetAt) -> Self {
        Self { topic_partition, at, leader_epoch: -1, result: None, last_error: None }
    }

    fn topic_to_refresh(&self) -> Option<&TopicName> {
        (self.result.is_none() && self.last_error.is_some()).then_some(&self.topic_partition.topic)
    }

    fn settle(&mut self, response: Result<Position, BrokerError>) {
        match response {
            Ok(Position { next: NOT_FOUND, .. }) if matches!(self.at, OffsetAt::Time(_)) => self.at = OffsetAt::Latest,
            // There is nothing before the first offset that could be truncated.
            Ok(Position { next, .. }) if self.at == OffsetAt::Earliest || next == 0 => {
                self.result = Some(Ok(next.into()));
            }
            Ok(position) => self.result = Some(Ok(position)),
            Err(error) if error.remedy() == Remedy::GiveUp => self.result = Some(Err(error)),
            Err(error) => self.last_error = Some(error),
        }
    }

    fn timestamp(&self) -> i64 {
        match self.at {
            OffsetAt::Earliest => EARLIEST,
            OffsetAt::Latest => LATEST,
            // Negative timestamps have other meanings in Kafka. Times before 1970 are the beginning.
            OffsetAt::Time(time) => time.max(0),
        }
    }
}

/// Groups the open queries by leader. A broker rejects a request that names a partition twice, so a leader may have
/// several groups.
fn by_leader(cluster: &ClusterClient, queries: &mut [OffsetQuery<'_>]) -> Vec<(NodeId, Vec<usize>)> {
    // Partitions may have been added since the last metadata.
    let lacks = |partition: &TopicPartition| {
        cluster
            .cached(&partition.topic)
            .is_none_or(|info| info.partitions.iter().all(|p| p.partition != partition.partition))
    };
    let open = queries.iter().filter(|q| q.result.is_none() && lacks(q.topic_partition));
    let unknown: BTreeSet<TopicName> = open.map(|q| q.topic_partition.topic.clone()).collect();
    let unknown: Vec<TopicName> = unknown.into_iter().collect();
    let mut missing: HashMap<TopicName, BrokerError> = HashMap::new();
    match cluster.topics(&unknown, AutoCreate::Never) {
        Ok(found) => missing.extend(unknown.into_iter().zip(found).filter_map(|(topic, r)| Some((topic, r.err()?)))),
        Err(error) => missing.extend(unknown.into_iter().map(|topic| (topic, error.clone()))),
    }
    let mut groups: BTreeMap<(NodeId, usize), Vec<usize>> = BTreeMap::new();
    let mut named: HashMap<&TopicPartition, usize> = HashMap::new();
    for (index, query) in queries.iter_mut().enumerate().filter(|(_, q)| q.result.is_none()) {
        let partition = query.topic_partition;
        let leader = match (missing.get(&partition.topic), cluster.cached(&partition.topic)) {
            (Some(error), _) => Err(error.clone()),
            (None, Some(info)) => metadata::leader(&info, partition),
            // The topic was just removed from the cache; the next round finds the reason.
            (None, None) => Err(Staleness::TopicChanged(partition.topic.clone()).into()),
        };
        match leader {
            Ok((leader, epoch)) => {
                query.leader_epoch = epoch;
                let times = named.entry(partition).or_default();
                groups.entry((leader, *times)).or_default().push(index);
                *times += 1;
            }
            Err(error) => query.settle(Err(error)),
        }
    }
    groups.into_iter().map(|((leader, _), group)| (leader, group)).collect()
}

fn query_leader(pool: &ConnectionPool, leader: NodeId, queries: &mut [OffsetQuery<'_>], group: &[usize]) {
    let request = |version| request(group.iter().filter_map(|index| queries.get(*index)), version);
    let response = pool.call(leader, VERSION, request, PATIENCE);
    let mut offsets = match &response {
        Ok(response) => read(response),
        Err(_) => HashMap::new(),
    };
    for index in group {
        let Some(query) = queries.get_mut(*index) else { continue };
        let offset = offsets.remove(&(query.topic_partition.topic.as_str(), query.topic_partition.partition));
        let result = match (&response, offset) {
            (Err(error), _) => Err(error.clone()),
            (Ok(_), None) => Err(Staleness::NotInResponse(query.topic_partition.clone()).into()),
            (Ok(_), Some((code, position))) => check_leader_code(code, query.topic_partition).map(|()| position),
        };
        query.settle(result);
    }
}

/// Checks an error code of a leader. A leader may not know a new partition yet, so metadata decides whether the topic
/// exists.
fn check_leader_code(code: i16, partition: &TopicPartition) -> Result<(), BrokerError> {
    errors::check(code, ErrorContext::Partition(partition, Operation::Describe), None).map_err(|error| match error {
        BrokerError::UnknownTopic(_) => Staleness::UnknownToLeader(partition.clone()).into(),
        other => other,
    })
}

fn request<'a>(queries: impl Iterator<Item = &'a OffsetQuery<'a>>, version: i16) -> ListOffsetsRequest {
    let mut topics: BTreeMap<&TopicName, Vec<ListOffsetsPartition>> = BTreeMap::new();
    for query in queries {
        let partition = ListOffsetsPartition::default()
            .with_partition_index(query.topic_partition.partition)
            .with_current_leader_epoch(query.leader_epoch)
            .with_timestamp(query.timestamp());
        topics.entry(&query.topic_partition.topic).or_default().push(partition);
    }
    let topic = |(name, partitions): (&TopicName, _)| {
        let name = StrBytes::from_string(name.as_str().to_owned());
        ListOffsetsTopic::default().with_name(name.into()).with_partitions(partitions)
    };
    ListOffsetsRequest::default()
        .with_replica_id((-1).into())
        .with_isolation_level(if version >= 2 { READ_COMMITTED } else { 0 })
        .with_topics(topics.into_iter().map(topic).collect())
}

/// Returns the error code and position by topic and partition. Before v4 there is no leader epoch.
fn read(response: &ListOffsetsResponse) -> HashMap<(&str, Partition), (i16, Position)> {
    let mut found = HashMap::new();
    for topic in &response.topics {
        for partition in &topic.partitions {
            let key = (topic.name.0.as_str(), partition.partition_index);
            let at = Position { next: partition.offset, epoch: Epoch::from(partition.leader_epoch).max(NO_EPOCH) };
            found.insert(key, (partition.error_code, at));
        }
    }
    found
}

#[cfg(test)]
mod tests;
