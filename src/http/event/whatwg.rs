//! The test oracle for event streams: the parser of the standard (WHATWG HTML, section 9.2.6), step by step. All tests
//! use it, including those in `tests` and `integration`.

use serde_json::Value;

/// An event as a browser dispatches it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SseEvent {
    /// `message`, unless the frame names another type.
    pub kind: String,
    pub data: String,
    /// The last event id at the time of this event.
    pub id: String,
}

impl SseEvent {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|e| panic!("not JSON ({e}): {}", self.data))
    }
}

/// Parses bytes that may be cut anywhere. An incomplete frame dispatches nothing.
#[derive(Debug, Default)]
pub struct EventSource {
    line: Vec<u8>,
    /// Whether a line has ended: a byte order mark is only removed before the first line.
    has_begun: bool,
    after_cr: bool,
    kind: String,
    data: String,
    id_buffer: String,
    /// The `Last-Event-ID` that a reconnecting client sends. It changes at the end of a frame, with or without data.
    pub last_id: String,
    pub comments: Vec<String>,
    /// The value of the last `retry` field.
    pub retry: Option<String>,
}

impl EventSource {
    /// Creates a client that reconnects with this id.
    pub fn resuming_at(last_id: &str) -> Self {
        Self { id_buffer: last_id.to_owned(), last_id: last_id.to_owned(), ..Self::default() }
    }

    /// Parses the next bytes and returns the events that they complete.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<SseEvent> {
        let mut events = Vec::new();
        for &byte in bytes {
            let was_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                b'\n' if was_cr => {}
                b'\n' | b'\r' => {
                    let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned();
                    let is_first = !std::mem::replace(&mut self.has_begun, true);
                    events.extend(self.line(line.strip_prefix('\u{feff}').filter(|_| is_first).unwrap_or(&line)));
                }
                _ => self.line.push(byte),
            }
        }
        events
    }

    fn line(&mut self, line: &str) -> Option<SseEvent> {
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" => self.comments.push(value.to_owned()),
            "event" => self.kind = value.to_owned(),
            "data" => self.data.extend([value, "\n"]),
            "id" if !value.contains('\0') => self.id_buffer = value.to_owned(),
            "retry" => self.retry = Some(value.to_owned()),
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<SseEvent> {
        self.last_id.clone_from(&self.id_buffer);
        let (kind, mut data) = (std::mem::take(&mut self.kind), std::mem::take(&mut self.data));
        data.pop()?;
        let kind = if kind.is_empty() { "message".to_owned() } else { kind };
        Some(SseEvent { kind, data, id: self.last_id.clone() })
    }
}
