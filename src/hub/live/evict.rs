//! Evicts streams from a live feed. The chunks that their clients have not taken are taken back, and the streams catch up
//! from there.

use super::feed::{Evicted, Feed, FeedState};
use crate::cursor::Cursor;
use crate::hub::stream::chunk::StreamPosition;
use crate::hub::stream::chunk_budget::{CHUNK, ChunkSize, IDLE};
use crate::hub::stream::encoder::Encoder;
use crate::hub::stream::mailbox::MailboxSender;
use crate::hub::stream::state::{StreamState, TurnSharing, Weight};
use std::time::Instant;

impl Feed {
    /// Evicts streams whose mailbox has no space for another chunk.
    pub fn evict_full(&self, state: &mut FeedState) {
        self.evict(state, MailboxSender::is_full);
    }

    /// Returns the size of the next chunk. If slow clients have used up the budget, there is a reserve for feeds with a client
    /// that has taken many bytes.
    pub fn chunk_size(&self, state: &mut FeedState) -> ChunkSize {
        let chunk_budget = &self.settings.chunk_budget;
        if chunk_budget.chunk_size() == ChunkSize::Ahead {
            return ChunkSize::Ahead;
        }
        self.evict_idle(state);
        match chunk_budget.reserve(CHUNK + CHUNK / 4) {
            ChunkSize::Reserved { proof } if !state.members.iter().any(|member| member.has_taken(proof)) => {
                ChunkSize::Small
            }
            chunk_size => chunk_size,
        }
    }

    /// Evicts streams whose clients have stopped reading, to release memory. Checks at most once per [`IDLE`].
    pub fn evict_idle(&self, state: &mut FeedState) {
        if state.idle_check.elapsed() >= IDLE {
            state.idle_check = Instant::now();
            self.evict(state, MailboxSender::is_idle);
        }
    }

    /// Evicts all streams, and ends the feed.
    pub fn evict_all(&self, state: &mut FeedState) {
        self.evict(state, |_| true);
        state.end();
    }

    /// Evicts the streams for which `which` is true.
    pub fn evict(&self, state: &mut FeedState, which: impl Fn(&MailboxSender) -> bool) {
        let end = state.encoder.cursor.clone();
        self.evict_behind(state, &end, Weight::Light, which);
    }

    /// Like [`evict`](Self::evict), for streams that continue before `end`, the position up to which the log has been read.
    pub fn evict_behind(
        &self,
        state: &mut FeedState,
        end: &Cursor,
        weight: Weight,
        which: impl Fn(&MailboxSender) -> bool,
    ) {
        self.evict_from(&mut state.members, &state.encoder, (end, weight), which);
    }

    /// Like [`evict_behind`](Self::evict_behind), for streams that continue at the position of `encoder` if their mailbox is
    /// empty.
    pub fn evict_from(
        &self,
        members: &mut Vec<MailboxSender>,
        encoder: &Encoder,
        (end, weight): (&Cursor, Weight),
        which: impl Fn(&MailboxSender) -> bool,
    ) {
        let sharing =
            if weight == Weight::Heavy && members.len() > 1 { TurnSharing::SameFeed } else { TurnSharing::Alone };
        members.retain(|member| {
            if which(member) && !member.is_closed() {
                let encoder = take_back(encoder, member);
                let behind = encoder.cursor.lag(end);
                let stream = StreamState::new(self.key.clone(), encoder, member.clone(), self.settings.clone());
                (self.on_evict)(Evicted { stream, behind, weight, sharing });
                return false;
            }
            !member.is_closed()
        });
    }
}

/// Takes back the chunks that the client has not taken. Otherwise they would soon use memory for this client alone. Returns an
/// encoder at the position before them.
fn take_back(encoder: &Encoder, member: &MailboxSender) -> Encoder {
    let Some(StreamPosition { cursor, remaining }) = member.take_back() else { return encoder.fork() };
    let mut own = encoder.at(Cursor::clone(&cursor));
    own.bounds.remaining = remaining;
    own
}
