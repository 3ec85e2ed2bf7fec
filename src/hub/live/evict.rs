//! Streams that leave a live feed: what they have not taken is given back, and they read on by themselves.

use super::feed::{CHUNK, Feed, FeedState};
use crate::cursor::Cursor;
use crate::hub::catch_up::task::{CatchUpTask, Company, Weight};
use crate::hub::stream::chunk_budget::{ChunkSize, IDLE};
use crate::hub::stream::encoder::Encoder;
use crate::hub::stream::mailbox::{MailboxSender, StreamPosition};
use std::time::Instant;

impl Feed {
    /// Streams that cannot take another chunk leave the live flow here, and read on by themselves from
    /// the place where they are now.
    pub fn evict_full(&self, state: &mut FeedState) {
        self.evict(state, MailboxSender::is_full);
    }

    /// What pays for the next chunk. While slow clients have the memory, those that have taken a lot have a reserve.
    pub fn room(&self, state: &mut FeedState) -> ChunkSize {
        let allowance = &self.settings.allowance;
        if allowance.room() == ChunkSize::Ahead {
            return ChunkSize::Ahead;
        }
        self.evict_idle(state);
        match allowance.reserve(CHUNK + CHUNK / 4) {
            ChunkSize::Reserved { proof } if !state.members.iter().any(|member| member.has_taken(proof)) => {
                ChunkSize::Small
            }
            room => room,
        }
    }

    /// Memory is short: streams whose clients take nothing give back what waits for them.
    pub fn evict_idle(&self, state: &mut FeedState) {
        if state.looked.elapsed() >= IDLE {
            state.looked = Instant::now();
            self.evict(state, MailboxSender::is_idle);
        }
    }

    pub fn evict(&self, state: &mut FeedState, which: impl Fn(&MailboxSender) -> bool) {
        let end = state.encoder.cursor.clone();
        self.evict_behind(state, &end, Weight::Light, which);
    }

    /// `end`: how far the log has been read.
    pub fn evict_behind(
        &self,
        state: &mut FeedState,
        end: &Cursor,
        weight: Weight,
        which: impl Fn(&MailboxSender) -> bool,
    ) {
        self.evict_from(&mut state.members, &state.encoder, (end, weight), which);
    }

    /// `encoder`: where streams are for which nothing waits.
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
                let encoder = self.behind(encoder, member);
                let behind = encoder.cursor.lag(end);
                let mut job = CatchUpTask::behind(encoder, member.clone(), self.key.clone(), self.settings.clone());
                (job.weight, job.company) = (weight, company);
                job.place.is_behind_by(behind);
                // It reads on when its client takes or wants something again.
                member.park(job, 0);
                return false;
            }
            !member.is_closed()
        });
    }

    /// Where a stream reads on: without the chunks that its client has not taken, which would be memory that it alone
    /// keeps.
    fn behind(&self, encoder: &Encoder, member: &MailboxSender) -> Encoder {
        let Some(StreamPosition { cursor, remaining }) = member.take_back() else { return encoder.clone() };
        let mut own = encoder.at(Cursor::clone(&cursor));
        own.bounds.remaining = remaining;
        own
    }
}
