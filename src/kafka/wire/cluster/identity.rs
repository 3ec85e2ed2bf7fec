//! Decides which of two ids of a topic is current.
//!
//! A topic that is deleted and recreated gets another id, and ids have no order. A broker that is cut off from the
//! controllers reports the old id for as long as that lasts; accepting every response would restart the streams of
//! the topic again and again. Two rules help: responses of one broker only move forward, so an id that it has
//! replaced is gone for good (ids are never reused, KIP-516), and healthy brokers agree.
//!
//! Responses from an address of several brokers (a load balancer) prove neither, because an isolated broker behind it
//! alternates with the others.

use super::rotation::AddressKind;
use crate::broker::{TopicId, TopicInfo};
use crate::record::TopicName;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Limits of remembered topics, addresses per topic, and replaced ids per topic. The id of a forgotten topic is at
/// worst judged doubtful.
const MAX_TOPICS: usize = 10_000;
const MAX_ADDRESSES: usize = 100;
const MAX_REPLACED: usize = 8;

/// An id that this many consecutive responses report, over this time, becomes current even if it was replaced before: a
/// cluster that was restored from a backup returns to old ids.
const RETURNS_AFTER: (u32, Duration) = (5, Duration::from_secs(60));

/// The ids of topics, as reported by brokers.
#[derive(Default)]
pub(super) struct Identities(HashMap<TopicName, TopicIdentity>);

struct TopicIdentity {
    present: Uuid,
    candidate: Option<CandidateId>,
    reports: HashMap<Arc<str>, IdentityReport>,
    replaced: VecDeque<Uuid>,
}

/// A different id in the latest responses.
struct CandidateId {
    id: Uuid,
    /// A broker that reported it.
    broker: Option<Arc<str>>,
    since: Instant,
    responses: u32,
}

/// The latest response from an address.
struct IdentityReport {
    id: Uuid,
    number: u64,
}

/// Source and time of a response.
#[derive(Debug, Clone, Copy)]
pub(super) struct AnswerSource<'a> {
    pub address: &'a Arc<str>,
    pub kind: AddressKind,
    /// Number of the response, in order of arrival.
    pub number: u64,
    pub at: Instant,
}

/// The verdict on an id in a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IdentityVerdict {
    Present,
    /// The id of a deleted topic.
    Outdated,
    /// The brokers disagree about the id; later responses decide.
    Doubtful,
}

impl Identities {
    /// Judges a response that has `id` for `topic`, whose known id is `known`.
    pub fn judge(&mut self, topic: &TopicName, id: Uuid, known: TopicId, source: AnswerSource<'_>) -> IdentityVerdict {
        let new = || TopicIdentity {
            present: known.unwrap_or(id),
            candidate: None,
            reports: HashMap::new(),
            replaced: VecDeque::new(),
        };
        self.0.entry(topic.clone()).or_insert_with(new).judge(id, source)
    }

    /// Whether an id of `topic` is remembered.
    pub fn remembers(&self, topic: &TopicName) -> bool {
        self.0.contains_key(topic)
    }

    /// Evicts topics if the limit is reached. Topics in `known` are evicted first, because the view caches their ids as
    /// well.
    pub fn make_room(&mut self, known: &HashMap<TopicName, Arc<TopicInfo>>) {
        if self.0.len() < MAX_TOPICS {
            return;
        }
        self.0.retain(|topic, _| !known.contains_key(topic));
        if self.0.len() > MAX_TOPICS / 2 {
            self.0.clear();
        }
    }
}

