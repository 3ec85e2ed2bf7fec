//! A connection to a leader for producing. The producer thread sends; a thread per connection connects and then
//! receives the responses. When the broker requires reauthentication (KIP-368), the producer lends its sending half
//! to that thread, which authenticates once all earlier requests are answered.

use super::panic_as_error;
use super::partition_queue::{BatchOutcome, ConnectionId};
use super::request::{self, BY_NAME, PartitionOutcome, RequestPartition};
use super::request_size::Sharing;
use crate::broker::{Acks, BrokerError, NodeId, WriteState};
use crate::kafka::wire::cluster::ClusterClient;
use crate::kafka::wire::connection::Interrupter;
use crate::kafka::wire::frame::{FrameReceiver, FrameSender, InFlight};
use crate::kafka::wire::login::{Authentication, LoginSession};
use crate::kafka::wire::metadata;
use crossbeam_channel::{Receiver, Sender, bounded};
use kafka_protocol::messages::{MetadataRequest, ProduceRequest, ProduceResponse};
use std::thread::{Builder, Scope};
use std::time::{Duration, Instant};

/// Requests in flight on one connection. The broker processes one at a time, and finds the next one ready when it has
/// finished.
pub const MAX_REQUESTS: usize = 5;

/// A broker closes the connection on an oversized request as soon as it has read its length. If a connection is closed
/// later, the broker may have processed the request: load balancers close idle connections.
const REJECTED_WITHIN: Duration = Duration::from_secs(2);

/// How long the producer thread waits for a broker that accepts no more bytes. Meanwhile nothing is sent to other
/// brokers.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// An event of a connection, for the producer thread.
pub enum ConnectionEvent {
    Up(ProducerConnection),
    Responded {
        outcomes: Vec<PartitionOutcome>,
        request_bytes: usize,
        /// How long the broker throttles the client (KIP-219).
        throttle: Duration,
    },
    /// Reauthenticated; returns the sending half.
    Reauthenticated(FrameSender, LoginSession),
    /// The last event: the attempt to connect failed, or the connection ended with these requests unanswered.
    Down {
        why: BrokerError,
        lost: Vec<PartitionOutcome>,
    },
}

/// The sending side. Dropping it ends the connection as soon as its requests are answered.
pub struct ProducerConnection {
    pub id: ConnectionId,
    /// `None` while it is lent to the response reader.
    sender: Option<FrameSender>,
    session: LoginSession,
    interrupter: Interrupter,
    /// Carries at most `MAX_REQUESTS` requests and the lent sending half.
    work: Sender<ReaderTask>,
    in_flight: usize,
    /// Whether the last request shares the connection, while anything is in flight.
    sharing: Sharing,
    /// When the broker started to process the oldest request in flight: at the last response, or when the request was
    /// sent.
    due_since: Instant,
    throttled_until: Instant,
    version: i16,
}

enum ReaderTask {
    Await(SentRequest),
    Reauthenticate(Box<FrameSender>),
}

/// A request that awaits its response.
struct SentRequest {
    in_flight: InFlight,
    at: Instant,
    acks: Acks,
    parts: Vec<RequestPartition>,
}

/// The immediate result of sending a request.
pub enum SendOutcome {
    /// The outcomes follow as [`ConnectionEvent`]s.
    Awaited,
    Known(Vec<PartitionOutcome>),
    /// The connection is unusable.
    Failed {
        why: BrokerError,
        lost: Vec<PartitionOutcome>,
    },
}

/// The request that a new connection must answer before records are sent on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handshake {
    NotNeeded,
    /// A metadata request. The previous connection was closed on a request; if this one is closed too, the request is
    /// at fault.
    Metadata,
}

/// Starts the thread of a connection to `node`; it ends with the connection.
pub fn connect<'scope>(
    scope: &'scope Scope<'scope, '_>,
    cluster: &'scope ClusterClient,
    (node, id, handshake): (NodeId, ConnectionId, Handshake),
    timeout: Duration,
    events: impl Fn(ConnectionEvent) + Send + 'scope,
) -> std::io::Result<()> {
    let thread = Builder::new().name(format!("kafka-produce-{node}"));
    let run = move || match panic_as_error(|| open(cluster, node, id, handshake)) {
        Ok((connection, half, work)) => {
            events(ConnectionEvent::Up(connection));
            half.run(cluster, &work, timeout, &events);
        }
        Err(why) => events(ConnectionEvent::Down { why, lost: Vec::new() }),
    };
    thread.spawn_scoped(scope, run).map(drop)
}

