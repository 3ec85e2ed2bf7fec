//! The state of a view, shared by its streams and the thread that reads for it.

use super::reading::ViewReading;
use super::topic_snapshot::TopicSnapshot;
use crate::broker::BrokerError;
use crate::hub::subscription::ClientTag;
use crate::record::{Timestamp, TopicName};
use crate::sync::lock;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Minimum time between the beginning of a round that creates a snapshot and the beginning of the next round.
const MIN_INTERVAL: Duration = Duration::from_millis(100);

/// How long a snapshot is kept for the streams that requested it. Streams check for it several times within this time.
const KEPT: Duration = Duration::from_millis(500);

/// Identifies a view.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ViewKey {
    /// The topic.
    pub topic: TopicName,
    /// The age of the oldest records.
    pub reach: Reach,
}

/// The age of the oldest records of a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reach {
    /// No limit: the view reads from the log start offset.
    All,
    /// At most `2^log2_ms` milliseconds. Ages are rounded up to a power of two, because clients choose them freely and each view
    /// must be read.
    Age {
        /// The exponent.
        log2_ms: u32,
    },
}

impl Reach {
    /// Returns the shortest reach that includes the records since `since`.
    pub fn of(since: Option<Timestamp>, now: Timestamp) -> Self {
        match since.map(|since| u64::try_from(now.saturating_sub(since)).unwrap_or(0)) {
            None => Self::All,
            Some(age) => age.checked_next_power_of_two().map_or(Self::All, |age| Self::Age { log2_ms: age.ilog2() }),
        }
    }

    /// Returns the timestamp of the oldest records, or `None` without a limit.
    pub fn oldest(self, now: Timestamp) -> Option<Timestamp> {
        let Self::Age { log2_ms } = self else { return None };
        Some(now.saturating_sub(1i64.checked_shl(log2_ms).filter(|age| *age > 0).unwrap_or(Timestamp::MAX)).max(0))
    }
}

/// A view of the latest record of each key in a topic.
pub struct KeyedView {
    /// Identifies the view.
    pub key: ViewKey,
    /// The client of the first stream. The turns of the view count as turns of this client.
    pub client: ClientTag,
    /// Locked by a thread while it takes a turn.
    pub reading: Mutex<ViewReading>,
    status: Mutex<ViewStatus>,
}

/// The part of a view that streams see. It is locked only briefly.
pub struct ViewStatus {
    /// Number of open streams that started from the view.
    pub leases: usize,
    /// The time when the last of these streams ended.
    pub unused_since: Instant,
    /// The time of the latest pending request for a snapshot.
    pub wanted: Option<Instant>,
    /// The work that the view has for the threads.
    pub work: ViewWork,
    /// The latest snapshot, and the time when its round began.
    pub snapshot: Option<(Instant, Arc<TopicSnapshot>)>,
    /// The error of the last round, for streams that requested a snapshot before this time.
    pub failure: Option<(Instant, BrokerError)>,
}

/// The work that a view has for the threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ViewWork {
    /// No work until a stream requests a snapshot, or until this time if the view has streams.
    Idle(Option<Instant>),
    /// No work until this time, for example after an error that may be temporary.
    Paused(Instant),
    /// A turn, which is queued or in progress.
    Turn,
}

/// The progress of a snapshot.
#[derive(Debug, Clone)]
pub enum ViewProgress {
    /// The log is being read.
    Pending,
    /// The snapshot of a round that began after the stream requested it. In a partition that the live flow reads, it may
    /// end before the log does, at the position of the live flow.
    Ready(Arc<TopicSnapshot>),
    /// The log cannot be read.
    Failed(BrokerError),
}

impl KeyedView {
    /// Creates a view for the stream of a client.
    pub fn new(key: ViewKey, client: ClientTag) -> Self {
        let now = Instant::now();
        let status = ViewStatus {
            leases: 0,
            unused_since: now,
            wanted: None,
            work: ViewWork::Idle(None),
            snapshot: None,
            failure: None,
        };
        Self { key, client, reading: Mutex::default(), status: Mutex::new(status) }
    }

    /// Locks the status.
    pub fn status(&self) -> MutexGuard<'_, ViewStatus> {
        lock(&self.status)
    }
}

impl ViewStatus {
    /// Returns the progress for a stream that requested a snapshot at this time.
    pub fn progress(&self, asked: Instant) -> ViewProgress {
        match (&self.failure, &self.snapshot) {
            (Some((until, error)), _) if asked <= *until => ViewProgress::Failed(error.clone()),
            (_, Some((read, snapshot))) if asked <= *read => ViewProgress::Ready(snapshot.clone()),
            _ => ViewProgress::Pending,
        }
    }

    /// Returns the time until the next round may begin, or `None` if it may begin now. The rate of rounds is limited,
    /// because a snapshot takes time for every key, not only for changed ones.
    pub fn wait_before_round(&self, now: Instant) -> Option<Duration> {
        let (read, _) = self.snapshot.as_ref()?;
        let wait = (*read + MIN_INTERVAL).saturating_duration_since(now);
        (!wait.is_zero()).then_some(wait)
    }

    /// Drops a snapshot that is older than `KEPT`. By then the streams that requested it have it, and it keeps replaced
    /// records in memory.
    pub fn drop_old_snapshot(&mut self, now: Instant) {
        self.snapshot.take_if(|(read, _)| now.saturating_duration_since(*read) > KEPT);
    }

    /// Reports an error to the streams that wait for a snapshot, and to those that request one within `quiet`.
    pub fn fail(&mut self, error: BrokerError, quiet: Duration) {
        self.failure = Some((Instant::now() + quiet, error));
        (self.wanted, self.snapshot, self.work) = (None, None, ViewWork::Idle(None));
    }

    /// Cancels the work if the view has no streams. Returns whether that is the case.
    pub fn rests_without_streams(&mut self) -> bool {
        if self.leases == 0 {
            (self.wanted, self.work) = (None, ViewWork::Idle(None));
        }
        self.leases == 0
    }

    /// Whether a view without streams is kept for a while: it has been read, or it still reports an error.
    pub fn is_worth_keeping(&self, now: Instant) -> bool {
        self.failure.as_ref().is_some_and(|(until, _)| *until > now) || self.work != ViewWork::Idle(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reach_includes_what_was_asked_for_and_at_most_twice_as_much() {
        let now = 1_769_846_400_000;
        for age in [0, 1, 2, 3, 1000, 86_400_000, 90_000_000, now, now * 1000] {
            let reach = Reach::of(Some(now - age), now);
            let oldest = reach.oldest(now).unwrap_or(0);
            assert!(oldest <= (now - age).max(0), "{age}: {reach:?}");
            assert!(now - oldest <= 2 * age.max(1), "{age}: {reach:?}");
        }
        assert_eq!(Reach::of(None, now), Reach::All);
        assert_eq!(Reach::of(Some(now + 5), now), Reach::of(Some(now), now));
        assert_eq!(Reach::of(Some(i64::MIN), now).oldest(now), Some(0));
    }
}
