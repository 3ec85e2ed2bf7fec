//! CSV of selected fields (RFC 4180), for spreadsheets: a header line with the paths, and one line per record, each
//! ended by CRLF.
//!
//! CSV has no place for messages, so a stream that loses records or fails is cut off: its HTTP response is incomplete,
//! which curl and other clients report as an error.
//!
//! Spreadsheets run a cell that begins with `=`, `+`, `-` or `@` as a formula, and publishers may be untrusted ("CSV
//! injection"). An apostrophe is written before such a text, unless it is a number, so that spreadsheets treat it as
//! text. Programs that need the exact bytes should use another format.

use super::envelope;
use super::json;
use super::projection::Projection;
use crate::broker::BrokerError;
use crate::cel::{PathStep, Variable};
use crate::hub::{Format, FormatChoice, Gap};
use crate::record::{Partition, RecordRef, TopicName};
use bytes::Bytes;
use memchr::memchr;

/// Marks the place where a stream is cut off. The reason and a line feed follow. This byte does not occur in UTF-8.
const CUT: u8 = 0xff;

pub struct Csv {
    /// Contains the fields, because formats with different fields must have different names.
    name: String,
    fields: Projection,
}

impl Csv {
    pub fn new(fields: Projection) -> Self {
        Self { name: format!("csv {fields}"), fields }
    }

    /// Bounds the errors in the cells: each cell of an undecoded key or value has one.
    fn errors_bound(&self, record: &RecordRef<'_>) -> usize {
        let errors = [record.key_error(), record.value_error()].into_iter().flatten();
        errors.map(|error| self.fields.paths.len() * (b"schema_error: \"\"".len() + 2 * error.len())).sum()
    }
}

/// Returns the header line, which contains the paths.
pub fn header_line(fields: &Projection) -> Bytes {
    let mut out = Vec::new();
    for (number, path) in fields.paths.iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        write_text(&mut out, &path.to_string());
    }
    out.extend_from_slice(b"\r\n");
    out.into()
}

/// Appends the line of a record.
pub fn write_line(
    fields: &Projection,
    out: &mut Vec<u8>,
    topic: &TopicName,
    partition: Partition,
    record: &RecordRef<'_>,
) {
    let (selected, start) = (fields.select(record), out.len());
    for (number, (path, selected)) in fields.paths.iter().zip(selected).enumerate() {
        if number > 0 {
            out.push(b',');
        }
        let error = match path.root {
            Variable::Key => record.key_error(),
            Variable::Value => record.value_error(),
            _ => None,
        };
        if let Some(error) = error {
            // An empty cell would look like a missing field.
            write_text(out, &format!("schema_error: {error}"));
            continue;
        }
        match (path.root, path.steps.first()) {
            (Variable::Key | Variable::Value, Some(_)) => {
                selected.iter().for_each(|raw| write_json(out, raw.get()));
            }
            (Variable::Key, None) => write_whole(out, record.key),
            (Variable::Value, None) => write_whole(out, record.value),
            (Variable::Headers, Some(PathStep::Field(name))) => write_bytes(out, record.last_header(name)),
            (Variable::Headers, _) => write_text(out, &headers(topic, partition, record)),
            (Variable::Topic, _) => write_text(out, topic.as_str()),
            (Variable::Partition, _) => write_number(out, partition.into()),
            (Variable::Offset, _) => write_number(out, record.offset),
            (Variable::Timestamp, _) if record.timestamp < 0 => {}
            (Variable::Timestamp, _) => write_number(out, record.timestamp),
        }
    }
    if out.len() == start {
        // Many readers skip empty lines, so a single empty cell is written as `""`.
        out.extend_from_slice(b"\"\"");
    }
    out.extend_from_slice(b"\r\n");
}

/// Splits a chunk at `CUT`. Returns the bytes before it, and the reason why the stream is cut off there.
pub fn split_at_cut(chunk: Bytes) -> (Bytes, Option<String>) {
    let Some(place) = memchr(CUT, &chunk) else { return (chunk, None) };
    let reason = chunk.get(place + 1..).unwrap_or_default();
    let reason = reason.split(|byte| *byte == b'\n').next().unwrap_or_default();
    (chunk.slice(..place), Some(String::from_utf8_lossy(reason).into_owned()))
}

impl Format for Csv {
    fn name(&self) -> &str {
        &self.name
    }

    fn choice(&self) -> FormatChoice {
        FormatChoice::ByClient
    }

    fn uses_ids(&self) -> bool {
        false
    }

    fn record(&self, out: &mut Vec<u8>, topic: &TopicName, partition: Partition, record: &RecordRef<'_>, _id: &str) {
        write_line(&self.fields, out, topic, partition, record);
    }

