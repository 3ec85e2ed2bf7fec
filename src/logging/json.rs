//! JSON lines, for programs.

use super::{Levels, current};
use log::kv::{Error, Key, Value, VisitSource, VisitValue};
use log::{Log, Metadata, Record};
use serde_json::Map;
use std::io::Write;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Writes one JSON object per line.
pub struct JsonLogger(pub Levels);

impl Log for JsonLogger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.allow(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let line = line(record, OffsetDateTime::now_utc(), current().as_deref());
        // Written at once, so that lines of several threads do not mix. If standard error is closed, the line is lost.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }

    fn flush(&self) {
        let _ = std::io::stderr().flush();
    }
}

fn line(record: &Record<'_>, now: OffsetDateTime, request: Option<&str>) -> String {
    let mut fields = JsonFields(Map::new());
    let time = now.format(&Rfc3339).unwrap_or_default();
    fields.put("ts", time);
    fields.put("level", record.level().as_str().to_ascii_lowercase());
    fields.put("target", record.target());
    fields.put("message", record.args().to_string());
    if let Some(request) = request {
        fields.put("request", request);
    }
    // Visiting the values is infallible, because `Field` never fails.
    let _ = record.key_values().visit(&mut fields);
    serde_json::Value::Object(fields.0).to_string() + "\n"
}

struct JsonFields(Map<String, serde_json::Value>);

impl JsonFields {
    fn put(&mut self, name: &str, value: impl Into<serde_json::Value>) {
        self.0.insert(name.to_owned(), value.into());
    }
}

impl<'kvs> VisitSource<'kvs> for JsonFields {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        value.visit(Field(&mut self.0, key.as_str()))
    }
}

/// Inserts the value of one field.
struct Field<'a>(&'a mut Map<String, serde_json::Value>, &'a str);

impl Field<'_> {
    fn set(self, value: impl Into<serde_json::Value>) -> Result<(), Error> {
        self.0.insert(self.1.to_owned(), value.into());
        Ok(())
    }
}

impl<'v> VisitValue<'v> for Field<'_> {
    fn visit_any(&mut self, value: Value<'_>) -> Result<(), Error> {
        Field(self.0, self.1).set(value.to_string())
    }

    fn visit_u64(&mut self, value: u64) -> Result<(), Error> {
        Field(self.0, self.1).set(value)
    }

    fn visit_i64(&mut self, value: i64) -> Result<(), Error> {
        Field(self.0, self.1).set(value)
    }

    fn visit_f64(&mut self, value: f64) -> Result<(), Error> {
        Field(self.0, self.1).set(value)
    }

    fn visit_bool(&mut self, value: bool) -> Result<(), Error> {
        Field(self.0, self.1).set(value)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_line_is_one_object_whatever_the_message_contains() {
        let values = [("status", Value::from(503u16)), ("path", Value::from("/a\"b"))];
        let record = Record::builder()
            .level(log::Level::Warn)
            .target("curlew::http")
            .args(format_args!("two\nlines and a \u{1b}[31mcolour"))
            .key_values(&values)
            .build();
        let now = OffsetDateTime::from_unix_timestamp_nanos(1_769_846_400_123_456_789).unwrap();
        let line = line(&record, now, Some("r-1"));
        assert_eq!(line.matches('\n').count(), 1);
        assert!(!line.contains('\u{1b}'));
        let parsed: serde_json::Value = serde_json::from_str(&line).unwrap();
        let expected = json!({
            "ts": "2026-01-31T08:00:00.123456789Z", "level": "warn", "target": "curlew::http", "request": "r-1",
            "message": "two\nlines and a \u{1b}[31mcolour", "status": 503, "path": "/a\"b",
        });
        assert_eq!(parsed, expected);
    }
}
