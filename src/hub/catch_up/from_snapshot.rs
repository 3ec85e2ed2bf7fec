//! The first turns of a stream that starts with a snapshot: it waits for the views of its topics, sends the
//! latest records, and then reads the log from the positions of the snapshots.

use super::snapshot_phase::{AwaitedSnapshot, SentSnapshot, SnapshotPart};
use super::task::{CatchUpPhase, CatchUpTask, MEMORY_PAUSE, TurnOutcome};
use crate::broker::{BrokerError, MemorySubject};
use crate::cursor::{Cursor, IdTag};
use crate::hub::stream::bounds::Ends;
use crate::hub::stream::chunk_budget::ChunkSize;
use crate::hub::stream::encoder::{EncodeLimits, Encoder};
use crate::hub::stream::time_budget::TimeBudget;
use crate::hub::subscription::Missing;
use crate::hub::view::keyed_view::ViewProgress;
use crate::hub::view::prepared::PreparedSnapshot;
use crate::hub::view::topic_snapshot::TopicSnapshot;
use crate::record::Timestamp;
use crate::sync::backoff::Backoff;
use std::sync::Arc;
use std::time::Duration;

/// First and longest pause between checks of a view that is being read.
const PAUSES: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(64));

/// Makes the stream wait for the views of its topics.
pub fn begin(
    mut task: Box<CatchUpTask>,
    prepared: PreparedSnapshot,
    since: Option<Timestamp>,
    ends: Option<Ends>,
) -> TurnOutcome {
    let pauses = Backoff::new(PAUSES.0, PAUSES.1);
    task.phase = CatchUpPhase::AwaitingSnapshot(Box::new(AwaitedSnapshot { prepared, since, ends, pauses }));
    task.backoff.reset();
    TurnOutcome::Again(task)
}

/// Checks whether the views have been read. If they have, moves the stream to their positions.
pub fn look(mut task: Box<CatchUpTask>) -> TurnOutcome {
    let CatchUpPhase::AwaitingSnapshot(awaited) = &mut task.phase else { return TurnOutcome::Again(task) };
    let AwaitedSnapshot { prepared: PreparedSnapshot { views, asked }, .. } = &**awaited;
    let topics = task.stream.topics.iter().zip(views);
    // Ask every view, so that all of them are read at the same time.
    let found: Vec<_> = topics.map(|(topic, view)| topic.here().is_some().then(|| view.ask(*asked))).collect();
    let (mut snapshots, mut is_pending) = (Vec::new(), false);
    for view in found {
        match view {
            None => snapshots.push(None),
            Some(ViewProgress::Ready(snapshot)) => snapshots.push(Some(snapshot)),
            Some(ViewProgress::Pending) => is_pending = true,
            Some(ViewProgress::Failed(BrokerError::UnknownTopic(_))) if task.stream.key.missing == Missing::Wait => {
                snapshots.push(None);
            }
            Some(ViewProgress::Failed(error)) => return task.fail(&error),
        }
    }
    if is_pending {
        let pause = awaited.pauses.pause(fastrand::f64());
        return TurnOutcome::Later(task, pause);
    }
    let (since, ends) = (awaited.since, awaited.ends.take());
    let cursor = cursor_after(&task.stream.encoder, &snapshots);
    task.stream.encoder.move_to(cursor);
    if let Err(too_long) = task.stream.encoder.check_id(task.stream.settings.max_id_bytes) {
        return task.fail(&too_long);
    }
    let sent = SentSnapshot { topics: snapshots, since, ends, next: (0, 0), keys: 0 };
    task.phase = CatchUpPhase::SendingSnapshot(Box::new(sent));
    TurnOutcome::Again(task)
}

/// Returns the position at which the stream continues after the snapshots.
fn cursor_after(encoder: &Encoder, snapshots: &[Option<Arc<TopicSnapshot>>]) -> Cursor {
    let topics = encoder.cursor.topics().iter().map(|topic| topic.name.clone()).collect();
    let mut cursor = Cursor::new(topics, encoder.cursor.selection().clone());
    for (topic, snapshot) in snapshots.iter().enumerate() {
        let Some(snapshot) = snapshot else { continue };
        cursor.set_id(topic, IdTag::of(snapshot.id));
        while let Some(partition) = cursor.next_partition(topic)
            && let Some(position) = snapshot.positions.get(partition as usize)
        {
            cursor.add_position(topic, *position);
        }
    }
    cursor
}

/// Sends one chunk of the snapshot.
pub fn send(mut task: Box<CatchUpTask>, chunk_size: ChunkSize, turn_time: Duration) -> TurnOutcome {
    let most = task.most(chunk_size);
    let CatchUpPhase::SendingSnapshot(sent) = &mut task.phase else { return TurnOutcome::Again(task) };
    let stream = &mut task.stream;
    let mut out = Vec::with_capacity(most + most / 4);
    let mut memory = stream.settings.chunk_budget.empty_reservation();
    let budget = TimeBudget::new(turn_time);
    let limits = EncodeLimits { most, budget: &budget, memory: &mut memory };
    let written = sent.write(&mut stream.encoder, &mut out, limits);
    let is_empty = out.is_empty();
    stream.send_paid(out, memory);
    if stream.encoder.is_finished() {
        let mut out = Vec::new();
        stream.encoder.complete_in_snapshot(&mut out);
        stream.send(out);
        stream.sender.complete();
        return TurnOutcome::Done;
    }
    match written {
        Ok(SnapshotPart::More) => {}
        Ok(SnapshotPart::Last) => {
            let mut out = Vec::new();
            stream.encoder.snapshot_end(&mut out, sent.keys);
            stream.send(out);
            stream.encoder.bounds.ends = sent.ends.take();
            // The topics may have changed while the snapshot was sent.
            task.phase = CatchUpPhase::LookingUp;
        }
        Err(shortage) if is_empty => match BrokerError::no_memory(shortage, MemorySubject::AnyBatch) {
            BrokerError::BudgetUsedUp => return TurnOutcome::Later(task, MEMORY_PAUSE),
            error => return task.fail(&error),
        },
        Err(_) => {}
    }
    task.weight = task.weight_after(&budget);
    TurnOutcome::Again(task)
}
