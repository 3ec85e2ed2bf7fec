//! Publishes records over HTTP, at a given rate or as fast as they are taken.

use crate::load::{answer_length, post};
use crate::place::Publish;
use crate::record::record;
use crate::rivals::nchan;
use curlew_integration::http;
use std::collections::VecDeque;
use std::io::{BufRead, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Connections that take turns, so that a record need not wait for the receipt of the one before.
const TURNS: usize = 16;
/// Records written together by a flood.
const TOGETHER: usize = 100;

/// Publishes `rate` records a second, each with the time in it.
pub fn paced(publish: &Publish, rate: u32, length: Duration) -> u64 {
    let mut connections: VecDeque<Connection> = (0..TURNS).map(|_| Connection::open(publish.port())).collect();
    let started = Instant::now();
    let records = records_of(rate, length);
    for number in 0..records {
        let due = started + Duration::from_secs_f64(number as f64 / f64::from(rate));
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let mut connection = connections.pop_front().expect("a connection");
        connection.read_answers();
        connection.write(&post(&publish.target(), "application/json", &record()), 1);
        connections.push_back(connection);
    }
    connections.iter_mut().for_each(Connection::read_answers);
    records
}

/// How many that are.
pub fn records_of(rate: u32, length: Duration) -> u64 {
    (f64::from(rate) * length.as_secs_f64()) as u64
}

/// Publishes for so long, always at most `window` records more than `heard` says; how many it were.
pub fn flood(publish: &Publish, length: Duration, window: u64, heard: impl Fn() -> u64) -> u64 {
    let started = Instant::now();
    let ends = started + length;
    let most = match publish {
        Publish::Nchan { .. } => nchan::A_SECOND,
        _ => f64::INFINITY,
    };
    let may_go_on = |published: u64| {
        let next = published + TOGETHER as u64;
        let is_early = || next > heard() + window || next as f64 > most * started.elapsed().as_secs_f64();
        while is_early() && Instant::now() < ends {
            std::thread::sleep(Duration::from_micros(50));
        }
        Instant::now() < ends
    };
    match publish {
        Publish::Curlew { port, topic } => lines(*port, topic, may_go_on),
        Publish::Nchan { port, .. } => {
            let mut connection = Connection::open(*port);
            let mut published = 0;
            while may_go_on(published) {
                let request = post(&publish.target(), "application/json", &record());
                connection.write(&request.repeat(TOGETHER), TOGETHER);
                connection.read_answers();
                published += TOGETHER as u64;
            }
            published
        }
        Publish::ByItself => 0,
    }
}

/// As lines of one ndjson request, with the receipts read beside.
fn lines(port: u16, topic: &str, may_go_on: impl Fn(u64) -> bool) -> u64 {
    let mut writer = http::connect(port);
    let reader = writer.try_clone().expect("socket");
    let head = [("Content-Type", "application/x-ndjson"), ("Transfer-Encoding", "chunked")];
    http::write_head(&mut writer, "POST", &format!("/topics/{topic}?receipts=stream"), &head).expect("head");
    let receipts = std::thread::spawn(move || {
        let answer = http::open(reader).expect("answer");
        assert_eq!(answer.status, 200);
        answer.into_body().split(b'\n').count()
    });
    let mut published = 0;
    while may_go_on(published) {
        let line = [record().as_slice(), b"\n"].concat();
        let size = format!("{:x}\r\n", line.len() * TOGETHER);
        writer.write_all(&[size.as_bytes(), &line.repeat(TOGETHER), b"\r\n"].concat()).expect("lines");
        published += TOGETHER as u64;
    }
    writer.write_all(b"0\r\n\r\n").expect("end");
    assert_eq!(receipts.join().expect("receipts") as u64, published);
    published
}

impl Publish {
    fn port(&self) -> u16 {
        match self {
            Self::Curlew { port, .. } | Self::Nchan { port, .. } => *port,
            Self::ByItself => unreachable!("nothing is published"),
        }
    }

    fn target(&self) -> String {
        match self {
            Self::Curlew { topic, .. } => format!("/topics/{topic}"),
            Self::Nchan { channel, .. } => format!("/publish?channel={channel}"),
            Self::ByItself => String::new(),
        }
    }
}

/// A connection that is kept, with requests of which not all are answered.
struct Connection {
    stream: TcpStream,
    got: Vec<u8>,
    unanswered: usize,
}

impl Connection {
    fn open(port: u16) -> Self {
        Self { stream: http::connect(port), got: Vec::new(), unanswered: 0 }
    }

    fn write(&mut self, requests: &[u8], many: usize) {
        self.unanswered += many;
        self.stream.write_all(requests).expect("request");
    }

    /// Waits for them all.
    fn read_answers(&mut self) {
        let mut buffer = [0; 16 << 10];
        while self.unanswered > 0 {
            match answer_length(&self.got) {
                Some(length) if length <= self.got.len() => {
                    self.got.drain(..length);
                    self.unanswered -= 1;
                }
                _ => {
                    let read = self.stream.read(&mut buffer).expect("answer");
                    assert!(read > 0, "cut off after: {}", String::from_utf8_lossy(&self.got));
                    self.got.extend_from_slice(&buffer[..read]);
                }
            }
        }
    }
}
