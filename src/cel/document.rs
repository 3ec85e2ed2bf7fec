//! The view of a record that expressions use.

use super::node::Variable;
use super::value::{CelValue, JsonValue};
use crate::record::{Partition, RecordRef, TopicName};
use std::borrow::Cow;
use std::cell::OnceCell;

/// A record whose parts are parsed on first use and then cached, so that several expressions share the work.
pub struct Document<'r> {
    record: RecordRef<'r>,
    topic: &'r TopicName,
    partition: Partition,
    value: OnceCell<JsonValue<'r>>,
    key: OnceCell<JsonValue<'r>>,
    headers: OnceCell<JsonValue<'r>>,
}

impl<'r> Document<'r> {
    /// Wraps a record of the given topic and partition. Parses nothing yet.
    pub fn new(topic: &'r TopicName, partition: Partition, record: RecordRef<'r>) -> Self {
        let (value, key, headers) = (OnceCell::new(), OnceCell::new(), OnceCell::new());
        Self { record, topic, partition, value, key, headers }
    }

    /// Whether a variable has no value because its schema could not be applied.
    pub(super) fn is_undecoded(&self, variable: Variable) -> bool {
        match variable {
            Variable::Value => self.record.value_error().is_some(),
            Variable::Key => self.record.key_error().is_some(),
            _ => false,
        }
    }

    /// Returns the value of a variable. A record without a timestamp has the timestamp null.
    pub(super) fn variable(&self, variable: Variable) -> CelValue<'_> {
        match variable {
            Variable::Value => self.value.get_or_init(|| JsonValue::read(self.record.value)).view(),
            Variable::Key => self.key.get_or_init(|| JsonValue::read(self.record.key)).view(),
            Variable::Headers => self.headers.get_or_init(|| self.read_headers()).view(),
            Variable::Topic => CelValue::String(Cow::Borrowed(self.topic.as_str())),
            Variable::Partition => CelValue::Int(self.partition.into()),
            Variable::Offset => CelValue::Int(self.record.offset),
            Variable::Timestamp if self.record.timestamp < 0 => CelValue::Null,
            Variable::Timestamp => CelValue::Timestamp(self.record.timestamp),
        }
    }

    /// The values stay text, even if they look like JSON. Headers whose name is not UTF-8 are left out, because no
    /// expression can name them.
    fn read_headers(&self) -> JsonValue<'r> {
        let read = |bytes: &'r [u8]| match std::str::from_utf8(bytes) {
            Ok(text) => JsonValue::String(Cow::Borrowed(text)),
            Err(_) => JsonValue::Bytes(Cow::Borrowed(bytes)),
        };
        let headers = self.record.headers().filter_map(|(name, value)| {
            let name = std::str::from_utf8(name).ok()?;
            Some((Cow::Borrowed(name), value.map_or(JsonValue::Null, read)))
        });
        JsonValue::map(headers.collect())
    }
}
