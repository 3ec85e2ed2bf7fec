//! Splits a JSON array into its elements, regardless of the body's chunks. The elements themselves are not parsed here.

use super::json::{self, ByteOrderMark};
use super::partial_item::{BodyItem, PartialItem};
use bytes::{Buf, Bytes};
use thiserror::Error;

/// The body is not a JSON array. The elements before the error are valid items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidArray {
    #[error("the body is not a JSON array: {ByteOrderMark}")]
    Marked,
    #[error("the body is not a JSON array: it is empty")]
    Empty,
    #[error("the body is not a JSON array: it starts with {:?}", char::from(*.0))]
    Start(u8),
    #[error("the JSON array has {:?} where an element is expected", char::from(*.0))]
    MissingElement(u8),
    #[error("the JSON array has a {:?} that closes nothing", char::from(*.0))]
    Unopened(u8),
    #[error("the body ends before the JSON array does")]
    Unclosed,
    #[error("text follows the JSON array; send one array per request, or one array or value per line with split=lines")]
    SecondText,
}

/// The position of the scan in the array.
#[derive(Debug, Clone, Copy)]
enum ScanPosition {
    /// Before the opening bracket.
    Start,
    /// Before the first element, or the end of an empty array.
    First,
    /// After a comma.
    Next,
    /// Inside an element, within this many brackets and braces.
    Element {
        depth: usize,
    },
    /// Inside a string of an element.
    String {
        depth: usize,
    },
    /// After a backslash in a string.
    Escape {
        depth: usize,
    },
    /// After the closing bracket.
    End,
    Failed(InvalidArray),
}

pub struct BodyElements {
    chunk: Bytes,
    item: PartialItem,
    position: ScanPosition,
}

/// The effect of one byte.
enum Step {
    /// The byte is not part of an element.
    Skip,
    /// The byte is part of the current element.
    Keep,
    /// The byte ends the current element.
    End,
    /// The body is not an array from here on.
    Stop,
}

impl BodyElements {
    pub fn new(item: PartialItem) -> Self {
        Self { chunk: Bytes::new(), item, position: ScanPosition::Start }
    }

    /// Sets the next chunk. The previous one must have no complete element left.
    pub fn feed(&mut self, chunk: Bytes) {
        self.chunk = chunk;
    }

    /// Returns the largest number of elements that can end in the chunk, up to `limit`.
    pub fn complete_items(&self, limit: usize) -> usize {
        memchr::memchr2_iter(b',', b']', &self.chunk).take(limit).count()
    }

    /// Returns up to `limit` complete elements, or none if no further one ends in the chunk.
    pub fn take(&mut self, limit: usize) -> Vec<BodyItem> {
        let mut found = Vec::new();
        while found.len() < limit
            && let Some(item) = self.next()
        {
            found.push(item);
        }
        found
    }

    /// Returns the next element that ends in the chunk.
    fn next(&mut self) -> Option<BodyItem> {
        let mut length = 0;
        while let Some(byte) = self.chunk.get(length).copied() {
            match self.step(byte) {
                Step::Keep => length += 1,
                // Only outside of elements, so `length` is 0.
                Step::Skip => self.chunk.advance(1),
                Step::End => {
                    let rest = self.chunk.split_to(length);
                    self.chunk.advance(1);
                    let mut item = self.item.complete(rest);
                    if let Ok(text) = &mut item.text {
                        text.truncate(json::trim_end(text).len());
                    }
                    return Some(item);
                }
                Step::Stop => {
                    self.chunk = Bytes::new();
                    return None;
                }
            }
        }
        let rest = std::mem::take(&mut self.chunk);
        if length > 0 {
            self.item.store(&rest);
        }
        None
    }

    /// Moves past one byte.
    fn step(&mut self, byte: u8) -> Step {
        use ScanPosition::{Element, End, Escape, Failed, First, Next, Start, String};
        let fail = |error| (Failed(error), Step::Stop);
        let (position, step) = match (self.position, byte) {
            (Start | First | Next | End, b' ' | b'\t' | b'\r' | b'\n') => (self.position, Step::Skip),
            (Start, b'[') => (First, Step::Skip),
            (Start, 0xef) => fail(InvalidArray::Marked),
            (Start, other) => fail(InvalidArray::Start(other)),
            (First, b']') => (End, Step::Skip),
            (First | Next, b',' | b']' | b'}' | b':') => fail(InvalidArray::MissingElement(byte)),
            (End, _) => fail(InvalidArray::SecondText),
            (First | Next, b'"') => (String { depth: 0 }, Step::Keep),
            (First | Next, b'[' | b'{') => (Element { depth: 1 }, Step::Keep),
            (First | Next, _) => (Element { depth: 0 }, Step::Keep),
            (Element { depth: 0 }, b',') => (Next, Step::End),
            (Element { depth: 0 }, b']') => (End, Step::End),
            (Element { depth: 0 }, b'}') => fail(InvalidArray::Unopened(byte)),
            (Element { depth }, b'[' | b'{') => (Element { depth: depth + 1 }, Step::Keep),
            (Element { depth }, b']' | b'}') => (Element { depth: depth - 1 }, Step::Keep),
            (Element { depth }, b'"') => (String { depth }, Step::Keep),
            (Element { .. }, _) => (self.position, Step::Keep),
            (String { depth }, b'"') => (Element { depth }, Step::Keep),
            (String { depth }, b'\\') => (Escape { depth }, Step::Keep),
            (String { .. }, _) => (self.position, Step::Keep),
            (Escape { depth }, _) => (String { depth }, Step::Keep),
            (Failed(error), _) => fail(error),
        };
        self.position = position;
        step
    }

    /// Ends the body.
    pub fn finish(&mut self) {
        match self.position {
            ScanPosition::End | ScanPosition::Failed(_) => {}
            ScanPosition::Start => self.position = ScanPosition::Failed(InvalidArray::Empty),
            _ => self.position = ScanPosition::Failed(InvalidArray::Unclosed),
        }
    }

    /// Returns why no further element can be read.
    pub fn failure(&self) -> Option<InvalidArray> {
        match self.position {
            ScanPosition::Failed(error) => Some(error),
            _ => None,
        }
    }

    /// Returns the number of the current element, and whether any of it has arrived.
    pub fn current(&self) -> (u64, bool) {
        let is_begun = matches!(
            self.position,
            ScanPosition::Element { .. } | ScanPosition::String { .. } | ScanPosition::Escape { .. }
        );
        (self.item.number(), is_begun)
    }
}