fn open(
    cluster: &ClusterClient,
    node: NodeId,
    id: ConnectionId,
    handshake: Handshake,
) -> Result<(ProducerConnection, ResponseReader, Receiver<ReaderTask>), BrokerError> {
    let mut connection = cluster.connect(node)?;
    if handshake == Handshake::Metadata {
        let version = connection.version_for::<MetadataRequest>(metadata::VERSION)?;
        connection.call(&metadata::brokers_request(), version, cluster.settings().connect_timeout)?;
    }
    let by_name = connection.version_for::<ProduceRequest>(BY_NAME);
    let version = by_name.or_else(|_| connection.version_for::<ProduceRequest>(i16::MAX))?;
    let interrupter = connection.interrupter();
    let (sender, receiver, login) = connection.split();
    let (work, due) = bounded(MAX_REQUESTS + 1);
    let connection = ProducerConnection {
        id,
        sender: Some(sender),
        session: login.session(),
        interrupter,
        work,
        in_flight: 0,
        sharing: Sharing::Shared,
        due_since: Instant::now(),
        throttled_until: Instant::now(),
        version,
    };
    Ok((connection, ResponseReader { receiver, login }, due))
}

/// The receiving side, on the connection's thread.
struct ResponseReader {
    receiver: FrameReceiver,
    login: Authentication,
}

impl ResponseReader {
    fn run(
        mut self,
        cluster: &ClusterClient,
        work: &Receiver<ReaderTask>,
        timeout: Duration,
        events: &impl Fn(ConnectionEvent),
    ) {
        let mut last_response = Instant::now();
        for next in work {
            let (lost, closed, due) = (next.lost(), next.closed(), next.due_since(last_response));
            match panic_as_error(|| self.complete(next, cluster, timeout, &mut last_response)) {
                Ok(event) => events(event),
                Err(why) => {
                    let hung_up = due.elapsed() < REJECTED_WITHIN && !self.receiver.is_open();
                    return report_down(why, if hung_up { closed } else { lost }, work, events);
                }
            }
        }
    }

    fn complete(
        &mut self,
        work: ReaderTask,
        cluster: &ClusterClient,
        timeout: Duration,
        last_response: &mut Instant,
    ) -> Result<ConnectionEvent, BrokerError> {
        match work {
            ReaderTask::Await(SentRequest { in_flight, at, acks, parts }) => {
                // The broker processes one request at a time, so the timeout of a request starts with the previous
                // response.
                let deadline = at.max(*last_response) + timeout;
                let response = self.receiver.receive::<ProduceRequest>(in_flight, deadline);
                let (request_bytes, response) = (request::bytes(&parts), response?);
                let throttle = cluster.settings().throttled.note(response.throttle_time_ms);
                *last_response = Instant::now() + throttle;
                Ok(ConnectionEvent::Responded {
                    outcomes: outcomes(cluster, parts, &response, acks),
                    request_bytes,
                    throttle,
                })
            }
            ReaderTask::Reauthenticate(mut sender) => {
                self.login.authenticate(&mut sender, &mut self.receiver, timeout)?;
                Ok(ConnectionEvent::Reauthenticated(*sender, self.login.session()))
            }
        }
    }
}

fn outcomes(
    cluster: &ClusterClient,
    parts: Vec<RequestPartition>,
    response: &ProduceResponse,
    acks: Acks,
) -> Vec<PartitionOutcome> {
    let named = |outcome| match outcome {
        BatchOutcome::Failed(error) => BatchOutcome::Failed(cluster.with_principal(error)),
        other => other,
    };
    let outcomes = request::outcomes(parts, response, acks).into_iter();
    outcomes.map(|part| PartitionOutcome { outcome: named(part.outcome), ..part }).collect()
}

impl ReaderTask {
    /// Outcomes if no response can arrive any more.
    fn lost(&self) -> Vec<PartitionOutcome> {
        match self {
            Self::Await(sent) => request::lost(&sent.parts, WriteState::Maybe),
            Self::Reauthenticate(_) => Vec::new(),
        }
    }

    /// Outcomes if the broker closed the connection instead of answering.
    fn closed(&self) -> Vec<PartitionOutcome> {
        match self {
            Self::Await(sent) => request::connection_closed(&sent.parts, WriteState::Maybe),
            Self::Reauthenticate(_) => Vec::new(),
        }
    }

