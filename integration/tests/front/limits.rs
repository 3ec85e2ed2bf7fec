//! Attacks on each limit, and what they cost the bridge and a healthy client. The tests check statuses and memory, and print
//! latencies as rows of the table in README.

use crate::alone;
use crate::healthy::Healthy;
use curlew_integration::bridge::Bridge;
use curlew_integration::{eventually, http};
use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

/// Number of responses by status; 0 is a connection that was closed without one.
type StatusCounts = BTreeMap<u16, usize>;

/// Longer than any response takes.
const TIMEOUT: Duration = Duration::from_secs(40);

pub struct Trial {
    pub bridge: Bridge,
    before: usize,
    runtime: Runtime,
    pub healthy: Option<Healthy>,
    _data: Option<TempDir>,
}

impl Trial {
    pub fn start(options: &[&str]) -> Self {
        Self::start_beside(options, Healthy::start)
    }

    pub fn start_beside(options: &[&str], healthy: impl FnOnce(u16) -> Healthy) -> Self {
        let data = tempfile::tempdir().expect("temporary directory");
        let bridge = Bridge::embedded(data.path(), options);
        Self { _data: Some(data), ..Self::of(bridge, healthy) }
    }

    pub fn of(mut bridge: Bridge, healthy: impl FnOnce(u16) -> Healthy) -> Self {
        bridge.post("/topics/healthy", "text/plain", "first").expect(200);
        let healthy = Some(healthy(bridge.port));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let before = bridge.process().resident();
        Self { before, bridge, healthy, runtime: runtime.expect("a runtime"), _data: None }
    }

    /// Runs `count` attackers on separate connections, from 127.0.0.2 and higher addresses.
    pub fn attack<F, A>(&self, count: usize, attack: A) -> StatusCounts
    where
        F: Future<Output = u16> + Send + 'static,
        A: Fn(TcpStream) -> F + Send + Sync + Clone + 'static,
    {
        let port = self.bridge.port;
        let gate = Arc::new(Semaphore::new(256));
        self.runtime.block_on(async {
            let attackers: Vec<_> = (0..count)
                .map(|number| {
                    let (attack, gate) = (attack.clone(), gate.clone());
                    tokio::spawn(async move {
                        let turn = gate.acquire().await.expect("open");
                        let Ok(stream) = connect(number, port).await else { return 0 };
                        drop(turn);
                        tokio::time::timeout(TIMEOUT, attack(stream)).await.expect("an end")
                    })
                })
                .collect();
            let mut answers = StatusCounts::new();
            for attacker in attackers {
                *answers.entry(attacker.await.expect("no panic")).or_default() += 1;
            }
            answers
        })
    }

    /// Prints the row. Returns the growth of the peak memory in KiB.
    pub fn row(mut self, limit: &str, attack_name: &str, happened: &str) -> usize {
        let (p99, requests) = self.healthy.take().expect("once").p99();
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.bridge.process().id())).expect("it runs");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
        let peak: usize = peak.trim().trim_end_matches(" kB").parse().expect("a number");
        let (mib, ms) = (peak as f64 / 1024.0, p99.as_secs_f64() * 1000.0);
        println!("| `{limit}` | {attack_name} | {happened} | {mib:.0} MiB | {ms:.1} ms of {requests} |");
        peak.saturating_sub(self.before)
    }
}

async fn connect(number: usize, port: u16) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    let from = [127, 0, 0, 2 + u8::try_from(number / 4000).expect("few addresses")];
    socket.bind(SocketAddr::from((from, 0)))?;
    socket.connect(SocketAddr::from(([127, 0, 0, 1], port))).await
}

/// Returns the status of the response, or 0 if the connection is closed without one.
pub async fn status(stream: &mut (impl AsyncReadExt + Unpin)) -> u16 {
    let mut head = Vec::new();
    let mut bytes = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut bytes).await {
        head.extend_from_slice(&bytes[..read]);
        if head.len() >= 12 {
            break;
        }
    }
    String::from_utf8_lossy(&head).split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

/// Writes chunk after chunk as long as the bridge reads them, and returns the status of the response.
async fn write_chunks(stream: TcpStream, head: String, chunk: Arc<Vec<u8>>, times: usize) -> u16 {
    let (mut from, mut to) = stream.into_split();
    let writing = tokio::spawn(async move {
        to.write_all(head.as_bytes()).await?;
        for _ in 0..times {
            to.write_all(&chunk).await?;
        }
        Ok::<_, std::io::Error>(to)
    });
    let status = status(&mut from).await;
    writing.abort();
    status
}

pub fn only(status: u16, count: usize) -> StatusCounts {
    StatusCounts::from([(status, count)])
}

/// Asserts that responses are 413, or 503 if there is no memory for so many bodies at once.
fn assert_rejected_as_too_large(answers: &StatusCounts) {
    assert!(answers.contains_key(&413), "{answers:?}");
    assert!(answers.keys().all(|status| [413, 503].contains(status)), "{answers:?}");
}