impl TopicIdentity {
    fn judge(&mut self, id: Uuid, AnswerSource { address, kind, number, at }: AnswerSource<'_>) -> IdentityVerdict {
        // Concurrent responses may be judged in a different order than they arrived.
        if self.reports.get(address).is_some_and(|report| report.number > number) {
            return if id == self.present { IdentityVerdict::Present } else { IdentityVerdict::Outdated };
        }
        if self.reports.len() >= MAX_ADDRESSES && !self.reports.contains_key(address) {
            self.reports.clear();
        }
        let before = self.reports.insert(address.clone(), IdentityReport { id, number }).map(|report| report.id);
        let was_replaced = self.replaced.contains(&id);
        // No broker returns to a replaced id: the address leads to several brokers after all.
        let moves = kind == AddressKind::OneBroker && !was_replaced;
        let left = before.filter(|before| *before != id && moves);
        if let Some(left) = left {
            self.replaced.push_back(left);
            if self.replaced.len() > MAX_REPLACED {
                self.replaced.pop_front();
            }
        }
        if id == self.present {
            self.candidate = None;
            return IdentityVerdict::Present;
        }
        let new = || CandidateId { id, broker: None, since: at, responses: 0 };
        let mut candidate = self.candidate.take().filter(|candidate| candidate.id == id).unwrap_or_else(new);
        candidate.responses += 1;
        let (responses, time) = RETURNS_AFTER;
        let is_lasting = candidate.responses >= responses && at.saturating_duration_since(candidate.since) >= time;
        let has_agreed = candidate.broker.as_ref().is_some_and(|broker| moves && broker != address);
        if left == Some(self.present) || has_agreed || is_lasting {
            self.present = id;
            self.replaced.retain(|replaced| *replaced != id);
            return IdentityVerdict::Present;
        }
        if kind == AddressKind::OneBroker {
            candidate.broker.get_or_insert_with(|| address.clone());
        }
        self.candidate = Some(candidate);
        if was_replaced { IdentityVerdict::Outdated } else { IdentityVerdict::Doubtful }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use IdentityVerdict::{Doubtful, Outdated, Present};

    /// An address that leads to several brokers.
    const ANY: u8 = 0;

    fn id(id: char) -> Uuid {
        Uuid::from_u128(u128::from(u32::from(id)))
    }

    fn name(name: &str) -> TopicName {
        TopicName::new(name).unwrap()
    }

    /// Judges ids (`a`, `b`) of one topic as reported by brokers, in this order, `seconds` apart.
    #[track_caller]
    fn check_every(seconds: u64, responses: &[(u8, char, IdentityVerdict)]) {
        let (mut identities, topic, began) = (Identities::default(), name("t"), Instant::now());
        for (number, (broker, reported, verdict)) in (0..).zip(responses) {
            let address = Arc::from(format!("broker-{broker}:9092"));
            let kind = if *broker == ANY { AddressKind::ManyBrokers } else { AddressKind::OneBroker };
            let source =
                AnswerSource { address: &address, kind, number, at: began + Duration::from_secs(number * seconds) };
            let judged = identities.judge(&topic, id(*reported), None, source);
            assert_eq!(judged, *verdict, "answer {number} of {responses:?}");
        }
    }

    #[track_caller]
    fn check(responses: &[(u8, char, IdentityVerdict)]) {
        check_every(0, responses);
    }

    #[test]
    fn a_broker_that_had_the_old_id_knows_which_is_the_new_one() {
        check(&[(1, 'a', Present), (1, 'b', Present), (1, 'c', Present)]);
        let cut_off = [(1, 'a', Outdated), (2, 'b', Present), (3, 'b', Present)].repeat(5);
        check(&[&[(1, 'a', Present), (2, 'a', Present), (2, 'b', Present)][..], &cut_off].concat());
    }

    #[test]
    fn with_two_brokers_the_one_that_is_cut_off_does_not_bring_the_old_topic_back() {
        let cut_off = [(1, 'a', Outdated), (2, 'b', Present)].repeat(5);
        check(&[&[(1, 'a', Present), (2, 'a', Present), (2, 'b', Present)][..], &cut_off].concat());
    }

    #[test]
    fn two_brokers_that_are_cut_off_do_not_bring_the_old_topic_back_either() {
        let cut_off = [(1, 'a', Outdated), (2, 'a', Outdated), (3, 'b', Present)].repeat(50);
        check_every(10, &[&[(1, 'a', Present), (3, 'a', Present), (3, 'b', Present)][..], &cut_off].concat());
    }

    #[test]
    fn where_no_broker_was_seen_to_change_its_mind_two_brokers_in_a_row_decide() {
        let cut_off = [(1, 'a', Doubtful), (2, 'b', Present), (3, 'b', Present)].repeat(5);
        check(&[&[(2, 'b', Present)][..], &cut_off].concat());
        let cut_off = [(1, 'a', Doubtful), (2, 'b', Present), (3, 'b', Present)].repeat(5);
        check(&[&[(1, 'a', Present), (2, 'b', Doubtful), (3, 'b', Present)][..], &cut_off].concat());
    }

    #[test]
    fn an_address_of_several_brokers_does_not_lock_the_present_topic_out() {
        check(&[(1, 'a', Present), (1, 'b', Present), (1, 'a', Outdated), (2, 'b', Present), (3, 'b', Present)]);
    }

    #[test]
    fn behind_an_address_of_several_brokers_the_old_topic_does_not_come_and_go() {
        let recreated = [(ANY, 'a', Present), (ANY, 'b', Doubtful), (2, 'b', Doubtful), (3, 'b', Present)];
        // Broker 1 is cut off, and so are some of the responses from that address.
        let cut_off = [(ANY, 'a', Doubtful), (ANY, 'b', Present), (ANY, 'a', Doubtful), (1, 'a', Doubtful)];
        let cut_off = [&cut_off[..], &[(ANY, 'a', Doubtful), (2, 'b', Present)]].concat().repeat(5);
        check(&[&recreated[..], &cut_off].concat());
    }

    #[test]
    fn a_replaced_id_returns_when_no_broker_has_reported_another_one_for_long() {
        let restored = [(1, 'a', Present), (1, 'b', Present), (1, 'a', Outdated), (2, 'a', Outdated)];
        let again = [(1, 'a', Outdated), (2, 'a', Outdated)];
        check_every(15, &[&restored[..], &again, &[(1, 'a', Present), (2, 'a', Present)]].concat());
        // Many responses at once prove no more than one.
        check(&[&restored[..], &again.repeat(20)].concat());
        let contradicted = [(1, 'a', Outdated), (2, 'a', Outdated), (1, 'a', Outdated), (2, 'b', Present)].repeat(5);
        check_every(15, &[&restored[..2], &contradicted].concat());
    }

    #[test]
    fn an_answer_that_is_judged_late_changes_nothing() {
        let (mut identities, topic, at) = (Identities::default(), name("t"), Instant::now());
        let address = Arc::from("broker:9092");
        let mut judge = |reported, number| {
            let source = AnswerSource { address: &address, kind: AddressKind::OneBroker, number, at };
            identities.judge(&topic, id(reported), None, source)
        };
        assert_eq!([judge('a', 1), judge('b', 3), judge('a', 2), judge('b', 4)], [Present, Present, Outdated, Present]);
    }

    #[test]
    fn with_more_topics_than_are_remembered_the_first_answer_is_not_simply_taken() {
        let (mut identities, at, mut number) = (Identities::default(), Instant::now(), 0);
        let mut known = HashMap::new();
        let mut learn =
            |identities: &mut Identities, known: &HashMap<TopicName, Arc<TopicInfo>>, topic: &str, new_id| {
                number += 1;
                let (topic, address) = (name(topic), Arc::from("broker-1:9092"));
                let before = known.get(&topic).and_then(|info| info.id);
                identities.make_room(known);
                identities.judge(
                    &topic,
                    id(new_id),
                    before,
                    AnswerSource { address: &address, kind: AddressKind::OneBroker, number, at },
                )
            };
        let info = |id| TopicInfo { name: name("known"), id: Some(id), partitions: Vec::new() };
        learn(&mut identities, &known, "known", 'b');
        known.insert(name("known"), Arc::new(info(id('b'))));
        learn(&mut identities, &known, "deleted", 'a');
        learn(&mut identities, &known, "deleted", 'b');
        for n in 0..MAX_TOPICS {
            let topic = format!("other-{n}");
            learn(&mut identities, &known, &topic, 'c');
            known.insert(name(&topic), Arc::new(TopicInfo { name: name(&topic), ..info(id('c')) }));
        }
        assert!(identities.0.len() < MAX_TOPICS && !identities.remembers(&name("known")));
        assert_eq!(learn(&mut identities, &known, "known", 'a'), Doubtful);
        assert_eq!(learn(&mut identities, &known, "deleted", 'a'), Outdated);
    }
}
