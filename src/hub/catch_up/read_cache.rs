//! Caches spans that streams have fetched while they caught up: for other streams that are close behind, and for the next turn
//! of a stream if a span did not fit into one chunk.

use crate::broker::{FetchPosition, PartitionData, TopicId};
use crate::hub::stream::log_span::{CachedSpan, LogSpan, MAX_AGE};
use crate::record::{Offset, Partition, TopicName};
use crate::sync::lock;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// A cache of fetched spans, limited by their size. The oldest spans are dropped first.
pub struct ReadCache {
    spans: Mutex<Spans>,
    most: usize,
}

#[derive(Default)]
struct Spans {
    /// The spans of each partition, by their first offset.
    partitions: HashMap<CacheKey, BTreeMap<Offset, CachedSpan>>,
    /// All spans, the oldest first.
    order: VecDeque<(CacheKey, Offset)>,
    bytes: usize,
}

/// Topic, partition, topic id and leader epoch. The log of a new leader may differ, so its spans have another key.
type CacheKey = (TopicName, Partition, TopicId, i32);

impl ReadCache {
    /// Creates a cache of `most` bytes. It keeps the newest span even if that is larger.
    pub fn new(most: usize) -> Self {
        Self { spans: Mutex::default(), most }
    }

    /// Returns a span that contains the requested offset and belongs to the same log.
    pub fn get(&self, position: &FetchPosition) -> Option<CachedSpan> {
        let spans = lock(&self.spans);
        let (_, cached) = spans.partitions.get(&key(position))?.range(..=position.offset).next_back()?;
        let serves = cached.log.serves(position) && cached.log.read.elapsed() < MAX_AGE;
        serves.then(|| cached.clone())
    }

    /// Drops the spans of a partition whose log has changed.
    pub fn forget(&self, name: &TopicName, number: Partition) {
        let mut spans = lock(&self.spans);
        let Spans { partitions, order, bytes } = &mut *spans;
        let is_lost = |(topic, partition, ..): &CacheKey| topic == name && *partition == number;
        for (_, lost) in partitions.extract_if(|key, _| is_lost(key)) {
            *bytes -= lost.values().map(|cached| cached.log.memory()).sum::<usize>();
        }
        order.retain(|(key, _)| !is_lost(key));
    }

    /// Drops all spans, because the next fetch needs the memory.
    pub fn clear(&self) {
        *lock(&self.spans) = Spans::default();
    }

    /// Adds the data that was fetched at `position`, unless it is empty. Returns it as a span.
    pub fn put(&self, position: &FetchPosition, data: PartitionData) -> CachedSpan {
        let log = LogSpan {
            from: position.offset,
            next: data.next_offset,
            epoch_before: position.last_epoch,
            epochs: data.epochs,
            batches: Arc::new(data.batches),
            read: Instant::now(),
            leader_epoch: position.leader_epoch,
        };
        let cached = CachedSpan { log, end: data.end };
        if data.next_offset > position.offset {
            let mut spans = lock(&self.spans);
            spans.insert(key(position), cached.clone());
            // The newest span stays, because the next turn of its stream may begin inside it.
            while spans.bytes > self.most && spans.order.len() > 1 && spans.drop_oldest() {}
        }
        cached
    }
}

impl Spans {
    fn insert(&mut self, key: CacheKey, cached: CachedSpan) {
        let from = cached.log.from;
        self.bytes += cached.log.memory();
        match self.partitions.entry(key.clone()).or_default().insert(from, cached) {
            Some(older) => self.bytes -= older.log.memory(),
            None => self.order.push_back((key, from)),
        }
    }

    /// Drops the oldest span. Returns whether there was one.
    fn drop_oldest(&mut self) -> bool {
        let Some((key, from)) = self.order.pop_front() else { return false };
        if let Some(spans) = self.partitions.get_mut(&key) {
            if let Some(cached) = spans.remove(&from) {
                self.bytes -= cached.log.memory();
            }
            if spans.is_empty() {
                self.partitions.remove(&key);
            }
        }
        true
    }
}

fn key(position: &FetchPosition) -> CacheKey {
    (position.topic.clone(), position.partition, position.topic_id, position.leader_epoch)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::record::{NO_EPOCH, Records};

    fn position(partition: Partition, offset: Offset) -> FetchPosition {
        let topic = TopicName::new("t").unwrap();
        FetchPosition { topic, topic_id: None, partition, offset, leader_epoch: 0, last_epoch: NO_EPOCH }
    }

    /// Caches a span of one record.
    fn put(cache: &ReadCache, partition: Partition, offset: Offset) -> usize {
        let mut records = Records::over(bytes::Bytes::from_static(b"value"));
        records.push(offset, 0, None, Some(0..5));
        let data = PartitionData { batches: vec![records], next_offset: offset + 1, ..PartitionData::default() };
        cache.put(&position(partition, offset), data).log.memory()
    }

    #[test]
    fn a_partition_whose_log_changed_leaves_nothing_in_the_cache() {
        let cache = ReadCache::new(usize::MAX);
        let kept = put(&cache, 1, 0);
        for round in 0..3 {
            put(&cache, 0, 0);
            put(&cache, 0, 1);
            cache.forget(&TopicName::new("t").unwrap(), 0);
            let spans = lock(&cache.spans);
            assert_eq!((spans.order.len(), spans.partitions.len(), spans.bytes), (1, 1, kept), "round {round}");
        }
        assert!(cache.get(&position(0, 0)).is_none() && cache.get(&position(1, 0)).is_some());
    }

    #[test]
    fn a_span_that_was_read_again_after_the_log_changed_is_not_the_oldest() {
        let size = put(&ReadCache::new(0), 0, 0);
        let cache = ReadCache::new(2 * size);
        put(&cache, 0, 0);
        cache.forget(&TopicName::new("t").unwrap(), 0);
        put(&cache, 1, 0);
        put(&cache, 0, 0);
        put(&cache, 2, 0);
        let kept: Vec<_> = (0..3).map(|partition| cache.get(&position(partition, 0)).is_some()).collect();
        assert_eq!(kept, [true, false, true], "the span of partition 1 is the oldest");
    }
}