#[test]
fn slow_heads_get_408_and_are_disconnected() {
    let _alone = alone();
    let trial = Trial::start(&["--header-timeout", "2s"]);
    let answers = trial.attack(2000, |mut stream| async move {
        let _ = stream.write_all(b"GET /topics HTTP/1.1\r\nhost: localhost\r\n").await;
        let (mut from, mut to) = stream.into_split();
        let dripping = tokio::spawn(async move {
            while to.write_all(b"x-a: b\r\n").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        });
        let status = status(&mut from).await;
        dripping.abort();
        status
    });
    let grown = trial.row("--header-timeout", "2,000 slowloris, a header each 200 ms", "408 after 2 s");
    assert_eq!(answers, only(408, 2000));
    assert!(grown < 100 << 10, "{grown} KiB");
}

#[test]
fn endless_bodies_are_rejected_as_soon_as_they_are_too_large() {
    let _alone = alone();
    let trial = Trial::start(&["--max-body", "1MiB"]);
    let chunk = Arc::new([&b"10000\r\n"[..], &[b'x'; 1 << 16], b"\r\n"].concat());
    let answers = trial.attack(600, move |stream| {
        let head = "POST /topics/t HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n".to_owned();
        write_chunks(stream, head, chunk.clone(), 1 << 20)
    });
    let grown = trial.row("--max-body", "600 endless bodies", "413 after 1 MiB, or 503");
    assert_rejected_as_too_large(&answers);
    assert!(grown < 500 << 10, "{grown} KiB");
}

#[test]
fn incomplete_bodies_share_a_part_of_the_budget() {
    let _alone = alone();
    let trial = Trial::start(&["--memory-budget", "128MiB", "--body-timeout", "5s"]);
    let most = Arc::new(vec![b'x'; 1 << 20]);
    let answers = trial.attack(200, move |stream| {
        // The last byte never comes.
        let head = format!("POST /topics/t HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", (4 << 20) + 1);
        write_and_wait(stream, head, most.clone())
    });
    let grown = trial.row("--memory-budget", "200 bodies of 4 MiB that lack a byte", "503, or 408 after 5 s");
    assert_eq!(answers.keys().copied().filter(|status| ![408, 503].contains(status)).count(), 0, "{answers:?}");
    assert!(answers.contains_key(&503) && answers.contains_key(&408), "{answers:?}");
    assert!(grown < 250 << 10, "{grown} KiB");
}

async fn write_and_wait(stream: TcpStream, head: String, chunk: Arc<Vec<u8>>) -> u16 {
    let (mut from, mut to) = stream.into_split();
    let writing = tokio::spawn(async move {
        to.write_all(head.as_bytes()).await?;
        for _ in 0..4 {
            to.write_all(&chunk).await?;
        }
        std::future::pending::<()>().await;
        Ok::<_, std::io::Error>(())
    });
    let status = status(&mut from).await;
    writing.abort();
    status
}

#[test]
fn ten_thousand_idle_connections_cost_little_and_are_closed() {
    let _alone = alone();
    let trial = Trial::start(&["--header-timeout", "10s"]);
    let answers = trial.attack(10_000, |mut stream| async move { status(&mut stream).await });
    let grown = trial.row("--header-timeout", "10,000 connections that say nothing", "closed after 10 s");
    assert_eq!(answers, only(0, 10_000));
    assert!(grown < 100 << 10, "{grown} KiB");
}

#[test]
fn gzip_bombs_are_rejected() {
    let _alone = alone();
    let trial = Trial::start(&[]);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..64 {
        encoder.write_all(&[0; 1 << 20]).expect("memory");
    }
    // A gzip file may consist of several members (RFC 1952, 2.2).
    let bomb = Arc::new(encoder.finish().expect("memory").repeat(16));
    let answers = trial.attack(200, move |stream| {
        let head = "POST /topics/t HTTP/1.1\r\nhost: localhost\r\ncontent-encoding: gzip\r\n";
        let head = format!("{head}content-length: {}\r\n\r\n", bomb.len());
        write_chunks(stream, head, bomb.clone(), 1)
    });
    let grown = trial.row("--max-body", "200 gzip bombs, 1 MiB that holds 1 GiB", "413 after 8 MiB inflated, or 503");
    assert_rejected_as_too_large(&answers);
    assert!(grown < 400 << 10, "{grown} KiB");
}

#[test]
fn a_flood_from_one_address_is_rate_limited() {
    let _alone = alone();
    let trial = Trial::start(&["--count-loopback", "--max-requests-per-second", "300"]);
    let accepted = Arc::new(AtomicUsize::new(0));
    let counted = accepted.clone();
    let began = Instant::now();
    let answers = trial.attack(20, move |stream| flood(stream, 2000, counted.clone()));
    // A burst may contain the requests of two seconds.
    let allowed = (began.elapsed().as_secs_f64() + 2.0) * 300.0;
    trial.row("--max-requests-per-second", "40,000 requests as fast as can be, 300 a second allowed", "429");
    assert_eq!(answers, only(429, 20));
    let accepted = accepted.load(Relaxed);
    assert!((600..=allowed as usize).contains(&accepted), "{accepted} of 40,000 accepted, {allowed:.0} allowed");
}

