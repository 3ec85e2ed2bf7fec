//! What lies between a stream's cursor and the live flow's place, and whether both are of one log.

use super::feed::{Feed, FeedState};
use super::tail::LogSpan;
use crate::hub::catch_up::task::CatchUpTask;
use crate::record::{NO_EPOCH, Partition, Position};

/// The stretches between the job's cursor and the feed's.
pub fn missing(
    feed: &Feed,
    state: &FeedState,
    job: &mut CatchUpTask,
) -> Result<Vec<(usize, Partition, Vec<LogSpan>)>, Apart> {
    let flow = &state.encoder.cursor;
    let mut missing = Vec::new();
    for (topic, place) in flow.topics().iter().enumerate() {
        let own = &job.encoder.cursor.topics()[topic];
        if own.id.differs(place.id) {
            return Err(Apart::Behind);
        }
        if place.id.is_known() {
            job.encoder.cursor.set_id(topic, place.id);
        }
        let known = flow.offsets(topic).count();
        if job.encoder.cursor.offsets(topic).count() > known {
            return Err(Apart::Ahead);
        }
        let tail = &feed.tails[topic];
        for (partition, to) in flow.offsets(topic) {
            let own = match job.encoder.cursor.position(topic, partition) {
                Some(own) => own,
                None => {
                    job.encoder.cursor.add_position(topic, 0);
                    Position::from(0)
                }
            };
            if own.next > to {
                return Err(Apart::Ahead);
            }
            let mut state = tail.state();
            let pieces = match own.next < to {
                true => state.recent(partition, own.next, to).ok_or(Apart::Behind)?,
                false => Vec::new(),
            };
            // The log may have been truncated and have grown again, for the flow or for the cursor.
            let epoch = match pieces.first() {
                Some(first) => first.epoch_at(own.next),
                None => flow.position(topic, partition).map_or(NO_EPOCH, |place| place.epoch),
            };
            let leader_epoch = state.partition(partition).map_or(-1, |place| place.leader_epoch);
            if own.epoch != NO_EPOCH && own.epoch != epoch && !job.is_confirmed(topic, partition, leader_epoch) {
                return Err(Apart::Behind);
            }
            if !pieces.is_empty() {
                missing.push((topic, partition, pieces));
            }
        }
    }
    Ok(missing)
}

/// Why a stream cannot join.
pub enum Apart {
    Behind,
    Ahead,
}
