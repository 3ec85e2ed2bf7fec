//! The value of a request header `ce-NAME` (HTTP binding, section 3.1.3.2): quoted strings, then percent-encoded UTF-8.

use percent_encoding::percent_decode;
use thiserror::Error;

#[derive(Debug, Error, PartialEq, Eq)]
pub enum InvalidHeaderValue {
    #[error("a double quote is not closed; write a quote as %22")]
    OpenQuote,
    #[error("it is not UTF-8; write other characters as their percent-encoded UTF-8 bytes, such as %C3%BC for ü")]
    NotUtf8,
}

/// Decodes the value of a header. A `%` without two hexadecimal digits stands for itself, and UTF-8 that is not encoded
/// is accepted, because some SDKs do not encode.
pub fn decode(value: &[u8]) -> Result<String, InvalidHeaderValue> {
    let unquoted = unquote(value)?;
    let decoded: Vec<u8> = percent_decode(&unquoted).collect();
    String::from_utf8(decoded).map_err(|_| InvalidHeaderValue::NotUtf8)
}

/// Removes the quotes around quoted strings, and the backslashes of their escapes (RFC 7230, section 3.2.6).
fn unquote(value: &[u8]) -> Result<Vec<u8>, InvalidHeaderValue> {
    let mut out = Vec::with_capacity(value.len());
    let mut is_quoted = false;
    let mut bytes = value.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'\\' if is_quoted => out.push(bytes.next().ok_or(InvalidHeaderValue::OpenQuote)?),
            other => out.push(other),
        }
    }
    if is_quoted { Err(InvalidHeaderValue::OpenQuote) } else { Ok(out) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;

    #[test]
    fn quotes_are_removed_before_one_round_of_percent_decoding() {
        for (value, decoded) in [
            ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
            ("%e2%82%ac", "€"),
            ("%41%2520", "A%20"),
            ("\"Euro \\\"%E2%82%AC\\\" \\\\\"", "Euro \"€\" \\"),
            ("a \"b c\" d\\e", "a b c d\\e"),
            ("€ ü", "€ ü"),
            ("100% of %zz%4", "100% of %zz%4"),
            ("\"\"", ""),
        ] {
            assert_eq!(decode(value.as_bytes()).as_deref(), Ok(decoded), "{value}");
        }
        for (value, error) in [
            (&b"%C0%A0"[..], InvalidHeaderValue::NotUtf8),
            (b"%E2%82", InvalidHeaderValue::NotUtf8),
            (b"\xfc", InvalidHeaderValue::NotUtf8),
            (b"5\" wide", InvalidHeaderValue::OpenQuote),
            (b"\"\\", InvalidHeaderValue::OpenQuote),
        ] {
            assert_eq!(decode(value), Err(error));
        }
    }

    proptest! {
        #[test]
        fn every_text_is_restored_from_its_encoded_form(text in ".*") {
            let encoded = utf8_percent_encode(&text, NON_ALPHANUMERIC).to_string();
            prop_assert_eq!(decode(encoded.as_bytes()).unwrap(), text);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = decode(&bytes);
        }
    }
}
