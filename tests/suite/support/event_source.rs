//! What a browser makes of a stream (WHATWG HTML, 9.2.6), up to where the stream is cut.

#[derive(Default)]
pub struct EventSource {
    /// Name and data of each event, in order.
    pub events: Vec<(String, String)>,
    /// What it sends as `Last-Event-ID` when it comes back; empty: nothing.
    pub last_event_id: String,
}

impl EventSource {
    /// Reads what came on one connection. A frame that is not whole counts for nothing.
    pub fn connection(&mut self, stream: &[u8]) {
        let text = String::from_utf8_lossy(stream).replace("\r\n", "\n").replace('\r', "\n");
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let (mut name, mut data, mut id) = (String::new(), Vec::new(), self.last_event_id.clone());
        for line in whole.split('\n') {
            if line.is_empty() {
                self.last_event_id.clone_from(&id);
                let (name, data) = (std::mem::take(&mut name), std::mem::take(&mut data));
                if !data.is_empty() {
                    self.events.push((name, data.join("\n")));
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
            match field {
                "event" => name = value,
                "data" => data.push(value),
                "id" => id = value,
                _ => {}
            }
        }
    }
}
