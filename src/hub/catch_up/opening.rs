//! The first turns of a stream: which partitions its topics have, and where each is read from.

use super::task::{AtEnd, CatchUpPhase, CatchUpTask, TopicState, TurnOutcome};
use crate::broker::{Broker, BrokerError, OffsetAt, TopicInfo};
use crate::cursor::{Cursor, IdTag, Selection};
use crate::hub::counts::LatencyTimer;
use crate::hub::live::registry::Live;
use crate::hub::stream::encoder::Ends;
use crate::hub::subscription::{GapReason, Missing, Until};
use crate::record::{Partition, Position, TopicPartition};
use crate::start_position::Start;
use std::time::Instant;

/// Look-ups in a row that must miss a topic that was there, before its live streams wait for it.
pub const MISSES: u32 = 2;

/// Where a stream begins and ends, as asked for.
#[derive(Debug, Clone)]
pub struct Opening {
    pub start: Start,
    pub until: Until,
}

/// Finds the stream's first cursor and sends it.
pub fn open(mut job: Box<CatchUpTask>, live: &Live, broker: &dyn Broker) -> TurnOutcome {
    let CatchUpPhase::Opening(Opening { start, until }) = &job.phase else { return TurnOutcome::Again(job) };
    let (start, until) = (start.clone(), *until);
    // Where a live flow knows the topics already, nobody need be asked.
    if until == Until::Forever
        && let Some(place) = live.place_of(&job.key)
    {
        match start {
            Start::Latest => {
                job.encoder.move_to(place);
                return begin(job, AtEnd::Yes, None);
            }
            // A topic without partitions is one that is waited for: what became of it, the broker must say.
            Start::Cursor(cursor) | Start::End(cursor)
                if (0..job.topics.len()).all(|topic| place.offsets(topic).next().is_some()) =>
            {
                job.encoder.move_to(cursor);
                return begin(job, AtEnd::Yes, None);
            }
            Start::Cursor(_) | Start::End(_) | Start::Earliest | Start::Time(_) => {}
        }
    }
    if let Start::Cursor(cursor) | Start::End(cursor) = &start {
        job.encoder.move_to(cursor.clone());
    }
    if let Err(error) = first_look(&mut job, broker) {
        return job.retry(LatencyTimer::Metadata, &error);
    }
    let mut ends = None;
    if until == Until::End {
        // A topic that does not exist yet has no end yet either.
        let waits =
            job.key.missing == Missing::Wait && job.topics.iter().any(|topic| matches!(topic, TopicState::Missing));
        if waits || job.waits_for_return() {
            return job.later();
        }
        match ends_now(&job, broker) {
            Ok(now) => ends = Some(now),
            Err(error) => return job.retry(LatencyTimer::Metadata, &error),
        }
    }
    let at = match start {
        Start::Cursor(_) => return begin(job, AtEnd::No, ends),
        Start::End(_) => return begin(job, AtEnd::Yes, ends),
        Start::Latest => OffsetAt::Latest,
        Start::Earliest => OffsetAt::Earliest,
        Start::Time(time) => OffsetAt::Time(time),
    };
    match cursor_at(&job, at, broker) {
        Ok(cursor) => job.encoder.move_to(cursor),
        Err(error) => return job.retry(LatencyTimer::Metadata, &error),
    }
    begin(job, if at == OffsetAt::Latest { AtEnd::Yes } else { AtEnd::No }, ends)
}

/// Learns what the topics are. One that is missing is no error for a stream that waits.
fn first_look(job: &mut CatchUpTask, broker: &dyn Broker) -> Result<(), BrokerError> {
    let resumes = matches!(&job.phase, CatchUpPhase::Opening(Opening { start: Start::Cursor(_) | Start::End(_), .. }));
    let found = ask_topics(job, broker)?;
    for info in found.iter().flatten() {
        if let Some(partition) = unknown_partition(job.encoder.cursor.selection(), info) {
            return Err(BrokerError::UnknownPartition(TopicPartition { topic: info.name.clone(), partition }));
        }
    }
    learn(job, found, if resumes { Missing::Wait } else { job.key.missing })
}

