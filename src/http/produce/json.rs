//! Checks that bytes are JSON.

use serde::de::IgnoredAny;
use thiserror::Error;

/// Bytes that are not a single JSON text in UTF-8 (RFC 8259).
#[derive(Debug, Error)]
pub enum InvalidJson {
    #[error(transparent)]
    ByteOrderMark(#[from] ByteOrderMark),
    #[error("bytes that are not UTF-8 at line {line} column {column}")]
    NotUtf8 { line: usize, column: usize },
    /// For example a file of lines that is sent with `curl -d @FILE`.
    #[error(
        "{0}; a second JSON text follows: write one per line, and add split=lines to the URL or send them as \
         application/x-ndjson (curl needs --data-binary @FILE, because -d removes the line breaks)"
    )]
    SecondText(#[source] serde_json::Error),
    #[error(transparent)]
    Syntax(serde_json::Error),
}

/// Bytes that start with a byte order mark. Editors and PowerShell write one, but transmitted JSON must not have it
/// (RFC 8259, section 8.1).
#[derive(Debug, Error)]
#[error("it starts with a byte order mark (BOM, EF BB BF); save it as UTF-8 without BOM")]
pub struct ByteOrderMark;

/// Checks that `bytes` are one JSON text in UTF-8 (RFC 8259).
pub fn check_json(bytes: &[u8]) -> Result<(), InvalidJson> {
    check_bom(bytes)?;
    // serde_json does not validate the UTF-8 of strings that it skips.
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = valid.rsplit(|byte| *byte == b'\n').next().map_or(0, <[u8]>::len) + 1;
        InvalidJson::NotUtf8 { line, column }
    })?;
    serde_json::from_str::<IgnoredAny>(text).map(drop).map_err(|error| {
        // serde_json does not expose the kind of a syntax error.
        match error.to_string().starts_with("trailing characters") {
            true => InvalidJson::SecondText(error),
            false => InvalidJson::Syntax(error),
        }
    })
}

/// Removes the white space of JSON from both ends. Unlike [`trim_ascii`](slice::trim_ascii), it keeps form feeds, which JSON
/// does not allow (RFC 8259, section 2).
pub fn trim(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|byte| !is_white(*byte)).unwrap_or(bytes.len());
    trim_end(bytes.get(start..).unwrap_or_default())
}

/// Removes the white space of JSON from the end.
pub fn trim_end(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| !is_white(*byte)).map_or(0, |last| last + 1);
    bytes.get(..end).unwrap_or_default()
}

fn is_white(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Rejects a byte order mark.
pub fn check_bom(bytes: &[u8]) -> Result<(), ByteOrderMark> {
    match bytes.starts_with(b"\xef\xbb\xbf") {
        true => Err(ByteOrderMark),
        false => Ok(()),
    }
}
