//! A client that writes single HTTP/2 frames (RFC 9113), including sequences that no library sends.

use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Frame types and flags.
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RESET: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const WINDOW_UPDATE: u8 = 8;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

const INITIAL_WINDOW_SIZE: u16 = 4;
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

pub struct Frames(TcpStream);

impl Frames {
    /// Connects with this initial window: the bytes that the server may send per stream without a window update.
    pub async fn connect(address: SocketAddr, window: u32) -> Self {
        let mut client = Self(TcpStream::connect(address).await.unwrap());
        client.say(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        let settings = [&INITIAL_WINDOW_SIZE.to_be_bytes()[..], &window.to_be_bytes()].concat();
        client.send(SETTINGS, 0, 0, &settings).await;
        client
    }

    pub async fn say(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    pub async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.say(&frame(kind, flags, stream, payload)).await;
    }

    pub async fn get(&mut self, stream: u32, path: &str) {
        self.send(HEADERS, END_STREAM | END_HEADERS, stream, &head("GET", path, &[])).await;
    }

    pub async fn reset(&mut self, stream: u32, code: u32) {
        self.send(RESET, 0, stream, &code.to_be_bytes()).await;
    }

    /// Returns the next frame, after answering SETTINGS and PING frames; `None` once the server has closed the
    /// connection.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            let frame = tokio::time::timeout(PATIENCE, self.read()).await.expect("another frame arrives")?;
            match (frame.kind, frame.flags & ACK) {
                // The server may have closed the connection already.
                (SETTINGS, 0) => drop(self.0.write_all(&self::frame(SETTINGS, ACK, 0, &[])).await),
                (PING, 0) => drop(self.0.write_all(&self::frame(PING, ACK, 0, &frame.payload)).await),
                _ => return Some(frame),
            }
        }
    }

    /// Returns the next frame of this type, and ignores others.
    pub async fn next_of(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.next().await.expect("the connection is open");
            if frame.kind == kind {
                return frame;
            }
        }
    }

    async fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.0.read_exact(&mut payload).await.ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// Reads to the end of a response and returns its body. Panics if any stream is reset.
    pub async fn answer(&mut self, stream: u32) -> String {
        let mut body = Vec::new();
        loop {
            let frame = self.next().await.expect("the connection is open");
            assert_ne!(frame.kind, RESET, "stream {} was reset", frame.stream);
            if frame.stream != stream {
                continue;
            }
            if frame.kind == DATA {
                body.extend_from_slice(&frame.payload);
                self.open_connection_window(frame.payload.len()).await;
            }
            if frame.flags & END_STREAM != 0 {
                return String::from_utf8(body).unwrap();
            }
        }
    }

    /// Enlarges the connection window by `bytes`. Its initial size is 65,535 bytes, regardless of the settings (RFC
    /// 9113, 6.9.2).
    async fn open_connection_window(&mut self, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap();
        if bytes > 0 {
            // The server may have closed the connection already.
            drop(self.0.write_all(&frame(WINDOW_UPDATE, 0, 0, &bytes.to_be_bytes())).await);
        }
    }

    /// Reads until the server closes the connection, and returns the streams that it has reset.
    pub async fn resets_until_closed(&mut self) -> Vec<u32> {
        let mut resets = Vec::new();
        while let Some(frame) = self.next().await {
            if frame.kind == RESET {
                resets.push(frame.stream);
            }
        }
        resets
    }
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Encodes the header block of a request, without compression (RFC 7541, 6.2.2).
pub fn head(method: &str, path: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let pseudo = [(":method", method), (":scheme", "http"), (":authority", "localhost"), (":path", path)];
    block(&[&pseudo, headers].concat())
}

pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| {
        assert!(text.len() < 127, "the length fits a byte");
        [&[text.len() as u8], text.as_bytes()].concat()
    };
    fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}
