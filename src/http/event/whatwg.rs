//! What a browser makes of a stream: WHATWG HTML, 9.2.6 "Interpreting an event stream", step by step.

/// An event that a browser dispatches, with its last event id at that moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SseEvent {
    pub name: String,
    pub data: String,
    pub id: String,
}

#[derive(Default)]
pub struct Parser {
    name: String,
    data: String,
    id: String,
    /// The event source's, which it sends as `Last-Event-ID`.
    pub last_event_id: String,
    /// A `retry` field, which no frame of ours may hold.
    pub retry: Option<String>,
    pub events: Vec<SseEvent>,
}

/// Reads a whole stream; what its end cuts off is discarded.
pub fn read(stream: &[u8]) -> Parser {
    let text = String::from_utf8_lossy(stream);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut parser = Parser::default();
    let mut lines: Vec<_> = text.split('\n').collect();
    lines.pop();
    for line in lines {
        parser.line(line);
    }
    parser
}

impl Parser {
    fn line(&mut self, line: &str) {
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.name = value.to_owned(),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => self.id = value.to_owned(),
            "retry" => self.retry = Some(value.to_owned()),
            _ => {}
        }
    }

    fn dispatch(&mut self) {
        self.last_event_id.clone_from(&self.id);
        let (name, mut data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
        if data.is_empty() {
            return;
        }
        if data.ends_with('\n') {
            data.pop();
        }
        let name = if name.is_empty() { "message".to_owned() } else { name };
        self.events.push(SseEvent { name, data, id: self.id.clone() });
    }
}
