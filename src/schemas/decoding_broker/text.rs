//! The JSON and the errors of the keys and values of one batch. Their memory is reserved before they are written.

use crate::record::{DecodedParts, DecodedRecords, SchemaId};
use crate::schemas::framing::Framed;
use crate::schemas::mismatch::DecodeError;
use crate::schemas::schema::Schema;
use crate::sync::memory_budget::{Reservation, Share, Shortage};
use crate::sync::watchdog;
use std::ops::Range;
use std::sync::Arc;

/// The longest JSON of a key or value, in bytes. The largest reservation of the share is another limit.
const MAX_JSON: usize = 16 << 20;
/// The longest error of a key or value, in bytes.
const MAX_ERROR: usize = 512;
/// Memory reserved for the JSON of a key or value at first: this, and a multiple of the encoded bytes.
const FIRST_ROOM: usize = 1 << 10;
const FIRST_ROOM_PER_BYTE: usize = 8;
/// The records of a batch for whose ranges memory is reserved at first.
const FIRST_PARTS: usize = 64;

/// Why the data of a partition ends before a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// The schema is being fetched.
    Pending(SchemaId),
    /// There is no memory for the JSON at the moment.
    NoMemory(Shortage),
    /// The fetch has as much JSON as it may have.
    Enough,
}

/// The text of one batch.
pub struct BatchText {
    /// The JSON and the errors, one after the other. Its capacity is reserved.
    pub text: Vec<u8>,
    memory: Reservation,
    parts_memory: Reservation,
    /// The length of `text` before the current record.
    record_start: usize,
    /// The bytes of JSON that were written and dropped, because of an error behind them.
    dropped: usize,
}

impl BatchText {
    /// Creates an empty text that is charged to `share`.
    pub fn new(share: &Arc<Share>) -> Self {
        let (memory, parts_memory) = (share.empty_reservation(), share.empty_reservation());
        Self { text: Vec::new(), memory, parts_memory, record_start: 0, dropped: 0 }
    }

    /// Reserves and allocates memory for the ranges of `needed` records, and of more of them, up to `all`. A large batch may not
    /// fit whole.
    pub fn reserve_parts(
        &mut self,
        parts: &mut Vec<DecodedParts>,
        needed: usize,
        all: usize,
    ) -> Result<(), StopReason> {
        if needed <= parts.capacity() {
            return Ok(());
        }
        let largest = self.parts_memory.largest() / size_of::<DecodedParts>();
        let step = needed.max(2 * parts.capacity()).max(FIRST_PARTS).min(all).min(largest.max(needed));
        let mut reserve = |records: usize| {
            let bytes = records.saturating_mul(size_of::<DecodedParts>());
            self.parts_memory.set(bytes).map(|()| records)
        };
        let reserved = reserve(step).or_else(|_: Shortage| reserve(needed)).map_err(StopReason::NoMemory)?;
        parts.reserve_exact(reserved - parts.len());
        Ok(())
    }

    /// The work so far, as bytes of JSON.
    pub fn work(&self) -> usize {
        self.text.len().saturating_add(self.dropped)
    }

    /// Begins a record.
    pub fn begin_record(&mut self) {
        self.record_start = self.text.len();
    }

    /// Drops the text of the current record.
    pub fn end_record_early(&mut self) {
        self.text.truncate(self.record_start);
    }

    /// Returns the text with the ranges of the records.
    pub fn finish(self, parts: Vec<DecodedParts>) -> DecodedRecords {
        DecodedRecords::new(self.memory.hold(self.text), parts, self.parts_memory)
    }

    /// Appends the JSON of a key or value. The inner error is about the key or value, the outer one about the memory.
    pub fn json(
        &mut self,
        schema: &Schema,
        framed: &Framed<'_>,
    ) -> Result<Result<Range<usize>, DecodeError>, StopReason> {
        let joined;
        let encoded = match framed.prefix {
            [] => framed.encoded,
            prefix => {
                joined = [prefix, framed.encoded].concat();
                &joined[..]
            }
        };
        let first = encoded.len().saturating_mul(FIRST_ROOM_PER_BYTE).saturating_add(FIRST_ROOM);
        self.make_room(first.min(MAX_JSON).min(self.largest_room()))?;
        let (start, most) = (self.text.len(), MAX_JSON.min(self.largest_room()));
        let tried = most.min(self.text.capacity() - start);
        let mut decoded = self.decode_within(schema, encoded, tried);
        if decoded == Err(DecodeError::TooLarge) && tried < most {
            self.make_room(most)?;
            decoded = self.decode_within(schema, encoded, most);
            self.text.shrink_to_fit();
            self.memory.shrink(self.text.capacity());
        }
        if decoded == Err(DecodeError::TooLarge) && most < MAX_JSON && self.record_start > 0 {
            // Earlier records have used up the memory of one batch, so the next fetch begins with this record.
            return Err(StopReason::Enough);
        }
        Ok(decoded.map(|()| start..self.text.len()))
    }

    /// Appends an error, on one line and without its end if it is long.
    pub fn error(&mut self, error: &str) -> Result<Range<usize>, StopReason> {
        let most = error.len().min(MAX_ERROR);
        if self.largest_room() < most && self.record_start > 0 {
            return Err(StopReason::Enough);
        }
        // The JSON of the key may leave less room than the error needs.
        let most = most.min(self.largest_room());
        let end = (0..=most).rev().find(|end| error.is_char_boundary(*end)).unwrap_or_default();
        let error = &error[..end];
        self.make_room(error.len())?;
        let start = self.text.len();
        self.text.extend(error.bytes().map(|byte| if byte.is_ascii_control() { b' ' } else { byte }));
        Ok(start..self.text.len())
    }

    /// A panic of a decoder must not end the thread, which would read the same record again. It does not count for the thread
    /// either: otherwise a publisher of such records could make the watchdog restart the bridge.
    fn decode_within(&mut self, schema: &Schema, encoded: &[u8], most: usize) -> Result<(), DecodeError> {
        let start = self.text.len();
        let text = &mut self.text;
        let decoded = watchdog::caught_in_poll(|| schema.decode(encoded, text, most));
        let panicked = || Err(DecodeError::Malformed("its decoder panicked; please report this".to_owned()));
        let decoded = decoded.unwrap_or_else(panicked);
        if decoded.is_err() {
            self.dropped = self.dropped.saturating_add(self.text.len() - start);
            self.text.truncate(start);
        }
        decoded
    }

    /// The number of bytes by which the text can grow within one reservation.
    fn largest_room(&self) -> usize {
        self.memory.largest().saturating_sub(self.text.len())
    }

    /// Reserves and allocates memory for `bytes` more bytes.
    fn make_room(&mut self, bytes: usize) -> Result<(), StopReason> {
        let (length, capacity) = (self.text.len(), self.text.capacity());
        let needed = length.saturating_add(bytes);
        if needed <= capacity {
            return Ok(());
        }
        // A larger step spares the next records a reallocation.
        let step = needed.max(capacity + capacity / 2).min(self.memory.largest().max(needed));
        let mut reserve = |bytes: usize| self.memory.set(bytes).map(|()| bytes);
        let reserved = reserve(step).or_else(|_: Shortage| reserve(needed)).map_err(StopReason::NoMemory)?;
        self.text.reserve_exact(reserved - length);
        Ok(())
    }
}
