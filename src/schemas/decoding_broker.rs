//! A [`Broker`] that attaches the JSON of schemas to the records of another one.
//!
//! Each fetched batch is decoded once, and the JSON is charged to the memory share of the fetch. No thread waits for the
//! registry: if a schema is being fetched, the data of a partition ends before its record. If that is the first record, the
//! partition fails with [`BrokerError::SchemaPending`], and readers fetch it again after a pause. A record whose schema is not
//! available, or that does not fit its schema, keeps its stored bytes and has an error.

mod batch;
mod counters;
mod text;

use super::framing::SchemaId;
use super::registry::{Lookup, SchemaRegistry};
use crate::broker::{
    Backlog, Broker, BrokerError, Capabilities, ConnectionCounts, CreatedTopic, FetchLimits, FetchPosition,
    FetchResult, NewTopic, NodeId, OffsetAt, PartitionData, PartitionReader, Replica, SchemaCounts, Submission,
    TopicConfigs, TopicInfo,
};
use crate::record::{Offset, Position, TopicName, TopicPartition};
use crate::sync::memory_budget::Share;
use batch::{DecodeStop, FetchDecoder};
use counters::SchemaCounters;
use crossbeam_channel::Receiver;
use std::sync::Arc;
use text::StopReason;

/// The most JSON of one fetch, as a multiple of the bytes that it may fetch. The first record may exceed it.
const JSON_PER_BYTE: usize = 8;

/// Where schemas come from. Calls do not block.
pub trait SchemaLookup: Send + Sync + 'static {
    /// Returns the schema of an id if it is known, and otherwise has it fetched.
    fn lookup(&self, id: SchemaId) -> Lookup;
}

impl SchemaLookup for SchemaRegistry {
    fn lookup(&self, id: SchemaId) -> Lookup {
        SchemaRegistry::lookup(self, id)
    }
}

/// Decodes the records of another broker. Everything else is unchanged.
pub struct DecodingBroker {
    inner: Arc<dyn Broker>,
    schemas: Arc<dyn SchemaLookup>,
    counters: Arc<SchemaCounters>,
}

impl DecodingBroker {
    /// Decodes the records of `inner` by the schemas of `schemas`.
    pub fn new(inner: Arc<dyn Broker>, schemas: Arc<dyn SchemaLookup>) -> Self {
        Self { inner, schemas, counters: Arc::default() }
    }
}

impl Broker for DecodingBroker {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn connections(&self) -> ConnectionCounts {
        self.inner.connections()
    }

    fn backlogs(&self) -> Vec<Backlog> {
        self.inner.backlogs()
    }

    fn schema_counts(&self) -> Option<SchemaCounts> {
        Some(self.counters.counts())
    }

    fn ready(&self) -> Result<(), BrokerError> {
        self.inner.ready()
    }

    fn capabilities(&self) -> Result<Capabilities, BrokerError> {
        self.inner.capabilities()
    }

    fn list_topics(&self) -> Result<Vec<TopicInfo>, BrokerError> {
        self.inner.list_topics()
    }

    fn topics(&self, topics: &[TopicName]) -> Result<Vec<Result<TopicInfo, BrokerError>>, BrokerError> {
        self.inner.topics(topics)
    }

    fn brokers(&self) -> Result<Vec<NodeId>, BrokerError> {
        self.inner.brokers()
    }

    fn replicas(&self, topic: &TopicName) -> Result<Vec<Vec<Replica>>, BrokerError> {
        self.inner.replicas(topic)
    }

    fn topic_configs(&self, topic: &TopicName) -> Result<TopicConfigs, BrokerError> {
        self.inner.topic_configs(topic)
    }

    fn create_topic(&self, topic: &NewTopic) -> Result<CreatedTopic, BrokerError> {
        self.inner.create_topic(topic)
    }

    fn delete_topic(&self, topic: &TopicName) -> Result<(), BrokerError> {
        self.inner.delete_topic(topic)
    }

    fn positions(&self, queries: &[(TopicPartition, OffsetAt)]) -> Vec<Result<Position, BrokerError>> {
        self.inner.positions(queries)
    }

    fn offsets(&self, queries: &[(TopicPartition, OffsetAt)]) -> Vec<Result<Offset, BrokerError>> {
        self.inner.offsets(queries)
    }

    fn reader(&self, leader: NodeId, memory: &Arc<Share>) -> Box<dyn PartitionReader> {
        Box::new(DecodingReader {
            inner: self.inner.reader(leader, memory),
            schemas: self.schemas.clone(),
            counters: self.counters.clone(),
            memory: memory.clone(),
        })
    }

    fn write_all(&self, submissions: Receiver<Submission>) {
        self.inner.write_all(submissions);
    }
}

struct DecodingReader {
    inner: Box<dyn PartitionReader>,
    schemas: Arc<dyn SchemaLookup>,
    counters: Arc<SchemaCounters>,
    memory: Arc<Share>,
}

impl PartitionReader for DecodingReader {
    fn fetch(&mut self, wants: &[FetchPosition], limits: FetchLimits) -> Result<Vec<FetchResult>, BrokerError> {
        let mut fetched = self.inner.fetch(wants, limits)?;
        let most = limits.max_bytes.saturating_mul(JSON_PER_BYTE);
        let mut decoder = FetchDecoder::new(&*self.schemas, &self.counters, &self.memory, most);
        for FetchResult { offset, result, .. } in &mut fetched {
            if let Ok(data) = result {
                let data = std::mem::take(data);
                *result = decode(&mut decoder, *offset, data);
            }
        }
        Ok(fetched)
    }

    fn interrupter(&self) -> Arc<dyn Fn() + Send + Sync> {
        self.inner.interrupter()
    }
}

/// Decodes the records from `offset` on. Ends the data before the first record for which there is no schema or no memory yet.
fn decode(
    decoder: &mut FetchDecoder<'_>,
    offset: Offset,
    mut data: PartitionData,
) -> Result<PartitionData, BrokerError> {
    let batches = std::mem::take(&mut data.batches);
    for batch in batches {
        let (batch, stop) = decoder.decode(batch, offset);
        if !batch.is_empty() {
            data.batches.push(batch);
        }
        let Some(DecodeStop { before, reason }) = stop else { continue };
        if before <= offset {
            match reason {
                StopReason::Pending(id) => return Err(BrokerError::SchemaPending(id)),
                StopReason::NoMemory(shortage) => return Err(shortage.into()),
                // Other partitions have used up the JSON of this fetch, so the next one begins here.
                StopReason::Enough => data.batches.clear(),
            }
        }
        data.next_offset = before.max(offset);
        break;
    }
    Ok(data)
}
