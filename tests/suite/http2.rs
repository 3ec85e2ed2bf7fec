//! HTTP/2 clients that behave unlike any library: truncated bodies, unread responses, silence.

use crate::support::frames::{
    DATA, END_HEADERS, END_STREAM, Frames, HEADERS, RESET, WINDOW_UPDATE, block, frame, head,
};
use crate::support::served::Served;
use curlew::http::{self, limits};
use std::time::{Duration, Instant};

const WINDOW: u32 = 1 << 20;
const SOON: Duration = Duration::from_millis(300);
const NEVER: Duration = Duration::from_secs(3600);

fn serve(header_timeout: Duration, stall_timeout: Duration) -> Served {
    let limits = limits::Settings { header_timeout, ..limits::Settings::default() };
    Served::start(http::Settings { limits, stall_timeout, ..http::Settings::default() })
}

fn written(served: &Served) -> Vec<String> {
    let values = served.broker.records("t", 0).into_iter().map(|(_, record)| record.value.unwrap());
    values.map(|value| String::from_utf8_lossy(&value).into_owned()).collect()
}

#[tokio::test]
async fn a_truncated_body_is_not_written() {
    let (no_error, cancel) = (0, 8);
    let served = serve(NEVER, NEVER);
    let mut client = Frames::connect(served.address, WINDOW).await;
    let (mut stream, mut expected) = (1, vec!["first".to_owned()]);
    for kind in ["text/plain", "application/json", "application/x-ndjson"] {
        for length in [Some("100"), None] {
            for code in [no_error, cancel] {
                let headers = [("content-type", kind), ("content-length", length.unwrap_or_default())];
                let headers = &headers[..if length.is_some() { 2 } else { 1 }];
                client.send(HEADERS, END_HEADERS, stream, &head("POST", "/topics/t", headers)).await;
                client.send(DATA, 0, stream, b"{\"cut\": true}").await;
                client.reset(stream, code).await;
                // A truncated body would have been written by then.
                let whole = format!("{{\"stream\": {stream}}}");
                client.send(HEADERS, END_HEADERS, stream + 2, &head("POST", "/topics/t", &headers[..1])).await;
                client.send(DATA, END_STREAM, stream + 2, whole.as_bytes()).await;
                let receipt = client.answer(stream + 2).await;
                assert!(receipt.contains("\"offset"), "{receipt}");
                expected.push(whole);
                assert_eq!(written(&served), expected, "{kind}, {length:?}, code {code}");
                stream += 4;
            }
        }
    }
}

/// The client uploads for longer than the stall timeout, and its window is too small for a receipt.
#[tokio::test]
async fn a_client_that_reads_no_receipts_while_it_uploads_is_not_reset() {
    let stall = Duration::from_secs(1);
    let served = serve(NEVER, stall);
    let mut client = Frames::connect(served.address, 10).await;
    let headers = [("content-type", "application/x-ndjson")];
    client.send(HEADERS, END_HEADERS, 1, &head("POST", "/topics/t?receipts=stream", &headers)).await;
    let (started, mut pace, mut written) = (Instant::now(), tokio::time::interval(stall / 20), 0);
    while started.elapsed() < 5 * stall / 2 {
        pace.tick().await;
        client.send(DATA, 0, 1, b"1\n").await;
        written += 1;
    }
    client.send(DATA, END_STREAM, 1, b"").await;
    client.send(WINDOW_UPDATE, 0, 1, &WINDOW.to_be_bytes()).await;
    assert_eq!(client.answer(1).await.lines().count(), written);
}

#[tokio::test]
async fn a_complete_body_is_written_however_it_ends() {
    let served = serve(NEVER, NEVER);
    let mut client = Frames::connect(served.address, WINDOW).await;
    let ends = |stream| {
        [
            vec![frame(DATA, END_STREAM, stream, b"whole")],
            vec![frame(DATA, 0, stream, b"whole"), frame(DATA, END_STREAM, stream, b"")],
            vec![
                frame(DATA, 0, stream, b"whole"),
                frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(&[("x-trailer", "a")])),
            ],
        ]
    };
    let begin = head("POST", "/topics/t", &[("content-type", "text/plain")]);
    let mut expected = vec!["first".to_owned()];
    for way in 0..3 {
        let stream = 1 + 2 * way;
        client.send(HEADERS, END_HEADERS, stream, &begin).await;
        client.say(&ends(stream)[way as usize].concat()).await;
        let receipt = client.answer(stream).await;
        assert!(receipt.contains("\"offset"), "{receipt}");
        expected.push("whole".to_owned());
    }
    client.send(HEADERS, END_HEADERS | END_STREAM, 7, &begin).await;
    client.answer(7).await;
    expected.push(String::new());
    assert_eq!(written(&served), expected);
}