/// Sends `count` requests and counts those accepted: 429 when any was rejected, 200 when none was, or the first other
/// status.
async fn flood(stream: TcpStream, count: usize, accepted: Arc<AtomicUsize>) -> u16 {
    let mut stream = BufReader::new(stream);
    let mut last = 200;
    for _ in 0..count {
        let request = b"GET /topics HTTP/1.1\r\nhost: localhost\r\n\r\n";
        if stream.write_all(request).await.is_err() {
            return 0;
        }
        match read_status(&mut stream).await {
            Ok(200) => drop(accepted.fetch_add(1, Relaxed)),
            Ok(429) => last = 429,
            Ok(other) => return other,
            Err(_) => return 0,
        }
    }
    last
}

/// Reads a complete response with a `Content-Length`, so that the next one can be read, and returns its status.
async fn read_status(stream: &mut BufReader<TcpStream>) -> std::io::Result<u16> {
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let mut length = 0;
    loop {
        line.clear();
        stream.read_line(&mut line).await?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse().unwrap_or(0),
            Some(_) => {}
            None => break,
        }
    }
    stream.read_exact(&mut vec![0; length]).await?;
    Ok(status)
}

#[test]
fn connections_and_streams_per_address_are_limited() {
    let _alone = alone();
    let trial = Trial::start(&[
        "--count-loopback",
        "--max-connections-per-address",
        "400",
        "--max-streams-per-address",
        "100",
        "--header-timeout",
        "5s",
    ]);
    let unanswered = Arc::new(AtomicUsize::new(1000));
    let answers = trial.attack(1000, move |mut stream| {
        let unanswered = unanswered.clone();
        async move {
            let _ = stream.write_all(b"GET /topics/healthy/events HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
            let status = status(&mut stream).await;
            unanswered.fetch_sub(1, Relaxed);
            // A stream stays open while the healthy client is measured, and until all attackers have a response, so
            // that no slot is freed for another attacker.
            let began = Instant::now();
            let stays = |held: Duration| held.as_secs() < 3 || (unanswered.load(Relaxed) > 0 && held < TIMEOUT / 2);
            while status == 200 && stays(began.elapsed()) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            status
        }
    });
    let grown = trial.row("--max-streams-per-address", "1,000 streams of one address, 100 allowed", "429");
    assert_eq!(answers.get(&200), Some(&100), "{answers:?}");
    assert!(answers.get(&429) >= Some(&300), "{answers:?}");
    assert!(grown < 50 << 10, "{grown} KiB");
}

#[test]
fn large_heads_are_rejected() {
    let _alone = alone();
    let trial = Trial::start(&[]);
    for (size, named) in [(20 << 10, true), (10 << 20, false)] {
        let answers = trial.attack(100, move |stream| {
            let head = "GET /topics HTTP/1.1\r\nhost: localhost\r\nx-a: ".to_owned();
            write_chunks(stream, head, Arc::new([&vec![b'x'; size][..], b"\r\n\r\n"].concat()), 1)
        });
        assert_eq!(answers, only(431, 100), "{named}");
    }
    let grown = trial.row("--max-header", "100 heads of 20 KiB, 100 of 10 MiB", "431");
    assert!(grown < 100 << 10, "{grown} KiB");
}

#[test]
fn a_bridge_with_few_open_files_serves_health_among_silent_connections() {
    let _alone = alone();
    let data = tempfile::tempdir().expect("temporary directory");
    let mut bridge = Bridge::embedded_with_open_files(256, data.path(), &[]);
    let silent: Vec<_> = (0..600).map(|_| http::connect(bridge.port)).collect();
    for _ in 0..20 {
        bridge.get("/health").expect(200);
    }
    drop(silent);
    eventually("others are served again", TIMEOUT, || match bridge.get("/topics").status {
        200 => Ok(()),
        status => Err(status.to_string()),
    });
    assert_eq!(bridge.process().exited(), None);
    assert!(!bridge.log().contains("panicked"), "{}", bridge.log());
}

#[test]
fn rejected_connections_leave_no_descriptor_open() {
    let _alone = alone();
    let mut trial = Trial::start(&["--max-connections", "100"]);
    let open = |bridge: &mut Bridge| {
        std::fs::read_dir(format!("/proc/{}/fd", bridge.process().id())).expect("it runs").count()
    };
    let before = open(&mut trial.bridge);
    let answers = trial.attack(1000, |mut stream| async move {
        let _ = stream.write_all(b"GET /topics/healthy/events HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        let status = status(&mut stream).await;
        tokio::time::sleep(Duration::from_secs(if status == 200 { 2 } else { 0 })).await;
        status
    });
    assert!(answers.get(&503) >= Some(&1), "{answers:?}");
    eventually("the descriptors are closed", TIMEOUT, || match open(&mut trial.bridge) {
        now if now <= before => Ok(()),
        now => Err(format!("{now} open, {before} before")),
    });
    trial.row("--max-connections", "1,000 streams, 100 connections allowed", "503, or closed");
}