/// What a stream knows of its topics now. One that is missing is an error where that is refused, unless the stream has
/// places in it: then it is waited for, and the client told.
fn learn(
    job: &mut CatchUpTask,
    found: Vec<Result<TopicInfo, BrokerError>>,
    missing: Missing,
) -> Result<(), BrokerError> {
    let mut out = Vec::new();
    let mut found = found.into_iter().enumerate();
    let learned = found.try_for_each(|(topic, info)| {
        job.topics[topic] = known(job, topic, info, missing, &mut out)?;
        Ok(())
    });
    // Before an error too: a gap is reported only once.
    job.send(out);
    learned
}

fn known(
    job: &mut CatchUpTask,
    topic: usize,
    found: Result<TopicInfo, BrokerError>,
    missing: Missing,
    out: &mut Vec<u8>,
) -> Result<TopicState, BrokerError> {
    match found {
        Ok(info) => {
            let is_same = info.id.is_some() && job.encoder.cursor.topics()[topic].id.is_known();
            if matches!(job.topics[topic], TopicState::Away(_)) && !is_same {
                // Only its id could say that it is the topic that was there before.
                job.settings.counts.gap(GapReason::Recreated, 1);
                job.encoder.recreated(out, topic, IdTag::of(info.id), info.partitions.len());
            }
            Ok(TopicState::Here(info))
        }
        Err(error @ BrokerError::UnknownTopic(_)) => {
            let was_there = job.encoder.cursor.offsets(topic).next().is_some();
            let since = match job.topics[topic] {
                TopicState::Away(since) => since,
                _ => Instant::now(),
            };
            let known = match was_there && since.elapsed() < job.settings.topic_patience {
                true => TopicState::Away(since),
                false if was_there || missing == Missing::Wait => TopicState::Missing,
                false => return Err(error),
            };
            if !matches!(job.topics[topic], TopicState::Missing | TopicState::Away(_)) {
                out.extend_from_slice(&job.encoder.waiting(topic));
            }
            Ok(known)
        }
        Err(error) => Err(error),
    }
}

/// The topic of a stream that waits for none and has no other left.
fn lost(job: &CatchUpTask) -> Option<BrokerError> {
    let all = job.topics.iter().all(|topic| matches!(topic, TopicState::Missing));
    let lost = all && job.key.missing == Missing::Refuse;
    lost.then(|| job.key.topics.first().cloned().map(BrokerError::UnknownTopic)).flatten()
}

/// Sends the id-only frame of the place where the stream starts, and says what became of it meanwhile.
fn begin(mut job: Box<CatchUpTask>, at_end: AtEnd, ends: Option<Ends>) -> TurnOutcome {
    let opening = std::mem::replace(&mut job.phase, CatchUpPhase::Reading { at_end });
    let mut out = Vec::new();
    job.encoder.checkpoint(&mut out);
    (0..job.topics.len()).for_each(|topic| reconcile(&mut job, topic, &mut out));
    // Only now: they are of the topics as they are, which a cursor's may not have been.
    job.encoder.bounds.ends = ends;
    // A client's cursor may be of a log that was truncated since. The other places have just been asked of the log.
    if matches!(opening, CatchUpPhase::Opening(Opening { start: Start::Cursor(_), .. })) {
        job.encoder.confirm_ends();
    }
    // Nothing is sent yet: no client gets an id that it could not send back.
    if let Err(too_long) = job.encoder.check_id(job.settings.max_id_bytes) {
        return job.fail(&too_long);
    }
    job.send(out);
    job.backoff.reset();
    match lost(&job) {
        Some(error) => job.fail(&error),
        None => TurnOutcome::Again(job),
    }
}

/// Looks the topics up again, after an error or after the stream left the live flow.
pub fn look_up(mut job: Box<CatchUpTask>, broker: &dyn Broker) -> TurnOutcome {
    let topics = match ask_topics(&job, broker) {
        Ok(topics) => topics,
        Err(error) => return job.retry(LatencyTimer::Metadata, &error),
    };
    // What the stream was opened with has been decided.
    if let Err(error) = learn(&mut job, topics, Missing::Wait) {
        return job.retry(LatencyTimer::Metadata, &error);
    }
    let mut out = Vec::new();
    (0..job.topics.len()).for_each(|topic| reconcile(&mut job, topic, &mut out));
    if let Err(too_long) = job.encoder.check_id(job.settings.max_id_bytes) {
        return job.fail(&too_long);
    }
    job.send(out);
    if let Some(error) = lost(&job) {
        return job.fail(&error);
    }
    job.phase = CatchUpPhase::Reading { at_end: AtEnd::No };
    TurnOutcome::Again(job)
}

