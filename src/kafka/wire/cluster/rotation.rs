//! Which broker is asked for metadata.
//!
//! A broker that is cut off from the controllers answers with outdated leaders for as long as that lasts, and
//! nothing in its answer says so. Therefore questions about leaders go to the brokers in turn: whatever one of them
//! does not know, the next one tells. A broker that is silent is left for another one after about a second.
//!
//! Where the answer of one broker is not enough, another one is asked ([`Turn::Other`]). That must not hold up the
//! questions of others, so a broker that is silent, throttled or has just failed is left out.

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

/// Connections that are kept for metadata. With three, one broker may be frozen and another one cut off from the
/// controllers, and the third still tells the leaders.
const MAX_KEPT: usize = 3;

/// How long a broker may be silent before another one is asked, where brokers have answered faster than that.
pub(super) const HEDGE: Duration = Duration::from_secs(1);

/// An address that could not be reached or was silent is asked last for so long, and for longer each further time.
const AVOID_FOR: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(300));

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BrokerTurn<'a> {
    /// The broker that answered last: any broker will do.
    Last,
    /// Another broker than last time.
    Next,
    /// A broker at another address than these.
    Other(&'a [Arc<str>]),
}

pub(super) struct MetadataReply {
    pub answer: MetadataResponse,
    /// Of the broker that answered.
    pub address: Arc<str>,
    /// Answers are counted in the order in which they come.
    pub number: u64,
}

/// What an address stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AddressKind {
    OneBroker,
    /// Some of the brokers: a load balancer, or another name of one of them.
    ManyBrokers,
}

impl MetadataReply {
    /// Addresses of the brokers, as this one says.
    pub fn brokers(&self) -> BTreeSet<Arc<str>> {
        metadata::addresses(&self.answer).into_values().collect()
    }

    pub fn address_kind(&self) -> AddressKind {
        let brokers = self.brokers();
        if brokers.len() <= 1 || brokers.contains(&self.address) {
            AddressKind::OneBroker
        } else {
            AddressKind::ManyBrokers
        }
    }
}

/// Connections for metadata, and what is known of addresses.
#[derive(Default)]
pub(super) struct MetadataConnections {
    /// The one that answered last is the last.
    kept: VecDeque<BrokerConnection>,
    avoided: HashMap<Arc<str>, Avoided>,
    /// Twice what the last answer took.
    expected: Duration,
    /// Answers so far.
    answers: u64,
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
        self.answers += 1;
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

    /// All addresses in the order in which they are to be asked; `others` are those without a kept connection.
    fn order(&self, turn: BrokerTurn<'_>, mut others: Vec<Arc<str>>, brokers: usize) -> VecDeque<Arc<str>> {
        // A question to a broker whose quota is used up would hold up all others.
        let soon = Instant::now() + HEDGE;
        let is_throttled = |c: &&BrokerConnection| c.throttled_until().is_some_and(|until| until > soon);
        let (throttled, kept): (Vec<_>, Vec<_>) = self.kept.iter().partition(is_throttled);
        let kept = kept.into_iter().map(|connection| Arc::from(connection.address()));
        // Stable: in each half the order remains.
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
    /// Asks brokers until one answers: first each of them for about a second, then the silent ones for longer.
    pub(super) fn request_metadata(
        &self,
        request: &MetadataRequest,
        turn: BrokerTurn<'_>,
    ) -> Result<MetadataReply, BrokerError> {
        let arrived = Instant::now();
        let mut connections = lock(&self.connections);
        self.fail_fast(arrived)?;
        let deadline = Instant::now() + self.settings.request_timeout;
        // One that is silent must leave time for the others.
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
            // A slow login does not shorten the time for the answer.
            let ask = |c| self.request_on(c, request, deadline.min(Instant::now() + patience));
            let error = match connection.and_then(ask) {
                Ok((connection, answer)) => {
                    connections.keep(connection, began.elapsed());
                    return Ok(MetadataReply { answer, address, number: connections.answers });
                }
                Err(error) => error,
            };
            match began.elapsed() < patience {
                // Closed for idleness or a restart: the broker may well be there.
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
        // None is better than another: when they come back, all of them take their turns again.
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
        let answer = connection.call(request, version, until.saturating_duration_since(Instant::now()))?;
        let mut view = self.view();
        if let Some(outage) = view.outage.take() {
            log::info!("{} answers again after {} s", connection.address(), outage.since.elapsed().as_secs());
        }
        view.versions = Some(connection.versions().clone());
        if !answer.brokers.is_empty() {
            view.brokers = metadata::addresses(&answer);
        }
        Ok((connection, answer))
    }

    /// Kept connections, then the brokers that are known, then the addresses of the settings.
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
            // Other addresses may lead to a broker that has been asked already.
            order.retain(|address| own.contains(address));
        }
        order
    }
}
