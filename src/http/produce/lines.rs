//! Splits a body into lines, or into the texts of `application/json-seq` (RFC 7464), regardless of its chunks.

use super::json;
use super::partial_item::{BodyItem, PartialItem};
use crate::http::problem::Problem;
use bytes::{Buf, Bytes};

/// The byte between two items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delimiter {
    /// Ends a line. A CR before it is removed.
    LineFeed,
    /// Starts a text. White space around the text is removed.
    RecordSeparator,
}

impl Delimiter {
    fn byte(self) -> u8 {
        match self {
            Self::LineFeed => b'\n',
            Self::RecordSeparator => 0x1e,
        }
    }
}

/// Skips blank items.
pub struct BodyLines {
    chunk: Bytes,
    item: PartialItem,
    delimiter: Delimiter,
}

impl BodyLines {
    pub fn new(item: PartialItem, delimiter: Delimiter) -> Self {
        Self { chunk: Bytes::new(), item, delimiter }
    }

    /// Sets the next chunk. The previous one must have no complete line left.
    pub fn feed(&mut self, chunk: Bytes) {
        self.chunk = chunk;
    }

    /// Counts the lines that end in the chunk, up to `limit`.
    pub fn complete_items(&self, limit: usize) -> usize {
        memchr::memchr_iter(self.delimiter.byte(), &self.chunk).take(limit).count()
    }

    /// Returns up to `limit` complete lines, or none if the rest of the chunk contains no line end.
    pub fn take(&mut self, limit: usize) -> Vec<BodyItem> {
        let mut found = Vec::new();
        while found.len() < limit
            && let Some(end) = memchr::memchr(self.delimiter.byte(), &self.chunk)
        {
            let rest = self.chunk.split_to(end);
            self.chunk.advance(1);
            found.extend(self.complete(rest));
        }
        if found.is_empty() {
            self.item.store(&std::mem::take(&mut self.chunk));
        }
        found
    }

    /// Returns the last line, which may have no line end.
    pub fn finish(&mut self) -> Option<BodyItem> {
        self.complete(Bytes::new())
    }

    /// Returns the number of the current line, and whether any of it has arrived.
    pub fn current(&self) -> (u64, bool) {
        (self.item.number(), self.item.is_begun() || !self.chunk.is_empty())
    }

    /// Completes the current line with `rest`.
    fn complete(&mut self, rest: Bytes) -> Option<BodyItem> {
        let BodyItem { number, text } = self.item.complete(rest);
        let text = match (text, self.delimiter) {
            (Ok(mut line), Delimiter::LineFeed) => {
                if line.last() == Some(&b'\r') {
                    line.truncate(line.len() - 1);
                }
                let is_blank = line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r'));
                (!is_blank).then_some(Ok(line))?
            }
            (Ok(text), Delimiter::RecordSeparator) => whole_text(&text)?,
            (Err(problem), _) => Err(problem),
        };
        Some(BodyItem { number, text })
    }
}

/// Returns the text without the white space around it; `None` if it is blank. A number or a literal without white space
/// after it may have been cut (RFC 7464, section 2.4).
fn whole_text(bytes: &Bytes) -> Option<Result<Bytes, Problem>> {
    let text = bytes.slice_ref(json::trim(bytes));
    let last = text.last()?;
    match matches!(last, b'}' | b']' | b'"') || bytes.last() != Some(last) {
        true => Some(Ok(text)),
        false => Some(Err(Problem::unprocessable(
            "the text may have been cut off: end a number, true, false and null with a line feed (RFC 7464, section 2.4)",
        ))),
    }
}
