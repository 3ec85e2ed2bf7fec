//! Patterns of `matches`: in the syntax of RE2, in linear time, of bounded size.

use regex_lite::{Regex, RegexBuilder};

/// Memory of all compiled patterns of one expression.
pub const MAX_BYTES: usize = 16 << 10;
/// What a pattern takes at least.
const MIN_BYTES: usize = 512;
/// Of a pattern, for each byte of text: a step is then about as long as any other.
const BYTES_A_STEP: usize = 128;

/// A compiled pattern.
#[derive(Debug)]
pub struct Pattern {
    regex: Regex,
    /// Memory that it may take.
    pub bytes: usize,
}

impl Pattern {
    /// The engine does not tell a pattern's size, but keeps to a limit: the smallest that does is taken for it.
    pub fn compile(pattern: &str, most: usize) -> Result<Self, String> {
        let mut bytes = MIN_BYTES;
        let mut refused = format!("the patterns of an expression take together at most {MAX_BYTES} bytes, compiled");
        while bytes <= most {
            match RegexBuilder::new(pattern).size_limit(bytes).build() {
                Ok(regex) => return Ok(Self { regex, bytes }),
                Err(error) => refused = error.to_string(),
            }
            bytes *= 2;
        }
        Err(refused)
    }

    /// What a search takes at most: each byte of the text can meet every state of the pattern.
    pub fn steps(&self, text: &str) -> usize {
        text.len().saturating_mul(self.bytes / BYTES_A_STEP)
    }

    pub fn is_in(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}
