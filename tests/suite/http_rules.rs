//! Requests that violate HTTP each get a status other than 5xx, and a body that states the error.

use crate::support::damage::damaged;
use crate::support::served::{PATIENCE, Served};
use curlew::http;
use curlew::sync::watchdog;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use proptest::prelude::*;
use serde_json::Value;
use std::sync::LazyLock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use warp::hyper::body::Bytes;

/// Returns everything that the server sends until it closes the connection.
async fn answer(served: &Served, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut all = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut all)).await;
    read.unwrap_or_else(|_| panic!("{:?} is not answered", String::from_utf8_lossy(request))).unwrap();
    String::from_utf8_lossy(&all).into_owned()
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

/// Panics if an error response has no body that states the error.
fn check_problem(answer: &str) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {answer}"));
    assert!(head.contains("\r\ncontent-type: application/problem+json"), "{answer}");
    let problem: Value = serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {answer}"));
    assert_eq!(problem["status"], status(answer), "{answer}");
    assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{answer}");
}

#[tokio::test]
async fn the_response_to_a_request_that_violates_http_names_the_rule() {
    let served = Served::start(http::Settings::default());
    let panics = watchdog::panics();
    let many: String = (0..150).map(|n| format!("x-{n}: y\r\n")).collect();
    let long = "a".repeat(66_000);
    for (request, expected, said) in [
        // A target without a path, which makes warp panic.
        ("CONNECT a:1 HTTP/1.1\r\nhost: localhost\r\n\r\n", 400, "CONNECT"),
        ("GET a HTTP/1.1\r\nhost: localhost\r\n\r\n", 400, "has no path"),
        ("GET a:1 HTTP/1.0\r\n\r\n", 400, "has no path"),
        ("OPTIONS * HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n", 204, ""),
        ("GET http://localhost/health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n", 200, ""),
        // RFC 9112, 3.2.
        ("GET /health HTTP/1.1\r\n\r\n", 400, "0 Host headers"),
        ("GET /health HTTP/1.1\r\nhost: localhost\r\nhost: localhost\r\n\r\n", 400, "2 Host headers"),
        ("GET /health HTTP/1.1\r\nhost: a b\r\n\r\n", 400, "Host is"),
        ("GET /health HTTP/1.0\r\n\r\n", 200, ""),
        // RFC 9112, 6.1.
        (
            "POST /topics/t HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            501,
            "only chunked",
        ),
        ("POST /topics/t HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: gzip\r\n\r\n", 400, "RFC 9112"),
        // Requests that hyper rejects.
        ("GET /topics/t/events?where=value.a > 3 HTTP/1.1\r\nhost: localhost\r\n\r\n", 400, "%20"),
        ("GET /topics/\u{1} HTTP/1.1\r\nhost: localhost\r\n\r\n", 400, "percent-encoded"),
        ("GET / HTTP/9.9\r\nhost: localhost\r\n\r\n", 400, "HTTP/1.1"),
        ("GET / HTTP/1.1\r\nbad header: x\r\n\r\n", 400, "header"),
        ("POST /topics/t HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5, 6\r\n\r\n", 400, "content-length"),
        (
            "POST /topics/t HTTP/1.1\r\nhost: localhost\r\ncontent-length: 18446744073709551615\r\n\r\n",
            413,
            "--max-body",
        ),
        (&format!("GET / HTTP/1.1\r\nhost: localhost\r\n{many}\r\n"), 431, "100 headers"),
        (&format!("GET /{long} HTTP/1.1\r\nhost: localhost\r\n\r\n"), 431, "larger"),
    ] {
        let answer = answer(&served, request.as_bytes()).await;
        assert_eq!(status(&answer), expected, "{request:.80}: {answer}");
        if expected >= 400 {
            check_problem(&answer);
        }
        assert!(answer.contains(said), "{request:.80}: {answer}");
    }
    assert_eq!(watchdog::panics(), panics);
}

