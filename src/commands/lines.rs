//! Splits the standard input of `produce` into batches of records.

use super::envelope::{RecordLine, RecordLineError};
use crate::config::{LineFormat, Produce, Separator};
use crate::hub::Rejected;
use crate::record::{Header, NewRecord};
use bytes::{Bytes, BytesMut};
use std::io::{self, Read};
use thiserror::Error;

/// Size of one read of standard input, and approximately of a batch, in bytes.
const READ_BYTES: usize = 256 << 10;

/// An error that ends the input.
#[derive(Debug, Error)]
pub enum InputError {
    #[error("cannot read standard input: {0}")]
    Read(#[source] io::Error),
    #[error("line {number} is not a record, and nothing from this line on was sent: {source}")]
    Line { number: u64, source: RecordLineError },
    /// The input has not ended, but its records can no longer be sent.
    #[error("record {first} and all that follow were not sent: {reason}")]
    NotSent {
        first: u64,
        #[source]
        reason: Rejected,
    },
}

/// Reads lines and turns them into records.
pub struct InputLines<R> {
    input: R,
    /// The incomplete last line.
    rest: BytesMut,
    ended: bool,
    /// Number of lines parsed so far.
    lines: u64,
    /// The error of an invalid line, to return after the records before it.
    invalid: Option<InputError>,
}

impl<R: Read> InputLines<R> {
    pub fn new(input: R) -> Self {
        Self { input, rest: BytesMut::new(), ended: false, lines: 0, invalid: None }
    }

    /// Returns the records of the lines that one read completes, or `None` at the end of input. The last line needs no line
    /// end.
    ///
    /// For an invalid line, returns the records before it, then its error, and then `None`.
    pub fn next_batch(&mut self, settings: &Produce) -> Result<Option<Vec<NewRecord>>, InputError> {
        loop {
            if let Some(error) = self.invalid.take() {
                self.ended = true;
                return Err(error);
            }
            let Some(lines) = self.next_lines()? else { return Ok(None) };
            let records = match settings.format {
                LineFormat::Value => values(&lines, settings),
                LineFormat::Record => self.records(&lines, settings),
            };
            if !records.is_empty() {
                return Ok(Some(records));
            }
        }
    }

    /// Returns one or more complete lines.
    fn next_lines(&mut self) -> Result<Option<Bytes>, InputError> {
        while !self.ended {
            let kept = self.rest.len();
            self.rest.resize(kept + READ_BYTES, 0);
            let buffer = self.rest.get_mut(kept..).unwrap_or_default();
            let read = match self.input.read(buffer) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => 0,
                Err(e) => {
                    self.ended = true;
                    return Err(InputError::Read(e));
                }
                Ok(read) => {
                    self.ended = read == 0;
                    read
                }
            };
            self.rest.truncate(kept + read);
            let new = self.rest.get(kept..).unwrap_or_default();
            let end = match new.iter().rposition(|b| *b == b'\n') {
                Some(last) => kept + last + 1,
                None if self.ended => self.rest.len(),
                None => continue,
            };
            let lines = self.rest.split_to(end).freeze();
            if !lines.is_empty() {
                return Ok(Some(lines));
            }
        }
        Ok(None)
    }

    /// Parses lines of JSON up to the first invalid one. Empty lines, the heartbeats of NDJSON streams, are skipped.
    fn records(&mut self, lines: &[u8], settings: &Produce) -> Vec<NewRecord> {
        let mut records = Vec::new();
        let headers = headers(settings);
        for line in lines.strip_suffix(b"\n").unwrap_or(lines).split(|b| *b == b'\n') {
            self.lines += 1;
            if line.trim_ascii().is_empty() {
                continue;
            }
            match record(line, settings) {
                Ok(mut record) => {
                    record.headers.extend_from_slice(&headers);
                    records.push(record);
                }
                Err(source) => {
                    self.invalid = Some(InputError::Line { number: self.lines, source });
                    break;
                }
            }
        }
        records
    }
}

fn record(line: &[u8], settings: &Produce) -> Result<NewRecord, RecordLineError> {
    let envelope = RecordLine::read(line)?;
    let partition = if settings.keep_partitions { Some(envelope.partition()?) } else { settings.partition };
    Ok(NewRecord { partition, ..envelope.new_record()? })
}

fn headers(settings: &Produce) -> Vec<Header> {
    let header = |(name, value): &(String, String)| Header { name: name.clone(), value: Some(value.clone().into()) };
    settings.headers.iter().map(header).collect()
}

fn values(lines: &Bytes, settings: &Produce) -> Vec<NewRecord> {
    let headers = headers(settings);
    let content = lines.strip_suffix(b"\n").unwrap_or(lines);
    let usual_key: Option<Bytes> = settings.key.clone().map(Bytes::from);
    let new = |line: &[u8]| {
        let (key, value) = split(line, settings.key_separator.as_ref());
        NewRecord {
            partition: settings.partition,
            key: key.map(|key| lines.slice_ref(key)).or_else(|| usual_key.clone()),
            value: Some(lines.slice_ref(value)),
            headers: headers.clone(),
            timestamp: None,
        }
    };
    content.split(|b| *b == b'\n').map(new).collect()
}

/// Splits a line into key and value. A line without the separator is a value without a key.
fn split<'a>(line: &'a [u8], separator: Option<&Separator>) -> (Option<&'a [u8]>, &'a [u8]) {
    let found = separator.and_then(|Separator(separator)| {
        let at = line.windows(separator.len()).position(|window| window == separator)?;
        Some((line.get(..at)?, line.get(at + separator.len()..)?))
    });
    found.map_or((None, line), |(key, value)| (Some(key), value))
}

#[cfg(test)]
mod tests;
