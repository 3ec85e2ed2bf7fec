//! Bounds the memory of chunks that wait for clients, over all streams. A small chunk per stream is exempt, so a thousand
//! clients that stop reading cost a thousand small chunks and not much more.
//!
//! Slow clients can use the whole budget except a reserve for live streams whose clients have read many bytes. If such a client
//! stops reading, the chunks in its mailbox are taken back once it has taken nothing between two checks, which are at most
//! 5 s apart. Only the chunk that is being written remains, until the client has taken it, or until `http` disconnects the
//! client because it takes less than 16 KiB within the stall timeout.

use crate::sync::memory_budget::{MemoryBudget, Reservation, Share};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// Size of a small chunk, in bytes. Every stream may hold one, however much memory the others use.
pub const SMALL: usize = 16 << 10;

/// Approximate size of the chunks of a feed, in bytes. A fetched span can take many chunks.
pub const CHUNK: usize = 128 << 10;

/// A client that has taken this many bytes is probably reading: on most networks the buffers between the bridge and the client
/// hold less.
pub const PROOF: usize = 512 << 10;

/// A client that has taken this many bytes is certainly reading. The largest buffers that were measured held 4.2 MB, between
/// two processes on one Linux machine.
const SURE_PROOF: usize = 8 << 20;

/// Interval at which feeds check whether their clients are reading, while memory is short.
pub const IDLE: Duration = Duration::from_secs(1);

/// The size of the next chunk of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkSize {
    /// Large, and written before the client has taken the previous one.
    Ahead,
    /// Large, and charged to the reserve, which is for live streams whose clients have taken `proof` bytes.
    Reserved { proof: usize },
    /// Small, and written after the client has taken the previous one.
    Small,
}

/// Limits the bytes by which chunks exceed [`SMALL`]. A chunk counts until its last reference is dropped.
#[derive(Debug, Clone)]
pub struct ChunkBudget {
    chunks: Arc<Share>,
    most: usize,
    reserve: Arc<Share>,
}

impl ChunkBudget {
    /// Creates a budget in which streams get small chunks as soon as all chunks together exceed [`SMALL`] by `most` bytes.
    /// The rest of the share is for single records that are larger than a chunk.
    pub fn new(memory: &MemoryBudget, most: usize) -> Self {
        Self { chunks: memory.chunks.clone(), most, reserve: memory.live_chunks.clone() }
    }

    /// Returns the number of bytes by which all chunks together exceed [`SMALL`].
    pub fn held(&self) -> usize {
        self.chunks.used()
    }

    /// Returns the size of the next chunk: `Ahead` or, once the budget is used up, `Small`.
    pub fn chunk_size(&self) -> ChunkSize {
        match self.held() {
            held if held < self.most => ChunkSize::Ahead,
            _ => ChunkSize::Small,
        }
    }

    /// Returns `Reserved` if a chunk of this size fits into the reserve, otherwise `Small`. The second half of the reserve is for
    /// clients that are certainly reading.
    pub fn reserve(&self, chunk: usize) -> ChunkSize {
        let proof = if self.reserve.used() < self.reserve.limit() / 2 { PROOF } else { SURE_PROOF };
        if self.reserve.has_free(chunk) { ChunkSize::Reserved { proof } } else { ChunkSize::Small }
    }

    /// Returns an empty reservation, to be grown while frames are written.
    pub fn empty_reservation(&self) -> Reservation {
        self.chunks.empty_reservation()
    }

    /// Returns an empty reservation for a chunk of a live feed. A `Reserved` chunk is charged to the reserve.
    pub fn empty_reservation_for(&self, chunk_size: ChunkSize) -> Reservation {
        match chunk_size {
            ChunkSize::Reserved { .. } => self.reserve.empty_reservation(),
            ChunkSize::Ahead | ChunkSize::Small => self.empty_reservation(),
        }
    }

    /// Charges frames that were written without a reservation to the budget.
    pub fn hold(&self, frames: Vec<u8>) -> Bytes {
        self.hold_paid(frames, self.empty_reservation())
    }

    /// Like [`hold`](Self::hold), for frames for which `memory` was reserved while they were written.
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
