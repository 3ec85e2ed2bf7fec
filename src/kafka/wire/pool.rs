//! Connections for short questions to one broker, kept between them.

use super::cluster::ClusterClient;
use super::connection::BrokerConnection;
use super::schema::ApiRequest;
use crate::broker::{BrokerError, NodeId};
use crate::sync::lock;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// Idle connections to one broker; one more is closed instead of kept.
const IDLE: usize = 4;

pub struct Pool {
    cluster: Arc<ClusterClient>,
    idle: Mutex<HashMap<NodeId, Vec<BrokerConnection>>>,
}

impl Pool {
    pub fn new(cluster: Arc<ClusterClient>) -> Self {
        Self { cluster, idle: Mutex::default() }
    }

    /// Asks `node`, in the newest common version up to `at_most`, on an idle connection or a new one.
    ///
    /// A broker closes connections that were idle for long, so a failure of an idle one proves
    /// nothing: the question is then asked again on a new one, and must not mind being asked twice.
    pub fn call<Q: ApiRequest>(
        &self,
        node: NodeId,
        at_most: i16,
        request: impl Fn(i16) -> Q,
        timeout: Duration,
    ) -> Result<Q::Answer, BrokerError> {
        let ask = |mut connection: BrokerConnection| {
            let version = connection.version_for::<Q>(at_most)?;
            let answer = connection.call(&request(version), version, timeout)?;
            self.keep(node, connection);
            Ok(answer)
        };
        let idle = self.idle().get_mut(&node).and_then(Vec::pop);
        match idle.map(ask) {
            Some(Ok(answer)) => Ok(answer),
            _ => self.cluster.connect(node).and_then(ask),
        }
    }

    fn keep(&self, node: NodeId, connection: BrokerConnection) {
        let mut idle = self.idle();
        let idle = idle.entry(node).or_default();
        if idle.len() < IDLE {
            idle.push(connection);
        }
    }

    fn idle(&self) -> MutexGuard<'_, HashMap<NodeId, Vec<BrokerConnection>>> {
        lock(&self.idle)
    }
}
