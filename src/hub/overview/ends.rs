//! The offsets of many topics, looked up in few requests.

use crate::broker::{Broker, OffsetAt, PartitionInfo, TopicInfo};
use crate::record::{Offset, TopicPartition};

/// Maximum number of partitions in one request, unless a single topic has more.
const PARTITIONS: usize = 2000;

/// Memory of a partition in a request and its response, in bytes.
const PARTITION_BYTES: usize = 512;

/// The ends of the log of one partition. They are unknown while the partition has no leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionEnds {
    /// The log start offset.
    pub earliest: Option<Offset>,
    /// The offset of the next record.
    pub latest: Option<Offset>,
}

/// What a look-up does with partitions that have no leader in the metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaderless {
    /// Waits for an election, as long as the broker client does.
    Wait,
    /// Reports their ends as unknown at once, so that one offline partition does not delay all topics.
    Skip,
}

/// Splits topics into parts that fit in one request each. Returns each part with the memory of its request and response,
/// in bytes.
pub fn request_parts(topics: &[TopicInfo]) -> impl Iterator<Item = (&[TopicInfo], usize)> {
    let mut rest = topics;
    std::iter::from_fn(move || {
        let mut partitions = 0;
        let fits = |topic: &&TopicInfo| {
            partitions += topic.partitions.len();
            partitions <= PARTITIONS
        };
        let fitting = rest.iter().take_while(fits).count();
        let (part, after) = rest.split_at(fitting.max(1).min(rest.len()));
        rest = after;
        (!part.is_empty()).then_some((part, request_bytes(part)))
    })
}

/// Returns the memory of one request for all partitions of the topics, and of its response, in bytes.
pub fn request_bytes(topics: &[TopicInfo]) -> usize {
    PARTITION_BYTES * topics.iter().map(|topic| topic.partitions.len()).sum::<usize>()
}

/// Returns the ends of all partitions of the topics, in order.
pub fn partition_ends(broker: &dyn Broker, topics: &[TopicInfo], leaderless: Leaderless) -> Vec<PartitionEnds> {
    let offsets = look_up(broker, topics, &[OffsetAt::Earliest, OffsetAt::Latest], leaderless);
    let ends = offsets.chunks(2).map(|ends| match ends {
        [earliest, latest] => PartitionEnds { earliest: *earliest, latest: *latest },
        _ => PartitionEnds { earliest: None, latest: None },
    });
    ends.collect()
}

/// Returns the offset of the next record of all partitions of the topics, in order.
pub fn latest_offsets(broker: &dyn Broker, topics: &[TopicInfo], leaderless: Leaderless) -> Vec<Option<Offset>> {
    look_up(broker, topics, &[OffsetAt::Latest], leaderless)
}

fn look_up(
    broker: &dyn Broker,
    topics: &[TopicInfo],
    offsets: &[OffsetAt],
    leaderless: Leaderless,
) -> Vec<Option<Offset>> {
    let partitions = topics.iter().flat_map(|topic| topic.partitions.iter().map(move |info| (&topic.name, info)));
    let is_queried = |info: &PartitionInfo| leaderless == Leaderless::Wait || info.leader.is_some();
    let queried = partitions.clone().filter(|(_, info)| is_queried(info)).flat_map(|(topic, info)| {
        let partition = TopicPartition { topic: topic.clone(), partition: info.partition };
        offsets.iter().map(move |at| (partition.clone(), *at))
    });
    let queries: Vec<_> = queried.collect();
    let mut found = broker.offsets(&queries).into_iter();
    let of_partition = |(_, info)| {
        let found = found.by_ref().take(if is_queried(info) { offsets.len() } else { 0 });
        let mut found: Vec<_> = found.map(Result::ok).collect();
        found.resize(offsets.len(), None);
        found
    };
    partitions.flat_map(of_partition).collect()
}
