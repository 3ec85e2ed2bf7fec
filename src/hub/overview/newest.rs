//! Reads the newest record of many topics, in few fetches.

use super::ends::PartitionEnds;
use super::newest_record::{Newest, NewestRecord};
use crate::broker::{Broker, FetchLimits, FetchPosition, FetchResult, NodeId, PartitionReader, TopicInfo};
use crate::record::{NO_EPOCH, Offset, Partition, RecordRef, Records, TopicId, TopicName};
use crate::sync::memory_budget::Share;
use log::debug;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Maximum duration of a round. The other topics are read in the next rounds.
const ROUND: Duration = Duration::from_millis(500);
/// Approximate number of bytes that a round reads.
const ROUND_BYTES: usize = 4 << 20;
/// Approximate number of bytes of one fetch, in total and for each partition.
const FETCH_BYTES: usize = 1 << 20;
const PARTITION_BYTES: usize = 64 << 10;
/// Maximum number of partitions in one fetch.
const FETCH_PARTITIONS: usize = 256;
/// Maximum number of partitions of a topic that a round reads.
const TOPIC_PARTITIONS: usize = 16;
/// The number of offsets before the end that are searched if the last offset has no record. It may be a transaction
/// marker.
const SEARCHED_OFFSETS: Offset = 64;

/// A topic, with the ends of its partitions in order.
pub type TopicEnds<'t> = (&'t TopicInfo, &'t [PartitionEnds]);

/// Reads the newest records of topics, and keeps them until newer ones are read.
pub struct NewestReader {
    broker: Arc<dyn Broker>,
    /// The memory budget of fetched batches.
    fetched: Arc<Share>,
    /// The memory budget of the newest records.
    memory: Arc<Share>,
    readers: HashMap<NodeId, Box<dyn PartitionReader>>,
    topics: HashMap<TopicName, NewestOfTopic>,
    rounds: usize,
}

/// The newest record of one topic.
struct NewestOfTopic {
    id: TopicId,
    newest: Newest,
    /// The end offset of each partition up to which it is the newest record.
    read_to: Vec<Offset>,
    /// The last round that read the topic.
    round: usize,
}

/// A partition whose newest record is read.
struct NewestWant<'t> {
    topic: &'t TopicInfo,
    leader: NodeId,
    position: FetchPosition,
    ends: (Offset, Offset),
    /// Whether the offsets before the last one are searched.
    is_searching: bool,
}

impl NewestReader {
    /// Creates a reader, which connects in its first round.
    pub fn new(broker: Arc<dyn Broker>, fetched: Arc<Share>, memory: Arc<Share>) -> Self {
        let (readers, topics) = (HashMap::new(), HashMap::new());
        Self { broker, fetched, memory, readers, topics, rounds: 0 }
    }

    /// Returns what is known about the newest record of a topic.
    pub fn of(&self, info: &TopicInfo) -> Newest {
        let known = self.topics.get(&info.name).filter(|known| known.id == info.id);
        known.map_or(Newest::Unread, |known| known.newest.clone())
    }

    /// Drops all records.
    pub fn clear(&mut self) {
        self.topics.clear();
    }

    /// Closes the connections.
    pub fn disconnect(&mut self) {
        self.readers.clear();
    }