    /// CSV has no place for a message beside the records that match.
    fn undecoded(&self, out: &mut Vec<u8>, topic: &TopicName, partition: Partition, record: &RecordRef<'_>, _id: &str) {
        let error = record.value_error().or(record.key_error()).unwrap_or_default();
        out.push(CUT);
        out.extend(
            format!("the filter cannot be applied to {topic}/{partition} at {}: {error}\n", record.offset).bytes(),
        );
    }

    fn bound(&self, record: &RecordRef<'_>) -> usize {
        // Quotes are doubled, so a cell can take twice as many bytes as the text in JSON.
        self.fields.overhead() + 2 * record.encoded_bound() + self.errors_bound(record)
    }

    fn quick_bound(&self, record: &RecordRef<'_>) -> usize {
        self.fields.overhead() + 2 * record.quick_bound() + self.errors_bound(record)
    }

    fn checkpoint(&self, _out: &mut Vec<u8>, _id: &str) {}

    fn gap(&self, out: &mut Vec<u8>, gap: &Gap, _id: &str) {
        let Gap { topic, partition, from, to, reason } = gap;
        let reason = reason.as_str();
        out.push(CUT);
        out.extend(format!("offsets {from} to {to} of {topic}/{partition} are not available ({reason})\n").bytes());
    }

    fn problem(&self, out: &mut Vec<u8>, error: &BrokerError) {
        out.push(CUT);
        out.extend(error.to_string().replace('\n', " ").bytes());
        out.push(b'\n');
    }
}

fn headers(topic: &TopicName, partition: Partition, record: &RecordRef<'_>) -> String {
    let mut member = Vec::new();
    envelope::write_member(&mut member, Variable::Headers, topic, partition, record);
    let list = member.strip_prefix(b"\"headers\":").unwrap_or_default();
    String::from_utf8_lossy(list).into_owned()
}

/// Writes a key or value: decoded if it is JSON, otherwise as text, or as base64 if it is not UTF-8.
fn write_whole(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes.and_then(|bytes| std::str::from_utf8(bytes).ok()) {
        Some(text) if json::is_json(text) => write_json(out, text.trim_ascii()),
        _ => write_bytes(out, bytes),
    }
}

fn write_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    let Some(bytes) = bytes else { return };
    match std::str::from_utf8(bytes) {
        Ok(text) => write_text(out, text),
        Err(_) => {
            out.extend_from_slice(b"base64:");
            json::base64(out, bytes);
        }
    }
}

/// Writes a JSON value: a string as its text, null as an empty cell, and other values as JSON.
fn write_json(out: &mut Vec<u8>, json: &str) {
    match json.as_bytes().first() {
        Some(b'n') => {}
        Some(b'"') => write_text(out, &serde_json::from_str::<String>(json).unwrap_or_default()),
        Some(b'{' | b'[') => {
            let mut line = Vec::new();
            json::write_on_one_line(&mut line, json.as_bytes());
            write_text(out, &String::from_utf8_lossy(&line));
        }
        _ => out.extend_from_slice(json.as_bytes()),
    }
}

