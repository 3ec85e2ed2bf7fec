//! Splits an expression into tokens.

use super::CompileError;

/// A lexical element of an expression.
#[derive(Debug, Clone, PartialEq)]
pub enum CelToken {
    /// The magnitude of an int. The sign is an operator.
    Int(u64),
    /// A number with the suffix `u` that does not fit an int.
    Uint(u64),
    Double(f64),
    String(String),
    Bytes(Vec<u8>),
    /// A variable, field, function or keyword.
    Name(String),
    Symbol(&'static str),
    End,
}

/// A token with its column and text.
#[derive(Debug, Clone)]
pub struct LocatedToken<'s> {
    pub token: CelToken,
    /// The column in characters, from 1.
    pub column: usize,
    pub text: &'s str,
}

/// Longer symbols come first, so that `<=` is not read as `<`.
const SYMBOLS: [&str; 24] = [
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "+", "-", "*", "/", "%", "(", ")", "[", "]", ".", ",", "?", ":",
    "{", "}",
];

/// Splits an expression into tokens, of which the last is [`CelToken::End`].
pub fn tokenize(source: &str) -> Result<Vec<LocatedToken<'_>>, CompileError> {
    let mut tokens = Vec::new();
    let mut scanner = Scanner { rest: source, column: 1 };
    loop {
        scanner.skip_blanks();
        let (start, column) = (scanner.rest, scanner.column);
        let token = scanner.token()?;
        let text = start.get(..start.len() - scanner.rest.len()).unwrap_or_default();
        let is_end = token == CelToken::End;
        tokens.push(LocatedToken { token, column, text });
        if is_end {
            return Ok(tokens);
        }
    }
}

struct Scanner<'s> {
    rest: &'s str,
    column: usize,
}

