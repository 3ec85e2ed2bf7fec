//! A parser for Java's `.properties` files, compatible with `java.util.Properties`.

use std::collections::BTreeMap;

/// Decodes UTF-8. Invalid UTF-8 is decoded as Latin-1, which Java writes. Removes a byte order mark, which would become part
/// of the first name.
pub fn decode(bytes: &[u8]) -> String {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let latin = |_| bytes.iter().map(|byte| char::from(*byte)).collect();
    std::str::from_utf8(bytes).map_or_else(latin, str::to_owned)
}

/// Returns names and values. The last value of a repeated name wins, as in Java.
pub fn parse(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut lines = text.lines().map(|line| line.trim_start_matches(BLANK));
    while let Some(line) = lines.next() {
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = line.to_owned();
        while ends_in_continuation(&logical) {
            logical.pop();
            match lines.next() {
                Some(more) => logical.push_str(more),
                None => break,
            }
        }
        let (name, value) = split(&logical);
        found.insert(unescape(name), unescape(value));
    }
    found
}

const BLANK: [char; 3] = [' ', '\t', '\x0c'];

/// Returns whether the line ends in an odd number of backslashes. An even number is escaped backslashes.
fn ends_in_continuation(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

/// Splits at the first unescaped `=`, `:` or blank.
fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = line.find(|c| {
        let ends = !escaped && (BLANK.contains(&c) || c == '=' || c == ':');
        escaped = c == '\\' && !escaped;
        ends
    });
    let (name, rest) = line.split_at_checked(end.unwrap_or(line.len())).unwrap_or((line, ""));
    let rest = rest.trim_start_matches(BLANK);
    (name, rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start_matches(BLANK))
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, escaped)) = rest.find('\\').and_then(|at| rest.split_at_checked(at)) {
        out.push_str(before);
        let (units, after) = units(escaped);
        if !units.is_empty() {
            // An unpaired surrogate is not a character.
            out.extend(char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)));
            rest = after;
            continue;
        }
        let mut after = escaped.chars();
        after.next();
        out.extend(after.next().map(|escaped| match escaped {
            't' => '\t',
            'n' => '\n',
            'r' => '\r',
            'f' => '\x0c',
            other => other,
        }));
        rest = after.as_str();
    }
    out.push_str(rest);
    out
}

/// Returns the UTF-16 units of the `\uXXXX` escapes at the start of `text`, and the rest.
fn units(text: &str) -> (Vec<u16>, &str) {
    let (mut units, mut rest) = (Vec::new(), text);
    while let Some((hex, after)) = rest.strip_prefix("\\u").and_then(|rest| rest.split_at_checked(4))
        && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
        && let Ok(unit) = u16::from_str_radix(hex, 16)
    {
        units.push(unit);
        rest = after;
    }
    (units, rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_notation_of_a_property_is_parsed() {
        let text = "# comment\n! comment too\n\n  a=1\nb = 2\nc: 3\nd 4\ne\nf = a=b:c \n\
                    long = one \\\n    two \\\n  three\nbackslash=x\\\\\nnext=1\nu=\\u00e4\\t\\q\nk\\ ey=\\=v\na=again";
        let found = parse(text);
        let expected = [
            ("a", "again"),
            ("b", "2"),
            ("backslash", "x\\"),
            ("c", "3"),
            ("d", "4"),
            ("e", ""),
            ("f", "a=b:c "),
            ("k ey", "=v"),
            ("long", "one two three"),
            ("next", "1"),
            ("u", "ä\tq"),
        ];
        let found: Vec<(&str, &str)> = found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn line_ends_and_escapes_are_those_of_java() {
        // Verified with java.util.Properties.
        let cases = [
            ("a=1\rb=2", [("a", "1"), ("b", "2")]),
            ("a=1\r\nb=2\r\n", [("a", "1"), ("b", "2")]),
            ("a=1\\\r\n 2\r\nb=3", [("a", "12"), ("b", "3")]),
            ("a=1\\\r 2\rb=3", [("a", "12"), ("b", "3")]),
            ("a=\\ud83d\\ude00x\nb=\\\\ud83d", [("a", "😀x"), ("b", "\\ud83d")]),
            ("a=\\ud83dx\nb=\\u00e4\\t\\u00F6", [("a", "\u{fffd}x"), ("b", "ä\tö")]),
        ];
        for (text, expected) in cases {
            let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
            assert_eq!(parse(text), BTreeMap::from(expected), "{text:?}");
        }
    }

    #[test]
    fn a_file_is_utf_8_with_or_without_a_mark_or_latin_1() {
        let cases: [(&[u8], &str); 4] = [
            ("ä=1".as_bytes(), "ä=1"),
            (b"\xef\xbb\xbf\xc3\xa4=1", "ä=1"),
            (b"\xe4=1", "ä=1"),
            (b"\xef\xbb\xbf\xe4=1", "ä=1"),
        ];
        for (bytes, text) in cases {
            assert_eq!(decode(bytes), text, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "([a-z=: \\\\\nu0é]|.){0,60}") {
            parse(&text);
        }

        #[test]
        fn escaped_values_round_trip(name in "[a-z.]{1,9}", value in "[ -~]{0,20}") {
            // Letters with a special escape are not escaped.
            let escape = |c: char| if "tnrfu".contains(c) { c.to_string() } else { format!("\\{c}") };
            let escaped: String = value.chars().map(escape).collect();
            let found = parse(&format!("{name}={escaped}"));
            prop_assert_eq!(found.get(&name), Some(&value));
        }
    }
}
