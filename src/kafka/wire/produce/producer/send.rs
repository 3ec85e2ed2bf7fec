//! What can be sent now, to whom, and when to look again.

use super::{Producer, ProducerId, ProducerPause, TICK};
use crate::broker::{Acks, BrokerError, NodeId, Remedy};
use crate::kafka::wire::produce::ProducerEvent;
use crate::kafka::wire::produce::broker_state::{BrokerState, ConnectionState};
use crate::kafka::wire::produce::partition_queue::{ConnectionId, NextBatch};
use crate::kafka::wire::produce::producer_connection::{self, MAX_REQUESTS, SendOutcome};
use crate::kafka::wire::produce::producer_topic::ProducerTopic;
use crate::kafka::wire::produce::request::{self, QueueId, RequestPartition};
use crate::kafka::wire::produce::room::{Occupancy, RequestRoom, Sharing};
use std::time::{Duration, Instant};

/// How long to sleep while there is nothing to do.
const QUIET: Duration = Duration::from_secs(60);

impl Producer<'_, '_> {
    /// Sends until nothing more may be sent now; then tells how long to wait.
    pub(super) fn send_what_can_be(&mut self, now: Instant) -> ProducerPause {
        self.ask_for_topics(now);
        self.group_by_leader(now);
        let latest = now + if self.is_quiet() { QUIET } else { TICK };
        let mut wake = latest;
        let nodes: Vec<NodeId> = self.nodes.iter().filter(|(_, n)| !n.candidates.is_empty()).map(|(n, _)| *n).collect();
        for node in nodes {
            if self.is_connected(node, now) {
                for acks in [Acks::All, Acks::Leader, Acks::None] {
                    while self.may_send(node, acks, now, &mut wake) && self.send_one(node, acks, now) {}
                }
            }
        }
        if wake < latest && self.nodes.values().all(BrokerState::is_occupied) {
            ProducerPause::ForAnswers(wake)
        } else {
            ProducerPause::ForAnything(wake)
        }
    }

    fn is_quiet(&self) -> bool {
        self.down.is_none()
            && !self.told.anything
            && self.active.is_empty()
            && self.topics.values().all(|t| t.waiting.is_empty())
    }

    fn group_by_leader(&mut self, now: Instant) {
        self.nodes.values_mut().for_each(|n| n.candidates.clear());
        let queues = &mut self.queues;
        self.active.retain(|id| {
            let Some(placed) = queues.get_mut(id.0) else { return false };
            let idle = placed.queue.is_idle();
            if idle {
                placed.progress.given_up(now);
            }
            !idle
        });
        for id in self.active.range(self.turn..).chain(self.active.range(..self.turn)) {
            let Some(placed) = self.queues.get(id.0) else { continue };
            let Some(topic) = self.topics.get_mut(&placed.place.topic) else { continue };
            // Partitions that were added and leaders that have moved are noticed without an error, too.
            topic.refresh(self.settings.metadata_refresh, now);
            if let Some(leader) = topic.leader(placed.place.partition, now) {
                self.nodes.entry(leader).or_default().candidates.push(*id);
            }
        }
        self.turn = QueueId(self.turn.0.wrapping_add(1) % self.queues.len().max(1));
    }

    /// Whether requests can be sent to `node`; begins to connect where that is due.
    fn is_connected(&mut self, node: NodeId, now: Instant) -> bool {
        let Some(state) = self.nodes.get_mut(&node) else { return false };
        if let ConnectionState::Up(link) = &state.link
            && !link.is_open()
        {
            // Closed by the broker for idleness or a restart: nothing is lost, so no reason to wait.
            state.link = ConnectionState::Away { retry_at: now };
        }
        match &mut state.link {
            ConnectionState::Up(link) => {
                link.renew_if_due(now);
                if self.may_get_producer_id(now) {
                    self.ask_producer_id(node);
                }
                return true;
            }
            ConnectionState::Away { retry_at } if *retry_at <= now => {}
            _ => return false,
        }
        let (id, proof) = (ConnectionId(self.next_link), state.proof);
        self.next_link += 1;
        state.link = ConnectionState::Connecting(id);
        let events = self.events.clone();
        // The writer is gone when the channel is closed, and nobody needs to know.
        let tell = move |event| drop(events.send(ProducerEvent::Link(node, id, event)));
        let timeout = self.settings.request_timeout;
        if let Err(error) = producer_connection::connect(self.scope, self.cluster, (node, id, proof), timeout, tell) {
            let why = BrokerError::Internal(format!("no thread for a connection: {error}"));
            self.link_down(node, why, now);
        } else if matches!(self.producer_id, ProducerId::Wanted { from } if from <= now) {
            self.ask_producer_id(node);
        }
        false
    }

    /// Whether the next request should leave. With none in flight nobody waits; otherwise records
    /// gather until an answer comes, a batch is full, or the oldest has waited for `linger`.
    fn may_send(&self, node: NodeId, acks: Acks, now: Instant, wake: &mut Instant) -> bool {
        let Some(state) = self.nodes.get(&node) else { return false };
        let ConnectionState::Up(link) = &state.link else { return false };
        if link.throttled_until() > now {
            *wake = (*wake).min(link.throttled_until());
            return false;
        }
        match link.in_flight() {
            0 => return true,
            MAX_REQUESTS.. => return false,
            _ => {}
        }
        let mut gathered = 0;
        for placed in state.candidates.iter().filter_map(|id| self.queues.get(id.0)).filter(|q| q.acks == acks) {
            if placed.queue.resume_at().is_some_and(|at| at > now) {
                continue;
            }
            if placed.queue.has_sealed() {
                return true;
            }
            let Some((bytes, since)) = placed.queue.open() else { continue };
            gathered += bytes;
            if gathered >= self.settings.batch_bytes || now >= since + self.settings.linger {
                return true;
            }
            *wake = (*wake).min(since + self.settings.linger);
        }
        false
    }

