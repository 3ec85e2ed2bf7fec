//! Thousands of event streams at once, each on a socket of its own, in one process.
//!
//! They read a topic of one partition whose records begin with their number, from 0 on: [`numbered`] makes
//! such records. So each stream can tell by itself whether one is missing or came twice.

use crate::eventually;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

/// A source address has about 28,000 ports; a table of connections is quicker to search where they differ.
const PER_ADDRESS: usize = 4000;
/// Connections that are opened at a time.
const AT_A_TIME: usize = 256;

/// What a client does with what it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Reads,
    /// Its window is small, and stays full.
    TakesNothing,
    /// Reads until the server says by a `problem` that the stream is over, and does not come back.
    ReadsUntilSentAway,
}

pub struct Crowd {
    runtime: Runtime,
    port: u16,
    request: Request,
    manner: Manner,
    /// Over TLS, where it is given.
    tls: Option<TlsConnector>,
    members: Vec<Member>,
}

/// What each asks for.
#[derive(Clone)]
struct Request {
    target: String,
    /// Lines of the head that all have in common.
    headers: String,
}

struct Member {
    seen: Arc<Mutex<Seen>>,
    following: Option<JoinHandle<()>>,
}

/// What one stream has got, over all its connections.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The number that must come next.
    pub next: Option<u64>,
    pub records: u64,
    pub id: String,
    /// The server's last word.
    pub sent_away: bool,
    /// The first thing that was not as it must be.
    pub wrong: Option<String>,
}

impl Crowd {
    /// Opens `count` streams; returns when each has been answered, or, if it reads, knows where it starts.
    pub fn open(port: u16, target: &str, count: usize, manner: Manner) -> Self {
        Self::open_with(port, target, "", count, manner, None)
    }

    /// Over TLS where a file of certificates to trust is given.
    pub fn open_over(port: u16, target: &str, count: usize, manner: Manner, trust: Option<&Path>) -> Self {
        Self::open_with(port, target, "", count, manner, trust)
    }

    /// Each with this `Authorization`.
    pub fn open_as(port: u16, target: &str, authorization: &str, count: usize, manner: Manner) -> Self {
        Self::open_with(port, target, &format!("Authorization: {authorization}\r\n"), count, manner, None)
    }

    fn open_with(port: u16, target: &str, headers: &str, count: usize, manner: Manner, trust: Option<&Path>) -> Self {
        let tls = trust.map(connector);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let members = (0..count).map(|_| Member { seen: Arc::default(), following: None }).collect();
        let request = Request { target: target.to_owned(), headers: headers.to_owned() };
        let mut crowd = Self { runtime, port, request, manner, tls, members };
        crowd.come_back();
        crowd.wait_until("is open", Duration::from_secs(60), |seen| !seen.id.is_empty());
        crowd
    }

    /// Closes every connection.
    pub fn cut(&mut self) {
        for member in &mut self.members {
            if let Some(following) = member.following.take() {
                following.abort();
                let _ = self.runtime.block_on(following);
            }
        }
    }

    /// Opens every stream again, with the id it saw last.
    pub fn come_back(&mut self) {
        let gate = Arc::new(Semaphore::new(AT_A_TIME));
        for (number, member) in self.members.iter_mut().enumerate() {
            let (seen, gate, request) = (member.seen.clone(), gate.clone(), self.request.clone());
            let (port, manner, tls) = (self.port, self.manner, self.tls.clone());
            member.following = Some(self.runtime.spawn(async move {
                let followed = async {
                    let turn = gate.acquire().await.expect("open");
                    let stream = connect(number, port, manner).await?;
                    match tls {
                        None => follow(stream, &request, manner, &seen, turn).await,
                        Some(tls) => {
                            let name = ServerName::try_from("localhost").expect("a name");
                            follow(tls.connect(name, stream).await?, &request, manner, &seen, turn).await
                        }
                    }
                };
                if let Err(error) = followed.await {
                    seen.lock().expect("lock").blame(format!("stream {number}: {error}"));
                }
            }));
        }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.members.iter().map(|member| member.seen.lock().expect("lock").clone()).collect()
    }

    /// Until each has got so many records; panics at the first that is missing or comes twice.
    pub fn wait_for_records(&self, records: u64, limit: Duration) {
        self.wait_until(&format!("has {records} records"), limit, |seen| seen.records >= records);
    }

    /// Until the server has ended every stream.
    pub fn wait_until_sent_away(&self, limit: Duration) {
        self.wait_until("is sent away", limit, |seen| seen.sent_away);
    }

