//! The rounds of the thread that samples all topics.

use super::ends::{PARTITION_REQUEST_BYTES, PartitionEnds, partition_ends, split_for_request};
use super::history::{SampleHistory, WrittenSamples};
use super::newest::{NewestReader, TopicEnds};
use super::newest_record::Newest;
use crate::broker::{Broker, BrokerError, MemorySubject, PartitionInfo, TopicInfo};
use crate::record::Offset;
use crate::sync::memory_budget::{MemoryBudget, Reservation, Share};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// All topics at one moment.
pub struct SampledTopics {
    /// The time of the offsets.
    pub read: Instant,
    /// Whether the newest records have been read since then.
    pub has_newest: bool,
    /// The topics in order of their names.
    pub topics: Vec<Arc<SampledTopic>>,
    _memory: Arc<Reservation>,
}

/// One topic at one moment.
#[derive(Clone)]
pub struct SampledTopic {
    /// The metadata.
    pub info: TopicInfo,
    /// The ends of its partitions, in order.
    pub ends: Vec<PartitionEnds>,
    /// The samples of the last minutes. `None`: there is no memory for them, or the topic is new.
    pub samples: Option<WrittenSamples>,
    /// The newest record.
    pub newest: Newest,
}

impl SampledTopic {
    /// Returns the sum of the end offsets, or `None` if one of them is unknown.
    fn written(&self) -> Option<Offset> {
        self.ends.iter().map(|ends| ends.latest).sum()
    }
}

/// The state of the thread.
pub struct TopicSampler {
    broker: Arc<dyn Broker>,
    memory: Arc<Share>,
    history: SampleHistory,
    newest: NewestReader,
}

impl TopicSampler {
    /// Creates a sampler without samples.
    pub fn new(broker: Arc<dyn Broker>, interval: Duration, budget: &MemoryBudget) -> Self {
        let memory = budget.topics.clone();
        let newest = NewestReader::new(broker.clone(), budget.catch_up.clone(), memory.clone());
        Self { broker, history: SampleHistory::new(interval, &memory), memory, newest }
    }

    /// Looks up all topics and their offsets, and adds a sample if it is time for one.
    pub fn look_up(&mut self) -> Result<SampledTopics, BrokerError> {
        let listed = self.broker.list_topics()?;
        let memory = self.reserve(listed.iter().map(topic_bytes).sum())?;
        let (mut rest, mut ends) = (listed.as_slice(), Vec::new());
        while !rest.is_empty() {
            let (part, after) = split_for_request(rest);
            rest = after;
            let partitions: usize = part.iter().map(|topic| topic.partitions.len()).sum();
            let _request = self.reserve(PARTITION_REQUEST_BYTES * partitions)?;
            ends.extend(partition_ends(&*self.broker, part));
        }
        let read = Instant::now();
        let mut ends = ends.into_iter();
        let topic = |info: TopicInfo| {
            let ends = ends.by_ref().take(info.partitions.len()).collect();
            SampledTopic { info, ends, samples: None, newest: Newest::Unread }
        };
        let mut topics: Vec<_> = listed.into_iter().map(topic).collect();
        let written: Vec<_> = topics.iter().map(|topic| (&topic.info, topic.written())).collect();
        self.history.sample(read, &written);
        for topic in &mut topics {
            topic.samples = self.history.of(&topic.info, topic.written());
            topic.newest = self.newest.of(&topic.info);
        }
        let topics = topics.into_iter().map(Arc::new).collect();
        Ok(SampledTopics { read, has_newest: false, topics, _memory: Arc::new(memory) })
    }

    fn reserve(&self, bytes: usize) -> Result<Reservation, BrokerError> {
        self.memory.reserve(bytes).map_err(|shortage| BrokerError::no_memory(shortage, MemorySubject::TopicList))
    }

    /// Reads the newest records of the topics in `state`, and returns the state with them.
    pub fn read_newest(&mut self, state: &SampledTopics) -> SampledTopics {
        let ends: Vec<TopicEnds<'_>> = state.topics.iter().map(|topic| (&topic.info, &*topic.ends)).collect();
        self.newest.read(&ends);
        let with_newest = |topic: &Arc<SampledTopic>| {
            let mut topic = topic.clone();
            Arc::make_mut(&mut topic).newest = self.newest.of(&topic.info);
            topic
        };
        let topics = state.topics.iter().map(with_newest).collect();
        SampledTopics { read: state.read, has_newest: true, topics, _memory: state._memory.clone() }
    }

    /// Closes the connections that read newest records.
    pub fn disconnect(&mut self) {
        self.newest.disconnect();
    }
}

/// Returns the memory of a topic in a state, in bytes.
fn topic_bytes(topic: &TopicInfo) -> usize {
    let partition_bytes = size_of::<PartitionInfo>() + size_of::<PartitionEnds>();
    // Twice, because two states exist for a moment.
    2 * (size_of::<SampledTopic>() + topic.name.as_str().len() + topic.partitions.len() * partition_bytes)
}
