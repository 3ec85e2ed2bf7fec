//! The memory budget through the routes: which memory it covers, and that requests beyond it are rejected or wait.

use crate::support::memory_broker::MemoryBroker;
use crate::support::wait::until_async;
use curlew::http::{self, App, produce, routes};
use curlew::hub::{self, Hub};
use curlew::sync::memory_budget::MemoryBudget;
use futures_util::FutureExt;
use http_body_util::BodyExt;
use serde_json::Value;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;
use warp::http::Response;
use warp::hyper::body::Bytes;

struct BudgetedBridge {
    broker: Arc<MemoryBroker>,
    memory: MemoryBudget,
    app: Arc<App>,
}

fn world(budget: usize) -> BudgetedBridge {
    let (broker, memory) = (MemoryBroker::new(), MemoryBudget::new(budget));
    broker.create("t", 1);
    let hub = Hub::start(broker.clone(), hub::Settings { memory: memory.clone(), ..hub::Settings::default() });
    let produce = produce::Settings { bodies: produce::Bodies::new(&memory), ..produce::Settings::default() };
    let settings = http::Settings { memory: memory.clone(), produce, ..http::Settings::default() };
    BudgetedBridge { broker, memory, app: App::new(Arc::new(hub.unwrap()), settings) }
}

impl BudgetedBridge {
    /// Sends a request and returns the response with an unread body.
    async fn ask(&self, path: &str) -> warp::reply::Response {
        let request = warp::test::request().path(path).header("host", "localhost");
        request.filter(&routes(self.app.clone())).await.unwrap()
    }
}

async fn read_response(answer: warp::reply::Response) -> (u16, Value) {
    let (parts, body) = answer.into_parts();
    let body: Bytes = body.collect().await.unwrap().to_bytes();
    let answer = Response::from_parts(parts, body);
    (answer.status().as_u16(), serde_json::from_slice(answer.body()).unwrap())
}

const PAGE: &str = "/topics/t/partitions/0/records?offset=0&limit=20";

#[tokio::test]
async fn unread_pages_are_rejected_beyond_the_memory_budget() {
    let world = world(16 << 20);
    // JSON escapes make the value six times as long.
    world.broker.append("t", 0, vec![1; 200 << 10]);
    let mut unread = Vec::new();
    let rejected = loop {
        let page = world.ask(PAGE).await;
        if page.status() != 200 {
            break page;
        }
        unread.push(page);
        assert!(unread.len() < 100 && world.memory.pages.used() <= world.memory.pages.limit());
    };
    assert!((1..=2).contains(&unread.len()), "{}", unread.len());
    assert_eq!(rejected.headers()["retry-after"], "1");
    let (status, problem) = read_response(rejected).await;
    assert_eq!(status, 503);
    assert!(problem["detail"].as_str().unwrap().contains("--memory-budget"), "{problem}");
    // Reading a response frees memory for the next page.
    let page = read_response(unread.pop().unwrap()).await;
    assert_eq!(page.1["records"][0]["value"].as_str().map(str::len), Some(200 << 10));
    assert_eq!(read_response(world.ask(PAGE).await).await, page);
    unread.clear();
    assert_eq!(world.memory.pages.used(), 0);
}

#[tokio::test]
async fn a_page_whose_records_are_much_larger_in_json_ends_before_the_next_one() {
    let world = world(256 << 20);
    for _ in 0..3 {
        world.broker.append("t", 0, vec![1; 500_000]);
    }
    let mut at = 0;
    for expected in [1, 2, 3] {
        let (_, page) = read_response(world.ask(&format!("/topics/t/partitions/0/records?offset={at}")).await).await;
        assert_eq!(page["records"].as_array().map(Vec::len), Some(1));
        at = page["next_offset"].as_i64().unwrap();
        assert_eq!(at, expected);
    }
}

#[tokio::test]
async fn a_page_ends_where_a_small_memory_budget_is_full_and_is_not_rejected() {
    let world = world(16 << 20);
    let largest = world.memory.pages.largest();
    // JSON escapes make the records six times as long, so that all of them exceed the budget of one page.
    for _ in 0..9 {
        world.broker.append("t", 0, vec![1; largest / 42]);
    }
    let (mut at, mut pages) = (0, 0);
    while at < 9 {
        let (status, page) =
            read_response(world.ask(&format!("/topics/t/partitions/0/records?offset={at}")).await).await;
        assert_eq!(status, 200, "{}", page["detail"]);
        let records = page["records"].as_array().unwrap();
        assert!(!records.is_empty(), "{page}");
        assert_eq!(page["next_offset"].as_i64(), Some(at + records.len() as i64));
        at += records.len() as i64;
        pages += 1;
    }
    assert!(pages > 1, "one page holds them all");
}

