//! Splits Rust source into tokens, without comments and without test code.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A name, a keyword or a number.
    Word,
    /// A string literal.
    Text,
    Mark,
}

#[derive(Debug, Clone, Copy)]
pub struct Token {
    pub kind: Kind,
    pub text: &'static str,
    pub start: usize,
    /// The line of its first byte, starting at 1.
    pub line: usize,
}

impl Token {
    pub fn is(&self, text: &str) -> bool {
        self.kind != Kind::Text && self.text == text
    }
}

pub fn tokens(source: &'static str) -> Vec<Token> {
    let bytes = source.as_bytes();
    let mut found = Vec::new();
    let (mut at, mut line) = (0, 1);
    while let Some(&byte) = bytes.get(at) {
        let start = at;
        let mut kind = Kind::Mark;
        match byte {
            b'/' if bytes[at..].starts_with(b"//") => at = end_of_line(bytes, at),
            b'/' if bytes[at..].starts_with(b"/*") => at = end_of_comment(bytes, at),
            b'"' => (at, kind) = (end_of_string(bytes, at), Kind::Text),
            b'r' if hashes(bytes, at + 1).is_some() => (at, kind) = (end_of_raw_string(bytes, at + 1), Kind::Text),
            b'\'' => at = end_of_quote(source, at),
            b':' if bytes[at..].starts_with(b"::") => at += 2,
            _ if is_in_word(byte) => {
                at += bytes[at..].iter().take_while(|b| is_in_word(**b)).count();
                // The prefix of a byte string; the string itself is the next token.
                if matches!(&bytes[start..at], b"br" | b"cr") && hashes(bytes, at).is_some() {
                    (at, kind) = (end_of_raw_string(bytes, at), Kind::Text);
                } else {
                    kind = Kind::Word;
                }
            }
            _ => at += 1,
        }
        let text = &source[start..at];
        if !byte.is_ascii_whitespace() && !text.starts_with("//") && !text.starts_with("/*") {
            found.push(Token { kind, text, start, line });
        }
        line += text.bytes().filter(|b| *b == b'\n').count();
    }
    found
}

/// Bytes above ASCII count as letters, so that a token never ends inside a character.
fn is_in_word(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric() || !byte.is_ascii()
}

fn end_of_line(bytes: &[u8], at: usize) -> usize {
    at + bytes[at..].iter().take_while(|b| **b != b'\n').count()
}

fn end_of_comment(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0;
    loop {
        match bytes.get(at..at + 2) {
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") if depth == 1 => return at + 2,
            Some(b"*/") => (depth, at) = (depth - 1, at + 2),
            Some(_) => at += 1,
            None => return bytes.len(),
        }
    }
}

fn end_of_string(bytes: &[u8], mut at: usize) -> usize {
    at += 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Returns the number of hashes before the quote of a raw string at `at`, or `None` if there is no such string.
fn hashes(bytes: &[u8], at: usize) -> Option<usize> {
    let count = bytes[at..].iter().take_while(|b| **b == b'#').count();
    (bytes.get(at + count) == Some(&b'"')).then_some(count)
}

fn end_of_raw_string(bytes: &[u8], at: usize) -> usize {
    let count = hashes(bytes, at).unwrap_or_default();
    let end = [b"\"".as_slice(), &vec![b'#'; count]].concat();
    let body = at + count + 1;
    bytes[body..].windows(end.len()).position(|w| w == end).map_or(bytes.len(), |found| body + found + end.len())
}

/// Returns the end of a character literal, or of the quote of a lifetime.
fn end_of_quote(source: &str, at: usize) -> usize {
    let mut rest = source[at + 1..].char_indices();
    match (rest.next(), rest.next()) {
        (Some((_, '\\')), _) => {
            // The character after a backslash may be a quote.
            source[at + 3..].find('\'').map_or(source.len(), |found| at + 3 + found + 1)
        }
        (_, Some((next, '\''))) => at + 1 + next + 1,
        _ => at + 1,
    }
}

/// Code without `#[cfg(test)]` items.
pub struct Code {
    pub tokens: Vec<Token>,
    /// The modules declared with `#[cfg(test)]`.
    pub test_modules: Vec<TestModule>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct TestModule {
    pub name: &'static str,
    /// The path in its `#[path = "…"]`.
    pub path: Option<&'static str>,
}

pub fn without_tests(tokens: Vec<Token>) -> Code {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut code = Code { tokens: Vec::new(), test_modules: Vec::new() };
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let rest = &tokens[at..];
        if rest.len() > MARK.len() && MARK.iter().zip(rest).all(|(mark, token)| token.is(mark)) {
            let item = &rest[..end_of_item(rest)];
            code.test_modules.extend(test_module(item));
            at += item.len();
        } else {
            code.tokens.push(*token);
            at += 1;
        }
    }
    code
}

/// Returns the end of an item with its attributes: the index after a `;`, or after the `}` of its last block.
fn end_of_item(tokens: &[Token]) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().filter(|(_, t)| t.kind == Kind::Mark) {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" => depth -= 1,
            "}" if depth == 1 => return at + 1,
            "}" => depth -= 1,
            ";" if depth == 0 => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}

fn test_module(item: &[Token]) -> Option<TestModule> {
    let at = item.windows(3).position(|w| w[0].is("mod") && (w[2].is(";") || w[2].is("{")))?;
    let path = item[..at].windows(3).find(|w| w[0].is("path") && w[1].is("=")).map(|w| w[2].text.trim_matches('"'));
    Some(TestModule { name: item[at + 1].text, path })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &'static str) -> Vec<&'static str> {
        without_tests(tokens(source)).tokens.iter().map(|t| t.text).collect()
    }

    #[test]
    fn comments_are_removed_and_strings_are_single_tokens() {
        assert_eq!(words("a // b \"c\n/* d /* e */ f */ g"), ["a", "g"]);
        assert_eq!(words(r###"f("// \" é", r#"a"b"#, br"c") 'x"###).len(), 10);
        assert_eq!(
            words("'\"' '\\'' '\\u{1F426}' '🐦' b'\\\\' x::y"),
            ["'\"'", "'\\''", "'\\u{1F426}'", "'🐦'", "b", "'\\\\'", "x", "::", "y"]
        );
    }

    #[test]
    fn test_items_are_removed() {
        assert_eq!(
            words("#[cfg(test)]\n#[allow(x)]\nmod tests { fn f() { if a {} } } fn g() {}"),
            ["fn", "g", "(", ")", "{", "}"]
        );
        let code = without_tests(tokens("#[cfg(test)]\n#[path = \"a_tests.rs\"]\nmod tests;\nmod b;"));
        assert_eq!(code.test_modules, [TestModule { name: "tests", path: Some("a_tests.rs") }]);
        assert_eq!(code.tokens.len(), 3);
    }
}
