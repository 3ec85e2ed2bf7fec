//! The first turns of a stream: looks up its topics, and finds the position at which it starts in each partition.

use super::from_snapshot;
use super::positions::{PartitionPosition, positions, positions_before_end};
use super::task::{AtEnd, CatchUpPhase, CatchUpTask, Opening, TurnOutcome};
use super::until::{self, EndsFound};
use crate::broker::{Broker, BrokerError, OffsetAt, TopicInfo};
use crate::cursor::{Cursor, IdTag, Selection};
use crate::hub::counts::RequestKind;
use crate::hub::live::registry::Live;
use crate::hub::stream::state::TopicState;
use crate::hub::subscription::{GapReason, Missing, Until};
use crate::record::{Partition, TopicPartition};
use crate::start_position::Start;
use std::time::Instant;

/// Finds the position at which the stream starts, and sends its id.
pub fn open(mut task: Box<CatchUpTask>, live: &Live, broker: &dyn Broker) -> TurnOutcome {
    let CatchUpPhase::Opening(opening) = &task.phase else { return TurnOutcome::Again(task) };
    let Opening { start, until, prepared } = opening.clone();
    // If a feed has these topics, its cursor saves the look-up.
    if until == Until::Forever
        && let Some(live_cursor) = live.cursor_of(&task.stream.key)
    {
        match start {
            Start::Latest => {
                task.stream.encoder.move_to(live_cursor);
                return begin(task, AtEnd::Yes, EndsFound::Forever);
            }
            // The live flow has no partitions of a missing topic, so such a topic must be looked up.
            Start::Cursor(cursor) | Start::End(cursor)
                if (0..task.stream.topics.len()).all(|topic| live_cursor.offsets(topic).next().is_some()) =>
            {
                task.stream.encoder.move_to(cursor);
                return begin(task, AtEnd::Yes, EndsFound::Forever);
            }
            Start::Cursor(_)
            | Start::End(_)
            | Start::Earliest
            | Start::Last(_)
            | Start::Time(_)
            | Start::Snapshot { .. } => {}
        }
    }
    if let Start::Cursor(cursor) | Start::End(cursor) = &start {
        task.stream.encoder.move_to(cursor.clone());
    }
    if let Err(error) = look_up_first(&mut task, broker) {
        return task.retry(RequestKind::Metadata, &error);
    }
    let (at_end, ends) = match find_ends_and_start(&mut task, &start, until, broker) {
        Ok((_, EndsFound::Unknown)) => return task.later(),
        Ok(found) => found,
        Err(error) => return task.retry(RequestKind::Metadata, &error),
    };
    match (start, prepared) {
        (Start::Snapshot { since }, Some(prepared)) => {
            ends.apply(&mut task);
            let ends = task.stream.encoder.bounds.ends.take();
            from_snapshot::begin(task, prepared, since, ends)
        }
        _ => begin(task, at_end, ends),
    }
}

fn find_ends_and_start(
    task: &mut CatchUpTask,
    start: &Start,
    until: Until,
    broker: &dyn Broker,
) -> Result<(AtEnd, EndsFound), BrokerError> {
    let ends = until::ends(task, until, broker)?;
    let positions = match start {
        Start::Cursor(_) | Start::End(_) | Start::Snapshot { .. } => None,
        Start::Latest => Some(positions(task, OffsetAt::Latest, broker)?),
        Start::Earliest => Some(positions(task, OffsetAt::Earliest, broker)?),
        Start::Last(count) => Some(positions_before_end(task, *count, broker)?),
        Start::Time(time) => Some(positions(task, OffsetAt::Time(*time), broker)?),
    };
    if let Some(positions) = positions {
        let cursor = cursor_at(task, positions);
        task.stream.encoder.move_to(cursor);
    }
    // The ends are looked up after the start. If a record arrived in between, the end of the log would be before the
    // cursor, and would look like the offset of a record.
    let ends = match ends {
        EndsFound::Later(time, _) => EndsFound::Later(time, until::ends_at(task, OffsetAt::Time(time), broker)?),
        known => known,
    };
    let at_end = matches!(start, Start::End(_) | Start::Latest);
    Ok((if at_end { AtEnd::Yes } else { AtEnd::No }, ends))
}

