//! Server-Sent Events as WHATWG HTML 9.2.6 says, byte for byte.

use crate::http::{self, Answer};
use serde_json::Value;
use std::io::Read;
use std::time::{Duration, Instant};

/// What a frame dispatched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// `message` unless the frame names another.
    pub kind: String,
    pub data: String,
    /// The last event id as it stands with this event.
    pub id: String,
}

impl Event {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|e| panic!("not JSON ({e}): {}", self.data))
    }
}

/// The parser of the standard: fed bytes, cut anywhere.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    after_cr: bool,
    kind: String,
    data: Option<String>,
    id_buffer: String,
    /// As the standard sets it: at the end of a frame, data or not.
    pub last_id: String,
    pub comments: Vec<String>,
    pub retry: Option<u64>,
}

impl Parser {
    pub fn feed(&mut self, bytes: &[u8], mut dispatch: impl FnMut(Event)) {
        for &byte in bytes {
            let was_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                b'\n' if was_cr => {}
                b'\n' | b'\r' => {
                    let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned();
                    if let Some(event) = self.line(&line) {
                        dispatch(event);
                    }
                }
                _ => self.line.push(byte),
            }
        }
    }

    fn line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            self.last_id.clone_from(&self.id_buffer);
            let kind = std::mem::take(&mut self.kind);
            let data = self.data.take()?;
            let kind = if kind.is_empty() { "message".to_owned() } else { kind };
            return Some(Event { kind, data, id: self.last_id.clone() });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" => self.comments.push(value.to_owned()),
            "event" => self.kind = value.to_owned(),
            "data" => match &mut self.data {
                Some(data) => *data = format!("{data}\n{value}"),
                none => *none = Some(value.to_owned()),
            },
            "id" if !value.contains('\0') => self.id_buffer = value.to_owned(),
            "retry" => self.retry = value.parse().ok().or(self.retry),
            _ => {}
        }
        None
    }
}

/// An open stream.
pub struct Stream {
    answer: Answer,
    pub parser: Parser,
    ready: std::collections::VecDeque<Event>,
    raw: Vec<u8>,
}

/// Why there is no next event.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// The server ended it as HTTP says.
    Closed,
    /// Cut off, or nothing came in time.
    Broken(String),
}

impl Stream {
    /// Opens `GET target`; panics unless the answer is an event stream.
    pub fn open(port: u16, target: &str) -> Self {
        Self::open_at(port, target, None)
    }

    /// Opens it with a `Last-Event-ID`.
    pub fn open_at(port: u16, target: &str, last_id: Option<&str>) -> Self {
        Self::try_open(port, target, last_id).unwrap_or_else(|e| panic!("GET {target}: {e}"))
    }

    /// `Err` where the connection breaks or the answer is no event stream.
    pub fn try_open(port: u16, target: &str, last_id: Option<&str>) -> Result<Self, String> {
        let mut stream = http::try_connect(port).map_err(|e| e.to_string())?;
        let mut headers = vec![("Accept", "text/event-stream")];
        headers.extend(last_id.map(|id| ("Last-Event-ID", id)));
        http::write_head(&mut stream, "GET", target, &headers).map_err(|e| e.to_string())?;
        let answer = http::open(stream).map_err(|e| e.to_string())?;
        let kind = answer.header("content-type").unwrap_or_default().to_owned();
        if answer.status != 200 || !kind.starts_with("text/event-stream") {
            let status = answer.status;
            let body = answer.finish().map(|r| r.text()).unwrap_or_default();
            return Err(format!("{status} {kind}: {body}"));
        }
        Ok(Self { answer, parser: Parser::default(), ready: Default::default(), raw: Vec::new() })
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.answer.header(name)
    }

    /// The next event; gives up after `limit`, whatever heartbeats come.
    pub fn next_within(&mut self, limit: Duration) -> Result<Event, End> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            self.read_more(deadline)?;
        }
    }

    /// Hands out what has been parsed already.
    pub fn drain(&mut self, hand_out: impl FnMut(Event)) {
        self.ready.drain(..).for_each(hand_out);
    }

    fn read_more(&mut self, deadline: Instant) -> Result<(), End> {
        // A timeout of zero would be none.
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let _ = self.answer.socket().set_read_timeout(Some(left));
        let mut buffer = [0; 65536];
        match self.answer.read(&mut buffer) {
            Ok(0) => Err(End::Closed),
            Ok(got) => {
                self.raw.extend_from_slice(&buffer[..got]);
                let ready = &mut self.ready;
                self.parser.feed(&buffer[..got], |event| ready.push_back(event));
                Ok(())
            }
            Err(e) => Err(End::Broken(e.to_string())),
        }
    }

    /// The next event within 30 s.
    #[track_caller]
    pub fn event(&mut self) -> Event {
        self.next_within(Duration::from_secs(30)).unwrap_or_else(|e| panic!("no event: {e:?}; so far {}", self.raw()))
    }

    /// The data of the next `count` events.
    #[track_caller]
    pub fn take(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.event().data).collect()
    }

    /// Reads until the stream has told where it starts (its first id); returns that id.
    #[track_caller]
    pub fn first_id(&mut self) -> String {
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.parser.last_id.is_empty() {
            self.read_more(deadline).unwrap_or_else(|e| panic!("no id: {e:?}; so far {}", self.raw()));
        }
        self.parser.last_id.clone()
    }

    /// Reads until a comment with this text has come.
    #[track_caller]
    pub fn wait_for_comment(&mut self, text: &str, limit: Duration) {
        let deadline = Instant::now() + limit;
        while !self.parser.comments.iter().any(|c| c == text) {
            self.read_more(deadline).unwrap_or_else(|e| panic!("no comment {text:?}: {e:?}; so far {}", self.raw()));
        }
    }

    /// All events up to the server's end of the stream, without the `end` that closes a complete one.
    #[track_caller]
    pub fn rest(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            match self.next_within(Duration::from_secs(30)) {
                Ok(event) => events.push(event),
                Err(End::Closed) => return without_end(events),
                Err(broken) => panic!("{broken:?} after {} events; so far {}", events.len(), self.raw()),
            }
        }
    }

    /// All bytes so far.
    pub fn raw(&self) -> String {
        String::from_utf8_lossy(&self.raw).into_owned()
    }
}

/// Takes out the closing `event: end`, as a page without a listener for it does. Anywhere else it stays and is seen.
pub fn without_end(mut events: Vec<Event>) -> Vec<Event> {
    events.pop_if(|last| last.kind == "end" && last.data == "{}");
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_cut_anywhere_are_the_same_events() {
        let bytes = b"retry: 2000\r\n: hi\r\n\r\nid: a\n\ndata: x\rdata:  y\revent: k\nid: b\n\nid: c\n";
        for cut in 0..bytes.len() {
            let mut parser = Parser::default();
            let mut events = Vec::new();
            parser.feed(&bytes[..cut], |e| events.push(e));
            parser.feed(&bytes[cut..], |e| events.push(e));
            let expected = Event { kind: "k".into(), data: "x\n y".into(), id: "b".into() };
            assert_eq!((events, &*parser.last_id, parser.retry), (vec![expected], "b", Some(2000)), "cut at {cut}");
        }
    }
}
