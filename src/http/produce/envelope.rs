//! The `{"records":[…]}` envelopes of the Confluent REST Proxy v2, with Strimzi's `timestamp` and `headers`.

use super::body::BodyMemory;
use crate::http::problem::Problem;
use crate::record::{Header, NewRecord, Partition, Timestamp};
use crate::start_position::parse_timestamp;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Number;
use serde_json::value::RawValue;
use std::fmt;

/// Records of one envelope.
const MOST: usize = 100_000;
/// Memory that a record takes beside its data from parsing it to its answer: `{}` is a few bytes of a body and, with its
/// error, hundreds of memory.
pub const RECORD: usize = 512;
/// The same of a record header.
pub const HEADER: usize = 192;
/// Bytes of an error text: some quote the record.
const ERROR: usize = 160;

/// How an envelope writes keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As JSON; the record gets its text as it was sent.
    Json,
    /// As base64.
    Binary,
}

/// Members that v2 has and this bridge has no use for (schemas) are passed over, as v2 does.
#[derive(Deserialize)]
struct ProduceEnvelope<'a> {
    #[serde(borrow)]
    records: EnvelopeRecords<'a>,
}

/// The texts of at most [`MOST`] records, and how many there are.
struct EnvelopeRecords<'a> {
    texts: Vec<&'a RawValue>,
    count: usize,
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
                    if records.count <= MOST {
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
    /// `None` only where the member is missing.
    #[serde(borrow, default, deserialize_with = "present")]
    value: Option<&'a RawValue>,
    #[serde(default)]
    partition: Option<Number>,
    /// As text, like the headers: a list of lists takes many times as much memory.
    #[serde(borrow, default)]
    timestamp: Option<&'a RawValue>,
    #[serde(borrow, default)]
    headers: Option<&'a RawValue>,
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

/// `null` is a value too: a tombstone.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// The records in order, each by itself: one that is invalid does not keep the others from being written. `held` grows
/// by the memory of all of them.
pub fn read(form: Form, body: &[u8], held: &mut BodyMemory) -> Result<Vec<Result<NewRecord, Problem>>, Problem> {
    super::no_bom(body).map_err(|what| Problem::unprocessable(format!("the body is not an envelope: {what}")))?;
    let ProduceEnvelope { records } = serde_json::from_slice(body).map_err(|error| {
        let what = clipped(error.to_string());
        Problem::unprocessable(format!(
            "the body is not an envelope ({what}); it looks like {{\"records\":[{{\"value\":…}}]}}"
        ))
    })?;
    let EnvelopeRecords { texts, count } = records;
    if count > MOST {
        return Err(Problem::too_large(format!("the envelope holds {count} records; at most {MOST} are allowed")));
    }
    if texts.is_empty() {
        return Err(Problem::unprocessable(
            "the envelope holds no record; it looks like {\"records\":[{\"value\":…}]}",
        ));
    }
    // Keys and values are copied.
    let mut memory = 2 * body.len() + count * RECORD;
    held.set(memory)?;
    let mut entries = Vec::with_capacity(count);
    for (place, text) in texts.into_iter().enumerate() {
        let entry = match serde_json::from_str::<EnvelopeRecord>(text.get()) {
            Ok(item) => {
                memory += item.header_count() * HEADER;
                held.set(memory)?;
                record(form, item)
            }
            Err(error) => Err(error.to_string()),
        };
        let invalid = |what| Problem::unprocessable(format!("records[{place}]: {}", clipped(what)));
        entries.push(entry.map_err(invalid));
    }
    Ok(entries)
}

fn clipped(mut text: String) -> String {
    if text.len() > ERROR {
        let end = (0..=ERROR).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
        text.push('…');
        text.shrink_to_fit();
    }
    text
}

fn record(form: Form, item: EnvelopeRecord) -> Result<NewRecord, String> {
    let EnvelopeRecord { key, value, partition, timestamp, headers } = item;
    let value = value.ok_or("\"value\" is missing; null is a tombstone")?;
    let partition = partition.map(|given| {
        let partition = integer(&given).and_then(|partition| Partition::try_from(partition).ok());
        partition.filter(|partition| *partition >= 0).ok_or(format!("partition is {given}; it is a number from 0 on"))
    });
    let headers = headers.map(|text| serde_json::from_str::<Vec<ItemHeader>>(text.get()));
    let headers = headers.transpose().map_err(|error| format!("headers: {error}"))?;
    Ok(NewRecord {
        partition: partition.transpose()?,
        key: key.map_or(Ok(None), |key| data(form, "key", key))?,
        value: data(form, "value", value)?,
        headers: headers.unwrap_or_default().into_iter().map(header).collect::<Result<_, _>>()?,
        timestamp: timestamp.map(|text| time(text.get())).transpose()?,
    })
}

fn time(text: &str) -> Result<Timestamp, String> {
    if let Ok(ms) = serde_json::from_str::<Number>(text) {
        return integer(&ms).filter(|ms| *ms >= 0).ok_or_else(|| bad_time(&ms));
    }
    match serde_json::from_str::<String>(text) {
        Ok(text) => parse_timestamp(&text).ok_or_else(|| bad_time(&text)),
        Err(_) => Err(bad_time(&text)),
    }
}

/// In JSON, 100.0 is an integer too; what a double cannot hold exactly is none.
fn integer(number: &Number) -> Option<i64> {
    const EXACT: f64 = (1u64 << 53) as f64;
    let of_double = || number.as_f64().filter(|n| n.fract() == 0.0 && n.abs() <= EXACT).map(|n| n as i64);
    number.as_i64().or_else(of_double)
}

fn bad_time(given: &dyn fmt::Display) -> String {
    format!("timestamp is {given}; it is ms since 1970, or a time like \"2026-01-31T08:00:00Z\"")
}

fn data(form: Form, what: &str, raw: &RawValue) -> Result<Option<Bytes>, String> {
    let text = raw.get();
    match form {
        _ if text == "null" => Ok(None),
        Form::Json => Ok(Some(Bytes::copy_from_slice(text.as_bytes()))),
        Form::Binary => {
            let text: String = serde_json::from_str(text).map_err(|_| format!("{what} is not a string of base64"))?;
            Ok(Some(base64(what, &text)?))
        }
    }
}

fn header(ItemHeader { key: name, value }: ItemHeader) -> Result<Header, String> {
    let what = format!("the value of header {name:?}");
    Ok(Header { name, value: value.map(|value| base64(&what, &value)).transpose()? })
}

fn base64(what: &str, text: &str) -> Result<Bytes, String> {
    STANDARD.decode(text).map(Bytes::from).map_err(|error| format!("{what} is not base64: {error}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_is_one_however_json_writes_it() {
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
            serde_json::from_str(&text).map_err(|error| error.to_string()).and_then(|item| record(Form::Json, item))
        };
        assert_eq!(one("2.0").unwrap().partition, Some(2));
        assert_eq!(one("null").unwrap().partition, None);
        for bad in ["-1", "2147483648", "0.5", "\"1\""] {
            assert!(
                one(bad).unwrap_err().contains(if bad.starts_with('"') {
                    "number"
                } else {
                    "it is a number from 0 on"
                }),
                "{bad}"
            );
        }
    }
}
