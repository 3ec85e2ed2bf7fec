//! NDJSON bodies: a status that reflects the outcome, a bounded summary, and receipts that may stay unread.

use crate::produce::{Answer, Bridge, Chunk, NDJSON, PATIENCE, Synced, answer, chunks};
use bytes::Bytes;
use curlew::broker::{BrokerError, WriteState};
use curlew::http::produce::Bodies;
use curlew::sync::memory_budget::MemoryBudget;
use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const LINES: &[(&str, &str)] = &[("content-type", NDJSON)];

impl Bridge {
    async fn summary(&self, body: impl Into<Vec<u8>>) -> Answer {
        self.post("t", LINES, body).await
    }
}

#[tokio::test]
async fn the_status_follows_the_outcome_of_the_lines() {
    let unavailable = || Some(BrokerError::Unavailable("refused".into()));
    let rows = [
        (None, "1\n2\n", 200, 2, 0),
        (None, "", 200, 0, 0),
        (None, "1\nbad\n2", 207, 2, 1),
        (None, "bad\n{\n", 422, 0, 2),
        (unavailable(), "1\n2\n", 503, 0, 2),
        (unavailable(), "bad\n2\n", 503, 0, 2),
        (Some(BrokerError::TimedOut(WriteState::Maybe)), "bad\n2\n", 504, 0, 2),
    ];
    for (fault, body, status, written, failed) in rows {
        let bridge = Bridge::new();
        bridge.broker.fail_with(fault);
        let answer = bridge.summary(body).await;
        assert_eq!(answer.status, status, "{body:?}: {answer:?}");
        assert_eq!((&answer.body["written"], &answer.body["failed"]), (&json!(written), &json!(failed)), "{answer:?}");
        let is_problem = answer.content_type == "application/problem+json";
        assert_eq!(is_problem, status >= 400, "{answer:?}");
    }
}

#[tokio::test]
async fn a_summary_names_failed_lines_by_their_number_in_the_body() {
    let answer = Bridge::new().summary("1\n\n \t \r\nbad\n2\n{\"a\":1}{\"b\":2}\n3").await;
    assert_eq!(answer.body["offsets"], json!([{"partition": 0, "first": 0, "last": 2}]), "{answer:?}");
    let errors = answer.body["errors"].as_array().unwrap();
    assert_eq!([&errors[0]["line"], &errors[1]["line"]], [&json!(4), &json!(6)]);
    assert!(errors[1]["error"].as_str().unwrap().contains("--data-binary"), "{answer:?}");
    assert_eq!(answer.body.get("incomplete"), None);
    let marked = Bridge::new().summary(b"\xef\xbb\xbf1\n2\n").await;
    assert!(marked.body["errors"][0]["error"].as_str().unwrap().contains("byte order mark"), "{marked:?}");
}

#[tokio::test]
async fn a_summary_reports_a_body_cut_in_the_middle_of_a_line() {
    let cut = |text: &'static str| stream::iter([Ok(Bytes::from(text)), Chunk::Err("cut")]);
    let bridge = Bridge::new();
    let some = answer(bridge.send("t", LINES, cut("1\n2\n{\"half\":")).await).await;
    assert_eq!((some.status, &some.body["written"], &some.body["failed"]), (207, &json!(2), &json!(1)), "{some:?}");
    assert_eq!((&some.body["errors"][0]["line"], &some.body["errors"][0]["error_code"]), (&json!(3), &json!(400)));
    assert!(some.body["incomplete"].as_str().unwrap().contains("line 3"), "{some:?}");
    let between = answer(bridge.send("t", LINES, cut("1\n")).await).await;
    assert_eq!((between.status, &between.body["failed"]), (207, &json!(0)), "{between:?}");
    assert!(between.body["incomplete"].as_str().unwrap().contains("line 2"), "{between:?}");
    let none = answer(bridge.send("t", LINES, cut("{\"half\":")).await).await;
    none.is_problem(400, 400, &["ended early"]);
    assert_eq!(bridge.values(0), ["1", "2", "1"]);
}

#[tokio::test]
async fn an_endless_body_gets_a_response_when_the_broker_rejects_everything() {
    let bridge = Bridge::new();
    bridge.broker.fail_with(Some(BrokerError::Unavailable("refused".into())));
    let endless = stream::repeat_with(|| Ok(Bytes::from("1\n2\n")));
    let answer = answer(bridge.send("t", LINES, endless).await).await;
    answer.is_problem(503, 50003, &["no line was written", "refused"]);
    assert!(answer.body["incomplete"].as_str().unwrap().contains("were not written"), "{answer:?}");
    assert_eq!(bridge.values(0), Vec::<String>::new());
}

#[tokio::test]
async fn a_stopped_upload_names_the_first_line_that_was_not_written() {
    let bridge = Bridge::new();
    let (body, chunks) = tokio::sync::mpsc::channel::<Chunk>(4);
    let chunks = Box::pin(stream::unfold(chunks, async |mut chunks| chunks.recv().await.map(|chunk| (chunk, chunks))));
    let (broker, sender) = (bridge.broker.clone(), body.clone());
    let client = tokio::spawn(async move {
        sender.send(Ok("1\n2\n".into())).await.unwrap();
        while broker.records("t", 0).len() < 2 {
            tokio::task::yield_now().await;
        }
        broker.fail_with(Some(BrokerError::Unavailable("away".into())));
        sender.send(Ok("3\n".into())).await.unwrap();
    });
    let answer = answer(bridge.send("t", LINES, Synced::new(chunks)).await).await;
    client.await.unwrap();
    assert_eq!((answer.status, &answer.body["written"], &answer.body["failed"]), (207, &json!(2), &json!(1)));
    assert!(answer.body["incomplete"].as_str().unwrap().starts_with("line 4 and all after it"), "{answer:?}");
    drop(body);
}

