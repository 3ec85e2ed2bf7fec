//! Detects truncated logs by leader epochs (KIP-320). After an unclean leader election a log may have been truncated
//! and have grown past the positions of its readers.
//!
//! From v12 on, a Fetch response reports this (KIP-595). For older brokers OffsetForLeaderEpoch is sent, once for
//! each last-read epoch under each new leader: while a broker leads, the earlier part of its log does not change.

use crate::broker::{BrokerError, Cause, FetchPosition, FetchResult, Operation, Staleness, TopicId};
use crate::kafka::wire::connection::BrokerConnection;
use crate::kafka::wire::errors::{self, ErrorContext};
use crate::record::{Epoch, NO_EPOCH, Offset, Partition, TopicName, TopicPartition};
use kafka_protocol::messages::fetch_response::EpochEndOffset;
use kafka_protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use kafka_protocol::messages::offset_for_leader_epoch_response::EpochEndOffset as End;
use kafka_protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};
use kafka_protocol::protocol::StrBytes;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// First version of Fetch that reports a diverging log (KIP-595).
pub const DIVERGENCE: i16 = 12;
/// Newest supported version of OffsetForLeaderEpoch.
pub const VERSION: i16 = 4;
const CONSUMER: i32 = -1;
/// Limit of remembered responses.
const MAX_REMEMBERED: usize = 10_000;

/// Converts an epoch to an int32 of the protocol; -1 stands for an unknown one.
pub fn wire_epoch(epoch: Epoch) -> i32 {
    i32::try_from(epoch).unwrap_or(-1)
}

/// Checks the diverging epoch of a Fetch response against the record before the fetched offset. Fails with
/// `Truncated`, or with `Corrupt` if the response contradicts itself.
pub fn check_divergence(position: &FetchPosition, diverging: &EpochEndOffset) -> Result<(), BrokerError> {
    if diverging.epoch < 0 && diverging.end_offset < 0 {
        return Ok(());
    }
    match judge(position, diverging.epoch.into(), diverging.end_offset) {
        Ok(()) => Err(contradiction(position, diverging.epoch.into(), diverging.end_offset)),
        truncated => truncated,
    }
}

/// Compares the position with the log. `epoch` is the largest epoch of the log up to the requested one, and ends at
/// offset `end`. Every error moves back in the offset or the epoch, so the next request differs.
fn judge(position: &FetchPosition, epoch: Epoch, end: Offset) -> Result<(), BrokerError> {
    let partition = topic_partition(position);
    if epoch < 0 || end < 0 {
        // The leader has no epoch up to the requested one, so its log is a different one.
        return Err(BrokerError::Truncated { partition, end: 0, epoch: NO_EPOCH });
    }
    if epoch > position.last_epoch {
        return Err(contradiction(position, epoch, end));
    }
    if epoch < position.last_epoch || end < position.offset {
        return Err(BrokerError::Truncated { partition, end, epoch });
    }
    Ok(())
}

/// The end of an epoch in a response contradicts the request.
#[derive(Debug, thiserror::Error)]
#[error(
    "{topic_partition}: requested offset {offset} after leader epoch {last_epoch}, but the broker responds that epoch {epoch} \
     ends at {end}"
)]
struct Contradiction {
    topic_partition: TopicPartition,
    offset: Offset,
    last_epoch: Epoch,
    epoch: Epoch,
    end: Offset,
}

fn contradiction(position: &FetchPosition, epoch: Epoch, end: Offset) -> BrokerError {
    let FetchPosition { offset, last_epoch, .. } = *position;
    let topic_partition = topic_partition(position);
    BrokerError::Corrupt(Cause::new(Contradiction { topic_partition, offset, last_epoch, epoch, end }))
}

fn topic_partition(position: &FetchPosition) -> TopicPartition {
    TopicPartition { topic: position.topic.clone(), partition: position.partition }
}

/// A partition under one leader, and an epoch.
type EpochKey = (TopicName, TopicId, Partition, i32, Epoch);

/// End offsets of epochs, as reported by leaders.
#[derive(Default)]
pub struct EpochEnds(HashMap<EpochKey, (Epoch, Offset)>);

impl EpochEnds {
    /// Returns the positions that cannot be fetched, with their errors, for brokers whose Fetch responses do not
    /// report divergence.
    pub fn check(
        &mut self,
        connection: &mut BrokerConnection,
        positions: &[FetchPosition],
        fetch_version: i16,
        timeout: Duration,
    ) -> Result<Vec<FetchResult>, BrokerError> {
        if fetch_version >= DIVERGENCE {
            return Ok(Vec::new());
        }
        // A leader has every record that it wrote itself. Before Kafka 2.1 leader epochs are unknown.
        let doubtful = |position: &&FetchPosition| {
            position.last_epoch >= 0 && Epoch::from(position.leader_epoch) > position.last_epoch
        };
        self.ask(connection, positions.iter().filter(doubtful), timeout)
    }

