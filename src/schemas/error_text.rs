//! Texts from outside in error messages of one line.

use super::encode_failure::EncodeFailure;
use super::mismatch::EncodeError;

/// The longest name or value in an error, in characters.
const MAX_SHOWN: usize = 60;

/// Returns a name or a value for an error.
pub fn shown(text: &str) -> String {
    shortened(text, MAX_SHOWN)
}

/// Returns the first `most` characters of a text on one line, with an ellipsis if there are more.
pub fn shortened(text: &str, most: usize) -> String {
    let mut chars = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut short: String = chars.by_ref().take(most).collect();
    if chars.next().is_some() {
        short.push('…');
    }
    short
}

/// Returns the part of a path that leads to a member: `.name`, or `["a name"]`.
pub fn member_path(name: &str) -> String {
    let is_plain = (1..=MAX_SHOWN).contains(&name.len()) && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    if is_plain { format!(".{name}") } else { format!("[{:?}]", shown(name)) }
}

/// Returns an error about a whole value.
pub fn invalid_value(reason: String) -> EncodeFailure {
    EncodeError { path: String::new(), reason }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_one_short_line() {
        assert_eq!(shortened("a\nb", 3), "a b");
        assert_eq!(shortened("äöü!", 3), "äöü…");
        for (name, path) in
            [("site", ".site"), ("ort_ö", ".ort_ö"), ("", "[\"\"]"), ("a b", "[\"a b\"]"), ("@t", "[\"@t\"]")]
        {
            assert_eq!(member_path(name), path);
        }
        assert_eq!(member_path(&"x".repeat(100)), format!("[\"{}…\"]", "x".repeat(60)));
    }
}
