//! The accept loop on real sockets: keep-alive, HTTP/2, streams that take over their connection, clients that read
//! nothing, connection limits, and shutdown.

use crate::support::served::{PATIENCE, Served};
use curlew::http;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use warp::hyper::body::Bytes;

const FROM_THE_START: &str = "GET /topics/t/events?from=earliest HTTP/1.1\r\nhost: localhost\r\n\r\n";

fn serve(max_connections: usize, stall_timeout: Duration) -> Served {
    Served::start(http::Settings { max_connections, stall_timeout, ..http::Settings::default() })
}

impl Served {
    async fn connect(&self) -> RawClient {
        RawClient { stream: TcpStream::connect(self.address).await.unwrap(), seen: String::new() }
    }

    async fn ask(&self, request: &str) -> RawClient {
        let mut client = self.connect().await;
        client.say(request).await;
        client
    }
}

struct RawClient {
    stream: TcpStream,
    seen: String,
}

impl RawClient {
    async fn say(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads until `text` has arrived `times` times.
    async fn until(&mut self, text: &str, times: usize) {
        while self.seen.matches(text).count() < times {
            assert!(self.more().await, "the connection ended before {text:?} arrived {times} times: {}", self.seen);
        }
    }

    /// Reads once. Returns `false` if the server has closed the connection.
    async fn more(&mut self) -> bool {
        let mut bytes = [0; 4096];
        let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut bytes)).await;
        let read = read.unwrap_or_else(|_| panic!("nothing more arrives after {}", self.seen)).unwrap_or(0);
        self.seen.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
        read > 0
    }

    async fn rest(mut self) -> String {
        while self.more().await {}
        self.seen
    }

    /// Reads a response that is not text, such as the last frame of HTTP/2.
    async fn rest_of_any_kind(mut self) -> String {
        let mut bytes = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, self.stream.read_to_end(&mut bytes)).await.expect("the server closes");
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

#[tokio::test]
async fn an_ndjson_stream_sends_its_first_byte_with_its_head() {
    let served = serve(10, PATIENCE);
    let silent = "GET /topics/t/events HTTP/1.1\r\nhost: localhost\r\naccept: application/x-ndjson\r\n\r\n";
    let mut client = served.ask(silent).await;
    // The head is followed by a chunk of one line feed, long before the first heartbeat.
    client.until("\r\n\r\n1\r\n\n\r\n", 1).await;
}

#[tokio::test]
async fn requests_share_a_connection_even_if_pipelined() {
    let served = serve(10, PATIENCE);
    let health = "GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut client = served.ask(health).await;
    client.until("\"status\":\"ok\"", 1).await;
    client.say(&health.repeat(2)).await;
    client.until("\"status\":\"ok\"", 3).await;
    client.say(FROM_THE_START).await;
    client.until("data: first\n", 1).await;
}

#[tokio::test]
async fn a_rejected_body_leaves_the_connection_usable_and_is_not_requested() {
    let served = serve(10, PATIENCE);
    let rejected = "POST /nothing HTTP/1.1\r\nhost: localhost\r\ncontent-length: 50000\r\n";
    let mut client = served.ask(&format!("{rejected}\r\n")).await;
    for _ in 0..5 {
        client.say(&"x".repeat(10_000)).await;
    }
    client.say("GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    client.until("\"status\":\"ok\"", 1).await;
    assert!(client.seen.starts_with("HTTP/1.1 404 "), "{}", client.seen);
    let waiting = served.ask(&format!("{rejected}expect: 100-continue\r\n\r\n")).await.rest().await;
    assert!(waiting.starts_with("HTTP/1.1 404 "), "{waiting}");
}

