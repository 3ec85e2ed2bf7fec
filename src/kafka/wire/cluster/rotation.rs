//! Chooses the broker for each metadata request.
//!
//! A broker that is cut off from the controllers keeps returning outdated leaders, and its response does not show it.
//! Requests for leaders therefore rotate over the brokers, so that the next broker corrects an outdated response. If a
//! broker does not respond within about a second, the request goes to another one (hedging).
//!
//! If the response of one broker is not enough, a second one is queried ([`BrokerTurn::Other`]). That must not delay
//! other requests, so brokers that are silent, throttled or have just failed are skipped.

use super::{ClusterClient, combine_errors};
use crate::broker::BrokerError;
use crate::kafka::wire::connection::BrokerConnection;
use crate::kafka::wire::metadata;
use crate::sync::backoff::Backoff;
use crate::sync::lock;
use kafka_protocol::messages::{MetadataRequest, MetadataResponse};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Connections kept for metadata. With three, one broker may be frozen and another one cut off from the controllers,
/// and the third still reports the leaders.
const MAX_KEPT: usize = 3;

/// How long a broker may be silent before another one is asked, unless responses usually take longer.
pub(super) const HEDGE: Duration = Duration::from_secs(1);

/// How long an unreachable or silent address is moved to the end of the order: initial and maximum duration.
const AVOID_FOR: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(300));

/// Which broker to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BrokerTurn<'a> {
    /// The broker that responded last, for requests that any broker can answer.
    Last,
    /// A different broker than last time.
    Next,
    /// A broker at none of these addresses.
    Other(&'a [Arc<str>]),
}

/// A response to a metadata request.
pub(super) struct MetadataReply {
    pub response: MetadataResponse,
    /// Address of the broker that responded.
    pub address: Arc<str>,
    /// Responses are numbered in order of arrival.
    pub number: u64,
}

/// Whether an address leads to one broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AddressKind {
    OneBroker,
    /// Any of several brokers: a load balancer, or another name of a broker.
    ManyBrokers,
}

impl MetadataReply {
    /// Addresses of the brokers in this response.
    pub fn brokers(&self) -> BTreeSet<Arc<str>> {
        metadata::addresses(&self.response).into_values().collect()
    }

    /// Returns whether the address leads to one broker: brokers advertise their addresses, load balancers do not.
    pub fn address_kind(&self) -> AddressKind {
        let brokers = self.brokers();
        if brokers.len() <= 1 || brokers.contains(&self.address) {
            AddressKind::OneBroker
        } else {
            AddressKind::ManyBrokers
        }
    }
}

/// Connections for metadata, and the state of addresses.
#[derive(Default)]
pub(super) struct MetadataConnections {
    /// Ordered by their latest response; the last one responded last.
    kept: VecDeque<BrokerConnection>,
    avoided: HashMap<Arc<str>, Avoided>,
    /// Twice the duration of the last request.
    expected: Duration,
    /// The number of responses so far.
    responses: u64,
}

struct Avoided {
    failed: Instant,
    until: Instant,
    backoff: Backoff,
}

impl MetadataConnections {
    fn take(&mut self, address: &str) -> Option<BrokerConnection> {
        let at = self.kept.iter().position(|connection| connection.address() == address)?;
        self.kept.remove(at)
    }

    fn keep(&mut self, connection: BrokerConnection, took: Duration) {
        self.avoided.remove(connection.address());
        self.expected = took * 2;
        self.responses += 1;
        self.kept.push_back(connection);
        if self.kept.len() > MAX_KEPT {
            self.kept.pop_front();
        }
    }

    fn avoid(&mut self, address: &Arc<str>) {
        let now = Instant::now();
        let new = || Avoided { failed: now, until: now, backoff: Backoff::new(AVOID_FOR.0, AVOID_FOR.1) };
        let avoided = self.avoided.entry(address.clone()).or_insert_with(new);
        (avoided.failed, avoided.until) = (now, now + avoided.backoff.pause(fastrand::f64()));
    }

    fn is_avoided(&self, address: &Arc<str>) -> bool {
        self.avoided.get(address).is_some_and(|avoided| avoided.until > Instant::now())
    }

    fn has_just_failed(&self, address: &Arc<str>) -> bool {
        self.avoided.get(address).is_some_and(|avoided| avoided.failed.elapsed() < AVOID_FOR.0)
    }

