//! Collects the bytes of a line or an element of a body from several chunks, within limits.

use super::body::BodyMemory;
use crate::http::problem::Problem;
use bytes::{Bytes, BytesMut};
use std::fmt;

/// The part of a body that becomes one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemUnit {
    Line,
    /// An element of a JSON array.
    Element,
    /// A JSON text of `application/json-seq`.
    Text,
}

impl fmt::Display for ItemUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Line => "line",
            Self::Element => "element",
            Self::Text => "text",
        })
    }
}

/// A part of the body that is not blank.
#[derive(Debug)]
pub struct BodyItem {
    /// Counts the items of the body from 1, including blank lines.
    pub number: u64,
    pub text: Result<Bytes, Problem>,
}

/// The start of an item whose end has not arrived.
pub struct PartialItem {
    unit: ItemUnit,
    start: BytesMut,
    held: BodyMemory,
    max_len: usize,
    /// Set if the item is already rejected. The rest of it is discarded.
    rejected: Option<Problem>,
    number: u64,
}

impl PartialItem {
    /// Starts with item `number`, whose length is at most `max_len` bytes.
    pub fn new(unit: ItemUnit, number: u64, max_len: usize, held: BodyMemory) -> Self {
        Self { unit, start: BytesMut::new(), held, max_len, rejected: None, number }
    }

    pub fn number(&self) -> u64 {
        self.number
    }

    /// Whether any of the item has arrived.
    pub fn is_begun(&self) -> bool {
        self.rejected.is_some() || !self.start.is_empty()
    }

    /// Stores more of the item, within the limits.
    pub fn store(&mut self, bytes: &[u8]) {
        let length = self.start.len() + bytes.len();
        if self.rejected.is_none() {
            let checked = if length > self.max_len { Err(self.too_long()) } else { self.held.set(length) };
            self.rejected = checked.err();
        }
        match self.rejected {
            None => self.start.extend_from_slice(bytes),
            // Release the memory of the start of the item as well.
            Some(_) => {
                self.start = BytesMut::new();
                let _ = self.held.set(0);
            }
        }
    }

    /// Returns the item, which ends with `rest`, and starts the next one.
    pub fn complete(&mut self, rest: Bytes) -> BodyItem {
        let number = self.number;
        self.number += 1;
        if let Some(problem) = self.rejected.take() {
            return BodyItem { number, text: Err(problem) };
        }
        let text = if self.start.is_empty() {
            rest
        } else {
            self.start.extend_from_slice(&rest);
            self.start.split().freeze()
        };
        match text.len() > self.max_len {
            true => BodyItem { number, text: Err(self.too_long()) },
            false => BodyItem { number, text: Ok(text) },
        }
    }

    fn too_long(&self) -> Problem {
        let (unit, limit) = (self.unit, self.max_len);
        Problem::too_large(format!("the {unit} has more than {limit} bytes, the limit of --max-body"))
    }
}