    /// Sends one request with what `node`'s partitions have, if they may send anything.
    fn send_one(&mut self, node: NodeId, acks: Acks, now: Instant) -> bool {
        let parts = self.gather(node, acks, now);
        if parts.is_empty() {
            return false;
        }
        for part in &parts {
            if let Some(topic) = self.topics.get_mut(&part.place.topic) {
                topic.batch_sent(part.place.partition);
            }
        }
        let timeout = self.settings.request_timeout;
        let Some(BrokerState { link: ConnectionState::Up(link), request_size, .. }) = self.nodes.get_mut(&node) else {
            return false;
        };
        let has_large_batch = parts.iter().any(|part| part.outgoing.sharing == Sharing::Alone);
        let grows = acks != Acks::None && request::bytes(&parts) > request_size.taken;
        let sharing = if has_large_batch || grows { Sharing::Alone } else { Sharing::Shared };
        match link.send(parts, acks, timeout, sharing) {
            SendOutcome::Awaited => true,
            SendOutcome::Known(answers) => {
                self.answered(answers, now);
                true
            }
            SendOutcome::Failed { why, lost } => {
                let lost = self.nodes.entry(node).or_default().cut(lost, now);
                self.answered(lost, now);
                self.link_down(node, why, now);
                false
            }
        }
    }

    fn gather(&mut self, node: NodeId, acks: Acks, now: Instant) -> Vec<RequestPartition> {
        let Some(state) = self.nodes.get_mut(&node) else { return Vec::new() };
        let ConnectionState::Up(link) = &state.link else { return Vec::new() };
        let connection = if link.in_flight() == 0 { Occupancy::Vacant } else { Occupancy::Shared };
        let most = match acks {
            // Nothing is answered, so there is nothing to learn.
            Acks::None => self.settings.batch_bytes,
            _ if state.request_size.waits_to_grow(connection) => return Vec::new(),
            _ => state.request_size.most(connection, now).min(self.settings.batch_bytes),
        };
        let id = match &self.producer_id {
            ProducerId::Have(id) => Some(*id),
            _ => None,
        };
        let mut parts: Vec<RequestPartition> = Vec::new();
        let mut bytes = 0;
        let mut stale = None;
        let reserved = state.next_alone.filter(|id| state.candidates.contains(id));
        if reserved.is_some_and(|id| self.queues.get(id.0).is_none_or(|placed| placed.acks != acks)) {
            return parts;
        }
        let (mut next_alone, mut is_short) = (None, false);
        for queue in reserved.as_slice().iter().chain(state.candidates.iter().filter(|_| reserved.is_none())) {
            let Some(placed) = self.queues.get_mut(queue.0).filter(|q| q.acks == acks) else { continue };
            let occupancy = if parts.is_empty() { connection } else { Occupancy::Shared };
            // A request stays below the limits that brokers have, unless a single record is larger.
            let left = if parts.is_empty() { usize::MAX } else { most.saturating_sub(bytes) };
            match placed.queue.next(link.id, id, RequestRoom { occupancy, left, taken: state.request_size.taken }, now)
            {
                NextBatch::Send(outgoing) => {
                    bytes += outgoing.batch.bytes();
                    let alone = outgoing.sharing == Sharing::Alone;
                    let topic_id = self.topics.get(&placed.place.topic).and_then(ProducerTopic::id);
                    parts.push(RequestPartition { queue: *queue, place: placed.place.clone(), topic_id, outgoing });
                    if alone || bytes >= most {
                        is_short = !alone;
                        break;
                    }
                }
                // It is its turn: what is in flight is awaited, and then it goes.
                NextBatch::NeedsRoom if parts.is_empty() => {
                    next_alone = Some(*queue);
                    break;
                }
                NextBatch::NeedsRoom => is_short = true,
                NextBatch::NeedsProducerId { stale: of } => stale = Some(of),
                NextBatch::Nothing => {}
            }
        }
        if let Some(state) = self.nodes.get_mut(&node) {
            state.next_alone = next_alone;
            if is_short && acks != Acks::None {
                state.request_size.is_short(self.settings.batch_bytes, now);
            }
        }
        if let Some(of) = stale {
            self.needs_producer_id(node, of, now);
        }
        parts
    }

    pub(super) fn link_down(&mut self, node: NodeId, why: BrokerError, now: Instant) {
        let state = self.nodes.entry(node).or_default();
        match state.trouble {
            None => log::warn!("producing to broker {node}: {why}"),
            Some(_) => log::debug!("producing to broker {node}: {why}"),
        }
        let hopeless = why.remedy() == Remedy::GiveUp && !matches!(why, BrokerError::Corrupt(_));
        state.disconnected(why.clone(), now);
        for id in std::mem::take(&mut state.candidates) {
            let Some(placed) = self.queues.get_mut(id.0) else { continue };
            if hopeless {
                placed.queue.refuse_unwritten(&why);
            }
            if let Some(topic) = self.topics.get_mut(&placed.place.topic) {
                topic.ask(now);
            }
        }
        if !self.nodes.values().any(|n| matches!(n.link, ConnectionState::Up(_))) {
            self.note_down(why, now);
        }
    }
}
