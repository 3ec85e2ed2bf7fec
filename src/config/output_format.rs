//! The formats of `consume --output`: `value`, `json`, `exact`, or a template with kcat's tokens.

use super::invalid_settings::InvalidSettings;
use crate::http::event::csv;
use crate::http::event::projection::Projection;
use bytes::Bytes;
use std::sync::Arc;
use thiserror::Error;

/// The format of `consume` if --output is not given.
pub const DEFAULT_OUTPUT: &str = r"Message: %v\n";

/// The format in which `consume` prints a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputFormat {
    /// The JSON envelope, one per line.
    Json,
    /// The exact JSON envelope, one per line, which `produce --format record` reads.
    Exact,
    Format(Vec<FormatToken>),
    /// The fields of --select, as one JSON object per line.
    Fields(Arc<Projection>),
    /// The fields of --select, as CSV.
    Csv(Arc<Projection>),
}

/// An element of a format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FormatToken {
    Text(Vec<u8>),
    Topic,
    Partition,
    Offset,
    Key,
    /// Length of the key in bytes; -1 for null.
    KeyLength,
    Value,
    /// Length of the value in bytes; -1 for null.
    ValueLength,
    /// [`ValueLength`](Self::ValueLength) as a big-endian 32-bit integer.
    ValueLengthBinary,
    /// Milliseconds since the epoch; -1 without a timestamp.
    Timestamp,
    /// `name=value,name=value`; null prints as NULL, as with kcat.
    Headers,
}

impl OutputFormat {
    /// Parses `value`, `json`, `exact` or a template.
    pub fn parse(text: &str) -> Result<Self, OutputFormatError> {
        match text {
            "json" => Ok(Self::Json),
            "exact" => Ok(Self::Exact),
            "csv" => Ok(Self::Csv(Arc::default())),
            "value" => Ok(Self::of_values()),
            _ if !text.contains(['%', '\\']) => Err(OutputFormatError::UnknownFormat(text.to_owned())),
            _ => tokens(text).map(Self::Format),
        }
    }

    /// The value, and a line end.
    pub fn of_values() -> Self {
        Self::Format(vec![FormatToken::Value, FormatToken::Text(b"\n".to_vec())])
    }

    /// The key, a separator, the value, and a line end.
    pub fn with_keys(separator: Vec<u8>) -> Self {
        let line_end = FormatToken::Text(b"\n".to_vec());
        Self::Format(vec![FormatToken::Key, FormatToken::Text(separator), FormatToken::Value, line_end])
    }

    /// Returns the format that prints these fields, if there is one like it.
    pub fn of_fields(&self, fields: Option<&Arc<Projection>>) -> Result<Self, InvalidSettings> {
        let default = || Self::parse(DEFAULT_OUTPUT).is_ok_and(|default| *self == default);
        match (self, fields) {
            (Self::Csv(_), None) => Err(InvalidSettings::CsvWithoutSelect),
            (Self::Csv(_), Some(fields)) => Ok(Self::Csv(fields.clone())),
            (_, None) => Ok(self.clone()),
            (Self::Json, Some(fields)) => Ok(Self::Fields(fields.clone())),
            (_, Some(fields)) if default() => Ok(Self::Fields(fields.clone())),
            (_, Some(_)) => Err(InvalidSettings::SelectWithOutput),
        }
    }

    /// Returns what is printed before the first record.
    pub fn head(&self) -> Bytes {
        if let Self::Csv(fields) = self { csv::header_line(fields) } else { Bytes::new() }
    }

    /// Whether the format uses only the value of records.
    pub fn is_value_only(&self) -> bool {
        match self {
            Self::Json | Self::Exact | Self::Fields(_) | Self::Csv(_) => false,
            Self::Format(tokens) => tokens.iter().all(|t| {
                matches!(
                    t,
                    FormatToken::Text(_)
                        | FormatToken::Value
                        | FormatToken::ValueLength
                        | FormatToken::ValueLengthBinary
                )
            }),
        }
    }
}

