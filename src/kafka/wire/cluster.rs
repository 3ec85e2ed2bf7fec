//! The client's view of a cluster, shared by all threads: brokers, topics, leaders, and the reason while no broker
//! responds.

mod identity;
mod outdated;
mod rotation;
mod topics;

use super::auth_backoff::AuthBackoff;
use super::connection::BrokerConnection;
use super::metadata;
use super::settings::WireSettings;
use super::versions::ApiVersions;
use crate::broker::{Backlogs, BrokerError, Cause, ConnectionCounts, NodeId, Staleness, TopicInfo};
use crate::record::TopicName;
use crate::sync::backoff::Backoff;
use crate::sync::lock;
use identity::Identities;
use outdated::OutdatedBrokers;
use rotation::{BrokerTurn, HEDGE, MetadataConnections};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// A cluster, reached through any of its brokers. Calls block for about `request_timeout` at most.
pub struct ClusterClient {
    settings: WireSettings,
    /// Locked only to read and update, never during a request.
    view: Mutex<View>,
    /// Locked during a metadata request, so that only one runs at a time.
    connections: Mutex<MetadataConnections>,
    /// The producer's last report.
    backlogs: Mutex<Backlogs>,
    auth_backoff: AuthBackoff,
    opened: AtomicU64,
    failed: AtomicU64,
}

#[derive(Default)]
struct View {
    brokers: HashMap<NodeId, Arc<str>>,
    /// Known topics that exist.
    topics: HashMap<TopicName, Arc<TopicInfo>>,
    /// The API versions of the broker that responded last.
    versions: Option<Arc<ApiVersions>>,
    /// The address of that broker, and when it responded.
    responded: Option<(Arc<str>, Instant)>,
    outage: Option<ClusterOutage>,
    outdated: OutdatedBrokers,
    identities: Identities,
}

/// A period in which no broker responds, and the reason.
struct ClusterOutage {
    since: Instant,
    last_attempt: Instant,
    /// Before this time no further attempt is made, and callers get `why`.
    retry_at: Instant,
    why: BrokerError,
    backoff: Backoff,
}

