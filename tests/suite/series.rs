//! `GET /topics/{topic}/series` on a broker in memory.

mod states;

use crate::support::documented::is_documented;
use crate::support::memory_broker::MemoryBroker;
use curlew::broker::BrokerError;
use curlew::http::{self, App, BindScope, OriginPolicy, Origins, routes};
use curlew::hub::series::SeriesRequest;
use curlew::hub::{self, ClientTag, Filter, Hub};
use curlew::record::{Header, NewRecord, TopicName, now};
use curlew::series::{FieldChoice, SeriesQuery, TimeSource, Window};
use curlew::sync::memory_budget::MemoryBudget;
use http_body_util::{BodyExt, Empty};
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use warp::http::Response;
use warp::hyper::body::Bytes;
use warp::hyper::service::Service;

const LONG: Duration = Duration::from_secs(20);

struct SeriesApp {
    broker: Arc<MemoryBroker>,
    app: Arc<App>,
}

fn world() -> SeriesApp {
    world_with(MemoryBudget::default())
}

fn world_with(memory: MemoryBudget) -> SeriesApp {
    let broker = MemoryBroker::new();
    let settings = hub::Settings { memory: memory.clone(), ..hub::Settings::default() };
    let hub = Arc::new(Hub::start(broker.clone(), settings).unwrap());
    let origin_policy = OriginPolicy { origins: Origins::Any, scope: BindScope::Loopback };
    SeriesApp { broker, app: App::new(hub, http::Settings { origin_policy, memory, ..http::Settings::default() }) }
}

fn text(answer: &Response<Bytes>) -> String {
    String::from_utf8(answer.body().to_vec()).unwrap()
}

impl SeriesApp {
    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Response<Bytes> {
        let mut request = warp::test::request().path(path).header("host", "localhost:8080");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let routes = routes(self.app.clone());
        let answer = tokio::time::timeout(LONG, request.reply(&routes)).await.expect("the response ends");
        is_documented("GET", path, answer.status());
        answer
    }

    async fn json(&self, query: &str) -> Value {
        let answer = self.get(&format!("/topics/t/series{query}"), &[]).await;
        assert_eq!(answer.status(), 200, "{query}: {}", text(&answer));
        serde_json::from_slice(answer.body()).unwrap_or_else(|e| panic!("{e}: {}", text(&answer)))
    }

    async fn error(&self, query: &str) -> (u16, String) {
        let answer = self.get(&format!("/topics/t/series{query}"), &[]).await;
        let problem: Value = serde_json::from_slice(answer.body()).unwrap();
        (answer.status().as_u16(), problem["detail"].as_str().unwrap().to_owned())
    }

    fn append(&self, partition: usize, time: i64, value: impl ToString) {
        let value = Some(value.to_string().into_bytes().into());
        self.broker.append_record("t", partition, NewRecord { value, timestamp: Some(time), ..NewRecord::default() });
    }

    async fn updates(&self, query: &str, last: Option<&str>) -> Updates {
        let path = format!("http://localhost:8080/topics/t/series{query}");
        let mut request = warp::http::Request::get(path).header("host", "localhost:8080");
        request = request.header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let service = TowerToHyperService::new(warp::service(routes(self.app.clone())));
        let answer = service.call(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Updates { body: Box::pin(answer.into_body().into_data_stream()), text: String::new() }
    }
}

/// An open stream of updates.
struct Updates {
    body: std::pin::Pin<Box<dyn futures_util::Stream<Item = Result<Bytes, warp::Error>> + Send>>,
    text: String,
}

#[derive(Debug, PartialEq)]
struct SeriesEvent {
    kind: String,
    data: Value,
    id: String,
}

impl Updates {
    /// Returns the next event with data, or `None` at the end.
    async fn next(&mut self) -> Option<SeriesEvent> {
        tokio::time::timeout(LONG, self.read()).await.expect("an event before the deadline")
    }

    async fn read(&mut self) -> Option<SeriesEvent> {
        loop {
            while let Some((frame, rest)) = self.text.split_once("\n\n") {
                let lines = frame.lines().filter_map(|line| line.split_once(": "));
                let fields: BTreeMap<_, _> = lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
                self.text = rest.to_owned();
                if let Some(data) = fields.get("data") {
                    let field = |name| fields.get(name).cloned().unwrap_or_default();
                    let data = serde_json::from_str(data).unwrap();
                    return Some(SeriesEvent { kind: field("event"), data, id: field("id") });
                }
            }
            let chunk = futures_util::StreamExt::next(&mut self.body).await?;
            self.text += std::str::from_utf8(&chunk.unwrap()).unwrap();
        }
    }

