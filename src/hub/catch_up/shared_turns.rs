//! Shared turns of streams whose feed took too long for the live flow. They left the live flow at the same position, so that
//! one turn serves all of them: the first stream at a position does the work, and the others get its chunk.

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

/// Turns that are kept or under way; the most recently used ones are kept.
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

/// The result of a turn.
pub struct TurnDone {
    /// The encoder before [`Encoder::chunk`] was called.
    pub encoder: Encoder,
    pub chunk: Bytes,
    pub records_behind: u64,
    pub at_end: AtEnd,
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
    begin: Begin,
    at: Instant,
    /// `None` while it is under way.
    done: Option<TurnDone>,
}

pub enum Turn<'t> {
    /// No other stream has begun it.
    First(Box<Working<'t>>),
    /// Another thread is taking it.
    UnderWay,
    Done(Box<TurnDone>),
}

/// A turn under way. If this is dropped without a result, another stream can begin the turn.
pub struct Working<'t> {
    turns: &'t SharedTurns,
    begin: Begin,
}

impl SharedTurns {
    pub fn begin(&self, stream: &StreamState, leader: NodeId) -> Turn<'_> {
        let begin = Begin { key: stream.key.clone(), leader, cursor: stream.encoder.cursor.clone() };
        self.forget_old();
        let mut entries = lock(&self.0);
        let place = entries.iter().position(|entry| entry.begin == begin);
        if let Some(entry) = place.and_then(|place| entries.remove(place)) {
            let turn = entry.done.as_ref().map_or(Turn::UnderWay, |done| Turn::Done(Box::new(done.fork())));
            entries.push_back(entry);
            return turn;
        }
        entries.push_back(SharedTurn { begin: begin.clone(), at: Instant::now(), done: None });
        if entries.len() > MOST {
            entries.pop_front();
        }
        Turn::First(Box::new(Working { turns: self, begin }))
    }

    /// Drops old turns: their chunks count in the memory budget.
    pub fn forget_old(&self) {
        lock(&self.0).retain(|entry| entry.at.elapsed() < MAX_AGE);
    }
}

impl Working<'_> {
    /// Keeps the result for the other streams, unless the turn made no progress or reports a gap, which each stream counts
    /// for itself.
    pub fn finish(self, done: TurnDone) {
        if done.encoder.cursor == self.begin.cursor || !done.encoder.is_replayable() {
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

impl CatchUpTask {
    /// Takes over the result of a turn that another stream has taken from the same position.
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
    use crate::broker::BrokerError;
    use crate::cursor::Selection;
    use crate::hub::catch_up::task::{CatchUpSettings, TurnOutcome};
    use crate::hub::live::feed::Evicted;
    use crate::hub::stream::bounds::Bounds;
    use crate::hub::stream::chunk_budget::ChunkBudget;
    use crate::hub::stream::mailbox::{Mailbox, mailbox};
    use crate::hub::stream::slot::StreamSlot;
    use crate::hub::stream::state::{Company, StreamSettings};
    use crate::hub::{ClientTag, Filter, Format, FormatChoice, Gap, Missing};
    use crate::record::{NO_EPOCH, Partition, Position, RecordRef, TopicName};
    use crate::sync::memory_budget::MemoryBudget;
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
            choice: FormatChoice::Fixed,
            until: None,
            private: None,
        };
        let settings = StreamSettings {
            max_id_bytes: 128,
            chunk_budget: ChunkBudget::new(&MemoryBudget::new(0), 0),
            counts: Arc::default(),
            until_delay: 0,
        };
        let slot = StreamSlot::take(&Arc::default(), 1).unwrap();
        let (sender, mailbox) = mailbox(ClientTag(1), slot, format.clone(), settings.counts.clone());
        let encoder = Encoder::new(cursor, filter, format, Bounds::default());
        let stream = StreamState::new(key, encoder, sender, Arc::new(settings));
        let evicted = Evicted { stream, behind: 0, weight: Weight::Light, company: Company::SameFeed };
        let settings = CatchUpSettings {
            read_bytes: 1,
            chunk_bytes: 1,
            ahead: 0,
            topic_patience: Duration::ZERO,
            lag_tracker: Arc::default(),
        };
        (CatchUpTask::evicted(evicted, Arc::new(settings)), mailbox)
    }

    #[test]
    fn a_stream_looks_less_and_less_often_for_a_turn_that_another_takes() {
        let turns = SharedTurns::default();
        let ((first, _first_client), (mut second, _second_client)) = (stream(), stream());
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
        // Each is between half and all of what it may be.
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
