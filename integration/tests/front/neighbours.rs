//! Clients with expensive or malformed requests, beside a healthy client of another topic. Each bridge has 4,000,000 KiB of
//! address space, as under `ulimit -v 4000000`.

use crate::alone;
use crate::healthy::Healthy;
use crate::limits::{Trial, only, status};
use curlew_integration::eventually;
use std::process::Command;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Maximum memory that an attack may cost, in KiB.
pub const MOST_MEMORY: usize = 256 << 10;

pub fn start() -> Trial {
    limited(Trial::start_beside(&[], Healthy::start_reading))
}

pub fn limited(mut trial: Trial) -> Trial {
    let process = trial.bridge.process().id().to_string();
    let limited = Command::new("prlimit").args(["--as=4096000000", "--pid", &process]).status();
    assert!(limited.expect("prlimit").success());
    trial
}

pub fn measured(trial: &Trial) -> usize {
    trial.healthy.as_ref().expect("it runs").measured()
}

fn metric(trial: &Trial, name: &str) -> f64 {
    let page = trial.bridge.get("/metrics").expect(200).text();
    let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {name} in {page}")).parse().expect("a number")
}

pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    eventually(what, Duration::from_secs(120), || if is_so() { Ok(()) } else { Err("not yet".to_owned()) });
}

#[test]
fn slow_filters_of_one_topic_delay_no_stream_of_another() {
    let _alone = alone();
    let trial = start();
    trial.bridge.post("/topics/mine", "application/json", "{}").expect(200);
    let filters: Vec<_> = (0..490)
        .map(|n| trial.bridge.events(&format!("/topics/mine/events?where=value.s.matches('(a%7Cb%7Cab)*{n}x$')")))
        .collect();
    let records = format!("{{\"s\":\"{}\"}}\n", "ab".repeat(20)).repeat(10_000);
    trial.bridge.post("/topics/mine", "application/x-ndjson", records).expect(200);
    let lag = || metric(&trial, "curlew_stream_lag_records{flow=\"behind\"}");
    wait_until("the lag of the filters is reported", || lag() > 0.0);
    let before = measured(&trial);
    wait_until("the other topic's records arrive", || measured(&trial) >= before + 20);
    assert!(lag() > 0.0, "the other topic waited for all the filters");
    wait_until("more of them arrive", || measured(&trial) >= before + 300);
    drop(filters);
    let health = trial.bridge.get("/health").status;
    let grown =
        trial.row("where", "490 regex filters on a topic and 10,000 records at once", "the filters fall behind");
    assert_eq!(health, 200);
    assert!(grown < MOST_MEMORY, "{grown} KiB");
}

#[test]
fn floods_of_requests_that_break_a_rule_are_rejected_without_a_panic() {
    let _alone = alone();
    let mut trial = start();
    let mut rounds = 0;
    wait_until("the healthy client has been measured", || {
        for request in ["CONNECT a:1 HTTP/1.1\r\nhost: a\r\n\r\n", "GET a HTTP/1.1\r\nhost: a\r\n\r\n"] {
            let answers = trial.attack(1000, move |mut stream| async move {
                let _ = stream.write_all(request.as_bytes()).await;
                status(&mut stream).await
            });
            assert_eq!(answers, only(400, 1000), "{request}");
        }
        assert_eq!(trial.attack(10, http2_connects), only(400, 10), "HTTP/2");
        rounds += 1;
        measured(&trial) >= 200
    });
    assert_eq!(metric(&trial, "curlew_worker_panics_total"), 0.0);
    assert_eq!(trial.bridge.process().exited(), None);
    let log = trial.bridge.log();
    let attack_name = format!("{rounds},000 each of `CONNECT a:1`, `GET a` and CONNECT over HTTP/2");
    let grown = trial.row("(always)", &attack_name, "400");
    assert!(!log.contains("panicked"), "{log:.2000}");
    assert!(grown < MOST_MEMORY, "{grown} KiB");
}

/// Sends a hundred CONNECT requests on one connection. Returns 400 if each gets that status, or else 0 or 1.
async fn http2_connects(mut stream: TcpStream) -> u16 {
    const HEADERS: u8 = 1;
    const END_STREAM_AND_HEADERS: u8 = 5;
    /// In the static table of HPACK (RFC 7541, appendix A).
    const STATUS_400: u8 = 0x80 | 12;
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    for number in (1..200_u32).step_by(2) {
        // `:method` and `:authority`, as literals.
        let headers = b"\x02\x07CONNECT\x01\x03a:1";
        bytes.extend_from_slice(&[0, 0, headers.len() as u8, HEADERS, END_STREAM_AND_HEADERS]);
        bytes.extend_from_slice(&number.to_be_bytes());
        bytes.extend_from_slice(headers);
    }
    let _ = stream.write_all(&bytes).await;
    let mut answered = 0;
    while answered < 100 {
        let mut head = [0; 9];
        let Ok(_) = stream.read_exact(&mut head).await else { return 0 };
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        let Ok(_) = stream.read_exact(&mut payload).await else { return 0 };
        match (head[3], payload.first()) {
            (HEADERS, Some(&STATUS_400)) => answered += 1,
            (HEADERS, _) => return 1,
            _ => {}
        }
    }
    400
}
