//! `where=`: which records a stream wants, as an expression of the Common Expression Language
//! (<https://cel.dev>): `value.temperature > 30 && key == "boiler"`.
//!
//! Expressions come from the network and run on the threads that all streams share, so a text of any kind must
//! neither end the process nor hold it up. The crate `cel` 0.15 does: a long chain of `+` overflows its stack (an
//! abort, not a panic), nested `map`s run for hours, `matches` compiles its pattern anew for every record. So this is CEL
//! without what cannot be bounded (comprehensions, patterns from records, maps and messages written out):
//! the text's length, its nesting, a pattern's size and the steps of one evaluation have a limit each.
//!
//! What a record does not tell (no such field, another type, a number too large) is unknown, and a record
//! whose answer is unknown is not wanted. As CEL has it, `&&` and `||` need only the side that decides.

mod document;
mod evaluate;
mod functions;
mod node;
mod parse;
mod pattern;
#[cfg(test)]
mod tests;
mod time;
mod token;
mod value;

pub use document::Document;

use evaluate::Evaluation;
use node::CelNode;
use std::fmt;
use std::hash::{Hash, Hasher};

/// What an expression may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CelLimits {
    /// Characters of its text.
    pub length: usize,
    /// Of one evaluation: a part of the expression, an element compared, or 16 bytes looked at each count for one.
    pub steps: u32,
}

/// An evaluation then takes some milliseconds at most.
impl Default for CelLimits {
    fn default() -> Self {
        Self { length: 1024, steps: 1 << 18 }
    }
}

/// Levels of an expression: brackets, signs, fields of fields. Bounds the stack.
const MAX_DEPTH: usize = 32;

/// A compiled expression. Equal ones are written with the same words, whatever stands between them.
pub struct Expression {
    text: String,
    root: CelNode,
    steps: u32,
}

/// What is wrong with an expression, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileError {
    /// In characters, from 1.
    pub column: usize,
    pub problem: String,
}

impl Expression {
    pub fn compile(source: &str) -> Result<Self, CompileError> {
        Self::compile_within(source, CelLimits::default())
    }

    pub fn compile_within(source: &str, limits: CelLimits) -> Result<Self, CompileError> {
        let (root, text) = parse::parse(source, limits.length)?;
        Ok(Self { text, root, steps: limits.steps })
    }

    /// Whether the expression is true for this record, for certain.
    pub fn is_true(&self, document: &Document<'_>) -> bool {
        Evaluation::of(document, self.steps).bool(&self.root) == Ok(true)
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Expression {}

impl Hash for Expression {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

/// As it was written, but for the blanks.
impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl CompileError {
    fn new(column: usize, problem: impl Into<String>) -> Self {
        Self { column, problem: problem.into() }
    }
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "where, column {}: {}", self.column, self.problem)
    }
}

impl std::error::Error for CompileError {}
