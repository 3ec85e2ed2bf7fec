//! What streams hold for their clients beyond a small chunk each: bounded over all of them, so that a thousand clients
//! that take nothing cost a thousand small chunks and not much more.

use crate::memory_budget::{Reservation, Share};
use bytes::Bytes;
use std::sync::Arc;

/// What any stream may hold, whatever the others do.
pub const SMALL: usize = 16 << 10;

/// How much the next chunk may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// As large as is good for the speed, and before the client has taken the last one.
    Ahead,
    /// Small, once the client has taken the last one.
    Small,
}

/// Counts what chunks have beyond [`SMALL`], until the last of their bytes is dropped.
#[derive(Debug, Clone)]
pub struct Allowance {
    chunks: Arc<Share>,
    most: usize,
}

impl Allowance {
    /// `most`: bytes beyond [`SMALL`] that chunks may have together before streams get small ones. Single larger records
    /// may use the rest of the share.
    pub fn new(chunks: Arc<Share>, most: usize) -> Self {
        Self { chunks, most }
    }

    /// Bytes beyond [`SMALL`] that chunks have now.
    pub fn held(&self) -> usize {
        self.chunks.used()
    }

    pub fn room(&self) -> Room {
        match self.held() {
            held if held < self.most => Room::Ahead,
            _ => Room::Small,
        }
    }

    /// For frames yet to be written.
    pub fn nothing(&self) -> Reservation {
        self.chunks.nothing()
    }

    /// Frames that are small.
    pub fn hold(&self, frames: Vec<u8>) -> Bytes {
        self.hold_paid(frames, self.nothing())
    }

    /// Frames, with what was reserved while they were written.
    pub fn hold_paid(&self, mut frames: Vec<u8>, mut memory: Reservation) -> Bytes {
        frames.shrink_to_fit();
        if frames.len() <= SMALL {
            return frames.into();
        }
        memory.settle(frames.len() - SMALL);
        Bytes::from_owner(Held { frames, _memory: memory })
    }
}

struct Held {
    frames: Vec<u8>,
    _memory: Reservation,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.frames
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_that_wait_for_a_client_count_in_the_memory_budget() {
        let share = Share::new("chunks", 1 << 20, 1 << 20);
        let allowance = Allowance::new(share.clone(), 100);
        let small = allowance.hold(vec![0; SMALL]);
        assert_eq!((share.used(), allowance.room()), (0, Room::Ahead));
        let large = allowance.hold(vec![0; SMALL + 150]);
        assert_eq!((share.used(), allowance.room()), (150, Room::Small));
        let larger = allowance.hold(vec![0; SMALL + 50]);
        assert_eq!((share.used(), allowance.room()), (200, Room::Small));
        drop((small, large, larger));
        assert_eq!((share.used(), allowance.held()), (0, 0));
    }
}