const EVENTS: &str = "/topics/t/events?from=earliest&until=end";

async fn text(answer: warp::reply::Response) -> String {
    text_until(&mut answer.into_body(), String::new(), |_| false).await
}

/// Reads frames up to the end, or until `is_enough` returns true.
async fn text_until<B>(body: &mut B, mut text: String, is_enough: impl Fn(&str) -> bool) -> String
where
    B: BodyExt<Data = Bytes, Error: Debug> + Unpin,
{
    let reading = async {
        while !is_enough(&text) {
            let Some(frame) = body.frame().await else { break };
            text += std::str::from_utf8(&frame.unwrap().into_data().unwrap()).unwrap();
        }
        text
    };
    // Heartbeats do not extend the deadline.
    tokio::time::timeout(Duration::from_secs(60), reading).await.expect("the text or the end")
}

#[tokio::test]
async fn streams_that_catch_up_wait_for_memory_and_then_continue() {
    const STREAMS: usize = 4;
    let world = world(16 << 20);
    // One read returns at most three records.
    let largest = world.memory.catch_up.largest();
    for record in 0..9 {
        world.broker.append("t", 0, vec![b'0' + record; largest / 4]);
    }
    // Other reads use all the memory at first.
    let memory = &world.memory.catch_up;
    let others = [largest, memory.limit() - largest].map(|bytes| memory.reserve(bytes).unwrap());
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        streams.push(tokio::spawn(text(world.ask(EVENTS).await)));
    }
    until_async("all streams catch up", || world.app.hub.status().behind.catching_up == STREAMS).await;
    drop(others);
    for stream in streams {
        let text = stream.await.unwrap();
        let values: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("data: ")).map(|v| &v[..1]).collect();
        assert_eq!(values.concat(), "012345678");
        assert!(!text.contains("event: "), "the stream has no other event");
    }
}

#[tokio::test]
async fn a_batch_larger_than_the_budget_is_reported_as_a_problem() {
    let world = world(16 << 20);
    world.broker.append("t", 0, "first");
    world.broker.append("t", 0, "second");
    world.broker.append("t", 0, "third");
    world.broker.append("t", 0, vec![b'x'; world.memory.catch_up.largest() + 1]);
    let text = text(world.ask(EVENTS).await).await;
    assert!(text.contains("data: third"), "records before it are delivered first");
    assert!(text.contains("event: problem") && text.contains("--memory-budget"), "{text}");
    let (status, problem) = read_response(world.ask("/topics/t/partitions/0/records?offset=3").await).await;
    assert_eq!(status, 413, "{problem}");
}

#[tokio::test]
async fn live_streams_continue_as_memory_of_earlier_records_is_freed() {
    let world = world(16 << 20);
    let live = &world.memory.live;
    let mut stream = world.ask("/topics/t/events").await.into_body();
    // The position at which the stream starts.
    text_until(&mut stream, String::new(), |text| text.contains("id: ")).await;
    until_async("the stream is live", || !world.app.hub.status().live_lag.is_empty()).await;
    // The records together exceed the memory by far.
    for record in 0..20u8 {
        world.broker.append("t", 0, vec![b'a' + record; live.largest() / 4]);
        let mark = String::from(char::from(b'a' + record)).repeat(20);
        let seen = text_until(&mut stream, String::new(), |text| text.contains(&mark)).await;
        assert!(seen.contains(&mark) && !seen.contains("event: "), "the stream has no other event");
        assert!(live.used() <= live.limit());
    }
}

const RECORDS: &str = "/topics/t/events?from=earliest&until=end&format=record";

/// Returns bytes that are six times as long in JSON, and then fill the memory for chunks divided by `part`.
fn escaped(world: &BudgetedBridge, part: usize) -> Vec<u8> {
    vec![1; world.memory.chunks.limit() / 6 / part]
}

/// A stream whose client stops reading after the first frames, which are in `text`.
struct Unread<B> {
    text: String,
    next: Option<Bytes>,
    body: B,
}

impl BudgetedBridge {
    async fn unread(&self, path: &str) -> Unread<impl BodyExt<Data = Bytes, Error: Debug> + Unpin + Send + use<>> {
        let mut body = self.ask(path).await.into_body();
        let begun = |text: &str| text.contains("id: ");
        let text = text_until(&mut body, String::new(), begun).await;
        // Polls the next frame once, and keeps it if it is ready.
        let next = body.frame().now_or_never().map(|frame| frame.unwrap().unwrap().into_data().unwrap());
        Unread { text, next, body }
    }
}

