//! The words in `forbidden.txt` (one phrase per line) do not occur in text that people read.
//!
//! They count in comments, strings and names (`made_anew`, `BELIEVED`), in any case, and across the lines of a comment.

use super::exceptions::{self, Found};
use super::source::{files, text};

const DIRECTORIES: [&str; 7] = ["src", "tests", "integration", "docs", "examples", ".ci", ".github"];
const WRITES_THEM: [&str; 2] = ["tests/suite/tidy/words.rs", "tests/suite/tidy/forbidden.txt"];
const FORBIDDEN: &str = include_str!("forbidden.txt");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    /// Punctuation, which ends a phrase.
    Break,
    /// White space or a comment marker.
    Space,
    /// Inside a name: `_` or a capital letter.
    Join,
}

struct Word<'a> {
    text: &'a str,
    line: usize,
    before: Before,
    /// Whether it directly follows a `.` or `::`, like the name of a method.
    is_called: bool,
}

fn words(text: &str) -> Vec<Word<'_>> {
    let bytes = text.as_bytes();
    let mut words = Vec::new();
    let (mut at, mut line, mut before) = (0, 1, Before::Break);
    while let Some(&byte) = bytes.get(at) {
        let start = at;
        if is_letter(byte) {
            at += 1;
            while bytes.get(at).is_some_and(|b| is_letter(*b)) && !(is_small(bytes[at - 1]) && is_capital(bytes[at])) {
                at += 1;
            }
            let is_called = start > 0 && matches!(bytes[start - 1], b'.' | b':');
            words.push(Word { text: &text[start..at], line, before, is_called });
            before = Before::Join;
            continue;
        }
        line += usize::from(byte == b'\n');
        before = match byte {
            b'_' if before == Before::Join => Before::Join,
            // Comment markers, Markdown markers, and the backslash at the end of a line in a string.
            b'_' | b'-' | b'/' | b'!' | b'*' | b'#' | b'>' | b'\\' if before != Before::Break => Before::Space,
            byte if byte.is_ascii_whitespace() && before != Before::Break => Before::Space,
            _ => Before::Break,
        };
        at += 1;
    }
    words
}

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'\'' || !byte.is_ascii()
}

fn is_small(byte: u8) -> bool {
    byte.is_ascii_lowercase()
}

fn is_capital(byte: u8) -> bool {
    byte.is_ascii_uppercase()
}

/// Returns the forbidden phrases in `text` with their lines.
fn forbidden_in(text: &str) -> Vec<(&'static str, usize)> {
    let phrases: Vec<(&str, Vec<&str>)> =
        FORBIDDEN.lines().map(|phrase| (phrase, phrase.split(' ').collect())).collect();
    let words = words(text);
    let mut found = Vec::new();
    for at in 0..words.len() {
        for (phrase, parts) in &phrases {
            if words[at].text.len() != parts[0].len() {
                continue;
            }
            let Some(here) = words.get(at..at + parts.len()) else { continue };
            let next = words.get(at + parts.len());
            if here.iter().zip(parts).all(|(word, part)| word.text.eq_ignore_ascii_case(part)) && is_phrase(here, next)
            {
                found.push((*phrase, here[0].line));
            }
        }
    }
    found
}

/// Whether the words form a phrase: all are part of one name, or none is part of a name with other words (`let
/// in_flight`). Methods do not count, because other crates name them (`Option::is_none`).
fn is_phrase(words: &[Word], next: Option<&Word>) -> bool {
    let [first, rest @ ..] = words else { return false };
    let is_in_name = |word: &Word| word.before == Before::Join;
    if rest.is_empty() {
        true
    } else if rest.iter().all(is_in_name) {
        !first.is_called
    } else {
        rest.iter().all(|word| word.before == Before::Space) && !is_in_name(first) && !next.is_some_and(is_in_name)
    }
}

#[test]
fn texts_are_in_plain_english() {
    let is_read = |path: &String| {
        let name = path.rsplit('/').next().unwrap_or(path);
        !name.contains("lock") && !name.ends_with(".pem") && !WRITES_THEM.contains(&path.as_str())
    };
    let mut paths = files(&DIRECTORIES);
    let in_root = std::fs::read_dir(super::source::root()).unwrap().map(|entry| entry.unwrap());
    let in_root = in_root.filter(|entry| entry.file_type().unwrap().is_file());
    paths.extend(in_root.map(|entry| entry.file_name().to_string_lossy().into_owned()));
    let mut found = Found::new();
    for path in paths.into_iter().filter(is_read) {
        let locations: Vec<String> = forbidden_in(&text(&path).unwrap_or_default())
            .iter()
            .map(|(phrase, line)| format!("{path}:{line}: {phrase}"))
            .collect();
        if !locations.is_empty() {
            found.insert(path, locations);
        }
    }
    let rule = "the words in tests/suite/tidy/forbidden.txt do not occur";
    exceptions::check(rule, "words.txt", &found);
}

#[test]
fn a_phrase_is_found_in_comments_and_names() {
    let found = |text: &str| forbidden_in(text).into_iter().map(|(phrase, _)| phrase).collect::<Vec<_>>();
    for text in [
        "a log of its own.",
        "//! of its\n    //! own",
        "fn log_of_its_own()",
        "OfItsOwn",
        "of-its-own",
        "Of *its own*",
    ] {
        assert_eq!(found(text), ["of its own"], "{text:?}");
    }
    for text in
        ["it is, of its. Own", "smallest, Celestial", "x.is_none() Option::is_none", "let in_flight", "for whom"]
    {
        assert_eq!(found(text), [""; 0], "{text:?}");
    }
    assert_eq!(forbidden_in("x\n// made\n// ANEW"), [("anew", 3)]);
}
