//! Standard input of `produce`, cut into batches of records as they come.

use super::envelope::RecordLine;
use crate::config::{LineFormat, Produce, Separator};
use crate::record::{Header, NewRecord};
use bytes::{Bytes, BytesMut};
use std::io::{self, Read};

/// Bytes of one batch of lines: what one read of standard input brings.
const READ: usize = 256 << 10;

pub struct InputLines<R> {
    input: R,
    /// The beginning of a line whose end has not come.
    rest: BytesMut,
    ended: bool,
    /// Whose records were given out.
    lines: u64,
    /// Why no line is read any more, to be said once those before it are sent.
    refused: Option<String>,
}

impl<R: Read> InputLines<R> {
    pub fn new(input: R) -> Self {
        Self { input, rest: BytesMut::new(), ended: false, lines: 0, refused: None }
    }

    /// The records of all lines that one read completes; `None` at the end. A last line without a
    /// line end counts.
    ///
    /// After an error there is nothing more: what is before a line that cannot be read is sent, what is
    /// after it is not.
    pub fn next_batch(&mut self, settings: &Produce) -> Result<Option<Vec<NewRecord>>, String> {
        loop {
            if let Some(why) = self.refused.take() {
                self.ended = true;
                return Err(why);
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

    /// Whole lines, not empty.
    fn next_lines(&mut self) -> Result<Option<Bytes>, String> {
        while !self.ended {
            let kept = self.rest.len();
            self.rest.resize(kept + READ, 0);
            let place = self.rest.get_mut(kept..).unwrap_or_default();
            let read = match self.input.read(place) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => 0,
                Err(e) => {
                    self.ended = true;
                    return Err(format!("cannot read standard input: {e}"));
                }
                Ok(read) => {
                    self.ended = read == 0;
                    read
                }
            };
            self.rest.truncate(kept + read);
            let new = self.rest.get(kept..).unwrap_or_default();
            let whole = match new.iter().rposition(|b| *b == b'\n') {
                Some(last) => kept + last + 1,
                None if self.ended => self.rest.len(),
                None => continue,
            };
            let lines = self.rest.split_to(whole).freeze();
            if !lines.is_empty() {
                return Ok(Some(lines));
            }
        }
        Ok(None)
    }

    /// The records that lines of JSON describe, up to one that is none. Empty lines are heartbeats of a stream.
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
                Err(why) => {
                    let line = self.lines;
                    self.refused = Some(format!("line {line} is no record, and nothing from it on was sent: {why}"));
                    break;
                }
            }
        }
        records
    }
}

fn record(line: &[u8], settings: &Produce) -> Result<NewRecord, String> {
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
    let whole = lines.strip_suffix(b"\n").unwrap_or(lines);
    let new = |line: &[u8]| {
        let (key, value) = split(line, settings.key_separator.as_ref());
        NewRecord {
            partition: settings.partition,
            key: key.map(|key| lines.slice_ref(key)),
            value: Some(lines.slice_ref(value)),
            headers: headers.clone(),
            timestamp: None,
        }
    };
    whole.split(|b| *b == b'\n').map(new).collect()
}

/// Key and value of a line. Without a separator in it, all of it is the value.
fn split<'a>(line: &'a [u8], separator: Option<&Separator>) -> (Option<&'a [u8]>, &'a [u8]) {
    let found = separator.and_then(|Separator(separator)| {
        let at = line.windows(separator.len()).position(|window| window == separator)?;
        Some((line.get(..at)?, line.get(at + separator.len()..)?))
    });
    found.map_or((None, line), |(key, value)| (Some(key), value))
}

#[cfg(test)]
mod tests;
