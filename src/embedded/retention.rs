//! Retention: removes the oldest segments once they are older than the retention time or beyond the retention size.

use super::log::EmbeddedLog;
use super::topics::LogTopic;
use crate::record::{Partition, Timestamp, now};
use crate::sync::watchdog;
use crossbeam_channel::{Receiver, after, select};
use log::{info, warn};
use std::time::Duration;

/// Minimum and maximum interval between two runs. Within these bounds, it is a hundredth of the retention time.
const PERIOD: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));

/// Runs until `ended` is closed.
pub fn run(log: &EmbeddedLog, nudged: &Receiver<()>, ended: &Receiver<()>) {
    let period = (log.settings.retention_time / 100).clamp(PERIOD.0, PERIOD.1);
    loop {
        select! {
            recv(ended) -> _ => return,
            recv(nudged) -> nudge => if nudge.is_err() { return },
            recv(after(period)) -> _ => {}
        }
        run_once(log, now());
    }
}

/// Whether a topic is so large that retention by size removes a segment.
pub fn exceeds_size(log: &EmbeddedLog, topic: &LogTopic) -> bool {
    topic.bytes() > log.settings.retention_bytes.saturating_add(log.segment_limits().bytes)
}

/// Trims every topic once.
pub fn run_once(log: &EmbeddedLog, now: Timestamp) {
    let names: Vec<_> = log.topics().keys().cloned().collect();
    for name in names {
        let _busy = watchdog::busy();
        let writing = match log.begin_write() {
            Ok(writing) => writing,
            Err(e) => return warn!("cannot reopen the data: {e}"),
        };
        let trims = match log.topics().get(&name) {
            Some(topic) => due_segments(topic, now, log.settings.retention_time, log.settings.retention_bytes),
            None => continue,
        };
        for (partition, segments) in trims {
            match writing.trim(&name, partition, segments) {
                Ok(()) => info!("retention removed {segments} segment(s) of {name}/{partition}"),
                Err(e) => warn!("cannot trim {name}/{partition}: {e}"),
            }
        }
    }
}

/// Returns the partitions with segments to remove, and the number of these segments.
fn due_segments(topic: &LogTopic, now: Timestamp, time: Duration, bytes: u64) -> Vec<(Partition, usize)> {
    let oldest = i64::try_from(time.as_millis()).map_or(i64::MIN, |time| now.saturating_sub(time));
    let mut gone: Vec<usize> = topic.partitions.iter().map(|log| expired(log, oldest)).collect();
    let segments = || topic.partitions.iter().map(|log| &log.segments);
    let dropped = segments().zip(&gone).flat_map(|(s, n)| s.iter().take(*n)).map(|s| s.bytes).sum::<u64>();
    let mut left = topic.bytes() - dropped;
    // Repeatedly removes the oldest segment among all partitions, as long as the rest is not below the retention size.
    loop {
        let fronts = segments().zip(&gone).enumerate();
        let fronts = fronts.filter_map(|(partition, (s, n))| s.get(*n).map(|front| (partition, front)));
        match fronts.min_by_key(|(_, front)| front.appended) {
            Some((partition, front)) if left - front.bytes >= bytes => {
                left -= front.bytes;
                gone[partition] += 1;
            }
            _ => break,
        }
    }
    (0..).zip(gone).filter(|(_, gone)| *gone > 0).collect()
}

/// The number of segments of a log whose last append was before `oldest`.
///
/// A segment counts as appended no later than the next one, so that a clock that was ahead for a while does not keep
/// segments forever.
fn expired(log: &super::topics::PartitionLog, oldest: Timestamp) -> usize {
    let mut appended = i64::MAX;
    let mut expired = 0;
    for (index, segment) in log.segments.iter().enumerate().rev() {
        appended = appended.min(segment.appended);
        if appended < oldest {
            expired = index + 1;
            break;
        }
    }
    expired
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::topics::{PartitionLog, Segment};

    fn topic(logs: &[&[(Timestamp, u64)]]) -> LogTopic {
        let log = |segments: &&[(Timestamp, u64)]| PartitionLog {
            segments: (0..)
                .zip(segments.iter())
                .map(|(base, (appended, bytes))| Segment {
                    base,
                    last: base,
                    bytes: *bytes,
                    max_timestamp: 0,
                    opened: *appended,
                    appended: *appended,
                })
                .collect(),
            ..PartitionLog::default()
        };
        LogTopic { id: uuid::Uuid::nil(), number: 0, partitions: logs.iter().map(log).collect() }
    }

    fn due_of(logs: &[&[(Timestamp, u64)]], time: u64, bytes: u64) -> Vec<(Partition, usize)> {
        due_segments(&topic(logs), 1000, Duration::from_millis(time), bytes)
    }

    #[test]
    fn segments_whose_last_record_is_old_are_removed() {
        assert_eq!(due_of(&[&[(100, 1), (500, 1), (900, 1)]], 600, u64::MAX), [(0, 1)]);
        assert_eq!(due_of(&[&[(100, 1), (500, 1), (900, 1)]], 50, u64::MAX), [(0, 3)]);
        assert_eq!(due_of(&[&[(100, 1)]], u64::MAX, u64::MAX), []);
    }

    #[test]
    fn a_clock_that_was_ahead_does_not_keep_segments_forever() {
        assert_eq!(due_of(&[&[(9_000_000, 1), (300, 1), (900, 1)]], 600, u64::MAX), [(0, 2)]);
    }

    #[test]
    fn the_oldest_segments_of_all_partitions_are_removed_down_to_the_retention_size() {
        assert_eq!(due_of(&[&[(1, 10), (4, 10)], &[(2, 10), (3, 10)]], 10_000, 20), [(0, 1), (1, 1)]);
        assert_eq!(due_of(&[&[(1, 10), (4, 10)], &[(2, 10), (3, 10)]], 10_000, 25), [(0, 1)]);
        assert_eq!(due_of(&[&[(1, 10)]], 10_000, 5), []);
    }
}
