//! Bounds what streams hold for their clients beyond a small chunk each, over all streams, so that a thousand clients that
//! take nothing cost a thousand small chunks and not much more.
//!
//! Slow clients can use all of it except a reserve for live streams whose clients have taken much. If such a client stops,
//! the chunks in its mailbox are taken back once it has taken nothing between two checks, which are at most 5 s apart. Only
//! the chunk that is being written remains, until the client has taken it or is disconnected for taking less than 16 KiB
//! within the stall timeout (`http`).

use crate::sync::memory_budget::{MemoryBudget, Reservation, Share};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// Bytes that any stream may hold, whatever the others hold.
pub const SMALL: usize = 16 << 10;

/// About how many bytes one chunk of a feed has. A fetched span can take many chunks; a stream joins only at its end.
pub const CHUNK: usize = 128 << 10;

/// More bytes than the buffers between the bridge and a client that takes nothing hold on most networks.
pub const PROOF: usize = 512 << 10;

/// More bytes than such buffers hold even on one machine, where Linux buffered 4.2 MB.
const SURE_PROOF: usize = 8 << 20;

/// Interval of checks whether clients take anything while memory is short.
pub const IDLE: Duration = Duration::from_secs(1);

/// How large the next chunk may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkSize {
    /// Large, and written before the client has taken the last one.
    Ahead,
    /// Large and paid from the reserve, for live streams whose clients have taken `proof` bytes.
    Reserved { proof: usize },
    /// Small, and written once the client has taken the last one.
    Small,
}

/// Counts the bytes of chunks beyond [`SMALL`], until the last reference to a chunk is dropped.
#[derive(Debug, Clone)]
pub struct ChunkBudget {
    chunks: Arc<Share>,
    most: usize,
    reserve: Arc<Share>,
}

impl ChunkBudget {
    /// `most`: bytes beyond [`SMALL`] that chunks may have together before streams get small ones. Single larger records can
    /// use the rest of the share.
    pub fn new(memory: &MemoryBudget, most: usize) -> Self {
        Self { chunks: memory.chunks.clone(), most, reserve: memory.live_chunks.clone() }
    }

    /// Bytes beyond [`SMALL`] that chunks have now.
    pub fn held(&self) -> usize {
        self.chunks.used()
    }

    /// Size of the next chunk of a stream that catches up.
    pub fn chunk_size(&self) -> ChunkSize {
        match self.held() {
            held if held < self.most => ChunkSize::Ahead,
            _ => ChunkSize::Small,
        }
    }

    /// Returns `Reserved` if a chunk of this size fits into the reserve. Half of it is for clients that certainly read.
    pub fn reserve(&self, chunk: usize) -> ChunkSize {
        let proof = if self.reserve.used() < self.reserve.limit() / 2 { PROOF } else { SURE_PROOF };
        if self.reserve.has_free(chunk) { ChunkSize::Reserved { proof } } else { ChunkSize::Small }
    }

    /// An empty reservation, for frames that are about to be written.
    pub fn empty_reservation(&self) -> Reservation {
        self.chunks.empty_reservation()
    }

    /// An empty reservation for a chunk of a live feed.
    pub fn empty_reservation_for(&self, chunk_size: ChunkSize) -> Reservation {
        match chunk_size {
            ChunkSize::Reserved { .. } => self.reserve.empty_reservation(),
            ChunkSize::Ahead | ChunkSize::Small => self.empty_reservation(),
        }
    }

    /// Counts frames that need no reservation while they are written.
    pub fn hold(&self, frames: Vec<u8>) -> Bytes {
        self.hold_paid(frames, self.empty_reservation())
    }

    /// Counts frames that `memory` was reserved for while they were written.
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
        let chunk_budget = ChunkBudget::new(&memory, 100);
        let small = chunk_budget.hold(vec![0; SMALL]);
        assert_eq!((share.used(), chunk_budget.chunk_size()), (0, ChunkSize::Ahead));
        let large = chunk_budget.hold(vec![0; SMALL + 150]);
        assert_eq!((share.used(), chunk_budget.chunk_size()), (150, ChunkSize::Small));
        let larger = chunk_budget.hold(vec![0; SMALL + 50]);
        assert_eq!((share.used(), chunk_budget.chunk_size()), (200, ChunkSize::Small));
        drop((small, large, larger));
        assert_eq!((share.used(), chunk_budget.held()), (0, 0));
    }
}
