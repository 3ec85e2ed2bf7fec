//! Finds the end of a stream with `until`.
//!
//! In each partition, a stream until a time ends where a stream from that time begins: before the first record with
//! this timestamp or a later one, as found by Kafka's ListOffsets. So a stream until a time and a stream from that time
//! together deliver each record once, regardless of the order of timestamps. In a partition without such a record, the
//! stream ends at the end of the log, some time after the clock has passed that time, because records may still arrive.

use super::positions::positions;
use super::task::{CatchUpTask, TurnOutcome};
use crate::broker::{Broker, BrokerError, OffsetAt};
use crate::hub::counts::RequestKind;
use crate::hub::stream::bounds::{Ends, TimeBound};
use crate::hub::stream::state::TopicState;
use crate::hub::subscription::{Missing, Until};
use crate::record::{Timestamp, now};
use std::time::Duration;

/// Pause between turns of a stream that waits for its end time, and cannot join the live flow because some of its
/// partitions have ended already.
const PAUSE: Duration = Duration::from_millis(250);

/// Pause between turns of a sampled stream.
const SAMPLED_PAUSE: Duration = Duration::from_millis(50);

/// The end of a new stream.
pub enum EndsFound {
    /// The stream does not end.
    Forever,
    At(Ends),
    /// The end time has not passed yet. The offset of the first record with that time or a later one in each partition,
    /// or the end of the log.
    Later(Timestamp, Ends),
    /// A topic must be looked up again first.
    Unknown,
}

/// Finds the ends that can be known before the start of the stream is looked up.
pub fn ends(task: &CatchUpTask, until: Until, broker: &dyn Broker) -> Result<EndsFound, BrokerError> {
    let at = match until {
        Until::Forever => return Ok(EndsFound::Forever),
        Until::End => OffsetAt::Latest,
        Until::Time(time) if task.stream.settings.is_over(time, now()) => OffsetAt::Time(time),
        Until::Time(time) => return Ok(EndsFound::Later(time, Ends::new())),
    };
    // A topic that does not exist has no end yet.
    let waits = task.stream.key.missing == Missing::Wait
        && task.stream.topics.iter().any(|topic| matches!(topic, TopicState::Missing));
    if waits || task.waits_for_return() {
        return Ok(EndsFound::Unknown);
    }
    ends_at(task, at, broker).map(EndsFound::At)
}

/// Looks up the offset `at` in each partition that the stream reads.
pub fn ends_at(task: &CatchUpTask, at: OffsetAt, broker: &dyn Broker) -> Result<Ends, BrokerError> {
    Ok(positions(task, at, broker)?.into_iter().map(|(topic, p, end)| ((topic, p), end.next)).collect())
}

impl EndsFound {
    /// Sets the bounds of the stream. The cursor must have been set before.
    pub fn apply(self, task: &mut CatchUpTask) {
        let encoder = &mut task.stream.encoder;
        (encoder.bounds.ends, encoder.bounds.until) = match self {
            Self::Forever | Self::Unknown => (None, None),
            Self::At(ends) => (Some(ends), None),
            Self::Later(at, mut found) => {
                // The log reaches at least to the cursor, so an end before the cursor is the offset of a record. Other
                // ends may be the end of the log, and are dropped.
                found.retain(|(topic, partition), end| {
                    encoder.cursor.next(*topic, *partition).is_some_and(|next| *end < next)
                });
                (None, Some(TimeBound { at, reached: found }))
            }
        };
    }
}

/// Replaces the end time of the stream by end offsets, once the time has passed or every partition has reached it.
pub fn settle(mut task: Box<CatchUpTask>, broker: &dyn Broker) -> Result<Box<CatchUpTask>, TurnOutcome> {
    let Some(TimeBound { at, reached }) = task.stream.encoder.bounds.until.clone() else { return Ok(task) };
    let mut ends = Ends::new();
    if task.stream.settings.is_over(at, now()) && !task.waits_for_return() {
        match ends_at(&task, OffsetAt::Time(at), broker) {
            Ok(found) => ends = found,
            Err(error) => return Err(task.retry(RequestKind::Metadata, &error)),
        }
    } else if !task.stream.encoder.has_reached_its_time() {
        return Ok(task);
    }
    // The stream has found these ends while reading.
    ends.extend(reached);
    (task.stream.encoder.bounds.until, task.stream.encoder.bounds.ends) = (None, Some(ends));
    Ok(task)
}

impl CatchUpTask {
    /// Returns the pause before the next turn, after a turn that read nothing.
    pub fn idle_pause(&self, usual: Duration) -> Duration {
        match &self.stream.encoder {
            encoder if encoder.bounds.until.is_some() && !self.may_join() => PAUSE,
            // The stream may have to wait for its feed, which sends records that it has held back for longer.
            encoder if encoder.is_sampled() => SAMPLED_PAUSE,
            _ => usual,
        }
    }
}
