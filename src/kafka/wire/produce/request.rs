//! Builds Produce requests from batches for several partitions of one leader, and matches the responses to the batches.

use super::encode::encode_batch;
use super::outcome::{LeaderCheck, judge};
use super::partition_queue::{BatchOutcome, OutgoingBatch};
use crate::broker::{Acks, TopicId, WriteState};
use crate::record::TopicPartition;
use bytes::BytesMut;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse, TopicName as KafkaTopicName};
use kafka_protocol::protocol::StrBytes;
use std::collections::HashMap;
use std::time::Duration;

/// The newest version that names topics; later ones use topic ids (KIP-516).
pub const BY_NAME: i16 = 12;

/// Index of a [`PartitionQueue`](super::partition_queue::PartitionQueue) in the producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueId(pub usize);

/// A batch in a request.
#[derive(Debug)]
pub struct RequestPartition {
    pub queue: QueueId,
    pub topic_partition: TopicPartition,
    pub topic_id: TopicId,
    pub outgoing: OutgoingBatch,
}

/// The outcome of a [`RequestPartition`].
#[derive(Debug)]
pub struct PartitionOutcome {
    pub queue: QueueId,
    pub number: u64,
    pub outcome: BatchOutcome,
    pub leader: LeaderCheck,
}

/// Builds one request from `parts`, which have at most one batch for each partition.
pub fn build(parts: &[RequestPartition], acks: Acks, version: i16, timeout: Duration) -> ProduceRequest {
    let mut topics: Vec<TopicProduceData> = Vec::new();
    let mut known: HashMap<&str, usize> = HashMap::new();
    for part in parts {
        let name = part.topic_partition.topic.as_str();
        let at = *known.entry(name).or_insert_with(|| {
            let topic = TopicProduceData::default();
            topics.push(match part.topic_id {
                Some(id) if version > BY_NAME => topic.with_topic_id(id),
                _ => topic.with_name(KafkaTopicName(StrBytes::from_string(name.to_owned()))),
            });
            topics.len() - 1
        });
        let batch = &part.outgoing.batch;
        let mut bytes = BytesMut::with_capacity(batch.bytes());
        encode_batch(&mut bytes, batch.records(), part.outgoing.stamp);
        let data = PartitionProduceData::default()
            .with_index(part.topic_partition.partition)
            .with_records(Some(bytes.freeze()));
        if let Some(topic) = topics.get_mut(at) {
            topic.partition_data.push(data);
        }
    }
    let acks = match acks {
        Acks::All => -1,
        Acks::Leader => 1,
        Acks::None => 0,
    };
    let timeout = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    ProduceRequest::default().with_acks(acks).with_timeout_ms(timeout).with_topic_data(topics)
}

/// Returns the outcome of each batch, and settles written records. A batch without a response may have been written.
pub fn outcomes(parts: Vec<RequestPartition>, response: &ProduceResponse, acks: Acks) -> Vec<PartitionOutcome> {
    let mut found = HashMap::new();
    for topic in &response.responses {
        for partition in &topic.partition_responses {
            let id = Some(topic.topic_id).filter(|id| !id.is_nil());
            found.insert((topic.name.as_str(), id, partition.index), partition);
        }
    }
    let judged = |part: RequestPartition| {
        let RequestPartition { queue, topic_partition, topic_id, outgoing: OutgoingBatch { number, batch, .. } } = part;
        let named = found.get(&(topic_partition.topic.as_str(), None, topic_partition.partition));
        let partition_response = named.or_else(|| found.get(&("", topic_id, topic_partition.partition)));
        let (outcome, leader) = match partition_response {
            Some(partition_response) => judge(partition_response, &topic_partition, acks, &batch),
            None => (BatchOutcome::Retry { attempt: WriteState::Maybe }, LeaderCheck::Confirmed),
        };
        drop(batch);
        PartitionOutcome { queue, number, outcome, leader }
    };
    parts.into_iter().map(judged).collect()
}

/// The outcomes if the connection ended before the response.
pub fn lost(parts: &[RequestPartition], attempt: WriteState) -> Vec<PartitionOutcome> {
    same_outcome(parts, &BatchOutcome::Retry { attempt })
}

/// The outcomes if the broker closed the connection instead of answering.
pub fn connection_closed(parts: &[RequestPartition], attempt: WriteState) -> Vec<PartitionOutcome> {
    same_outcome(parts, &BatchOutcome::ConnectionClosed { attempt, request_bytes: bytes(parts) })
}

/// Drops the suspicion about the request size: the broker did not close the connection.
pub fn as_lost(mut lost: Vec<PartitionOutcome>) -> Vec<PartitionOutcome> {
    for part in &mut lost {
        if let BatchOutcome::ConnectionClosed { attempt, .. } = part.outcome {
            part.outcome = BatchOutcome::Retry { attempt };
        }
    }
    lost
}

fn same_outcome(parts: &[RequestPartition], outcome: &BatchOutcome) -> Vec<PartitionOutcome> {
    let lost = |part: &RequestPartition| PartitionOutcome {
        queue: part.queue,
        number: part.outgoing.number,
        outcome: outcome.clone(),
        leader: LeaderCheck::Doubtful,
    };
    parts.iter().map(lost).collect()
}

/// Total size of the batches in bytes.
pub fn bytes(parts: &[RequestPartition]) -> usize {
    parts.iter().map(|part| part.outgoing.batch.bytes()).sum()
}

/// Settles records sent with `acks=0`, which get no response.
pub fn unacknowledged(parts: Vec<RequestPartition>) -> Vec<PartitionOutcome> {
    let settled = |part: RequestPartition| {
        part.outgoing.batch.settle_written(part.topic_partition.partition, None);
        PartitionOutcome {
            queue: part.queue,
            number: part.outgoing.number,
            outcome: BatchOutcome::Written,
            leader: LeaderCheck::Confirmed,
        }
    };
    parts.into_iter().map(settled).collect()
}