/// Looks up the topics of a new stream. A missing topic is an error unless the stream waits for it.
fn look_up_first(task: &mut CatchUpTask, broker: &dyn Broker) -> Result<(), BrokerError> {
    let resumes = matches!(&task.phase, CatchUpPhase::Opening(Opening { start: Start::Cursor(_) | Start::End(_), .. }));
    let found = look_up_topics(task, broker)?;
    for info in found.iter().flatten() {
        if let Some(partition) = unknown_partition(task.stream.encoder.cursor.selection(), info) {
            return Err(BrokerError::UnknownPartition(TopicPartition { topic: info.name.clone(), partition }));
        }
    }
    update_topics(task, found, if resumes { Missing::Wait } else { task.stream.key.missing })
}

/// Updates the states of the stream's topics, and tells the client about missing topics. With `Missing::Refuse`, a missing
/// topic is an error, unless the stream has positions in it.
fn update_topics(
    task: &mut CatchUpTask,
    found: Vec<Result<TopicInfo, BrokerError>>,
    missing: Missing,
) -> Result<(), BrokerError> {
    let mut out = Vec::new();
    let mut found = found.into_iter().enumerate();
    let updated = found.try_for_each(|(topic, info)| {
        task.stream.topics[topic] = topic_state(task, topic, info, missing, &mut out)?;
        Ok(())
    });
    // Send these frames even if an error follows, because a gap is reported only once.
    task.stream.send(out);
    updated
}

/// Returns the new state of one topic, and appends frames about it to `out`.
fn topic_state(
    task: &mut CatchUpTask,
    topic: usize,
    found: Result<TopicInfo, BrokerError>,
    missing: Missing,
    out: &mut Vec<u8>,
) -> Result<TopicState, BrokerError> {
    match found {
        Ok(info) => {
            let is_same = info.id.is_some() && task.stream.encoder.cursor.topics()[topic].id.is_known();
            if matches!(task.stream.topics[topic], TopicState::Away(_)) && !is_same {
                // Only the topic id proves that a topic which was missing has not been recreated.
                let gaps = task.stream.encoder.recreated(out, topic, IdTag::of(info.id), info.partitions.len());
                task.stream.settings.counts.count_gaps(GapReason::Recreated, gaps);
            }
            Ok(TopicState::Here(info))
        }
        Err(error @ BrokerError::UnknownTopic(_)) => {
            let was_there = task.stream.encoder.cursor.offsets(topic).next().is_some();
            let since = match task.stream.topics[topic] {
                TopicState::Away(since) => since,
                _ => Instant::now(),
            };
            let known = match was_there && since.elapsed() < task.settings.topic_patience {
                true => TopicState::Away(since),
                false if was_there || missing == Missing::Wait => TopicState::Missing,
                false => return Err(error),
            };
            if !matches!(task.stream.topics[topic], TopicState::Missing | TopicState::Away(_)) {
                out.extend_from_slice(&task.stream.encoder.waiting(topic));
            }
            Ok(known)
        }
        Err(error) => Err(error),
    }
}

/// Returns an error if all topics of the stream are missing, and it does not wait for topics.
fn missing_topic_error(task: &CatchUpTask) -> Option<BrokerError> {
    let all = task.stream.topics.iter().all(|topic| matches!(topic, TopicState::Missing));
    let lost = all && task.stream.key.missing == Missing::Refuse;
    lost.then(|| task.stream.key.topics.first().cloned().map(BrokerError::UnknownTopic)).flatten()
}

/// Starts to read: sends the id of the position at which the stream starts, and the gaps between that position and the log.
fn begin(mut task: Box<CatchUpTask>, at_end: AtEnd, ends: EndsFound) -> TurnOutcome {
    let opening = std::mem::replace(&mut task.phase, CatchUpPhase::Reading { at_end });
    let mut out = Vec::new();
    task.stream.encoder.checkpoint(&mut out);
    (0..task.stream.topics.len()).for_each(|topic| reconcile(&mut task, topic, &mut out));
    // Set after `reconcile`: the ends belong to the current topics, while the cursor may come from a topic that has been
    // recreated since.
    ends.apply(&mut task);
    // The log may have been truncated since the client got its cursor. Other positions have just been looked up.
    if matches!(opening, CatchUpPhase::Opening(Opening { start: Start::Cursor(_), .. })) {
        task.stream.encoder.confirm_ends();
    }
    // Checked before anything is sent, so that no client gets an id that it cannot send back.
    if let Err(too_long) = task.stream.encoder.check_id(task.stream.settings.max_id_bytes) {
        return task.fail(&too_long);
    }
    task.stream.send(out);
    task.backoff.reset();
    match missing_topic_error(&task) {
        Some(error) => task.fail(&error),
        None => TurnOutcome::Again(task),
    }
}

