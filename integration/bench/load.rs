//! A load generator that is cheap enough not to distort the measurement: it has one thread, builds the request once,
//! and reads only the status and `Content-Length` of responses.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connections {
    Kept,
    NewForEveryRequest,
}

/// The result of a measurement.
pub struct LoadResult {
    pub per_second: f64,
    /// Sorted.
    latencies: Vec<Duration>,
}

impl LoadResult {
    /// Returns a percentile in milliseconds. `part` is from 0 to 1.
    pub fn percentile(&self, part: f64) -> f64 {
        let at = ((self.latencies.len() as f64 - 1.0) * part).round() as usize;
        self.latencies.get(at).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1000.0)
    }
}

/// Builds a POST request like those of curl.
pub fn post(target: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Sends `request` repeatedly on `at_once` connections. Panics unless every response is a success.
pub fn run(port: u16, request: &[u8], at_once: usize, connections: Connections, length: Duration) -> LoadResult {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    let seen = Rc::new(RefCell::new(Vec::new()));
    let request: Rc<[u8]> = request.into();
    let started = Instant::now();
    let deadline = started + length;
    let all = tokio::task::LocalSet::new();
    for _ in 0..at_once {
        all.spawn_local(one_after_another(port, request.clone(), connections, deadline, seen.clone()));
    }
    runtime.block_on(async { tokio::time::timeout(length + Duration::from_secs(20), all).await }).expect("in time");
    let took = started.elapsed();
    let mut latencies = seen.take();
    latencies.sort_unstable();
    LoadResult { per_second: latencies.len() as f64 / took.as_secs_f64(), latencies }
}

async fn one_after_another(
    port: u16,
    request: Rc<[u8]>,
    connections: Connections,
    deadline: Instant,
    seen: Rc<RefCell<Vec<Duration>>>,
) {
    // 500 receipts are 15 kB.
    let mut answer = vec![0; 64 << 10];
    let mut kept = None;
    while Instant::now() < deadline {
        let started = Instant::now();
        let mut stream = match kept.take() {
            Some(stream) => stream,
            None => connect(port).await,
        };
        stream.write_all(&request).await.expect("write");
        read_response(&mut stream, &mut answer).await;
        seen.borrow_mut().push(started.elapsed());
        match connections {
            Connections::Kept => kept = Some(stream),
            // Closes with a reset, because connections in TIME_WAIT would use up the ports for a minute.
            Connections::NewForEveryRequest => drop(stream.set_zero_linger()),
        }
    }
}

async fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("connect");
    stream.set_nodelay(true).expect("no delay");
    stream
}

async fn read_response(stream: &mut TcpStream, buffer: &mut [u8]) {
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).await.expect("read");
        filled += read;
        let got = &buffer[..filled];
        assert!(read > 0, "disconnected after: {}", String::from_utf8_lossy(got));
        if response_length(got).is_some_and(|length| filled >= length) {
            return;
        }
    }
}

/// Returns the length of the response at the beginning of `got`, once its head is complete. Panics unless it is a
/// success.
pub fn response_length(got: &[u8]) -> Option<usize> {
    let head = got.windows(4).position(|end| end == b"\r\n\r\n")?;
    assert!(got.starts_with(b"HTTP/1.1 20"), "{}", String::from_utf8_lossy(got));
    Some(head + 4 + content_length(&got[..head]))
}

fn content_length(head: &[u8]) -> usize {
    head.split(|byte| *byte == b'\n')
        .filter_map(|line| line.split_at_checked("content-length:".len()))
        .find(|(name, _)| name.eq_ignore_ascii_case(b"content-length:"))
        .and_then(|(_, value)| str::from_utf8(value).ok()?.trim().parse().ok())
        .expect("a response with Content-Length")
}
