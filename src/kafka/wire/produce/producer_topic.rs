//! The producer's view of a topic, and the submissions that wait for its metadata.

use super::creation::AutoCreation;
use super::request::QueueId;
use crate::broker::{Acks, AutoCreate, BrokerError, NodeId, Remedy, Submission, TopicId, TopicInfo};
use crate::record::partitioner::{Sticky, partition_for_key};
use crate::record::{NewRecord, Partition, TopicName};
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// How long a missing topic is looked up before its records fail: a topic that was just created is unknown to some
/// brokers for a moment. Records of a topic that Kafka may be creating wait until their deadlines.
const PATIENCE: Duration = Duration::from_millis(500);
/// Bounds of the pause between lookups.
const MIN_RETRY_PAUSE: Duration = Duration::from_millis(50);
const MAX_RETRY_PAUSE: Duration = Duration::from_secs(1);
/// How long a topic is cached as missing, so that a flood of records to it does not become a flood of lookups.
const NEGATIVE_TTL: Duration = Duration::from_secs(1);
/// A partition number out of range triggers a lookup unless the metadata is newer than this.
const FRESH_FOR: Duration = Duration::from_secs(1);

/// The metadata of a topic, its queues, and the submissions that wait.
#[derive(Default)]
pub struct ProducerTopic {
    view: Option<TopicView>,
    /// Submissions in order of arrival, bounded by the submitter.
    pub waiting: VecDeque<Submission>,
    pub queues: HashMap<(Acks, Partition), QueueId>,
    sticky: Sticky,
    /// When the next lookup is due.
    lookup_at: Option<Instant>,
    looked_up_at: Option<Instant>,
    missing_since: Option<Instant>,
    creation_check: CreationCheck,
    negative: Option<NegativeEntry>,
}

/// Whether Kafka will create a missing topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CreationCheck {
    #[default]
    NotStarted,
    Pending,
    Done(AutoCreation),
}

struct TopicView {
    id: TopicId,
    leaders: Vec<Option<NodeId>>,
    /// Partitions with a leader, sorted.
    available: Vec<Partition>,
    learned: Instant,
}

struct NegativeEntry {
    until: Instant,
    auto_create: AutoCreate,
    why: BrokerError,
}

/// The result of admitting a submission.
pub enum Admission {
    Route(Submission),
    Reject(Submission, BrokerError),
    /// The submission waits for metadata.
    Queued,
}

/// The state of a topic after a lookup.
pub enum LookupResult {
    Ready,
    Pending,
    Failed(BrokerError),
}

impl ProducerTopic {
    /// Admits a submission; it is routed at once if the topic is known and no other submission waits.
    pub fn admit(&mut self, submission: Submission, now: Instant) -> Admission {
        if let Some(negative) = &self.negative
            && negative.until > now
            && (negative.auto_create == AutoCreate::Ask || submission.auto_create == AutoCreate::Never)
        {
            return Admission::Reject(submission, negative.why.clone());
        }
        if self.waiting.is_empty() && self.can_route(&submission, now) {
            return Admission::Route(submission);
        }
        self.schedule_lookup(now);
        self.waiting.push_back(submission);
        Admission::Queued
    }

    /// Schedules a lookup at `when`, unless one is due earlier.
    pub fn schedule_lookup(&mut self, when: Instant) {
        self.lookup_at = Some(self.lookup_at.map_or(when, |at| at.min(when)));
    }

    /// The leader of `partition`; schedules a lookup if it has none.
    pub fn leader(&mut self, partition: Partition, now: Instant) -> Option<NodeId> {
        let leader = self.known_leader(partition);
        if leader.is_none() {
            self.schedule_lookup(now + MIN_RETRY_PAUSE);
        }
        leader
    }

    /// Returns the leader of `partition`, as far as it is known.
    pub fn known_leader(&self, partition: Partition) -> Option<NodeId> {
        self.view.as_ref().and_then(|k| *k.leaders.get(usize::try_from(partition).ok()?)?)
    }

    /// Schedules a lookup if the metadata and the last lookup are older than `age`.
    pub fn refresh(&mut self, age: Duration, now: Instant) {
        let Some(known) = &self.view else { return };
        let latest = self.looked_up_at.map_or(known.learned, |at| at.max(known.learned));
        if self.lookup_at.is_none() && now.saturating_duration_since(latest) > age {
            self.schedule_lookup(now);
        }
    }

