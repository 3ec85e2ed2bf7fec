//! Shares turns among streams that were evicted because their feed exceeded its time budget. They were evicted at the same
//! position, so one turn can serve all of them: the first stream does the work, and the others get its chunk.

use super::task::{AtEnd, CatchUpTask};
use crate::broker::NodeId;
use crate::cursor::Cursor;
use crate::hub::stream::encoder::Encoder;
use crate::hub::stream::feed_key::FeedKey;
use crate::hub::stream::log_span::MAX_AGE;
use crate::hub::stream::state::{StreamState, Weight};
use crate::sync::lock;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Instant;

/// Maximum number of turns that are remembered. The least recently used turn is dropped first.
const MOST: usize = 64;

/// Turns in progress, and results of recent turns.
#[derive(Default)]
pub struct SharedTurns(Mutex<VecDeque<SharedTurn>>);

/// Identifies a turn by its feed, its leader and the position where it begins.
#[derive(Clone, PartialEq)]
struct TurnKey {
    key: FeedKey,
    leader: NodeId,
    cursor: Cursor,
}

/// The result of a turn.
pub struct TurnDone {
    /// The encoder after the frames were written, and before [`Encoder::chunk`] was called.
    pub encoder: Encoder,
    /// The frames.
    pub chunk: Bytes,
    /// See [`CatchUpTask::records_behind`].
    pub records_behind: u64,
    /// Whether the turn has reached the end of the log.
    pub at_end: AtEnd,
    /// The cost of the turn.
    pub weight: Weight,
}

impl TurnDone {
    fn fork(&self) -> Self {
        let Self { encoder, chunk, records_behind, at_end, weight } = self;
        let (encoder, chunk) = (encoder.fork(), chunk.clone());
        Self { encoder, chunk, records_behind: *records_behind, at_end: *at_end, weight: *weight }
    }
}

struct SharedTurn {
    begin: TurnKey,
    at: Instant,
    /// `None` while the turn is in progress.
    done: Option<TurnDone>,
}

/// The state of the turn that a stream is about to take.
pub enum Turn<'t> {
    /// No other stream has taken the turn, so this stream must take it.
    First(Box<TurnInProgress<'t>>),
    /// Another stream is taking the turn.
    UnderWay,
    /// Another stream has taken the turn.
    Done(Box<TurnDone>),
}

/// A turn in progress. If this is dropped without a result, another stream can take the turn.
pub struct TurnInProgress<'t> {
    turns: &'t SharedTurns,
    begin: TurnKey,
}

impl SharedTurns {
    /// Begins the next turn of a stream that reads from `leader`.
    pub fn begin(&self, stream: &StreamState, leader: NodeId) -> Turn<'_> {
        let begin = TurnKey { key: stream.key.clone(), leader, cursor: stream.encoder.cursor.clone() };
        self.forget_old();
        let mut entries = lock(&self.0);
        let index = entries.iter().position(|entry| entry.begin == begin);
        if let Some(entry) = index.and_then(|index| entries.remove(index)) {
            let turn = entry.done.as_ref().map_or(Turn::UnderWay, |done| Turn::Done(Box::new(done.fork())));
            entries.push_back(entry);
            return turn;
        }
        entries.push_back(SharedTurn { begin: begin.clone(), at: Instant::now(), done: None });
        if entries.len() > MOST {
            entries.pop_front();
        }
        Turn::First(Box::new(TurnInProgress { turns: self, begin }))
    }

    /// Drops old turns, because their chunks count in the memory budget.
    pub fn forget_old(&self) {
        lock(&self.0).retain(|entry| entry.at.elapsed() < MAX_AGE);
    }
}

impl TurnInProgress<'_> {
    /// Keeps the result for other streams, unless the turn made no progress, or contains a gap, which every stream must count.
    pub fn finish(self, done: TurnDone) {
        if done.encoder.cursor == self.begin.cursor || !done.encoder.is_replayable() {
            return;
        }
        if let Some(entry) = lock(&self.turns.0).iter_mut().find(|entry| entry.begin == self.begin) {
            entry.done = Some(done);
        }
    }
}

impl Drop for TurnInProgress<'_> {
    fn drop(&mut self) {
        lock(&self.turns.0).retain(|entry| entry.done.is_some() || entry.begin != self.begin);
    }
}

impl CatchUpTask {
    /// Takes over the result of a turn that another stream has taken at the same position.
    pub fn take_over(&mut self, done: TurnDone) {
        self.stream.encoder.take_over(done.encoder);
        self.shared_pauses.reset();
        self.records_behind = self.records_behind.max(done.records_behind);
        (self.failures, self.idle) = (0, 0);
        self.stream.send_shared(done.chunk);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::hub::catch_up::task::TurnOutcome;
    use crate::hub::catch_up::testing::evicted_task;
    use crate::record::{NO_EPOCH, Position};
    use std::time::Duration;

    #[test]
    fn a_stream_checks_less_and_less_often_for_a_turn_that_another_takes() {
        let turns = SharedTurns::default();
        let ((first, _first_client), (mut second, _second_client)) = (evicted_task(1), evicted_task(1));
        let Turn::First(working) = turns.begin(&first.stream, 1) else { panic!("no stream has begun it") };
        let pause = |task: Box<CatchUpTask>| {
            assert!(matches!(turns.begin(&task.stream, 1), Turn::UnderWay));
            let TurnOutcome::Later(task, pause) = task.wait_for_shared_turn() else { panic!("it waits") };
            (task, pause)
        };
        let mut pauses = Vec::new();
        for _ in 0..20 {
            let paused;
            (second, paused) = pause(second);
            pauses.push(paused);
        }
        // Jitter shortens each pause by up to half.
        assert!(pauses[0] <= Duration::from_millis(2), "{pauses:?}");
        assert!(pauses[10..].iter().all(|pause| (32..=64).contains(&pause.as_millis())), "{pauses:?}");
        let mut encoder = first.stream.encoder.fork();
        encoder.cursor.set(0, 0, Position { next: 1, epoch: NO_EPOCH });
        working.finish(TurnDone {
            encoder,
            chunk: Bytes::new(),
            records_behind: 0,
            at_end: AtEnd::No,
            weight: Weight::Heavy,
        });
        let Turn::Done(done) = turns.begin(&second.stream, 1) else { panic!("it is done") };
        second.take_over(*done);
        let Turn::First(_working) = turns.begin(&second.stream, 1) else { panic!("no stream has begun the next one") };
        let (_, paused) = pause(second);
        assert!(paused <= Duration::from_millis(2), "{paused:?} after progress");
    }
}
