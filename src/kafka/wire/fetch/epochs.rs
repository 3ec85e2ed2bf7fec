//! Whether a log still is what was read of it (KIP-320). After an unclean leader election it may have been truncated and
//! have grown past the place where its readers are.
//!
//! From version 12 on a Fetch answer says so (KIP-595). Before that OffsetForLeaderEpoch is asked, once for each epoch
//! that was read last under each new leader: while it leads, the earlier part of its log does not change.

use super::session::DIVERGENCE;
use crate::broker::{BrokerError, FetchPosition, FetchResult, Operation, TopicId};
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

/// Of OffsetForLeaderEpoch.
pub const VERSION: i16 = 4;
const CONSUMER: i32 = -1;
/// Answers that are remembered.
const MAX_REMEMBERED: usize = 10_000;

/// An epoch as the protocol has it.
pub fn wire_epoch(epoch: Epoch) -> i32 {
    i32::try_from(epoch).unwrap_or(-1)
}

/// What a Fetch answer says about the record before the asked offset.
pub fn check_divergence(position: &FetchPosition, told: &EpochEndOffset) -> Result<(), BrokerError> {
    if told.epoch < 0 && told.end_offset < 0 {
        return Ok(());
    }
    match judge(position, told.epoch.into(), told.end_offset) {
        Ok(()) => Err(contradiction(position, told.epoch.into(), told.end_offset)),
        truncated => truncated,
    }
}

/// `epoch` is the log's largest one up to the requested one, and ends at `end`. Every error is one step back, in the
/// offset or the epoch, so that the next question cannot be the same.
fn judge(position: &FetchPosition, epoch: Epoch, end: Offset) -> Result<(), BrokerError> {
    let place = place(position);
    if epoch < 0 || end < 0 {
        // The leader has never heard of an epoch so late: its log is another one.
        return Err(BrokerError::Truncated { place, end: 0, epoch: NO_EPOCH });
    }
    if epoch > position.last_epoch {
        return Err(contradiction(position, epoch, end));
    }
    if epoch < position.last_epoch || end < position.offset {
        return Err(BrokerError::Truncated { place, end, epoch });
    }
    Ok(())
}

fn contradiction(position: &FetchPosition, epoch: Epoch, end: Offset) -> BrokerError {
    let FetchPosition { offset, last_epoch, .. } = position;
    BrokerError::Corrupt(format!(
        "{}: asked for offset {offset} after leader epoch {last_epoch}, the broker said that epoch {epoch} ends at {end}",
        place(position)
    ))
}

fn place(position: &FetchPosition) -> TopicPartition {
    TopicPartition { topic: position.topic.clone(), partition: position.partition }
}

/// A partition under a leader, and an epoch that was asked for.
type EpochKey = (TopicName, TopicId, Partition, i32, Epoch);

/// What leaders have said of the ends of epochs.
#[derive(Default)]
pub struct EpochEnds(HashMap<EpochKey, (Epoch, Offset)>);

impl EpochEnds {
    /// The positions that cannot be fetched as they are, and why: for brokers whose Fetch answers do not tell.
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
        // What the leader wrote itself, it has. Before Kafka 2.1 nobody tells which epoch leads.
        let doubtful = |position: &&FetchPosition| {
            position.last_epoch >= 0 && Epoch::from(position.leader_epoch) > position.last_epoch
        };
        self.ask(connection, positions.iter().filter(doubtful), timeout)
    }

    /// A leader that does not know the epoch at all calls the offset out of range, whatever it is.
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
        // The leader's present epoch has grown since it was asked about.
        for position in &positions {
            self.0.remove(&key(position));
        }
        for told in self.ask(connection, positions.into_iter(), timeout)? {
            let own = |f: &&mut FetchResult| f.topic == told.topic && f.partition == told.partition;
            if let (Some(fetched), Err(BrokerError::Truncated { .. })) = (fetched.iter_mut().find(own), &told.result) {
                fetched.result = told.result;
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
                    // Before version 3 only brokers may ask.
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

/// Where the largest epoch up to each position's last one ends.
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

pub fn end_of(answer: &OffsetForLeaderEpochResponse, position: &FetchPosition) -> Result<(Epoch, Offset), BrokerError> {
    let topic = answer.topics.iter().find(|topic| topic.topic.0.as_str() == position.topic.as_str());
    let end = topic.and_then(|topic| topic.partitions.iter().find(|end: &&End| end.partition == position.partition));
    let place = place(position);
    let end = end.ok_or_else(|| BrokerError::StaleMetadata(format!("{place}: the broker told no end of an epoch")))?;
    errors::check(end.error_code, ErrorContext::Partition(&place, Operation::Describe), None)?;
    Ok((end.leader_epoch.into(), end.end_offset))
}

#[cfg(test)]
mod tests;