    /// Returns the id of the topic, if it is known.
    pub fn id(&self) -> TopicId {
        self.view.as_ref().and_then(|known| known.id)
    }

    /// Returns how to look the topic up, if that is due.
    pub fn due_lookup(&self, now: Instant) -> Option<AutoCreate> {
        self.lookup_at.filter(|at| *at <= now)?;
        let create = self.waiting.iter().any(|s| s.auto_create == AutoCreate::Ask);
        Some(if create { AutoCreate::Ask } else { AutoCreate::Never })
    }

    /// Notes that a lookup is in flight.
    pub fn lookup_started(&mut self, now: Instant) {
        (self.lookup_at, self.looked_up_at) = (None, Some(now));
    }

    /// Applies the result of a lookup. A missing topic is looked up again for a while before its records fail.
    pub fn apply_lookup(
        &mut self,
        found: Result<TopicInfo, BrokerError>,
        auto_create: AutoCreate,
        now: Instant,
    ) -> LookupResult {
        let why = match found {
            Ok(info) => {
                let leaders: Vec<_> = info.partitions.iter().map(|p| p.leader).collect();
                let available = info.partitions.iter().filter(|p| p.leader.is_some()).map(|p| p.partition).collect();
                self.view = Some(TopicView { id: info.id, leaders, available, learned: now });
                (self.missing_since, self.negative, self.creation_check) = (None, None, CreationCheck::NotStarted);
                return LookupResult::Ready;
            }
            Err(why) => why,
        };
        let may_be_created =
            auto_create == AutoCreate::Ask && self.creation_check != CreationCheck::Done(AutoCreation::Off);
        let patience = match (&why, auto_create) {
            (BrokerError::UnknownTopic(_) | BrokerError::Recreated(_), _) if may_be_created => {
                self.missing_since.get_or_insert(now);
                return self.retry_later(now);
            }
            (BrokerError::UnknownTopic(_) | BrokerError::Recreated(_), _) => PATIENCE,
            // The creation check returns Kafka's reason.
            (BrokerError::InvalidRecord(_), AutoCreate::Ask)
                if !matches!(self.creation_check, CreationCheck::Done(_)) =>
            {
                self.missing_since.get_or_insert(now);
                return self.retry_later(now);
            }
            // The known leaders may still accept records, even if authentication fails at another broker.
            (BrokerError::Untrusted(_), _) if self.view.is_some() => return self.retry_later(now),
            (why, _) if why.remedy() != Remedy::GiveUp => {
                // The deadlines of the submissions bound the retries.
                self.missing_since = None;
                return self.retry_later(now);
            }
            _ => Duration::ZERO,
        };
        let since = *self.missing_since.get_or_insert(now);
        if now.saturating_duration_since(since) < patience {
            return self.retry_later(now);
        }
        self.fail(&why, auto_create, now);
        LookupResult::Failed(why)
    }

    fn fail(&mut self, why: &BrokerError, auto_create: AutoCreate, now: Instant) {
        (self.view, self.missing_since, self.creation_check) = (None, None, CreationCheck::NotStarted);
        self.negative = Some(NegativeEntry { until: now + NEGATIVE_TTL, auto_create, why: why.clone() });
    }

    fn retry_later(&mut self, now: Instant) -> LookupResult {
        let missing_for = self.missing_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        self.schedule_lookup(now + (missing_for / 4).clamp(MIN_RETRY_PAUSE, MAX_RETRY_PAUSE));
        LookupResult::Pending
    }

    /// Whether to check if Kafka will create the topic.
    pub fn needs_creation_check(&self) -> bool {
        self.missing_since.is_some() && self.creation_check == CreationCheck::NotStarted
    }

    /// Notes that the creation check is in flight.
    pub fn creation_check_started(&mut self) {
        self.creation_check = CreationCheck::Pending;
    }

    /// Applies the result of the creation check; the topic may exist by now.
    pub fn apply_creation_check(
        &mut self,
        automatic: AutoCreation,
        rejected: Option<BrokerError>,
        now: Instant,
    ) -> LookupResult {
        if self.creation_check != CreationCheck::Pending {
            return LookupResult::Pending;
        }
        if self.missing_since.is_none() {
            // The topic may exist after all. If it does not, the check runs again.
            self.creation_check = CreationCheck::NotStarted;
            return LookupResult::Pending;
        }
        self.creation_check = CreationCheck::Done(automatic);
        match rejected {
            Some(why) => {
                self.fail(&why, AutoCreate::Ask, now);
                LookupResult::Failed(why)
            }
            None => LookupResult::Pending,
        }
    }

