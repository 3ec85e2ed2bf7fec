//! Patterns of `matches`: in the syntax of RE2, in linear time, of bounded size.

use regex_lite::{Regex, RegexBuilder};

/// Memory of a compiled pattern, at least and at most, as powers of two.
const MIN_PATTERN_BITS: usize = 9;
const MAX_PATTERN_BITS: usize = 14;
/// Of a pattern, for each byte of text: a step is then about as long as any other.
const BYTES_A_STEP: usize = 128;

/// A compiled pattern, and the steps that a byte of text under it counts for.
#[derive(Debug)]
pub struct Pattern {
    pub regex: Regex,
    pub steps: usize,
}

impl Pattern {
    /// A byte of text can meet every state of the pattern, so the steps go by the pattern's size. Its engine does not
    /// tell that, but keeps to a limit.
    pub fn compile(pattern: &str) -> Result<Self, regex_lite::Error> {
        let build = |bytes| RegexBuilder::new(pattern).size_limit(bytes).build();
        let smaller = (MIN_PATTERN_BITS..MAX_PATTERN_BITS).map(|bits| 1 << bits);
        for bytes in smaller {
            if let Ok(regex) = build(bytes) {
                return Ok(Self { regex, steps: bytes / BYTES_A_STEP });
            }
        }
        let bytes = 1 << MAX_PATTERN_BITS;
        Ok(Self { regex: build(bytes)?, steps: bytes / BYTES_A_STEP })
    }
}
