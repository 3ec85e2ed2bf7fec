//! The patterns of `matches`: RE2 syntax, linear time, bounded size.

use regex_lite::{Regex, RegexBuilder};

/// The limit of memory for all compiled patterns of one expression, in bytes.
pub const MAX_BYTES: usize = 16 << 10;
/// The smallest size that is assumed for a compiled pattern.
const MIN_BYTES: usize = 512;
/// Bytes of compiled pattern that count as one step for each byte of text. That makes these steps take about as long as
/// others.
const BYTES_A_STEP: usize = 128;

/// A compiled pattern.
#[derive(Debug)]
pub struct Pattern {
    regex: Regex,
    /// An upper bound on the memory in use.
    pub bytes: usize,
}

/// Why a pattern cannot be compiled.
#[derive(Debug, thiserror::Error)]
pub enum PatternError {
    /// The other patterns of the expression use up the memory.
    #[error("the patterns of an expression take together at most {MAX_BYTES} bytes, compiled")]
    NoMemoryLeft,
    /// The pattern is not valid, or larger than the memory that is left.
    #[error(transparent)]
    Rejected(#[from] regex_lite::Error),
}

impl Pattern {
    /// Compiles a pattern of at most `most` bytes. The engine does not report a pattern's size but respects a limit, so the
    /// smallest power of two that it accepts is taken as the size.
    pub fn compile(pattern: &str, most: usize) -> Result<Self, PatternError> {
        let mut bytes = MIN_BYTES;
        let mut rejected = PatternError::NoMemoryLeft;
        while bytes <= most {
            match RegexBuilder::new(pattern).size_limit(bytes).build() {
                Ok(regex) => return Ok(Self { regex, bytes }),
                Err(error) => rejected = error.into(),
            }
            bytes *= 2;
        }
        Err(rejected)
    }

    /// The largest number of steps of a search: each byte of the text can visit every state of the pattern.
    pub fn steps(&self, text: &str) -> usize {
        text.len().saturating_mul(self.bytes / BYTES_A_STEP)
    }

    /// Returns whether the pattern occurs in `text`. The caller charges [`steps`](Self::steps) first.
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}
