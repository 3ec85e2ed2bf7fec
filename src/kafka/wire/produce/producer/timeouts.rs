//! Deadlines, silent leaders, and the outage of all brokers.

use super::{LookupState, Producer, ProducerOutage};
use crate::broker::{BrokerError, Cause, Remedy, Staleness, WriteState};
use crate::kafka::wire::produce::lookup::ProducerLookup;
use crate::kafka::wire::produce::producer_topic::reject;
use crate::record::TopicName;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A leader that has not responded for this long may have been replaced. Replication takes milliseconds.
const SILENCE_LIMIT: Duration = Duration::from_secs(2);
const LOOKUP_INTERVAL: Duration = Duration::from_secs(1);

impl ProducerOutage {
    /// The error for records that could not be sent: retriable, except for wrong credentials.
    pub(super) fn cause(why: BrokerError) -> BrokerError {
        match why {
            BrokerError::Untrusted(_) => why,
            _ if why.remedy() == Remedy::Retry => why,
            other => BrokerError::Unavailable(Cause::new(other)),
        }
    }
}

const PROBE_INTERVAL: Duration = Duration::from_secs(1);

impl Producer<'_, '_> {
    /// Expires records, refreshes metadata of silent leaders and probes for brokers during an outage.
    pub(super) fn tick(&mut self, now: Instant) {
        self.last_tick = now;
        let rejection = self.rejection(now);
        for id in &self.active {
            let Some(partition) = self.queues.get_mut(id.0) else { continue };
            let leader = self
                .topics
                .get_mut(&partition.topic_partition.topic)
                .and_then(|t| t.leader(partition.topic_partition.partition, now));
            let trouble = leader.and_then(|node| self.brokers.get(&node)?.last_error.clone());
            let trouble = trouble.or_else(|| self.outage.as_ref().map(|d| d.why.clone()));
            partition.queue.expire(now, &trouble.unwrap_or(BrokerError::TimedOut(WriteState::No)));
            if let Some(why) = &rejection {
                partition.queue.reject_unwritten(why);
            }
        }
        let outage = self.outage.as_ref().map(|d| d.why.clone());
        for (name, topic) in &mut self.topics {
            let missing = topic.missing_error(name);
            topic.waiting.retain(|submission| {
                let late = submission.deadline <= now;
                let unsent = || outage.clone().or(missing.clone()).unwrap_or(BrokerError::TimedOut(WriteState::No));
                match rejection.clone().or_else(|| late.then(unsent)) {
                    Some(why) => {
                        reject(submission, &why);
                        false
                    }
                    None => true,
                }
            });
        }
        self.topics.retain(|_, topic| !topic.is_forgettable(now));
        self.refresh_silent_leaders(now);
        self.report_backlogs(now);
        self.probe(now);
    }

    /// Looks up the topics of leaders that do not respond. A broker that is frozen or cut off from the controllers does
    /// not notice that it was replaced, but the metadata of other brokers shows the new leader.
    fn refresh_silent_leaders(&mut self, now: Instant) {
        for id in &self.active {
            let Some(partition) = self.queues.get(id.0) else { continue };
            let Some(connection) = partition.queue.connection_in_flight() else { continue };
            let silence = self.brokers.values().find_map(|node| node.silence(connection, now));
            if silence.is_some_and(|silence| silence >= SILENCE_LIMIT)
                && let Some(topic) = self.topics.get_mut(&partition.topic_partition.topic)
            {
                topic.refresh(LOOKUP_INTERVAL, now);
            }
        }
    }

    /// Closes connections to silent brokers that no longer lead a partition of `topic`. Batches in flight there are
    /// retried at the new leader with the same sequence numbers.
    pub(super) fn disconnect_former_leaders(&mut self, name: &TopicName, now: Instant) {
        let Some(topic) = self.topics.get(name) else { return };
        let mut left = BTreeMap::new();
        for partition in topic.queues.values().filter_map(|id| self.queues.get(id.0)) {
            let Some(connection) = partition.queue.connection_in_flight() else { continue };
            let Some(leader) = topic.known_leader(partition.topic_partition.partition) else { continue };
            let former = self.brokers.iter().find_map(|(node, state)| Some((*node, state.silence(connection, now)?)));
            if let Some((node, silence)) = former.filter(|(node, silence)| *node != leader && *silence >= SILENCE_LIMIT)
            {
                left.insert(node, (silence, partition.topic_partition.clone(), leader));
            }
        }
        for (node, (silence, topic_partition, leader)) in left {
            let why = Staleness::FormerLeader { topic_partition, leader, silence };
            self.on_connection_lost(node, why.into(), now);
        }
    }

    /// Probes for a broker during an outage. New records are rejected then, so nothing else would detect that a broker
    /// responds again.
    fn probe(&mut self, now: Instant) {
        if let Some(outage) = &mut self.outage
            && outage.probe_at <= now
            && self.liveness_lookup == LookupState::Idle
            && self.lookups.requests.try_send(ProducerLookup::Liveness).is_ok()
        {
            outage.probe_at = now + PROBE_INTERVAL;
            self.liveness_lookup = LookupState::InFlight;
        }
    }

    /// The error for new records, if no broker has responded for too long.
    pub(super) fn rejection(&self, now: Instant) -> Option<BrokerError> {
        let outage = self.outage.as_ref()?;
        (now.saturating_duration_since(outage.since) >= self.settings.unavailable_after).then(|| outage.why.clone())
    }

    /// Notes that no broker responds, and why.
    pub(super) fn note_outage(&mut self, why: BrokerError, now: Instant) {
        let why = ProducerOutage::cause(why);
        let outage = self.outage.get_or_insert(ProducerOutage { since: now, why: why.clone(), probe_at: now });
        outage.why = why;
    }
}
