//! Deadlines, and what to do while no broker answers.

use super::{Down, PendingLookup, Producer};
use crate::broker::{BrokerError, Remedy, WriteState};
use crate::kafka::wire::produce::lookup::Lookup;
use crate::kafka::wire::produce::producer_topic::refuse;
use crate::record::TopicName;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A broker that has not responded for so long is doubted. Writing to replicas takes milliseconds.
const SILENT: Duration = Duration::from_secs(2);
const QUESTION_EVERY: Duration = Duration::from_secs(1);

impl Down {
    /// `why` as records that could not be sent are told: it can work later, but for credentials that are wrong.
    pub(super) fn cause(why: BrokerError) -> BrokerError {
        match why {
            BrokerError::Untrusted(_) => why,
            _ if why.remedy() == Remedy::Retry => why,
            other => BrokerError::Unavailable(other.to_string()),
        }
    }
}

const SIGN_OF_LIFE_EVERY: Duration = Duration::from_secs(1);

impl Producer<'_, '_> {
    /// Deadlines, and probing while nobody answers.
    pub(super) fn tick(&mut self, now: Instant) {
        self.last_tick = now;
        let refusal = self.refusal(now);
        for id in &self.active {
            let Some(placed) = self.queues.get_mut(id.0) else { continue };
            let leader = self.topics.get_mut(&placed.place.topic).and_then(|t| t.leader(placed.place.partition, now));
            let trouble = leader.and_then(|node| self.nodes.get(&node)?.trouble.clone());
            let trouble = trouble.or_else(|| self.down.as_ref().map(|d| d.why.clone()));
            placed.queue.expire(now, &trouble.unwrap_or(BrokerError::TimedOut(WriteState::No)));
            if let Some(why) = &refusal {
                placed.queue.refuse_unwritten(why);
            }
        }
        let down = self.down.as_ref().map(|d| d.why.clone());
        for (name, topic) in &mut self.topics {
            let missing = topic.missing(name);
            topic.waiting.retain(|submission| {
                let late = submission.deadline <= now;
                let unsent = || down.clone().or(missing.clone()).unwrap_or(BrokerError::TimedOut(WriteState::No));
                match refusal.clone().or_else(|| late.then(unsent)) {
                    Some(why) => {
                        refuse(submission, &why);
                        false
                    }
                    None => true,
                }
            });
        }
        self.topics.retain(|_, topic| !topic.is_forgettable(now));
        self.question_silent_leaders(now);
        self.tell_backlogs(now);
        self.probe(now);
    }

    /// A broker that does not respond may not be the leader any more: one that is frozen, or cut off from the
    /// controllers, does not notice. Others know.
    fn question_silent_leaders(&mut self, now: Instant) {
        for id in &self.active {
            let Some(placed) = self.queues.get(id.0) else { continue };
            let Some(link) = placed.queue.link_in_flight() else { continue };
            let silence = self.nodes.values().find_map(|node| node.silence(link, now));
            if silence.is_some_and(|silence| silence >= SILENT)
                && let Some(topic) = self.topics.get_mut(&placed.place.topic)
            {
                topic.refresh(QUESTION_EVERY, now);
            }
        }
    }

    /// Ends connections to brokers that are silent and lead a partition of `topic` no more: what is in flight there is
    /// sent again to its new leader, with its own sequence.
    pub(super) fn leave_silent_leaders(&mut self, name: &TopicName, now: Instant) {
        let Some(topic) = self.topics.get(name) else { return };
        let mut left = BTreeMap::new();
        for placed in topic.queues.values().filter_map(|id| self.queues.get(id.0)) {
            let Some(link) = placed.queue.link_in_flight() else { continue };
            let Some(leader) = topic.known_leader(placed.place.partition) else { continue };
            let former = self.nodes.iter().find_map(|(node, state)| Some((*node, state.silence(link, now)?)));
            if let Some((node, silence)) = former.filter(|(node, silence)| *node != leader && *silence >= SILENT) {
                left.insert(node, (silence, placed.place.clone(), leader));
            }
        }
        for (node, (silence, place, leader)) in left {
            let silence = silence.as_secs();
            let why = format!("no response for {silence} s, and broker {leader} leads {place} now");
            self.link_down(node, BrokerError::StaleMetadata(why), now);
        }
    }

    /// While nobody answers somebody must ask on, or new records would be refused for ever.
    fn probe(&mut self, now: Instant) {
        if let Some(down) = &mut self.down
            && down.probe_at <= now
            && self.asking_life == PendingLookup::Idle
            && self.lookups.questions.try_send(Lookup::SignOfLife).is_ok()
        {
            down.probe_at = now + SIGN_OF_LIFE_EVERY;
            self.asking_life = PendingLookup::Asked;
        }
    }

    /// Why nothing can be taken: no broker has answered for too long.
    pub(super) fn refusal(&self, now: Instant) -> Option<BrokerError> {
        let down = self.down.as_ref()?;
        (now.saturating_duration_since(down.since) >= self.settings.unavailable_after).then(|| down.why.clone())
    }

    pub(super) fn note_down(&mut self, why: BrokerError, now: Instant) {
        let why = Down::cause(why);
        let down = self.down.get_or_insert(Down { since: now, why: why.clone(), probe_at: now });
        down.why = why;
    }
}
