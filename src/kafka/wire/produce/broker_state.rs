//! State of a broker that leads partitions with records to write.

use super::partition_queue::{BatchOutcome, ConnectionId};
use super::producer_connection::{Handshake, ProducerConnection};
use super::request::{PartitionOutcome, QueueId};
use super::request_size::RequestSize;
use crate::broker::BrokerError;
use crate::sync::backoff::Backoff;
use std::time::{Duration, Instant};

/// The connection to a broker, and the queues of the partitions that it leads.
pub struct BrokerState {
    pub connection: ConnectionState,
    /// The error of the last connection or attempt to connect, until the next connection is up.
    pub last_error: Option<BrokerError>,
    /// The queues of its partitions that are not idle, in sending order.
    pub candidates: Vec<QueueId>,
    /// The queue whose batch is sent alone as soon as nothing is in flight.
    pub next_alone: Option<QueueId>,
    pub request_size: RequestSize,
    /// The request that the next connection must answer before records are sent.
    pub handshake: Handshake,
    backoff: Backoff,
}

/// The state of the connection to a broker.
pub enum ConnectionState {
    Disconnected { retry_at: Instant },
    Connecting(ConnectionId),
    Up(ProducerConnection),
}

impl Default for BrokerState {
    fn default() -> Self {
        Self {
            connection: ConnectionState::Disconnected { retry_at: Instant::now() },
            last_error: None,
            candidates: Vec::new(),
            next_alone: None,
            request_size: RequestSize::default(),
            handshake: Handshake::NotNeeded,
            backoff: Backoff::for_broker(),
        }
    }
}

impl BrokerState {
    /// Returns the id of the current connection, or of the one that is being opened.
    pub fn connection_id(&self) -> Option<ConnectionId> {
        match &self.connection {
            ConnectionState::Disconnected { .. } => None,
            ConnectionState::Connecting(id) => Some(*id),
            ConnectionState::Up(connection) => Some(connection.id),
        }
    }

    /// How long the broker has been silent on connection `on`; `None` if that is not the current one.
    pub fn silence(&self, on: ConnectionId, now: Instant) -> Option<Duration> {
        match &self.connection {
            ConnectionState::Up(connection) if connection.id == on => Some(connection.silence(now)),
            _ => None,
        }
    }

    /// Whether a new record has to wait for a response or a connection.
    pub fn is_occupied(&self) -> bool {
        !matches!(&self.connection, ConnectionState::Up(connection) if connection.in_flight() == 0)
    }

    /// Stores a connection that is ready for records.
    pub fn connected(&mut self, connection: ProducerConnection) {
        self.connection = ConnectionState::Up(connection);
        self.last_error = None;
        self.backoff.reset();
    }

    /// Notes the response to a request of `request_bytes`.
    pub fn note_response(&mut self, request_bytes: usize) {
        self.request_size.note_accepted(request_bytes);
        self.handshake = Handshake::NotNeeded;
    }

    /// Determines the outcomes of the batches in flight on a closed connection: the request size can be the reason only
    /// if the broker has not answered a request of that size before.
    pub fn on_closed(&mut self, lost: Vec<PartitionOutcome>, now: Instant) -> Vec<PartitionOutcome> {
        let accepted = self.request_size.accepted;
        let mut rejected: Option<usize> = None;
        let mut judged = |mut part: PartitionOutcome| {
            if let BatchOutcome::ConnectionClosed { attempt, request_bytes } = part.outcome {
                if request_bytes <= accepted {
                    part.outcome = BatchOutcome::Retry { attempt };
                } else {
                    rejected = Some(rejected.map_or(request_bytes, |before| before.min(request_bytes)));
                }
            }
            part
        };
        let lost = lost.into_iter().map(&mut judged).collect();
        // A request counts once, regardless of its number of batches.
        if let Some(bytes) = rejected {
            self.request_size.note_rejected(bytes, now);
            self.handshake = Handshake::Metadata;
        }
        lost
    }

    /// Closes the connection and backs off before the next one.
    pub fn disconnected(&mut self, why: BrokerError, now: Instant) {
        self.interrupt();
        self.connection = ConnectionState::Disconnected { retry_at: now + self.backoff.pause(fastrand::f64()) };
        self.last_error = Some(why);
    }

    /// Closes the connection, so that its thread ends.
    pub fn interrupt(&self) {
        if let ConnectionState::Up(connection) = &self.connection {
            connection.interrupt();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::outcome::LeaderCheck;
    use super::*;
    use crate::broker::WriteState;
    use crate::kafka::wire::produce::request_size::{MIN_REQUEST_LIMIT, Occupancy};

    #[test]
    fn a_request_of_many_batches_that_was_refused_counts_once() {
        let (mut node, now) = (BrokerState::default(), Instant::now());
        let closed = BatchOutcome::ConnectionClosed { attempt: WriteState::No, request_bytes: MIN_REQUEST_LIMIT * 2 };
        let part = |number| PartitionOutcome {
            queue: QueueId(0),
            number,
            outcome: closed.clone(),
            leader: LeaderCheck::Confirmed,
        };
        node.on_closed((0..40).map(part).collect(), now);
        let most = |after| node.request_size.limit(Occupancy::Vacant, now + Duration::from_secs(after));
        assert_eq!([most(9), most(10)], [MIN_REQUEST_LIMIT, MIN_REQUEST_LIMIT * 2]);
    }
}
