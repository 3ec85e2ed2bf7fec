//! Responses of the `kafka` crate to fetch requests.

use crate::broker::PartitionData;
use crate::record::{EpochSpan, Offset, Records};
use kafka::client::fetch::{Data, Message};

/// The response for one partition.
pub struct CrateResponse {
    records: Records,
    /// The offset of the first record.
    pub first: Option<Offset>,
    next: Offset,
    /// The high watermark.
    pub end: Offset,
}

impl CrateResponse {
    /// Reads the messages from offset `from` on.
    pub fn of(data: &Data<'_>, from: Offset) -> Self {
        let messages = data.messages().iter().filter(|m| m.offset >= from);
        let bytes = messages.clone().map(|m| m.key.len() + m.value.len()).sum();
        let mut buffer = Vec::with_capacity(bytes);
        let mut parts = Vec::new();
        let mut next = from;
        for message in messages {
            parts.push(parts_of(message, &mut buffer));
            next = next.max(message.offset + 1);
        }
        let mut records = Records::over(buffer.into());
        let first = parts.first().map(|(offset, ..)| *offset);
        parts.into_iter().for_each(|(offset, key, value)| records.push(offset, -1, key, value));
        Self { records, first, next, end: data.highwatermark_offset() }
    }

    /// Converts the response to a fetch from offset `from` on.
    pub fn into_data(self, from: Offset) -> PartitionData {
        PartitionData {
            batches: if self.records.is_empty() { Vec::new() } else { vec![self.records] },
            next_offset: self.next.max(from),
            epochs: EpochSpan::NONE,
            // Not reported by the old protocol.
            log_start: 0,
            end: self.end,
        }
    }

    /// Returns a response whose first record is at `first`.
    #[cfg(test)]
    pub fn at(first: Option<Offset>) -> Self {
        Self { records: Records::default(), first, next: 0, end: 0 }
    }
}

type Parts = (Offset, Option<std::ops::Range<usize>>, Option<std::ops::Range<usize>>);

/// Converts a message of the crate, which returns null as empty: see [`super`] for how that is undone.
fn parts_of(message: &Message<'_>, buffer: &mut Vec<u8>) -> Parts {
    let mut put = |bytes: &[u8]| {
        let start = buffer.len();
        buffer.extend_from_slice(bytes);
        start..buffer.len()
    };
    let key = (!message.key.is_empty()).then(|| put(message.key));
    let tombstone = key.is_some() && message.value.is_empty();
    let value = (!tombstone).then(|| put(message.value));
    (message.offset, key, value)
}
