//! Turns of streams whose feed took too long for the live flow. They left it at one place, so that the work of one is the
//! work of all: the first to come to a place does it, and the others are given its chunk.

use super::encoder::Encoder;
use super::feed::FeedKey;
use super::job::{AtEnd, Job, Weight};
use super::lock;
use super::shelf::BELIEVED;
use crate::broker::NodeId;
use crate::cursor::Cursor;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Instant;

/// Turns that are kept or under way. Those that were used last are kept.
const MOST: usize = 64;

#[derive(Default)]
pub struct SharedTurns(Mutex<VecDeque<Entry>>);

/// Where a turn begins.
#[derive(Clone, PartialEq)]
struct Begin {
    key: FeedKey,
    leader: NodeId,
    cursor: Cursor,
}

/// What came of it.
#[derive(Clone)]
pub struct Done {
    /// As it was before the chunk was sent.
    pub encoder: Encoder,
    pub chunk: Bytes,
    pub lag: u64,
    pub at_end: AtEnd,
    pub weight: Weight,
}

struct Entry {
    begin: Begin,
    at: Instant,
    /// `None`: it is under way.
    done: Option<Done>,
}

pub enum Turn<'t> {
    /// Nobody has taken it yet.
    First(Box<Working<'t>>),
    /// Another thread takes it just now.
    UnderWay,
    Done(Box<Done>),
}

/// A turn under way. Dropped, it is as if nobody had begun it.
pub struct Working<'t> {
    turns: &'t SharedTurns,
    begin: Begin,
}

impl SharedTurns {
    pub fn begin(&self, job: &Job, leader: NodeId) -> Turn<'_> {
        let begin = Begin { key: job.key.clone(), leader, cursor: job.encoder.cursor.clone() };
        self.forget_old();
        let mut entries = lock(&self.0);
        let place = entries.iter().position(|entry| entry.begin == begin);
        if let Some(entry) = place.and_then(|place| entries.remove(place)) {
            let turn = entry.done.clone().map_or(Turn::UnderWay, |done| Turn::Done(Box::new(done)));
            entries.push_back(entry);
            return turn;
        }
        entries.push_back(Entry { begin: begin.clone(), at: Instant::now(), done: None });
        if entries.len() > MOST {
            entries.pop_front();
        }
        Turn::First(Box::new(Working { turns: self, begin }))
    }

    /// Their chunks count in the memory budget.
    pub fn forget_old(&self) {
        lock(&self.0).retain(|entry| entry.at.elapsed() < BELIEVED);
    }
}

impl Working<'_> {
    /// Keeps what came of it for the others. A turn without progress is no work, and one that reports a gap counts it.
    pub fn finish(self, done: Done) {
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
