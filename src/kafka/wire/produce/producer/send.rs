//! Decides which requests to send now, to which broker, and when to check again.

use super::{Producer, ProducerId, ProducerPause, TICK};
use crate::broker::{Acks, BrokerError, Cause, NodeId, Remedy};
use crate::kafka::wire::produce::broker_state::{BrokerState, ConnectionState};
use crate::kafka::wire::produce::partition_queue::{ConnectionId, NextBatch};
use crate::kafka::wire::produce::producer_connection::{self, MAX_REQUESTS, SendOutcome};
use crate::kafka::wire::produce::producer_topic::ProducerTopic;
use crate::kafka::wire::produce::request::{self, QueueId, RequestPartition};
use crate::kafka::wire::produce::request_size::{Occupancy, RequestCapacity, Sharing};
use crate::kafka::wire::produce::{ProducerEvent, ProducerFault};
use std::time::{Duration, Instant};

/// Longest wait while nothing is pending.
const IDLE_PAUSE: Duration = Duration::from_secs(60);

impl Producer<'_, '_> {
    /// Sends every request that may be sent now; returns how long to wait.
    pub(super) fn send_ready(&mut self, now: Instant) -> ProducerPause {
        self.request_topics(now);
        self.group_by_leader(now);
        let latest = now + if self.is_idle() { IDLE_PAUSE } else { TICK };
        let mut wake = latest;
        let nodes: Vec<NodeId> =
            self.brokers.iter().filter(|(_, n)| !n.candidates.is_empty()).map(|(n, _)| *n).collect();
        for node in nodes {
            if self.ensure_connected(node, now) {
                for acks in [Acks::All, Acks::Leader, Acks::None] {
                    while self.may_send(node, acks, now, &mut wake) && self.send_request(node, acks, now) {}
                }
            }
        }
        if wake < latest && self.brokers.values().all(BrokerState::is_occupied) {
            ProducerPause::UntilResponse(wake)
        } else {
            ProducerPause::UntilEvent(wake)
        }
    }

    fn is_idle(&self) -> bool {
        self.outage.is_none()
            && !self.backlog_report.has_backlog
            && self.active.is_empty()
            && self.topics.values().all(|t| t.waiting.is_empty())
    }

    fn group_by_leader(&mut self, now: Instant) {
        self.brokers.values_mut().for_each(|n| n.candidates.clear());
        let queues = &mut self.queues;
        self.active.retain(|id| {
            let Some(partition) = queues.get_mut(id.0) else { return false };
            let idle = partition.queue.is_idle();
            if idle {
                partition.progress.emptied(now);
            }
            !idle
        });
        for id in self.active.range(self.round_start..).chain(self.active.range(..self.round_start)) {
            let Some(partition) = self.queues.get(id.0) else { continue };
            let Some(topic) = self.topics.get_mut(&partition.topic_partition.topic) else { continue };
            // Detects added partitions and moved leaders that cause no error.
            topic.refresh(self.settings.metadata_refresh, now);
            if let Some(leader) = topic.leader(partition.topic_partition.partition, now) {
                self.brokers.entry(leader).or_default().candidates.push(*id);
            }
        }
        self.round_start = QueueId(self.round_start.0.wrapping_add(1) % self.queues.len().max(1));
    }