fn write_number(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Writes a text, with an apostrophe if it could be a formula. Adds quotes where CSV requires them, and if the text is
/// empty, to distinguish it from null.
pub fn write_text(out: &mut Vec<u8>, text: &str) {
    let needs_quotes = text.is_empty() || text.contains(['"', ',', '\r', '\n']);
    if needs_quotes {
        out.push(b'"');
    }
    if is_formula(text) {
        out.push(b'\'');
    }
    for (number, part) in text.split('"').enumerate() {
        if number > 0 {
            out.extend_from_slice(b"\"\"");
        }
        out.extend_from_slice(part.as_bytes());
    }
    if needs_quotes {
        out.push(b'"');
    }
}

/// Whether a spreadsheet could run the text as a formula (OWASP, "CSV Injection").
fn is_formula(text: &str) -> bool {
    let starts = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
    let has_digits_only = || text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    starts && !(has_digits_only() && text.parse::<f64>().is_ok())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::cel::FieldPath;
    use crate::record::Records;
    use proptest::prelude::*;

    /// Parses CSV as RFC 4180 defines it. `None` is an empty field without quotes.
    fn rows(text: &str) -> Vec<Vec<Option<String>>> {
        let mut rows = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let mut row = Vec::new();
            loop {
                let field = if let Some(quoted) = rest.strip_prefix('"') {
                    let mut field = String::new();
                    let mut inner = quoted;
                    loop {
                        let (before, after) = inner.split_once('"').expect("the quote is closed");
                        field.push_str(before);
                        match after.strip_prefix('"') {
                            Some(more) => {
                                field.push('"');
                                inner = more;
                            }
                            None => {
                                rest = after;
                                break;
                            }
                        }
                    }
                    Some(field)
                } else {
                    let end = rest.find([',', '\r', '\n']).expect("the line ends");
                    let (field, after) = rest.split_at(end);
                    assert!(!field.contains('"'), "{field}");
                    rest = after;
                    Some(field.to_owned()).filter(|field| !field.is_empty())
                };
                row.push(field);
                match rest.strip_prefix(',') {
                    Some(more) => rest = more,
                    None => break,
                }
            }
            rest = rest.strip_prefix("\r\n").expect("CRLF ends a line");
            rows.push(row);
        }
        rows
    }

    fn written(select: &str, value: Option<&[u8]>) -> String {
        let fields = Projection::new(FieldPath::parse_list(select, 1024).unwrap());
        let data = value.unwrap_or_default();
        let mut records = Records::over(data.to_vec().into());
        records.push(7, -1, None, value.map(|value| 0..value.len()));
        let mut out = header_line(&fields).to_vec();
        let topic = TopicName::new("t").unwrap();
        records.iter().for_each(|record| {
            let before = out.len();
            let format = Csv::new(Projection::new(fields.paths.clone()));
            format.record(&mut out, &topic, 3, &record, "");
            assert!(
                out.len() - before <= format.bound(&record) && format.bound(&record) <= format.quick_bound(&record)
            );
        });
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_kind_of_value_is_a_cell() {
        let cases: [(&str, Option<&[u8]>, &str); 12] = [
            ("value.t,key,offset", Some(br#"{"t": 21.50}"#), "value.t,key,offset\r\n21.50,,7\r\n"),
            ("value.t,value.u", Some(br#"{"t":"a\"b","u":true}"#), "value.t,value.u\r\n\"a\"\"b\",true\r\n"),
            ("value.t,value.u", Some(br#"{"t":"","u":null}"#), "value.t,value.u\r\n\"\",\r\n"),
            ("value.t", Some(br#"{"t":{"a": [1,2]}}"#), "value.t\r\n\"{\"\"a\"\": [1,2]}\"\r\n"),
            ("value", Some(b"text, with a comma"), "value\r\n\"text, with a comma\"\r\n"),
            ("value", Some(b" 21.5 "), "value\r\n21.5\r\n"),
            ("value", Some(b"\xff"), "value\r\nbase64:/w==\r\n"),
            ("value", None, "value\r\n\"\"\r\n"),
            ("topic,partition,timestamp", None, "topic,partition,timestamp\r\nt,3,\r\n"),
            ("value[\"a,b\"]", Some(b"{}"), "\"value[\"\"a,b\"\"]\"\r\n\"\"\r\n"),
            ("headers,offset", None, "headers,offset\r\n[],7\r\n"),
            ("value.a,value.b", Some(b"{\"a\":\"x\\r\\ny\",\"b\":-5}"), "value.a,value.b\r\n\"x\r\ny\",-5\r\n"),
        ];
        for (select, value, expected) in cases {
            assert_eq!(written(select, value), expected);
        }
    }

    #[test]
    fn a_spreadsheet_runs_no_cell() {
        for text in ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(1)", "\t=1", "-", "＝1"] {
            let value = serde_json::json!({ "a": text }).to_string();
            let csv = written("value.a", Some(value.as_bytes()));
            assert_eq!(rows(&csv)[1], [Some(format!("'{text}"))], "{csv}");
        }
        for text in ["-5", "+5.25", "-1e3", "a=b", "5-3"] {
            let value = serde_json::json!({ "a": text }).to_string();
            assert_eq!(rows(&written("value.a", Some(value.as_bytes())))[1], [Some(text.to_owned())]);
        }
    }

    #[test]
    fn a_loss_cuts_the_stream_after_the_lines_before_it() {
        let mut out = b"a,b\r\n".to_vec();
        let format = Csv::new(Projection::new(FieldPath::parse_list("key", 1024).unwrap()));
        format.problem(&mut out, &BrokerError::ShuttingDown);
        out.extend_from_slice(b"more\r\n");
        let (lines, reason) = split_at_cut(out.into());
        assert_eq!((&lines[..], reason), (&b"a,b\r\n"[..], Some(BrokerError::ShuttingDown.to_string())));
    }

    proptest! {
        #[test]
        fn any_text_is_read_back(text in "(=|-|[a,\"\\r\\n]|.){0,6}") {
            let value = serde_json::json!({ "a": text, "b": 1 }).to_string();
            let csv = written("value.a,value.b", Some(value.as_bytes()));
            let rows = rows(&csv);
            prop_assert_eq!(rows.len(), 2);
            let read = rows[1][0].clone().unwrap();
            prop_assert_eq!(if is_formula(&text) { &read[1..] } else { &read[..] }, text);
            prop_assert_eq!(rows[1][1].as_deref(), Some("1"));
        }
    }
}
