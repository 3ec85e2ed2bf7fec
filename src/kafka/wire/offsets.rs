//! ListOffsets: where partitions begin and end, and where a time is.

mod epoch_before;

use super::cluster::ClusterClient;
use super::errors::{self, ErrorContext};
use super::metadata;
use super::pool::ConnectionPool;
use crate::broker::{AutoCreate, BrokerError, NodeId, OffsetAt, Operation, Remedy};
use crate::record::{Epoch, NO_EPOCH, Partition, Position, TopicName, TopicPartition};
use crate::sync::backoff::Backoff;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};
use kafka_protocol::protocol::StrBytes;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::thread;
use std::time::{Duration, Instant};

/// The last that means something to a client without tiered storage of its own.
const VERSION: i16 = 7;
/// How long an election or a restart is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
const READ_COMMITTED: i8 = 1;
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
/// "There is no such record", and "no such epoch".
const NOT_FOUND: i64 = -1;

/// What is to be known of each place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetDetail {
    /// Its offset alone.
    Offsets,
    /// The leader epoch of the record before it, too.
    Positions,
}

/// Each place asked for, in order.
pub fn find(
    cluster: &ClusterClient,
    pool: &ConnectionPool,
    asked: &[(TopicPartition, OffsetAt)],
    wanted: OffsetDetail,
) -> Vec<Result<Position, BrokerError>> {
    let deadline = Instant::now() + PATIENCE;
    let mut queries: Vec<OffsetQuery> = asked.iter().map(|(place, at)| OffsetQuery::new(place, *at)).collect();
    let mut backoff = Backoff::for_broker();
    loop {
        for (leader, group) in by_leader(cluster, &mut queries) {
            query_leader(pool, leader, &mut queries, &group);
            if wanted == OffsetDetail::Positions {
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
            // A failure here shows in the next round, where no leader is found.
            let _ = cluster.topics(&stale.into_iter().collect::<Vec<_>>(), AutoCreate::Never);
        }
    }
    let late = || BrokerError::Unavailable("the broker told no offset in time".to_owned());
    let result = |q: OffsetQuery<'_>| q.result.unwrap_or_else(|| Err(q.last_error.unwrap_or_else(late)));
    queries.into_iter().map(|q| result(q).map_err(|error| cluster.with_principal(error))).collect()
}

struct OffsetQuery<'a> {
    topic_partition: &'a TopicPartition,
    at: OffsetAt,
    leader_epoch: i32,
    result: Option<Result<Position, BrokerError>>,
    /// Why it must be asked again.
    last_error: Option<BrokerError>,
}

impl<'a> OffsetQuery<'a> {
    fn new(topic_partition: &'a TopicPartition, at: OffsetAt) -> Self {
        Self { topic_partition, at, leader_epoch: -1, result: None, last_error: None }
    }

    fn topic_to_refresh(&self) -> Option<&TopicName> {
        (self.result.is_none() && self.last_error.is_some()).then_some(&self.topic_partition.topic)
    }

    fn settle(&mut self, answer: Result<Position, BrokerError>) {
        match answer {
            Ok(Position { next: NOT_FOUND, .. }) if matches!(self.at, OffsetAt::Time(_)) => self.at = OffsetAt::Latest,
            // Before the first offset there is nothing that could be truncated.
            Ok(Position { next, .. }) if self.at == OffsetAt::Earliest || next == 0 => {
                self.result = Some(Ok(next.into()));
            }
            Ok(place) => self.result = Some(Ok(place)),
            Err(error) if error.remedy() == Remedy::GiveUp => self.result = Some(Err(error)),
            Err(error) => self.last_error = Some(error),
        }
    }

    fn timestamp(&self) -> i64 {
        match self.at {
            OffsetAt::Earliest => EARLIEST,
            OffsetAt::Latest => LATEST,
            // Negative ones mean other things to Kafka; before 1970 is the beginning.
            OffsetAt::Time(time) => time.max(0),
        }
    }
}

/// Which open queries to ask whom. A broker refuses a request that names a partition twice, so
/// there may be several groups for one leader.
fn by_leader(cluster: &ClusterClient, queries: &mut [OffsetQuery<'_>]) -> Vec<(NodeId, Vec<usize>)> {
    // Partitions may have been added since the topic was asked for.
    let lacks = |place: &TopicPartition| {
        cluster.cached(&place.topic).is_none_or(|info| info.partitions.iter().all(|p| p.partition != place.partition))
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
        let place = query.topic_partition;
        let leader = match (missing.get(&place.topic), cluster.cached(&place.topic)) {
            (Some(error), _) => Err(error.clone()),
            (None, Some(info)) => metadata::leader(&info, place),
            // It was forgotten a moment ago: the next round tells why.
            (None, None) => Err(BrokerError::StaleMetadata(format!("topic {:?} is not known just now", place.topic))),
        };
        match leader {
            Ok((leader, epoch)) => {
                query.leader_epoch = epoch;
                let times = named.entry(place).or_default();
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
    let answer = pool.call(leader, VERSION, request, PATIENCE);
    let mut offsets = match &answer {
        Ok(answer) => read(answer),
        Err(_) => HashMap::new(),
    };
    for index in group {
        let Some(query) = queries.get_mut(*index) else { continue };
        let told = offsets.remove(&(query.topic_partition.topic.as_str(), query.topic_partition.partition));
        let told = match (&answer, told) {
            (Err(error), _) => Err(error.clone()),
            (Ok(_), None) => {
                Err(BrokerError::StaleMetadata(format!("{}: the broker told no offset", query.topic_partition)))
            }
            (Ok(_), Some((code, place))) => check_leader_code(code, query.topic_partition).map(|()| place),
        };
        query.settle(told);
    }
}

/// A leader that does not know its partition yet (it was made a moment ago) will: metadata decides
/// whether there is such a topic.
fn check_leader_code(code: i16, place: &TopicPartition) -> Result<(), BrokerError> {
    errors::check(code, ErrorContext::Partition(place, Operation::Describe), None).map_err(|error| match error {
        BrokerError::UnknownTopic(_) => BrokerError::StaleMetadata(format!("{place}: its leader does not know it")),
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

/// Error code and place by topic and partition. Before version 4 there is no leader epoch.
fn read(answer: &ListOffsetsResponse) -> HashMap<(&str, Partition), (i16, Position)> {
    let mut told = HashMap::new();
    for topic in &answer.topics {
        for partition in &topic.partitions {
            let place = (topic.name.0.as_str(), partition.partition_index);
            let at = Position { next: partition.offset, epoch: Epoch::from(partition.leader_epoch).max(NO_EPOCH) };
            told.insert(place, (partition.error_code, at));
        }
    }
    told
}

#[cfg(test)]
mod tests;
