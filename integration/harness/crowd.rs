//! Thousands of event streams in one process, each on a separate socket.
//!
//! They read a topic with one partition whose records are numbered from 0 (see [`numbered`]), so that each stream
//! detects missing and duplicate records.

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

/// A source address has about 28,000 ports, and the kernel finds a free one faster if few are in use.
const PER_ADDRESS: usize = 4000;
/// Maximum number of connections being opened at a time.
const MAX_CONNECTING: usize = 256;

/// How a client reads its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadMode {
    Reads,
    /// The client reads nothing, and its small receive window stays full.
    ReadsNothing,
    /// The client reads until a `problem` event ends the stream, and does not reconnect.
    ReadsUntilProblem,
}

pub struct Crowd {
    runtime: Runtime,
    port: u16,
    request: StreamRequest,
    mode: ReadMode,
    /// Set if the streams use TLS.
    tls: Option<TlsConnector>,
    members: Vec<Member>,
}

/// The request of every stream.
#[derive(Clone)]
struct StreamRequest {
    target: String,
    /// Additional header lines.
    headers: String,
}

struct Member {
    seen: Arc<Mutex<StreamProgress>>,
    task: Option<JoinHandle<()>>,
}

/// What a stream has received, over all its connections.
#[derive(Debug, Clone, Default)]
pub struct StreamProgress {
    /// The number of the next record.
    pub next: Option<u64>,
    pub records: u64,
    pub id: String,
    /// Whether the server ended the stream with a `problem` event.
    pub has_problem: bool,
    /// The first unexpected event, response or error.
    pub error: Option<String>,
}

impl Crowd {
    /// Opens `count` streams. Returns once each has received a response and, if it reads, its start position.
    pub fn open(port: u16, target: &str, count: usize, mode: ReadMode) -> Self {
        Self::open_with(port, target, "", count, mode, None)
    }

    /// Uses TLS if `trust` names a file of CA certificates.
    pub fn open_tls(port: u16, target: &str, count: usize, mode: ReadMode, trust: Option<&Path>) -> Self {
        Self::open_with(port, target, "", count, mode, trust)
    }

    /// Sends this `Authorization` with each request.
    pub fn open_as(port: u16, target: &str, authorization: &str, count: usize, mode: ReadMode) -> Self {
        Self::open_with(port, target, &format!("Authorization: {authorization}\r\n"), count, mode, None)
    }

    fn open_with(port: u16, target: &str, headers: &str, count: usize, mode: ReadMode, trust: Option<&Path>) -> Self {
        let tls = trust.map(connector);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let members = (0..count).map(|_| Member { seen: Arc::default(), task: None }).collect();
        let request = StreamRequest { target: target.to_owned(), headers: headers.to_owned() };
        let mut crowd = Self { runtime, port, request, mode, tls, members };
        crowd.reconnect();
        crowd.wait_until("is open", Duration::from_secs(60), |seen| !seen.id.is_empty());
        crowd
    }

    /// Closes all connections.
    pub fn disconnect(&mut self) {
        for member in &mut self.members {
            if let Some(task) = member.task.take() {
                task.abort();
                let _ = self.runtime.block_on(task);
            }
        }
    }

    /// Opens all streams with the last id that each has received.
    pub fn reconnect(&mut self) {
        let gate = Arc::new(Semaphore::new(MAX_CONNECTING));
        for (number, member) in self.members.iter_mut().enumerate() {
            let (seen, gate, request) = (member.seen.clone(), gate.clone(), self.request.clone());
            let (port, mode, tls) = (self.port, self.mode, self.tls.clone());
            member.task = Some(self.runtime.spawn(async move {
                let followed = async {
                    let permit = gate.acquire().await.expect("open");
                    let stream = connect(number, port, mode).await?;
                    match tls {
                        None => follow(stream, &request, mode, &seen, permit).await,
                        Some(tls) => {
                            let name = ServerName::try_from("localhost").expect("a name");
                            follow(tls.connect(name, stream).await?, &request, mode, &seen, permit).await
                        }
                    }
                };
                if let Err(error) = followed.await {
                    seen.lock().expect("lock").report(format!("stream {number}: {error}"));
                }
            }));
        }
    }

    pub fn seen(&self) -> Vec<StreamProgress> {
        self.members.iter().map(|member| member.seen.lock().expect("lock").clone()).collect()
    }

    /// Waits until each stream has received `records` records. Panics if a record is missing or duplicated.
    pub fn wait_for_records(&self, records: u64, limit: Duration) {
        self.wait_until(&format!("has {records} records"), limit, |seen| seen.records >= records);
    }

