//! A broker that leads partitions we write to.

use super::link::Link;
use super::queue::LinkId;
use super::request::QueueId;
use crate::backoff::Backoff;
use crate::broker::BrokerError;
use std::time::Instant;

pub struct Node {
    pub link: NodeLink,
    /// Of the last attempt to connect, or of the connection that ended, until the next one is up.
    pub trouble: Option<BrokerError>,
    /// Queues of partitions that it leads and that are not idle, in the order of their turn.
    pub candidates: Vec<QueueId>,
    backoff: Backoff,
}

pub enum NodeLink {
    Away { retry_at: Instant },
    Connecting(LinkId),
    Up(Link),
}

impl Default for Node {
    fn default() -> Self {
        Self {
            link: NodeLink::Away { retry_at: Instant::now() },
            trouble: None,
            candidates: Vec::new(),
            backoff: Backoff::for_broker(),
        }
    }
}

impl Node {
    pub fn link_id(&self) -> Option<LinkId> {
        match &self.link {
            NodeLink::Away { .. } => None,
            NodeLink::Connecting(id) => Some(*id),
            NodeLink::Up(link) => Some(link.id),
        }
    }

    /// Whether a record that comes now would not leave at once.
    pub fn is_occupied(&self) -> bool {
        !matches!(&self.link, NodeLink::Up(link) if link.in_flight() == 0)
    }

    pub fn connected(&mut self, link: Link) {
        self.link = NodeLink::Up(link);
        self.trouble = None;
        self.backoff.reset();
    }

    /// Ends what is left of the connection and waits before the next one.
    pub fn disconnected(&mut self, why: BrokerError, now: Instant) {
        self.interrupt();
        self.link = NodeLink::Away { retry_at: now + self.backoff.pause(fastrand::f64()) };
        self.trouble = Some(why);
    }

    pub fn interrupt(&self) {
        if let NodeLink::Up(link) = &self.link {
            link.interrupt();
        }
    }
}
