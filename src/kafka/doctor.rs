//! What `curlew doctor` asks a Kafka cluster, in the order in which a client needs it to work.
//!
//! - `reach`: from a name to a broker that answers and knows us
//! - `cluster`: who the brokers say they are, and whether that is where they can be reached
//! - `rights`: what may be read and written, and who makes topics
//! - `memory`: how long brokers remember a producer
//! - `clock`: the brokers' time and ours

mod clock;
mod cluster;
mod memory;
mod reach;
mod rights;

use super::Driver;
use super::crate_driver::CrateDriver;
use super::wire::WireSettings;
use super::wire::configs;
use super::wire::connection::BrokerConnection;
use super::wire::schema::ApiRequest;
use crate::broker::diagnosis::{Diagnosis, DiagnosisStep};
use crate::broker::{Broker, BrokerError, NodeId};
use crate::record::TopicName;
use cluster::ClusterCheck;
use std::time::Duration;

/// A broker that answers.
struct Reached {
    connection: BrokerConnection,
    settings: WireSettings,
}

/// Tries everything that serving needs of the cluster, and hands over what came of it as soon as it is known. Nothing
/// is changed there. Each try may take `timeout`.
///
/// Records are sent again for as long as `produce_timeout`.
pub fn examine(
    kafka: &super::KafkaSettings,
    timeout: Duration,
    topics: &[TopicName],
    produce_timeout: Duration,
    found: &mut dyn FnMut(Diagnosis),
) {
    let settings = WireSettings { connect_timeout: timeout, request_timeout: timeout, ..kafka.settings() };
    let mut reached = None;
    for address in &settings.bootstrap {
        let connection = reach::broker(address, &settings, kafka.driver, found);
        reached = reached.or(connection);
    }
    let Some(connection) = reached else {
        return skip_all(AFTER_REACHING, "no broker answers", found);
    };
    if kafka.driver == Driver::Crate {
        found(by_the_old_protocol(&settings));
        return skip_all(AFTER_REACHING.get(1..).unwrap_or_default(), "the old protocol cannot tell", found);
    }
    if !connection.versions().speaks_wire() {
        return skip_all(AFTER_REACHING, "the broker is too old for --driver wire", found);
    }
    let mut broker = Reached { connection, settings };
    let Some(cluster) = ClusterCheck::ask(&mut broker, topics, found) else {
        return skip_all(AFTER_REACHING.get(1..).unwrap_or_default(), "there is no metadata", found);
    };
    cluster.check_advertised(&broker.settings, found);
    found(rights::topics(&cluster, topics, &broker.settings));
    found(rights::producing(&mut broker));
    found(rights::auto_creation(&mut broker, &cluster));
    found(memory::producers(&mut broker, &cluster, produce_timeout));
    found(clock::skew(&mut broker));
}

/// What takes a broker that answers.
const AFTER_REACHING: &[DiagnosisStep] = &[
    DiagnosisStep::Metadata,
    DiagnosisStep::AdvertisedListeners,
    DiagnosisStep::Topics,
    DiagnosisStep::Producing,
    DiagnosisStep::AutoCreation,
    DiagnosisStep::ProducerExpiry,
    DiagnosisStep::Clock,
];

fn skip_all(steps: &[DiagnosisStep], why: &str, found: &mut dyn FnMut(Diagnosis)) {
    steps.iter().for_each(|step| found(Diagnosis::skipped(*step, why)));
}

fn by_the_old_protocol(settings: &WireSettings) -> Diagnosis {
    match CrateDriver::new(settings).list_topics() {
        Ok(topics) => Diagnosis::ok(DiagnosisStep::Metadata, format!("{} topics, by the old protocol", topics.len())),
        Err(error) => Diagnosis::failed(DiagnosisStep::Metadata, error.to_string(), "look into the broker's log"),
    }
}

impl Reached {
    /// One setting of broker `node`, which is the one that we talk with.
    fn setting(&mut self, node: NodeId, name: &'static str) -> Result<Option<String>, BrokerError> {
        let timeout = self.settings.request_timeout;
        Ok(configs::of_broker(&mut self.connection, node, &[name], timeout)?.remove(name))
    }

    /// Asks in the newest version that both sides speak, `at_most` at most.
    fn ask<Q: ApiRequest>(&mut self, request: &Q, at_most: i16) -> Result<Q::Answer, BrokerError> {
        let version = self.connection.version_for::<Q>(at_most)?;
        self.connection.call(request, version, self.settings.request_timeout)
    }
}
