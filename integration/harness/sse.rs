//! Streams of Server-Sent Events from a bridge.

use crate::http::{self, OpenResponse};
pub use crate::whatwg::{EventSource, SseEvent};
use std::io::Read;
use std::time::{Duration, Instant};

/// An open stream.
pub struct Stream {
    response: OpenResponse,
    pub source: EventSource,
    ready: std::collections::VecDeque<SseEvent>,
    raw: Vec<u8>,
}

/// The reason why there is no next event.
#[derive(Debug, PartialEq, Eq)]
pub enum SseEnd {
    /// The server ended the response properly.
    Closed,
    /// The connection was cut, or no event arrived in time.
    Broken(String),
}

impl Stream {
    /// Opens `GET target`. Panics unless the response is an event stream.
    pub fn open(port: u16, target: &str) -> Self {
        Self::open_at(port, target, None)
    }

    /// Opens `GET target` with a `Last-Event-ID`.
    pub fn open_at(port: u16, target: &str, last_id: Option<&str>) -> Self {
        Self::try_open(port, target, last_id).unwrap_or_else(|e| panic!("GET {target}: {e}"))
    }

    /// Fails if the connection breaks or the response is not an event stream.
    pub fn try_open(port: u16, target: &str, last_id: Option<&str>) -> Result<Self, String> {
        let mut stream = http::try_connect(port).map_err(|e| e.to_string())?;
        let mut headers = vec![("Accept", "text/event-stream")];
        headers.extend(last_id.map(|id| ("Last-Event-ID", id)));
        http::write_head(&mut stream, "GET", target, &headers).map_err(|e| e.to_string())?;
        let response = http::read_head(stream).map_err(|e| e.to_string())?;
        let kind = response.header("content-type").unwrap_or_default().to_owned();
        if response.status != 200 || !kind.starts_with("text/event-stream") {
            let status = response.status;
            let body = response.finish().map(|r| r.text()).unwrap_or_default();
            return Err(format!("{status} {kind}: {body}"));
        }
        Ok(Self { response, source: EventSource::default(), ready: Default::default(), raw: Vec::new() })
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.response.header(name)
    }

    /// Returns the next event. Gives up after `limit`, even if heartbeats arrive.
    pub fn next_within(&mut self, limit: Duration) -> Result<SseEvent, SseEnd> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            self.read_more(deadline)?;
        }
    }

    /// Passes all events parsed so far to `hand_out`.
    pub fn drain(&mut self, hand_out: impl FnMut(SseEvent)) {
        self.ready.drain(..).for_each(hand_out);
    }

    fn read_more(&mut self, deadline: Instant) -> Result<(), SseEnd> {
        // A timeout of zero would mean no timeout.
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let _ = self.response.socket().set_read_timeout(Some(left));
        let mut buffer = [0; 65536];
        match self.response.read(&mut buffer) {
            Ok(0) => Err(SseEnd::Closed),
            Ok(got) => {
                self.raw.extend_from_slice(&buffer[..got]);
                self.ready.extend(self.source.feed(&buffer[..got]));
                Ok(())
            }
            Err(e) => Err(SseEnd::Broken(e.to_string())),
        }
    }

    /// Returns the next event within 30 s.
    #[track_caller]
    pub fn event(&mut self) -> SseEvent {
        self.next_within(Duration::from_secs(30)).unwrap_or_else(|e| panic!("no event: {e:?}; so far {}", self.raw()))
    }

    /// Returns the data of the next `count` events.
    #[track_caller]
    pub fn take(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.event().data).collect()
    }

    /// Reads up to the first id, which tells where the stream starts, and returns it.
    #[track_caller]
    pub fn first_id(&mut self) -> String {
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.source.last_id.is_empty() {
            self.read_more(deadline).unwrap_or_else(|e| panic!("no id: {e:?}; so far {}", self.raw()));
        }
        self.source.last_id.clone()
    }

    /// Reads until a comment with this text has arrived.
    #[track_caller]
    pub fn wait_for_comment(&mut self, text: &str, limit: Duration) {
        let deadline = Instant::now() + limit;
        while !self.source.comments.iter().any(|c| c == text) {
            self.read_more(deadline).unwrap_or_else(|e| panic!("no comment {text:?}: {e:?}; so far {}", self.raw()));
        }
    }

    /// Returns all events until the server ends the stream, without the final `end` event of a complete stream.
    #[track_caller]
    pub fn rest(mut self) -> Vec<SseEvent> {
        let mut events = Vec::new();
        loop {
            match self.next_within(Duration::from_secs(30)) {
                Ok(event) => events.push(event),
                Err(SseEnd::Closed) => return without_end(events),
                Err(broken) => panic!("{broken:?} after {} events; so far {}", events.len(), self.raw()),
            }
        }
    }

    /// Returns all bytes received so far.
    pub fn raw(&self) -> String {
        String::from_utf8_lossy(&self.raw).into_owned()
    }
}

/// Removes the final `event: end`, as a page without a listener for it would. An `end` event elsewhere is kept.
pub fn without_end(mut events: Vec<SseEvent>) -> Vec<SseEvent> {
    events.pop_if(|last| last.kind == "end" && last.data == "{}");
    events
}