#[tokio::test]
async fn a_response_to_head_has_no_body_whatever_the_error() {
    let full = http::Settings { max_connections: 0, ..http::Settings::default() };
    let (served, full) = (Served::start(http::Settings::default()), Served::start(full));
    for (served, request, expected) in [
        (&served, "HEAD a HTTP/1.1\r\nhost: localhost", 400),
        (&served, "HEAD /health HTTP/1.1\r\nhost: a\r\nhost: b", 400),
        (&served, "HEAD /a b HTTP/1.1\r\nhost: localhost", 400),
        (&served, "HEAD /health HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5, 6", 400),
        (&served, "HEAD /health HTTP/1.1\r\nhost: localhost\r\nconnection: close", 200),
        (&full, "HEAD /topics HTTP/1.1\r\nhost: localhost", 503),
        (&full, "HEAD /health HTTP/1.1\r\nhost: localhost", 200),
    ] {
        let answer = answer(served, format!("{request}\r\n\r\n").as_bytes()).await;
        assert_eq!(status(&answer), expected, "{request}: {answer}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, "", "{request}: {answer}");
        assert!(!head.contains("content-length: 0"), "{request}: {answer}");
    }
}

#[tokio::test]
async fn health_is_served_however_many_connections_are_silent() {
    let served = Served::start(http::Settings { max_connections: 1, ..http::Settings::default() });
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(TcpStream::connect(served.address).await.unwrap());
    }
    let health = answer(&served, b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    assert_eq!(status(&health), 200, "{health}");
}

#[tokio::test]
async fn an_http_2_connect_is_a_400_and_its_neighbours_continue() {
    let served = Served::start(http::Settings::default());
    let stream = TcpStream::connect(served.address).await.unwrap();
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let panics = watchdog::panics();
    let connect = hyper::Request::connect("a:1").body(Empty::<Bytes>::new()).unwrap();
    let rejected = client.send_request(connect).await.unwrap();
    assert_eq!(rejected.status(), 400);
    let body = rejected.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&body).contains("CONNECT"), "{body:?}");
    let health = hyper::Request::get(format!("http://{}/health", served.address)).body(Empty::<Bytes>::new()).unwrap();
    assert_eq!(client.send_request(health).await.unwrap().status(), 200);
    assert_eq!(watchdog::panics(), panics);
}

/// Request targets of all four forms (RFC 9112, 3.2), and invalid ones.
const TARGETS: [&str; 14] = [
    "/topics/t?offsets=true",
    "/topics/%2e%2e/a%20b",
    "http://localhost/health",
    "https://user@[::1]:8080/topics?a=b",
    "http://",
    "a:1",
    "a",
    "[::1]:80",
    "*",
    "?a=b",
    "//host/path",
    "/\u{e9}?\u{7f}",
    "ftp:/x#y",
    "",
];

static WORLD: LazyLock<(Runtime, Served)> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let served = runtime.block_on(async { Served::start(http::Settings::default()) });
    (runtime, served)
});

proptest! {
    #[test]
    fn every_request_target_gets_a_response_without_a_panic(
        method in "GET|POST|HEAD|OPTIONS|CONNECT|TRACE|[A-Z]{1,9}",
        target in damaged(TARGETS.map(|text| text.as_bytes().to_vec()).to_vec()),
        version in "HTTP/1\\.[01]",
    ) {
        // A line end would start a header or another request.
        prop_assume!(!target.contains(&b'\n') && !target.contains(&b'\r'));
        let (runtime, served) = &*WORLD;
        let head = b"\r\nhost: localhost\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let request = [method.as_bytes(), b" ", &target, b" ", version.as_bytes(), head].concat();
        let panics = watchdog::panics();
        let answer = runtime.block_on(answer(served, &request));
        prop_assert_eq!(watchdog::panics(), panics);
        let status = status(&answer);
        prop_assert!((200..500).contains(&status), "{:?}: {answer}", String::from_utf8_lossy(&request));
        if method == "HEAD" {
            prop_assert!(answer.ends_with("\r\n\r\n") && answer.matches("\r\n\r\n").count() == 1, "{answer}");
        } else if status >= 400 {
            check_problem(&answer);
        }
    }
}
