//! A connection to a leader for producing: the writer sends, a thread of its own connects and then
//! awaits the answers. When the broker wants the credentials again, the writer lends its half to the
//! thread, which logs in once what was sent before is answered.

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

/// Requests on one connection that await their answer. The broker works on one at a time and has
/// the next at hand.
pub const MAX_REQUESTS: usize = 5;

/// A broker closes the connection on a request that is too large as soon as it has read its length. One that is closed
/// later may have been worked on: load balancers close those that are silent.
const REJECTED_WITHIN: Duration = Duration::from_secs(2);

/// How long the writer, and so every other broker, waits for one that takes no more bytes.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// What a connection's thread tells the writer.
pub enum ConnectionEvent {
    Up(ProducerConnection),
    Responded {
        outcomes: Vec<PartitionOutcome>,
        request_bytes: usize,
        /// How long the broker wants to be left alone.
        throttle: Duration,
    },
    /// Logged in again: the half that was lent.
    Reauthenticated(FrameSender, LoginSession),
    /// The last: could not connect, or connected no more, with what was not answered.
    Down {
        why: BrokerError,
        lost: Vec<PartitionOutcome>,
    },
}

/// The writer's side. Dropping it ends the connection as soon as its requests are answered.
pub struct ProducerConnection {
    pub id: ConnectionId,
    /// `None` while it is lent to the thread.
    sender: Option<FrameSender>,
    session: LoginSession,
    interrupter: Interrupter,
    /// At most `MAX_REQUESTS` and the sending half wait there, which is also its bound.
    work: Sender<ReaderTask>,
    in_flight: usize,
    /// Of the request sent last, while anything is in flight.
    sharing: Sharing,
    /// Since when a response is due: the last one, or the request where nothing was in flight before it.
    due_since: Instant,
    throttled_until: Instant,
    version: i16,
}

enum ReaderTask {
    Await(SentRequest),
    Reauthenticate(Box<FrameSender>),
}

/// A request whose answer the thread awaits.
struct SentRequest {
    in_flight: InFlight,
    at: Instant,
    acks: Acks,
    parts: Vec<RequestPartition>,
}

/// What became of a request right away.
pub enum SendOutcome {
    /// The answers come as [`LinkEvent`]s.
    Awaited,
    Known(Vec<PartitionOutcome>),
    /// The connection is of no use any more.
    Failed {
        why: BrokerError,
        lost: Vec<PartitionOutcome>,
    },
}

/// What a new connection must answer before records are sent on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handshake {
    NotNeeded,
    /// A question for the brokers: the one before was closed on a request, and if this one is too, it is the request's fault.
    Metadata,
}

/// Starts the thread of a connection to `node`, which ends with the connection.
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

/// The thread's side.
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
        let mut answered = Instant::now();
        for next in work {
            let (lost, closed, due) = (next.lost(), next.closed(), next.due_since(answered));
            match panic_as_error(|| self.complete(next, cluster, timeout, &mut answered)) {
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
        answered: &mut Instant,
    ) -> Result<ConnectionEvent, BrokerError> {
        match work {
            ReaderTask::Await(SentRequest { in_flight, at, acks, parts }) => {
                // The broker works on one request at a time: the next one's time begins with the answer before.
                let deadline = at.max(*answered) + timeout;
                let response = self.receiver.receive::<ProduceRequest>(in_flight, deadline);
                let (request_bytes, response) = (request::bytes(&parts), response?);
                let throttle = cluster.settings().throttled.note(response.throttle_time_ms);
                *answered = Instant::now() + throttle;
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
    /// What is to be told of it where nothing comes of it any more.
    fn lost(&self) -> Vec<PartitionOutcome> {
        match self {
            Self::Await(sent) => request::lost(&sent.parts, WriteState::Maybe),
            Self::Reauthenticate(_) => Vec::new(),
        }
    }

    /// Likewise, where the broker closed the connection instead of answering it.
    fn closed(&self) -> Vec<PartitionOutcome> {
        match self {
            Self::Await(sent) => request::connection_closed(&sent.parts, WriteState::Maybe),
            Self::Reauthenticate(_) => Vec::new(),
        }
    }

    /// When the broker began to work on it, after it has answered the one before.
    fn due_since(&self, answered: Instant) -> Instant {
        match self {
            Self::Await(sent) => sent.at.max(answered),
            Self::Reauthenticate(_) => answered,
        }
    }
}

/// The connection is of no use any more. The writer learns of it now, and drops the sending end; what
/// it sends until then is on a dead connection, and comes here to be reported as well.
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
    /// How many requests await their answer; as many as can, while the connection is being renewed or one goes alone.
    pub fn in_flight(&self) -> usize {
        let occupied = self.sender.is_none() || (self.in_flight > 0 && self.sharing == Sharing::Alone);
        if occupied { MAX_REQUESTS } else { self.in_flight }
    }

    /// A request was answered; the broker wants to be left alone for so long.
    pub fn answered(&mut self, throttle: Duration, now: Instant) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.due_since = now + throttle;
        self.throttled_until = now + throttle;
    }

    /// When the next request may be sent, as far as the broker's quotas say.
    pub fn throttled_until(&self) -> Instant {
        self.throttled_until
    }

    /// How long the broker has not responded to the request that it works on.
    pub fn silence(&self, now: Instant) -> Duration {
        if self.in_flight == 0 { Duration::ZERO } else { now.saturating_duration_since(self.due_since) }
    }

    /// Whether the broker has not closed the connection, as far as is known here.
    pub fn is_open(&self) -> bool {
        self.in_flight > 0 || self.sender.is_none() || self.sender.as_ref().is_some_and(FrameSender::is_open)
    }

    /// Logs in again where that is due: nothing is sent until then, and all that was sent is answered first.
    pub fn reauthenticate_if_due(&mut self, now: Instant) {
        if self.session.is_due(now)
            && let Some(sender) = self.sender.take()
        {
            // The thread ends only with a word of its own.
            let _ = self.work.send(ReaderTask::Reauthenticate(Box::new(sender)));
        }
    }

    pub fn reauthenticated(&mut self, sender: FrameSender, session: LoginSession) {
        self.sender = Some(sender);
        self.session = session;
    }

    /// Ends the connection at once.
    pub fn interrupt(&self) {
        self.interrupter.interrupt();
    }

    pub fn send(
        &mut self,
        parts: Vec<RequestPartition>,
        acks: Acks,
        timeout: Duration,
        sharing: Sharing,
    ) -> SendOutcome {
        self.sharing = sharing;
        // The broker gives up first, so that it can say so.
        let request = request::build(&parts, acks, self.version, timeout * 4 / 5);
        let now = Instant::now();
        let Some(sender) = &mut self.sender else {
            let why = BrokerError::Unavailable("the connection is being renewed".to_owned());
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
                        why: BrokerError::Unavailable("the connection has ended".to_owned()),
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
