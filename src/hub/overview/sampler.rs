//! The rounds of the thread that samples all topics.

use super::ends::{Leaderless, PartitionEnds, latest_offsets, partition_ends, request_parts};
use super::history::{SampleHistory, WrittenSamples};
use super::newest::{NewestReader, TopicEnds};
use super::newest_record::Newest;
use crate::broker::{Broker, BrokerError, MemorySubject, PartitionInfo, TopicInfo};
use crate::record::Offset;
use crate::sync::memory_budget::{MemoryBudget, Reservation, Share};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Maximum number of partitions that are sampled without clients.
const SAMPLED_PARTITIONS: usize = 20_000;

/// All topics at one moment.
pub struct SampledTopics {
    /// The time before the offsets were looked up, which may take seconds. They are at most this old.
    pub began: Instant,
    /// The time after that. The state is shared from then on.
    pub read: Instant,
    /// Whether the newest records have been read since then.
    pub has_newest: bool,
    list: Arc<TopicList>,
    newest: Vec<Newest>,
}

struct TopicList {
    topics: Vec<SampledTopic>,
    _memory: Reservation,
}

/// One topic at one moment.
pub struct SampledTopic {
    /// The metadata.
    pub info: TopicInfo,
    /// The ends of its partitions, in order.
    pub ends: Vec<PartitionEnds>,
    /// The samples of the last minutes. `None`: there is no memory for them, or the topic is new.
    pub samples: Option<WrittenSamples>,
}

impl SampledTopics {
    /// Returns the topics in order of their names, with their newest records.
    pub fn iter(&self) -> impl Iterator<Item = (&SampledTopic, &Newest)> {
        self.list.topics.iter().zip(&self.newest)
    }
}

impl SampledTopic {
    /// Returns the sum of the end offsets, or `None` if one of them is unknown.
    fn written(&self) -> Option<Offset> {
        sum_of(self.ends.iter().map(|ends| ends.latest))
    }
}

/// Whether topics were sampled without a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sampling {
    Sampled,
    /// There are too many partitions, or more topics than the history has memory for.
    TooMany,
}

/// The state of the thread.
pub struct TopicSampler {
    broker: Arc<dyn Broker>,
    memory: Arc<Share>,
    /// The memory budget of requests for offsets.
    requests: Arc<Share>,
    history: SampleHistory,
    newest: NewestReader,
}

impl TopicSampler {
    /// Creates a sampler without samples.
    pub fn new(broker: Arc<dyn Broker>, interval: Duration, budget: &MemoryBudget) -> Self {
        let memory = budget.topics.clone();
        let newest = NewestReader::new(broker.clone(), budget.catch_up.clone(), memory.clone());
        let (history, requests) = (SampleHistory::new(interval, &memory), budget.pages.clone());
        Self { broker, memory, requests, history, newest }
    }

    /// Adds a sample, unless there are too many topics to sample them without clients.
    pub fn sample(&mut self) -> Result<Sampling, BrokerError> {
        let listed = self.broker.list_topics()?;
        let partitions: usize = listed.iter().map(|topic| topic.partitions.len()).sum();
        if partitions > SAMPLED_PARTITIONS || !self.history.has_memory_for(listed.len()) {
            return Ok(Sampling::TooMany);
        }
        let _memory = self.reserve(&listed)?;
        let began = Instant::now();
        let mut latest = self.look_up_in_parts(&listed, latest_offsets)?.into_iter();
        let mut written = Vec::with_capacity(listed.len());
        for info in &listed {
            written.push((info, sum_of(latest.by_ref().take(info.partitions.len()))));
        }
        self.history.sample(began, &written);
        Ok(Sampling::Sampled)
    }

    /// Looks up all topics and their offsets, and adds a sample if it is time for one. Calls `drop_previous`, which drops
    /// the previous state, if there is no memory for both.
    pub fn look_up(&mut self, drop_previous: impl FnOnce()) -> Result<SampledTopics, BrokerError> {
        let listed = self.broker.list_topics()?;
        let memory = self.reserve(&listed).or_else(|_| {
            drop_previous();
            self.reserve(&listed)
        });
        let memory = memory.or_else(|_| {
            // The offsets are more important than what is kept beside them.
            self.history.clear();
            self.newest.clear();
            self.reserve(&listed)
        })?;
        let began = Instant::now();
        let ends = self.look_up_in_parts(&listed, partition_ends)?;
        let read = Instant::now();
        let mut ends = ends.into_iter();
        let topic = |info: TopicInfo| {
            let ends = ends.by_ref().take(info.partitions.len()).collect();
            SampledTopic { info, ends, samples: None }
        };
        let mut topics: Vec<_> = listed.into_iter().map(topic).collect();
        let written: Vec<_> = topics.iter().map(|topic| (&topic.info, topic.written())).collect();
        self.history.sample(began, &written);
        for topic in &mut topics {
            topic.samples = self.history.of(&topic.info, topic.written());
        }
        let list = Arc::new(TopicList { topics, _memory: memory });
        Ok(self.with_newest((began, read), list, false))
    }

    /// Reserves the memory of a list of these topics with their offsets.
    fn reserve(&self, listed: &[TopicInfo]) -> Result<Reservation, BrokerError> {
        let memory = self.memory.reserve(listed.iter().map(topic_bytes).sum());
        memory.map_err(|shortage| BrokerError::no_memory(shortage, MemorySubject::TopicList))
    }

    /// Looks up offsets in several requests if there are many partitions.
    fn look_up_in_parts<T>(
        &self,
        listed: &[TopicInfo],
        look_up: impl Fn(&dyn Broker, &[TopicInfo], Leaderless) -> Vec<T>,
    ) -> Result<Vec<T>, BrokerError> {
        let mut found = Vec::new();
        for (part, bytes) in request_parts(listed) {
            let _request = self.requests.reserve(bytes)?;
            found.extend(look_up(&*self.broker, part, Leaderless::Skip));
        }
        Ok(found)
    }

    /// Reads the newest records of the topics in `state`, and returns the state with them.
    pub fn read_newest(&mut self, state: &SampledTopics) -> SampledTopics {
        let ends: Vec<TopicEnds<'_>> = state.list.topics.iter().map(|topic| (&topic.info, &*topic.ends)).collect();
        self.newest.read(&ends);
        self.with_newest((state.began, state.read), state.list.clone(), true)
    }

    fn with_newest(&self, (began, read): (Instant, Instant), list: Arc<TopicList>, has_newest: bool) -> SampledTopics {
        let newest = list.topics.iter().map(|topic| self.newest.of(&topic.info)).collect();
        SampledTopics { began, read, has_newest, list, newest }
    }

    /// Closes the connections that read newest records.
    pub fn disconnect(&mut self) {
        self.newest.disconnect();
    }
}

/// Returns the sum of offsets, or `None` if one is unknown or the sum is too large. They come from the brokers.
fn sum_of(mut offsets: impl Iterator<Item = Option<Offset>>) -> Option<Offset> {
    offsets.try_fold(0, |sum: Offset, offset| sum.checked_add(offset?))
}

/// Returns the memory of a topic in a state, in bytes. Two lists of newest records exist for a moment.
fn topic_bytes(topic: &TopicInfo) -> usize {
    let partition_bytes = size_of::<PartitionInfo>() + size_of::<PartitionEnds>();
    let newest_bytes = 2 * size_of::<Newest>();
    size_of::<SampledTopic>() + newest_bytes + topic.name.as_str().len() + topic.partitions.len() * partition_bytes
}