/// Brings the cursor in line with what the topic is now: made anew, grown, or gone.
fn reconcile(job: &mut CatchUpTask, topic: usize, out: &mut Vec<u8>) {
    let (encoder, counts) = (&mut job.encoder, &job.settings.counts);
    let known = encoder.cursor.offsets(topic).count();
    let info = match &job.topics[topic] {
        TopicState::NotYet | TopicState::Away(_) => return,
        TopicState::Missing if known > 0 => {
            counts.gap(GapReason::Recreated, 1);
            return encoder.recreated(out, topic, IdTag::default(), 0);
        }
        TopicState::Missing => return,
        TopicState::Here(info) => info,
    };
    let (id, partitions) = (IdTag::of(info.id), info.partitions.len());
    let (old, id) = (encoder.cursor.topics()[topic].id, encoder.cursor.fit(id));
    // Partitions are never taken away: fewer of them are another topic, or, under the same id, old metadata.
    let shrunk = *encoder.cursor.selection() == Selection::All && known > partitions;
    if old.differs(id) || (shrunk && (old != id || !id.is_known())) {
        counts.gap(GapReason::Recreated, 1);
        encoder.recreated(out, topic, id, partitions);
    } else {
        encoder.cursor.set_id(topic, id);
        encoder.grow(topic, partitions);
    }
}

fn ask_topics(job: &CatchUpTask, broker: &dyn Broker) -> Result<Vec<Result<TopicInfo, BrokerError>>, BrokerError> {
    broker.topics(&job.key.topics)
}

fn unknown_partition(selection: &Selection, info: &TopicInfo) -> Option<Partition> {
    match selection {
        Selection::All => None,
        Selection::Only(selected) => {
            selected.iter().copied().find(|p| usize::try_from(*p).map_or(true, |p| p >= info.partitions.len()))
        }
    }
}

/// The places that the stream reads in topics that exist: topic, partition.
fn places(job: &CatchUpTask) -> Vec<(usize, TopicPartition)> {
    let selection = job.encoder.cursor.selection();
    (job.topics.iter().enumerate())
        .filter_map(|(topic, known)| Some((topic, known.here()?)))
        .flat_map(|(topic, info)| {
            let selected = info.partitions.iter().map(|p| p.partition).filter(|p| selection.contains(*p));
            selected.map(move |partition| (topic, TopicPartition { topic: info.name.clone(), partition }))
        })
        .collect()
}

fn positions(
    job: &CatchUpTask,
    at: OffsetAt,
    broker: &dyn Broker,
) -> Result<Vec<(usize, Partition, Position)>, BrokerError> {
    let places = places(job);
    let asked: Vec<_> = places.iter().map(|(_, place)| (place.clone(), at)).collect();
    let found = broker.positions(&asked);
    places.into_iter().zip(found).map(|((topic, place), offset)| Ok((topic, place.partition, offset?))).collect()
}

fn cursor_at(job: &CatchUpTask, at: OffsetAt, broker: &dyn Broker) -> Result<Cursor, BrokerError> {
    let mut cursor = Cursor::new(job.key.topics.clone(), job.encoder.cursor.selection().clone());
    for (topic, known) in job.topics.iter().enumerate() {
        cursor.set_id(topic, IdTag::of(known.here().and_then(|info| info.id)));
    }
    for (topic, _, place) in positions(job, at, broker)? {
        cursor.add_position(topic, place);
    }
    Ok(cursor)
}

fn ends_now(job: &CatchUpTask, broker: &dyn Broker) -> Result<Ends, BrokerError> {
    Ok(positions(job, OffsetAt::Latest, broker)?.into_iter().map(|(topic, p, end)| ((topic, p), end.next)).collect())
}
