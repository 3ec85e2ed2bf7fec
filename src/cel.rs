//! The filters of `where=`: boolean expressions over records, in a subset of the Common Expression Language
//! (<https://cel.dev>), such as `value.temperature > 30 && key == "boiler"`.
//!
//! Expressions come from the network and run on threads that all streams share, so no expression may crash or block the
//! process. The crate `cel` 0.15 does not guarantee that: a long chain of `+` overflows its stack (an abort, not a panic),
//! nested `map`s run for hours, and `matches` compiles its pattern again for every record. Hence this subset, which leaves
//! out everything without a bound (comprehensions, patterns taken from records, map and message literals) and limits the
//! length and nesting of an expression, the size of its patterns and the steps of one evaluation.
//!
//! A value that cannot be computed from a record (a missing field, another type, an overflow) is unknown, and a record
//! whose result is unknown does not match. As in CEL, `&&` and `||` have a result if one side determines it.
//!
//! ```
//! use curlew::cel::{Document, Expression};
//! use curlew::record::{Records, TopicName};
//!
//! let expression = Expression::compile(r#"value.temperature > 30 && key == "boiler""#)?;
//!
//! let mut records = Records::over("boiler{\"temperature\":31.5}".into());
//! records.push(0, 1_769_846_400_000, Some(0..6), Some(6..26));
//! let topic = TopicName::new("readings")?;
//! for record in records.iter() {
//!     assert!(expression.is_true(&Document::new(&topic, 0, record)));
//! }
//!
//! let error = Expression::compile("value.temperature >").unwrap_err();
//! assert_eq!(error.to_string(), "where, column 20: expected a value, found the end");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![deny(missing_docs)]

mod budget;
mod document;
mod evaluate;
mod functions;
mod node;
mod parse;
mod path;
mod pattern;
#[cfg(test)]
mod tests;
mod time;
mod token;
mod value;

pub use document::Document;
pub use node::Variable;
pub use path::{FieldPath, InvalidPaths, PathStep};

use evaluate::Evaluation;
use node::CelNode;
use std::fmt;
use std::hash::{Hash, Hasher};
use thiserror::Error;

/// The limits of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CelLimits {
    /// The length of its text, in characters.
    pub length: usize,
    /// The steps of one evaluation. Each part of the expression, each compared element and each 16 bytes of text read
    /// count as one step.
    pub steps: u32,
}

/// With these limits an evaluation takes a few milliseconds at most.
impl Default for CelLimits {
    fn default() -> Self {
        Self { length: 1024, steps: 1 << 18 }
    }
}

/// The deepest nesting of an expression: brackets, signs, fields of fields. Bounds the stack.
const MAX_DEPTH: usize = 32;

/// A compiled expression. Two are equal if they consist of the same tokens; white space and comments do not count.
pub struct Expression {
    text: String,
    root: CelNode,
    steps: u32,
}

/// An error in the text of an expression, and its column.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("where, column {column}: {problem}")]
pub struct CompileError {
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong there.
    pub problem: String,
}

/// Whether a record matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The record matches.
    Matches,
    /// The record does not match.
    Differs,
    /// Unknown, because the key or value could not be decoded by its schema.
    Undecoded,
}

impl Expression {
    /// Compiles an expression within the default limits.
    pub fn compile(source: &str) -> Result<Self, CompileError> {
        Self::compile_within(source, CelLimits::default())
    }

    /// Compiles an expression within `limits`. Fails if it is not valid, if it is too long or nested too deeply, or if its
    /// result is certainly not a bool.
    pub fn compile_within(source: &str, limits: CelLimits) -> Result<Self, CompileError> {
        let (root, text) = parse::parse(source, limits.length)?;
        Ok(Self { text, root, steps: limits.steps })
    }

    /// Whether the record matches. An unknown result does not match.
    pub fn is_true(&self, document: &Document<'_>) -> bool {
        self.verdict(document) == Verdict::Matches
    }

    /// Whether the record matches, or why that is unknown.
    pub fn verdict(&self, document: &Document<'_>) -> Verdict {
        Evaluation::of(document, self.steps).verdict(&self.root)
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

/// The source text with normalized white space and without comments.
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
