//! The `{"records":[…]}` envelopes of the Confluent REST Proxy v2, with Strimzi's `timestamp` and `headers`.

use crate::http::problem::Problem;
use crate::record::{Header, NewRecord, Partition};
use crate::start::parse_timestamp;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Number;
use serde_json::value::RawValue;

/// Records of one envelope: `{}` is a few bytes of a body and, with what is wrong with it, many of memory.
const MOST: usize = 100_000;

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
struct Envelope<'a> {
    #[serde(borrow)]
    records: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow, default)]
    key: Option<&'a RawValue>,
    /// `None` only where the member is missing.
    #[serde(borrow, default, deserialize_with = "present")]
    value: Option<&'a RawValue>,
    #[serde(default)]
    partition: Option<Number>,
    #[serde(default)]
    timestamp: Option<serde_json::Value>,
    #[serde(default)]
    headers: Option<Vec<ItemHeader>>,
}

#[derive(Deserialize)]
struct ItemHeader {
    key: String,
    value: Option<String>,
}

/// `null` is a value too: a tombstone.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// The records in order, each by itself: one that is invalid does not keep the others from being written.
pub fn read(form: Form, body: &[u8]) -> Result<Vec<Result<NewRecord, Problem>>, Problem> {
    super::no_bom(body).map_err(|what| Problem::unprocessable(format!("the body is not an envelope: {what}")))?;
    let Envelope { records } = serde_json::from_slice(body).map_err(|error| {
        Problem::unprocessable(format!(
            "the body is not an envelope ({error}); it looks like {{\"records\":[{{\"value\":…}}]}}"
        ))
    })?;
    if records.len() > MOST {
        let given = records.len();
        return Err(Problem::too_large(format!("the envelope holds {given} records; at most {MOST} are allowed")));
    }
    if records.is_empty() {
        return Err(Problem::unprocessable(
            "the envelope holds no record; it looks like {\"records\":[{\"value\":…}]}",
        ));
    }
    let record = |(place, text): (usize, &RawValue)| {
        item(form, text.get()).map_err(|what| Problem::unprocessable(format!("records[{place}]: {what}")))
    };
    Ok(records.into_iter().enumerate().map(record).collect())
}

fn item(form: Form, text: &str) -> Result<NewRecord, String> {
    let Item { key, value, partition, timestamp, headers } =
        serde_json::from_str(text).map_err(|error| error.to_string())?;
    let value = value.ok_or("\"value\" is missing; null is a tombstone")?;
    let partition = partition.map(|given| {
        let partition = integer(&given).and_then(|partition| Partition::try_from(partition).ok());
        partition.filter(|partition| *partition >= 0).ok_or(format!("partition is {given}; it is a number from 0 on"))
    });
    Ok(NewRecord {
        partition: partition.transpose()?,
        key: key.map_or(Ok(None), |key| data(form, "key", key))?,
        value: data(form, "value", value)?,
        headers: headers.unwrap_or_default().into_iter().map(header).collect::<Result<_, _>>()?,
        timestamp: match timestamp {
            None | Some(serde_json::Value::Null) => None,
            Some(serde_json::Value::Number(ms)) => {
                Some(integer(&ms).filter(|ms| *ms >= 0).ok_or_else(|| bad_time(&ms))?)
            }
            Some(serde_json::Value::String(text)) => Some(parse_timestamp(&text).ok_or_else(|| bad_time(&text))?),
            Some(other) => return Err(bad_time(&other)),
        },
    })
}

/// In JSON, 100.0 is an integer too; what a double cannot hold exactly is none.
fn integer(number: &Number) -> Option<i64> {
    const EXACT: f64 = (1u64 << 53) as f64;
    let of_double = || number.as_f64().filter(|n| n.fract() == 0.0 && n.abs() <= EXACT).map(|n| n as i64);
    number.as_i64().or_else(of_double)
}

fn bad_time(given: &dyn std::fmt::Display) -> String {
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
        let one = |partition: &str| item(Form::Json, &format!(r#"{{"value":1,"partition":{partition}}}"#));
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
