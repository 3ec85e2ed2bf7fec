//! Fetches from one leader through the `kafka` crate.

use super::client::{CrateClient, answered};
use super::{mixed, topic_infos};
use crate::broker::{
    BrokerError, FetchLimits, FetchPosition, FetchResult, NodeId, Operation, PartitionData, PartitionReader, TopicInfo,
};
use crate::kafka::wire::errors::ErrorContext;
use crate::record::{EpochSpan, Offset, Partition, Records, TopicName, TopicPartition};
use kafka::Error;
use kafka::client::FetchPartition;
use kafka::client::fetch::{Data, Message};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The crate cannot be interrupted, so a long poll is many short ones.
const POLL: Duration = Duration::from_millis(100);
const REST: Duration = Duration::from_millis(5);
/// Bytes asked for of one partition while a record does not fit; not more.
const MOST: usize = 128 << 20;

pub struct CrateReader {
    client: CrateClient,
    leader: NodeId,
    /// As last loaded; empty: to be loaded.
    topics: HashMap<TopicName, TopicInfo>,
    interrupted: Arc<AtomicBool>,
    /// Bytes to ask for where a record was too large for the usual ones.
    larger: HashMap<(TopicName, Partition), usize>,
    /// Places that have been warned about.
    stuck: HashSet<((TopicName, Partition), Offset)>,
}

impl CrateReader {
    pub fn new(client: CrateClient, leader: NodeId) -> Self {
        Self {
            client,
            leader,
            topics: HashMap::new(),
            interrupted: Arc::default(),
            larger: HashMap::new(),
            stuck: HashSet::new(),
        }
    }

    /// Wants of this leader; for the others, why they are not.
    fn sort<'a>(
        &mut self,
        wants: &'a [FetchPosition],
    ) -> Result<(Vec<&'a FetchPosition>, Vec<FetchResult>), BrokerError> {
        if wants.iter().any(|want| self.check(want).is_err()) {
            self.topics = self.client.call(|kafka| {
                kafka.load_metadata_all()?;
                Ok(topic_infos(kafka))
            })?;
        }
        let mut ours = Vec::new();
        let mut others = Vec::new();
        for want in wants {
            match self.check(want) {
                Ok(()) => ours.push(want),
                Err(error) => others.push(fetched(want, Err(error))),
            }
        }
        Ok((ours, others))
    }

    fn check(&self, want: &FetchPosition) -> Result<(), BrokerError> {
        let topic = self.topics.get(&want.topic).ok_or_else(|| BrokerError::UnknownTopic(want.topic.clone()))?;
        let partition = topic.partitions.iter().find(|p| p.partition == want.partition);
        match partition.ok_or_else(|| BrokerError::UnknownPartition(place(want)))?.leader {
            Some(leader) if leader == self.leader => Ok(()),
            _ => Err(BrokerError::StaleMetadata(format!("broker {} does not lead {}", self.leader, place(want)))),
        }
    }

    fn bytes(&self, want: &FetchPosition, limits: FetchLimits, wants: usize) -> usize {
        let usual = (limits.max_bytes / wants.max(1)).clamp(64 << 10, limits.partition_max_bytes.max(64 << 10));
        self.larger.get(&(want.topic.clone(), want.partition)).copied().unwrap_or(usual)
    }

    /// One request.
    fn poll(
        &mut self,
        wants: &[&FetchPosition],
        limits: FetchLimits,
        wait: Duration,
    ) -> Result<Vec<FetchResult>, BrokerError> {
        let asked: Vec<_> = wants.iter().map(|want| (*want, self.bytes(want, limits, wants.len()))).collect();
        let answers = self.client.call(|kafka| {
            // A client that was made anew knows no leaders yet.
            if kafka.topics().is_empty() {
                kafka.load_metadata_all()?;
            }
            kafka.set_fetch_max_wait_time(wait)?;
            let answers = kafka.fetch_messages(asked.iter().map(|(want, bytes)| ask(want, *bytes)))?;
            Ok(asked.iter().map(|(want, _)| (*want, find(&answers, want))).collect::<Vec<_>>())
        })?;
        let mut all = Vec::new();
        for (want, answer) in answers {
            let no_answer = || Err(BrokerError::StaleMetadata(format!("{}: no leader to ask", place(want))));
            let result = match answer.unwrap_or_else(no_answer) {
                Ok(answer) => self.complete(want, answer, self.bytes(want, limits, wants.len())),
                Err(error) => {
                    // Whatever it is, the metadata may be old.
                    self.topics.clear();
                    Err(error)
                }
            };
            if !matches!(&result, Ok(data) if data.next_offset == want.offset) {
                all.push(fetched(want, result));
            }
        }
        Ok(all)
    }

    /// What an answer to a request for so many bytes means.
    fn complete(&mut self, want: &FetchPosition, answer: Answer, bytes: usize) -> Result<PartitionData, BrokerError> {
        let key = (want.topic.clone(), want.partition);
        let Some(first) = answer.first else {
            // There is more, and nothing whole came: the next record is larger.
            if answer.end > want.offset {
                let more = bytes.saturating_mul(2);
                if more < MOST {
                    self.larger.insert(key, more);
                } else if self.stuck.insert((key, want.offset)) {
                    // Transactions end with records that the old protocol cannot show.
                    log::warn!(
                        "{} at offset {}: nothing readable in {bytes} bytes, and waiting for what comes after; \
                         --driver wire can tell more",
                        place(want),
                        want.offset
                    );
                }
            }
            return Ok(answer.into_data(want.offset));
        };
        self.larger.remove(&key);
        self.stuck.retain(|(place, _)| *place != key);
        if first == want.offset {
            return Ok(answer.into_data(want.offset));
        }
        let found = mixed::before(first, bytes, |bytes| {
            self.client
                .call(|kafka| {
                    kafka.set_fetch_max_wait_time(Duration::ZERO)?;
                    let answers = kafka.fetch_messages([ask(want, bytes)])?;
                    Ok(find(&answers, want))
                })?
                .unwrap_or_else(|| Err(BrokerError::Corrupt(format!("{}: no answer", place(want)))))
        })?;
        Ok(found.unwrap_or(answer).into_data(want.offset))
    }
}

