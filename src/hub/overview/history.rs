//! The end offsets of topics at times in the last minutes, from which readers compute rates.

use crate::broker::TopicInfo;
use crate::record::{Offset, TopicId, TopicName};
use crate::sync::memory_budget::{Reservation, Share};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The span that samples cover.
const SPAN: Duration = Duration::from_secs(300);
/// Maximum number of samples: those of [`SPAN`] at the default interval, and one before it.
const MAX_SAMPLES: usize = 32;
/// Stands for an unknown number.
const UNKNOWN: Offset = -1;
/// Memory of the samples of one topic, in bytes.
const TOPIC_BYTES: usize = MAX_SAMPLES * size_of::<Offset>() + size_of::<(TopicName, TopicSamples)>() + 64;

/// The samples of all topics. All topics are sampled at the same times.
pub struct SampleHistory {
    interval: Duration,
    times: Arc<[Instant]>,
    topics: HashMap<TopicName, TopicSamples>,
    memory: Reservation,
    /// The most memory that the history takes, in bytes.
    most: usize,
}

/// The sums of the end offsets of one topic.
struct TopicSamples {
    id: TopicId,
    /// Belong to the last times of the history.
    written: Arc<[Offset]>,
}

/// The samples of one topic at one moment. Cheap to clone.
#[derive(Debug, Clone)]
pub struct WrittenSamples {
    times: Arc<[Instant]>,
    written: Arc<[Offset]>,
}

impl WrittenSamples {
    /// Returns the sum of the end offsets at each time at which it was sampled, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (Instant, Offset)> {
        let first = self.times.len().saturating_sub(self.written.len());
        let times = self.times.iter().copied().skip(first);
        times.zip(self.written.iter().copied()).filter(|(_, written)| *written != UNKNOWN)
    }
}

impl SampleHistory {
    /// Creates an empty history, which is sampled once per interval, and takes up to a quarter of the memory.
    pub fn new(interval: Duration, memory: &Arc<Share>) -> Self {
        let (topics, most) = (HashMap::new(), memory.limit() / 4);
        Self { interval, times: Arc::default(), topics, memory: memory.empty_reservation(), most }
    }

    /// Drops all samples.
    pub fn clear(&mut self) {
        (self.times, self.topics) = (Arc::default(), HashMap::new());
        self.memory.shrink(0);
    }

    /// Whether the samples of so many topics fit in the memory of the history.
    pub fn has_memory_for(&self, topics: usize) -> bool {
        TOPIC_BYTES * topics <= self.most
    }

    /// Adds a sample, unless the latest one is too recent. `topics` are all topics with the sums of their end offsets,
    /// where all of them are known. Without memory, there is no history.
    pub fn sample(&mut self, now: Instant, topics: &[(&TopicInfo, Option<Offset>)]) {
        // Rounds for viewers begin at any time. A tenth of the interval keeps their samples from being skipped.
        if self.times.last().is_some_and(|last| now.duration_since(*last) < self.interval - self.interval / 10) {
            return;
        }
        if !self.has_memory_for(topics.len()) || self.memory.set(TOPIC_BYTES * topics.len()).is_err() {
            return self.clear();
        }
        let is_recent = |time: &&Instant| now.duration_since(**time) <= SPAN + self.interval;
        let kept: Vec<Instant> = self.times.iter().filter(is_recent).copied().collect();
        let skipped = (kept.len() + 1).saturating_sub(MAX_SAMPLES);
        self.times = kept.into_iter().skip(skipped).chain([now]).collect();
        let most = self.times.len();
        let mut before = std::mem::take(&mut self.topics);
        for (info, written) in topics {
            let earlier = before.remove(&info.name).filter(|samples| samples.is_of(info, *written));
            let earlier = earlier.map_or_else(Arc::default, |samples| samples.written);
            let first = (earlier.len() + 1).saturating_sub(most);
            let written = earlier.iter().skip(first).copied().chain([written.unwrap_or(UNKNOWN)]).collect();
            self.topics.insert(info.name.clone(), TopicSamples { id: info.id, written });
        }
    }