#[tokio::test]
async fn a_stream_ends_with_the_last_chunk_or_in_http_1_0_with_the_connection() {
    let served = serve(10, PATIENCE);
    let path = "/topics/t/events?from=earliest&until=end";
    let chunked = served.ask(&format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await.rest().await;
    assert!(chunked.starts_with("HTTP/1.1 200 OK\r\n") && chunked.ends_with("\r\n0\r\n\r\n"), "{chunked}");
    assert!(chunked.contains("\ncontent-type: text/event-stream\r\n"), "{chunked}");
    assert!(chunked.contains("\ncache-control: no-cache, no-transform\r\n"), "{chunked}");
    let old = served.ask(&format!("GET {path} HTTP/1.0\r\nhost: localhost\r\n\r\n")).await.rest().await;
    let (head, body) = old.split_once("\r\n\r\n").unwrap();
    assert!(!head.contains("chunked"), "{old}");
    assert!(body.starts_with("retry: 2") && body.contains("\n\ndata: first\nid: ") && body.ends_with("\n\n"), "{old}");
    served.until_streams(0).await;
}

#[tokio::test]
async fn a_head_request_for_a_stream_leaves_the_connection_usable() {
    let served = serve(10, PATIENCE);
    let mut client = served.ask(&FROM_THE_START.replace("GET", "HEAD")).await;
    client.until("\r\n\r\n", 1).await;
    assert!(client.seen.contains("content-type: text/event-stream") && !client.seen.contains("content-length: 0"));
    client.say(FROM_THE_START).await;
    client.until("data: first\n", 1).await;
}

#[tokio::test]
async fn http_2_works_without_tls_by_prior_knowledge() {
    let served = serve(10, PATIENCE);
    let stream = TcpStream::connect(served.address).await.unwrap();
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let address = served.address;
    let mut get = |path: &str| {
        let request = hyper::Request::get(format!("http://{address}{path}")).body(Empty::<Bytes>::new()).unwrap();
        client.send_request(request)
    };
    let mut live = get("/topics/t/events?from=earliest").await.unwrap().into_body();
    // On the same connection as the open stream.
    let ended = get("/topics/t/events?from=earliest&until=end").await.unwrap();
    assert_eq!(ended.version(), hyper::Version::HTTP_2);
    let body = ended.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&body).contains("data: first\n"));
    let mut seen = String::new();
    while !seen.contains("data: first\n") {
        let frame = tokio::time::timeout(PATIENCE, live.frame()).await.unwrap().unwrap().unwrap();
        seen.push_str(&String::from_utf8_lossy(&frame.into_data().unwrap()));
    }
    assert_eq!(served.app.hub.streams(), 1);
    drop(live);
    served.until_streams(0).await;
}

#[tokio::test]
async fn an_upload_with_expect_continue_receives_receipts_while_it_is_sent() {
    let served = serve(10, PATIENCE);
    let head = "POST /topics/t?receipts=stream HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\n\
        expect: 100-continue\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut client = served.ask(head).await;
    client.until("HTTP/1.1 100 Continue\r\n\r\n", 1).await;
    assert!(!client.seen.contains(" 200 "), "{}", client.seen);
    client.say("6\r\n{\"a\":1\r\n2\r\n}\n\r\n").await;
    client.until("\"offset\":1}", 1).await;
    client.say("8\r\n{\"a\":2}\n\r\n0\r\n\r\n").await;
    client.until("\"offset\":2}", 1).await;
}

