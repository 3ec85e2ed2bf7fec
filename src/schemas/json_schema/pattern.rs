//! How much work a regular expression is, judged by its text.

/// Returns the number of look-arounds, back-references and possessive quantifiers of a pattern, or more. These are matched by
/// backtracking, and what is between them is compiled separately. Most other patterns take linear time.
pub fn backtracking_parts(pattern: &str) -> usize {
    let pattern = pattern.as_bytes();
    let is_group = |three: &&[u8]| matches!(three, [b'(', b'?', kind] if *kind != b':');
    let is_other =
        |two: &&[u8]| matches!(two, [b'\\', b'0'..=b'9' | b'k' | b'G' | b'K'] | [b'*' | b'+' | b'?' | b'}', b'+']);
    pattern.windows(3).filter(is_group).count() + pattern.windows(2).filter(is_other).count()
}