impl ClusterClient {
    /// Creates a client, which connects on first use.
    pub fn new(settings: WireSettings) -> Self {
        Self {
            settings,
            view: Mutex::default(),
            connections: Mutex::default(),
            backlogs: Mutex::default(),
            auth_backoff: AuthBackoff::default(),
            opened: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    /// Returns the settings of the client.
    pub fn settings(&self) -> &WireSettings {
        &self.settings
    }

    /// Checks that a broker responds.
    pub fn ping(&self) -> Result<(), BrokerError> {
        self.request_metadata(&metadata::brokers_request(), BrokerTurn::Last).map(drop)
    }

    /// Fetches the ids of all brokers, in ascending order.
    pub fn brokers(&self) -> Result<Vec<NodeId>, BrokerError> {
        let reply = self.request_metadata(&metadata::brokers_request(), BrokerTurn::Last)?;
        match metadata::brokers(&reply.response) {
            none if none.is_empty() => Err(Staleness::ClusterUnknownTo(reply.address).into()),
            brokers => Ok(brokers),
        }
    }

    /// The ids of all brokers in the order in which to try them: first the one that has just responded, then the others in
    /// random order.
    pub fn brokers_to_try(&self) -> Result<Vec<NodeId>, BrokerError> {
        let recent = |view: &View| {
            let (address, at) = view.responded.as_ref()?;
            let is_recent = at.elapsed() < HEDGE && view.brokers.values().any(|known| known == address);
            is_recent.then(|| (address.clone(), view.brokers.clone()))
        };
        let recent = recent(&self.view());
        let (responded, addresses) = match recent {
            Some(recent) => recent,
            None => {
                let reply = self.request_metadata(&metadata::brokers_request(), BrokerTurn::Last)?;
                (reply.address, metadata::addresses(&reply.response))
            }
        };
        let mut brokers: Vec<NodeId> = addresses.keys().copied().collect();
        fastrand::shuffle(&mut brokers);
        brokers.sort_by_key(|node| addresses.get(node) != Some(&responded));
        Ok(brokers)
    }

    /// Replaces the backlog.
    pub fn set_backlogs(&self, backlogs: Backlogs) {
        *self.backlogs() = backlogs;
    }

    /// The backlog, as last reported by the producer.
    pub fn backlogs(&self) -> MutexGuard<'_, Backlogs> {
        lock(&self.backlogs)
    }

    /// The API versions of the broker that responded last; connects if none has yet.
    pub fn versions(&self) -> Result<Arc<ApiVersions>, BrokerError> {
        if let Some(versions) = self.view().versions.clone() {
            return Ok(versions);
        }
        self.ping()?;
        let versions = self.view().versions.clone();
        versions.ok_or_else(|| BrokerError::Unavailable("no broker has reported its API versions yet".into()))
    }

    /// Adds the client's principal to an authorization error.
    pub fn with_principal(&self, error: BrokerError) -> BrokerError {
        match error {
            BrokerError::Denied(denial) => {
                BrokerError::Denied(denial.with_principal(|| self.settings.security.principal()))
            }
            other => other,
        }
    }

    /// The cached metadata of a topic; `None` if it was not looked up, or did not exist.
    pub fn cached(&self, topic: &TopicName) -> Option<Arc<TopicInfo>> {
        self.view().topics.get(topic).cloned()
    }

    /// The controller, which handles changes of topics.
    pub fn controller(&self) -> Result<NodeId, BrokerError> {
        let controller =
            self.request_metadata(&metadata::brokers_request(), BrokerTurn::Last)?.response.controller_id.0;
        Some(controller).filter(|node| *node >= 0).ok_or(Staleness::NoController.into())
    }

    /// `host:port` of a broker, from the cache or from fresh metadata.
    pub fn address(&self, node: NodeId) -> Result<Arc<str>, BrokerError> {
        if let Some(address) = self.view().brokers.get(&node) {
            return Ok(address.clone());
        }
        self.ping()?;
        let address = self.view().brokers.get(&node).cloned();
        address.ok_or(Staleness::UnknownBroker(node).into())
    }

    /// A random broker other than `node`.
    pub fn other_broker(&self, node: NodeId) -> Option<NodeId> {
        let others: Vec<NodeId> = self.view().brokers.keys().copied().filter(|other| *other != node).collect();
        fastrand::choice(others)
    }

    /// Opens a connection to a broker, which is not shared.
    pub fn connect(&self, node: NodeId) -> Result<BrokerConnection, BrokerError> {
        self.open(&self.address(node)?)
    }

    /// Opens a connection, but gives up on a broker that is silent for `patience`.
    pub fn connect_within(&self, node: NodeId, patience: Duration) -> Result<BrokerConnection, BrokerError> {
        self.open_within(&self.address(node)?, patience)
    }

    /// Counts of opened and failed connections.
    pub fn connections(&self) -> ConnectionCounts {
        ConnectionCounts {
            opened: self.opened.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            throttled: self.settings.throttled.total(),
        }
    }

    fn open(&self, address: &str) -> Result<BrokerConnection, BrokerError> {
        self.open_within(address, self.settings.connect_timeout)
    }

    fn open_within(&self, address: &str, patience: Duration) -> Result<BrokerConnection, BrokerError> {
        self.auth_backoff.attempt(address, || {
            let opened = BrokerConnection::open_within(address, &self.settings, patience);
            let count = if opened.is_ok() { &self.opened } else { &self.failed };
            count.fetch_add(1, Ordering::Relaxed);
            opened
        })
    }

    /// Fails with the reason of the last failure if that happened a moment ago, or while the caller waited.
    fn fail_fast(&self, arrived: Instant) -> Result<(), BrokerError> {
        match &self.view().outage {
            Some(outage) if outage.last_attempt >= arrived || Instant::now() < outage.retry_at => {
                Err(outage.why.clone())
            }
            _ => Ok(()),
        }
    }

    fn note_outage(&self, why: &BrokerError) {
        let mut view = self.view();
        let now = Instant::now();
        let outage = view.outage.get_or_insert_with(|| {
            log::warn!("{why}; trying again");
            ClusterOutage {
                since: now,
                last_attempt: now,
                retry_at: now,
                why: why.clone(),
                backoff: Backoff::for_broker(),
            }
        });
        outage.last_attempt = now;
        outage.retry_at = now + outage.backoff.pause(fastrand::f64());
        outage.why = why.clone();
    }

    fn view(&self) -> MutexGuard<'_, View> {
        lock(&self.view)
    }
}

/// No broker responds.
#[derive(Debug, Default, thiserror::Error)]
#[error("{}", self.reasons())]
pub struct NoBroker {
    /// The error of each attempt, in order.
    pub failures: Vec<BrokerError>,
}

impl NoBroker {
    /// The distinct reasons, separated by semicolons.
    fn reasons(&self) -> String {
        let mut reasons: Vec<String> = Vec::new();
        for failure in &self.failures {
            let reason = match failure {
                BrokerError::Unavailable(why) => why.to_string(),
                other => other.to_string(),
            };
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
        if reasons.is_empty() { "no bootstrap broker is configured".to_owned() } else { reasons.join("; ") }
    }
}

/// Combines the errors of all brokers into one. It is `Unavailable` if any of them is, because the cluster may recover.
fn combine_errors(mut failures: Vec<BrokerError>) -> BrokerError {
    let is_reachable = failures.iter().all(|failure| !matches!(failure, BrokerError::Unavailable(_)));
    match failures.pop() {
        Some(last) if is_reachable => last,
        last => {
            failures.extend(last);
            BrokerError::Unavailable(Cause::new(NoBroker { failures }))
        }
    }
}

#[cfg(test)]
mod tests;