    /// Waits until the server has ended every stream.
    pub fn wait_until_ended(&self, limit: Duration) {
        self.wait_until("has ended", limit, |seen| seen.has_problem);
    }

    fn wait_until(&self, what: &str, limit: Duration, is_done: impl Fn(&StreamProgress) -> bool) {
        eventually(&format!("every stream {what}"), limit, || {
            let (mut missing, mut least) = (0, u64::MAX);
            for member in &self.members {
                let seen = member.seen.lock().expect("lock");
                if let Some(error) = &seen.error {
                    panic!("{error} (after {} records)", seen.records);
                }
                missing += usize::from(!is_done(&seen));
                least = least.min(seen.records);
            }
            match missing {
                0 => Ok(()),
                _ => Err(format!("{missing} of {} are missing, the slowest has {least} records", self.members.len())),
            }
        });
    }
}

async fn follow(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    StreamRequest { target, headers }: &StreamRequest,
    mode: ReadMode,
    seen: &Mutex<StreamProgress>,
    permit: SemaphorePermit<'_>,
) -> std::io::Result<()> {
    let id = seen.lock().expect("lock").id.clone();
    let last_id = if id.is_empty() { id } else { format!("Last-Event-ID: {id}\r\n") };
    stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{headers}{last_id}\r\n").as_bytes()).await?;
    if mode == ReadMode::ReadsNothing {
        stream.read_exact(&mut [0]).await?;
        "open".clone_into(&mut seen.lock().expect("lock").id);
        drop(permit);
        return std::future::pending().await;
    }
    let (mut buffer, mut kept) = (vec![0; 16 << 10], Vec::new());
    let mut permit = Some(permit);
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 && mode == ReadMode::ReadsUntilProblem && seen.lock().expect("lock").has_problem {
            return Ok(());
        }
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let mut seen = seen.lock().expect("lock");
        let mut rest = &buffer[..read];
        while let Some(end) = memchr::memchr(b'\n', rest) {
            if kept.is_empty() {
                seen.line(&rest[..end], mode);
            } else {
                kept.extend_from_slice(&rest[..end]);
                seen.line(&kept, mode);
                kept.clear();
            }
            rest = &rest[end + 1..];
        }
        kept.extend_from_slice(rest);
        if !seen.id.is_empty() {
            drop(permit.take());
        }
        drop(seen);
        if read == buffer.len() && read < 256 << 10 {
            buffer.resize(2 * read, 0);
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

async fn connect(number: usize, port: u16, mode: ReadMode) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if mode == ReadMode::ReadsNothing {
        socket.set_recv_buffer_size(4096)?;
    }
    let from = [127, 0, 0, 2 + u8::try_from(number / PER_ADDRESS).expect("few addresses")];
    socket.bind(SocketAddr::from((from, 0)))?;
    socket.connect(SocketAddr::from(([127, 0, 0, 1], port))).await
}

impl StreamProgress {
    /// Handles a line of the response. Header lines and the framing of chunks are ignored.
    fn line(&mut self, line: &[u8], mode: ReadMode) {
        if mode == ReadMode::ReadsUntilProblem && (self.has_problem || line == b"event: problem") {
            self.has_problem = true;
        } else if let Some(data) = line.strip_prefix(b"data: ") {
            let digits = data.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let number: u64 = String::from_utf8_lossy(&data[..digits]).parse().unwrap_or(u64::MAX);
            match self.next {
                Some(next) if next != number => self.report(format!("received record {number} instead of {next}")),
                _ => self.next = Some(number + 1),
            }
            self.records += 1;
        } else if let Some(id) = line.strip_prefix(b"id: ") {
            self.id.clear();
            self.id.push_str(&String::from_utf8_lossy(id));
        } else if line.starts_with(b"event: ") || (line.starts_with(b"HTTP/1.1 ") && !line.starts_with(b"HTTP/1.1 200"))
        {
            self.report(String::from_utf8_lossy(line).into_owned());
        }
    }

    fn report(&mut self, error: String) {
        self.error.get_or_insert(error);
    }
}

/// Returns numbered lines of 200 bytes, as input for `curlew produce`.
pub fn numbered(numbers: std::ops::Range<u64>) -> Vec<u8> {
    let pad = "x".repeat(190);
    numbers.flat_map(|number| format!("{number:<9}{pad}\n").into_bytes()).collect()
}
