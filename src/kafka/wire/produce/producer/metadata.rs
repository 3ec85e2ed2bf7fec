//! Topics and producer ids: what to ask for, and what the replies mean.

use super::{Down, PendingLookup, Producer, ProducerId};
use crate::broker::{Acks, AutoCreate, BrokerError, NodeId, TopicInfo};
use crate::kafka::wire::produce::creation::{AutoCreation, Creation};
use crate::kafka::wire::produce::lookup::Lookup;
use crate::kafka::wire::produce::producer_topic::{LookupResult, ProducerTopic, refuse};
use crate::record::TopicName;
use std::time::{Duration, Instant};

const PRODUCER_ID_AGAIN: Duration = Duration::from_millis(100);
/// Each time costs a connection.
const DENIED_AGAIN: Duration = Duration::from_secs(30);

impl Producer<'_, '_> {
    pub(super) fn ask_for_topics(&mut self, now: Instant) {
        if self.asking_topics == PendingLookup::Asked {
            return;
        }
        let due: Vec<(&TopicName, AutoCreate)> =
            self.topics.iter().filter_map(|(name, topic)| Some((name, topic.due(now)?))).collect();
        // Those to be made and those not are two questions: the first kind first, the others next.
        let Some(how) =
            due.iter().map(|(_, how)| *how).find(|how| *how == AutoCreate::Ask).or(due.first().map(|d| d.1))
        else {
            return;
        };
        let names: Vec<TopicName> = due.iter().filter(|d| d.1 == how).map(|d| d.0.clone()).collect();
        if self.lookups.questions.try_send(Lookup::Topics(names.clone(), how)).is_ok() {
            self.asking_topics = PendingLookup::Asked;
            names.iter().filter_map(|name| self.topics.get_mut(name).map(|topic| topic.asked(now))).for_each(drop);
        }
    }

    pub(super) fn needs_producer_id(&mut self, node: NodeId, stale: Option<i64>, now: Instant) {
        match self.producer_id {
            ProducerId::Have(id) if Some(id) != stale => {}
            ProducerId::Asked | ProducerId::Denied { .. } => {}
            ProducerId::Wanted { from } if from > now => {}
            _ => self.ask_producer_id(node),
        }
    }

    pub(super) fn ask_producer_id(&mut self, node: NodeId) {
        if self.lookups.producer_ids.try_send(node).is_ok() {
            self.producer_id = ProducerId::Asked;
        }
    }

    /// Whether a producer id was refused so long ago that it may be given now.
    pub(super) fn may_get_producer_id(&self, now: Instant) -> bool {
        matches!(self.producer_id, ProducerId::Denied { again: Some(again) } if again <= now)
    }

    pub(super) fn learn_topics(
        &mut self,
        asked: Vec<TopicName>,
        how: AutoCreate,
        found: Result<Vec<Result<TopicInfo, BrokerError>>, BrokerError>,
        now: Instant,
    ) {
        let found = match found {
            Ok(found) => {
                self.down = None;
                found
            }
            Err(why) => {
                self.note_down(why.clone(), now);
                let why = Down::cause(why);
                asked.iter().map(|_| Err(why.clone())).collect()
            }
        };
        for (name, found) in asked.into_iter().zip(found) {
            let Some(topic) = self.topics.get_mut(&name) else { continue };
            match topic.learn(found, how, now) {
                LookupResult::NotYet => {}
                LookupResult::Ready => {
                    for submission in std::mem::take(&mut topic.waiting) {
                        self.route(submission, now);
                    }
                    self.leave_silent_leaders(&name, now);
                }
                LookupResult::Hopeless(why) => self.abandon(&name, &why),
            }
        }
        self.ask_for_prospects();
    }

    /// Settles all that waits for a topic.
    fn abandon(&mut self, name: &TopicName, why: &BrokerError) {
        let Some(topic) = self.topics.get_mut(name) else { return };
        topic.waiting.drain(..).for_each(|submission| refuse(&submission, why));
        for id in topic.queues.values() {
            if let Some(placed) = self.queues.get_mut(id.0) {
                placed.queue.abandon(why);
                placed.progress.abandoned();
            }
        }
    }

    fn ask_for_prospects(&mut self) {
        if self.asking_creation == PendingLookup::Asked {
            return;
        }
        let wanted = self.topics.iter().filter(|(_, topic)| topic.needs_prospect());
        let names: Vec<TopicName> = wanted.map(|(name, _)| name.clone()).collect();
        if !names.is_empty() && self.lookups.questions.try_send(Lookup::Creation(names.clone())).is_ok() {
            self.asking_creation = PendingLookup::Asked;
            names.iter().filter_map(|name| self.topics.get_mut(name).map(ProducerTopic::prospect_asked)).for_each(drop);
        }
    }

    pub(super) fn learn_prospects(
        &mut self,
        asked: Vec<TopicName>,
        found: Result<Creation, BrokerError>,
        now: Instant,
    ) {
        let Creation { automatic, rejected } = found.unwrap_or_else(|why| {
            log::debug!("whether Kafka creates topics is not known: {why}");
            Creation { automatic: AutoCreation::Unknown, rejected: vec![None; asked.len()] }
        });
        for (name, rejected) in asked.into_iter().zip(rejected) {
            let Some(topic) = self.topics.get_mut(&name) else { continue };
            if let LookupResult::Hopeless(why) = topic.learn_prospect(automatic, rejected, now) {
                self.abandon(&name, &why);
            }
        }
    }

    pub(super) fn learn_producer_id(&mut self, answer: Result<i64, BrokerError>, now: Instant) {
        self.producer_id = match answer {
            Ok(id) => {
                let all = self.queues.iter_mut().filter(|q| q.acks == Acks::All);
                all.for_each(|q| q.queue.go_with_sequences());
                ProducerId::Have(id)
            }
            Err(why @ (BrokerError::Denied(_) | BrokerError::Unsupported(_))) => {
                log::warn!("no producer id, so acks=all goes without protection from duplicates: {why}");
                self.queues.iter_mut().for_each(|q| q.queue.go_without_sequences());
                let again = matches!(why, BrokerError::Denied(_)).then(|| now + DENIED_AGAIN);
                ProducerId::Denied { again }
            }
            Err(why) => {
                log::debug!("no producer id yet: {why}");
                ProducerId::Wanted { from: now + PRODUCER_ID_AGAIN }
            }
        };
    }
}
