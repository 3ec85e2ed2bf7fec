//! Starts lookups of topics and producer ids, and applies their results.

use super::{LookupState, Producer, ProducerId, ProducerOutage};
use crate::broker::{Acks, AutoCreate, BrokerError, NodeId, TopicInfo};
use crate::kafka::wire::produce::creation::{AutoCreation, CreationReport};
use crate::kafka::wire::produce::lookup::ProducerLookup;
use crate::kafka::wire::produce::producer_topic::{LookupResult, ProducerTopic, reject};
use crate::record::TopicName;
use std::time::{Duration, Instant};

const PRODUCER_ID_RETRY: Duration = Duration::from_millis(100);
/// Each attempt costs a connection.
const DENIED_RETRY: Duration = Duration::from_secs(30);

impl Producer<'_, '_> {
    /// Starts a lookup of the topics for which one is due, unless a lookup is in flight.
    pub(super) fn request_topics(&mut self, now: Instant) {
        if self.topic_lookup == LookupState::InFlight {
            return;
        }
        let due: Vec<(&TopicName, AutoCreate)> =
            self.topics.iter().filter_map(|(name, topic)| Some((name, topic.due_lookup(now)?))).collect();
        // Topics to create and other topics need separate requests; the former go first.
        let Some(how) =
            due.iter().map(|(_, how)| *how).find(|how| *how == AutoCreate::Ask).or(due.first().map(|d| d.1))
        else {
            return;
        };
        let names: Vec<TopicName> = due.iter().filter(|d| d.1 == how).map(|d| d.0.clone()).collect();
        if self.lookups.requests.try_send(ProducerLookup::Topics(names.clone(), how)).is_ok() {
            self.topic_lookup = LookupState::InFlight;
            names
                .iter()
                .filter_map(|name| self.topics.get_mut(name).map(|topic| topic.lookup_started(now)))
                .for_each(drop);
        }
    }

    /// Requests a producer id from `node` if none is known, or if the known one is `stale`.
    pub(super) fn ensure_producer_id(&mut self, node: NodeId, stale: Option<i64>, now: Instant) {
        match self.producer_id {
            ProducerId::Known(id) if Some(id) != stale => {}
            ProducerId::Requested | ProducerId::Denied { .. } => {}
            ProducerId::Missing { retry_at } if retry_at > now => {}
            _ => self.request_producer_id(node),
        }
    }

    /// Requests a producer id from `node`, unless a request is pending.
    pub(super) fn request_producer_id(&mut self, node: NodeId) {
        if self.lookups.producer_ids.try_send(node).is_ok() {
            self.producer_id = ProducerId::Requested;
        }
    }

    /// Whether it is time to request a denied producer id again.
    pub(super) fn may_retry_producer_id(&self, now: Instant) -> bool {
        matches!(self.producer_id, ProducerId::Denied { retry_at: Some(again) } if again <= now)
    }

    /// Applies the result of a topic lookup: routes the records of topics that were found, and fails those of missing
    /// ones.
    pub(super) fn apply_topics(
        &mut self,
        names: Vec<TopicName>,
        how: AutoCreate,
        found: Result<Vec<Result<TopicInfo, BrokerError>>, BrokerError>,
        now: Instant,
    ) {
        let found = match found {
            Ok(found) => {
                self.outage = None;
                found
            }
            Err(why) => {
                self.note_outage(why.clone(), now);
                let why = ProducerOutage::cause(why);
                names.iter().map(|_| Err(why.clone())).collect()
            }
        };
        for (name, found) in names.into_iter().zip(found) {
            let Some(topic) = self.topics.get_mut(&name) else { continue };
            match topic.apply_lookup(found, how, now) {
                LookupResult::Pending => {}
                LookupResult::Ready => {
                    for submission in std::mem::take(&mut topic.waiting) {
                        self.route(submission, now);
                    }
                    self.disconnect_former_leaders(&name, now);
                }
                LookupResult::Failed(why) => self.fail_topic(&name, &why),
            }
        }
        self.request_creation_checks();
    }

    /// Fails all records that wait for a topic.
    fn fail_topic(&mut self, name: &TopicName, why: &BrokerError) {
        let Some(topic) = self.topics.get_mut(name) else { return };
        topic.waiting.drain(..).for_each(|submission| reject(&submission, why));
        for id in topic.queues.values() {
            if let Some(partition) = self.queues.get_mut(id.0) {
                partition.queue.fail_waiting(why);
                partition.progress.topic_gone();
            }
        }
    }

    fn request_creation_checks(&mut self) {
        if self.creation_lookup == LookupState::InFlight {
            return;
        }
        let unchecked = self.topics.iter().filter(|(_, topic)| topic.needs_creation_check());
        let names: Vec<TopicName> = unchecked.map(|(name, _)| name.clone()).collect();
        if !names.is_empty() && self.lookups.requests.try_send(ProducerLookup::Creation(names.clone())).is_ok() {
            self.creation_lookup = LookupState::InFlight;
            names
                .iter()
                .filter_map(|name| self.topics.get_mut(name).map(ProducerTopic::creation_check_started))
                .for_each(drop);
        }
    }

    /// Applies the report about missing topics.
    pub(super) fn apply_creation_checks(
        &mut self,
        names: Vec<TopicName>,
        found: Result<CreationReport, BrokerError>,
        now: Instant,
    ) {
        let CreationReport { auto_creation, rejected } = found.unwrap_or_else(|why| {
            log::debug!("cannot find out whether Kafka creates topics: {why}");
            CreationReport { auto_creation: AutoCreation::Unknown, rejected: vec![None; names.len()] }
        });
        for (name, rejected) in names.into_iter().zip(rejected) {
            let Some(topic) = self.topics.get_mut(&name) else { continue };
            if let LookupResult::Failed(why) = topic.apply_creation_check(auto_creation, rejected, now) {
                self.fail_topic(&name, &why);
            }
        }
    }

    /// Applies the result of a request for a producer id.
    pub(super) fn apply_producer_id(&mut self, result: Result<i64, BrokerError>, now: Instant) {
        self.producer_id = match result {
            Ok(id) => {
                let all = self.queues.iter_mut().filter(|q| q.acks == Acks::All);
                all.for_each(|q| q.queue.enable_sequences());
                ProducerId::Known(id)
            }
            Err(why @ (BrokerError::Denied(_) | BrokerError::Unsupported(_))) => {
                log::warn!("cannot get a producer id, so acks=all is not protected from duplicates: {why}");
                self.queues.iter_mut().for_each(|q| q.queue.disable_sequences());
                let retry_at = matches!(why, BrokerError::Denied(_)).then(|| now + DENIED_RETRY);
                ProducerId::Denied { retry_at }
            }
            Err(why) => {
                log::debug!("cannot get a producer id, trying again: {why}");
                ProducerId::Missing { retry_at: now + PRODUCER_ID_RETRY }
            }
        };
    }
}
