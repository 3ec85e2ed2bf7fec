//! One live flow: all streams of the same topics, partitions, filter and format stand at the same
//! place, so each batch is encoded once and every mailbox gets the same bytes.

use super::allowance::{Room, SMALL};
use super::candidates::Candidates;
use super::encoder::{Encoder, Flow};
use super::job::{Job, JobSettings};
use super::lock;
use super::mailbox::{Post, Stand};
use super::subscription::{Filter, GapReason, Missing};
use super::tail::Tail;
use crate::broker::BrokerError;
use crate::cursor::{Cursor, IdTag, Selection};
use crate::record::{Offset, Partition, TopicName};
use bytes::Bytes;
use log::error;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Streams with equal keys share one feed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FeedKey {
    /// Sorted.
    pub topics: Vec<TopicName>,
    pub selection: Selection,
    pub filter: Arc<Filter>,
    pub format: String,
    pub missing: Missing,
    /// A stream with a limit counts for itself and shares with nobody.
    pub private: Option<u64>,
}

/// About how many bytes one chunk has. Many may be of one fetched stretch; a stream joins only at its end.
pub const CHUNK: usize = 128 << 10;

/// How long a feed without streams is kept: clients that were cut off all at once come back within seconds.
const LINGER: Duration = Duration::from_secs(10);

pub struct Feed {
    pub key: FeedKey,
    /// Of its topics, in their order.
    pub tails: Vec<Arc<Tail>>,
    settings: Arc<JobSettings>,
    state: Mutex<FeedState>,
}

pub struct FeedState {
    pub encoder: Encoder,
    members: Vec<Post>,
    /// What the last stream that joined lacked, from its cursor to the feed's. Many come back from the same place.
    pub last_join: Option<(Cursor, Bytes)>,
    /// Since when no stream is left.
    empty_since: Option<Instant>,
    pub ended: Ended,
}

/// Whether a feed still takes streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    No,
    Yes,
}

impl Feed {
    pub fn new(key: FeedKey, encoder: Encoder, tails: Vec<Arc<Tail>>, settings: Arc<JobSettings>) -> Self {
        Self {
            key,
            tails,
            settings,
            state: Mutex::new(FeedState {
                encoder,
                members: Vec::new(),
                last_join: None,
                empty_since: None,
                ended: Ended::No,
            }),
        }
    }