/// nginx stops forwarding a body once the response has started. It forwards the `Content-Length`, in that header or in
/// a custom one.
#[tokio::test]
async fn receipts_for_a_fast_body_of_known_length_start_after_the_body() {
    for header in [("content-length", "2002"), ("x-forwarded-for", "10.0.0.1")] {
        let bridge = Bridge::new();
        let has_ended = Arc::new(AtomicBool::new(false));
        let ended = has_ended.clone();
        let lines = (0..10).map(|_| Ok(Bytes::from("1\n".repeat(100))));
        let body = stream::iter(lines.chain(std::iter::once_with(move || {
            ended.store(true, Ordering::Relaxed);
            Chunk::Ok("1\n".into())
        })));
        let response = bridge.send("t?receipts=stream", &[LINES[0], header], body).await;
        assert!(has_ended.load(Ordering::Relaxed), "{header:?}: the response started before the body ended");
        let receipts = tokio::time::timeout(PATIENCE, response.into_body().collect()).await.unwrap().unwrap();
        assert_eq!(receipts.to_bytes().iter().filter(|byte| **byte == b'\n').count(), 1001, "{header:?}");
    }
}

#[tokio::test]
async fn receipts_for_a_slow_body_of_known_length_start_before_its_end() {
    let bridge = Bridge::new();
    let body = stream::iter([Chunk::Ok("1\n".into())]).chain(stream::pending());
    let headers = [LINES[0], ("content-length", "100"), ("via", "1.1 proxy")];
    let mut receipts = bridge.send("t?receipts=stream", &headers, body).await.into_body();
    let receipt = tokio::time::timeout(PATIENCE, receipts.frame()).await.unwrap().unwrap().unwrap();
    assert_eq!(receipt.into_data().unwrap(), "{\"partition\":0,\"offset\":0}\n");
}

/// Lines in flight carry copies of the request's record headers, and invalid lines carry their errors.
#[tokio::test]
async fn lines_in_flight_count_in_the_memory_budget_and_leave_half_of_it_to_bodies() {
    let names: Vec<String> = (0..20).map(|n| format!("x-kafka-h{n}")).collect();
    let headers: Vec<_> = LINES.iter().copied().chain(names.iter().map(|name| (name.as_str(), "v"))).collect();
    let memory = MemoryBudget::new(16 << 20);
    let mut bridge = Bridge::new();
    bridge.settings.bodies = Bodies::new(&memory);
    let (share, most) = (memory.bodies.clone(), Arc::new(AtomicUsize::new(0)));
    let seen = most.clone();
    let chunks = (0..100).map(move |_| {
        seen.fetch_max(share.used(), Ordering::Relaxed);
        Ok(Bytes::from("1\n".repeat(900) + &"bad\n".repeat(100)))
    });
    let answer = answer(bridge.send("t", &headers, stream::iter(chunks)).await).await;
    assert_eq!((&answer.body["written"], &answer.body["failed"]), (&json!(90_000), &json!(10_000)), "{answer:?}");
    let most = most.load(Ordering::Relaxed);
    assert!(most > 0 && most <= memory.bodies.limit() / 2, "{most} of {}", memory.bodies.limit());
    assert_eq!(memory.bodies.used(), 0);
}

#[tokio::test]
async fn an_ndjson_upload_makes_progress_when_the_memory_budget_is_used_up() {
    let memory = MemoryBudget::new(16 << 20);
    let mut bridge = Bridge::new();
    bridge.settings.bodies = Bodies::new(&memory);
    let _others = memory.bodies.reserve(memory.bodies.limit()).unwrap();
    let answer = bridge.summary("1\n".repeat(1000)).await;
    assert_eq!((answer.status, &answer.body["written"]), (200, &json!(1000)), "{answer:?}");
}

/// Like Python's requests, wget and HttpURLConnection, the client writes the whole body before it reads.
#[tokio::test]
async fn unread_receipts_are_merged_and_the_body_is_read_to_its_end() {
    const COUNT: usize = 30_000;
    let bridge = Bridge::new();
    let bodies = (0..COUNT / 100).map(|_| "{\"i\":1}\n".repeat(99) + "bad\n");
    let response = bridge.send("t?receipts=stream", LINES, chunks(bodies.collect::<Vec<_>>())).await;
    let written = async {
        while bridge.broker.records("t", 0).len() < COUNT / 100 * 99 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, written).await.expect("the body is read while its receipts are unread");
    let body = tokio::time::timeout(PATIENCE, response.into_body().collect()).await.unwrap().unwrap().to_bytes();
    let (mut next, mut failed, mut joined) = (1, 0, 0);
    for line in String::from_utf8_lossy(&body).lines() {
        let receipt: Value = serde_json::from_str(line).unwrap();
        match receipt["lines"].as_array() {
            None => {
                next += 1;
                failed += u64::from(receipt["error_code"].is_number());
            }
            Some(lines) => {
                assert_eq!(lines[0], json!(next), "{receipt}");
                next = lines[1].as_u64().unwrap() + 1;
                failed += receipt["failed"].as_u64().unwrap();
                joined += 1;
            }
        }
    }
    assert_eq!((next, failed), (COUNT as u64 + 1, COUNT as u64 / 100));
    assert!(joined > 0 && body.len() < 2 << 20, "{joined} joined receipts in {} bytes", body.len());
}