    /// Returns whether requests can be sent to `node`. Starts to connect if that is due.
    fn ensure_connected(&mut self, node: NodeId, now: Instant) -> bool {
        let Some(state) = self.brokers.get_mut(&node) else { return false };
        if let ConnectionState::Up(connection) = &state.connection
            && !connection.is_open()
        {
            // The broker closed it as idle or for a restart. Nothing is lost, so reconnect without back-off.
            state.connection = ConnectionState::Disconnected { retry_at: now };
        }
        match &mut state.connection {
            ConnectionState::Up(connection) => {
                connection.reauthenticate_if_due(now);
                if self.may_retry_producer_id(now) {
                    self.request_producer_id(node);
                }
                return true;
            }
            ConnectionState::Disconnected { retry_at } if *retry_at <= now => {}
            _ => return false,
        }
        let (id, handshake) = (ConnectionId(self.next_connection), state.handshake);
        self.next_connection += 1;
        state.connection = ConnectionState::Connecting(id);
        let events = self.events.clone();
        // The channel is closed only after the producer thread has ended.
        let report = move |event| drop(events.send(ProducerEvent::Connection(node, id, event)));
        let timeout = self.settings.request_timeout;
        if let Err(error) =
            producer_connection::connect(self.scope, self.cluster, (node, id, handshake), timeout, report)
        {
            let why = BrokerError::Internal(Cause::new(ProducerFault::NoThread(error)));
            self.on_connection_lost(node, why, now);
        } else if matches!(self.producer_id, ProducerId::Missing { retry_at } if retry_at <= now) {
            self.request_producer_id(node);
        }
        false
    }

    /// Returns whether the next request should be sent. Without requests in flight it is sent at once; otherwise
    /// batches grow until a response arrives, a batch is full, or the oldest record has waited for `linger`.
    fn may_send(&self, node: NodeId, acks: Acks, now: Instant, wake: &mut Instant) -> bool {
        let Some(state) = self.brokers.get(&node) else { return false };
        let ConnectionState::Up(connection) = &state.connection else { return false };
        if connection.throttled_until() > now {
            *wake = (*wake).min(connection.throttled_until());
            return false;
        }
        match connection.in_flight() {
            0 => return true,
            MAX_REQUESTS.. => return false,
            _ => {}
        }
        let mut gathered = 0;
        for partition in state.candidates.iter().filter_map(|id| self.queues.get(id.0)).filter(|q| q.acks == acks) {
            if partition.queue.resume_at().is_some_and(|at| at > now) {
                continue;
            }
            if partition.queue.has_ready_batch() {
                return true;
            }
            let Some((bytes, since)) = partition.queue.open() else { continue };
            gathered += bytes;
            if gathered >= self.settings.batch_bytes || now >= since + self.settings.linger {
                return true;
            }
            *wake = (*wake).min(since + self.settings.linger);
        }
        false
    }

    /// Sends one request with batches of partitions that `node` leads. Returns whether another one may follow.
    fn send_request(&mut self, node: NodeId, acks: Acks, now: Instant) -> bool {
        let parts = self.collect_batches(node, acks, now);
        if parts.is_empty() {
            return false;
        }
        for part in &parts {
            if let Some(topic) = self.topics.get_mut(&part.topic_partition.topic) {
                topic.batch_sent(part.topic_partition.partition);
            }
        }
        let timeout = self.settings.request_timeout;
        let Some(BrokerState { connection: ConnectionState::Up(connection), request_size, .. }) =
            self.brokers.get_mut(&node)
        else {
            return false;
        };
        let has_large_batch = parts.iter().any(|part| part.outgoing.sharing == Sharing::Alone);
        let grows = acks != Acks::None && request::bytes(&parts) > request_size.accepted;
        let sharing = if has_large_batch || grows { Sharing::Alone } else { Sharing::Shared };
        match connection.send(parts, acks, timeout, sharing) {
            SendOutcome::Awaited => true,
            SendOutcome::Known(outcomes) => {
                self.on_outcomes(outcomes, now);
                true
            }
            SendOutcome::Failed { why, lost } => {
                let lost = self.brokers.entry(node).or_default().on_closed(lost, now);
                self.on_outcomes(lost, now);
                self.on_connection_lost(node, why, now);
                false
            }
        }
    }

