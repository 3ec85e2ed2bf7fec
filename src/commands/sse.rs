//! A parser for Server-Sent Events (WHATWG HTML, section 9.2.6).

/// One dispatched event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReceivedEvent {
    /// The event type. Empty for the default, `message`.
    pub kind: String,
    /// Data lines joined by LF. `None` without a `data` field, so that only the id matters.
    pub data: Option<Vec<u8>>,
    pub id: Option<String>,
    /// The last comment of the event. The bridge sends notices in comments.
    pub comment: Option<String>,
}

/// Splits a stream into events. An incomplete event at its end is dropped, as the specification requires.
#[derive(Debug, Default)]
pub struct Parser {
    buffer: Vec<u8>,
    /// Bytes of the buffer already searched for a line end.
    searched: usize,
    event: ReceivedEvent,
    after_cr: bool,
}

impl Parser {
    /// Limit of a line in bytes, larger than any record.
    const MAX_LINE: usize = 256 << 20;

    /// Appends received bytes. Returns false if a line exceeds the limit.
    pub fn push(&mut self, bytes: &[u8]) -> bool {
        self.buffer.extend_from_slice(bytes);
        self.buffer.len() <= Self::MAX_LINE
    }

    /// Removes and returns the next complete event.
    pub fn next(&mut self) -> Option<ReceivedEvent> {
        let mut start = 0;
        let mut done = None;
        while done.is_none() {
            if self.after_cr && self.buffer.get(start) == Some(&b'\n') {
                start += 1;
            }
            let from = self.searched.max(start);
            let rest = self.buffer.get(from..).unwrap_or_default();
            let Some(length) = rest.iter().position(|b| matches!(b, b'\n' | b'\r')) else {
                self.searched = self.buffer.len();
                self.after_cr = self.after_cr && self.buffer.len() == start;
                break;
            };
            let end = from + length;
            self.after_cr = rest.get(length) == Some(&b'\r');
            let line = self.buffer.get(start..end).unwrap_or_default();
            if line.is_empty() {
                let event = std::mem::take(&mut self.event);
                done = (event != ReceivedEvent::default()).then_some(event);
            } else {
                field(&mut self.event, line);
            }
            start = end + 1;
            self.searched = start;
        }
        self.buffer.drain(..start.min(self.buffer.len()));
        self.searched = self.searched.saturating_sub(start);
        done
    }
}

fn field(event: &mut ReceivedEvent, line: &[u8]) {
    let colon = line.iter().position(|b| *b == b':');
    let (name, value) = line.split_at(colon.unwrap_or(line.len()));
    let value = value.strip_prefix(b":").unwrap_or(value);
    let value = value.strip_prefix(b" ").unwrap_or(value);
    match name {
        b"" => event.comment = Some(String::from_utf8_lossy(value).into_owned()),
        b"data" => match &mut event.data {
            Some(data) => {
                data.push(b'\n');
                data.extend_from_slice(value);
            }
            None => event.data = Some(value.to_vec()),
        },
        b"event" => event.kind = String::from_utf8_lossy(value).into_owned(),
        b"id" if !value.contains(&0) => event.id = Some(String::from_utf8_lossy(value).into_owned()),
        _ => {}
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(pieces: &[&[u8]]) -> Vec<ReceivedEvent> {
        let mut parser = Parser::default();
        let mut events = Vec::new();
        for piece in pieces {
            assert!(parser.push(piece));
            events.extend(std::iter::from_fn(|| parser.next()));
        }
        events
    }

    fn event(kind: &str, data: Option<&str>, id: Option<&str>) -> ReceivedEvent {
        ReceivedEvent {
            kind: kind.into(),
            data: data.map(|d| d.as_bytes().to_vec()),
            id: id.map(str::to_owned),
            comment: None,
        }
    }

    fn comment(text: &str) -> ReceivedEvent {
        ReceivedEvent { comment: Some(text.to_owned()), ..ReceivedEvent::default() }
    }

    const STREAM: &[u8] =
        b"retry: 2000\n: connected\n\nid: A\n\ndata: one\ndata:two\nid: B\n\nevent: gap\ndata: {}\nid: C\n\n\
                            : heartbeat\n\ndata\n\ndata: cut";

    fn expected() -> Vec<ReceivedEvent> {
        vec![
            comment("connected"),
            event("", None, Some("A")),
            event("", Some("one\ntwo"), Some("B")),
            event("gap", Some("{}"), Some("C")),
            comment("heartbeat"),
            event("", Some(""), None),
        ]
    }

    #[test]
    fn complete_events_are_returned_and_a_partial_one_is_not() {
        assert_eq!(parsed(&[STREAM]), expected());
    }

    #[test]
    fn every_kind_of_line_end_is_accepted() {
        for end in ["\r", "\r\n"] {
            let text = String::from_utf8(STREAM.to_vec()).unwrap().replace('\n', end);
            assert_eq!(parsed(&[text.as_bytes()]), expected(), "{end:?}");
            let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            assert_eq!(parsed(&bytes), expected(), "{end:?} byte by byte");
        }
    }

    proptest! {
        #[test]
        fn how_the_stream_is_split_makes_no_difference(cuts in prop::collection::vec(0..STREAM.len(), 0..8)) {
            let mut cuts = cuts;
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut start = 0;
            for cut in cuts {
                pieces.push(&STREAM[start..cut]);
                start = cut;
            }
            pieces.push(&STREAM[start..]);
            prop_assert_eq!(parsed(&pieces), expected());
        }

        #[test]
        fn the_parser_never_panics(bytes: Vec<u8>) {
            parsed(&[&bytes]);
        }
    }
}
