//! A connection to a leader for producing: the writer sends, a thread of its own connects and then
//! awaits the answers.

use super::queue::LinkId;
use super::request::{self, BY_NAME, Part, PartAnswer};
use crate::broker::{Acks, BrokerError, NodeId, Written};
use crate::kafka::wire::cluster::Cluster;
use crate::kafka::wire::connection::{FrameReceiver, FrameSender, Interrupter, Ticket};
use crossbeam_channel::{Receiver, Sender, bounded};
use kafka_protocol::messages::ProduceRequest;
use std::thread::{Builder, Scope};
use std::time::{Duration, Instant};

/// Requests on one connection that await their answer. The broker works on one at a time and has
/// the next at hand.
pub const MAX_REQUESTS: usize = 5;

/// How long the writer, and so every other broker, waits for one that takes no more bytes.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// What a link's thread tells the writer.
pub enum LinkEvent {
    Up(Link),
    Answered(Vec<PartAnswer>),
    /// The last: could not connect, or connected no more, with what was not answered.
    Down {
        why: BrokerError,
        lost: Vec<PartAnswer>,
    },
}

/// The writer's side. Dropping it ends the connection as soon as its requests are answered.
pub struct Link {
    pub id: LinkId,
    sender: FrameSender,
    interrupter: Interrupter,
    /// At most `MAX_REQUESTS` wait there, which is also its bound.
    tickets: Sender<Sent>,
    in_flight: usize,
    version: i16,
}

/// A request whose answer the thread awaits.
struct Sent {
    ticket: Ticket,
    at: Instant,
    acks: Acks,
    parts: Vec<Part>,
}

/// What became of a request right away.
pub enum SendOutcome {
    /// The answers come as [`LinkEvent`]s.
    Awaited,
    Known(Vec<PartAnswer>),
    /// The connection is of no use any more.
    Failed {
        why: BrokerError,
        lost: Vec<PartAnswer>,
    },
}

/// Starts the thread of a link to `node`, which ends with the link.
pub fn connect<'scope>(
    scope: &'scope Scope<'scope, '_>,
    cluster: &'scope Cluster,
    (node, id): (NodeId, LinkId),
    timeout: Duration,
    events: impl Fn(LinkEvent) + Send + 'scope,
) -> std::io::Result<()> {
    let thread = Builder::new().name(format!("kafka-produce-{node}"));
    let run = move || match open(cluster, node, id) {
        Ok((link, receiver, tickets)) => {
            events(LinkEvent::Up(link));
            await_answers(receiver, &tickets, timeout, &events);
        }
        Err(why) => events(LinkEvent::Down { why, lost: Vec::new() }),
    };
    thread.spawn_scoped(scope, run).map(drop)
}

fn open(cluster: &Cluster, node: NodeId, id: LinkId) -> Result<(Link, FrameReceiver, Receiver<Sent>), BrokerError> {
    let connection = cluster.connect(node)?;
    let by_name = connection.version_for::<ProduceRequest>(BY_NAME);
    let version = by_name.or_else(|_| connection.version_for::<ProduceRequest>(i16::MAX))?;
    let interrupter = connection.interrupter();
    let (sender, receiver) = connection.split();
    let (tickets, sent) = bounded(MAX_REQUESTS);
    Ok((Link { id, sender, interrupter, tickets, in_flight: 0, version }, receiver, sent))
}

fn await_answers(
    mut receiver: FrameReceiver,
    tickets: &Receiver<Sent>,
    timeout: Duration,
    events: &impl Fn(LinkEvent),
) {
    let mut answered = Instant::now();
    for Sent { ticket, at, acks, parts } in tickets {
        // The broker works on one request at a time: the next one's time begins with the answer before.
        let deadline = at.max(answered) + timeout;
        let response = receiver.receive::<ProduceRequest>(ticket, deadline);
        answered = Instant::now();
        match response {
            Ok(response) => events(LinkEvent::Answered(request::answers(parts, &response, acks))),
            Err(why) => {
                // The writer learns of it now, and drops the sending end; what it sends until then
                // is on a dead connection, and comes here to be reported as well.
                let mut lost = request::lost(parts, Written::Maybe);
                lost.extend(tickets.try_iter().flat_map(|sent| request::lost(sent.parts, Written::Maybe)));
                events(LinkEvent::Down { why, lost });
                for sent in tickets {
                    events(LinkEvent::Answered(request::lost(sent.parts, Written::Maybe)));
                }
                return;
            }
        }
    }
}

impl Link {
    /// How many requests await their answer.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// A request was answered.
    pub fn answered(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Whether the broker has not closed the connection, as far as is known here.
    pub fn is_open(&self) -> bool {
        self.in_flight > 0 || self.sender.is_open()
    }

    /// Ends the connection at once.
    pub fn interrupt(&self) {
        self.interrupter.interrupt();
    }

    pub fn send(&mut self, parts: Vec<Part>, acks: Acks, timeout: Duration) -> SendOutcome {
        // The broker gives up first, so that it can say so.
        let request = request::assemble(&parts, acks, self.version, timeout * 4 / 5);
        let now = Instant::now();
        match self.sender.send(&request, self.version, now + timeout.min(SEND_TIMEOUT)) {
            Ok(_) if acks == Acks::None => SendOutcome::Known(request::unacknowledged(parts)),
            Ok(ticket) => {
                self.in_flight += 1;
                let sent = Sent { ticket, at: Instant::now(), acks, parts };
                match self.tickets.send(sent) {
                    Ok(()) => SendOutcome::Awaited,
                    Err(unsent) => SendOutcome::Failed {
                        why: BrokerError::Unavailable("the connection has ended".to_owned()),
                        lost: request::lost(unsent.0.parts, Written::Maybe),
                    },
                }
            }
            // A request cut short is none: the broker waits for its end, which never comes.
            Err(why) => SendOutcome::Failed { why, lost: request::lost(parts, Written::No) },
        }
    }
}