    /// Returns the samples of a topic. `written` is the current sum of its end offsets.
    pub fn of(&self, info: &TopicInfo, written: Option<Offset>) -> Option<WrittenSamples> {
        let samples = self.topics.get(&info.name).filter(|samples| samples.is_of(info, written))?;
        Some(WrittenSamples { times: self.times.clone(), written: samples.written.clone() })
    }
}

impl TopicSamples {
    /// Whether these are samples of this topic, and not of a deleted topic of the same name. Without topic ids, only
    /// lower offsets prove that.
    fn is_of(&self, info: &TopicInfo, written: Option<Offset>) -> bool {
        let last = self.written.iter().rev().find(|written| **written != UNKNOWN);
        self.id == info.id && written.is_none_or(|written| last.is_none_or(|last| *last <= written))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);

    fn topic(name: &str, id: u128) -> TopicInfo {
        let id = Some(uuid::Uuid::from_u128(id));
        TopicInfo { name: TopicName::new(name).unwrap(), id, partitions: Vec::new() }
    }

    fn seconds(history: &SampleHistory, info: &TopicInfo, start: Instant) -> Vec<(u64, Offset)> {
        let samples = history.of(info, None);
        let samples = samples.iter().flat_map(WrittenSamples::iter);
        samples.map(|(at, written)| (at.duration_since(start).as_secs(), written)).collect()
    }

    #[test]
    fn samples_of_the_last_minutes_are_kept_with_their_times() {
        let memory = Share::new("test", 1 << 20, 1 << 20);
        let (mut history, start) = (SampleHistory::new(INTERVAL, &memory), Instant::now());
        let (old, new) = (topic("old", 1), topic("new", 2));
        for second in (0..=600).step_by(2) {
            let now = start + Duration::from_secs(second);
            // Between 400 s and 500 s, no broker answers.
            if !(400..500).contains(&second) {
                let known = (second != 550).then_some(second as Offset);
                let topics = [(&old, known), (&new, Some(7))];
                history.sample(now, &topics[..if second < 580 { 1 } else { 2 }]);
            }
        }
        let expected: Vec<_> = (29..40).chain(50..=60).filter(|ten| *ten != 55).map(|ten| ten * 10).collect();
        let found = seconds(&history, &old, start);
        assert_eq!(found, expected.into_iter().map(|second| (second, second as Offset)).collect::<Vec<_>>());
        assert_eq!(seconds(&history, &new, start), [(580, 7), (590, 7), (600, 7)]);
    }

    #[test]
    fn a_recreated_topic_has_no_samples_of_its_predecessor() {
        let memory = Share::new("test", 1 << 20, 1 << 20);
        let (mut history, start) = (SampleHistory::new(INTERVAL, &memory), Instant::now());
        let first = topic("t", 1);
        history.sample(start, &[(&first, Some(5))]);
        assert!(history.of(&first, Some(6)).is_some());
        assert!(history.of(&first, Some(4)).is_none(), "offsets never decrease");
        assert!(history.of(&topic("t", 2), Some(6)).is_none(), "another topic id");
        history.sample(start + INTERVAL, &[(&topic("t", 2), Some(6))]);
        assert_eq!(seconds(&history, &topic("t", 2), start), [(10, 6)]);
    }

    #[test]
    fn without_memory_there_is_no_history() {
        let memory = Share::new("test", 4 * TOPIC_BYTES, 4 * TOPIC_BYTES);
        let (mut history, start) = (SampleHistory::new(INTERVAL, &memory), Instant::now());
        let (a, b) = (topic("a", 1), topic("b", 2));
        history.sample(start, &[(&a, Some(1))]);
        assert_eq!(memory.used(), TOPIC_BYTES);
        history.sample(start + INTERVAL, &[(&a, Some(1)), (&b, Some(1))]);
        assert!(history.of(&a, None).is_none());
        assert_eq!(memory.used(), 0);
    }
}
