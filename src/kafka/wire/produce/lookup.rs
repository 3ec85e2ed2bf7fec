//! Slow requests to the cluster, on separate threads, so that records of known topics do not wait. Producer ids and
//! metadata have separate threads: a broker may be slow to grant an id, which must not delay records without sequence
//! numbers or the reaction to new leaders.

use super::creation::{self, CreationReport};
use super::panic_as_error;
use crate::broker::{AutoCreate, BrokerError, Denial, NodeId, Operation, Remedy, TopicInfo};
use crate::kafka::wire::cluster::ClusterClient;
use crate::kafka::wire::errors::{ErrorContext, check};
use crate::record::TopicName;
use crossbeam_channel::Receiver;
use kafka_protocol::messages::InitProducerIdRequest;
use std::time::Duration;

/// For a producer without transactions, versions up to 5 are the same.
const INIT_PRODUCER_ID: i16 = 4;

/// Initial timeout of a producer id request. Short, so that a faster broker is tried soon; doubles with each failure,
/// so that a slow broker succeeds eventually.
const PRODUCER_ID_TIMEOUT: Duration = Duration::from_secs(2);

/// A request to the lookup thread.
#[derive(Debug)]
pub enum ProducerLookup {
    Topics(Vec<TopicName>, AutoCreate),
    /// Whether Kafka will create these topics.
    Creation(Vec<TopicName>),
    Liveness,
}

/// The result of a [`ProducerLookup`] or of a request for a producer id.
#[derive(Debug)]
pub enum LookupReply {
    /// The result for each topic, in order, or the error if no broker responds.
    Topics {
        topics: Vec<TopicName>,
        auto_create: AutoCreate,
        found: Result<Vec<Result<TopicInfo, BrokerError>>, BrokerError>,
    },
    Creation {
        topics: Vec<TopicName>,
        found: Result<CreationReport, BrokerError>,
    },
    ProducerId(Result<i64, BrokerError>),
    Liveness(Result<(), BrokerError>),
}

/// Serves lookups until the channel is closed.
pub fn serve_lookups(cluster: &ClusterClient, requests: &Receiver<ProducerLookup>, reply: impl Fn(LookupReply)) {
    for lookup in requests {
        reply(match lookup {
            ProducerLookup::Topics(topics, auto_create) => {
                let found = panic_as_error(|| cluster.topics(&topics, auto_create));
                let found = found
                    .map(|found| found.into_iter().map(|f| f.map_err(|e| as_write_denial(e, auto_create))).collect());
                LookupReply::Topics { topics, auto_create, found }
            }
            ProducerLookup::Creation(topics) => {
                let found = panic_as_error(|| creation::check_creation(cluster, &topics));
                LookupReply::Creation { topics, found }
            }
            ProducerLookup::Liveness => LookupReply::Liveness(panic_as_error(|| cluster.ping())),
        });
    }
}

/// Requests a producer id from each of these brokers until the channel is closed.
pub fn serve_producer_ids(cluster: &ClusterClient, brokers: &Receiver<NodeId>, reply: impl Fn(LookupReply)) {
    // One request may go to two brokers in turn, and the shutdown of the producer waits for both.
    let longest = cluster.settings().request_timeout / 2;
    let mut patience = PRODUCER_ID_TIMEOUT.min(longest);
    for node in brokers {
        let id = panic_as_error(|| producer_id(cluster, node, patience));
        patience = if id.is_ok() { PRODUCER_ID_TIMEOUT } else { patience * 2 }.min(longest);
        reply(LookupReply::ProducerId(id));
    }
}

/// Reports a denied Describe as a denied Write. The user must grant Write, which implies Describe.
fn as_write_denial(error: BrokerError, auto_create: AutoCreate) -> BrokerError {
    let operation = match auto_create {
        AutoCreate::Ask => Operation::WriteOrCreate,
        AutoCreate::Never => Operation::Write,
    };
    match error {
        BrokerError::Denied(Denial::Topic { topic, principal, .. }) => {
            BrokerError::Denied(Denial::Topic { topic, principal, operation })
        }
        other => other,
    }
}

/// Requests a producer id from `node`, or from another broker if `node` fails: every broker grants producer ids.
fn producer_id(cluster: &ClusterClient, node: NodeId, patience: Duration) -> Result<i64, BrokerError> {
    let topics = producer_id_from(cluster, node, patience);
    match (topics, cluster.other_broker(node)) {
        (Err(error), Some(other)) if error.remedy() != Remedy::GiveUp => producer_id_from(cluster, other, patience),
        (topics, _) => topics,
    }
}

fn producer_id_from(cluster: &ClusterClient, node: NodeId, patience: Duration) -> Result<i64, BrokerError> {
    let mut connection = cluster.connect_within(node, patience)?;
    let version = connection.version_for::<InitProducerIdRequest>(INIT_PRODUCER_ID)?;
    let request = InitProducerIdRequest::default()
        .with_transactional_id(None)
        // Brokers validate it although there is no transaction.
        .with_transaction_timeout_ms(60_000);
    let response = connection.call(&request, version, patience)?;
    check(response.error_code, ErrorContext::Cluster, None)?;
    Ok(response.producer_id.0)
}
