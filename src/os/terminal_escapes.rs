//! Escapes untrusted text for terminals. A terminal executes control sequences, which set the title, clear the screen or change
//! the clipboard (OSC 52). Line ends and bidirectional controls can forge other output.

use std::borrow::Cow;
use std::fmt::Write;
use std::io::IsTerminal;

/// The destination of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// A terminal, which must not receive control sequences.
    Terminal,
    /// A program or a file, which receives the bytes unchanged.
    Pipe,
}

/// The notation for harmful characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escapes {
    /// `\n`, `\x1b`, `\u{9b}`
    Plain,
    /// `\u001b`, which leaves the value of a JSON string unchanged.
    Json,
}

impl Destination {
    /// Whether `stream` is a terminal.
    pub fn of(stream: &impl IsTerminal) -> Self {
        if stream.is_terminal() { Self::Terminal } else { Self::Pipe }
    }

    /// Appends `bytes`, escaped where the destination is a terminal.
    pub fn write(self, out: &mut Vec<u8>, bytes: &[u8], escapes: Escapes) {
        match self {
            Self::Pipe => out.extend_from_slice(bytes),
            Self::Terminal => out.extend_from_slice(escaped(bytes, escapes).as_bytes()),
        }
    }

    /// Returns `text`, escaped where the destination is a terminal.
    pub fn text(self, text: &str) -> Cow<'_, str> {
        match self {
            Self::Terminal if text.chars().any(is_harmful) => escaped(text.as_bytes(), Escapes::Plain).into(),
            _ => text.into(),
        }
    }
}

fn escaped(bytes: &[u8], escapes: Escapes) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            // Writing to a `String` is infallible.
            let _ = match (char, escapes) {
                (char, _) if !is_harmful(char) => text.write_char(char),
                // All harmful characters are in the basic multilingual plane.
                (char, Escapes::Json) => write!(text, "\\u{:04x}", u32::from(char)),
                ('\n', _) => text.write_str("\\n"),
                ('\r', _) => text.write_str("\\r"),
                (char, _) if char.is_ascii() => write!(text, "\\x{:02x}", u32::from(char)),
                (char, _) => write!(text, "\\u{{{:x}}}", u32::from(char)),
            };
        }
        // A terminal that is not in UTF-8 mode treats 0x9b as ESC [.
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// Control characters (C0, DEL, C1) except tab, line separators, and bidirectional controls (UAX #9).
fn is_harmful(char: char) -> bool {
    match char {
        '\t' => false,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        char => char.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn on_terminal(bytes: &[u8], escapes: Escapes) -> String {
        let mut out = Vec::new();
        Destination::Terminal.write(&mut out, bytes, escapes);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn only_what_a_terminal_would_execute_is_escaped() {
        for (text, shown) in [
            ("21.5 °C\t😀 \\n", "21.5 °C\t😀 \\n"),
            ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
            ("\x1b]52;c;Y3VybA==\x1b\\", "\\x1b]52;c;Y3VybA==\\x1b\\"),
            ("x\nMessage: forged\r", "x\\nMessage: forged\\r"),
            ("\u{9b}2J\u{7f}", "\\u{9b}2J\\x7f"),
            ("a\u{202e}b\u{2066}c\u{2028}", "a\\u{202e}b\\u{2066}c\\u{2028}"),
        ] {
            assert_eq!(on_terminal(text.as_bytes(), Escapes::Plain), shown);
            assert_eq!(Destination::Terminal.text(text), shown);
            assert_eq!(Destination::Pipe.text(text), text);
        }
        assert_eq!(on_terminal(b"\xff\x9b2J", Escapes::Plain), "\\xff\\x9b2J");
        let mut raw = Vec::new();
        Destination::Pipe.write(&mut raw, b"\x1b\x9b\n", Escapes::Plain);
        assert_eq!(raw, b"\x1b\x9b\n");
    }

    proptest! {
        #[test]
        fn escaped_json_has_the_same_value(text: String) {
            let json = serde_json::Value::from(text).to_string();
            let shown = on_terminal(json.as_bytes(), Escapes::Json);
            prop_assert!(!shown.chars().any(is_harmful));
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).ok(), serde_json::from_str(&json).ok());
        }
    }
}
