//! Writes the bytes of a publisher as a JSON value on one line.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use memchr::memchr2;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Maximum nesting of arrays and objects. An envelope adds one level, and readers give up at 128 (serde_json) or a few
/// hundred.
const MAX_DEPTH: u8 = 120;

/// How bytes were written as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Null, a JSON value, or a string.
    Plain,
    Base64,
}

/// Appends `bytes` unchanged if they are a JSON value, otherwise as a string. If a JSON value has several lines, the
/// white space between its tokens is removed.
pub fn embed(out: &mut Vec<u8>, bytes: Option<&[u8]>) -> Encoding {
    match bytes.and_then(|bytes| std::str::from_utf8(bytes).ok()) {
        Some(text) if is_json(text) => {
            write_on_one_line(out, text.as_bytes());
            Encoding::Plain
        }
        Some(text) => write_string(out, text),
        None => string(out, bytes),
    }
}

/// Appends `bytes` as a string, which contains base64 if they are not UTF-8. Appends null if they are missing.
pub fn string(out: &mut Vec<u8>, bytes: Option<&[u8]>) -> Encoding {
    let Some(bytes) = bytes else {
        out.extend_from_slice(b"null");
        return Encoding::Plain;
    };
    match std::str::from_utf8(bytes) {
        Ok(text) => write_string(out, text),
        Err(_) => base64_string(out, bytes),
    }
}

/// Appends `bytes` as a string that contains their base64.
pub fn base64_string(out: &mut Vec<u8>, bytes: &[u8]) -> Encoding {
    out.push(b'"');
    base64(out, bytes);
    out.push(b'"');
    Encoding::Base64
}

/// Appends padded base64 of the standard alphabet (RFC 4648, 4).
pub fn base64(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let room = out.get_mut(start..).unwrap_or_default();
    let written = STANDARD.encode_slice(bytes, room).unwrap_or_default();
    out.truncate(start + written);
}

fn write_string(out: &mut Vec<u8>, text: &str) -> Encoding {
    // Writing to a `Vec` cannot fail.
    let _ = serde_json::to_writer(out, text);
    Encoding::Plain
}

/// Appends `json`, which must be valid. If it has several lines, the white space between its tokens is removed.
pub fn write_on_one_line(out: &mut Vec<u8>, json: &[u8]) {
    if memchr2(b'\r', b'\n', json).is_none() {
        return out.extend_from_slice(json);
    }
    let (mut in_string, mut escaped) = (false, false);
    for &byte in json {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' if !in_string => continue,
            b'"' if !escaped => in_string = !in_string,
            _ => {}
        }
        escaped = byte == b'\\' && !escaped;
        out.push(byte);
    }
}

/// Whether `text` is one JSON value that every reader accepts: not deeper than [`MAX_DEPTH`], no lone surrogate, no
/// number outside the range of a double. Other text is written as a string, so that readers can parse every line.
pub fn is_json(text: &str) -> bool {
    let first = text.bytes().find(|b| !b.is_ascii_whitespace());
    if !matches!(first, Some(b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n')) {
        return false;
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    DepthCheck { depth: MAX_DEPTH }.deserialize(&mut reader).is_ok() && reader.end().is_ok()
}

/// The methods of a visitor that accepts scalars and discards them.
macro_rules! skip_scalars {
    () => {
        fn visit_unit<E>(self) -> Result<(), E> {
            Ok(())
        }

        fn visit_bool<E>(self, _: bool) -> Result<(), E> {
            Ok(())
        }

        fn visit_i64<E>(self, _: i64) -> Result<(), E> {
            Ok(())
        }

        fn visit_u64<E>(self, _: u64) -> Result<(), E> {
            Ok(())
        }

        fn visit_f64<E>(self, _: f64) -> Result<(), E> {
            Ok(())
        }

        fn visit_str<E>(self, _: &str) -> Result<(), E> {
            Ok(())
        }
    };
}
pub(super) use skip_scalars;

/// Parses one value and discards it. Unlike `IgnoredAny`, which serde_json skips without validation, it checks escapes,
/// numbers and depth.
#[derive(Clone, Copy)]
struct DepthCheck {
    depth: u8,
}

impl DepthCheck {
    fn inside<E: Error>(self) -> Result<Self, E> {
        self.depth.checked_sub(1).map(|depth| Self { depth }).ok_or_else(|| E::custom("nested too deep"))
    }
}

impl<'de> DeserializeSeed<'de> for DepthCheck {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for DepthCheck {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    skip_scalars!();

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<(), A::Error> {
        let inside = self.inside()?;
        while values.next_element_seed(inside)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let inside = self.inside()?;
        while members.next_key_seed(inside)?.is_some() {
            members.next_value_seed(inside)?;
        }
        Ok(())
    }
}