impl PartitionReader for CrateReader {
    fn fetch(&mut self, wants: &[FetchPosition], limits: FetchLimits) -> Result<Vec<FetchResult>, BrokerError> {
        let until = Instant::now() + limits.wait;
        loop {
            let (ours, others) = self.sort(wants)?;
            if !others.is_empty() {
                return Ok(others);
            }
            let left = until.saturating_duration_since(Instant::now());
            let asked = Instant::now();
            let fetched = self.poll(&ours, limits, left.min(POLL)).inspect_err(|_| self.topics.clear())?;
            let interrupted = self.interrupted.swap(false, Ordering::AcqRel);
            if !fetched.is_empty() || interrupted || Instant::now() >= until {
                return Ok(fetched);
            }
            // An answer with nothing readable comes at once, and would do so again.
            std::thread::sleep(REST.saturating_sub(asked.elapsed()));
        }
    }

    fn interrupter(&self) -> Arc<dyn Fn() + Send + Sync> {
        let interrupted = self.interrupted.clone();
        Arc::new(move || interrupted.store(true, Ordering::Release))
    }
}

fn ask(want: &FetchPosition, bytes: usize) -> FetchPartition<'_> {
    let bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
    FetchPartition::new(want.topic.as_str(), want.partition, want.offset).with_max_bytes(bytes)
}

fn place(want: &FetchPosition) -> TopicPartition {
    TopicPartition { topic: want.topic.clone(), partition: want.partition }
}

fn fetched(want: &FetchPosition, result: Result<PartitionData, BrokerError>) -> FetchResult {
    FetchResult { topic: want.topic.clone(), partition: want.partition, offset: want.offset, result }
}

/// What came for one partition.
pub struct Answer {
    records: Records,
    /// The offset of the first record.
    pub first: Option<Offset>,
    next: Offset,
    end: Offset,
}

impl Answer {
    fn of(data: &Data<'_>, from: Offset) -> Self {
        let messages = data.messages().iter().filter(|m| m.offset >= from);
        let bytes = messages.clone().map(|m| m.key.len() + m.value.len()).sum();
        let mut buffer = Vec::with_capacity(bytes);
        let mut parts = Vec::new();
        let mut next = from;
        for message in messages {
            parts.push(parts_of(message, &mut buffer));
            next = next.max(message.offset + 1);
        }
        let mut records = Records::over(buffer.into());
        let first = parts.first().map(|(offset, ..)| *offset);
        parts.into_iter().for_each(|(offset, key, value)| records.push(offset, -1, key, value));
        Self { records, first, next, end: data.highwatermark_offset() }
    }

    fn into_data(self, from: Offset) -> PartitionData {
        PartitionData {
            batches: if self.records.is_empty() { Vec::new() } else { vec![self.records] },
            next_offset: self.next.max(from),
            epochs: EpochSpan::NONE,
            // The old protocol does not tell.
            log_start: 0,
            end: self.end,
        }
    }

    /// For tests: an answer whose first record is at `first`.
    #[cfg(test)]
    pub fn at(first: Option<Offset>) -> Self {
        Self { records: Records::default(), first, next: 0, end: 0 }
    }
}

type Parts = (Offset, Option<std::ops::Range<usize>>, Option<std::ops::Range<usize>>);

/// The crate gives null as empty: see [`super`] for how it is read back.
fn parts_of(message: &Message<'_>, buffer: &mut Vec<u8>) -> Parts {
    let mut put = |bytes: &[u8]| {
        let start = buffer.len();
        buffer.extend_from_slice(bytes);
        start..buffer.len()
    };
    let key = (!message.key.is_empty()).then(|| put(message.key));
    let tombstone = key.is_some() && message.value.is_empty();
    let value = (!tombstone).then(|| put(message.value));
    (message.offset, key, value)
}

fn find(answers: &[kafka::client::fetch::Response], want: &FetchPosition) -> Option<Result<Answer, BrokerError>> {
    let mut topics = answers.iter().flat_map(|answer| answer.topics());
    let topic = topics.find(|topic| topic.topic() == want.topic.as_str())?;
    let partition = topic.partitions().iter().find(|partition| partition.partition() == want.partition)?;
    Some(match partition.data() {
        Ok(data) => Ok(Answer::of(data, want.offset)),
        Err(error) => match &*error {
            Error::Kafka(code) => Err(answered(*code as i16, ErrorContext::Place(&place(want), Operation::Read))),
            other => Err(BrokerError::Corrupt(other.to_string())),
        },
    })
}
