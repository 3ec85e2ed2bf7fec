//! Stretches of the log that streams have read while they caught up, kept for those right behind them and for the
//! rest of a stretch that did not fit one chunk.

use crate::broker::{FetchPosition, PartitionData, TopicId};
use crate::hub::live::tail::LogSpan;
use crate::hub::lock;
use crate::record::{Offset, Partition, TopicName};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A log can be cut short and written anew (unclean leader election): nothing is believed for long.
pub const MAX_AGE: Duration = Duration::from_secs(2);

/// Bounded by bytes; the oldest stretches leave first.
pub struct ReadCache {
    kept: Mutex<CachedEntry>,
    most: usize,
}

#[derive(Default)]
struct CachedEntry {
    places: HashMap<CacheKey, BTreeMap<Offset, CachedSpan>>,
    /// By age.
    order: VecDeque<(CacheKey, Offset)>,
    bytes: usize,
}

/// A new leader may have another log, so its epoch is part of the place.
type CacheKey = (TopicName, Partition, TopicId, i32);

#[derive(Clone)]
pub struct CachedSpan {
    pub piece: LogSpan,
    /// Where readers got no further when it was read.
    pub end: Offset,
}

impl ReadCache {
    pub fn new(most: usize) -> Self {
        Self { kept: Mutex::default(), most }
    }

    /// A stretch that holds the wanted offset.
    pub fn get(&self, want: &FetchPosition) -> Option<CachedSpan> {
        let kept = lock(&self.kept);
        let stretches = kept.places.get(&place(want))?;
        let (_, stretch) = stretches.range(..=want.offset).next_back()?;
        let serves = stretch.piece.serves(want) && stretch.piece.read.elapsed() < MAX_AGE;
        serves.then(|| stretch.clone())
    }

    /// Forgets a partition whose log turned out not to be what it was.
    pub fn forget(&self, name: &TopicName, number: Partition) {
        let mut kept = lock(&self.kept);
        let CachedEntry { places, bytes, .. } = &mut *kept;
        places.retain(|(topic, partition, ..), stretches| {
            let lost = topic == name && *partition == number;
            if lost {
                *bytes -= stretches.values().map(|stretch| stretch.piece.memory()).sum::<usize>();
            }
            !lost
        });
    }

    /// Forgets everything: those who read on need the memory.
    pub fn clear(&self) {
        *lock(&self.kept) = CachedEntry::default();
    }

    /// Keeps what was read for `want`.
    pub fn put(&self, want: &FetchPosition, data: PartitionData) -> CachedSpan {
        let piece = LogSpan {
            from: want.offset,
            next: data.next_offset,
            epoch_before: want.last_epoch,
            epochs: data.epochs,
            batches: Arc::new(data.batches),
            read: Instant::now(),
            leader_epoch: want.leader_epoch,
        };
        let stretch = CachedSpan { piece, end: data.end };
        if data.next_offset > want.offset {
            let mut kept = lock(&self.kept);
            kept.insert(place(want), stretch.clone());
            // The last one stays: the next turn of its stream reads on there.
            while kept.bytes > self.most && kept.order.len() > 1 && kept.drop_oldest() {}
        }
        stretch
    }
}

impl CachedEntry {
    fn insert(&mut self, place: CacheKey, stretch: CachedSpan) {
        let from = stretch.piece.from;
        self.bytes += stretch.piece.memory();
        match self.places.entry(place.clone()).or_default().insert(from, stretch) {
            Some(older) => self.bytes -= older.piece.memory(),
            None => self.order.push_back((place, from)),
        }
    }

    /// Whether there was one.
    fn drop_oldest(&mut self) -> bool {
        let Some((place, from)) = self.order.pop_front() else { return false };
        if let Some(stretches) = self.places.get_mut(&place) {
            if let Some(stretch) = stretches.remove(&from) {
                self.bytes -= stretch.piece.memory();
            }
            if stretches.is_empty() {
                self.places.remove(&place);
            }
        }
        true
    }
}

fn place(want: &FetchPosition) -> CacheKey {
    (want.topic.clone(), want.partition, want.topic_id, want.leader_epoch)
}
