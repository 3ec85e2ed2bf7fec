//! A healthy client beside attackers: it produces a record every few milliseconds, and may read it too.

use curlew_integration::{http, sse};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(5);

pub struct Healthy {
    ending: Arc<AtomicBool>,
    measured: Arc<AtomicUsize>,
    thread: Option<JoinHandle<Vec<Duration>>>,
}

impl Healthy {
    /// Starts the client on one connection from 127.0.0.1. Any response but a 200 makes it panic.
    pub fn start(port: u16) -> Self {
        Self::measure(port, None)
    }

    /// Like [`Healthy::start`], but measures until the record arrives on a stream instead of until its receipt.
    pub fn start_reading(port: u16) -> Self {
        let mut events = sse::Stream::open(port, "/topics/healthy/events");
        // The stream is live before the first record.
        events.first_id();
        Self::measure(port, Some(events))
    }

    fn measure(port: u16, mut events: Option<sse::Stream>) -> Self {
        let ending = Arc::new(AtomicBool::new(false));
        let measured = Arc::new(AtomicUsize::new(0));
        let (stop, count) = (ending.clone(), measured.clone());
        let mut stream = BufReader::new(http::connect(port));
        // The client is connected before the attack starts.
        produce(&mut stream);
        events.iter_mut().for_each(|events| drop(events.event()));
        let thread = std::thread::spawn(move || {
            let mut took = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let sent = Instant::now();
                produce(&mut stream);
                events.iter_mut().for_each(|events| drop(events.event()));
                took.push(sent.elapsed());
                count.store(took.len(), Ordering::Relaxed);
                std::thread::sleep(PAUSE);
            }
            took
        });
        Self { ending, measured, thread: Some(thread) }
    }

    /// Number of measurements so far.
    pub fn measured(&self) -> usize {
        self.measured.load(Ordering::Relaxed)
    }

    /// The number of measurements, shared with the client.
    pub fn counter(&self) -> Arc<AtomicUsize> {
        self.measured.clone()
    }

    /// Stops the client. Returns the 99th percentile of the latency, and the number of measurements.
    pub fn p99(mut self) -> (Duration, usize) {
        self.ending.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("it runs");
        let mut took = thread.join().expect("the healthy client was served all the time");
        took.sort();
        assert!(took.len() > 10, "only {} requests", took.len());
        (took[took.len() * 99 / 100], took.len())
    }
}

impl Drop for Healthy {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
    }
}

fn produce(stream: &mut BufReader<TcpStream>) {
    let request = b"POST /topics/healthy HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\n\r\n21.5";
    stream.get_mut().write_all(request).expect("it takes requests");
    let mut length = 0;
    let mut first = String::new();
    stream.read_line(&mut first).expect("an answer");
    assert!(first.starts_with("HTTP/1.1 200 "), "{first}");
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).expect("an answer");
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.trim().parse().expect("a number");
        }
        if line.trim().is_empty() {
            break;
        }
    }
    stream.read_exact(&mut vec![0; length]).expect("a body");
}
