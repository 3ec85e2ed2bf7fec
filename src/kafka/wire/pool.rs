//! A pool of connections for short requests.

use super::cluster::ClusterClient;
use super::connection::BrokerConnection;
use super::schema::ApiRequest;
use crate::broker::{BrokerError, NodeId};
use crate::sync::lock;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

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
    /// connection it is sent again on a new one, if there is time left.
    pub fn call<Q: ApiRequest>(
        &self,
        node: NodeId,
        at_most: i16,
        request: impl Fn(i16) -> Q,
        timeout: Duration,
    ) -> Result<Q::Response, BrokerError> {
        let deadline = Instant::now() + timeout;
        let left = || deadline.saturating_duration_since(Instant::now());
        let ask = |mut connection: BrokerConnection| {
            let version = connection.version_for::<Q>(at_most)?;
            let response = connection.call(&request(version), version, left())?;
            self.keep(node, connection);
            Ok(response)
        };
        let idle = self.idle().get_mut(&node).and_then(Vec::pop);
        match idle.map(ask) {
            Some(Err(error)) if left().is_zero() => Err(error),
            None | Some(Err(_)) => self.cluster.connect_within(node, left()).and_then(ask),
            Some(Ok(response)) => Ok(response),
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::kafka::wire::metadata;
    use crate::kafka::wire::testing::{self, API_VERSIONS, Impostor, api_versions, broker};
    use kafka_protocol::messages::MetadataRequest;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn a_reconnection_has_only_the_time_that_is_left() {
        const TIMEOUT: Duration = Duration::from_millis(500);
        let connections = AtomicUsize::new(0);
        let frozen = Impostor::start(move |mut stream| {
            let number = connections.fetch_add(1, Ordering::SeqCst);
            let mut requests = 0;
            while let Some(request) = testing::next_request(&mut stream) {
                // The first connection is closed by its third request, and later ones are silent.
                match (number, request.key) {
                    (0, API_VERSIONS) => testing::respond_to(&mut stream, request.correlation, &api_versions()),
                    (0, _) if requests == 1 => {
                        testing::respond_to(&mut stream, request.correlation, &testing::metadata(&[], &[]));
                    }
                    (0, _) => return,
                    _ => {}
                }
                requests += 1;
            }
        });
        let address = frozen.address.clone();
        let bootstrap = broker(move |_| Some(testing::metadata(&[(2, &address)], &[])));
        let pool = ConnectionPool::new(Arc::new(ClusterClient::new(bootstrap.settings())));
        pool.cluster.brokers().unwrap();
        let call = || pool.call::<MetadataRequest>(2, 4, |_| metadata::brokers_request(), TIMEOUT);
        assert!(call().is_ok());
        let start = Instant::now();
        assert!(call().is_err());
        assert!(start.elapsed() < Duration::from_secs(3), "the limit of connecting is 5 s: {:?}", start.elapsed());
        assert_eq!(frozen.connections(), 2);
    }
}
