//! The bridge's Kafka client, for Kafka 0.11 to 4.4 and later. It is blocking; requests and responses are encoded by the
//! `kafka-protocol` codec, record batches by this module.
//!
//! - [`connection`]: opens a connection and sends requests; `frame`, `transport`, `tls_stream` and `socket` carry them,
//!   `login` authenticates, [`schema`] validates responses, [`versions`] chooses request versions
//! - [`errors`]: maps Kafka's error codes to the errors of [`broker`](crate::broker)
//! - [`cluster`]: brokers, topics and leaders, shared by all threads; `auth_backoff` limits failing authentication
//! - `fetch`, `offsets`: reading; `batch`, `legacy`, `compression`, `decode_error`: decoding records
//! - [`produce`]: writing; `create`, `delete`: creating and deleting topics; [`configs`]: settings of brokers and topics;
//!   `throttle`: quotas

mod auth_backoff;
mod batch;
pub mod cluster;
mod compression;
pub mod configs;
pub mod connection;
mod create;
mod decode_error;
mod delete;
pub mod errors;
mod fetch;
mod frame;
mod invalid_response;
mod legacy;
mod login;
mod metadata;
mod offsets;
mod parse;
mod pool;
pub mod produce;
pub mod schema;
pub mod settings;
pub(super) mod socket;
#[cfg(test)]
pub(super) mod testing;
mod throttle;
mod tls_stream;
mod transport;
pub mod versions;

pub use settings::WireSettings;
pub use versions::ApiVersions;

use crate::broker::{
    AutoCreate, Backlog, Broker, BrokerError, Capabilities, Cause, ConnectionCounts, CreatedTopic, NewTopic, NodeId,
    OffsetAt, PartitionReader, Replica, Submission, TopicConfigs, TopicInfo,
};
use crate::record::{Offset, Position, TopicName, TopicPartition};
use crate::sync::memory_budget::Share;
use cluster::{ClusterClient, NoBroker};
use connection::BrokerConnection;
use crossbeam_channel::Receiver;
use offsets::OffsetDetail;
use pool::ConnectionPool;
use std::sync::Arc;
use std::time::Instant;

/// The [`Broker`] implementation of a Kafka cluster.
pub struct Wire {
    cluster: Arc<ClusterClient>,
    pool: ConnectionPool,
}

impl Wire {
    /// Returns a client that connects on the first request, so this succeeds while Kafka is down.
    pub fn connect(settings: WireSettings) -> Self {
        let cluster = Arc::new(ClusterClient::new(settings));
        Self { pool: ConnectionPool::new(cluster.clone()), cluster }
    }
}

/// Returns the versions of the first bootstrap server that answers. A broker before Kafka 0.10 closes the connection on
/// ApiVersions, which is `Unavailable`.
pub fn api_versions(settings: &WireSettings) -> Result<Arc<ApiVersions>, BrokerError> {
    let mut why = BrokerError::Unavailable(Cause::new(NoBroker::default()));
    for address in &settings.bootstrap {
        match BrokerConnection::open(address, settings) {
            Ok(connection) => return Ok(connection.versions().clone()),
            Err(error) => why = error,
        }
    }
    Err(why)
}

impl Broker for Wire {
    fn describe(&self) -> String {
        format!("wire {}", self.cluster.settings().bootstrap.join(","))
    }

    fn connections(&self) -> ConnectionCounts {
        self.cluster.connections()
    }

    fn ready(&self) -> Result<(), BrokerError> {
        self.cluster.ping()?;
        self.cluster.backlogs().ready(Instant::now())
    }

    fn backlogs(&self) -> Vec<Backlog> {
        self.cluster.backlogs().topics.clone()
    }

    fn capabilities(&self) -> Result<Capabilities, BrokerError> {
        Ok(self.cluster.versions()?.capabilities())
    }

    fn list_topics(&self) -> Result<Vec<TopicInfo>, BrokerError> {
        self.cluster.list_topics()
    }

    fn topics(&self, topics: &[TopicName]) -> Result<Vec<Result<TopicInfo, BrokerError>>, BrokerError> {
        self.cluster.topics(topics, AutoCreate::Never)
    }

    fn brokers(&self) -> Result<Vec<NodeId>, BrokerError> {
        self.cluster.brokers()
    }

    fn replicas(&self, topic: &TopicName) -> Result<Vec<Vec<Replica>>, BrokerError> {
        self.cluster.replicas(topic)
    }

    fn topic_configs(&self, topic: &TopicName) -> Result<TopicConfigs, BrokerError> {
        configs::describe_topic(&self.cluster, &self.pool, topic)
    }

    fn create_topic(&self, topic: &NewTopic) -> Result<CreatedTopic, BrokerError> {
        create::create_topic(&self.cluster, topic)
    }

    fn delete_topic(&self, topic: &TopicName) -> Result<(), BrokerError> {
        delete::delete_topic(&self.cluster, topic)
    }

    fn positions(&self, queries: &[(TopicPartition, OffsetAt)]) -> Vec<Result<Position, BrokerError>> {
        offsets::find(&self.cluster, &self.pool, queries, OffsetDetail::Positions)
    }

    fn offsets(&self, queries: &[(TopicPartition, OffsetAt)]) -> Vec<Result<Offset, BrokerError>> {
        let found = offsets::find(&self.cluster, &self.pool, queries, OffsetDetail::Offsets);
        found.into_iter().map(|position| Ok(position?.next)).collect()
    }

    fn reader(&self, leader: NodeId, memory: &Arc<Share>) -> Box<dyn PartitionReader> {
        Box::new(fetch::LeaderReader::new(self.cluster.clone(), leader, memory.clone()))
    }

    fn write_all(&self, submissions: Receiver<Submission>) {
        produce::write_all(&self.cluster, &self.cluster.settings().produce, &submissions);
    }
}
