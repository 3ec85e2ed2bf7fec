//! The unit that a mailbox holds: frames of one stream, and where the stream was before them.

use crate::cursor::Cursor;
use bytes::Bytes;
use std::sync::Arc;

/// Complete frames, and the position of the stream before them.
#[derive(Clone)]
pub struct Chunk {
    pub bytes: Bytes,
    pub records: u64,
    pub from: StreamPosition,
    pub replayable: Replayable,
}

/// The position of a stream between two chunks.
#[derive(Debug, Clone)]
pub struct StreamPosition {
    pub cursor: Arc<Cursor>,
    /// Records that the stream may still deliver; `None` without a limit.
    pub remaining: Option<u64>,
}

/// Whether the frames of a chunk can be written again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replayable {
    /// All of them come from the log.
    Yes,
    /// At least one is written only once: a gap, or the id where the stream starts.
    No,
}
