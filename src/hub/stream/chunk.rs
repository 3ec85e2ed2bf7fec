//! The unit of delivery to a client: frames, with the position of the stream before them.

use crate::cursor::Cursor;
use bytes::Bytes;
use std::sync::Arc;

/// Complete frames, and the position of the stream before them.
#[derive(Clone)]
pub struct Chunk {
    /// The frames.
    pub bytes: Bytes,
    /// Number of records in the frames.
    pub records: u64,
    /// The position of the stream before the frames.
    pub from: StreamPosition,
    /// Whether the frames can be written again, starting at `from`.
    pub replayable: Replayable,
}

/// The position of a stream between two chunks.
#[derive(Debug, Clone)]
pub struct StreamPosition {
    /// The next offset of each partition.
    pub cursor: Arc<Cursor>,
    /// Number of records that the stream may still deliver. `None`: no limit.
    pub remaining: Option<u64>,
}

/// Whether the frames of a chunk can be written again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replayable {
    /// All of them can be written again from the log.
    Yes,
    /// At least one is not in the log: a gap, or an id without a record.
    No,
}
