//! Publishes records over HTTP, at a fixed rate or as fast as possible.

use crate::endpoint::Publish;
use crate::load::{post, response_length};
use crate::record::record;
use crate::rivals::nchan;
use curlew_integration::http;
use std::collections::VecDeque;
use std::io::{BufRead, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Number of connections used in turn, so that a record need not wait for the receipt of the previous one.
const CONNECTIONS: usize = 16;
/// Records per write when publishing as fast as possible.
const BATCH: usize = 100;

/// Publishes `rate` records per second, each with a timestamp. Returns their number.
pub fn publish_at_rate(publish: &Publish, rate: u32, length: Duration) -> u64 {
    let mut connections: VecDeque<Connection> = (0..CONNECTIONS).map(|_| Connection::open(publish.port())).collect();
    let started = Instant::now();
    let records = record_count(rate, length);
    for number in 0..records {
        let due = started + Duration::from_secs_f64(number as f64 / f64::from(rate));
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let mut connection = connections.pop_front().expect("a connection");
        connection.read_responses();
        connection.write(&post(&publish.target(), "application/json", &record()), 1);
        connections.push_back(connection);
    }
    connections.iter_mut().for_each(Connection::read_responses);
    records
}

/// Returns the number of records published at this rate.
pub fn record_count(rate: u32, length: Duration) -> u64 {
    (f64::from(rate) * length.as_secs_f64()) as u64
}

/// Publishes for the duration `length`, at most `window` records ahead of `received`. Returns the number of records.
pub fn publish_fast(publish: &Publish, length: Duration, window: u64, received: impl Fn() -> u64) -> u64 {
    let started = Instant::now();
    let ends = started + length;
    let most = match publish {
        Publish::Nchan { .. } => nchan::MAX_PER_SECOND,
        _ => f64::INFINITY,
    };
    let may_continue = |published: u64| {
        let next = published + BATCH as u64;
        let is_early = || next > received() + window || next as f64 > most * started.elapsed().as_secs_f64();
        while is_early() && Instant::now() < ends {
            std::thread::sleep(Duration::from_micros(50));
        }
        Instant::now() < ends
    };
    match publish {
        Publish::Curlew { port, topic } => lines(*port, topic, may_continue),
        Publish::Nchan { port, .. } => {
            let mut connection = Connection::open(*port);
            let mut published = 0;
            while may_continue(published) {
                let request = post(&publish.target(), "application/json", &record());
                connection.write(&request.repeat(BATCH), BATCH);
                connection.read_responses();
                published += BATCH as u64;
            }
            published
        }
        Publish::Endless => 0,
    }
}

/// Publishes lines of one NDJSON request, and reads the receipts in another thread.
fn lines(port: u16, topic: &str, may_continue: impl Fn(u64) -> bool) -> u64 {
    let mut writer = http::connect(port);
    let reader = writer.try_clone().expect("socket");
    let head = [("Content-Type", "application/x-ndjson"), ("Transfer-Encoding", "chunked")];
    http::write_head(&mut writer, "POST", &format!("/topics/{topic}?receipts=stream"), &head).expect("head");
    let receipts = std::thread::spawn(move || {
        let answer = http::read_head(reader).expect("answer");
        assert_eq!(answer.status, 200);
        answer.into_body().split(b'\n').count()
    });
    let mut published = 0;
    while may_continue(published) {
        let line = [record().as_slice(), b"\n"].concat();
        let size = format!("{:x}\r\n", line.len() * BATCH);
        writer.write_all(&[size.as_bytes(), &line.repeat(BATCH), b"\r\n"].concat()).expect("lines");
        published += BATCH as u64;
    }
    writer.write_all(b"0\r\n\r\n").expect("end");
    assert_eq!(receipts.join().expect("receipts") as u64, published);
    published
}

impl Publish {
    fn port(&self) -> u16 {
        match self {
            Self::Curlew { port, .. } | Self::Nchan { port, .. } => *port,
            Self::Endless => unreachable!("nothing is published"),
        }
    }

    fn target(&self) -> String {
        match self {
            Self::Curlew { topic, .. } => format!("/topics/{topic}"),
            Self::Nchan { channel, .. } => format!("/publish?channel={channel}"),
            Self::Endless => String::new(),
        }
    }
}

/// A persistent connection with outstanding requests.
pub struct Connection {
    stream: TcpStream,
    got: Vec<u8>,
    outstanding: usize,
}

impl Connection {
    pub fn open(port: u16) -> Self {
        Self { stream: http::connect(port), got: Vec::new(), outstanding: 0 }
    }

    pub fn write(&mut self, requests: &[u8], many: usize) {
        self.outstanding += many;
        self.stream.write_all(requests).expect("request");
    }

    /// Waits for all outstanding responses.
    pub fn read_responses(&mut self) {
        let mut buffer = [0; 16 << 10];
        while self.outstanding > 0 {
            match response_length(&self.got) {
                Some(length) if length <= self.got.len() => {
                    self.got.drain(..length);
                    self.outstanding -= 1;
                }
                _ => {
                    let read = self.stream.read(&mut buffer).expect("answer");
                    assert!(read > 0, "disconnected after: {}", String::from_utf8_lossy(&self.got));
                    self.got.extend_from_slice(&buffer[..read]);
                }
            }
        }
    }
}