/// Looks up the topics again, after an error or after the stream left the live flow.
pub fn look_up(mut task: Box<CatchUpTask>, broker: &dyn Broker) -> TurnOutcome {
    let topics = match look_up_topics(&task, broker) {
        Ok(topics) => topics,
        Err(error) => return task.retry(RequestKind::Metadata, &error),
    };
    // `Missing::Refuse` applies only when a stream is opened.
    if let Err(error) = update_topics(&mut task, topics, Missing::Wait) {
        return task.retry(RequestKind::Metadata, &error);
    }
    let mut out = Vec::new();
    (0..task.stream.topics.len()).for_each(|topic| reconcile(&mut task, topic, &mut out));
    if let Err(too_long) = task.stream.encoder.check_id(task.stream.settings.max_id_bytes) {
        return task.fail(&too_long);
    }
    task.stream.send(out);
    if let Some(error) = missing_topic_error(&task) {
        return task.fail(&error);
    }
    task.phase = CatchUpPhase::Reading { at_end: AtEnd::No };
    TurnOutcome::Again(task)
}

/// Adapts the cursor to a topic that was recreated or deleted, or that has new partitions. Appends the gaps to `out`.
fn reconcile(task: &mut CatchUpTask, topic: usize, out: &mut Vec<u8>) {
    let (encoder, counts) = (&mut task.stream.encoder, &task.stream.settings.counts);
    let known = encoder.cursor.offsets(topic).count();
    let info = match &task.stream.topics[topic] {
        TopicState::Unknown | TopicState::Away(_) => return,
        TopicState::Missing if known > 0 => {
            let gaps = encoder.recreated(out, topic, IdTag::default(), 0);
            return counts.count_gaps(GapReason::Recreated, gaps);
        }
        TopicState::Missing => return,
        TopicState::Here(info) => info,
    };
    let (id, partitions) = (IdTag::of(info.id), info.partitions.len());
    let (old, id) = (encoder.cursor.topics()[topic].id, encoder.cursor.fit(id));
    // Partitions are never removed. Fewer partitions mean that the topic was recreated or, if the id is the same, that the
    // metadata is outdated.
    let shrunk = *encoder.cursor.selection() == Selection::All && known > partitions;
    if old.differs(id) || (shrunk && (old != id || !id.is_known())) {
        let gaps = encoder.recreated(out, topic, id, partitions);
        counts.count_gaps(GapReason::Recreated, gaps);
    } else {
        encoder.cursor.set_id(topic, id);
        encoder.grow(topic, partitions);
    }
}

fn look_up_topics(task: &CatchUpTask, broker: &dyn Broker) -> Result<Vec<Result<TopicInfo, BrokerError>>, BrokerError> {
    broker.topics(&task.stream.key.topics)
}

/// Returns a selected partition that the topic does not have.
fn unknown_partition(selection: &Selection, info: &TopicInfo) -> Option<Partition> {
    match selection {
        Selection::All => None,
        Selection::Only(selected) => {
            selected.iter().copied().find(|p| usize::try_from(*p).map_or(true, |p| p >= info.partitions.len()))
        }
    }
}

/// Returns the cursor of a stream that starts at these positions.
fn cursor_at(task: &CatchUpTask, positions: Vec<PartitionPosition>) -> Cursor {
    let mut cursor = Cursor::new(task.stream.key.topics.clone(), task.stream.encoder.cursor.selection().clone());
    for (topic, known) in task.stream.topics.iter().enumerate() {
        cursor.set_id(topic, IdTag::of(known.here().and_then(|info| info.id)));
    }
    for (topic, _, position) in positions {
        cursor.add_position(topic, position);
    }
    cursor
}