#[tokio::test]
async fn a_body_without_a_length_is_a_411_and_creates_no_topic() {
    let served = serve(10, PATIENCE);
    for path in ["/topics/fresh", "/tickets", "/login"] {
        for version in ["1.1", "1.0"] {
            for together in [true, false] {
                let head = format!("POST {path} HTTP/{version}\r\nhost: localhost\r\ncontent-type: text/csv\r\n\r\n");
                let body = "GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n";
                let mut client = served.ask(&if together { head.clone() + body } else { head }).await;
                client.until("Content-Length: 0", 1).await;
                // A body that arrives later does not reset the connection, so that the client can read the response.
                client.say(body).await;
                let seen = client.rest().await;
                assert!(seen.starts_with("HTTP/1.1 411 "), "{path} {version}: {seen}");
                assert_eq!(seen.matches("HTTP/1.1 ").count(), 1, "{path} {version}: {seen}");
                assert!(seen.to_lowercase().contains("connection: close"), "{path} {version}: {seen}");
            }
        }
    }
    let topics = served.app.hub.broker().list_topics().unwrap();
    assert!(topics.iter().all(|topic| topic.name.as_str() != "fresh"), "{topics:?}");
    let empty = "POST /topics/fresh HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n";
    served.ask(empty).await.until("\"offset\":0}", 1).await;
    // Later requests of a connection get the same response.
    let mut client = served.ask(empty).await;
    client.until("\"offset\":1}", 1).await;
    client.say("POST /topics/fresh HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let seen = client.rest().await;
    assert_eq!((seen.matches("HTTP/1.1 200 ").count(), seen.matches("HTTP/1.1 411 ").count()), (1, 1), "{seen}");
}

/// A client may write for longer than the stall timeout before it reads the first receipt.
#[tokio::test]
async fn a_client_that_reads_no_receipts_while_it_uploads_is_not_disconnected() {
    let stall = Duration::from_secs(2);
    let served = serve(10, stall);
    let head = "POST /topics/t?receipts=stream HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\n\
        transfer-encoding: chunked\r\n\r\n";
    let mut client = served.ask(head).await;
    let (lines, mut written) = ("1\n".repeat(1000), 0);
    let chunk = format!("{:x}\r\n{lines}\r\n", lines.len());
    // More receipts than the kernel buffers.
    while written < 40_000 {
        tokio::time::timeout(PATIENCE, client.say(&chunk)).await.expect("the body is read");
        written += 1000;
    }
    // Then it writes slowly, for longer than the stall timeout.
    let (started, mut pace) = (Instant::now(), tokio::time::interval(stall / 40));
    while started.elapsed() < 2 * stall {
        pace.tick().await;
        tokio::time::timeout(PATIENCE, client.say("2\r\n1\n\r\n")).await.expect("the body is read");
        written += 1;
    }
    client.say("0\r\n\r\n").await;
    client.until("\r\n0\r\n\r\n", 1).await;
    assert!(client.seen.contains("\"lines\":["), "no receipts were merged");
    assert_eq!(served.broker.records("t", 0).len(), 1 + written);
}

#[tokio::test]
async fn a_disconnect_is_noticed_on_a_silent_stream() {
    let served = serve(10, PATIENCE);
    let mut client = served.ask(FROM_THE_START).await;
    client.until("data: first\n", 1).await;
    served.until_streams(1).await;
    drop(client);
    served.until_streams(0).await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_disconnected() {
    let served = serve(10, Duration::from_millis(300));
    for _ in 0..64 {
        served.broker.append("t", 0, vec![b'x'; 1 << 20]);
    }
    for version in ["1.1", "1.0"] {
        let silent = served.ask(&FROM_THE_START.replace("HTTP/1.1", &format!("HTTP/{version}"))).await;
        served.until_streams(1).await;
        served.until_streams(0).await;
        drop(silent);
    }
}

#[tokio::test]
async fn an_unread_http_2_stream_is_reset_and_its_neighbours_continue() {
    let served = serve(10, Duration::from_millis(300));
    let stream = TcpStream::connect(served.address).await.unwrap();
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let address = served.address;
    let mut get = |query: &str| {
        let path = format!("http://{address}/topics/t/events?{query}");
        client.send_request(hyper::Request::get(path).body(Empty::<Bytes>::new()).unwrap())
    };
    let mut read = get("from=earliest").await.unwrap().into_body();
    let unread = get("from=earliest").await.unwrap();
    served.until_streams(2).await;
    // More than the client's window for one stream, and less than its window for the connection.
    for _ in 0..4 {
        served.broker.append("t", 0, vec![b'x'; 1 << 20]);
    }
    let (mut seen, expected) = (0, 4 << 20);
    while seen < expected {
        let frame = tokio::time::timeout(PATIENCE, read.frame()).await.unwrap().unwrap().unwrap();
        seen += frame.into_data().unwrap().len();
    }
    served.until_streams(1).await;
    let cut = unread.into_body().collect().await.unwrap_err();
    assert!(cut.to_string().contains("body"), "{cut}");
    // The stream must not be reset while there is nothing to read.
    tokio::time::sleep(Duration::from_millis(900)).await;
    served.broker.append("t", 0, "last");
    let mut rest = String::new();
    while !rest.contains("data: last\n") {
        let frame = tokio::time::timeout(PATIENCE, read.frame()).await.unwrap().unwrap().unwrap();
        rest.push_str(&String::from_utf8_lossy(&frame.into_data().unwrap()));
    }
}

#[tokio::test]
async fn a_connection_beyond_the_limit_is_rejected_until_one_closes() {
    let served = serve(1, PATIENCE);
    let mut first = served.ask(FROM_THE_START).await;
    first.until("data: first\n", 1).await;
    let rejected = served.ask(FROM_THE_START).await.rest().await;
    assert!(rejected.starts_with("HTTP/1.1 503 "), "{rejected}");
    for part in [
        "\nretry-after: 1\r\n",
        "\ncontent-type: application/problem+json\r\n",
        "\nx-request-id: ",
        "--max-connections",
    ] {
        assert!(rejected.contains(part), "{rejected} lacks {part:?}");
    }
    let health = served.ask("GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").await.rest().await;
    assert!(
        health.starts_with("HTTP/1.1 200 ") && health.contains("\"status\":\"ok\""),
        "a full bridge is healthy: {health}"
    );
    drop(first);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut next = served.ask(FROM_THE_START).await;
        next.until("\r\n", 1).await;
        if next.seen.starts_with("HTTP/1.1 200 ") {
            break;
        }
        assert!(Instant::now() < deadline, "{}", next.seen);
    }
}

#[tokio::test]
async fn bytes_that_are_not_http_close_only_their_connection() {
    let served = serve(10, PATIENCE);
    let mut good = served.ask(FROM_THE_START).await;
    good.until("data: first\n", 1).await;
    for nonsense in ["\u{16}\u{3}\u{1}\u{2}", "GET\r\n\r\n", "PRIx * HTTP/2.0\r\n\r\n", "PRI", "P", ""] {
        let mut bad = served.ask(nonsense).await;
        bad.stream.shutdown().await.unwrap();
        let answer = bad.rest_of_any_kind().await;
        assert!(!answer.contains("200 OK"), "{nonsense:?}: {answer}");
    }
    served.broker.append("t", 0, "second");
    good.until("data: second\n", 1).await;
}

#[tokio::test]
async fn at_shutdown_each_stream_ends_after_a_complete_frame_and_idle_connections_close() {
    let served = serve(10, PATIENCE);
    let mut streams = Vec::new();
    for _ in 0..3 {
        let mut stream = served.ask(FROM_THE_START).await;
        stream.until("data: first\n", 1).await;
        streams.push(stream);
    }
    let mut idle = served.ask("GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    idle.until("\"status\":\"ok\"", 1).await;
    let silent = served.connect().await;
    served.end.send(()).unwrap();
    for stream in streams {
        let seen = stream.rest().await;
        assert!(seen.contains("event: problem\ndata: {") && seen.contains("shutting down"), "{seen}");
        assert!(seen.ends_with("\n\n\r\n0\r\n\r\n"), "{seen}");
    }
    idle.rest().await;
    assert_eq!(silent.rest().await, "");
    let started = Instant::now();
    tokio::time::timeout(PATIENCE, served.serving).await.expect("serve returns").unwrap();
    assert!(started.elapsed() < PATIENCE / 2, "the shutdown waited although everything had ended");
    assert!(TcpStream::connect(served.address).await.is_err());
}

/// Without this, the upload would end only with the client's next line, which may never arrive.
#[tokio::test]
async fn an_idle_upload_ends_at_shutdown_with_the_result_of_its_written_lines() {
    let served = serve(10, PATIENCE);
    let post = |query| {
        format!(
            "POST /topics/t{query} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\n\
             transfer-encoding: chunked\r\n\r\n"
        )
    };
    let some = served.ask(&(post("") + "6\r\n1\n2\n3\n\r\n4\r\n{\"a\"\r\n")).await;
    let receipts = served.ask(&(post("?receipts=stream") + "2\r\n4\n\r\n")).await;
    let mut none = served.ask(&post("").replace("\r\n\r\n", "\r\nexpect: 100-continue\r\n\r\n")).await;
    none.until("HTTP/1.1 100 Continue\r\n\r\n", 1).await;
    let deadline = Instant::now() + PATIENCE;
    while served.broker.records("t", 0).len() < 5 {
        assert!(Instant::now() < deadline, "the lines are not written");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let started = Instant::now();
    served.end.send(()).unwrap();
    let (some, receipts, none) = (some.rest().await, receipts.rest().await, none.rest().await);
    assert!(some.starts_with("HTTP/1.1 207 ") && some.contains("\"written\":3"), "{some}");
    assert!(some.contains("line 4 and all after it were not written") && some.contains("shutting down"), "{some}");
    assert!(none.contains("HTTP/1.1 503 ") && none.contains("shutting down"), "{none}");
    assert!(receipts.contains("\"error_code\":50003") && receipts.ends_with("\r\n0\r\n\r\n"), "{receipts}");
    tokio::time::timeout(PATIENCE, served.serving).await.expect("serve returns").unwrap();
    assert!(started.elapsed() < PATIENCE / 2, "the shutdown took until the drain timeout");
}

/// Without this, such a client would delay the shutdown until the drain timeout.
#[tokio::test]
async fn a_stalled_request_is_rejected_at_shutdown_and_writes_nothing() {
    let served = serve(10, PATIENCE);
    let post = |path: &str, headers: &str| {
        format!("POST {path} HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\n{headers}\r\n\r\n")
    };
    let requests = [
        (post("/topics/t", "content-length: 8"), "half"),
        (post("/topics/t", "transfer-encoding: chunked\r\ncontent-type: application/json"), "2\r\n\"a\r\n"),
        (post("/tickets", "content-length: 8"), "{"),
        (post("/topics/t", "content-length: 8"), ""),
    ];
    let mut stopped = Vec::new();
    for (head, body) in requests {
        let mut client = served.ask(&head).await;
        client.until("HTTP/1.1 100 Continue\r\n\r\n", 1).await;
        client.say(body).await;
        stopped.push(client);
    }
    let mut continuing = served.ask(&post("/topics/t", "content-length: 8")).await;
    continuing.until("HTTP/1.1 100 Continue\r\n\r\n", 1).await;
    let no_head = served.ask("POST /topics/t HTTP/1.1\r\nhost: local").await;
    let started = Instant::now();
    served.end.send(()).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(served.address).await.is_ok() {
        assert!(Instant::now() < deadline, "the shutdown does not begin");
    }
    continuing.say("the rest").await;
    let continuing = continuing.rest().await;
    for client in stopped {
        let seen = client.rest().await;
        assert!(seen.contains("HTTP/1.1 503 ") && seen.contains("the bridge is shutting down; try again"), "{seen}");
        assert!(seen.contains("\r\nconnection: close\r\n") && seen.contains("\r\nretry-after: "), "{seen}");
    }
    let no_head = no_head.rest().await;
    assert!(no_head.is_empty() || no_head.starts_with("HTTP/1.1 503 "), "{no_head}");
    tokio::time::timeout(PATIENCE, served.serving).await.expect("serve returns").unwrap();
    assert!(started.elapsed() < PATIENCE / 2, "the shutdown took until the drain timeout");
    // A complete request is written. On a busy machine it may arrive too late and is rejected.
    let written = served.broker.records("t", 0).len() - 1;
    let expected = usize::from(continuing.contains("HTTP/1.1 200 "));
    assert!(written == expected && (written == 1 || continuing.contains("HTTP/1.1 503 ")), "{written}: {continuing}");
}

#[tokio::test]
async fn during_the_shutdown_delay_the_bridge_is_not_ready_and_still_serves() {
    let settings = http::Settings { shutdown_delay: Duration::from_secs(3600), ..http::Settings::default() };
    let mut served = Served::start(settings);
    let mut stream = served.ask(FROM_THE_START).await;
    stream.until("data: first\n", 1).await;
    let ask = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    let ready = served.ask(&ask("/ready")).await.rest().await;
    assert!(ready.starts_with("HTTP/1.1 200 "), "{ready}");
    let end = std::mem::replace(&mut served.end, tokio::sync::oneshot::channel().0);
    end.send(()).unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let ready = served.ask(&ask("/ready")).await.rest().await;
        if ready.starts_with("HTTP/1.1 503 ") {
            assert!(ready.contains("shutting down"), "{ready}");
            break;
        }
        assert!(Instant::now() < deadline, "{ready}");
    }
    // New connections are served as well as open ones.
    for path in ["/health", "/topics"] {
        let answer = served.ask(&ask(path)).await.rest().await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    served.broker.append("t", 0, "second");
    stream.until("data: second\n", 1).await;
    served.serving.abort();
}
