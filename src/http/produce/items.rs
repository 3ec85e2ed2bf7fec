//! Splits a body into the items that become records.

use super::body::BodyMemory;
use super::elements::BodyElements;
use super::json::{InvalidJson, check_json};
use super::lines::{BodyLines, Delimiter};
use super::partial_item::{BodyItem, ItemUnit, PartialItem};
use crate::http::problem::Problem;
use bytes::Bytes;

/// What an item must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemFormat {
    Json,
    Bytes,
}

impl ItemFormat {
    pub fn check(self, unit: ItemUnit, text: &[u8]) -> Result<(), Problem> {
        match self {
            Self::Bytes => Ok(()),
            Self::Json => check_json(text).map_err(|what| match (unit, what) {
                // The advice to split the body does not apply.
                (ItemUnit::Element, InvalidJson::SecondText(what)) => not_json(unit, &what.to_string()),
                (_, what) => not_json(unit, &what.to_string()),
            }),
        }
    }
}

fn not_json(unit: ItemUnit, what: &str) -> Problem {
    Problem::unprocessable(format!("the {unit} is not JSON: {what}"))
}

pub enum BodyItems {
    Lines(BodyLines),
    Elements(BodyElements),
}

impl BodyItems {
    /// Splits into items of at most `max_len` bytes. `held` is the memory of an item that has not arrived completely.
    pub fn new(unit: ItemUnit, max_len: usize, held: BodyMemory) -> Self {
        let item = |first| PartialItem::new(unit, first, max_len, held);
        match unit {
            ItemUnit::Line => Self::Lines(BodyLines::new(item(1), Delimiter::LineFeed)),
            // A separator comes before the first text.
            ItemUnit::Text => Self::Lines(BodyLines::new(item(0), Delimiter::RecordSeparator)),
            ItemUnit::Element => Self::Elements(BodyElements::new(item(1))),
        }
    }

    /// Sets the next chunk. The previous one must have no complete item left.
    pub fn feed(&mut self, chunk: Bytes) {
        match self {
            Self::Lines(lines) => lines.feed(chunk),
            Self::Elements(elements) => elements.feed(chunk),
        }
    }

    /// Returns the largest number of items that can end in the chunk, up to `limit`.
    pub fn complete_items(&self, limit: usize) -> usize {
        match self {
            Self::Lines(lines) => lines.complete_items(limit),
            Self::Elements(elements) => elements.complete_items(limit),
        }
    }

    /// Returns up to `limit` complete items, or none if no further one ends in the chunk.
    pub fn take(&mut self, limit: usize) -> Vec<BodyItem> {
        match self {
            Self::Lines(lines) => lines.take(limit),
            Self::Elements(elements) => elements.take(limit),
        }
    }

    /// Ends the body, and returns its last item if nothing marks the end of that.
    pub fn finish(&mut self) -> Option<BodyItem> {
        match self {
            Self::Lines(lines) => lines.finish(),
            Self::Elements(elements) => {
                elements.finish();
                None
            }
        }
    }

    /// Returns why no further item can be read.
    pub fn failure(&self) -> Option<Problem> {
        match self {
            Self::Lines(_) => None,
            Self::Elements(elements) => elements.failure().map(|error| Problem::unprocessable(error.to_string())),
        }
    }

    /// Returns the number of the current item, and whether any of it has arrived.
    pub fn current(&self) -> (u64, bool) {
        match self {
            Self::Lines(lines) => lines.current(),
            Self::Elements(elements) => elements.current(),
        }
    }
}
