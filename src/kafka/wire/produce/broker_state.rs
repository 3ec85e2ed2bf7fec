//! A broker that leads partitions we write to.

use super::partition_queue::{BatchOutcome, ConnectionId};
use super::producer_connection::{Handshake, ProducerConnection};
use super::request::{PartitionOutcome, QueueId};
use super::room::RequestSize;
use crate::broker::BrokerError;
use crate::sync::backoff::Backoff;
use std::time::{Duration, Instant};

pub struct BrokerState {
    pub link: ConnectionState,
    /// Of the last attempt to connect, or of the connection that ended, until the next one is up.
    pub trouble: Option<BrokerError>,
    /// Queues of partitions that it leads and that are not idle, in the order of their turn.
    pub candidates: Vec<QueueId>,
    /// The queue whose turn it is, and whose batch goes alone as soon as nothing is in flight.
    pub next_alone: Option<QueueId>,
    pub request_size: RequestSize,
    /// What its next connection must answer first.
    pub proof: Handshake,
    backoff: Backoff,
}

pub enum ConnectionState {
    Away { retry_at: Instant },
    Connecting(ConnectionId),
    Up(ProducerConnection),
}

impl Default for BrokerState {
    fn default() -> Self {
        Self {
            link: ConnectionState::Away { retry_at: Instant::now() },
            trouble: None,
            candidates: Vec::new(),
            next_alone: None,
            request_size: RequestSize::default(),
            proof: Handshake::NotNeeded,
            backoff: Backoff::for_broker(),
        }
    }
}

impl BrokerState {
    pub fn link_id(&self) -> Option<ConnectionId> {
        match &self.link {
            ConnectionState::Away { .. } => None,
            ConnectionState::Connecting(id) => Some(*id),
            ConnectionState::Up(link) => Some(link.id),
        }
    }

    /// How long the broker has been silent on this connection; `None` where it is another one.
    pub fn silence(&self, on: ConnectionId, now: Instant) -> Option<Duration> {
        match &self.link {
            ConnectionState::Up(link) if link.id == on => Some(link.silence(now)),
            _ => None,
        }
    }

    /// Whether a record that comes now would not leave at once.
    pub fn is_occupied(&self) -> bool {
        !matches!(&self.link, ConnectionState::Up(link) if link.in_flight() == 0)
    }

    pub fn connected(&mut self, link: ProducerConnection) {
        self.link = ConnectionState::Up(link);
        self.trouble = None;
        self.backoff.reset();
    }

    pub fn answered(&mut self, request_bytes: usize) {
        self.request_size.answered(request_bytes);
        self.proof = Handshake::NotNeeded;
    }

    /// What a closed connection means for what was in flight: the size of a request can only be the reason where the
    /// broker has not answered one of that size before.
    pub fn cut(&mut self, lost: Vec<PartitionOutcome>, now: Instant) -> Vec<PartitionOutcome> {
        let taken = self.request_size.taken;
        let mut refused: Option<usize> = None;
        let mut judged = |mut part: PartitionOutcome| {
            if let BatchOutcome::Cut { attempt, request_bytes } = part.answer {
                if request_bytes <= taken {
                    part.answer = BatchOutcome::Retry { attempt };
                } else {
                    refused = Some(refused.map_or(request_bytes, |before| before.min(request_bytes)));
                }
            }
            part
        };
        let lost = lost.into_iter().map(&mut judged).collect();
        // Once, however many batches were in the request.
        if let Some(bytes) = refused {
            self.request_size.refused(bytes, now);
            self.proof = Handshake::Metadata;
        }
        lost
    }

    /// Ends what is left of the connection and waits before the next one.
    pub fn disconnected(&mut self, why: BrokerError, now: Instant) {
        self.interrupt();
        self.link = ConnectionState::Away { retry_at: now + self.backoff.pause(fastrand::f64()) };
        self.trouble = Some(why);
    }

    pub fn interrupt(&self) {
        if let ConnectionState::Up(link) = &self.link {
            link.interrupt();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::answer::Leader;
    use super::*;
    use crate::broker::WriteState;
    use crate::kafka::wire::produce::room::{Occupancy, SURELY_TAKEN};

    #[test]
    fn a_request_of_many_batches_that_was_refused_counts_once() {
        let (mut node, now) = (BrokerState::default(), Instant::now());
        let cut = BatchOutcome::Cut { attempt: WriteState::No, request_bytes: SURELY_TAKEN * 2 };
        let part = |number| PartitionOutcome { queue: QueueId(0), number, answer: cut.clone(), leader: Leader::Right };
        node.cut((0..40).map(part).collect(), now);
        let most = |after| node.request_size.most(Occupancy::Vacant, now + Duration::from_secs(after));
        assert_eq!([most(9), most(10)], [SURELY_TAKEN, SURELY_TAKEN * 2]);
    }
}
