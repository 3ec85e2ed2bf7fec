//! The errors of decoding record batches.

use crate::broker::Cause;
use crate::record::Offset;
use crate::sync::memory_budget::Shortage;
use thiserror::Error;

/// Why the records of a batch cannot be returned.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Undecodable {
    /// The bytes are not a valid batch.
    #[error(transparent)]
    Damaged(#[from] BatchFault),
    /// The memory budget has no room for the records.
    #[error("{0}")]
    NoMemory(Shortage),
}

impl From<Shortage> for Undecodable {
    fn from(shortage: Shortage) -> Self {
        Self::NoMemory(shortage)
    }
}

/// The fault in a batch or in a message of an old format.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BatchFault {
    /// The length of the first batch is negative or too small.
    #[error("a batch's length is impossible")]
    Length,
    /// KIP-74: the first batch is complete even if it exceeds the fetch size.
    #[error("the batch at offset {offset} is cut off after {bytes} bytes")]
    CutOff {
        /// The requested offset.
        offset: Offset,
        /// The number of bytes of the response.
        bytes: usize,
    },
    /// The response has batches, but none with the requested offset or a later one.
    #[error("all batches are before the requested offset {0}")]
    BeforeOffset(Offset),
    /// The fault is in the batch after this offset.
    #[error("the batch after offset {offset}: {fault}")]
    After {
        /// The offset of the last record before the batch.
        offset: Offset,
        /// The fault in the batch.
        #[source]
        fault: Box<BatchFault>,
    },
    /// The magic byte is not that of a known message format, or missing.
    #[error("unknown message format {0:?}")]
    Format(Option<u8>),
    /// The batch is shorter than its header.
    #[error("the header is cut off")]
    Header,
    /// A message of an old format is shorter than its length says.
    #[error("a message is cut off")]
    Message,
    /// The checksum is not that of the bytes.
    #[error("the checksum does not match")]
    Checksum,
    /// An offset is out of range or out of order.
    #[error("an offset is impossible")]
    ImpossibleOffset,
    /// An offset or the number of records is negative.
    #[error("an offset or count is negative")]
    Negative,
    /// A record extends beyond its batch, or has an invalid field.
    #[error("a record does not fit into its batch")]
    Record,
    /// The attributes name no compression that Kafka defines for this format.
    #[error("unknown compression")]
    Compression,
    /// A message of an old format claims to be compressed but has no value.
    #[error("a compressed set is empty")]
    EmptySet,
    /// A compressed message contains another one.
    #[error("a compressed set lies in another")]
    NestedSet,
    /// A compressed message of an old format contains a newer format.
    #[error("message formats are mixed")]
    MixedFormats,
    /// The compressed bytes are not valid for the codec.
    #[error("{codec}: {cause}")]
    Decompression {
        /// The name of the codec.
        codec: &'static str,
        /// The error of the codec's library.
        #[source]
        cause: Cause,
    },
}
