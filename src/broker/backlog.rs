//! Records that wait to be written, and partitions that cannot be written.

use super::BrokerError;
use crate::record::TopicName;
use std::time::{Duration, Instant};

/// A partition with records of which none was acknowledged for so long counts as one that cannot be written. Writing
/// takes milliseconds.
pub const UNWRITABLE_AFTER: Duration = Duration::from_secs(5);

/// When nothing at all was acknowledged for so long while records wait, the broker is not ready. Longer than Kafka
/// takes to elect another leader where a broker is gone (`broker.session.timeout.ms` is 9 s).
pub const UNREADY_AFTER: Duration = Duration::from_secs(20);

/// Topics in the text of an error.
const NAMED: usize = 3;

/// What waits to be written to one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backlog {
    pub topic: TopicName,
    /// Partitions that cannot be written.
    pub unwritable: usize,
    /// When the first of those who wait for its records ceases to; `None` while nobody waits.
    pub first_deadline: Option<Instant>,
}

/// The state of everything that waits to be written, by topic: only those with records that wait, or that had some a
/// moment ago and could not be written.
#[derive(Debug, Clone, Default)]
pub struct Backlogs {
    pub topics: Vec<Backlog>,
    /// Since when records wait without any acknowledgement, of the partition where that is longest.
    pub stuck_since: Option<Instant>,
    /// When a record of any topic was acknowledged last.
    pub last_written: Option<Instant>,
}

impl Backlogs {
    /// Fails when records have waited for [`UNREADY_AFTER`] and none of any topic was acknowledged meanwhile. One topic
    /// that cannot be written while others can is not that: it is in the metrics.
    pub fn ready(&self, now: Instant) -> Result<(), BrokerError> {
        let Some(since) = self.stuck_since.max(self.last_written).filter(|_| self.stuck_since.is_some()) else {
            return Ok(());
        };
        let stuck = now.saturating_duration_since(since);
        if stuck < UNREADY_AFTER {
            return Ok(());
        }
        let unwritable = || self.topics.iter().filter(|topic| topic.unwritable > 0);
        let partitions: usize = unwritable().map(|topic| topic.unwritable).sum();
        let mut names: Vec<&str> = unwritable().map(|topic| topic.topic.as_str()).take(NAMED).collect();
        if unwritable().count() > NAMED {
            names.push("…");
        }
        Err(BrokerError::Unwritable(format!(
            "{partitions} partitions of {} have records, and none was acknowledged for {} s (too few in-sync replicas, no \
             leader, or a leader that its followers have left)",
            names.join(", "),
            stuck.as_secs()
        )))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_unready_only_while_nothing_at_all_can_be_written() {
        let now = Instant::now();
        let ago = |seconds| now.checked_sub(Duration::from_secs(seconds));
        let topic = Backlog { topic: TopicName::new("t").unwrap(), unwritable: 2, first_deadline: None };
        let backlogs = |stuck_since, last_written| Backlogs { topics: vec![topic.clone()], stuck_since, last_written };
        assert_eq!(Backlogs::default().ready(now), Ok(()));
        assert_eq!(backlogs(ago(19), None).ready(now), Ok(()), "an election takes a while");
        assert_eq!(backlogs(ago(60), ago(3)).ready(now), Ok(()), "another topic can be written");
        assert_eq!(backlogs(None, ago(60)).ready(now), Ok(()), "nobody wants to write");
        for last_written in [None, ago(31)] {
            let error = backlogs(ago(30), last_written).ready(now).unwrap_err().to_string();
            assert!(error.contains("2 partitions of t have records, and none was acknowledged for 30 s"), "{error}");
        }
    }
}