impl<B: BodyExt<Data = Bytes, Error: Debug> + Unpin> Unread<B> {
    async fn text_until(mut self, is_enough: impl Fn(&str) -> bool) -> String {
        self.text += std::str::from_utf8(&self.next.take().unwrap_or_default()).unwrap();
        text_until(&mut self.body, self.text, is_enough).await
    }
}

fn offsets(text: &str) -> Vec<i64> {
    assert!(!text.contains("event: "), "the stream has no other event");
    let records = text.lines().filter_map(|line| line.strip_prefix("data: "));
    records.map(|record| serde_json::from_str::<Value>(record).unwrap()["offset"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn a_record_whose_frame_exceeds_the_budget_is_reported_as_a_problem() {
    let world = world(16 << 20);
    world.broker.append("t", 0, "first");
    world.broker.append("t", 0, escaped(&world, 1));
    let text_of = async |path| text(world.ask(path).await).await;
    let text = text_of(RECORDS).await;
    assert!(
        text.contains("first") && text.contains("event: problem") && text.contains("--memory-budget"),
        "{text:.2000}"
    );
    assert_eq!(world.memory.chunks.used(), 0);
    // Without escapes, the record fits.
    assert!(!text_of(EVENTS).await.contains("event: "));
}

#[tokio::test]
async fn chunks_of_large_records_wait_for_memory_and_do_not_delay_small_records() {
    let world = world(16 << 20);
    let chunks = &world.memory.chunks;
    for _ in 0..3 {
        world.broker.append("t", 0, escaped(&world, 2));
    }
    world.broker.create("small", 1);
    world.broker.append("small", 0, "small");
    let mut unread = Vec::new();
    for _ in 0..4 {
        unread.push(world.unread(RECORDS).await);
    }
    until_async("a stream holds a chunk", || chunks.used() > chunks.limit() / 3).await;
    for _ in 0..10 {
        let small = text(world.ask("/topics/small/events?from=earliest&until=end").await).await;
        assert!(small.contains("data: small"), "{small}");
        assert!(chunks.used() <= chunks.limit(), "{}", chunks.used());
    }
    let reading: Vec<_> = unread.into_iter().map(|stream| tokio::spawn(stream.text_until(|_| false))).collect();
    for stream in reading {
        assert_eq!(offsets(&stream.await.unwrap()), [0, 1, 2]);
    }
    assert_eq!(chunks.used(), 0);
}

#[tokio::test]
async fn live_streams_that_share_large_records_share_what_the_budget_allows() {
    let world = world(16 << 20);
    let chunks = &world.memory.chunks;
    let live = "/topics/t/events?format=record";
    let streams = [world.unread(live).await, world.unread(live).await];
    until_async("both are live", || {
        let status = world.app.hub.status();
        status.streams == 2 && status.behind.catching_up == 0 && !status.live_lag.is_empty()
    })
    .await;
    for _ in 0..6 {
        world.broker.append("t", 0, escaped(&world, 2));
    }
    until_async("the streams hold a record", || chunks.used() > chunks.limit() / 3).await;
    let mut reading = Vec::new();
    for stream in streams {
        reading.push(tokio::spawn(stream.text_until(|text| text.matches("\"offset\"").count() == 6)));
    }
    for stream in reading {
        assert_eq!(offsets(&stream.await.unwrap()), [0, 1, 2, 3, 4, 5]);
        assert!(chunks.used() <= chunks.limit(), "{}", chunks.used());
    }
}

#[tokio::test]
async fn a_list_of_topics_reserves_memory_first_and_one_topic_is_always_described() {
    const TOPICS: usize = 300;
    let world = world(16 << 20);
    (1..TOPICS).for_each(|number| world.broker.create(&format!("t{number}"), 1));
    let pages = &world.memory.pages;
    let others = [pages.largest(), pages.limit() - pages.largest()].map(|bytes| pages.reserve(bytes).unwrap());
    let offsets = "/topics?offsets=true";
    // Send each request twice, because the first one does not know the length of the list yet.
    for path in ["/topics", "/topics", offsets] {
        let (status, problem) = read_response(world.ask(path).await).await;
        assert_eq!(status, 503);
        assert!(problem["detail"].as_str().unwrap().contains("--memory-budget"), "{problem}");
    }
    let (status, topic) = read_response(world.ask("/topics/t").await).await;
    assert_eq!((status, topic["name"].as_str()), (200, Some("t")));
    drop(others);
    let (_, names) = read_response(world.ask("/topics").await).await;
    assert_eq!(names.as_array().map(Vec::len), Some(TOPICS));
    let (_, described) = read_response(world.ask(offsets).await).await;
    assert_eq!(described.as_array().map(Vec::len), Some(TOPICS));
    // A list has no configs and no replicas.
    assert_eq!(described[0]["partitions"][0]["latest"], topic["partitions"][0]["latest"]);
    assert_eq!(described[0]["name"], topic["name"]);
    assert_eq!(pages.used(), 0);
}

#[tokio::test]
async fn a_list_of_topics_that_was_too_long_is_served_once_topics_are_deleted() {
    let world = world(16 << 20);
    world.broker.create("large", 100_000);
    for _ in 0..2 {
        let (status, problem) = read_response(world.ask("/topics").await).await;
        assert_eq!(status, 413, "{problem}");
    }
    world.broker.delete("large");
    let (status, names) = read_response(world.ask("/topics").await).await;
    assert_eq!((status, names), (200, serde_json::json!(["t"])));
}

fn envelope(count: usize) -> String {
    format!("{{\"records\":[{{\"value\":1}}{}]}}", ",{}".repeat(count - 1))
}

impl BudgetedBridge {
    async fn post(&self, body: &str) -> warp::reply::Response {
        let request = warp::test::request().method("POST").path("/topics/t").header("host", "localhost").body(body);
        let request = request.header("content-type", "application/vnd.kafka.json.v2+json");
        request.filter(&routes(self.app.clone())).await.unwrap()
    }
}

#[tokio::test]
async fn the_records_of_an_envelope_and_its_response_count_in_the_memory_budget() {
    let world = world(16 << 20);
    let used = || world.memory.bodies.used() + world.memory.small_bodies.used();
    // The body has 12 KB; 11/64 of the budget are for bodies.
    let (status, problem) = read_response(world.post(&envelope(10_000)).await).await;
    assert_eq!(status, 413);
    assert!(problem["detail"].as_str().unwrap().contains("--memory-budget"), "{problem}");
    assert_eq!((used(), world.broker.records("t", 0).len()), (0, 0));
    let mut unread = Vec::new();
    let rejected = loop {
        let answer = world.post(&envelope(5000)).await;
        if answer.status() != 207 {
            break answer;
        }
        unread.push(answer);
        assert!(unread.len() < 100);
    };
    assert_eq!(read_response(rejected).await.0, 503);
    assert_eq!(world.broker.records("t", 0).len(), unread.len());
    let (status, answer) = read_response(unread.pop().unwrap()).await;
    assert_eq!((status, answer["offsets"].as_array().map(Vec::len)), (207, Some(5000)));
    unread.clear();
    assert_eq!(used(), 0);
}

#[tokio::test]
async fn the_headers_of_an_envelope_count_in_the_memory_budget() {
    let world = world(16 << 20);
    let headers = ",{\"key\":\"\"}".repeat(30_000);
    let body = format!("{{\"records\":[{{\"value\":1,\"headers\":[{{\"key\":\"\"}}{headers}]}}]}}");
    assert_eq!(read_response(world.post(&body).await).await.0, 413);
}

#[tokio::test]
async fn an_envelope_of_millions_of_records_reports_how_many_are_allowed() {
    let (status, problem) = read_response(world(256 << 20).post(&envelope(1_000_000)).await).await;
    assert_eq!(status, 413);
    assert!(problem["detail"].as_str().unwrap().contains("1000000 records; at most 100000"), "{problem}");
}

#[tokio::test]
async fn an_error_quotes_only_a_part_of_an_envelope() {
    let world = world(256 << 20);
    let long = "x".repeat(1 << 20);
    for body in [
        format!("{{\"records\":\"{long}\"}}"),
        format!("{{\"records\":[{{\"value\":1,\"timestamp\":\"{long}\"}}]}}"),
        format!("{{\"records\":[{{\"value\":1,\"timestamp\":[\"{long}\"]}}]}}"),
        format!("{{\"records\":[{{\"value\":1,\"partition\":\"{long}\"}}]}}"),
        format!("{{\"records\":[{{\"value\":1,\"headers\":\"{long}\"}}]}}"),
    ] {
        let (status, problem) = read_response(world.post(&body).await).await;
        assert_eq!(status, 422, "{problem}");
        assert!(problem.to_string().len() < 1000);
    }
}
