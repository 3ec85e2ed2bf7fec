//! Java's `.properties` files, as `java.util.Properties` reads them.

use std::collections::BTreeMap;

/// Names and values; of a name that comes twice the last value counts, as in Java.
pub fn parse(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
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

/// An odd number of backslashes: an even one is of escaped backslashes.
fn ends_in_continuation(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

/// At the first `=`, `:` or blank that is not escaped.
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
    while let Some((before, escaped)) = rest.split_once('\\') {
        out.push_str(before);
        let mut after = escaped.chars();
        match after.next() {
            Some('t') => out.push('\t'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('f') => out.push('\x0c'),
            Some('u') => match escaped.get(1..5).and_then(|hex| u32::from_str_radix(hex, 16).ok()) {
                Some(code) => {
                    // Half of a pair of surrogates is no character of its own.
                    out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                    after = escaped.get(5..).unwrap_or_default().chars();
                }
                None => out.push('u'),
            },
            Some(other) => out.push(other),
            None => {}
        }
        rest = after.as_str();
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_way_to_write_a_property_is_read() {
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

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "([a-z=: \\\\\nu0é]|.){0,60}") {
            parse(&text);
        }

        #[test]
        fn what_is_escaped_comes_back(name in "[a-z.]{1,9}", value in "[ -~]{0,20}") {
            // Letters that an escape gives a meaning to are written as they are.
            let escape = |c: char| if "tnrfu".contains(c) { c.to_string() } else { format!("\\{c}") };
            let escaped: String = value.chars().map(escape).collect();
            let found = parse(&format!("{name}={escaped}"));
            prop_assert_eq!(found.get(&name), Some(&value));
        }
    }
}
