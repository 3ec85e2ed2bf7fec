//! Slow questions to the cluster, asked on threads of their own so that records of topics that are
//! known need not wait. Producer ids have another thread than topics: a broker may be slow with them, and records
//! without sequences, and leaders that have moved, must not wait for that.

use super::caught;
use super::creation::{self, Creation};
use crate::broker::{AutoCreate, BrokerError, Denial, NodeId, Operation, Remedy, TopicInfo};
use crate::kafka::wire::cluster::ClusterClient;
use crate::kafka::wire::errors::{ErrorContext, check};
use crate::record::TopicName;
use crossbeam_channel::Receiver;
use kafka_protocol::messages::InitProducerIdRequest;
use std::time::Duration;

/// Versions up to 5 are alike for a producer without transactions.
const INIT_PRODUCER_ID: i16 = 4;

/// How long a broker may take for a producer id at first, and twice that after each failure: another one may be faster,
/// but one that is only slow must get its time.
const ID_PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub enum Lookup {
    Topics(Vec<TopicName>, AutoCreate),
    /// Whether Kafka will create these.
    Creation(Vec<TopicName>),
    SignOfLife,
}

#[derive(Debug)]
pub enum LookupReply {
    /// For each of the topics asked for, in order, or why nobody answers.
    Topics {
        asked: Vec<TopicName>,
        auto_create: AutoCreate,
        found: Result<Vec<Result<TopicInfo, BrokerError>>, BrokerError>,
    },
    Creation {
        asked: Vec<TopicName>,
        found: Result<Creation, BrokerError>,
    },
    ProducerId(Result<i64, BrokerError>),
    SignOfLife(Result<(), BrokerError>),
}

/// Answers until the channel of questions is closed.
pub fn answer_all(cluster: &ClusterClient, questions: &Receiver<Lookup>, reply: impl Fn(LookupReply)) {
    for question in questions {
        reply(match question {
            Lookup::Topics(asked, auto_create) => {
                let found = caught(|| cluster.topics(&asked, auto_create));
                let found =
                    found.map(|found| found.into_iter().map(|f| f.map_err(|e| to_write(e, auto_create))).collect());
                LookupReply::Topics { asked, auto_create, found }
            }
            Lookup::Creation(asked) => {
                let found = caught(|| creation::examine(cluster, &asked));
                LookupReply::Creation { asked, found }
            }
            Lookup::SignOfLife => LookupReply::SignOfLife(caught(|| cluster.ping())),
        });
    }
}

/// Gets a fresh producer id from each of these brokers until the channel is closed.
pub fn get_producer_ids(cluster: &ClusterClient, brokers: &Receiver<NodeId>, reply: impl Fn(LookupReply)) {
    // Two brokers are asked, and the writer's end waits for both.
    let longest = cluster.settings().request_timeout / 2;
    let mut patience = ID_PATIENCE.min(longest);
    for node in brokers {
        let id = caught(|| producer_id(cluster, node, patience));
        patience = if id.is_ok() { ID_PATIENCE } else { patience * 2 }.min(longest);
        reply(LookupReply::ProducerId(id));
    }
}

/// Whoever may not look at the topic could not write to it either, and that is what is to be allowed.
fn to_write(error: BrokerError, auto_create: AutoCreate) -> BrokerError {
    let wanted = match auto_create {
        AutoCreate::Ask => Operation::WriteOrCreate,
        AutoCreate::Never => Operation::Write,
    };
    match error {
        BrokerError::Denied(Denial::Topic { topic, principal, .. }) => {
            BrokerError::Denied(Denial::Topic { topic, principal, operation: wanted })
        }
        other => other,
    }
}

/// From `node`, or from another broker where that one is silent: every broker gives producer ids.
fn producer_id(cluster: &ClusterClient, node: NodeId, patience: Duration) -> Result<i64, BrokerError> {
    let asked = producer_id_from(cluster, node, patience);
    match (asked, cluster.another_than(node)) {
        (Err(error), Some(other)) if error.remedy() != Remedy::GiveUp => producer_id_from(cluster, other, patience),
        (asked, _) => asked,
    }
}

fn producer_id_from(cluster: &ClusterClient, node: NodeId, patience: Duration) -> Result<i64, BrokerError> {
    let mut connection = cluster.connect_within(node, patience)?;
    let version = connection.version_for::<InitProducerIdRequest>(INIT_PRODUCER_ID)?;
    let request = InitProducerIdRequest::default()
        .with_transactional_id(None)
        // Checked by brokers although there is no transaction.
        .with_transaction_timeout_ms(60_000);
    let answer = connection.call(&request, version, patience)?;
    check(answer.error_code, ErrorContext::Cluster, None)?;
    Ok(answer.producer_id.0)
}
