//! The checks of `curlew doctor` on a Kafka cluster, in the order in which a client depends on them.
//!
//! - `reach`: name resolution, TCP, TLS, ApiVersions, SASL
//! - `cluster`: metadata, and whether the advertised listeners can be reached
//! - `permissions`: which topics may be read and written, and whether they are created automatically
//! - `producer_expiry`: how long brokers remember an idle producer
//! - `clock`: the difference between the controller's clock and ours

mod clock;
mod cluster;
mod permissions;
mod producer_expiry;
mod reach;

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

/// A broker that accepted a connection and its credentials.
struct ReachedBroker {
    connection: BrokerConnection,
    settings: WireSettings,
}

/// Checks everything that serving needs from the cluster, and passes each result to `found` as soon as it is known.
///
/// Changes nothing in the cluster but uses up one producer id. Each request may take `timeout`; `produce_timeout` is
/// how long the bridge retries a record.
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
        found(metadata_by_old_protocol(&settings));
        return skip_all(AFTER_REACHING.get(1..).unwrap_or_default(), "not available by the old protocol", found);
    }
    if !connection.versions().supports_wire() {
        return skip_all(AFTER_REACHING, "the broker is too old for driver wire", found);
    }
    let mut broker = ReachedBroker { connection, settings };
    let Some(cluster) = ClusterCheck::ask(&mut broker, topics, found) else {
        return skip_all(AFTER_REACHING.get(1..).unwrap_or_default(), "needs metadata", found);
    };
    cluster.check_advertised(&broker.settings, found);
    found(permissions::topics(&cluster, topics, &broker.settings));
    found(permissions::producing(&mut broker));
    found(permissions::auto_creation(&mut broker, &cluster));
    found(producer_expiry::check(&mut broker, &cluster, produce_timeout));
    found(clock::skew(&mut broker));
}

/// The steps that need a connection to a broker.
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

fn metadata_by_old_protocol(settings: &WireSettings) -> Diagnosis {
    match CrateDriver::new(settings).list_topics() {
        Ok(topics) => Diagnosis::ok(DiagnosisStep::Metadata, format!("{} topics, by the old protocol", topics.len())),
        Err(error) => Diagnosis::failed(DiagnosisStep::Metadata, error.to_string(), "check the broker's log"),
    }
}

impl ReachedBroker {
    /// Returns a setting of broker `node`, which must be the connected one.
    fn setting(&mut self, node: NodeId, name: &'static str) -> Result<Option<String>, BrokerError> {
        let timeout = self.settings.request_timeout;
        Ok(configs::describe_broker(&mut self.connection, node, &[name], timeout)?.remove(name))
    }

    /// Sends a request in the newest common version up to `at_most`.
    fn ask<Q: ApiRequest>(&mut self, request: &Q, at_most: i16) -> Result<Q::Response, BrokerError> {
        let version = self.connection.version_for::<Q>(at_most)?;
        self.connection.call(request, version, self.settings.request_timeout)
    }
}
