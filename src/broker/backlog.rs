//! Records that wait to be written, and partitions that are not writable.

use super::{BrokerError, Unwritable};
use crate::record::TopicName;
use std::time::{Duration, Instant};

/// A partition is unwritable if its records have waited for this long without an acknowledgement. A write normally
/// takes milliseconds.
pub const UNWRITABLE_AFTER: Duration = Duration::from_secs(5);

/// The broker is not ready if records have waited for this long without an acknowledgement of any topic. This is longer
/// than Kafka takes to elect a new leader after a broker fails (`broker.session.timeout.ms` is 9 s).
pub const UNREADY_AFTER: Duration = Duration::from_secs(20);

/// The maximum number of topics that an error names.
const MAX_NAMED: usize = 3;

/// The records that wait to be written to one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backlog {
    /// The name of the topic.
    pub topic: TopicName,
    /// How many of its partitions are unwritable (see [`UNWRITABLE_AFTER`]).
    pub unwritable: usize,
    /// The earliest deadline of the submissions that wait; `None` if none waits.
    pub first_deadline: Option<Instant>,
}

/// All records that wait to be written, by topic.
#[derive(Debug, Clone, Default)]
pub struct Backlogs {
    /// The topics with waiting records, or with records that failed a moment ago because a partition was unwritable.
    pub topics: Vec<Backlog>,
    /// The start of the longest current wait for an acknowledgement in any partition; `None` if no records wait.
    pub stuck_since: Option<Instant>,
    /// When the last record of any topic was acknowledged.
    pub last_written: Option<Instant>,
}

impl Backlogs {
    /// Fails if records have waited for [`UNREADY_AFTER`] without an acknowledgement of any topic. Succeeds as long as
    /// any topic is writable; the metrics report the others.
    pub fn ready(&self, now: Instant) -> Result<(), BrokerError> {
        let Some(since) = self.stuck_since.max(self.last_written).filter(|_| self.stuck_since.is_some()) else {
            return Ok(());
        };
        let stuck = now.saturating_duration_since(since);
        if stuck < UNREADY_AFTER {
            return Ok(());
        }
        let unwritable = || self.topics.iter().filter(|topic| topic.unwritable > 0);
        Err(BrokerError::Unwritable(Unwritable {
            partitions: unwritable().map(|topic| topic.unwritable).sum(),
            topics: unwritable().map(|topic| topic.topic.clone()).take(MAX_NAMED).collect(),
            more_topics: unwritable().count().saturating_sub(MAX_NAMED),
            stuck_for: stuck,
        }))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_unready_only_while_no_topic_is_writable() {
        let now = Instant::now();
        let ago = |seconds| now.checked_sub(Duration::from_secs(seconds));
        let topic = Backlog { topic: TopicName::new("t").unwrap(), unwritable: 2, first_deadline: None };
        let backlogs = |stuck_since, last_written| Backlogs { topics: vec![topic.clone()], stuck_since, last_written };
        assert_eq!(Backlogs::default().ready(now), Ok(()));
        assert_eq!(backlogs(ago(19), None).ready(now), Ok(()), "an election takes a while");
        assert_eq!(backlogs(ago(60), ago(3)).ready(now), Ok(()), "another topic is writable");
        assert_eq!(backlogs(None, ago(60)).ready(now), Ok(()), "no records wait");
        for last_written in [None, ago(31)] {
            let error = backlogs(ago(30), last_written).ready(now).unwrap_err().to_string();
            let expected = "2 partitions of t have waiting records, and none was acknowledged for 30 s";
            assert!(error.contains(expected), "{error}");
        }
    }
}
