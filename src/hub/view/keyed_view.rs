//! What the streams of a view and the thread that reads for it share.

use super::reading::ViewReading;
use super::topic_snapshot::TopicSnapshot;
use crate::broker::BrokerError;
use crate::hub::subscription::ClientTag;
use crate::record::{Timestamp, TopicName};
use crate::sync::lock;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// The shortest time between the rounds of two snapshots.
const MIN_INTERVAL: Duration = Duration::from_millis(100);

/// How long a snapshot is kept for the streams that asked for it, which look for it several times within that time.
const KEPT: Duration = Duration::from_millis(500);

/// Identifies a view.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ViewKey {
    /// The topic.
    pub topic: TopicName,
    /// How far back its records go.
    pub reach: Reach,
}

/// How far back the records of a view go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reach {
    /// To the start of the log.
    All,
    /// To records of this age, `2^log2_ms` milliseconds. Clients choose ages freely, and each view costs reading, so ages are
    /// rounded up to a power of two.
    Age {
        /// The exponent.
        log2_ms: u32,
    },
}

impl Reach {
    /// The shortest reach that includes records from `since` on.
    pub fn of(since: Option<Timestamp>, now: Timestamp) -> Self {
        match since.map(|since| u64::try_from(now.saturating_sub(since)).unwrap_or(0)) {
            None => Self::All,
            Some(age) => age.checked_next_power_of_two().map_or(Self::All, |age| Self::Age { log2_ms: age.ilog2() }),
        }
    }

    /// The timestamp of the oldest records; `None` without a limit.
    pub fn oldest(self, now: Timestamp) -> Option<Timestamp> {
        let Self::Age { log2_ms } = self else { return None };
        Some(now.saturating_sub(1i64.checked_shl(log2_ms).unwrap_or(Timestamp::MAX)).max(0))
    }
}

/// One view.
pub struct KeyedView {
    /// Which view this is.
    pub key: ViewKey,
    /// The client whose stream was the first; the view is read in its turns.
    pub client: ClientTag,
    /// Locked by the thread that takes a turn.
    pub reading: Mutex<ViewReading>,
    status: Mutex<ViewStatus>,
}

/// What streams see of a view. Locked for moments only.
pub struct ViewStatus {
    /// Open streams that started from the view.
    pub leases: usize,
    /// When the last of them ended.
    pub unused_since: Instant,
    /// When the last of the streams that wait for a snapshot asked for it.
    pub wanted: Option<Instant>,
    pub work: ViewWork,
    /// The latest snapshot, and when the round of reading began that it is the result of.
    pub snapshot: Option<(Instant, Arc<TopicSnapshot>)>,
    /// The error of the last round, for the streams that asked up to this time.
    pub failure: Option<(Instant, BrokerError)>,
}

/// What the threads have to do for a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ViewWork {
    /// Nothing before a stream asks, or before this time while there are streams.
    Idle(Option<Instant>),
    /// Nothing before this time, after an error that may pass.
    Paused(Instant),
    /// A turn, which is queued or under way.
    Turn,
}

/// The state of a view, for a stream that asked for a snapshot.
#[derive(Debug, Clone)]
pub enum ViewProgress {
    /// It is being read.
    Pending,
    /// All that was in the log when the stream asked.
    Ready(Arc<TopicSnapshot>),
    /// It cannot be read.
    Failed(BrokerError),
}

impl KeyedView {
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

    pub fn status(&self) -> MutexGuard<'_, ViewStatus> {
        lock(&self.status)
    }
}

impl ViewStatus {
    /// The progress for a stream that asked at this time.
    pub fn progress(&self, asked: Instant) -> ViewProgress {
        match (&self.failure, &self.snapshot) {
            (Some((until, error)), _) if asked <= *until => ViewProgress::Failed(error.clone()),
            (_, Some((read, snapshot))) if asked <= *read => ViewProgress::Ready(snapshot.clone()),
            _ => ViewProgress::Pending,
        }
    }

    /// How long the next round has to wait: a snapshot costs time with the number of keys, not with that of changes.
    pub fn wait_before_round(&self, now: Instant) -> Option<Duration> {
        let (read, _) = self.snapshot.as_ref()?;
        let wait = (*read + MIN_INTERVAL).saturating_duration_since(now);
        (!wait.is_zero()).then_some(wait)
    }

    /// Drops the snapshot once all streams that asked for it have it: it keeps replaced records in memory.
    pub fn drop_old_snapshot(&mut self, now: Instant) {
        self.snapshot.take_if(|(read, _)| now.saturating_duration_since(*read) > KEPT);
    }

    /// Tells the streams that wait, and those that ask within `quiet`, that there is no snapshot.
    pub fn fail(&mut self, error: BrokerError, quiet: Duration) {
        self.failure = Some((Instant::now() + quiet, error));
        (self.wanted, self.snapshot, self.work) = (None, None, ViewWork::Idle(None));
    }

    /// Ends the work for a view that no stream uses. Returns whether that is the case.
    pub fn rests_without_streams(&mut self) -> bool {
        if self.leases == 0 {
            (self.wanted, self.work) = (None, ViewWork::Idle(None));
        }
        self.leases == 0
    }

    /// Whether a view without streams is worth keeping for a while: its records, or that it cannot have them.
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