/// An invalid output format.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OutputFormatError {
    #[error(
        "{0:?} is not an output format; give value, json, exact, csv (with --select) or a format such as '%t/%p/%o: %v\\n'"
    )]
    UnknownFormat(String),
    /// A percent sign or a backslash with the character after it, if any.
    #[error("{0} is unknown; {ALLOWED}")]
    UnknownToken(String),
    #[error("\\x takes two hexadecimal digits; {ALLOWED}")]
    InvalidByte,
}

impl OutputFormatError {
    fn unknown_token(first: char, second: Option<char>) -> Self {
        Self::UnknownToken(std::iter::once(first).chain(second).collect())
    }
}

fn tokens(format: &str) -> Result<Vec<FormatToken>, OutputFormatError> {
    let mut tokens = Vec::new();
    let mut text = Vec::new();
    let mut chars = format.chars();
    while let Some(char) = chars.next() {
        match char {
            '%' => match token(chars.next())? {
                Some(token) => {
                    if !text.is_empty() {
                        tokens.push(FormatToken::Text(std::mem::take(&mut text)));
                    }
                    tokens.push(token);
                }
                None => text.push(b'%'),
            },
            '\\' => text.push(match chars.next() {
                Some('n') => b'\n',
                Some('t') => b'\t',
                Some('r') => b'\r',
                Some('0') => 0,
                Some('\\') => b'\\',
                Some('x') => hex(chars.next(), chars.next())?,
                other => return Err(OutputFormatError::unknown_token('\\', other)),
            }),
            char => text.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    if !text.is_empty() {
        tokens.push(FormatToken::Text(text));
    }
    Ok(tokens)
}

const ALLOWED: &str = "allowed are %t topic, %p partition, %o offset, %k key, %v or %s value, %T timestamp in ms, %h headers, \
                    %K and %S lengths of key and value, %R the value's length in binary, %%, \\n \\t \\r \\0 \\\\ and \\xNN";

/// Parses the letter after a percent sign. Returns `None` for a literal percent sign.
fn token(letter: Option<char>) -> Result<Option<FormatToken>, OutputFormatError> {
    Ok(Some(match letter {
        Some('%') => return Ok(None),
        Some('t') => FormatToken::Topic,
        Some('p') => FormatToken::Partition,
        Some('o') => FormatToken::Offset,
        Some('k') => FormatToken::Key,
        Some('K') => FormatToken::KeyLength,
        Some('v' | 's') => FormatToken::Value,
        Some('S') => FormatToken::ValueLength,
        Some('R') => FormatToken::ValueLengthBinary,
        Some('T') => FormatToken::Timestamp,
        Some('h') => FormatToken::Headers,
        other => return Err(OutputFormatError::unknown_token('%', other)),
    }))
}

fn hex(high: Option<char>, low: Option<char>) -> Result<u8, OutputFormatError> {
    let digit = |c: Option<char>| c.and_then(|c| c.to_digit(16)).and_then(|d| u8::try_from(d).ok());
    match (digit(high), digit(low)) {
        (Some(high), Some(low)) => Ok(high * 16 + low),
        _ => Err(OutputFormatError::InvalidByte),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn invalid_formats_are_rejected_with_the_allowed_tokens() {
        for bad in ["", "xml", "%q", "%", "\\", r"\q", r"\x4", r"\xgg"] {
            assert!(OutputFormat::parse(bad).is_err(), "{bad}");
        }
        assert!(OutputFormat::parse("%q").unwrap_err().to_string().starts_with("%q is unknown; allowed are %t topic"));
    }

    proptest! {
        #[test]
        fn parsing_never_panics(format in ".*") {
            let _ = OutputFormat::parse(&format);
            let _ = OutputFormat::parse(&format!("%{format}"));
        }
    }
}
