//! Turns of streams whose feed took too long for the live flow. They left it at one place, so that the work of one is the
//! work of all: the first to come to a place does it, and the others are given its chunk.

use super::read_cache::MAX_AGE;
use super::task::{AtEnd, CatchUpTask, Weight};
use crate::broker::NodeId;
use crate::cursor::Cursor;
use crate::hub::live::feed::FeedKey;
use crate::hub::lock;
use crate::hub::stream::encoder::Encoder;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Instant;

/// Turns that are kept or under way. Those that were used last are kept.
const MOST: usize = 64;

#[derive(Default)]
pub struct SharedTurns(Mutex<VecDeque<SharedTurn>>);

/// Where a turn begins.
#[derive(Clone, PartialEq)]
struct Begin {
    key: FeedKey,
    leader: NodeId,
    cursor: Cursor,
}

/// What came of it.
#[derive(Clone)]
pub struct TurnDone {
    /// As it was before the chunk was sent.
    pub encoder: Encoder,
    pub chunk: Bytes,
    pub lag: u64,
    pub at_end: AtEnd,
    pub weight: Weight,
}

struct SharedTurn {
    begin: Begin,
    at: Instant,
    /// `None`: it is under way.
    done: Option<TurnDone>,
}

pub enum Turn<'t> {
    /// Nobody has taken it yet.
    First(Box<Working<'t>>),
    /// Another thread takes it just now.
    UnderWay,
    Done(Box<TurnDone>),
}

/// A turn under way. Dropped, it is as if nobody had begun it.
pub struct Working<'t> {
    turns: &'t SharedTurns,
    begin: Begin,
}

impl SharedTurns {
    pub fn begin(&self, job: &CatchUpTask, leader: NodeId) -> Turn<'_> {
        let begin = Begin { key: job.key.clone(), leader, cursor: job.encoder.cursor.clone() };
        self.forget_old();
        let mut entries = lock(&self.0);
        let place = entries.iter().position(|entry| entry.begin == begin);
        if let Some(entry) = place.and_then(|place| entries.remove(place)) {
            let turn = entry.done.clone().map_or(Turn::UnderWay, |done| Turn::Done(Box::new(done)));
            entries.push_back(entry);
            return turn;
        }
        entries.push_back(SharedTurn { begin: begin.clone(), at: Instant::now(), done: None });
        if entries.len() > MOST {
            entries.pop_front();
        }
        Turn::First(Box::new(Working { turns: self, begin }))
    }

    /// Their chunks count in the memory budget.
    pub fn forget_old(&self) {
        lock(&self.0).retain(|entry| entry.at.elapsed() < MAX_AGE);
    }
}

impl Working<'_> {
    /// Keeps what came of it for the others. A turn without progress is no work, and one that reports a gap counts it.
    pub fn finish(self, done: TurnDone) {
        if done.encoder.cursor == self.begin.cursor || !done.encoder.holds_records_only() {
            return;
        }
        if let Some(entry) = lock(&self.turns.0).iter_mut().find(|entry| entry.begin == self.begin) {
            entry.done = Some(done);
        }
    }
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        lock(&self.turns.0).retain(|entry| entry.done.is_some() || entry.begin != self.begin);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::broker::BrokerError;
    use crate::cursor::Selection;
    use crate::hub::catch_up::task::{CatchUpSettings, TurnOutcome};
    use crate::hub::catch_up::task_queue::JobQueue;
    use crate::hub::stream::chunk_budget::ChunkBudget;
    use crate::hub::stream::encoder::Bounds;
    use crate::hub::stream::mailbox::{Mailbox, mailbox};
    use crate::hub::{ClientTag, Filter, Format, Gap, Missing, StreamSlot};
    use crate::record::{NO_EPOCH, Partition, Position, RecordRef, TopicName};
    use crate::sync::memory_budget::MemoryBudget;
    use crossbeam_channel::never;
    use std::sync::Arc;
    use std::time::Duration;

    struct Silent;

    impl Format for Silent {
        fn name(&self) -> &str {
            "silent"
        }
        fn uses_ids(&self) -> bool {
            false
        }
        fn record(&self, _: &mut Vec<u8>, _: &TopicName, _: Partition, _: &RecordRef<'_>, _: &str) {}
        fn checkpoint(&self, _: &mut Vec<u8>, _: &str) {}
        fn gap(&self, _: &mut Vec<u8>, _: &Gap, _: &str) {}
        fn problem(&self, _: &mut Vec<u8>, _: &BrokerError) {}
    }

    /// A stream of one partition that has left the live flow.
    fn stream() -> (Box<CatchUpTask>, Mailbox) {
        let topic = TopicName::new("t").unwrap();
        let (filter, format) = (Arc::new(Filter::default()), Arc::new(Silent));
        let mut cursor = Cursor::new(vec![topic.clone()], Selection::All);
        cursor.add_position(0, 0);
        let key = FeedKey {
            topics: vec![topic],
            selection: Selection::All,
            filter: filter.clone(),
            format: format.name().to_owned(),
            missing: Missing::Refuse,
            private: None,
        };
        let settings = CatchUpSettings {
            read_bytes: 1,
            chunk_bytes: 1,
            ahead: 0,
            topic_patience: Duration::ZERO,
            max_id_bytes: 128,
            allowance: ChunkBudget::new(&MemoryBudget::new(0), 0),
            counts: Arc::default(),
            stragglers: Arc::default(),
        };
        let jobs = Arc::new(JobQueue::new(1, 1, never()));
        let permit = StreamSlot::take(&Arc::default(), 1).unwrap();
        let (post, mailbox) = mailbox(ClientTag(1), jobs, permit, format.clone(), settings.counts.clone());
        let encoder = Encoder::new(cursor, filter, format, Bounds::default());
        (CatchUpTask::behind(encoder, post, key, Arc::new(settings)), mailbox)
    }

    #[test]
    fn a_stream_looks_less_and_less_often_for_a_turn_that_another_takes() {
        let turns = SharedTurns::default();
        let ((first, _first_client), (mut second, _second_client)) = (stream(), stream());
        let Turn::First(working) = turns.begin(&first, 1) else { panic!("nobody has begun it") };
        let pause = |job: Box<CatchUpTask>| {
            assert!(matches!(turns.begin(&job, 1), Turn::UnderWay));
            let TurnOutcome::Later(job, pause) = job.wait_for_shared_turn() else { panic!("it waits") };
            (job, pause)
        };
        let mut pauses = Vec::new();
        for _ in 0..20 {
            let paused;
            (second, paused) = pause(second);
            pauses.push(paused);
        }
        // Each is between half and all of what it may be.
        assert!(pauses[0] <= Duration::from_millis(2), "{pauses:?}");
        assert!(pauses[10..].iter().all(|pause| (32..=64).contains(&pause.as_millis())), "{pauses:?}");
        let mut encoder = first.encoder.clone();
        encoder.cursor.set(0, 0, Position { next: 1, epoch: NO_EPOCH });
        working.finish(TurnDone { encoder, chunk: Bytes::new(), lag: 0, at_end: AtEnd::No, weight: Weight::Heavy });
        let Turn::Done(done) = turns.begin(&second, 1) else { panic!("it is done") };
        second.take_over(*done);
        let Turn::First(_working) = turns.begin(&second, 1) else { panic!("nobody has begun the next one") };
        let (_, paused) = pause(second);
        assert!(paused <= Duration::from_millis(2), "{paused:?} after progress");
    }
}