    /// Reads the newest records of topics that have new ones, within the bounds of a round. `topics` are all topics.
    pub fn read(&mut self, topics: &[TopicEnds<'_>]) {
        let until = Instant::now() + ROUND;
        self.rounds += 1;
        let mut before = std::mem::take(&mut self.topics);
        for (info, ends) in topics {
            let known = before.remove(&info.name).filter(|known| known.is_of(info, ends));
            let mut known = known.unwrap_or_else(|| NewestOfTopic::unread(info.id));
            known.read_to.resize(info.partitions.len(), 0);
            if ends.iter().all(|ends| ends.latest.is_some() && ends.earliest == ends.latest) {
                known.newest = Newest::Empty;
            }
            self.topics.insert(info.name.clone(), known);
        }
        let mut wants: Vec<_> = topics.iter().flat_map(|(info, ends)| self.wants(info, ends)).collect();
        // Topics that earlier rounds left out come first.
        wants.sort_by_key(|want| self.topics.get(&want.topic.name).map(|known| known.round));
        let mut by_leader: HashMap<NodeId, VecDeque<NewestWant<'_>>> = HashMap::new();
        wants.into_iter().for_each(|want| by_leader.entry(want.leader).or_default().push_back(want));
        let mut left = ROUND_BYTES;
        for (leader, wants) in by_leader {
            self.read_from(leader, wants, until, &mut left);
        }
    }

    /// Returns the partitions of a topic that have new records.
    fn wants<'t>(&self, topic: &'t TopicInfo, ends: &[PartitionEnds]) -> Vec<NewestWant<'t>> {
        let read_to = self.topics.get(&topic.name).map(|known| known.read_to.as_slice()).unwrap_or_default();
        let grown = topic.partitions.iter().zip(ends).zip(read_to).filter_map(|((info, ends), read_to)| {
            let (leader, earliest, latest) = (info.leader?, ends.earliest?, ends.latest?);
            (latest > earliest.max(*read_to)).then(|| NewestWant {
                topic,
                leader,
                position: FetchPosition {
                    topic: topic.name.clone(),
                    topic_id: topic.id,
                    partition: info.partition,
                    offset: latest - 1,
                    leader_epoch: info.leader_epoch,
                    last_epoch: NO_EPOCH,
                },
                ends: (earliest, latest),
                is_searching: false,
            })
        });
        let mut grown: Vec<_> = grown.collect();
        if grown.len() > TOPIC_PARTITIONS {
            let first = self.rounds % grown.len();
            grown.rotate_left(first);
            grown.truncate(TOPIC_PARTITIONS);
        }
        grown
    }

    /// Reads from one leader until everything is read or the round is over. Each fetch is about the first partitions, which
    /// a `VecDeque` removes without moving all others.
    fn read_from(&mut self, leader: NodeId, mut wants: VecDeque<NewestWant<'_>>, until: Instant, left: &mut usize) {
        let limits = FetchLimits { wait: Duration::ZERO, max_bytes: FETCH_BYTES, partition_max_bytes: PARTITION_BYTES };
        while !wants.is_empty() && *left > 0 && Instant::now() < until {
            if !self.has_memory() {
                // Nothing is read that could not be kept. The topics that are outdated now leave space for later rounds.
                let outdated = |want: &NewestWant<'_>| {
                    self.topics.get_mut(&want.topic.name).into_iter().for_each(NewestOfTopic::forget);
                };
                return wants.iter().for_each(outdated);
            }
            let chunk: Vec<_> = wants.iter().take(FETCH_PARTITIONS).map(|want| want.position.clone()).collect();
            let reader = self.readers.entry(leader).or_insert_with(|| self.broker.reader(leader, &self.fetched));
            let fetched = match reader.fetch(&chunk, limits) {
                Ok(fetched) => fetched,
                Err(error) => {
                    debug!("cannot read the newest records of topics: {error}");
                    self.readers.remove(&leader);
                    return;
                }
            };
            let mut progress = false;
            for FetchResult { topic, partition, result, .. } in fetched {
                let is_it =
                    |want: &NewestWant<'_>| want.position.partition == partition && want.position.topic == topic;
                let Some(at) = wants.iter().position(is_it) else { continue };
                let data = match result {
                    Ok(data) => data,
                    Err(error) => {
                        // The next round looks the offsets up again.
                        debug!("cannot read the newest record of topic {topic:?}: {error}");
                        drop(wants.remove(at));
                        progress = true;
                        continue;
                    }
                };
                *left = left.saturating_sub(data.batches.iter().map(Records::memory).sum());
                let last = data.batches.iter().rev().find_map(|batch| batch.iter().last());
                // A full response has no records of some partitions, and does not move past their offsets.
                if last.is_none() && data.next_offset <= wants[at].position.offset {
                    continue;
                }
                progress = true;
                let want = &mut wants[at];
                let (earliest, latest) = want.ends;
                let searched = earliest.max(latest - SEARCHED_OFFSETS);
                if last.is_none() && !want.is_searching && want.position.offset > searched {
                    (want.is_searching, want.position.offset) = (true, searched);
                    continue;
                }
                // The response may end before the newest record.
                let read_to = data.next_offset.min(latest);
                self.apply(&want.topic.name, partition, last, read_to);
                if read_to >= latest || read_to <= want.position.offset {
                    drop(wants.remove(at));
                } else {
                    want.position.offset = read_to;
                }
            }
            if !progress {
                return;
            }
        }
    }

    /// Whether there is memory for a newest record. Half of the memory is for the offsets.
    fn has_memory(&self) -> bool {
        self.memory.has_free(self.memory.limit() / 2)
    }

    /// Applies the newest record of a partition before the offset `end`: `None` if none was found.
    fn apply(&mut self, topic: &TopicName, partition: Partition, record: Option<RecordRef<'_>>, end: Offset) {
        let has_memory = self.has_memory();
        let Some(known) = self.topics.get_mut(topic) else { return };
        let read_to = known.read_to.get(partition as usize).copied().unwrap_or(0);
        // A record that has arrived since an earlier round is newer than those read before, even with an older
        // timestamp. In other cases, only the timestamps tell.
        let has_arrived = read_to > 0 && known.round != self.rounds;
        if let Some(record) = record {
            let is_older = match &known.newest {
                Newest::Record(newest) if newest.partition == partition => newest.offset > record.offset,
                Newest::Record(newest) => !has_arrived && newest.timestamp > record.timestamp,
                _ => false,
            };
            if !is_older {
                let newest = has_memory.then(|| NewestRecord::of(partition, &record, &self.memory));
                match newest {
                    Some(Ok(newest)) => known.newest = Newest::Record(Arc::new(newest)),
                    _ => return known.forget(),
                }
            }
        } else if !matches!(known.newest, Newest::Record(_)) {
            known.newest = Newest::NotFound;
        }
        known.round = self.rounds;
        if record.is_some_and(|record| record.may_decode_later()) {
            // The next round reads it again.
            return;
        }
        if let Some(read_to) = known.read_to.get_mut(partition as usize) {
            *read_to = end;
        }
    }
}

impl NewestOfTopic {
    fn unread(id: TopicId) -> Self {
        Self { id, newest: Newest::Unread, read_to: Vec::new(), round: 0 }
    }

    /// Drops the record, because there is no memory for a newer one. A later round reads all partitions again.
    fn forget(&mut self) {
        self.newest = Newest::NoMemory;
        self.read_to.fill(0);
    }

    /// Whether this is about the same topic, and not about a deleted topic of the same name.
    fn is_of(&self, info: &TopicInfo, ends: &[PartitionEnds]) -> bool {
        let has_grown =
            |(read_to, ends): (&Offset, &PartitionEnds)| ends.latest.is_none_or(|latest| latest >= *read_to);
        self.id == info.id && self.read_to.iter().zip(ends).all(has_grown)
    }
}