    /// Replaces `OffsetOutOfRange` by `Truncated` if the log was truncated: a leader that does not know the epoch
    /// reports any offset as out of range.
    pub fn explain(
        &mut self,
        connection: &mut BrokerConnection,
        positions: &[FetchPosition],
        fetched: &mut [FetchResult],
        timeout: Duration,
    ) -> Result<(), BrokerError> {
        let is_out = |f: &FetchResult| matches!(f.result, Err(BrokerError::OffsetOutOfRange(_)));
        let out = |position: &&FetchPosition| {
            let own = |f: &FetchResult| f.topic == position.topic && f.partition == position.partition;
            position.last_epoch >= 0 && fetched.iter().any(|f| own(f) && is_out(f))
        };
        let positions: Vec<&FetchPosition> = positions.iter().filter(out).collect();
        // The end of the current epoch may have moved since it was requested.
        for position in &positions {
            self.0.remove(&key(position));
        }
        for truncated in self.ask(connection, positions.into_iter(), timeout)? {
            let own = |f: &&mut FetchResult| f.topic == truncated.topic && f.partition == truncated.partition;
            if let (Some(fetched), Err(BrokerError::Truncated { .. })) =
                (fetched.iter_mut().find(own), &truncated.result)
            {
                fetched.result = truncated.result;
            }
        }
        Ok(())
    }

    fn ask<'w>(
        &mut self,
        connection: &mut BrokerConnection,
        positions: impl Iterator<Item = &'w FetchPosition> + Clone,
        timeout: Duration,
    ) -> Result<Vec<FetchResult>, BrokerError> {
        let unknown: Vec<&FetchPosition> =
            positions.clone().filter(|position| !self.0.contains_key(&key(position))).collect();
        let mut failed = Vec::new();
        if !unknown.is_empty() {
            let Ok(version) = connection.version_for::<OffsetForLeaderEpochRequest>(VERSION) else {
                return Ok(Vec::new());
            };
            let answer = connection.call(&request(&unknown), version, timeout)?;
            if self.0.len() + unknown.len() > MAX_REMEMBERED {
                self.0.clear();
            }
            for position in unknown {
                match end_of(&answer, position) {
                    Ok(end) => drop(self.0.insert(key(position), end)),
                    // Before v3 OffsetForLeaderEpoch requires ClusterAction, which clients lack, so the check is
                    // skipped.
                    Err(BrokerError::Denied(_)) => {}
                    Err(error) => failed.push(fetched(position, error)),
                }
            }
        }
        let judged = |position: &FetchPosition| {
            let (epoch, end) = self.0.get(&key(position))?;
            Some(fetched(position, judge(position, *epoch, *end).err()?))
        };
        failed.extend(positions.filter_map(judged));
        Ok(failed)
    }
}

fn key(position: &FetchPosition) -> EpochKey {
    (position.topic.clone(), position.topic_id, position.partition, position.leader_epoch, position.last_epoch)
}

fn fetched(position: &FetchPosition, error: BrokerError) -> FetchResult {
    FetchResult {
        topic: position.topic.clone(),
        partition: position.partition,
        offset: position.offset,
        result: Err(error),
    }
}

/// Requests the end of the largest epoch up to the last epoch of each position.
pub fn request(positions: &[&FetchPosition]) -> OffsetForLeaderEpochRequest {
    let mut topics: BTreeMap<&TopicName, Vec<OffsetForLeaderPartition>> = BTreeMap::new();
    for position in positions {
        let partition = OffsetForLeaderPartition::default()
            .with_partition(position.partition)
            .with_current_leader_epoch(position.leader_epoch)
            .with_leader_epoch(wire_epoch(position.last_epoch));
        topics.entry(&position.topic).or_default().push(partition);
    }
    let topic = |(name, partitions): (&TopicName, _)| {
        let name = StrBytes::from_string(name.as_str().to_owned());
        OffsetForLeaderTopic::default().with_topic(name.into()).with_partitions(partitions)
    };
    OffsetForLeaderEpochRequest::default()
        .with_replica_id(CONSUMER.into())
        .with_topics(topics.into_iter().map(topic).collect())
}

/// The largest epoch up to the requested one, and its end offset, from the response for `position`.
pub fn end_of(answer: &OffsetForLeaderEpochResponse, position: &FetchPosition) -> Result<(Epoch, Offset), BrokerError> {
    let topic = answer.topics.iter().find(|topic| topic.topic.0.as_str() == position.topic.as_str());
    let end = topic.and_then(|topic| topic.partitions.iter().find(|end: &&End| end.partition == position.partition));
    let partition = topic_partition(position);
    let end = end.ok_or_else(|| Staleness::NotInResponse(partition.clone()))?;
    errors::check(end.error_code, ErrorContext::Partition(&partition, Operation::Describe), None)?;
    Ok((end.leader_epoch.into(), end.end_offset))
}

#[cfg(test)]
mod tests;