    pub fn state(&self) -> MutexGuard<'_, FeedState> {
        lock(&self.state)
    }

    /// Encodes one fetched stretch, once, for all streams.
    pub fn deliver(&self, candidates: &Candidates<'_>, from: Offset, next: Offset) {
        let (name, partition) = (candidates.topic, candidates.partition);
        let mut state = self.state();
        let Some(topic) = state.encoder.cursor.topic_index(name) else { return };
        match state.encoder.cursor.next(topic, partition) {
            Some(place) if place == from => {}
            // The feed began behind this stretch.
            None => return,
            Some(place) if place >= next => return,
            Some(place) => {
                error!(
                    "{name}/{partition}: the live flow jumped from {place} to {from}; its streams read on by themselves"
                );
                self.evict(&mut state, |_| true);
                state.end();
                return;
            }
        }
        state.last_join = None;
        while state.encoder.cursor.next(topic, partition).is_some_and(|place| place < next) {
            let room = self.room(&state);
            match room {
                Room::Ahead => self.evict_full(&mut state),
                Room::Small | Room::None => self.evict(&mut state, |member| member.waiting() > 0),
            }
            if state.members.is_empty() {
                // Nobody listens: only the place moves on, for those who come back.
                state.encoder.cursor.set(topic, partition, next);
                state.encoder.nothing_owed();
                return;
            }
            let most = if room == Room::Ahead { CHUNK } else { SMALL };
            let mut out = Vec::with_capacity(candidates.memory().min(most + most / 4));
            let flow = state.encoder.records(&mut out, topic, candidates, next, most);
            if state.members.len() == 1 {
                state.send(self.settings.allowance.hold(out));
            } else {
                state.send(out);
            }
            if flow == Flow::Finished {
                state.complete();
                return;
            }
        }
    }

    /// Tells all streams of records that are gone for good, and goes on behind them.
    pub fn gap(&self, name: &TopicName, partition: Partition, to: Offset, reason: GapReason) {
        self.change(name, |encoder, topic, out| encoder.gap(out, topic, partition, to, reason));
    }

    /// A topic of the same name took the old one's place: from its beginning.
    pub fn recreated(&self, name: &TopicName, id: IdTag, partitions: usize) {
        self.change(name, |encoder, topic, out| encoder.recreated(out, topic, id, partitions));
    }

    /// The topic has `partitions` of them now; new ones are read from their beginning.
    pub fn grow(&self, name: &TopicName, id: IdTag, partitions: usize) {
        self.change(name, |encoder, topic, _| {
            encoder.cursor.set_id(topic, id);
            encoder.grow(topic, partitions);
        });
    }

    /// Ends all streams with this problem.
    pub fn fail(&self, error: &BrokerError) {
        let mut state = self.state();
        self.evict_full(&mut state);
        let problem = state.encoder.problem(error);
        state.send(problem);
        state.complete();
    }

    /// Forgets streams whose client is gone, and tells filtered streams how far they are. A feed that has been
    /// without streams for a while ends.
    pub fn tidy(&self) -> Ended {
        let mut state = self.state();
        let mut out = Vec::new();
        state.encoder.checkpoint_if_passed(&mut out);
        if !out.is_empty() {
            self.evict_full(&mut state);
            state.send(out);
        }
        state.members.retain(|member| !member.is_closed());
        // A wave of streams that come back has come by now.
        state.last_join = None;
        if state.members.is_empty() {
            let since = *state.empty_since.get_or_insert_with(Instant::now);
            if since.elapsed() > LINGER || self.key.private.is_some() {
                state.end();
            }
        }
        state.ended
    }

    fn change(&self, name: &TopicName, change: impl FnOnce(&mut Encoder, usize, &mut Vec<u8>)) {
        let mut state = self.state();
        let Some(topic) = state.encoder.cursor.topic_index(name) else { return };
        self.evict_full(&mut state);
        state.last_join = None;
        let mut out = Vec::new();
        change(&mut state.encoder, topic, &mut out);
        state.send(out);
    }

    /// A stream that is alone in its feed holds its chunks alone, as one that catches up does, and has the same allowance.
    fn room(&self, state: &FeedState) -> Room {
        if state.members.len() == 1 { self.settings.allowance.room() } else { Room::Ahead }
    }

    /// Streams that cannot take another chunk leave the live flow here, and read on by themselves from
    /// the place where they are now.
    fn evict_full(&self, state: &mut FeedState) {
        self.evict(state, Post::is_full);
    }

    fn evict(&self, state: &mut FeedState, which: impl Fn(&Post) -> bool) {
        let FeedState { encoder, members, .. } = state;
        members.retain(|member| {
            if which(member) && !member.is_closed() {
                let encoder = self.behind(encoder, member);
                let job = Job::behind(encoder, member.clone(), self.key.clone(), self.settings.clone());
                // It reads on when its client takes or wants something again.
                member.park(job, 0);
                return false;
            }
            !member.is_closed()
        });
    }

    /// Where a stream reads on: without the chunks that its client has not taken, which would be memory that it alone
    /// keeps.
    fn behind(&self, encoder: &Encoder, member: &Post) -> Encoder {
        let Some(Stand { cursor, remaining }) = member.take_back() else { return encoder.clone() };
        let mut own = encoder.at(Cursor::clone(&cursor));
        own.bounds.remaining = remaining;
        own
    }
}

impl FeedState {
    /// From here on this stream gets what the others get.
    pub fn join(&mut self, member: Post) {
        self.empty_since = None;
        self.members.push(member);
    }

    /// The streams have all they were asked for, or know why they end.
    fn complete(&mut self) {
        self.members.iter().for_each(Post::complete);
        self.end();
    }

    /// No more comes: the streams end when they have read what is theirs.
    pub fn end(&mut self) {
        self.ended = Ended::Yes;
        self.members = Vec::new();
    }

    fn send(&mut self, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        if !bytes.is_empty() {
            let chunk = self.encoder.chunk(bytes);
            self.members.iter().for_each(|member| member.send(chunk.clone()));
        }
    }
}
