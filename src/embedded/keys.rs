//! The keys of the store: a partition and an offset in 128 bits, in the order of topics, partitions and offsets.

use crate::record::Offset;
use std::ops::RangeInclusive;

/// A partition in the keys of the store: the number of its topic, and its number in the topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PartitionKey {
    pub topic: u32,
    pub partition: u32,
}

/// The key of an offset.
pub fn key(partition: PartitionKey, offset: Offset) -> u128 {
    u128::from(partition.topic) << 96 | u128::from(partition.partition) << 64 | u128::from(offset as u64)
}

/// The keys of a range of offsets.
pub fn keys(partition: PartitionKey, offsets: RangeInclusive<Offset>) -> RangeInclusive<u128> {
    key(partition, *offsets.start())..=key(partition, *offsets.end())
}

/// The partition and offset of a key.
pub fn split(key: u128) -> (PartitionKey, Offset) {
    (PartitionKey { topic: (key >> 96) as u32, partition: (key >> 64) as u32 }, key as u64 as Offset)
}
