//! Reports the backlog, and partitions that cannot be written, to `/ready` and the metrics.

use super::Producer;
use crate::broker::{Backlog, Backlogs, UNWRITABLE_AFTER};
use crate::record::TopicName;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const REPORT_INTERVAL: Duration = Duration::from_millis(500);

/// A partition without new records for this long no longer counts as unwritable.
const RELEVANT_FOR: Duration = Duration::from_secs(60);

/// Progress of writing to a partition.
#[derive(Default)]
pub(super) struct PartitionProgress {
    /// The time since which records have been waiting without the broker writing or rejecting any of them. Time with an
    /// empty queue does not count: it moves this forward.
    stuck_since: Option<Instant>,
    /// When the queue became empty. The time from then on does not count as waiting.
    empty_since: Option<Instant>,
    last_record: Option<Instant>,
}

impl PartitionProgress {
    /// Notes that a record was appended to the queue.
    pub fn record(&mut self, now: Instant) {
        self.last_record = Some(now);
        self.stuck_since = Some(self.since(now).unwrap_or(now));
        self.empty_since = None;
    }

    /// Notes that no record waits any more. The time until the next record does not count as waiting.
    pub fn emptied(&mut self, now: Instant) {
        self.empty_since = Some(now);
    }

    /// Notes that the partition no longer exists.
    pub fn topic_gone(&mut self) {
        self.stuck_since = None;
    }

    /// Notes that the broker has written or rejected records.
    pub fn settled(&mut self, left: Unwritten, now: Instant) {
        self.stuck_since = (left == Unwritten::Some).then_some(now);
    }

    fn stuck_since(&self, now: Instant) -> Option<Instant> {
        let is_wanted = |at: Instant| now.saturating_duration_since(at) < RELEVANT_FOR;
        self.since(now).filter(|_| self.last_record.is_some_and(is_wanted))
    }

    fn since(&self, now: Instant) -> Option<Instant> {
        let unused = self.empty_since.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        Some(self.stuck_since? + unused)
    }
}

/// Whether records are left.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unwritten {
    Nothing,
    Some,
}

/// When the backlog was last reported, and whether it was not empty.
pub(super) struct BacklogReport {
    at: Instant,
    pub has_backlog: bool,
}

impl BacklogReport {
    /// An empty backlog, reported at `now`.
    pub fn nothing(now: Instant) -> Self {
        Self { at: now, has_backlog: false }
    }
}

impl Producer<'_, '_> {
    /// Reports the backlog to the cluster if a report is due.
    pub(super) fn report_backlogs(&mut self, now: Instant) {
        let nothing = self.active.is_empty() && self.topics.values().all(|topic| topic.waiting.is_empty());
        let is_due = now.saturating_duration_since(self.backlog_report.at) >= REPORT_INTERVAL;
        if !is_due || (nothing && !self.backlog_report.has_backlog) {
            return;
        }
        let mut topics: BTreeMap<&TopicName, (usize, Option<Instant>)> = BTreeMap::new();
        let mut stuck_since = None;
        for partition in &self.queues {
            let stuck = partition.progress.stuck_since(now);
            if stuck.is_none() && partition.queue.is_idle() {
                continue;
            }
            stuck_since = stuck_since.into_iter().chain(stuck).min();
            let (unwritable, deadline) = topics.entry(&partition.topic_partition.topic).or_default();
            *unwritable += usize::from(stuck.is_some_and(|at| now.saturating_duration_since(at) >= UNWRITABLE_AFTER));
            *deadline = deadline.iter().copied().chain(partition.queue.first_deadline()).min();
        }
        for (name, topic) in &self.topics {
            if let Some(first) = topic.waiting.front() {
                let (_, deadline) = topics.entry(name).or_default();
                *deadline = deadline.iter().copied().chain([first.deadline]).min();
            }
        }
        let topics = topics.into_iter().map(|(topic, (unwritable, first_deadline))| Backlog {
            topic: topic.clone(),
            unwritable,
            first_deadline,
        });
        let backlogs = Backlogs { topics: topics.collect(), stuck_since, last_written: self.last_written };
        self.backlog_report = BacklogReport { at: now, has_backlog: !backlogs.topics.is_empty() };
        self.cluster.set_backlogs(backlogs);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_the_time_in_which_records_waited_counts_against_a_partition() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut progress = PartitionProgress::default();
        let stuck = |progress: &PartitionProgress, now| progress.stuck_since(now).map(|since| (now - since).as_secs());
        progress.record(at(0));
        assert_eq!(stuck(&progress, at(2)), Some(2));
        progress.emptied(at(3));
        assert_eq!(stuck(&progress, at(30)), Some(3), "the broker may have recovered");
        progress.record(at(40));
        assert_eq!(stuck(&progress, at(42)), Some(5));
        progress.settled(Unwritten::Nothing, at(43));
        progress.emptied(at(43));
        assert_eq!(stuck(&progress, at(44)), None);
        progress.record(at(50));
        assert_eq!(stuck(&progress, at(51)), Some(1));
    }
}