impl<'s> Scanner<'s> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next()?;
        self.rest = chars.as_str();
        self.column += 1;
        Some(next)
    }

    fn eat(&mut self, text: &str) -> bool {
        let Some(rest) = self.rest.strip_prefix(text) else { return false };
        self.rest = rest;
        self.column += text.chars().count();
        true
    }

    fn take_while(&mut self, accepts: impl Fn(char) -> bool) -> &'s str {
        let start = self.rest;
        while self.peek().is_some_and(&accepts) {
            self.bump();
        }
        start.get(..start.len() - self.rest.len()).unwrap_or_default()
    }

    fn skip_blanks(&mut self) {
        self.take_while(char::is_whitespace);
        while self.rest.starts_with("//") {
            self.take_while(|c| c != '\n');
            self.take_while(char::is_whitespace);
        }
    }

    fn token(&mut self) -> Result<CelToken, CompileError> {
        let Some(first) = self.peek() else { return Ok(CelToken::End) };
        let second_is_digit = self.rest.chars().nth(1).is_some_and(|c| c.is_ascii_digit());
        if first.is_ascii_digit() || first == '.' && second_is_digit {
            return self.number();
        }
        if let Some(text) = self.text()? {
            return Ok(text);
        }
        if first.is_ascii_alphabetic() || first == '_' {
            return Ok(CelToken::Name(self.take_while(|c| c.is_ascii_alphanumeric() || c == '_').to_owned()));
        }
        match SYMBOLS.into_iter().find(|symbol| self.eat(symbol)) {
            Some(symbol) => Ok(CelToken::Symbol(symbol)),
            None if first == '=' => Err(CompileError::new(self.column, "= is not an operator; to compare, write ==")),
            None => Err(CompileError::new(self.column, format!("{first:?} is not allowed here"))),
        }
    }

    fn number(&mut self) -> Result<CelToken, CompileError> {
        let (start, column) = (self.rest, self.column);
        let too_large = || CompileError::new(column, "this number is too large");
        let token = if self.eat("0x") || self.eat("0X") {
            CelToken::Int(u64::from_str_radix(self.take_while(|c| c.is_ascii_hexdigit()), 16).map_err(|_| too_large())?)
        } else {
            self.take_while(|c| c.is_ascii_digit());
            let mut is_double = false;
            let mut ahead = self.rest.chars();
            if ahead.next() == Some('.') && ahead.next().is_some_and(|c| c.is_ascii_digit()) {
                is_double = true;
                self.bump();
                self.take_while(|c| c.is_ascii_digit());
            }
            if self.eat("e") || self.eat("E") {
                is_double = true;
                let _ = self.eat("+") || self.eat("-");
                self.take_while(|c| c.is_ascii_digit());
            }
            let text = start.get(..start.len() - self.rest.len()).unwrap_or_default();
            if is_double {
                let number: f64 = text.parse().map_err(|_| CompileError::new(column, "this is not a number"))?;
                CelToken::Double(Some(number).filter(|n| n.is_finite()).ok_or_else(too_large)?)
            } else {
                CelToken::Int(text.parse().map_err(|_| too_large())?)
            }
        };
        // An unsigned number that fits an int becomes an int, because JSON does not distinguish the two.
        let token = match token {
            CelToken::Int(magnitude) if (self.eat("u") || self.eat("U")) && i64::try_from(magnitude).is_err() => {
                CelToken::Uint(magnitude)
            }
            other => other,
        };
        match self.peek() {
            Some(c) if c.is_alphanumeric() || c == '_' => {
                Err(CompileError::new(self.column, format!("{c:?} cannot follow a number")))
            }
            _ => Ok(token),
        }
    }

    /// Reads a string or bytes literal, if one starts here.
    fn text(&mut self) -> Result<Option<CelToken>, CompileError> {
        let column = self.column;
        let prefix: &str = {
            let letters = self.rest.chars().take_while(|c| matches!(c, 'r' | 'R' | 'b' | 'B')).count();
            match self.rest.chars().nth(letters) {
                Some('"' | '\'') if letters <= 2 => self.rest.get(..letters).unwrap_or_default(),
                _ => return Ok(None),
            }
        };
        let (is_raw, is_bytes) = (prefix.contains(['r', 'R']), prefix.contains(['b', 'B']));
        self.eat(prefix);
        let quotes = ["\"\"\"", "'''", "\"", "'"];
        let Some(quote) = quotes.into_iter().find(|quote| self.eat(quote)) else { return Ok(None) };
        let mut bytes = Vec::new();
        while !self.eat(quote) {
            let at = self.column;
            match self.bump() {
                None | Some('\n' | '\r') if quote.len() == 1 => return Err(unterminated(column)),
                None => return Err(unterminated(column)),
                Some('\\') if !is_raw => self.escape(&mut bytes, is_bytes, at)?,
                Some(c) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        if is_bytes {
            return Ok(Some(CelToken::Bytes(bytes)));
        }
        let text = String::from_utf8(bytes).map_err(|_| CompileError::new(column, "this string is not UTF-8"))?;
        Ok(Some(CelToken::String(text)))
    }

    fn escape(&mut self, bytes: &mut Vec<u8>, is_bytes: bool, column: usize) -> Result<(), CompileError> {
        let unknown = || {
            CompileError::new(
                column,
                r#"this escape is unknown; allowed are \\ \" \' \` \? \a \b \f \n \r \t \v \xHH \OOO \uHHHH \UHHHHHHHH"#,
            )
        };
        let kind = self.bump().ok_or_else(unknown)?;
        let simple = match kind {
            '\\' | '"' | '\'' | '`' | '?' => kind,
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            'x' | 'X' | 'u' | 'U' | '0'..='3' => {
                let (first, digits, radix) = match kind {
                    'x' | 'X' => (0, 2, 16),
                    'u' => (0, 4, 16),
                    'U' => (0, 8, 16),
                    octal => (octal.to_digit(8).unwrap_or_default(), 2, 8),
                };
                let mut code = first;
                for _ in 0..digits {
                    let digit = self.bump().and_then(|c| c.to_digit(radix)).ok_or_else(unknown)?;
                    code = code.checked_mul(radix).and_then(|c| c.checked_add(digit)).ok_or_else(unknown)?;
                }
                // In a bytes literal, \xHH and \OOO stand for one byte each.
                if is_bytes && !matches!(kind, 'u' | 'U') {
                    bytes.push(u8::try_from(code).map_err(|_| unknown())?);
                    return Ok(());
                }
                char::from_u32(code).ok_or_else(unknown)?
            }
            _ => return Err(unknown()),
        };
        bytes.extend_from_slice(simple.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }
}

fn unterminated(column: usize) -> CompileError {
    CompileError::new(column, "this string does not end")
}