    /// Returns the next event with points.
    async fn points(&mut self) -> SeriesEvent {
        let reading = async {
            loop {
                let event = self.read().await.expect("the stream goes on");
                if !event.data["series"].as_array().unwrap().is_empty() {
                    return event;
                }
            }
        };
        tokio::time::timeout(LONG, reading).await.expect("points before the deadline")
    }
}

/// The points by field, name and time.
type Points = BTreeMap<(String, Option<String>, i64), (f64, f64, f64, u64)>;

fn points(answer: &Value) -> Points {
    let mut found = Points::new();
    for series in answer["series"].as_array().unwrap() {
        let name = series["by"].as_str().map(str::to_owned);
        for point in series["points"].as_array().unwrap() {
            let number = |index: usize| point[index].as_f64().unwrap();
            let key = (series["field"].as_str().unwrap().to_owned(), name.clone(), point[0].as_i64().unwrap());
            found.insert(key, (number(1), number(2), number(3), point[4].as_u64().unwrap()));
        }
    }
    found
}

/// A record of `{"m": MACHINE, "t": NUMBER, "at": TIME}` with its partition, offset and time.
#[derive(Debug, Clone, Copy)]
struct Measured {
    partition: usize,
    offset: i64,
    machine: u8,
    number: i32,
    time: i64,
    at: i64,
}

/// Computes the points from all numbers in the window.
fn naive(records: &[Measured], window: std::ops::Range<i64>, step: i64, time: impl Fn(&Measured) -> i64) -> Points {
    let mut all: BTreeMap<(u8, i64), Vec<Measured>> = BTreeMap::new();
    for record in records.iter().filter(|record| window.contains(&time(record))) {
        all.entry((record.machine, time(record).div_euclid(step) * step)).or_default().push(*record);
    }
    let point = |((machine, begin), records): ((u8, i64), Vec<Measured>)| {
        let numbers = || records.iter().map(|record| record.number);
        // If records of two partitions have the same time and offset, the larger number counts.
        let last = records.iter().max_by_key(|record| (time(record), record.offset, record.number)).unwrap().number;
        let (min, max) = (numbers().min().unwrap(), numbers().max().unwrap());
        let key = ("value.t".to_owned(), Some(format!("m{machine}")), begin);
        (key, (f64::from(min), f64::from(max), f64::from(last), records.len() as u64))
    };
    all.into_iter().map(point).collect()
}

#[tokio::test]
async fn series_equal_a_naive_fold_of_a_log_with_late_records() {
    for _ in 0..12 {
        let world = world();
        let partitions = fastrand::usize(1..4);
        world.broker.create("t", partitions);
        let now = now();
        let mut records = Vec::new();
        let mut offsets = vec![0; partitions];
        let mut append = |records: &mut Vec<Measured>, count: usize| {
            for _ in 0..count {
                let partition = fastrand::usize(..partitions);
                let offset = offsets[partition];
                offsets[partition] += 1;
                let time = now - fastrand::i64(0..600_000);
                let at = time - fastrand::i64(0..300_000);
                let record = Measured {
                    partition,
                    offset,
                    machine: fastrand::u8(0..3),
                    number: fastrand::i32(-50..50),
                    time,
                    at,
                };
                let value = json!({"m": format!("m{}", record.machine), "t": record.number, "at": at});
                world.append(record.partition, time, value);
                records.push(record);
            }
        };
        append(&mut records, 300);
        let step = [1000, 7000, 60_000][fastrand::usize(..3)];
        for round in 0..3 {
            // Both the window and the log grow.
            let from = now - 120_000 * (round + 1);
            for (source, parameter) in [("record", ""), ("at", "&time=value.at")] {
                let query = format!("?from={from}&step={step}ms&by=value.m&field=value.t{parameter}");
                let answer = world.json(&query).await;
                let window = answer["from"].as_i64().unwrap()..answer["to"].as_i64().unwrap();
                assert!(window.start <= from && window.start + step > from && answer["step"] == step);
                assert_eq!(answer["complete_from"], answer["from"], "{answer}");
                let time = |record: &Measured| if source == "at" { record.at } else { record.time };
                assert_eq!(points(&answer), naive(&records, window, step, time), "{query}");
            }
            append(&mut records, 20);
        }
        // A window that ends in the past does not share the computation.
        let (from, to) = (now - 500_000, now - 100_000);
        let answer = world.json(&format!("?from={from}&to={to}&step={step}ms&by=value.m&field=value.t")).await;
        let window = answer["from"].as_i64().unwrap()..answer["to"].as_i64().unwrap();
        assert_eq!(points(&answer), naive(&records, window, step, |record| record.time));
    }
}

#[tokio::test]
async fn a_record_is_in_the_next_response() {
    let world = world();
    world.broker.create("t", 1);
    for number in 1..5 {
        world.append(0, now(), number);
        let answer = world.json("?step=1d").await;
        let total: u64 = points(&answer).values().map(|point| point.3).sum();
        assert_eq!(total, number, "{answer}");
    }
    world.broker.grow("t", 2);
    world.append(1, now(), 100);
    // Partitions are looked up every few seconds.
    let deadline = std::time::Instant::now() + LONG;
    while points(&world.json("?step=1d").await).values().map(|point| point.3).sum::<u64>() != 5 {
        assert!(std::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn another_log_under_the_same_name_is_computed_again() {
    let world = world();
    world.broker.create("t", 1);
    let time = now();
    (0..4).for_each(|number| world.append(0, time, number));
    let sum = |answer: Value| points(&answer).values().map(|point| (point.1, point.3)).collect::<Vec<_>>();
    assert_eq!(sum(world.json("?step=31d").await), [(3.0, 4)]);
    // After an unclean election, the log has grown past the position up to which it was read.
    world.broker.truncate_and_append("t", 0, 2, 0);
    (0..5).for_each(|number| world.append(0, time, 10 + number));
    assert_eq!(sum(world.json("?step=31d").await), [(14.0, 7)]);
    world.broker.delete("t");
    world.broker.create("t", 1);
    world.append(0, time, 7);
    let deadline = std::time::Instant::now() + LONG;
    while sum(world.json("?step=31d").await) != [(7.0, 1)] {
        assert!(std::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_response_reports_what_it_omits() {
    let world = world();
    world.broker.create("t", 1);
    for value in ["off", r#"{"state":"on"}"#, r#"{"t":1}"#] {
        world.append(0, now(), value);
    }
    world.broker.append_record("t", 0, NewRecord { timestamp: Some(now()), ..NewRecord::default() });
    let answer = world.json("").await;
    let expected = json!({"series": 0, "records": 2, "reasons": {"not_json": 1, "no_number": 1}});
    assert_eq!(answer["omitted"], expected, "a tombstone has nothing to leave out");
    let headers = world.get("/topics/t/series?format=csv", &[]).await.headers().clone();
    assert_eq!(
        (&headers["x-omitted-series"], &headers["x-omitted-records"]),
        (&"0".parse().unwrap(), &"2".parse().unwrap())
    );
    for key in 0..5000 {
        let (key, value) = (Some(format!("k{key}").into()), Some("1".into()));
        world.broker.append_record("t", 0, NewRecord { key, value, timestamp: Some(now()), ..NewRecord::default() });
    }
    let answer = world.json("?by=key").await;
    let (shown, omitted) = (answer["series"].as_array().unwrap().len() as u64, &answer["omitted"]);
    assert_eq!(shown, 4096);
    let left = omitted["series"].as_u64().unwrap();
    // One of the series shown has no name.
    assert!(left.abs_diff(5001 - shown) < 60, "{omitted}");
    assert_eq!(omitted["reasons"]["too_many_series"], 5001 - shown);
}

#[tokio::test]
async fn a_window_for_which_there_is_no_memory_is_shorter_and_the_response_says_so() {
    let memory = MemoryBudget::new(16 << 20);
    let world = world_with(memory.clone());
    world.broker.create("t", 1);
    let begin = now() / 1000 * 1000 - 700_000;
    let append = |seconds: std::ops::Range<i64>| {
        for second in seconds {
            for machine in 0..50 {
                world.append(0, begin + second * 1000, json!({"m": machine, "t": second}));
            }
        }
    };
    append(0..600);
    let query = format!("?from={begin}&step=1s&by=value.m&field=value.t");
    for end in [600, 605] {
        append(600..end);
        let answer = world.json(&query).await;
        let complete = (answer["complete_from"].as_i64().unwrap() - begin) / 1000;
        assert!((100..590).contains(&complete), "{complete} s are missing");
        // The series with the most readings come first; those that do not fit in the answer are counted.
        let found = points(&answer);
        let names: std::collections::BTreeSet<_> = found.keys().map(|(_, name, _)| name.clone()).collect();
        assert_eq!(names.len() as u64 + answer["omitted"]["series"].as_u64().unwrap(), 50, "{}", answer["omitted"]);
        for (second, name) in (complete..end).flat_map(|second| names.iter().map(move |name| (second, name))) {
            let key = ("value.t".to_owned(), name.clone(), begin + second * 1000);
            let point = (second as f64, second as f64, second as f64, 1);
            assert_eq!(found.get(&key), Some(&point), "second {second} of {end}, complete from {complete}");
        }
        assert!(memory.series.used() <= memory.series.limit());
    }
    // A smaller question does not have to wait for the memory of the larger one.
    let answer = world.json(&format!("?from={begin}&step=1m&field=value.t")).await;
    assert_eq!(answer["complete_from"], answer["from"]);
    assert_eq!(points(&answer).values().map(|point| point.3).sum::<u64>(), 605 * 50);
}

#[tokio::test]
async fn an_invalid_parameter_is_named_with_the_allowed_values() {
    let world = world();
    world.broker.create("t", 1);
    for (query, texts) in [
        ("?step=5", ["step", "\"5\"", "10ms to 31d"]),
        ("?step=1ms", ["step", "\"1ms\"", "10ms to 31d"]),
        ("?from=yesterday", ["from", "\"yesterday\"", "-15m"]),
        ("?to=earliest", ["to", "\"earliest\"", "now"]),
        ("?from=-5m&to=-10m", ["empty", "from", "later"]),
        ("?from=-1d&step=1s", ["86401 steps", "10000", "longer step"]),
        ("?field=temperature", ["field", "\"temperature\"", "value.temperature"]),
        ("?state=on", ["state", "\"on\"", "value.temperature"]),
        ("?by=device", ["by", "\"device\"", "header:NAME"]),
        ("?each=sensors", ["each", "\"sensors\"", "value.temperature"]),
        ("?time=arrival", ["time", "\"arrival\"", "record"]),
        ("?where=value.t+%3E", ["where", "column 10", "expected a value"]),
        ("?format=xml", ["format", "\"xml\"", "json and csv"]),
        ("?timeout=1h", ["timeout", "\"1h\"", "0 to 30000"]),
        (&format!("?{}", "state=value.s&".repeat(33)), ["state", "33 times", "at most 32"]),
        ("?last=1", ["\"last\"", "allowed are", "from, to, step"]),
    ] {
        let (status, detail) = world.error(query).await;
        assert_eq!(status, 400, "{query}: {detail}");
        for text in texts {
            assert!(detail.contains(text), "{query}: {detail}");
        }
    }
    let accept = world.get("/topics/t/series", &[("accept", "image/png")]).await;
    assert_eq!(accept.status(), 406, "{}", text(&accept));
    let bad_id = [("accept", "text/event-stream"), ("last-event-id", "BAAA")];
    assert_eq!(world.get("/topics/t/series", &bad_id).await.status(), 400);
    assert_eq!(world.get("/topics/none/series", &[]).await.status(), 404);
    assert_eq!(world.get("/topics/none/series", &[("accept", "text/event-stream")]).await.status(), 404);
}

#[tokio::test]
async fn a_filter_and_a_header_choose_and_name_series() {
    let world = world();
    world.broker.create("t", 1);
    for (room, number) in [("a", 1), ("b", 20), ("a", 3)] {
        // The last header of a name counts, as in `where` and `select`.
        let header = |value: &'static str| Header { name: "room".into(), value: Some(value.into()) };
        let headers = vec![header("first"), header(room)];
        let value = Some(format!(r#"{{"sensors":[{{"id":"x","t":{number}}},{{"id":"y","t":-{number}}}]}}"#).into());
        world.broker.append_record(
            "t",
            0,
            NewRecord { headers, value, timestamp: Some(now()), ..NewRecord::default() },
        );
    }
    let ends = |answer: Value| -> Vec<_> {
        points(&answer).into_iter().map(|((_, name, _), point)| (name.unwrap(), point.0, point.1)).collect()
    };
    let by_header = world.json("?step=31d&each=value.sensors&field=value.sensors.t&by=header:room").await;
    assert_eq!(ends(by_header), [("a".to_owned(), -3.0, 3.0), ("b".to_owned(), -20.0, 20.0)]);
    let by_id = "?step=31d&each=value.sensors&field=value.sensors.t&by=value.sensors.id&where=headers.room+==+%22a%22";
    assert_eq!(ends(world.json(by_id).await), [("x".to_owned(), 1.0, 3.0), ("y".to_owned(), -3.0, -1.0)]);
}

#[tokio::test]
async fn csv_has_one_row_for_each_point() {
    let world = world();
    world.broker.create("t", 1);
    let time = 1_769_846_400_000;
    for (key, value) in [("=a,1", "1.5"), ("=a,1", "12571953755"), ("b", "2")] {
        let (key, value) = (Some(key.into()), Some(value.into()));
        world.broker.append_record("t", 0, NewRecord { key, value, timestamp: Some(time), ..NewRecord::default() });
    }
    let path = format!("/topics/t/series?from={time}&to={}&step=1m&by=key", time + 1);
    let answer = world.get(&path, &[("accept", "text/csv")]).await;
    let expected = "time,time_ms,field,by,min,max,last,count\r\n\
                    2026-01-31 08:00:00,1769846400000,value,\"'=a,1\",1.5,12571953755,12571953755,2\r\n\
                    2026-01-31 08:00:00,1769846400000,value,b,2,2,2,1\r\n";
    assert_eq!(text(&answer), expected);
    assert_eq!(answer.headers()["content-type"], "text/csv; charset=utf-8");
    assert_eq!(answer.headers()["x-complete-from"], time.to_string());
    assert_eq!(text(&world.get(&(path + "&format=csv"), &[]).await), expected);
}

#[tokio::test]
async fn a_stream_sends_all_points_and_then_the_changed_ones() {
    let world = world();
    world.broker.create("t", 1);
    let begin = now();
    world.append(0, begin - 20_000, 1);
    world.append(0, begin - 10_000, 2);
    let query = "?from=-1m&step=1s";
    let mut updates = world.updates(query, None).await;
    let first = updates.points().await;
    assert_eq!((first.kind.as_str(), points(&first.data).len()), ("", 2), "{first:?}");
    world.append(0, begin - 10_000, 5);
    let second = updates.points().await;
    let changed: Vec<_> = points(&second.data).into_values().collect();
    assert_eq!((second.kind.as_str(), changed), ("update", vec![(2.0, 5.0, 5.0, 2)]));
    drop(updates);
    // A client that reconnects receives the updates that it missed.
    world.append(0, begin - 20_000, 9);
    let resumed = world.updates(query, Some(&second.id)).await.points().await;
    let missed: Vec<_> = points(&resumed.data).into_values().collect();
    assert_eq!((resumed.kind.as_str(), missed), ("update", vec![(1.0, 9.0, 9.0, 2)]));
    // A client with an id of another log, or of the time before a restart, receives everything.
    let again = world.updates(query, Some("1-1")).await.points().await;
    assert_eq!((again.kind.as_str(), points(&again.data).len()), ("", 2));
}

#[tokio::test]
async fn a_stream_of_the_past_ends_and_its_reconnect_is_a_204() {
    let world = world();
    world.broker.create("t", 1);
    world.append(0, now() - 7_200_000, 1);
    world.append(0, now(), 2);
    let query = "?from=-3h&to=-90m&step=1m";
    let mut updates = world.updates(query, None).await;
    let first = updates.points().await;
    assert_eq!(points(&first.data).len(), 1);
    assert!(first.data["late_until"].as_i64().is_some_and(|late| late < now()), "{first:?}");
    assert_eq!(updates.next().await, None);
    let headers = [("accept", "text/event-stream"), ("last-event-id", &first.id)];
    assert_eq!(world.get(&format!("/topics/t/series{query}"), &headers).await.status(), 204);
}

#[tokio::test]
async fn the_next_request_for_a_past_window_is_answered_at_once() {
    let world = world();
    world.broker.create("t", 1);
    let (from, to) = (now() - 10_800_000, now() - 5_400_000);
    world.append(0, from + 1000, 1);
    for _ in 0..3 {
        // Each request may wait for longer than this test.
        let answer = world.json(&format!("?from={from}&to={to}&step=1m&timeout=30000")).await;
        assert_eq!(points(&answer).len(), 1, "{answer}");
    }
}

#[tokio::test]
async fn async_code_does_not_wait_for_a_response_that_is_being_encoded() {
    let world = world();
    world.broker.create("t", 1);
    world.append(0, now(), 1);
    let request = || {
        let (topic, filter) = (TopicName::new("t").unwrap(), Filter::default());
        let query = SeriesQuery {
            fields: FieldChoice::AllNumbers,
            states: Vec::new(),
            by: None,
            each: None,
            time: TimeSource::Record,
            step: 1000,
        };
        SeriesRequest { topic, query, filter, window: Window::new(now() - 60_000, now(), 1000).unwrap() }
    };
    let hub = world.app.hub.clone();
    let (ready, is_ready) = mpsc::channel();
    let ready = Box::new(move || _ = ready.send(()));
    let handle = Arc::new(hub.series().request(ClientTag::default(), request(), ready).unwrap());
    is_ready.recv_timeout(LONG).expect("the topic is read");
    let (encoding, is_encoding) = mpsc::channel();
    let (encoded, is_encoded) = mpsc::channel::<()>();
    let encoder = {
        let handle = handle.clone();
        let encode = move || {
            _ = encoding.send(());
            _ = is_encoded.recv();
        };
        std::thread::spawn(move || handle.read(Instant::now(), |_| encode()).is_ok())
    };
    is_encoding.recv_timeout(LONG).expect("the response is being encoded");
    let (done, is_done) = mpsc::channel();
    std::thread::spawn(move || {
        let viewer = hub.series().request(ClientTag::default(), request(), Box::new(|| ())).unwrap();
        viewer.request(request().window, Box::new(|| ()));
        let has_points = viewer.identity().is_some() && viewer.progress(Instant::now()).is_ok();
        drop(viewer);
        _ = done.send(has_points);
    });
    assert_eq!(is_done.recv_timeout(LONG), Ok(true), "a viewer waits for the response of another one");
    drop(encoded);
    assert!(encoder.join().unwrap());
}

#[tokio::test]
async fn an_unreachable_broker_is_an_error() {
    let world = world();
    world.broker.create("t", 1);
    world.append(0, now(), 1);
    assert_eq!(points(&world.json("").await).len(), 1);
    world.broker.fail_with(Some(BrokerError::Unavailable("down".into())));
    let (status, detail) = world.error("?timeout=500").await;
    assert_eq!(status, 503, "cached points do not cover the request: {detail}");
    assert!(detail.contains("down"), "{detail}");
    world.broker.fail_with(None);
    world.append(0, now(), 2);
    assert_eq!(points(&world.json("?step=31d").await).values().map(|point| point.3).sum::<u64>(), 2);
}

#[tokio::test]
async fn grafanas_infinity_data_source_reads_the_columns_of_the_csv() {
    let query: Value = serde_json::from_str(include_str!("../../integration/monitoring/infinity-query.json")).unwrap();
    let expected = include_str!("../../integration/monitoring/infinity-answer.csv");
    let world = world();
    world.broker.create("readings", 1);
    let begin = 1_769_846_400_000;
    for (after, machine, temperature) in
        [(1, "boiler", 61.5), (2, "pump", 21.0), (20, "boiler", 64.0), (29, "boiler", 63.5), (31, "boiler", 62.0)]
    {
        let value = Some(json!({"machine": machine, "temperature": temperature}).to_string().into());
        let record = NewRecord { value, timestamp: Some(begin + after * 1000), ..NewRecord::default() };
        world.broker.append_record("readings", 0, record);
    }
    let url = query["url"].as_str().unwrap().trim_start_matches("http://127.0.0.1:8080");
    // The values that Grafana puts in: milliseconds, and a duration.
    let url = url.replace("${__from}", &begin.to_string()).replace("${__to}", &(begin + 60_000).to_string());
    let answer = world.get(&url.replace("${__interval}", "30s"), &[]).await;
    assert_eq!((answer.status().as_u16(), text(&answer).as_str()), (200, expected));
    let header: Vec<_> = expected.lines().next().unwrap().split(',').collect();
    for column in query["columns"].as_array().unwrap() {
        assert!(header.contains(&column["selector"].as_str().unwrap()), "{column}");
    }
}
