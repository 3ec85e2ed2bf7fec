//! The `{"records":[…]}` envelopes of the Confluent REST Proxy v2, with Strimzi's `timestamp` and `headers`.

use super::body::BodyMemory;
use super::json::check_bom;
use super::schema_choice::{ChosenSchemas, EncodedPart, SchemaMembers};
use crate::http::integer::integer;
use crate::http::problem::Problem;
use crate::record::{Header, NewRecord, Partition, Timestamp};
use crate::schemas::source::SchemaKind;
use crate::start_position::parse_timestamp;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Number;
use serde_json::value::RawValue;
use std::fmt;
use thiserror::Error;

/// Maximum number of records in one envelope.
pub const MAX_RECORDS: usize = 100_000;
/// Memory charged for a record in addition to its data, in bytes, from parsing to the response. `{}` takes two bytes of a
/// body, but hundreds of bytes of memory with its error.
pub const RECORD_MEMORY: usize = 512;
/// Memory charged for a record header in addition to its data, in bytes.
pub const HEADER_MEMORY: usize = 192;
/// Maximum length of an error text, in bytes. Some texts quote the record.
const MAX_ERROR_LEN: usize = 160;

/// The encoding of keys and values in an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// JSON. The record contains the text exactly as it was sent.
    Json,
    /// Base64.
    Binary,
    /// JSON to be encoded by a schema of this format.
    Schema(SchemaKind),
}

/// The body of a request. Other members are ignored, and so are the schemas unless the form has schemas.
#[derive(Deserialize)]
struct ProduceEnvelope<'a> {
    #[serde(borrow)]
    records: EnvelopeRecords<'a>,
    #[serde(borrow, default)]
    key_schema: Option<&'a RawValue>,
    #[serde(borrow, default)]
    key_schema_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    value_schema: Option<&'a RawValue>,
    #[serde(borrow, default)]
    value_schema_id: Option<&'a RawValue>,
}

impl ProduceEnvelope<'_> {
    fn schemas(&self, form: Form) -> Result<ChosenSchemas, Problem> {
        let Form::Schema(kind) = form else { return Ok(ChosenSchemas::default()) };
        let choice = |part, schema, id| SchemaMembers { part, schema, id }.choice(kind);
        Ok(ChosenSchemas {
            key: choice(EncodedPart::Key, self.key_schema, self.key_schema_id)?,
            value: choice(EncodedPart::Value, self.value_schema, self.value_schema_id)?,
        })
    }
}

/// The contents of an envelope.
#[derive(Debug)]
pub struct EnvelopeContent {
    /// The records in order. An invalid one does not keep the others from being written, unless the form has schemas.
    pub entries: Vec<Result<NewRecord, Problem>>,
    pub schemas: ChosenSchemas,
    /// The memory of the records and of the body, in bytes.
    pub memory: usize,
}

/// The JSON texts of at most [`MAX_RECORDS`] records, and the number of all records.
pub struct EnvelopeRecords<'a> {
    pub texts: Vec<&'a RawValue>,
    pub count: usize,
}

impl<'de: 'a, 'a> Deserialize<'de> for EnvelopeRecords<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EnvelopeVisitor;

        impl<'de> Visitor<'de> for EnvelopeVisitor {
            type Value = EnvelopeRecords<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a sequence")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let mut records = EnvelopeRecords { texts: Vec::new(), count: 0 };
                while let Some(text) = items.next_element()? {
                    records.count += 1;
                    if records.count <= MAX_RECORDS {
                        records.texts.push(text);
                    }
                }
                Ok(records)
            }
        }

        deserializer.deserialize_seq(EnvelopeVisitor)
    }
}

#[derive(Deserialize)]
struct EnvelopeRecord<'a> {
    #[serde(borrow, default)]
    key: Option<&'a RawValue>,
    /// `None` only if the member is missing; `null` is a tombstone.
    #[serde(borrow, default, deserialize_with = "present")]
    value: Option<&'a RawValue>,
    #[serde(default)]
    partition: Option<Number>,
    /// Unparsed JSON, like the headers: a parsed list of lists would take many times the memory.
    #[serde(borrow, default)]
    timestamp: Option<&'a RawValue>,
    #[serde(borrow, default)]
    headers: Option<&'a RawValue>,
}

