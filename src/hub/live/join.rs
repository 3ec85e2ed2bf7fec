//! Adds a stream to the live flow. The stream gets the records between its cursor and the position of its feed, if they are
//! still in memory and both positions belong to the same log.

use super::attach::{attach, new_tail};
use super::feed::{Feed, FeedStatus, Join};
use super::registry::{Live, Wakeup};
use super::tail::Tail;
use crate::cursor::Cursor;
use crate::hub::stream::chunk_budget::{CHUNK, ChunkSize, SMALL};
use crate::hub::stream::encoder::{EncodeLimits, Flow};
use crate::hub::stream::filter_input::FilterInput;
use crate::hub::stream::log_span::LogSpan;
use crate::hub::stream::state::{StreamState, TopicState};
use crate::hub::stream::time_budget::TimeBudget;
use crate::record::{NO_EPOCH, Offset, Partition, Position};
use crate::sync::lock;
use std::sync::Arc;
use std::time::Duration;

/// Time budget of the filter while a stream joins. The feed is locked meanwhile.
const JOIN_TIME: Duration = Duration::from_millis(2);

/// Maximum size of the records that a stream gets when it joins, in bytes. They are encoded while the feed is locked, and
/// often no other stream shares their frames.
const MAX_JOIN: usize = 4 * CHUNK;

/// The result of an attempt to join the live flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinOutcome {
    /// The stream has joined.
    Live,
    /// The stream has delivered everything that was requested.
    Finished,
    /// The records between the cursor and the live flow are not in memory, or there are too many of them.
    Behind,
    /// The cursor is ahead of the live flow.
    Ahead,
}

/// The spans that a stream is missing: topic index, partition, end offset and spans.
type MissingSpans = Vec<(usize, Partition, Offset, Vec<LogSpan>)>;

impl Live {
    /// Adds the stream to its feed, if the records between their positions are in memory. If this fails, the stream may have
    /// moved towards the feed.
    pub fn join(&self, stream: &mut StreamState, chunk_size: ChunkSize) -> JoinOutcome {
        let Some((feed, tails)) = self.feed_for(stream) else { return JoinOutcome::Behind };
        let mut state = feed.state();
        if state.status == FeedStatus::Ended {
            return JoinOutcome::Behind;
        }
        // The first stream of a sampled feed passes its held records to the feed. A later stream continues with the
        // records that the feed holds, so it must first be sent everything before them.
        let gives = state.encoder.is_sampled() && state.members.is_empty();
        let (flow, mut own) = match gives {
            true => (state.encoder.cursor.clone(), stream.encoder.cursor.clone()),
            false => (state.encoder.resume_at(), stream.encoder.resume_at()),
        };
        let missing = missing(&tails, &flow, &mut own, stream);
        if !stream.encoder.is_sampled() {
            stream.encoder.cursor.clone_from(&own);
        }
        let missing = match missing {
            Ok(missing) => missing,
            Err(outcome) => return outcome,
        };
        let is_elsewhere = |(topic, partition)| own.next(topic, partition) != flow.next(topic, partition);
        if !gives && stream.encoder.held_places().into_iter().any(is_elsewhere) {
            // The stream would have to read its held records again. It reaches the offset of the feed at the end of an
            // interval.
            return JoinOutcome::Behind;
        }
        let most = most_to_join(stream, chunk_size);
        let last = state.last_join.as_ref().filter(|last| !gives && last.from == own);
        let bytes = missing.iter().flat_map(|(.., spans)| spans).map(LogSpan::memory).sum::<usize>();
        if last.is_none() && bytes > most {
            return JoinOutcome::Behind;
        }
        if gives {
            stream.encoder.cursor = own;
        } else {
            stream.encoder.rewind(own);
        }
        if let Some(Join { records, chunk, .. }) = last {
            stream.encoder.add_written(*records);
            stream.send_shared(chunk.clone());
        } else {
            let from = stream.encoder.cursor.clone();
            let (mut out, mut memory) = (Vec::new(), stream.settings.chunk_budget.empty_reservation());
            let budget = TimeBudget::new(JOIN_TIME);
            for (topic, partition, to, spans) in missing {
                for span in spans {
                    let to = span.next.min(to);
                    let input =
                        FilterInput::new(&tails[topic].name, partition, &span.batches).with_epochs(&span.epochs);
                    let limits = EncodeLimits { most: 2 * most, budget: &budget, memory: &mut memory };
                    if stream.encoder.records(&mut out, topic, &input, to, limits) == Flow::Finished {
                        stream.encoder.complete(&mut out);
                        stream.send_paid(out, memory);
                        stream.sender.complete();
                        return JoinOutcome::Finished;
                    }
                    if stream.encoder.cursor.next(topic, partition).is_some_and(|at| at < to) {
                        // The filter or the memory budget allows no more while the feed is locked.
                        stream.send_paid(out, memory);
                        return JoinOutcome::Behind;
                    }
                }
            }
            if !gives {
                let limits = EncodeLimits { most: 2 * most, budget: &budget, memory: &mut memory };
                match stream.encoder.write_held(&mut out, limits) {
                    Flow::Finished if stream.encoder.is_finished() => {
                        stream.encoder.complete(&mut out);
                        stream.send_paid(out, memory);
                        stream.sender.complete();
                        return JoinOutcome::Finished;
                    }
                    Flow::Finished => {}
                    Flow::Continues | Flow::Short(_) => {
                        stream.send_paid(out, memory);
                        return JoinOutcome::Behind;
                    }
                }
            }
            // Later checkpoints of the feed do not count the offsets that this stream has passed.
            stream.encoder.checkpoint_if_passed(&mut out);
            if !out.is_empty() {
                let (records, chunk) = (stream.encoder.written(), stream.settings.chunk_budget.hold_paid(out, memory));
                stream.send_shared(chunk.clone());
                if stream.key.private.is_none() && !gives {
                    state.last_join = Some(Join { from, records, chunk });
                }
            }
        }
        if gives {
            state.encoder.take_held(&mut stream.encoder);
            // Its frames lead to where the feed held records before.
            state.last_join = None;
            state.encoder.begin_chunk();
        }
        if stream.key.private.is_some() {
            state.encoder.bounds = stream.encoder.bounds.clone();
            state.encoder.begin_chunk();
        }
        state.join(stream.sender.clone());
        JoinOutcome::Live
    }

