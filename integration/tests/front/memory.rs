//! The memory of unread responses and of requests that wait, beside a healthy client of another topic. Each bridge has
//! 4,000,000 KiB of address space.

use crate::alone;
use crate::limits::{Trial, status};
use crate::neighbours::{MOST_MEMORY, measured, start, wait_until};
use curlew_integration::http;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream as Blocking;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PAGE: &str = "/topics/wa/partitions/0/records?offset=0&limit=20";
/// Measurements of the healthy client while the others hold their memory.
const MEASURED: usize = 200;
const STREAMS: u32 = 100;

/// Starts a bridge with two records of 1 MB that are six times as long in JSON.
fn start_with_large_pages() -> Trial {
    let trial = start();
    for _ in 0..2 {
        trial.bridge.post("/topics/wa", "application/octet-stream", vec![1; 1_000_000]).expect(200);
    }
    trial
}

async fn hold(counter: &AtomicUsize, until: usize) {
    while counter.load(Ordering::Relaxed) < until {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn unread_pages_over_http2_end_in_503_within_the_budget() {
    let _alone = alone();
    let mut trial = start_with_large_pages();
    let (counter, until) = (counter(&trial), measured(&trial) + MEASURED);
    let answers = trial.attack(100, move |mut stream| {
        let counter = counter.clone();
        async move {
            let pages = pages_over_http2(&mut stream).await;
            hold(&counter, until).await;
            pages
        }
    });
    let pages: usize = answers.iter().map(|(pages, connections)| usize::from(*pages) * connections).sum();
    let page = trial.bridge.get(PAGE).status;
    assert_eq!(trial.bridge.process().exited(), None);
    let attack_name = "100 HTTP/2 connections that ask for 100 pages of 6 MB each and read none";
    let grown = trial.row("--memory-budget", attack_name, "503");
    assert!((1..1000).contains(&pages), "{answers:?}");
    assert!([200, 503].contains(&page), "{page}");
    assert!(grown < MOST_MEMORY, "{grown} KiB");
}

#[test]
fn unread_pages_over_http1_end_in_503_within_the_budget() {
    let _alone = alone();
    let mut trial = start_with_large_pages();
    let (counter, until) = (counter(&trial), measured(&trial) + MEASURED);
    let answers = trial.attack(900, move |mut stream| {
        let counter = counter.clone();
        async move {
            let _ = stream.write_all(format!("GET {PAGE} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).await;
            let status = status(&mut stream).await;
            hold(&counter, until).await;
            status
        }
    });
    assert_eq!(trial.bridge.process().exited(), None);
    let attack_name = "900 connections that ask for a page of 6 MB each and do not read it";
    let grown = trial.row("--memory-budget", attack_name, "503");
    assert!(answers.contains_key(&200) && answers.contains_key(&503), "{answers:?}");
    assert!(answers.keys().all(|status| [200, 503].contains(status)), "{answers:?}");
    assert!(grown < MOST_MEMORY, "{grown} KiB");
}

#[test]
fn unread_receipts_of_envelopes_end_in_503_within_the_budget() {
    let _alone = alone();
    let mut trial = start();
    let (counter, until) = (counter(&trial), measured(&trial) + MEASURED);
    let body = format!("{{\"records\":[{{\"value\":1}}{}]}}", ",{}".repeat(80_000));
    let request = format!(
        "POST /topics/wa HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/vnd.kafka.json.v2+json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let request = Arc::new(request);
    let answers = trial.attack(200, move |mut stream| {
        let (counter, request) = (counter.clone(), request.clone());
        async move {
            let _ = stream.write_all(request.as_bytes()).await;
            let status = status(&mut stream).await;
            hold(&counter, until).await;
            status
        }
    });
    assert_eq!(trial.bridge.process().exited(), None);
    let attack_name = "200 envelopes of 80,001 records, whose receipts of 7 MB are not read";
    let grown = trial.row("--memory-budget", attack_name, "503");
    assert!(answers.contains_key(&207) && answers.contains_key(&503), "{answers:?}");
    assert!(answers.keys().all(|status| [207, 503].contains(status)), "{answers:?}");
    assert!(grown < MOST_MEMORY, "{grown} KiB");
}

#[test]
fn pages_that_wait_for_records_delay_no_other_page() {
    let _alone = alone();
    let mut trial = start();
    trial.bridge.post("/topics/wa", "text/plain", "first").expect(200);
    let port = trial.bridge.port;
    let ask = |_| {
        let mut stream = http::connect(port);
        let page = "/topics/wa/partitions/0/records?offset=1&timeout=30000";
        write!(stream, "GET {page} HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("it takes requests");
        stream
    };
    let waiting: Vec<Blocking> = (0..800).map(ask).collect();
    let until = measured(&trial) + MEASURED;
    wait_until("the healthy client has been measured", || {
        trial.bridge.get("/topics/healthy/partitions/0/records?offset=0&limit=1").expect(200);
        measured(&trial) >= until
    });
    trial.bridge.post("/topics/wa", "text/plain", "second").expect(200);
    for stream in waiting {
        let mut answer = BufReader::new(stream);
        let mut first = String::new();
        answer.read_line(&mut first).expect("an answer");
        assert!(first.starts_with("HTTP/1.1 200 "), "{first}");
    }
    assert_eq!(trial.bridge.process().exited(), None);
    let grown = trial.row("timeout", "800 pages with `timeout=30000`", "they wait, and other pages are 200");
    assert!(grown < MOST_MEMORY, "{grown} KiB");
}

fn counter(trial: &Trial) -> Arc<AtomicUsize> {
    trial.healthy.as_ref().expect("it runs").counter()
}

/// Requests a page on each of many streams with a window of one byte. Returns how many get a 200.
async fn pages_over_http2(stream: &mut TcpStream) -> u16 {
    const HEADERS: u8 = 1;
    const RST_STREAM: u8 = 3;
    const END_STREAM_AND_HEADERS: u8 = 5;
    /// In the static table of HPACK (RFC 7541, appendix A).
    const STATUS_200: u8 = 0x80 | 8;
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // SETTINGS_INITIAL_WINDOW_SIZE is 1.
    bytes.extend_from_slice(b"\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\x01");
    for number in (1..2 * STREAMS).step_by(2) {
        // `:method GET` and `:scheme http` of the static table; `:path` and `:authority` as literals.
        let mut headers = vec![0x82, 0x86, 0x04, PAGE.len() as u8];
        headers.extend_from_slice(PAGE.as_bytes());
        headers.extend_from_slice(b"\x01\x09localhost");
        bytes.extend_from_slice(&[0, 0, headers.len() as u8, HEADERS, END_STREAM_AND_HEADERS]);
        bytes.extend_from_slice(&number.to_be_bytes());
        bytes.extend_from_slice(&headers);
    }
    if stream.write_all(&bytes).await.is_err() {
        return 0;
    }
    let (mut pages, mut answered) = (0, 0);
    while answered < STREAMS {
        let mut head = [0; 9];
        let Ok(_) = stream.read_exact(&mut head).await else { break };
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        let Ok(_) = stream.read_exact(&mut payload).await else { break };
        match (head[3], payload.first()) {
            (HEADERS, Some(&STATUS_200)) => (pages, answered) = (pages + 1, answered + 1),
            (HEADERS | RST_STREAM, _) => answered += 1,
            _ => {}
        }
    }
    pages
}
