//! The cluster's metadata, and whether this machine can reach the advertised listeners.

use super::ReachedBroker;
use super::reach::{ResolveError, connect, describe, resolve};
use crate::broker::BrokerError;
use crate::broker::diagnosis::{Diagnosis, DiagnosisStep};
use crate::kafka::wire::WireSettings;
use crate::kafka::wire::connection::BrokerConnection;
use crate::record::TopicName;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponseBroker;
use kafka_protocol::messages::{MetadataRequest, MetadataResponse};
use kafka_protocol::protocol::StrBytes;
use std::io;

/// The newest version to use. From version 8 on, the response contains the authorized operations (KIP-430).
const VERSION: i16 = 12;

/// Clients cannot use the advertised address of a broker. The text is a clause that follows the address.
#[derive(Debug, thiserror::Error)]
enum VisitError {
    #[error(transparent)]
    Name(#[from] ResolveError),
    #[error("{}", describe(.0))]
    Connect(#[from] io::Error),
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// A cluster with this id.
    #[error("another cluster answers ({0})")]
    OtherCluster(String),
}

/// A cluster as its metadata describes it.
pub struct ClusterCheck {
    pub metadata: MetadataResponse,
    /// `host:port` of the connected broker.
    address: String,
}

impl ClusterCheck {
    /// Requests the metadata of `topics`, or of all topics if there are none, and reports the result. Returns `None` if
    /// the request fails.
    pub fn ask(broker: &mut ReachedBroker, topics: &[TopicName], found: &mut dyn FnMut(Diagnosis)) -> Option<Self> {
        let address = broker.connection.address().to_owned();
        match broker.ask(&request(topics), VERSION) {
            Ok(metadata) => {
                let cluster = Self { metadata, address };
                found(Diagnosis::ok(DiagnosisStep::Metadata, cluster.describe()));
                Some(cluster)
            }
            Err(error) => {
                found(Diagnosis::failed(
                    DiagnosisStep::Metadata,
                    format!("{address}: {error}"),
                    "check the broker's log",
                ));
                None
            }
        }
    }

    fn describe(&self) -> String {
        let id = self.id().map(|id| format!("cluster {id}, ")).unwrap_or_default();
        let nodes: Vec<String> = self.metadata.brokers.iter().map(|broker| broker.node_id.0.to_string()).collect();
        let controller = match self.metadata.controller_id.0 {
            ..0 => "no controller".to_owned(),
            node => format!("controller {node}"),
        };
        format!("{id}brokers {}, {controller}", nodes.join(", "))
    }

    fn id(&self) -> Option<&str> {
        self.metadata.cluster_id.as_ref().map(StrBytes::as_str)
    }

    /// Returns the id of the connected broker, if the metadata shows which one it is.
    pub fn connected_node(&self) -> Option<i32> {
        let brokers = &self.metadata.brokers;
        let only = brokers.first().filter(|_| brokers.len() == 1);
        only.or(brokers.iter().find(|broker| advertised(broker) == self.address)).map(|broker| broker.node_id.0)
    }

    /// Checks the address that each broker advertises, because clients connect there after the bootstrap server.
    pub fn check_advertised(&self, settings: &WireSettings, found: &mut dyn FnMut(Diagnosis)) {
        for broker in &self.metadata.brokers {
            let (node, host, address) = (broker.node_id.0, broker.host.as_str(), advertised(broker));
            found(match self.visit(&address, settings) {
                Ok(()) if address == self.address => Diagnosis::ok(
                    DiagnosisStep::AdvertisedListeners,
                    format!("broker {node} is at {address}, as configured"),
                ),
                Ok(()) => Diagnosis::ok(
                    DiagnosisStep::AdvertisedListeners,
                    format!("broker {node} is at {address} and answers"),
                ),
                Err(why) => Diagnosis::failed(
                    DiagnosisStep::AdvertisedListeners,
                    format!("broker {node} sends clients to {address}, where {why}"),
                    self.remedy(node, host, settings),
                ),
            });
        }
    }

    /// Checks that a broker of this cluster answers at `address`.
    fn visit(&self, address: &str, settings: &WireSettings) -> Result<(), VisitError> {
        let resolved = resolve(address)?;
        connect(&resolved, settings.connect_timeout)?;
        let opened = BrokerConnection::open(address, settings)?;
        let mut peer = ReachedBroker { connection: opened, settings: settings.clone() };
        let no_topics = MetadataRequest::default().with_topics(Some(Vec::new())).with_allow_auto_topic_creation(false);
        let answer = peer.ask(&no_topics, VERSION)?;
        match (answer.cluster_id.as_ref().map(StrBytes::as_str), self.id()) {
            (Some(theirs), Some(ours)) if theirs != ours => Err(VisitError::OtherCluster(theirs.to_owned())),
            _ => Ok(()),
        }
    }

    fn remedy(&self, node: i32, host: &str, settings: &WireSettings) -> String {
        let only = self.metadata.brokers.len() == 1;
        let protocol = settings.security.protocol();
        let better = if only { format!("{protocol}://{}", self.address) } else { format!("{protocol}://HOST:PORT") };
        let whose =
            if only { "which worked from here" } else { "an address of that broker that this machine can reach" };
        let own = matches!(host, "localhost" | "127.0.0.1" | "::1")
            .then(|| format!("{host} is every client's own machine: "))
            .unwrap_or_default();
        format!("{own}set advertised.listeners={better} ({whose}) in the server.properties of broker {node}")
    }
}

fn advertised(broker: &MetadataResponseBroker) -> String {
    match broker.host.contains(':') {
        true => format!("[{}]:{}", broker.host, broker.port),
        false => format!("{}:{}", broker.host, broker.port),
    }
}

fn request(topics: &[TopicName]) -> MetadataRequest {
    let wanted = |name: &TopicName| {
        let name = StrBytes::from_string(name.as_str().to_owned());
        MetadataRequestTopic::default().with_name(Some(name.into()))
    };
    let topics = (!topics.is_empty()).then(|| topics.iter().map(wanted).collect());
    MetadataRequest::default()
        .with_topics(topics)
        .with_allow_auto_topic_creation(false)
        .with_include_topic_authorized_operations(true)
}
