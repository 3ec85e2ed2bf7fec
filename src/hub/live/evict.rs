//! Streams leave a live feed: chunks that their clients have not taken are taken back, and they read the log by
//! themselves.

use super::feed::{Evicted, Feed, FeedState};
use crate::cursor::Cursor;
use crate::hub::stream::chunk::StreamPosition;
use crate::hub::stream::chunk_budget::{CHUNK, ChunkSize, IDLE};
use crate::hub::stream::encoder::Encoder;
use crate::hub::stream::mailbox::MailboxSender;
use crate::hub::stream::state::{Company, StreamState, Weight};
use std::time::Instant;

impl Feed {
    /// Evicts streams whose mailbox has no space for another chunk.
    pub fn evict_full(&self, state: &mut FeedState) {
        self.evict(state, MailboxSender::is_full);
    }

    /// Returns how large the next chunk may be. While slow clients use up the budget, clients that have taken much have a
    /// reserve.
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

    /// Evicts streams whose clients take nothing, at most once per [`IDLE`]: memory is short.
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

    pub fn evict(&self, state: &mut FeedState, which: impl Fn(&MailboxSender) -> bool) {
        let end = state.encoder.cursor.clone();
        self.evict_behind(state, &end, Weight::Light, which);
    }

    /// Evicts streams that are behind `end`, the position up to which the log has been read.
    pub fn evict_behind(
        &self,
        state: &mut FeedState,
        end: &Cursor,
        weight: Weight,
        which: impl Fn(&MailboxSender) -> bool,
    ) {
        self.evict_from(&mut state.members, &state.encoder, (end, weight), which);
    }

    /// Like [`evict_behind`](Self::evict_behind), but a stream with an empty mailbox continues at the position of
    /// `encoder`.
    pub fn evict_from(
        &self,
        members: &mut Vec<MailboxSender>,
        encoder: &Encoder,
        (end, weight): (&Cursor, Weight),
        which: impl Fn(&MailboxSender) -> bool,
    ) {
        let company = if weight == Weight::Heavy && members.len() > 1 { Company::SameFeed } else { Company::Alone };
        members.retain(|member| {
            if which(member) && !member.is_closed() {
                let encoder = take_back(encoder, member);
                let behind = encoder.cursor.lag(end);
                let stream = StreamState::new(self.key.clone(), encoder, member.clone(), self.settings.clone());
                (self.on_evict)(Evicted { stream, behind, weight, company });
                return false;
            }
            !member.is_closed()
        });
    }
}

/// Takes back the chunks that the client has not taken, which would be memory that it alone keeps. Returns an encoder
/// at the position before them.
fn take_back(encoder: &Encoder, member: &MailboxSender) -> Encoder {
    let Some(StreamPosition { cursor, remaining }) = member.take_back() else { return encoder.fork() };
    let mut own = encoder.at(Cursor::clone(&cursor));
    own.bounds.remaining = remaining;
    own
}
