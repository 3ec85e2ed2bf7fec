//! A record as one line of JSON: `{"topic","partition","offset","timestamp","key","headers","value"}`.
//!
//! Key and value are JSON where they parse, else a string, else base64 with `"keyEncoding"` or
//! `"encoding"` beside them. Header values are strings or base64. Null stays null.

use crate::record::{Partition, RecordRef};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::IgnoredAny;

/// Appends the envelope, without a line end.
pub fn write(out: &mut Vec<u8>, topic: &str, partition: Partition, record: &RecordRef<'_>) {
    let mut number = itoa::Buffer::new();
    out.extend_from_slice(b"{\"topic\":\"");
    // A topic's name has nothing to escape.
    out.extend_from_slice(topic.as_bytes());
    out.extend_from_slice(b"\",\"partition\":");
    out.extend_from_slice(number.format(partition).as_bytes());
    out.extend_from_slice(b",\"offset\":");
    out.extend_from_slice(number.format(record.offset).as_bytes());
    out.extend_from_slice(b",\"timestamp\":");
    let timestamp = if record.timestamp < 0 { "null" } else { number.format(record.timestamp) };
    out.extend_from_slice(timestamp.as_bytes());
    out.extend_from_slice(b",\"key\":");
    if write_value(out, record.key) == Encoding::Base64 {
        out.extend_from_slice(b",\"keyEncoding\":\"base64\"");
    }
    out.extend_from_slice(b",\"headers\":[");
    for (place, (name, value)) in record.headers().enumerate() {
        out.extend_from_slice(if place == 0 { b"{\"key\":" } else { b",{\"key\":" });
        write_string(out, &String::from_utf8_lossy(name));
        out.extend_from_slice(b",\"value\":");
        match value.map(|value| (value, std::str::from_utf8(value))) {
            None => out.extend_from_slice(b"null"),
            Some((_, Ok(text))) => write_string(out, text),
            Some((bytes, Err(_))) => {
                write_base64(out, bytes);
                out.extend_from_slice(b",\"encoding\":\"base64\"");
            }
        }
        out.push(b'}');
    }
    out.extend_from_slice(b"],\"value\":");
    if write_value(out, record.value) == Encoding::Base64 {
        out.extend_from_slice(b",\"encoding\":\"base64\"");
    }
    out.push(b'}');
}

#[derive(Debug, PartialEq, Eq)]
enum Encoding {
    Plain,
    Base64,
}

fn write_value(out: &mut Vec<u8>, value: Option<&[u8]>) -> Encoding {
    let Some(bytes) = value else {
        out.extend_from_slice(b"null");
        return Encoding::Plain;
    };
    let Ok(text) = std::str::from_utf8(bytes) else {
        write_base64(out, bytes);
        return Encoding::Base64;
    };
    if serde_json::from_str::<IgnoredAny>(text).is_ok() {
        // Line ends stand only between JSON's tokens, where a blank is as good.
        let start = out.len();
        out.extend_from_slice(bytes);
        let blank = |byte: &mut u8| {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        };
        out.iter_mut().skip(start).for_each(blank);
    } else {
        write_string(out, text);
    }
    Encoding::Plain
}

fn write_string(out: &mut Vec<u8>, text: &str) {
    // Writing a string to memory does not fail.
    let _ = serde_json::to_writer(out, text);
}

fn write_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
    out.push(b'"');
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::record::Records;
    use proptest::prelude::*;

    fn envelope(key: Option<&[u8]>, value: Option<&[u8]>, headers: &[(&[u8], Option<&[u8]>)]) -> String {
        let mut data = Vec::new();
        let mut part = |bytes: &[u8]| {
            data.extend_from_slice(bytes);
            data.len() - bytes.len()..data.len()
        };
        let (key, value) = (key.map(&mut part), value.map(&mut part));
        let headers: Vec<_> = headers.iter().map(|(n, v)| (part(n), v.map(&mut part))).collect();
        let mut records = Records::over(data.into());
        records.push(7, 1000, key, value);
        headers.into_iter().for_each(|(name, value)| records.push_header(name, value));
        let mut out = Vec::new();
        write(&mut out, "t", 2, &records.iter().next().unwrap());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn key_and_value_are_json_where_they_parse() {
        let start = r#"{"topic":"t","partition":2,"offset":7,"timestamp":1000,"#;
        let cases: [(Option<&[u8]>, Option<&[u8]>, &str); 6] = [
            (None, Some(b"{\"a\":\n1}"), r#""key":null,"headers":[],"value":{"a": 1}}"#),
            (Some(b"boiler"), None, r#""key":"boiler","headers":[],"value":null}"#),
            (Some(b"42"), Some(b""), r#""key":42,"headers":[],"value":""}"#),
            (None, Some(b"two\nlines \"x\""), r#""key":null,"headers":[],"value":"two\nlines \"x\""}"#),
            (None, Some(&[0xff]), r#""key":null,"headers":[],"value":"/w==","encoding":"base64"}"#),
            (Some(&[0xff]), Some(b"1e400"), r#""key":"/w==","keyEncoding":"base64","headers":[],"value":1e400}"#),
        ];
        for (key, value, end) in cases {
            assert_eq!(envelope(key, value, &[]), format!("{start}{end}"));
        }
    }

    #[test]
    fn headers_keep_order_repeats_and_nulls() {
        let text = envelope(None, None, &[(b"a", Some(b"1")), (b"a", None), (b"b", Some(&[0xff]))]);
        let headers =
            r#"[{"key":"a","value":"1"},{"key":"a","value":null},{"key":"b","value":"/w==","encoding":"base64"}]"#;
        assert!(text.contains(headers), "{text}");
    }

    proptest! {
        #[test]
        fn whatever_the_bytes_it_is_one_line_of_json(key: Option<Vec<u8>>, value: Option<Vec<u8>>, name: Vec<u8>) {
            let text = envelope(key.as_deref(), value.as_deref(), &[(&name, value.as_deref())]);
            prop_assert!(!text.contains(['\n', '\r']));
            prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{}", text);
        }
    }
}
