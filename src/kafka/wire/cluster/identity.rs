//! Which of two ids of a topic is the present one.
//!
//! A topic that is deleted and created again gets another id, and ids have no order. A broker that is cut off from the
//! controllers reports the old id for as long as that lasts, so that taking each answer as it comes would restart the
//! streams of the topic again and again. Two things help: the answers of one broker only move forward, so that an id which
//! it has replaced is gone for good (ids are never reused, KIP-516), and healthy brokers agree.

use crate::record::TopicName;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use uuid::Uuid;

/// Topics that are remembered, addresses for each, and ids that were replaced. Without this memory an id is in doubt at
/// most.
const MOST_TOPICS: usize = 10_000;
const MOST_ADDRESSES: usize = 100;
const MOST_REPLACED: usize = 8;

#[derive(Default)]
pub(super) struct Identities(HashMap<TopicName, Identity>);

struct Identity {
    present: Uuid,
    /// Another id in the latest answer, and the address that it came from.
    candidate: Option<(Uuid, Arc<str>)>,
    reports: HashMap<Arc<str>, Report>,
    replaced: VecDeque<Uuid>,
}

/// The latest answer of a broker.
struct Report {
    id: Uuid,
    number: u64,
}

/// What to make of an id in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Present,
    /// Of a topic that was deleted.
    Outdated,
    /// This broker or the others are outdated: the next answer decides.
    Doubtful,
}

impl Identities {
    /// Answer `number` (they count up) of the broker at `address` has `id` for `topic`.
    pub fn judge(&mut self, topic: &TopicName, id: Uuid, address: &Arc<str>, number: u64) -> Verdict {
        if self.0.len() >= MOST_TOPICS && !self.0.contains_key(topic) {
            self.0.clear();
        }
        let new = || Identity { present: id, candidate: None, reports: HashMap::new(), replaced: VecDeque::new() };
        self.0.entry(topic.clone()).or_insert_with(new).judge(id, address, number)
    }
}

impl Identity {
    fn judge(&mut self, id: Uuid, address: &Arc<str>, number: u64) -> Verdict {
        // Threads that ask at the same time may get here in another order than the answers came.
        if self.reports.get(address).is_some_and(|report| report.number > number) {
            return if id == self.present { Verdict::Present } else { Verdict::Outdated };
        }
        if self.reports.len() >= MOST_ADDRESSES && !self.reports.contains_key(address) {
            self.reports.clear();
        }
        let before = self.reports.insert(address.clone(), Report { id, number }).map(|report| report.id);
        if let Some(before) = before.filter(|before| *before != id) {
            self.replaced.push_back(before);
            if self.replaced.len() > MOST_REPLACED {
                self.replaced.pop_front();
            }
        }
        if id == self.present {
            self.candidate = None;
            return Verdict::Present;
        }
        let was_replaced = self.replaced.contains(&id);
        // One address may stand for several brokers (a load balancer), so two of them can bring back even a replaced id.
        let is_repeated =
            self.candidate.as_ref().is_some_and(|(candidate, of)| *candidate == id && (!was_replaced || of != address));
        if before == Some(self.present) || is_repeated {
            self.present = id;
            self.replaced.retain(|replaced| *replaced != id);
            self.candidate = None;
            return Verdict::Present;
        }
        self.candidate = Some((id, address.clone()));
        if was_replaced { Verdict::Outdated } else { Verdict::Doubtful }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use Verdict::{Doubtful, Outdated, Present};

    /// Judges ids (`a`, `b`) of one topic by brokers, in this order.
    #[track_caller]
    fn check(answers: &[(u8, char, Verdict)]) {
        let (mut identities, topic) = (Identities::default(), TopicName::new("t").unwrap());
        for (number, (broker, id, verdict)) in (0..).zip(answers) {
            let address = Arc::from(format!("broker-{broker}:9092"));
            let judged = identities.judge(&topic, Uuid::from_u128(u128::from(u32::from(*id))), &address, number);
            assert_eq!(judged, *verdict, "answer {number} of {answers:?}");
        }
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
    fn where_no_broker_was_seen_to_change_its_mind_two_answers_in_a_row_decide() {
        let cut_off = [(1, 'a', Doubtful), (2, 'b', Present), (3, 'b', Present)].repeat(5);
        check(&[&[(2, 'b', Present)][..], &cut_off].concat());
        let cut_off = [(1, 'a', Doubtful), (2, 'b', Present), (3, 'b', Present)].repeat(5);
        check(&[&[(1, 'a', Present), (2, 'b', Doubtful), (3, 'b', Present)][..], &cut_off].concat());
    }

    #[test]
    fn an_address_of_several_brokers_does_not_lock_the_present_topic_out() {
        check(&[(1, 'a', Present), (1, 'b', Present), (1, 'a', Present), (2, 'b', Outdated), (3, 'b', Present)]);
    }

    #[test]
    fn an_answer_that_is_judged_late_changes_nothing() {
        let (mut identities, topic) = (Identities::default(), TopicName::new("t").unwrap());
        let (address, id) = (Arc::from("broker:9092"), Uuid::from_u128);
        let mut judge = |n, number| identities.judge(&topic, id(n), &address, number);
        assert_eq!([judge(1, 1), judge(2, 3), judge(1, 2), judge(2, 4)], [Present, Present, Outdated, Present]);
    }
}