    fn collect_batches(&mut self, node: NodeId, acks: Acks, now: Instant) -> Vec<RequestPartition> {
        let Some(state) = self.brokers.get_mut(&node) else { return Vec::new() };
        let ConnectionState::Up(connection) = &state.connection else { return Vec::new() };
        let occupancy = if connection.in_flight() == 0 { Occupancy::Vacant } else { Occupancy::Shared };
        let limit = match acks {
            // Without responses there is no feedback on the accepted size.
            Acks::None => self.settings.batch_bytes,
            _ if state.request_size.waits_to_grow(occupancy) => return Vec::new(),
            _ => state.request_size.limit(occupancy, now).min(self.settings.batch_bytes),
        };
        let id = match &self.producer_id {
            ProducerId::Known(id) => Some(*id),
            _ => None,
        };
        let mut parts: Vec<RequestPartition> = Vec::new();
        let mut bytes = 0;
        let mut stale = None;
        let reserved = state.next_alone.filter(|id| state.candidates.contains(id));
        if reserved.is_some_and(|id| self.queues.get(id.0).is_none_or(|partition| partition.acks != acks)) {
            return parts;
        }
        let (mut next_alone, mut is_short) = (None, false);
        for queue in reserved.as_slice().iter().chain(state.candidates.iter().filter(|_| reserved.is_none())) {
            let Some(partition) = self.queues.get_mut(queue.0).filter(|q| q.acks == acks) else { continue };
            let occupancy = if parts.is_empty() { occupancy } else { Occupancy::Shared };
            // A request stays below the usual limits of brokers unless a single record is larger.
            let left = if parts.is_empty() { usize::MAX } else { limit.saturating_sub(bytes) };
            match partition.queue.next(
                connection.id,
                id,
                RequestCapacity { occupancy, left, accepted: state.request_size.accepted },
                now,
            ) {
                NextBatch::Send(outgoing) => {
                    bytes += outgoing.batch.bytes();
                    let alone = outgoing.sharing == Sharing::Alone;
                    let topic_id = self.topics.get(&partition.topic_partition.topic).and_then(ProducerTopic::id);
                    parts.push(RequestPartition {
                        queue: *queue,
                        topic_partition: partition.topic_partition.clone(),
                        topic_id,
                        outgoing,
                    });
                    if alone || bytes >= limit {
                        is_short = !alone;
                        break;
                    }
                }
                // This queue is next: its batch is sent alone once the requests in flight are answered.
                NextBatch::NeedsCapacity if parts.is_empty() => {
                    next_alone = Some(*queue);
                    break;
                }
                NextBatch::NeedsCapacity => is_short = true,
                NextBatch::NeedsProducerId { stale: of } => stale = Some(of),
                NextBatch::Nothing => {}
            }
        }
        if let Some(state) = self.brokers.get_mut(&node) {
            state.next_alone = next_alone;
            if is_short && acks != Acks::None {
                state.request_size.want_growth(self.settings.batch_bytes, now);
            }
        }
        if let Some(of) = stale {
            self.ensure_producer_id(node, of, now);
        }
        parts
    }

    /// Backs off from `node`, and looks up the leaders of its partitions. If the error cannot be retried, records that
    /// were certainly not written fail.
    pub(super) fn on_connection_lost(&mut self, node: NodeId, why: BrokerError, now: Instant) {
        let state = self.brokers.entry(node).or_default();
        match state.last_error {
            None => log::warn!("lost the producer connection to broker {node}: {why}"),
            Some(_) => log::debug!("lost the producer connection to broker {node}: {why}"),
        }
        let hopeless = why.remedy() == Remedy::GiveUp && !matches!(why, BrokerError::Corrupt(_));
        state.disconnected(why.clone(), now);
        for id in std::mem::take(&mut state.candidates) {
            let Some(partition) = self.queues.get_mut(id.0) else { continue };
            if hopeless {
                partition.queue.reject_unwritten(&why);
            }
            if let Some(topic) = self.topics.get_mut(&partition.topic_partition.topic) {
                topic.schedule_lookup(now);
            }
        }
        if !self.brokers.values().any(|n| matches!(n.connection, ConnectionState::Up(_))) {
            self.note_outage(why, now);
        }
    }
}
