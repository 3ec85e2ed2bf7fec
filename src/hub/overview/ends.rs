//! The offsets of many topics, looked up in few requests.

use crate::broker::{Broker, OffsetAt, TopicInfo};
use crate::record::{Offset, TopicPartition};

/// Maximum number of partitions in one request, unless a single topic has more.
const PARTITIONS: usize = 2000;

/// Memory of a partition in a request and its response, in bytes.
pub const PARTITION_REQUEST_BYTES: usize = 512;

/// The ends of the log of one partition. They are unknown while the partition has no leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionEnds {
    /// The log start offset.
    pub earliest: Option<Offset>,
    /// The offset of the next record.
    pub latest: Option<Offset>,
}

/// Splits off the first topics, as many as fit in one request.
pub fn split_for_request(topics: &[TopicInfo]) -> (&[TopicInfo], &[TopicInfo]) {
    let mut partitions = 0;
    let fits = |topic: &&TopicInfo| {
        partitions += topic.partitions.len();
        partitions <= PARTITIONS
    };
    topics.split_at(topics.iter().take_while(fits).count().max(1).min(topics.len()))
}

/// Returns the ends of all partitions of the topics, in order.
pub fn partition_ends(broker: &dyn Broker, topics: &[TopicInfo]) -> Vec<PartitionEnds> {
    let offsets = look_up(broker, topics, &[OffsetAt::Earliest, OffsetAt::Latest]);
    let ends = offsets.chunks(2).map(|ends| match ends {
        [earliest, latest] => PartitionEnds { earliest: *earliest, latest: *latest },
        _ => PartitionEnds { earliest: None, latest: None },
    });
    ends.collect()
}

/// Returns the offset of the next record of all partitions of the topics, in order.
pub fn latest_offsets(broker: &dyn Broker, topics: &[TopicInfo]) -> Vec<Option<Offset>> {
    look_up(broker, topics, &[OffsetAt::Latest])
}

fn look_up(broker: &dyn Broker, topics: &[TopicInfo], offsets: &[OffsetAt]) -> Vec<Option<Offset>> {
    let of_partition = |partition: TopicPartition| offsets.iter().map(move |at| (partition.clone(), *at));
    let of_topic = |topic: &TopicInfo| {
        let name = topic.name.clone();
        let partition = move |partition| TopicPartition { topic: name.clone(), partition };
        topic.partitions.iter().map(|info| info.partition).map(partition).collect::<Vec<_>>()
    };
    let queries: Vec<_> = topics.iter().flat_map(of_topic).flat_map(of_partition).collect();
    broker.offsets(&queries).into_iter().map(Result::ok).collect()
}
