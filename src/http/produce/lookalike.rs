//! Recognizes an envelope that was sent as one JSON record.

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;

/// The warning in the response to such a record.
pub const WARNING: &str = "the body looks like a v2 envelope, and was written as one record; send several records with \
     Content-Type: application/vnd.kafka.json.v2+json";

/// Whether a JSON text is an object whose only member is `records`, an array of objects with a key or a value.
pub fn is_envelope(json: &[u8]) -> bool {
    let inside = json.trim_ascii_start().strip_prefix(b"{").map(<[u8]>::trim_ascii_start);
    // Nearly all bodies end here, so that they are not parsed twice.
    inside.is_some_and(|inside| inside.starts_with(b"\"records\"")) && serde_json::from_slice::<Lookalike>(json).is_ok()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lookalike {
    #[serde(rename = "records")]
    _records: EnvelopeItems,
}

/// Takes no memory, whatever the number of items.
struct EnvelopeItems;

impl<'de> Deserialize<'de> for EnvelopeItems {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ItemsVisitor)
    }
}

struct ItemsVisitor;

impl<'de> Visitor<'de> for ItemsVisitor {
    type Value = EnvelopeItems;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("records with a key or a value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut count = 0;
        while let Some(item) = items.next_element::<Item>()? {
            if item.key.is_none() && item.value.is_none() {
                return Err(serde::de::Error::missing_field("value"));
            }
            count += 1;
        }
        match count {
            0 => Err(serde::de::Error::invalid_length(0, &self)),
            _ => Ok(EnvelopeItems),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    #[serde(default, deserialize_with = "present")]
    key: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    value: Option<IgnoredAny>,
    #[serde(default, rename = "partition")]
    _partition: Option<IgnoredAny>,
    #[serde(default, rename = "timestamp")]
    _timestamp: Option<IgnoredAny>,
    #[serde(default, rename = "headers")]
    _headers: Option<IgnoredAny>,
}

/// Deserializes `null` as a present member.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<IgnoredAny>, D::Error> {
    IgnoredAny::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_object_with_nothing_but_records_looks_like_an_envelope() {
        for (json, expected) in [
            (r#"{"records":[{"value":1}]}"#, true),
            (" {\n \"records\" : [ {\"key\":\"a\",\"value\":null,\"partition\":0}, {\"key\":1} ] } ", true),
            (r#"{"records":[{"value":null}]}"#, true),
            (r#"{"records":[]}"#, false),
            (r#"{"records":[{"value":1},{"n":1}]}"#, false),
            (r#"{"records":[{"value":1,"unit":"C"}]}"#, false),
            (r#"{"records":[1]}"#, false),
            (r#"{"records":{"value":1}}"#, false),
            (r#"{"records":[{"value":1}],"site":"north"}"#, false),
            (r#"{"site":"north","records":[{"value":1}]}"#, false),
            (r#"[{"records":[{"value":1}]}]"#, false),
            (r#""records""#, false),
            ("", false),
        ] {
            assert_eq!(is_envelope(json.as_bytes()), expected, "{json}");
        }
    }
}