#[tokio::test]
async fn a_rejected_client_is_reset_unless_it_ends_its_body() {
    let no_error = [0; 4];
    let served = serve(NEVER, NEVER);
    for has_end in [true, false] {
        let mut client = Frames::connect(served.address, WINDOW).await;
        client.send(HEADERS, END_HEADERS, 1, &head("POST", "/nothing", &[])).await;
        client.send(DATA, 0, 1, &[b'x'; 1000]).await;
        assert!(client.answer(1).await.contains("404"));
        client.send(DATA, if has_end { END_STREAM } else { 0 }, 1, &[b'x'; 1000]).await;
        if has_end {
            // The stream gets no further frame, even while another response arrives much later.
            client.get(3, "/topics/t/partitions/0/records?offset=1&timeout=1500").await;
            client.answer(3).await;
        } else {
            let reset = client.next_of(RESET).await;
            assert_eq!((reset.stream, &reset.payload[..]), (1, &no_error[..]));
        }
    }
}

#[tokio::test]
async fn a_connection_beyond_the_limit_is_rejected_except_for_health_checks() {
    let served = Served::start(http::Settings { max_connections: 1, ..http::Settings::default() });
    let mut first = Frames::connect(served.address, WINDOW).await;
    first.get(1, "/health").await;
    first.answer(1).await;
    for (path, expected) in [("/topics", "--max-connections"), ("/health", "\"status\":\"ok\"")] {
        let mut client = Frames::connect(served.address, WINDOW).await;
        client.get(1, path).await;
        let answer = client.answer(1).await;
        assert!(answer.contains(expected), "{path}: {answer}");
        assert!(client.resets_until_closed().await.is_empty());
    }
}

#[tokio::test]
async fn an_unread_response_is_reset_although_it_is_complete() {
    let served = serve(NEVER, SOON);
    let mut client = Frames::connect(served.address, 1).await;
    for stream in [1, 3, 5] {
        client.get(stream, "/openapi.json").await;
    }
    let mut reset = Vec::new();
    while reset.len() < 3 {
        reset.push(client.next_of(RESET).await.stream);
    }
    reset.sort_unstable();
    assert_eq!(reset, [1, 3, 5]);
}

#[tokio::test]
async fn a_response_that_is_read_in_pieces_is_complete() {
    let served = serve(NEVER, NEVER);
    let mut client = Frames::connect(served.address, WINDOW).await;
    client.get(1, "/openapi.json").await;
    let answer = client.answer(1).await;
    serde_json::from_str::<serde_json::Value>(&answer).unwrap();
}

#[tokio::test]
async fn a_head_may_be_as_large_as_the_largest_setting() {
    let limits = limits::Settings { max_header: usize::MAX, ..limits::Settings::default() };
    let served = Served::start(http::Settings { limits, ..http::Settings::default() });
    let mut client = Frames::connect(served.address, WINDOW).await;
    client.get(1, "/health").await;
    assert!(client.answer(1).await.contains("ok"));
}

/// Waits until the server closes the connection, and checks that this is not too early.
async fn ends(mut client: Frames, begun: Instant) {
    client.resets_until_closed().await;
    assert!(begun.elapsed() >= SOON, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_connection_without_requests_is_closed() {
    let served = serve(SOON, SOON);
    let whole = frame(HEADERS, END_STREAM | END_HEADERS, 1, &head("GET", "/health", &[]));
    // Nothing, a part of a request head, or a complete head.
    for begin in [&[][..], &whole[..20], &whole] {
        let begun = Instant::now();
        let mut client = Frames::connect(served.address, WINDOW).await;
        client.say(begin).await;
        ends(client, begun).await;
    }
}

#[tokio::test]
async fn a_response_with_an_unread_end_does_not_keep_its_connection_open() {
    let served = serve(SOON, SOON);
    let begun = Instant::now();
    let mut client = Frames::connect(served.address, 1).await;
    client.get(1, "/topics").await;
    ends(client, begun).await;
}

#[tokio::test]
async fn a_connection_with_an_open_stream_is_not_idle() {
    let served = serve(SOON, NEVER);
    let mut client = Frames::connect(served.address, WINDOW).await;
    client.get(1, "/topics/t/events").await;
    served.until_streams(1).await;
    // Longer than a connection without an open request may be idle.
    tokio::time::sleep(SOON * 3).await;
    client.get(3, "/health").await;
    client.answer(3).await;
    client.reset(1, 8).await;
    client.resets_until_closed().await;
}
