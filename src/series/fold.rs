//! Aggregates the readings of records.

use super::extract::{Extractor, FieldIndex, ReadPart};
use super::point::{MAX_NAME, Omission, Reading};
use super::query::{FieldChoice, GroupBy, SeriesQuery, TimeSource};
use super::states::StateNames;
use super::table::SeriesTable;
use crate::record::{RecordRef, Timestamp};
use crate::sync::memory_budget::Share;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

/// Aggregates the readings of one partition's records in a table. Tables of different records can be merged.
pub struct Fold {
    query: Arc<SeriesQuery>,
    /// The steps to aggregate. Readings outside of them are ignored.
    steps: Range<i64>,
    extractor: Extractor,
    /// The table's index for each field of the extractor.
    fields: Vec<usize>,
    table: SeriesTable,
    buffer: Vec<(FieldIndex, f64)>,
}

impl Fold {
    /// Creates an empty fold. It ignores readings outside `steps`, and reserves its memory from `share`. All folds whose
    /// tables are merged share `states`.
    pub fn new(query: Arc<SeriesQuery>, steps: Range<i64>, share: &Arc<Share>, states: &Arc<StateNames>) -> Self {
        let (extractor, table) = (Extractor::new(&query, states), SeriesTable::new(share));
        Self { query, steps, extractor, fields: Vec::new(), table, buffer: Vec::new() }
    }

    /// Returns the number of bytes reserved from the share.
    pub fn memory(&self) -> usize {
        self.table.memory()
    }

    /// Returns the table of the aggregated readings.
    pub fn into_table(self) -> SeriesTable {
        self.table
    }

    /// Adds a record. A tombstone has no readings.
    pub fn add(&mut self, record: &RecordRef<'_>) {
        let Some(value) = record.value else { return };
        let is_named_by_key = self.query.by == Some(GroupBy::Key);
        if record.value_error().is_some() || (is_named_by_key && record.key_error().is_some()) {
            return self.omit_undecoded(record);
        }
        let read = self.extractor.read(value);
        for field in self.extractor.fields().iter().skip(self.fields.len()) {
            self.fields.push(self.table.field(field));
        }
        let added = read.and_then(|()| self.add_parts(record));
        if let Err(omission) = added {
            self.omit(record, omission);
        }
    }

    /// Counts a record whose readings are unknown, because it could not be decoded by its schema.
    pub fn omit_undecoded(&mut self, record: &RecordRef<'_>) {
        self.omit(record, Omission::SchemaError);
    }

    fn omit(&mut self, record: &RecordRef<'_>, omission: Omission) {
        let step = record.timestamp.div_euclid(self.query.step);
        if self.steps.contains(&step) {
            self.table.omit(step, omission, 1);
        }
    }

    /// Adds the readings of the record in the extractor. If a part of it is omitted, returns the first reason as an
    /// error. (The table counts the readings that do not fit in it.)
    fn add_parts(&mut self, record: &RecordRef<'_>) -> Result<(), Omission> {
        let Self { query, steps, extractor, fields, table, buffer } = self;
        let mut sink = ReadingSink { query, steps, fields, table, offset: record.offset };
        let of_record = extractor.record(buffer);
        let record_name = match &query.by {
            None => None,
            Some(GroupBy::Key) => record.key.map(name_of_key),
            Some(GroupBy::Header(name)) => record.last_header(name).map(text_of),
            Some(GroupBy::Value(_)) => of_record.name.map(Cow::Borrowed),
        };
        let record_time = match &query.time {
            TimeSource::Record => Some(record.timestamp).filter(|time| *time >= 0),
            TimeSource::Value(_) => of_record.time,
        };
        let is_empty = of_record.readings.is_empty() && extractor.elements().next().is_none();
        let mut result = match (extractor.passed_over(), &query.fields) {
            (Some(omission), _) => Err(omission),
            (None, FieldChoice::Listed(numbers)) if is_empty && numbers.is_empty() => Err(Omission::NoState),
            (None, _) if is_empty => Err(Omission::NoNumber),
            (None, _) => Ok(()),
        };
        if !of_record.readings.is_empty() {
            result = result.and(sink.add(&of_record, record_name.as_deref(), record_time));
        }
        for element in extractor.elements() {
            let (name, time) = (element.name.or(record_name.as_deref()), element.time.or(record_time));
            result = result.and(sink.add(&element, name, time));
        }
        result
    }
}

struct ReadingSink<'f> {
    query: &'f SeriesQuery,
    steps: &'f Range<i64>,
    fields: &'f [usize],
    table: &'f mut SeriesTable,
    offset: i64,
}

impl ReadingSink<'_> {
    fn add(&mut self, part: &ReadPart<'_>, name: Option<&str>, time: Option<Timestamp>) -> Result<(), Omission> {
        let time = time.ok_or(Omission::NoTime)?;
        let length = self.query.step;
        let step = time.div_euclid(length);
        if !self.steps.contains(&step) {
            return Ok(());
        }
        if name.is_some_and(|name| name.len() > MAX_NAME) {
            return Err(Omission::LongName);
        }
        let Ok(name_index) = self.table.name(name) else {
            for (field, _) in part.readings {
                self.table.refuse_series(self.fields[usize::from(*field)], name, step, 1);
            }
            return Ok(());
        };
        for (field, number) in part.readings {
            let reading = Reading { time, offset: self.offset, number: *number };
            self.table.add(self.fields[usize::from(*field)], name_index, step, length, reading);
        }
        Ok(())
    }
}

/// Returns the name of a key: the text of a JSON string, as the envelope of a record has it, or else the key itself.
fn name_of_key(key: &[u8]) -> Cow<'_, str> {
    let is_quoted = key.trim_ascii_start().first() == Some(&b'"');
    let text = if is_quoted { serde_json::from_slice::<String>(key).ok() } else { None };
    text.map_or_else(|| text_of(key), Cow::Owned)
}

/// Returns the text of a key or header, or its base64 if it is not UTF-8.
fn text_of(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(STANDARD.encode(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_a_json_string_is_its_text() {
        let names = [
            (&b"boiler"[..], "boiler"),
            (br#""boiler""#, "boiler"),
            (br#" "\u00fc" "#, "ü"),
            (br#""unfinished"#, "\"unfinished"),
            (br#"{"id": 1}"#, r#"{"id": 1}"#),
            (b"89490200001234567890", "89490200001234567890"),
            (b"\xff\xff", "//8="),
        ];
        for (key, name) in names {
            assert_eq!(name_of_key(key), name);
        }
    }
}
