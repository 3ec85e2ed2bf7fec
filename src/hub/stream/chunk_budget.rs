//! What streams hold for their clients beyond a small chunk each: bounded over all of them, so that a thousand clients
//! that take nothing cost a thousand small chunks and not much more.
//!
//! Slow clients can use all of it but a reserve, which is for live streams whose clients have taken much. Where such a client
//! stops, what waits in its mailbox is taken back once it has taken nothing between two looks, which are 5 s apart at most.
//! Only the chunk that is being written is left, until its client has taken it or is closed: after `--stall-timeout`, in
//! which it must take 16 KiB (`http::io`, and `http::server::unread` for HTTP/2).

use crate::sync::memory_budget::{MemoryBudget, Reservation, Share};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// What any stream may hold, whatever the others do.
pub const SMALL: usize = 16 << 10;

/// More than what lies between us and a client that takes nothing.
pub const PROOF: usize = 512 << 10;
/// More than that even on one machine, where Linux took 4.2 MB.
const SURE_PROOF: usize = 8 << 20;

/// Between looks whether clients take anything, while memory is short.
pub const IDLE: Duration = Duration::from_secs(1);

/// How much the next chunk may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkSize {
    /// As large as is good for the speed, and before the client has taken the last one.
    Ahead,
    /// As large, out of the reserve: for live streams whose clients have taken so many bytes.
    Reserved { proof: usize },
    /// Small, once the client has taken the last one.
    Small,
}

/// Counts what chunks have beyond [`SMALL`], until the last of their bytes is dropped.
#[derive(Debug, Clone)]
pub struct ChunkBudget {
    chunks: Arc<Share>,
    most: usize,
    reserve: Arc<Share>,
}

impl ChunkBudget {
    /// `most`: bytes beyond [`SMALL`] that chunks may have together before streams get small ones. Single larger records
    /// may use the rest of the share.
    pub fn new(memory: &MemoryBudget, most: usize) -> Self {
        Self { chunks: memory.chunks.clone(), most, reserve: memory.live_chunks.clone() }
    }

    /// Bytes beyond [`SMALL`] that chunks have now.
    pub fn held(&self) -> usize {
        self.chunks.used()
    }

    pub fn room(&self) -> ChunkSize {
        match self.held() {
            held if held < self.most => ChunkSize::Ahead,
            _ => ChunkSize::Small,
        }
    }

    /// The reserve, where a chunk of so many bytes fits. Half of it is for clients that have surely taken much.
    pub fn reserve(&self, chunk: usize) -> ChunkSize {
        let proof = if self.reserve.used() < self.reserve.limit() / 2 { PROOF } else { SURE_PROOF };
        if self.reserve.has_free(chunk) { ChunkSize::Reserved { proof } } else { ChunkSize::Small }
    }

    /// For frames yet to be written.
    pub fn nothing(&self) -> Reservation {
        self.chunks.empty_reservation()
    }

    /// The same for a live feed.
    pub fn nothing_in(&self, room: ChunkSize) -> Reservation {
        match room {
            ChunkSize::Reserved { .. } => self.reserve.empty_reservation(),
            ChunkSize::Ahead | ChunkSize::Small => self.nothing(),
        }
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
        Bytes::from_owner(ChunkGuard { frames, _memory: memory })
    }
}

struct ChunkGuard {
    frames: Vec<u8>,
    _memory: Reservation,
}

impl AsRef<[u8]> for ChunkGuard {
    fn as_ref(&self) -> &[u8] {
        &self.frames
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_that_wait_for_a_client_count_in_the_memory_budget() {
        let memory = MemoryBudget::default();
        let share = &memory.chunks;
        let allowance = ChunkBudget::new(&memory, 100);
        let small = allowance.hold(vec![0; SMALL]);
        assert_eq!((share.used(), allowance.room()), (0, ChunkSize::Ahead));
        let large = allowance.hold(vec![0; SMALL + 150]);
        assert_eq!((share.used(), allowance.room()), (150, ChunkSize::Small));
        let larger = allowance.hold(vec![0; SMALL + 50]);
        assert_eq!((share.used(), allowance.room()), (200, ChunkSize::Small));
        drop((small, large, larger));
        assert_eq!((share.used(), allowance.held()), (0, 0));
    }
}
