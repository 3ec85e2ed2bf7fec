//! Splits a body into lines, regardless of its chunks.

use super::body::BodyMemory;
use crate::http::problem::Problem;
use bytes::{Buf, Bytes, BytesMut};

/// A line that is not blank. `number` counts all lines of the body, from 1.
#[derive(Debug)]
pub struct BodyLine {
    pub number: u64,
    pub text: Result<Bytes, Problem>,
}

/// Splits at LF, removes a CR before it, and skips blank lines.
pub struct BodyLines {
    chunk: Bytes,
    /// The start of a line whose end has not arrived.
    partial: BytesMut,
    held: BodyMemory,
    max_line: usize,
    /// Set if the current line is already rejected. The rest of the line is discarded.
    rejected: Option<Problem>,
    /// The number of the current line.
    number: u64,
}

impl BodyLines {
    pub fn new(max_line: usize, held: BodyMemory) -> Self {
        Self { chunk: Bytes::new(), partial: BytesMut::new(), held, max_line, rejected: None, number: 1 }
    }

    /// Sets the next chunk. The previous one must have no complete line left.
    pub fn feed(&mut self, chunk: Bytes) {
        self.chunk = chunk;
    }

    /// Counts the lines that end in the chunk, up to `limit`.
    pub fn complete_lines(&self, limit: usize) -> usize {
        memchr::memchr_iter(b'\n', &self.chunk).take(limit).count()
    }

    /// Returns up to `limit` complete lines, or none if the rest of the chunk contains no line end.
    pub fn take(&mut self, limit: usize) -> Vec<BodyLine> {
        let mut found = Vec::new();
        while found.len() < limit
            && let Some(end) = memchr::memchr(b'\n', &self.chunk)
        {
            let rest = self.chunk.split_to(end);
            self.chunk.advance(1);
            found.extend(self.complete(rest));
        }
        if found.is_empty() {
            self.store_rest();
        }
        found
    }

    /// Returns the last line, which may have no line end.
    pub fn finish(&mut self) -> Option<BodyLine> {
        self.complete(Bytes::new())
    }

    /// Returns the number of the current line, and whether any of it has arrived.
    pub fn current_line(&self) -> (u64, bool) {
        (self.number, self.rejected.is_some() || !self.partial.is_empty() || !self.chunk.is_empty())
    }

    /// Stores the rest of the chunk, within the limits.
    fn store_rest(&mut self) {
        let chunk = std::mem::take(&mut self.chunk);
        let length = self.partial.len() + chunk.len();
        if self.rejected.is_none() {
            let checked = if length > self.max_line { Err(self.too_long()) } else { self.held.set(length) };
            self.rejected = checked.err();
        }
        match self.rejected {
            None => self.partial.extend_from_slice(&chunk),
            // Release the memory of the start of the line as well.
            Some(_) => {
                self.partial = BytesMut::new();
                let _ = self.held.set(0);
            }
        }
    }

    /// Completes the current line with `rest`.
    fn complete(&mut self, rest: Bytes) -> Option<BodyLine> {
        let number = self.number;
        self.number += 1;
        if let Some(problem) = self.rejected.take() {
            return Some(BodyLine { number, text: Err(problem) });
        }
        let mut line = if self.partial.is_empty() {
            rest
        } else {
            self.partial.extend_from_slice(&rest);
            self.partial.split().freeze()
        };
        if line.len() > self.max_line {
            return Some(BodyLine { number, text: Err(self.too_long()) });
        }
        if line.last() == Some(&b'\r') {
            line.truncate(line.len() - 1);
        }
        let is_blank = line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r'));
        (!is_blank).then_some(BodyLine { number, text: Ok(line) })
    }

    fn too_long(&self) -> Problem {
        let limit = self.max_line;
        Problem::too_large(format!("the line has more than {limit} bytes, the limit of --max-body"))
    }
}