/// A record with a key, without a value, and without unknown members. With a schema this is a tombstone, as in the REST
/// proxies; a misspelt `value` is an error.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyOnly {
    #[serde(rename = "key")]
    _key: IgnoredAny,
    #[serde(default, rename = "partition")]
    _partition: Option<IgnoredAny>,
    #[serde(default, rename = "timestamp")]
    _timestamp: Option<IgnoredAny>,
    #[serde(default, rename = "headers")]
    _headers: Option<IgnoredAny>,
}

impl EnvelopeRecord<'_> {
    fn header_count(&self) -> usize {
        self.headers.map_or(0, |text| serde_json::from_str::<Vec<IgnoredAny>>(text.get()).map_or(0, |all| all.len()))
    }
}

#[derive(Deserialize)]
struct ItemHeader {
    key: String,
    value: Option<String>,
}

/// Deserializes `null` as a present value, which is a tombstone.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Parses an envelope. `held` grows to cover its records, each of which takes `each` bytes in addition to its own data.
pub fn read(form: Form, body: &[u8], each: usize, held: &mut BodyMemory) -> Result<EnvelopeContent, Problem> {
    check_bom(body).map_err(|what| Problem::unprocessable(format!("the body is not an envelope: {what}")))?;
    let envelope: ProduceEnvelope = serde_json::from_slice(body).map_err(|error| {
        let what = clipped(error.to_string());
        Problem::unprocessable(format!(
            "the body is not an envelope ({what}); expected is {{\"records\":[{{\"value\":…}}]}}"
        ))
    })?;
    let schemas = envelope.schemas(form)?;
    let EnvelopeRecords { texts, count } = envelope.records;
    if count > MAX_RECORDS {
        return Err(Problem::too_large(format!(
            "the envelope has {count} records; at most {MAX_RECORDS} are allowed, send several envelopes"
        )));
    }
    if texts.is_empty() {
        return Err(Problem::unprocessable("the envelope has no records; expected is {\"records\":[{\"value\":…}]}"));
    }
    // Keys and values are copied out of the body, so it counts twice.
    let mut memory = 2 * body.len() + count * each;
    held.set(memory)?;
    let mut entries = Vec::with_capacity(count);
    for (index, text) in texts.into_iter().enumerate() {
        let entry = match serde_json::from_str::<EnvelopeRecord>(text.get()) {
            Ok(mut item) => {
                memory += item.header_count() * HEADER_MEMORY;
                held.set(memory)?;
                if let (Form::Schema(_), None) = (form, item.value)
                    && serde_json::from_str::<KeyOnly>(text.get()).is_ok()
                {
                    item.value = Some(RawValue::NULL);
                }
                record(form, item)
            }
            Err(error) => Err(EnvelopeError::Syntax(error)),
        };
        let invalid =
            |error: EnvelopeError| Problem::unprocessable(format!("records[{index}]: {}", clipped(error.to_string())));
        entries.push(entry.map_err(invalid));
    }
    Ok(EnvelopeContent { entries, schemas, memory })
}

fn clipped(mut text: String) -> String {
    if text.len() > MAX_ERROR_LEN {
        let end = (0..=MAX_ERROR_LEN).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
        text.push('…');
        text.shrink_to_fit();
    }
    text
}

/// An error in a record of an envelope.
#[derive(Debug, Error)]
enum EnvelopeError {
    #[error(transparent)]
    Syntax(serde_json::Error),
    #[error("\"value\" is missing; null is a tombstone")]
    MissingValue,
    #[error("partition is {0}; it must be a number from 0 on")]
    Partition(Number),
    /// Contains the timestamp, as JSON or as the text of a string.
    #[error("timestamp is {0}; it must be ms since 1970 or a time like \"2026-01-31T08:00:00Z\"")]
    Timestamp(String),
    #[error("headers: {0}")]
    Headers(#[source] serde_json::Error),
    #[error("{0} is not a base64 string")]
    NotText(RecordPart),
    #[error("{part} is not base64: {source}")]
    NotBase64 { part: RecordPart, source: base64::DecodeError },
}

/// The part of a record that an error refers to.
#[derive(Debug)]
enum RecordPart {
    Key,
    Value,
    Header(String),
}

impl fmt::Display for RecordPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key => f.write_str("key"),
            Self::Value => f.write_str("value"),
            Self::Header(name) => write!(f, "the value of header {name:?}"),
        }
    }
}