    /// The error for records that expire while the topic is missing.
    pub fn missing_error(&self, name: &TopicName) -> Option<BrokerError> {
        self.missing_since.map(|_| BrokerError::NotCreatedYet(name.clone()))
    }

    /// Chooses the partition of a record: the given one, the one for the hash of its key, or the sticky one. Returns
    /// `None` if the given one does not exist.
    pub fn partition(&mut self, record: &NewRecord, random: &mut fastrand::Rng) -> Option<Partition> {
        let known = self.view.as_ref()?;
        match (record.partition, &record.key) {
            (Some(partition), _) => known.has(partition).then_some(partition),
            (None, Some(key)) => Some(partition_for_key(key, known.leaders.len())),
            (None, None) => Some(self.sticky.choose(&known.available, random).unwrap_or(0)),
        }
    }

    /// Notes that a batch of `partition` was sent, so that records without a key go to another partition.
    pub fn batch_sent(&mut self, partition: Partition) {
        self.sticky.batch_sent(partition);
    }

    /// Whether the state of the topic can be dropped.
    pub fn is_forgettable(&self, now: Instant) -> bool {
        self.view.is_none()
            && self.waiting.is_empty()
            && self.queues.is_empty()
            && self.negative.as_ref().is_none_or(|a| a.until <= now)
    }

    fn can_route(&self, submission: &Submission, now: Instant) -> bool {
        let Some(known) = &self.view else { return false };
        let fresh = now.saturating_duration_since(known.learned) < FRESH_FOR;
        fresh || submission.records.iter().all(|r| r.partition.is_none_or(|p| known.has(p)))
    }
}

impl TopicView {
    fn has(&self, partition: Partition) -> bool {
        usize::try_from(partition).is_ok_and(|p| p < self.leaders.len())
    }
}

/// Fails every record of `submission` with `error`.
pub fn reject(submission: &Submission, error: &BrokerError) {
    for index in 0..submission.records.len() {
        submission.receipts.settle(index, Err(error.clone()));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_refresh_that_is_pending_or_failed_is_not_repeated_at_once() {
        let (mut topic, now, age) = (ProducerTopic::default(), Instant::now(), Duration::from_secs(5));
        let name = TopicName::new("t").unwrap();
        let info = || Ok(TopicInfo { name: name.clone(), id: None, partitions: Vec::new() });
        drop(topic.apply_lookup(info(), AutoCreate::Never, now));
        let later = now + age * 2;
        topic.refresh(age, later);
        assert_eq!(topic.due_lookup(later), Some(AutoCreate::Never));
        topic.lookup_started(later);
        topic.refresh(age, later + age);
        assert_eq!(topic.due_lookup(later + age), None);
        let away = BrokerError::Unavailable("away".into());
        drop(topic.apply_lookup(Err(away), AutoCreate::Never, later));
        topic.refresh(age, later);
        assert_eq!(topic.due_lookup(later), None, "the next lookup follows after a pause");
        assert_eq!(topic.due_lookup(later + MIN_RETRY_PAUSE), Some(AutoCreate::Never));
    }

    #[test]
    fn a_lookup_that_fails_during_the_creation_check_does_not_end_the_check_for_good() {
        let (mut topic, now) = (ProducerTopic::default(), Instant::now());
        let missing = || Err(BrokerError::UnknownTopic(TopicName::new("t").unwrap()));
        drop(topic.apply_lookup(missing(), AutoCreate::Ask, now));
        assert!(topic.needs_creation_check());
        topic.creation_check_started();
        drop(topic.apply_lookup(Err(BrokerError::Unavailable("away".into())), AutoCreate::Ask, now));
        drop(topic.apply_creation_check(AutoCreation::Off, None, now));
        drop(topic.apply_lookup(missing(), AutoCreate::Ask, now));
        assert!(topic.needs_creation_check(), "the check runs again");
        topic.creation_check_started();
        drop(topic.apply_creation_check(AutoCreation::Off, None, now));
        let later = now + PATIENCE;
        assert!(matches!(topic.apply_lookup(missing(), AutoCreate::Ask, later), LookupResult::Failed(_)));
    }
}
