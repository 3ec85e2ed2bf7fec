//! Parses a record's JSON envelope: the events that `consume` receives, and the lines of `produce --format record`.

use crate::record::{DecodedPart, DecodedParts, DecodedRecords, FailureDuration};
use crate::record::{Header, InvalidTopicName, NewRecord, Partition, Records, SpanRef, Timestamp, TopicName};
use crate::start_position::parse_timestamp;
use crate::sync::memory_budget::Share;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::string::FromUtf8Error;
use thiserror::Error;

/// The members of an envelope. Unknown ones are ignored.
#[derive(Deserialize)]
pub struct RecordLine<'a> {
    /// Present in lines of an NDJSON stream that are not records: `gap`, `problem`.
    event: Option<String>,
    detail: Option<String>,
    topic: Option<Cow<'a, str>>,
    partition: Option<i32>,
    offset: Option<i64>,
    timestamp: Option<Value>,
    #[serde(borrow)]
    key: Option<&'a RawValue>,
    key_encoding: Option<Cow<'a, str>>,
    key_schema_error: Option<Cow<'a, str>>,
    schema_error: Option<Cow<'a, str>>,
    /// `None` only if the member is missing: null is a tombstone.
    #[serde(borrow, default, deserialize_with = "present")]
    value: Option<&'a RawValue>,
    encoding: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    headers: Vec<EnvelopeHeader<'a>>,
}

#[derive(Deserialize)]
struct EnvelopeHeader<'a> {
    #[serde(borrow)]
    name: &'a RawValue,
    name_encoding: Option<Cow<'a, str>>,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    encoding: Option<Cow<'a, str>>,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

type HeaderBytes = (Vec<u8>, Option<Vec<u8>>);