fn record(form: Form, item: EnvelopeRecord) -> Result<NewRecord, EnvelopeError> {
    let EnvelopeRecord { key, value, partition, timestamp, headers } = item;
    let value = value.ok_or(EnvelopeError::MissingValue)?;
    let partition = partition.map(|given| {
        let partition = integer(&given).and_then(|partition| Partition::try_from(partition).ok());
        partition.filter(|partition| *partition >= 0).ok_or(EnvelopeError::Partition(given))
    });
    let headers = headers.map(|text| serde_json::from_str::<Vec<ItemHeader>>(text.get()));
    let headers = headers.transpose().map_err(EnvelopeError::Headers)?;
    Ok(NewRecord {
        partition: partition.transpose()?,
        key: key.map_or(Ok(None), |key| data(form, RecordPart::Key, key))?,
        value: data(form, RecordPart::Value, value)?,
        headers: headers.unwrap_or_default().into_iter().map(header).collect::<Result<_, _>>()?,
        timestamp: timestamp.map(|text| time(text.get())).transpose()?,
    })
}

fn time(text: &str) -> Result<Timestamp, EnvelopeError> {
    if let Ok(ms) = serde_json::from_str::<Number>(text) {
        return integer(&ms).filter(|ms| *ms >= 0).ok_or_else(|| EnvelopeError::Timestamp(ms.to_string()));
    }
    match serde_json::from_str::<String>(text) {
        Ok(text) => parse_timestamp(&text).ok_or(EnvelopeError::Timestamp(text)),
        Err(_) => Err(EnvelopeError::Timestamp(text.to_owned())),
    }
}

fn data(form: Form, part: RecordPart, raw: &RawValue) -> Result<Option<Bytes>, EnvelopeError> {
    let text = raw.get();
    match form {
        _ if text == "null" => Ok(None),
        Form::Json | Form::Schema(_) => Ok(Some(Bytes::copy_from_slice(text.as_bytes()))),
        Form::Binary => match serde_json::from_str::<String>(text) {
            Ok(text) => Ok(Some(base64(&text).map_err(|source| EnvelopeError::NotBase64 { part, source })?)),
            Err(_) => Err(EnvelopeError::NotText(part)),
        },
    }
}

fn header(ItemHeader { key: name, value }: ItemHeader) -> Result<Header, EnvelopeError> {
    match value.map(|value| base64(&value)).transpose() {
        Ok(value) => Ok(Header { name, value }),
        Err(source) => Err(EnvelopeError::NotBase64 { part: RecordPart::Header(name), source }),
    }
}

fn base64(text: &str) -> Result<Bytes, base64::DecodeError> {
    STANDARD.decode(text).map(Bytes::from)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_may_be_written_with_a_fraction_or_an_exponent() {
        for (text, read) in [
            ("1", Some(1)),
            ("100.0", Some(100)),
            ("1e3", Some(1000)),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775808", None),
            ("1.5", None),
            ("1e300", None),
            ("-1.0", Some(-1)),
        ] {
            assert_eq!(integer(&serde_json::from_str(text).unwrap()), read, "{text}");
        }
        let one = |partition: &str| {
            let text = format!(r#"{{"value":1,"partition":{partition}}}"#);
            let item = serde_json::from_str(&text).map_err(EnvelopeError::Syntax);
            item.and_then(|item| record(Form::Json, item)).map_err(|error| error.to_string())
        };
        assert_eq!(one("2.0").unwrap().partition, Some(2));
        assert_eq!(one("null").unwrap().partition, None);
        for bad in ["-1", "2147483648", "0.5", "\"1\""] {
            assert!(
                one(bad).unwrap_err().contains(if bad.starts_with('"') {
                    "number"
                } else {
                    "it must be a number from 0 on"
                }),
                "{bad}"
            );
        }
    }
}