    /// When the broker started to process the request: at its previous response, or when the request was sent.
    fn due_since(&self, last_response: Instant) -> Instant {
        match self {
            Self::Await(sent) => sent.at.max(last_response),
            Self::Reauthenticate(_) => last_response,
        }
    }
}

/// Reports that the connection is unusable. The producer then drops its sending end; requests that it sends until
/// then go to a dead connection, and are reported here as lost as well.
fn report_down(
    why: BrokerError,
    mut lost: Vec<PartitionOutcome>,
    work: &Receiver<ReaderTask>,
    events: &impl Fn(ConnectionEvent),
) {
    lost.extend(work.try_iter().flat_map(|more| more.lost()));
    events(ConnectionEvent::Down { why, lost });
    for more in work {
        let (request_bytes, throttle) = (0, Duration::ZERO);
        events(ConnectionEvent::Responded { outcomes: more.lost(), request_bytes, throttle });
    }
}

impl ProducerConnection {
    /// Requests in flight; `MAX_REQUESTS` while the connection is reauthenticated or a batch must be alone on it.
    pub fn in_flight(&self) -> usize {
        let occupied = self.sender.is_none() || (self.in_flight > 0 && self.sharing == Sharing::Alone);
        if occupied { MAX_REQUESTS } else { self.in_flight }
    }

    /// Notes a response, and how long the broker throttles the client.
    pub fn note_response(&mut self, throttle: Duration, now: Instant) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.due_since = now + throttle;
        self.throttled_until = now + throttle;
    }

    /// When the broker's quotas allow the next request.
    pub fn throttled_until(&self) -> Instant {
        self.throttled_until
    }

    /// How long the broker has been processing the oldest request in flight without a response.
    pub fn silence(&self, now: Instant) -> Duration {
        if self.in_flight == 0 { Duration::ZERO } else { now.saturating_duration_since(self.due_since) }
    }

    /// Whether the connection is open, as far as is known here.
    pub fn is_open(&self) -> bool {
        self.in_flight > 0 || self.sender.is_none() || self.sender.as_ref().is_some_and(FrameSender::is_open)
    }

    /// Starts reauthentication if it is due. All earlier requests are answered first, and nothing else is sent until it
    /// is complete.
    pub fn reauthenticate_if_due(&mut self, now: Instant) {
        if self.session.is_due(now)
            && let Some(sender) = self.sender.take()
        {
            // Sending fails only if the thread has ended, and then it has reported `Down`.
            let _ = self.work.send(ReaderTask::Reauthenticate(Box::new(sender)));
        }
    }

    /// Takes the sending half back after reauthentication.
    pub fn reauthenticated(&mut self, sender: FrameSender, session: LoginSession) {
        self.sender = Some(sender);
        self.session = session;
    }

    /// Closes the connection at once.
    pub fn interrupt(&self) {
        self.interrupter.interrupt();
    }

    /// Sends a request with `parts`. `timeout` bounds the time until the response.
    pub fn send(
        &mut self,
        parts: Vec<RequestPartition>,
        acks: Acks,
        timeout: Duration,
        sharing: Sharing,
    ) -> SendOutcome {
        self.sharing = sharing;
        // The broker times out first, so that it can respond with an error.
        let request = request::build(&parts, acks, self.version, timeout * 4 / 5);
        let now = Instant::now();
        let Some(sender) = &mut self.sender else {
            let why = BrokerError::Unavailable("the connection is being reauthenticated".into());
            return SendOutcome::Failed { why, lost: request::lost(&parts, WriteState::No) };
        };
        match sender.send(&request, self.version, now + timeout.min(SEND_TIMEOUT)) {
            Ok(_) if acks == Acks::None => SendOutcome::Known(request::unacknowledged(parts)),
            Ok(in_flight) => {
                if self.in_flight == 0 {
                    self.due_since = now;
                }
                self.in_flight += 1;
                let sent = SentRequest { in_flight, at: Instant::now(), acks, parts };
                match self.work.send(ReaderTask::Await(sent)) {
                    Ok(()) => SendOutcome::Awaited,
                    Err(unsent) => SendOutcome::Failed {
                        why: BrokerError::Unavailable("the connection has ended".into()),
                        lost: unsent.0.lost(),
                    },
                }
            }
            // The broker has only a part of the request and does not process it.
            Err(why) if sender.is_open() => SendOutcome::Failed { why, lost: request::lost(&parts, WriteState::No) },
            Err(why) => SendOutcome::Failed { why, lost: request::connection_closed(&parts, WriteState::No) },
        }
    }
}