    /// Returns all addresses in the order in which to try them. Those in `others` have no kept connection.
    fn order(&self, turn: BrokerTurn<'_>, mut others: Vec<Arc<str>>, brokers: usize) -> VecDeque<Arc<str>> {
        // A request to a throttled broker would delay all others.
        let soon = Instant::now() + HEDGE;
        let is_throttled = |c: &&BrokerConnection| c.throttled_until().is_some_and(|until| until > soon);
        let (throttled, kept): (Vec<_>, Vec<_>) = self.kept.iter().partition(is_throttled);
        let kept = kept.into_iter().map(|connection| Arc::from(connection.address()));
        // The sort is stable, so both halves keep their order.
        others.sort_by_key(|address| self.is_avoided(address));
        let mut order: VecDeque<Arc<str>> = match turn {
            BrokerTurn::Last => kept.rev().collect(),
            BrokerTurn::Next | BrokerTurn::Other(_) => kept.collect(),
        };
        let lacks_one = turn == BrokerTurn::Next && order.len() < MAX_KEPT.min(brokers);
        if let Some(first) = others.first()
            && lacks_one
            && !self.is_avoided(first)
        {
            order.push_front(others.remove(0));
        }
        order.extend(others);
        if let BrokerTurn::Other(responded) = turn {
            order.retain(|address| !responded.contains(address) && !self.has_just_failed(address));
            return order;
        }
        order.extend(throttled.into_iter().map(|connection| Arc::from(connection.address())));
        order
    }
}

impl ClusterClient {
    /// Sends the request to one broker after another until one responds. Each has about a second; then the silent ones
    /// are tried again with more time.
    pub(super) fn request_metadata(
        &self,
        request: &MetadataRequest,
        turn: BrokerTurn<'_>,
    ) -> Result<MetadataReply, BrokerError> {
        let arrived = Instant::now();
        let mut connections = lock(&self.connections);
        self.fail_fast(arrived)?;
        let deadline = Instant::now() + self.settings.request_timeout;
        // A silent broker must leave time for the others.
        let longest = self.settings.request_timeout / 3;
        let mut round = self.addresses(&mut connections, turn);
        let is_second = matches!(turn, BrokerTurn::Other(_));
        let mut patience =
            if round.len() > 1 || is_second { connections.expected.max(HEDGE).min(longest) } else { longest };
        let (mut failures, mut silent) = (Vec::new(), VecDeque::new());
        while Instant::now() < deadline {
            let Some(address) = round.pop_front() else {
                if silent.is_empty() {
                    break;
                }
                patience = longest;
                std::mem::swap(&mut round, &mut silent);
                continue;
            };
            let began = Instant::now();
            let kept = connections.take(&address);
            let was_kept = kept.is_some();
            let connection = kept.map_or_else(|| self.open_within(&address, patience), Ok);
            // Slow authentication does not shorten the time for the response.
            let ask = |c| self.request_on(c, request, deadline.min(Instant::now() + patience));
            let error = match connection.and_then(ask) {
                Ok((connection, response)) => {
                    connections.keep(connection, began.elapsed());
                    return Ok(MetadataReply { response, address, number: connections.responses });
                }
                Err(error) => error,
            };
            match began.elapsed() < patience {
                // The broker may have closed the connection as idle, or for a restart.
                true if was_kept => round.push_front(address),
                true => connections.avoid(&address),
                false => {
                    connections.avoid(&address);
                    if patience < longest && !is_second {
                        silent.push_back(address);
                    }
                }
            }
            failures.push(error);
        }
        let why = combine_errors(failures);
        if is_second {
            return Err(why);
        }
        // All addresses have failed, so none is preferred when they are back.
        connections.avoided.clear();
        self.note_outage(&why);
        Err(why)
    }

    fn request_on(
        &self,
        mut connection: BrokerConnection,
        request: &MetadataRequest,
        until: Instant,
    ) -> Result<(BrokerConnection, MetadataResponse), BrokerError> {
        let version = connection.version_for::<MetadataRequest>(metadata::VERSION)?;
        let response = connection.call(request, version, until.saturating_duration_since(Instant::now()))?;
        let mut view = self.view();
        if let Some(outage) = view.outage.take() {
            log::info!("{} responds again after {} s", connection.address(), outage.since.elapsed().as_secs());
        }
        view.versions = Some(connection.versions().clone());
        view.responded = Some((connection.address().into(), Instant::now()));
        if !response.brokers.is_empty() {
            view.brokers = metadata::addresses(&response);
        }
        Ok((connection, response))
    }

    /// Addresses of kept connections, then of known brokers, then of the bootstrap list.
    fn addresses(&self, connections: &mut MetadataConnections, turn: BrokerTurn<'_>) -> VecDeque<Arc<str>> {
        let mut view = self.view();
        let mut known: Vec<Arc<str>> = view.brokers.values().cloned().collect();
        let own = known.clone();
        let mut bootstrap: Vec<Arc<str>> =
            self.settings.bootstrap.iter().map(|address| address.as_str().into()).collect();
        let is_present = |address: &Arc<str>| known.contains(address) || bootstrap.contains(address);
        view.outdated.retain(is_present);
        drop(view);
        connections.avoided.retain(|address, _| is_present(address));
        fastrand::shuffle(&mut known);
        fastrand::shuffle(&mut bootstrap);
        for address in bootstrap {
            if !known.contains(&address) {
                known.push(address);
            }
        }
        known.retain(|address| connections.kept.iter().all(|connection| connection.address() != &**address));
        let mut order = connections.order(turn, known, own.len());
        if let BrokerTurn::Other(_) = turn {
            // Bootstrap addresses may lead to a broker that has responded already.
            order.retain(|address| own.contains(address));
        }
        order
    }
}
