//! A pool of connections for short requests.

use super::cluster::ClusterClient;
use super::connection::BrokerConnection;
use super::schema::ApiRequest;
use crate::broker::{BrokerError, NodeId};
use crate::sync::lock;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// The limit of idle connections per broker; further ones are closed.
const MAX_IDLE: usize = 4;

/// Idle connections to the brokers of a cluster.
pub struct ConnectionPool {
    cluster: Arc<ClusterClient>,
    idle: Mutex<HashMap<NodeId, Vec<BrokerConnection>>>,
}

impl ConnectionPool {
    /// Creates a pool without connections.
    pub fn new(cluster: Arc<ClusterClient>) -> Self {
        Self { cluster, idle: Mutex::default() }
    }

    /// Sends a request to `node`, in the newest common version up to `at_most`, on an idle connection or a new one.
    ///
    /// The request must be idempotent: brokers close connections that are idle for long, so after a failure on an idle
    /// connection it is sent again on a new one.
    pub fn call<Q: ApiRequest>(
        &self,
        node: NodeId,
        at_most: i16,
        request: impl Fn(i16) -> Q,
        timeout: Duration,
    ) -> Result<Q::Response, BrokerError> {
        let ask = |mut connection: BrokerConnection| {
            let version = connection.version_for::<Q>(at_most)?;
            let response = connection.call(&request(version), version, timeout)?;
            self.keep(node, connection);
            Ok(response)
        };
        let idle = self.idle().get_mut(&node).and_then(Vec::pop);
        match idle.map(ask) {
            Some(Ok(response)) => Ok(response),
            _ => self.cluster.connect(node).and_then(ask),
        }
    }

    fn keep(&self, node: NodeId, connection: BrokerConnection) {
        let mut idle = self.idle();
        let idle = idle.entry(node).or_default();
        if idle.len() < MAX_IDLE {
            idle.push(connection);
        }
    }

    fn idle(&self) -> MutexGuard<'_, HashMap<NodeId, Vec<BrokerConnection>>> {
        lock(&self.idle)
    }
}