    /// Returns the feed for the stream, with the tails of its topics. A new feed starts at the position of the tails; a partition
    /// without a reader starts at the stream's cursor. Returns `None` if the stream must look up its topics first.
    fn feed_for(&self, stream: &StreamState) -> Option<(Arc<Feed>, Vec<Arc<Tail>>)> {
        let mut registry = lock(&self.registry);
        if let Some(feed) = registry.feeds.get(&stream.key)
            && feed.state().status == FeedStatus::Open
            && let Some(tails) = registry.tails_of(&stream.key)
        {
            return Some((feed.clone(), tails));
        }
        if stream.topics.iter().any(|topic| matches!(topic, TopicState::Unknown | TopicState::Away(_))) {
            return None;
        }
        let tails: Vec<_> = (stream.encoder.cursor.topics().iter().zip(&stream.topics))
            .map(|(topic, known)| {
                let new = || Arc::new(new_tail(topic.name.clone(), known));
                registry.tails.entry(topic.name.clone()).or_insert_with(new).clone()
            })
            .collect();
        let encoder = stream.encoder.at(stream.encoder.cursor.clone());
        let feed = Arc::new(Feed::new(stream.key.clone(), encoder, stream.settings.clone(), self.on_evict.clone()));
        let mut state = feed.state();
        for (topic, tail) in tails.iter().enumerate() {
            attach(&feed, &mut state.encoder.cursor, topic, tail);
        }
        state.encoder.begin_chunk();
        if self.is_closing() {
            state.end();
        }
        drop(state);
        registry.feeds.insert(stream.key.clone(), feed.clone());
        drop(registry);
        if stream.key.filter.sample.is_some() {
            self.wake_sample_clock();
        }
        self.wake_refresher(Wakeup::Tails);
        Some((feed, tails))
    }
}

/// Returns the maximum size of the records that a stream gets when it joins, in bytes.
fn most_to_join(stream: &StreamState, chunk_size: ChunkSize) -> usize {
    match (chunk_size, stream.settings.chunk_budget.chunk_size()) {
        (ChunkSize::Ahead, _) => MAX_JOIN,
        (_, ChunkSize::Ahead) => CHUNK,
        _ => SMALL,
    }
}

/// Returns the spans between `cursor`, the position of the stream, and `flow`, the position of its feed.
fn missing(
    tails: &[Arc<Tail>],
    flow: &Cursor,
    cursor: &mut Cursor,
    stream: &StreamState,
) -> Result<MissingSpans, JoinOutcome> {
    let mut missing = Vec::new();
    for (topic, flow_topic) in flow.topics().iter().enumerate() {
        let own = &cursor.topics()[topic];
        if own.id.differs(flow_topic.id) {
            return Err(JoinOutcome::Behind);
        }
        if flow_topic.id.is_known() {
            cursor.set_id(topic, flow_topic.id);
        }
        let known = flow.offsets(topic).count();
        if cursor.offsets(topic).count() > known {
            return Err(JoinOutcome::Ahead);
        }
        for (partition, to) in flow.offsets(topic) {
            let own = match cursor.position(topic, partition) {
                Some(own) => own,
                None => {
                    cursor.add_position(topic, 0);
                    Position::from(0)
                }
            };
            if own.next > to {
                return Err(JoinOutcome::Ahead);
            }
            let mut state = tails[topic].state();
            let spans = match own.next < to {
                true => state.recent(partition, own.next, to).ok_or(JoinOutcome::Behind)?,
                false => Vec::new(),
            };
            // The offsets alone do not prove that both positions belong to the same log: it may have been truncated and have
            // grown again.
            let epoch = match spans.first() {
                Some(first) => first.epoch_at(own.next),
                None => flow.position(topic, partition).map_or(NO_EPOCH, |position| position.epoch),
            };
            let leader_epoch = state.partition(partition).map_or(-1, |partition| partition.leader_epoch);
            if own.epoch != NO_EPOCH && own.epoch != epoch && !stream.is_confirmed(topic, partition, leader_epoch) {
                return Err(JoinOutcome::Behind);
            }
            if !spans.is_empty() {
                missing.push((topic, partition, to, spans));
            }
        }
    }
    Ok(missing)
}