/// A line that is not a valid record.
#[derive(Debug, Error)]
pub enum RecordLineError {
    #[error("{0}; a record is {{\"key\":…,\"value\":…,\"headers\":[{{\"name\":…,\"value\":…}}],\"timestamp\":…}}")]
    Json(#[from] serde_json::Error),
    /// A `gap` or `problem` event, which reports that records are missing. Contains its detail in parentheses.
    #[error("this line is not a record but reports a {0}: records are missing here")]
    Event(String),
    #[error("{0:?} is missing")]
    Missing(&'static str),
    #[error("\"value\" is missing; null is a tombstone")]
    MissingValue,
    #[error(transparent)]
    Topic(#[from] InvalidTopicName),
    #[error("partition is {0}; allowed are numbers from 0")]
    NegativePartition(i32),
    #[error("timestamp is {0}; allowed are milliseconds since 1970, or a time like \"2026-01-31T08:00:00Z\"")]
    Timestamp(Value),
    #[error("{member} cannot be decoded: {source}")]
    Undecodable { member: &'static str, source: serde_json::Error },
    #[error("{member} is not base64: {source}")]
    NotBase64 { member: &'static str, source: base64::DecodeError },
    #[error("{member} is encoded as {encoding:?}; allowed is base64")]
    UnknownEncoding { member: &'static str, encoding: String },
    #[error("a header's name is null")]
    NullHeaderName,
    #[error("the name of a header is not UTF-8 ({0}); it cannot be produced")]
    HeaderName(#[from] FromUtf8Error),
}

impl<'a> RecordLine<'a> {
    pub fn read(json: &'a [u8]) -> Result<Self, RecordLineError> {
        let envelope: Self = serde_json::from_slice(json)?;
        match (&envelope.event, &envelope.detail) {
            (None, _) => Ok(envelope),
            (Some(event), None) => Err(RecordLineError::Event(event.clone())),
            (Some(event), Some(detail)) => Err(RecordLineError::Event(format!("{event} ({detail})"))),
        }
    }

    pub fn topic(&self) -> Result<TopicName, RecordLineError> {
        let topic = self.topic.as_deref().ok_or(RecordLineError::Missing("topic"))?;
        Ok(TopicName::new(topic)?)
    }

    pub fn partition(&self) -> Result<Partition, RecordLineError> {
        let partition = self.partition.ok_or(RecordLineError::Missing("partition"))?;
        if partition < 0 { Err(RecordLineError::NegativePartition(partition)) } else { Ok(partition) }
    }

    /// Returns the record with its offset, for printing.
    pub fn records(&self) -> Result<Records, RecordLineError> {
        self.records_with(self.key()?, self.value()?)
    }

    /// Returns the record with the JSON of its key and value, for printing their fields. A part that could not be decoded by its
    /// schema has its error.
    pub fn json_records(&self) -> Result<Records, RecordLineError> {
        let value = self.value.ok_or(RecordLineError::MissingValue)?;
        let key = json_of("key", self.key, self.key_encoding.as_deref())?;
        let records = self.records_with(key, json_of("value", Some(value), self.encoding.as_deref())?)?;
        let mut text = Vec::new();
        let mut failed = |error: &Option<Cow<'_, str>>| {
            let error = error.as_deref()?.as_bytes();
            text.extend_from_slice(error);
            let error = text.len() - error.len()..text.len();
            Some(DecodedPart::failed(None, error, FailureDuration::Permanent))
        };
        let parts = DecodedParts { key: failed(&self.key_schema_error), value: failed(&self.schema_error) };
        // A command has no memory budget, and prints one record at a time.
        let unlimited = Share::new("consume", usize::MAX, usize::MAX).empty_reservation();
        Ok(records.with_decoded(DecodedRecords::new(text.into(), vec![parts], unlimited)))
    }

    fn records_with(&self, key: Option<Vec<u8>>, value: Option<Vec<u8>>) -> Result<Records, RecordLineError> {
        let mut data = Vec::new();
        let mut part = |bytes: Vec<u8>| -> SpanRef {
            let start = data.len();
            data.extend_from_slice(&bytes);
            start..data.len()
        };
        let key = key.map(&mut part);
        let value = value.map(&mut part);
        let headers: Vec<_> =
            self.headers()?.into_iter().map(|(name, value)| (part(name), value.map(&mut part))).collect();
        let mut records = Records::over(data.into());
        let offset = self.offset.ok_or(RecordLineError::Missing("offset"))?;
        records.push(offset, self.timestamp()?.unwrap_or(-1), key, value);
        headers.into_iter().for_each(|(name, value)| records.push_header(name, value));
        Ok(records)
    }

    /// Returns the record for producing, without its partition and offset.
    pub fn new_record(&self) -> Result<NewRecord, RecordLineError> {
        let header = |(name, value): HeaderBytes| -> Result<_, RecordLineError> {
            Ok(Header { name: String::from_utf8(name)?, value: value.map(Into::into) })
        };
        Ok(NewRecord {
            partition: None,
            key: self.key()?.map(Into::into),
            value: self.value()?.map(Into::into),
            headers: self.headers()?.into_iter().map(header).collect::<Result<_, _>>()?,
            timestamp: self.timestamp()?,
        })
    }

    fn key(&self) -> Result<Option<Vec<u8>>, RecordLineError> {
        original("key", self.key, self.key_encoding.as_deref())
    }

    fn value(&self) -> Result<Option<Vec<u8>>, RecordLineError> {
        let value = self.value.ok_or(RecordLineError::MissingValue)?;
        original("value", Some(value), self.encoding.as_deref())
    }

    fn headers(&self) -> Result<Vec<HeaderBytes>, RecordLineError> {
        let header = |h: &EnvelopeHeader<'_>| {
            let name = original("a header's name", Some(h.name), h.name_encoding.as_deref())?;
            let value = original("a header's value", h.value, h.encoding.as_deref())?;
            Ok((name.ok_or(RecordLineError::NullHeaderName)?, value))
        };
        self.headers.iter().map(header).collect()
    }

    /// Returns `None` if the record has no timestamp.
    fn timestamp(&self) -> Result<Option<Timestamp>, RecordLineError> {
        let timestamp = match &self.timestamp {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(text)) => parse_timestamp(text),
            Some(ms) => ms.as_i64().filter(|ms| *ms >= 0),
        };
        let invalid = || RecordLineError::Timestamp(self.timestamp.clone().unwrap_or_default());
        timestamp.map(Some).ok_or_else(invalid)
    }
}

/// Returns the JSON of a member: strings keep their quotes.
fn json_of(
    member: &'static str,
    value: Option<&RawValue>,
    encoding: Option<&str>,
) -> Result<Option<Vec<u8>>, RecordLineError> {
    match (value.map(RawValue::get), encoding) {
        (Some(raw), None) => Ok((raw != "null").then(|| raw.as_bytes().to_vec())),
        _ => original(member, value, encoding),
    }
}

/// Decodes a member: a string to its text, null to `None`, any other value to its JSON.
fn original(
    member: &'static str,
    value: Option<&RawValue>,
    encoding: Option<&str>,
) -> Result<Option<Vec<u8>>, RecordLineError> {
    let Some(raw) = value.map(RawValue::get) else { return Ok(None) };
    if !raw.starts_with('"') {
        return Ok((raw != "null").then(|| raw.as_bytes().to_vec()));
    }
    let text: String = serde_json::from_str(raw).map_err(|source| RecordLineError::Undecodable { member, source })?;
    match encoding {
        None => Ok(Some(text.into_bytes())),
        Some("base64") => base64(member, &text).map(Some),
        Some(other) => Err(RecordLineError::UnknownEncoding { member, encoding: other.to_owned() }),
    }
}

/// Decodes the base64 of a member.
pub fn base64(member: &'static str, text: impl AsRef<[u8]>) -> Result<Vec<u8>, RecordLineError> {
    STANDARD.decode(text).map_err(|source| RecordLineError::NotBase64 { member, source })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::http::event::envelope;
    use proptest::prelude::*;

    type Parts = (Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Option<Vec<u8>>)>, Timestamp);

    /// Writes an exact envelope and parses it.
    fn round_trip((key, value, headers, timestamp): &Parts) -> NewRecord {
        let mut data = Vec::new();
        let mut part = |bytes: &[u8]| {
            data.extend_from_slice(bytes);
            data.len() - bytes.len()..data.len()
        };
        let parts = (key.as_deref().map(&mut part), value.as_deref().map(&mut part));
        let names: Vec<_> =
            headers.iter().map(|(name, value)| (part(name.as_bytes()), value.as_deref().map(&mut part))).collect();
        let mut records = Records::over(data.into());
        records.push(7, *timestamp, parts.0, parts.1);
        names.into_iter().for_each(|(name, value)| records.push_header(name, value));
        let mut line = Vec::new();
        let topic = TopicName::new("t").unwrap();
        records.iter().for_each(|record| envelope::write_exact(&mut line, &topic, 3, &record));
        assert!(!line.contains(&b'\n'));
        let read = RecordLine::read(&line).unwrap();
        assert_eq!((read.topic().unwrap(), read.partition().unwrap()), (topic, 3));
        read.new_record().unwrap()
    }

    fn bytes() -> impl Strategy<Value = Option<Vec<u8>>> {
        let looks_like_something =
            prop::sample::select(vec!["null", "\"a\"", "{\"a\": 1}", " 1", "", "\r\n", "1e999", "\u{feff}x"]);
        prop_oneof![
            Just(None),
            prop::collection::vec(any::<u8>(), 0..20).prop_map(Some),
            looks_like_something.prop_map(|text| Some(text.as_bytes().to_vec())),
        ]
    }

    proptest! {
        #[test]
        fn the_exact_envelope_preserves_every_byte(
            key in bytes(),
            value in bytes(),
            headers in prop::collection::vec((".{0,5}", bytes()), 0..3),
            timestamp in -1..i64::MAX,
        ) {
            let parts = (key, value, headers, timestamp);
            let read = round_trip(&parts);
            let headers: Vec<_> =
                read.headers.into_iter().map(|h| (h.name, h.value.map(|v| v.to_vec()))).collect();
            let read = (read.key.map(|k| k.to_vec()), read.value.map(|v| v.to_vec()), headers, read.timestamp.unwrap_or(-1));
            prop_assert_eq!(read, parts);
        }

        #[test]
        fn the_parser_never_panics(line in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(envelope) = RecordLine::read(&line) {
                let _ = (envelope.topic(), envelope.partition(), envelope.records(), envelope.new_record());
            }
        }
    }

    #[test]
    fn a_line_needs_only_a_value() {
        let read = |line: &str| RecordLine::read(line.as_bytes()).and_then(|e| e.new_record());
        let text = |b: Option<bytes::Bytes>| b.map(|b| String::from_utf8(b.to_vec()).unwrap());
        for (line, value) in [
            (r#"{"value":"a"}"#, Some("a")),
            (r#"{"value":{"n": 1.0}}"#, Some(r#"{"n": 1.0}"#)),
            (r#"{"value":"\u00e9\n"}"#, Some("é\n")),
            (r#"{"value":null,"key":"k"}"#, None),
            (r#"{"value":"YQ==","encoding":"base64"}"#, Some("a")),
        ] {
            assert_eq!(text(read(line).unwrap().value).as_deref(), value, "{line}");
        }
        assert_eq!(
            read(r#"{"value":1,"timestamp":"2026-01-31T08:00:00Z"}"#).unwrap().timestamp,
            Some(1_769_846_400_000)
        );
    }

    #[test]
    fn invalid_records_are_rejected_with_the_reason() {
        for (line, why) in [
            ("{}", "\"value\" is missing; null is a tombstone"),
            ("21.5", "a record is {\"key\""),
            (r#"{"value":"a","encoding":"hex"}"#, "allowed is base64"),
            (r#"{"value":"a","encoding":"base64"}"#, "value is not base64"),
            (r#"{"value":"a","timestamp":-5}"#, "timestamp is -5"),
            (r#"{"value":"\ud800"}"#, "value cannot be decoded"),
            (r#"{"value":1,"headers":[{"name":null}]}"#, "a header's name is null"),
            (r#"{"value":1,"headers":[{"name":"/w==","name_encoding":"base64"}]}"#, "not UTF-8"),
            (r#"{"event":"gap","topic":"t","partition":0,"from":1,"to":5}"#, "reports a gap: records are missing"),
            (r#"{"event":"problem","detail":"gone"}"#, "reports a problem (gone)"),
        ] {
            let error = RecordLine::read(line.as_bytes()).and_then(|e| e.new_record()).unwrap_err();
            assert!(error.to_string().contains(why), "{line}: {error}");
        }
    }
}