    fn wait_until(&self, what: &str, limit: Duration, is: impl Fn(&Seen) -> bool) {
        eventually(&format!("every stream {what}"), limit, || {
            let (mut not_yet, mut least) = (0, u64::MAX);
            for member in &self.members {
                let seen = member.seen.lock().expect("lock");
                if let Some(wrong) = &seen.wrong {
                    panic!("{wrong} (after {} records)", seen.records);
                }
                not_yet += usize::from(!is(&seen));
                least = least.min(seen.records);
            }
            match not_yet {
                0 => Ok(()),
                _ => Err(format!("{not_yet} of {} not yet, the last has {least} records", self.members.len())),
            }
        });
    }
}

async fn follow(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    Request { target, headers }: &Request,
    manner: Manner,
    seen: &Mutex<Seen>,
    turn: SemaphorePermit<'_>,
) -> std::io::Result<()> {
    let id = seen.lock().expect("lock").id.clone();
    let last_id = if id.is_empty() { id } else { format!("Last-Event-ID: {id}\r\n") };
    stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{headers}{last_id}\r\n").as_bytes()).await?;
    if manner == Manner::TakesNothing {
        stream.read_exact(&mut [0]).await?;
        "open".clone_into(&mut seen.lock().expect("lock").id);
        drop(turn);
        return std::future::pending().await;
    }
    let (mut buffer, mut kept) = (vec![0; 16 << 10], Vec::new());
    let mut turn = Some(turn);
    loop {
        let got = stream.read(&mut buffer).await?;
        if got == 0 && manner == Manner::ReadsUntilSentAway && seen.lock().expect("lock").sent_away {
            return Ok(());
        }
        if got == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let mut seen = seen.lock().expect("lock");
        let mut rest = &buffer[..got];
        while let Some(end) = memchr::memchr(b'\n', rest) {
            if kept.is_empty() {
                seen.line(&rest[..end], manner);
            } else {
                kept.extend_from_slice(&rest[..end]);
                seen.line(&kept, manner);
                kept.clear();
            }
            rest = &rest[end + 1..];
        }
        kept.extend_from_slice(rest);
        if !seen.id.is_empty() {
            drop(turn.take());
        }
        drop(seen);
        if got == buffer.len() && got < 256 << 10 {
            buffer.resize(2 * got, 0);
        }
    }
}

fn connector(trust: &Path) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    for certificate in curlew::tls::certificates(trust).expect("certificates") {
        roots.add(certificate).expect("a certificate");
    }
    let provider = curlew::tls::provider().expect("a CPU for TLS");
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = builder.expect("versions").with_root_certificates(roots).with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

async fn connect(number: usize, port: u16, manner: Manner) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if manner == Manner::TakesNothing {
        socket.set_recv_buffer_size(4096)?;
    }
    let from = [127, 0, 0, 2 + u8::try_from(number / PER_ADDRESS).expect("few addresses")];
    socket.bind(SocketAddr::from((from, 0)))?;
    socket.connect(SocketAddr::from(([127, 0, 0, 1], port))).await
}

impl Seen {
    /// A line of the answer. Those of its head and of the chunks between frames say nothing here.
    fn line(&mut self, line: &[u8], manner: Manner) {
        if manner == Manner::ReadsUntilSentAway && (self.sent_away || line == b"event: problem") {
            self.sent_away = true;
        } else if let Some(data) = line.strip_prefix(b"data: ") {
            let digits = data.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let number: u64 = String::from_utf8_lossy(&data[..digits]).parse().unwrap_or(u64::MAX);
            match self.next {
                Some(next) if next != number => self.blame(format!("record {number} came where {next} was due")),
                _ => self.next = Some(number + 1),
            }
            self.records += 1;
        } else if let Some(id) = line.strip_prefix(b"id: ") {
            self.id.clear();
            self.id.push_str(&String::from_utf8_lossy(id));
        } else if line.starts_with(b"event: ") || (line.starts_with(b"HTTP/1.1 ") && !line.starts_with(b"HTTP/1.1 200"))
        {
            self.blame(String::from_utf8_lossy(line).into_owned());
        }
    }

    fn blame(&mut self, wrong: String) {
        self.wrong.get_or_insert(wrong);
    }
}

/// Such records for `curlew produce`: numbered lines of 200 bytes.
pub fn numbered(numbers: std::ops::Range<u64>) -> Vec<u8> {
    let pad = "x".repeat(190);
    numbers.flat_map(|number| format!("{number:<9}{pad}\n").into_bytes()).collect()
}
