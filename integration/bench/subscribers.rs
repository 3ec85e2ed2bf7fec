//! Subscribers to event streams, cheap enough not to distort the measurement: one thread and one buffer serve all
//! streams. Each record contains the byte [`record::MARK`](crate::record::MARK) once, so records are counted by
//! counting that byte. Only the timestamps of sampled streams are parsed.

use crate::endpoint::StreamEndpoint;
use crate::record::{MARK, now, stamp};
use memchr::memchr_iter;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Socket, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Streams per source address. Many more could run out of ports.
const PER_ADDRESS: usize = 1_000;
/// Maximum number of streams being opened at a time.
const MAX_OPENING: usize = 200;
/// Maximum size of the first frames of a stream. The first frame of a time series contains all of its points.
const FIRST_FRAMES: usize = 256 << 10;
const BUFFER: usize = 256 << 10;

/// A set of open streams.
pub struct Subscribers {
    received: Arc<Progress>,
    thread: JoinHandle<Delays>,
}

#[derive(Default)]
struct Progress {
    records: AtomicU64,
    stop: AtomicBool,
}

/// The times from the timestamp in a record to its arrival.
#[derive(Default)]
pub struct Delays(Vec<Duration>);

impl Delays {
    /// Returns a percentile in milliseconds. `part` is from 0 to 1.
    pub fn percentile(&mut self, part: f64) -> f64 {
        self.0.sort_unstable();
        let at = ((self.0.len() as f64 - 1.0) * part).round() as usize;
        self.0.get(at).map_or(f64::NAN, |delay| delay.as_secs_f64() * 1000.0)
    }
}

struct Subscriber {
    socket: TcpStream,
    /// The beginning of a timestamp at the end of the last read; `None` if the stream is not sampled.
    cut: Option<Vec<u8>>,
}

impl Subscribers {
    /// Opens `many` streams, and measures the delays of the first `sampled`. Returns once all streams receive every new
    /// record.
    pub fn open(endpoint: &StreamEndpoint, many: usize, sampled: usize) -> Self {
        let mut all = Vec::with_capacity(many);
        while all.len() < many {
            let opened = all.len();
            let sockets: Vec<Socket> =
                (opened..many.min(opened + MAX_OPENING)).map(|number| connect(endpoint, number)).collect();
            for socket in sockets {
                let cut = (all.len() < sampled).then(Vec::new);
                all.push(Subscriber { socket: first_frames(socket, endpoint.ready), cut });
            }
        }
        let received = Arc::<Progress>::default();
        let shared = received.clone();
        let thread = std::thread::Builder::new().name("subscribers".into());
        Self { received, thread: thread.spawn(move || receive_all(all, &shared)).expect("a thread") }
    }

    /// Returns the number of records received by all streams together.
    pub fn received(&self) -> u64 {
        self.received.records.load(Ordering::Relaxed)
    }

    pub fn wait_for(&self, records: u64, limit: Duration) {
        let deadline = Instant::now() + limit;
        while self.received() < records {
            assert!(!self.thread.is_finished(), "a stream was disconnected");
            assert!(Instant::now() < deadline, "{} of {records} records arrived within {limit:?}", self.received());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub fn stop(self) -> Delays {
        self.received.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("every stream stays open")
    }
}

fn connect(endpoint: &StreamEndpoint, number: usize) -> Socket {
    let source = Ipv4Addr::new(127, 0, 0, u8::try_from(2 + number / PER_ADDRESS).expect("few addresses"));
    let mut socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("socket");
    socket.bind(&SocketAddr::from((source, 0)).into()).expect("bind");
    socket.connect(&SocketAddr::from(([127, 0, 0, 1], endpoint.port)).into()).expect("connect");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("timeout");
    let head = format!("GET {} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n", endpoint.target);
    socket.write_all(head.as_bytes()).expect("request");
    socket
}

/// Reads until `ready` and the next empty line have arrived.
fn first_frames(mut socket: Socket, ready: &str) -> TcpStream {
    let mut got = vec![0; FIRST_FRAMES];
    let mut filled = 0;
    loop {
        let read = socket.read(&mut got[filled..]).expect("first frames in time");
        filled += read;
        let text = String::from_utf8_lossy(&got[..filled]);
        assert!(read > 0, "disconnected, or the first frames are too long: {text}");
        if text.find(ready).is_some_and(|at| text[at..].contains("\n\n")) {
            assert!(text.starts_with("HTTP/1.1 200"), "{text}");
            break;
        }
    }
    socket.set_nonblocking(true).expect("non-blocking");
    TcpStream::from_std(socket.into())
}

fn receive_all(mut subscribers: Vec<Subscriber>, received: &Progress) -> Delays {
    let mut poll = Poll::new().expect("poll");
    for (number, subscriber) in subscribers.iter_mut().enumerate() {
        poll.registry().register(&mut subscriber.socket, Token(number), Interest::READABLE).expect("register");
    }
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; BUFFER];
    let mut delays = Delays::default();
    // Sockets that may have more data. Epoll is edge-triggered and reports new data only once.
    let (mut ready, mut again) = (Vec::new(), Vec::new());
    while !received.stop.load(Ordering::Relaxed) {
        let wait = if ready.is_empty() { Duration::from_millis(20) } else { Duration::ZERO };
        poll.poll(&mut events, Some(wait)).expect("poll");
        ready.extend(events.iter().map(|event| event.token().0));
        for number in ready.drain(..) {
            let subscriber = &mut subscribers[number];
            match subscriber.socket.read(&mut buffer) {
                Ok(0) => panic!("stream {number} was disconnected"),
                Ok(read) => {
                    received.records.fetch_add(subscriber.receive(&buffer[..read], &mut delays), Ordering::Relaxed);
                    // A read that does not fill the buffer has emptied the socket (epoll(7)).
                    if read == BUFFER {
                        again.push(number);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => panic!("stream {number}: {error}"),
            }
        }
        std::mem::swap(&mut ready, &mut again);
    }
    delays
}

impl Subscriber {
    fn receive(&mut self, got: &[u8], delays: &mut Delays) -> u64 {
        let records = memchr_iter(MARK, got).count() as u64;
        let Some(cut) = &mut self.cut else { return records };
        let arrived = now();
        let joined = [cut.as_slice(), got].concat();
        cut.clear();
        for at in memchr_iter(MARK, &joined) {
            match stamp(&joined[at..]) {
                Some(sent) => delays.0.push(arrived.saturating_sub(sent)),
                None => cut.extend_from_slice(&joined[at..]),
            }
        }
        records
    }
}
