//! Listeners to event streams, light enough not to be what is measured: one thread and one buffer for all of them.
//! Records are counted by the one byte that each holds once ([`record::MARK`](crate::record::MARK)); nothing is parsed
//! but the stamps of the streams that are sampled.

use crate::place::Place;
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

/// Streams from one source address; many more would run out of ports beside what else uses them.
const OF_AN_ADDRESS: usize = 1_000;
/// Streams that are being opened at a time.
const OPENING: usize = 200;
/// As long as a stream's first frames can be.
const FIRST_FRAMES: usize = 4 << 10;
const BUFFER: usize = 256 << 10;

/// Many open streams.
pub struct Audience {
    heard: Arc<Heard>,
    thread: JoinHandle<Delays>,
}

#[derive(Default)]
struct Heard {
    records: AtomicU64,
    leave: AtomicBool,
}

/// From the stamp in a record to its arrival.
#[derive(Default)]
pub struct Delays(Vec<Duration>);

impl Delays {
    /// In milliseconds; `part` is from 0 to 1.
    pub fn percentile(&mut self, part: f64) -> f64 {
        self.0.sort_unstable();
        let at = ((self.0.len() as f64 - 1.0) * part).round() as usize;
        self.0.get(at).map_or(f64::NAN, |delay| delay.as_secs_f64() * 1000.0)
    }
}

struct Listener {
    socket: TcpStream,
    /// The beginning of a stamp that the end of a read has cut; `None` where nobody looks at stamps.
    cut: Option<Vec<u8>>,
}

impl Audience {
    /// Opens `many` streams, of which the first `sampled` tell the delays; returns when all miss nothing any more.
    pub fn open(place: &Place, many: usize, sampled: usize) -> Self {
        let mut listeners = Vec::with_capacity(many);
        while listeners.len() < many {
            let opened = listeners.len();
            let sockets: Vec<Socket> = (opened..many.min(opened + OPENING)).map(|number| ask(place, number)).collect();
            for socket in sockets {
                let cut = (listeners.len() < sampled).then(Vec::new);
                listeners.push(Listener { socket: first_frames(socket, place.ready), cut });
            }
        }
        let heard = Arc::<Heard>::default();
        let shared = heard.clone();
        let thread = std::thread::Builder::new().name("audience".into());
        Self { heard, thread: thread.spawn(move || listen(listeners, &shared)).expect("a thread") }
    }

    /// Records that came, all streams together.
    pub fn heard(&self) -> u64 {
        self.heard.records.load(Ordering::Relaxed)
    }

    pub fn wait_for(&self, records: u64, limit: Duration) {
        let deadline = Instant::now() + limit;
        while self.heard() < records {
            assert!(!self.thread.is_finished(), "a stream was cut off");
            assert!(Instant::now() < deadline, "{} of {records} records came within {limit:?}", self.heard());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub fn leave(self) -> Delays {
        self.heard.leave.store(true, Ordering::Relaxed);
        self.thread.join().expect("every stream to last")
    }
}

fn ask(place: &Place, number: usize) -> Socket {
    let source = Ipv4Addr::new(127, 0, 0, u8::try_from(2 + number / OF_AN_ADDRESS).expect("few addresses"));
    let mut socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("socket");
    socket.bind(&SocketAddr::from((source, 0)).into()).expect("bind");
    socket.connect(&SocketAddr::from(([127, 0, 0, 1], place.port)).into()).expect("connect");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("timeout");
    let head = format!("GET {} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n", place.listen);
    socket.write_all(head.as_bytes()).expect("request");
    socket
}

/// Reads until `ready` and the empty line after it have come.
fn first_frames(mut socket: Socket, ready: &str) -> TcpStream {
    let mut got = [0; FIRST_FRAMES];
    let mut filled = 0;
    loop {
        let read = socket.read(&mut got[filled..]).expect("first frames in time");
        filled += read;
        let text = String::from_utf8_lossy(&got[..filled]);
        assert!(read > 0, "cut off, or a long beginning: {text}");
        if text.find(ready).is_some_and(|at| text[at..].contains("\n\n")) {
            assert!(text.starts_with("HTTP/1.1 200"), "{text}");
            break;
        }
    }
    socket.set_nonblocking(true).expect("non-blocking");
    TcpStream::from_std(socket.into())
}

fn listen(mut listeners: Vec<Listener>, heard: &Heard) -> Delays {
    let mut poll = Poll::new().expect("poll");
    for (number, listener) in listeners.iter_mut().enumerate() {
        poll.registry().register(&mut listener.socket, Token(number), Interest::READABLE).expect("register");
    }
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; BUFFER];
    let mut delays = Delays::default();
    // Those who may have more to read, in turn: the system tells only once.
    let (mut ready, mut again) = (Vec::new(), Vec::new());
    while !heard.leave.load(Ordering::Relaxed) {
        let wait = if ready.is_empty() { Duration::from_millis(20) } else { Duration::ZERO };
        poll.poll(&mut events, Some(wait)).expect("poll");
        ready.extend(events.iter().map(|event| event.token().0));
        for number in ready.drain(..) {
            let listener = &mut listeners[number];
            match listener.socket.read(&mut buffer) {
                Ok(0) => panic!("stream {number} was cut off"),
                Ok(read) => {
                    heard.records.fetch_add(listener.hear(&buffer[..read], &mut delays), Ordering::Relaxed);
                    // A read that leaves room has emptied the socket (epoll(7)).
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

impl Listener {
    fn hear(&mut self, got: &[u8], delays: &mut Delays) -> u64 {
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
