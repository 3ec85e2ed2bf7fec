//! The routes on a broker in memory, without a socket: consuming, metadata, other origins and errors.
//! `tests/suite/produce.rs` covers producing.

use crate::support::documented::is_documented;
use crate::support::memory_broker::MemoryBroker;
use curlew::broker::BrokerError;
use curlew::http::{self, App, BindScope, OriginPolicy, Origins, routes};
use curlew::hub::{self, Hub};
use curlew::record::{Header, NewRecord};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use warp::http::{Response, StatusCode};
use warp::hyper::body::Bytes;

struct TestApp {
    broker: Arc<MemoryBroker>,
    app: Arc<App>,
}

fn world() -> TestApp {
    world_with(OriginPolicy {
        origins: Origins::Listed(vec!["https://page.example".into()]),
        scope: BindScope::Loopback,
    })
}

fn world_with(guard: OriginPolicy) -> TestApp {
    world_that(guard, http::Deletion::Forbidden)
}

fn world_that(guard: OriginPolicy, deletion: http::Deletion) -> TestApp {
    let broker = MemoryBroker::new();
    let settings = hub::Settings { metadata_refresh: Duration::from_millis(50), ..hub::Settings::default() };
    let hub = Arc::new(Hub::start(broker.clone(), settings).unwrap());
    let settings = http::Settings {
        origin_policy: guard,
        deletion,
        heartbeat: Duration::from_millis(100),
        ..http::Settings::default()
    };
    TestApp { broker, app: App::new(hub, settings) }
}

impl TestApp {
    /// Sends `GET PATH` with headers, and reads the response to its end.
    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Response<Bytes> {
        self.ask("GET", path, headers, "").await
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Response<Bytes> {
        let mut request = warp::test::request().method(method).path(path);
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header("host", "localhost:8080");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let routes = routes(self.app.clone());
        let reply = request.body(body).reply(&routes);
        let answer = tokio::time::timeout(Duration::from_secs(10), reply).await.expect("the response ends");
        is_documented(method, path, answer.status());
        answer
    }

    /// Returns the frames of a stream that ends by itself, without the two lines of its head.
    async fn frames(&self, path: &str, headers: &[(&str, &str)]) -> Vec<String> {
        let answer = self.get(path, headers).await;
        assert_eq!(answer.status(), 200, "{path}: {}", text(&answer));
        let all = text(&answer);
        let (head, frames) = all.split_once("\n\n").unwrap();
        assert!(head.starts_with("retry: 2") && head.ends_with("\n: connected"), "{head}");
        frames.split_terminator("\n\n").filter(|frame| *frame != ": heartbeat").map(str::to_owned).collect()
    }
}

fn text(answer: &Response<Bytes>) -> String {
    String::from_utf8(answer.body().to_vec()).unwrap()
}

fn json_of(answer: &Response<Bytes>) -> Value {
    serde_json::from_slice(answer.body()).unwrap_or_else(|e| panic!("{e}: {}", text(answer)))
}

/// Returns the `data` of ordinary events.
fn data(frames: &[String]) -> Vec<&str> {
    frames.iter().filter_map(|frame| frame.strip_prefix("data: ")?.split('\n').next()).collect()
}

fn id(frame: &str) -> &str {
    let last = frame.lines().last().unwrap();
    last.strip_prefix("id: ").unwrap_or_else(|| panic!("id is not the last line of {frame:?}"))
}

fn record(partition_key: Option<&str>, value: &str, time: i64, header: Option<(&str, &str)>) -> NewRecord {
    NewRecord {
        key: partition_key.map(|key| key.to_owned().into()),
        value: Some(value.to_owned().into()),
        timestamp: Some(time),
        headers: header
            .map(|(name, value)| Header { name: name.into(), value: Some(value.to_owned().into()) })
            .into_iter()
            .collect(),
        partition: None,
    }
}

/// A topic `t` of two partitions: a0 b1 c0 d1, at times 1000, 2000, 3000, 4000.
fn filled() -> TestApp {
    let world = world();
    world.broker.create("t", 2);
    let site = Some(("site", "north"));
    world.broker.append_record("t", 0, record(Some("boiler"), "a", 1000, None));
    world.broker.append_record("t", 1, record(Some("pump"), "b", 2000, site));
    world.broker.append_record("t", 0, record(Some("boiler"), "c", 3000, site));
    world.broker.append_record("t", 1, record(None, "d", 4000, None));
    world
}

#[tokio::test]
async fn each_start_position_and_filter_delivers_its_records() {
    let world = filled();
    let cases = [
        ("from=earliest", "abcd"),
        ("from=latest", ""),
        ("", ""),
        ("from=1970-01-01T00:00:02Z", "bcd"),
        ("from=1970-01-01T00:00:02.500Z", "cd"),
        ("from=-15m", ""),
        ("from=earliest&partition=1", "bd"),
        ("from=earliest&partition=0&partition=1", "abcd"),
        ("from=earliest&key=boiler", "ac"),
        ("from=earliest&header=site:north", "bc"),
        ("from=earliest&header=site:north&key=pump", "b"),
        ("from=earliest&header=site:south", ""),
        ("from=earliest&format=value", "abcd"),
        ("from=earliest&wait=true", "abcd"),
    ];
    for (query, expected) in cases {
        let frames = world.frames(&format!("/topics/t/events?until=end&{query}"), &[]).await;
        assert_eq!(frames[0].lines().count(), 1, "the first frame is id-only: {frames:?}");
        id(&frames[0]);
        let mut seen: Vec<char> = data(&frames).concat().chars().collect();
        seen.sort_unstable();
        assert_eq!(seen.into_iter().collect::<String>(), expected, "{query}");
    }
    let limited = world.frames("/topics/t/events?from=earliest&limit=3", &[]).await;
    assert_eq!(data(&limited).len(), 3);
    world.broker.create("u", 1);
    world.broker.append("u", 0, "e");
    let both = world.frames("/events?topic=t&topic=u&from=earliest&until=end", &[]).await;
    assert_eq!(data(&both).len(), 5);
}

#[tokio::test]
async fn a_cursor_wins_over_from_and_the_header_over_the_query() {
    let world = filled();
    let frames = world.frames("/topics/t/events?from=earliest&until=end&partition=0", &[]).await;
    let (start, after_a, after_c) = (id(&frames[0]), id(&frames[1]), id(&frames[2]));
    let path = |query: &str| format!("/topics/t/events?until=end&partition=0&{query}");
    let cases = [
        (path(&format!("from={after_a}")), None, "c"),
        (path(&format!("from=earliest&last_event_id={after_a}")), None, "c"),
        (path(&format!("from=earliest&lastEventId={after_c}")), None, ""),
        (path(&format!("from=earliest&last_event_id={after_c}")), Some(start), "ac"),
        (path("from=latest"), Some(after_a), "c"),
        (path("from=earliest"), Some(""), "ac"),
    ];
    for (path, header, expected) in cases {
        let headers: Vec<_> = header.map(|id| ("last-event-id", id)).into_iter().collect();
        assert_eq!(data(&world.frames(&path, &headers).await).concat(), expected, "{path} {header:?}");
    }
}

#[tokio::test]
async fn tombstones_binary_values_and_gaps_have_separate_events() {
    let world = world();
    world.broker.create("t", 1);
    world.broker.append_record("t", 0, NewRecord { key: Some("k".into()), ..NewRecord::default() });
    world.broker.append("t", 0, [0xff, 0x00]);
    world.broker.append("t", 0, "two\r\nlines\nid: forged");
    let frames = world.frames("/topics/t/events?from=earliest&until=end", &[]).await;
    let bodies: Vec<_> = frames[1..].iter().map(|frame| frame.rsplit_once("\nid: ").unwrap().0).collect();
    assert_eq!(
        bodies,
        [
            "event: tombstone\ndata: {\"topic\":\"t\",\"partition\":0,\"offset\":0,\"key\":\"k\"}",
            "event: binary\ndata: /wA=",
            "data: two\ndata: lines\ndata: id: forged",
        ]
    );
    let start = id(&frames[0]).to_owned();
    world.broker.trim("t", 0, 2);
    // The bridge may serve records from its read cache for a moment longer.
    let gap = loop {
        let frames = world.frames(&format!("/topics/t/events?until=end&from={start}"), &[]).await;
        if let Some(gap) = frames.iter().find(|frame| frame.starts_with("event: gap")) {
            break gap.clone();
        }
    };
    let expected =
        "event: gap\ndata: {\"topic\":\"t\",\"partition\":0,\"from\":0,\"to\":2,\"reason\":\"retention\"}\nid: ";
    assert!(gap.starts_with(expected), "{gap}");
}

#[tokio::test]
async fn ndjson_is_one_envelope_per_line() {
    let world = filled();
    let accepts = [
        ("application/x-ndjson", true),
        ("application/x-ndjson, text/event-stream", true),
        ("text/event-stream, application/x-ndjson", false),
        ("application/x-ndjson;q=0.1, text/event-stream", false),
        ("*/*", false),
        ("text/html, */*;q=0.8", false),
    ];
    for (accept, ndjson) in accepts {
        let answer = world.get("/topics/t/events?from=earliest&until=end&partition=1", &[("accept", accept)]).await;
        let kind = if ndjson { "application/x-ndjson" } else { "text/event-stream" };
        assert_eq!(answer.headers()["content-type"], kind, "{accept}");
        assert_eq!(answer.headers()["cache-control"], "no-cache, no-transform");
        assert_eq!(answer.headers()["x-accel-buffering"], "no");
        if ndjson {
            let lines = text(&answer);
            let lines = lines.strip_prefix('\n').expect("a blank line is sent with the head");
            let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
            let expected = json!({"topic": "t", "partition": 1, "offset": 0, "timestamp": 2000, "key": "pump",
                "headers": [{"name": "site", "value": "north"}], "value": "b"});
            assert_eq!(first, expected);
            assert_eq!(lines.lines().count(), 2);
        }
    }
}

#[tokio::test]
async fn a_filter_accepts_a_key_of_any_bytes_and_a_header_with_a_colon() {
    let world = world();
    world.broker.create("t", 1);
    let odd = Header { name: "a:b\\c".into(), value: Some("x:y".into()) };
    let record =
        NewRecord { key: Some(vec![0xFF, 0x00].into()), headers: vec![odd], ..record(None, "odd", 1000, None) };
    world.broker.append_record("t", 0, record);
    world.broker.append("t", 0, "plain");
    let read = async |condition: &str| {
        let path = format!("/topics/t/events?from=earliest&until=end&{condition}");
        data(&world.frames(&path, &[]).await).join(",")
    };
    assert_eq!(read("key=%FF%00").await, "odd");
    assert_eq!(read("key=%FF").await, "");
    for name in ["a%5C%3Ab%5Cc", "a%5C%3Ab%5C%5Cc", "a\\:b\\c"] {
        assert_eq!(read(&format!("header={name}:x:y")).await, "odd", "{name}");
    }
    assert_eq!(read("header=a:b%5Cc:x:y").await, "", "this is the header a");
    let answer = world.ask("POST", "/topics/t?key=%FE", &[], "by key").await;
    assert_eq!(answer.status(), 200, "{}", text(&answer));
    assert_eq!(read("key=%FE").await, "by key");
}

#[tokio::test]
async fn every_error_names_the_given_and_the_allowed_values() {
    let world = filled();
    world.broker.create("other", 1);
    let other = id(&world.frames("/topics/other/events?until=end", &[]).await[0]).to_owned();
    let cut = &other[..other.len() - 1];
    let cases: Vec<(&str, String, u16, Vec<&str>)> = vec![
        ("GET", "/topics/t/events?form=earliest".into(), 400, vec!["form", "from"]),
        ("GET", "/topics/t/events?from=earliest&from=latest".into(), 400, vec!["from", "once"]),
        ("GET", "/topics/t/events?from=yesterday".into(), 400, vec!["yesterday", "earliest"]),
        ("GET", "/topics/t/events?from=42".into(), 400, vec!["42", "partitions"]),
        ("GET", format!("/topics/t/events?from={other}"), 400, vec!["other topics"]),
        ("GET", format!("/topics/t/events?last_event_id={cut}"), 400, vec!["damaged"]),
        ("GET", "/topics/t/events?partition=x".into(), 400, vec!["\"x\"", "number"]),
        ("GET", "/topics/t/events?partition=7".into(), 404, vec!["no partition 7"]),
        ("GET", "/topics/t/events?header=site".into(), 400, vec!["NAME:VALUE"]),
        ("GET", "/topics/t/events?format=xml".into(), 400, vec!["xml", "record"]),
        ("GET", "/topics/t/events?wait=maybe".into(), 400, vec!["maybe", "true"]),
        ("GET", "/topics/t/events?until=noon".into(), 400, vec!["noon", "end"]),
        ("GET", "/topics/t/events?limit=0".into(), 400, vec!["\"0\"", "from 1"]),
        ("GET", "/topics/none/events".into(), 404, vec!["\"none\"", "wait=true"]),
        ("GET", "/topics/a%20b/events".into(), 422, vec!["a b", "A-Z a-z 0-9"]),
        ("GET", "/topics//events".into(), 422, vec!["must not be empty"]),
        ("GET", "/topics/a%2Fb".into(), 422, vec!["a/b", "A-Z a-z 0-9"]),
        ("GET", "/topics/t/events?from=%FF".into(), 400, vec!["from", "UTF-8"]),
        ("GET", "/topics/t/events?where=%FF".into(), 400, vec!["where", "UTF-8"]),
        ("GET", "/topics/t/events?until=2026-01-31T08:00:00".into(), 400, vec!["2026", "allowed are end", "limit"]),
        ("GET", "/topics?limit=5".into(), 400, vec!["limit", "offsets"]),
        ("GET", "/topics/t?wait=true".into(), 400, vec!["wait", "none is allowed"]),
        ("GET", "/events?topic=t&topic=none".into(), 404, vec!["\"none\""]),
        ("GET", "/events".into(), 400, vec!["topic=a"]),
        ("GET", "/topics/none".into(), 404, vec!["none"]),
        ("GET", "/topics/t/partitions/9/records".into(), 404, vec!["no partition 9"]),
        ("GET", "/topics/t/partitions/-1/records".into(), 400, vec!["-1"]),
        ("GET", "/topics/t/partitions/0/records?offset=99".into(), 400, vec!["99", "0 to 2"]),
        ("GET", "/topics/t/partitions/0/records?limit=many".into(), 400, vec!["many"]),
        ("GET", "/nowhere".into(), 404, vec!["/nowhere", "/openapi.json"]),
        ("PUT", "/topics/t".into(), 405, vec!["PUT", "POST"]),
        ("POST", "/admin/topics".into(), 403, vec!["--allow-create"]),
        ("DELETE", "/topics/t?records=all".into(), 403, vec!["--allow-delete"]),
        ("DELETE", "/topics/t?records=some".into(), 400, vec!["some", "allowed is all"]),
        ("DELETE", "/topics/t?records=all&key=k".into(), 400, vec!["key"]),
        ("DELETE", "/topics".into(), 405, vec!["DELETE", "GET"]),
        ("POST", "/topics/t/events".into(), 405, vec!["POST", "GET"]),
    ];
    for (method, path, status, named) in cases {
        let answer = world.ask(method, &path, &[], "").await;
        assert_eq!(answer.status(), status, "{method} {path}: {}", text(&answer));
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        assert_eq!(answer.headers().contains_key("allow"), status == 405);
        let problem = json_of(&answer);
        for member in ["type", "title", "status", "detail", "error_code", "message"] {
            assert!(!problem[member].is_null(), "{member} is missing in {problem}");
        }
        for word in named {
            assert!(problem["detail"].as_str().unwrap().contains(word), "{path}: {problem} does not say {word:?}");
        }
    }
    let rejected = world.get("/topics/t/events", &[("accept", "text/html")]).await;
    assert_eq!((rejected.status(), json_of(&rejected)["error_code"].clone()), (StatusCode::NOT_ACCEPTABLE, json!(406)));
    assert_eq!(json_of(&world.get("/topics/none", &[]).await)["error_code"], 40401);
    assert_eq!(json_of(&world.get("/topics/t/events?partition=7", &[]).await)["error_code"], 40402);
}

#[tokio::test]
async fn topics_partitions_and_records_are_listed() {
    let world = filled();
    assert_eq!(json_of(&world.get("/topics", &[]).await), json!(["t"]));
    assert_eq!(json_of(&world.get("/topics/", &[]).await), json!(["t"]));
    assert_eq!(json_of(&world.get("/topics/%74/", &[]).await)["name"], "t");
    let topic = json_of(&world.get("/topics/t", &[]).await);
    let partition = &topic["partitions"][1];
    assert_eq!([&partition["leader"], &partition["earliest"], &partition["latest"]], [1, 0, 2]);
    let page = json_of(&world.get("/topics/t/partitions/0/records", &[]).await);
    assert_eq!(page["records"].as_array().unwrap().len(), 2);
    assert_eq!((&page["next_offset"], &page["latest"]), (&json!(2), &json!(2)));
    let page = json_of(&world.get("/topics/t/partitions/0/records?offset=0&limit=1", &[]).await);
    assert_eq!((page["records"][0]["value"].clone(), page["next_offset"].clone()), (json!("a"), json!(1)));
    let none = json_of(&world.get("/topics/t/partitions/0/records?offset=2&timeout=1", &[]).await);
    assert_eq!((none["records"].clone(), none["next_offset"].clone()), (json!([]), json!(2)));
    assert_eq!(world.get("/health", &[]).await.status(), 200);
    assert_eq!(world.get("/ready", &[]).await.status(), 200);
    assert!(text(&world.get("/", &[]).await).contains("/topics/{topic}/events"));
    let head = world.ask("HEAD", "/topics/t/events", &[], "").await;
    assert_eq!((head.status(), head.body().len()), (StatusCode::OK, 0));
    assert_eq!(head.headers()["content-type"], "text/event-stream");
}

#[tokio::test]
async fn an_unavailable_broker_is_reported_and_streams_wait_for_it() {
    let world = filled();
    world.broker.fail_with(Some(BrokerError::Unavailable("nobody there".into())));
    for (method, path) in [("GET", "/ready"), ("GET", "/topics"), ("GET", "/topics/t"), ("POST", "/topics/t")] {
        let answer = world.ask(method, path, &[], "x").await;
        assert_eq!(answer.status(), 503, "{path}");
        assert!(text(&answer).contains("nobody there"), "{path}");
        assert!(answer.headers().contains_key("retry-after"), "{path}");
    }
    // The head arrives while the broker is away, and the stream begins when the broker is back.
    let request = warp::test::request().path("/topics/t/events?from=earliest&until=end");
    let answer = request.filter(&routes(world.app.clone())).await.unwrap();
    assert_eq!(answer.status(), 200);
    let mut body = answer.into_body();
    let mut seen = String::new();
    while let Some(frame) = body.frame().await {
        seen.push_str(std::str::from_utf8(&frame.unwrap().into_data().unwrap()).unwrap());
        if seen.ends_with(": connected\n\n") {
            world.broker.fail_with(None);
        }
    }
    assert_eq!(seen.matches("\ndata: ").count(), 4, "{seen}");
}

#[tokio::test]
async fn pages_of_other_origins_are_rejected_unless_allowed() {
    let world = filled();
    let form = ("content-type", "application/x-www-form-urlencoded");
    for origin in ["https://evil.example", "null", "http://localhost:9999"] {
        let posted = world.ask("POST", "/topics/t", &[("origin", origin), form], "x=1").await;
        assert_eq!(posted.status(), 403, "{origin}");
        assert!(json_of(&posted)["detail"].as_str().unwrap().contains("--cors-origin"));
        assert_eq!(posted.headers()["vary"], "Origin");
        assert!(!posted.headers().contains_key("access-control-allow-origin"));
        assert_eq!(world.ask("OPTIONS", "/topics/t", &[("origin", origin)], "").await.status(), 403);
    }
    assert_eq!(world.broker.records("t", 0).len() + world.broker.records("t", 1).len(), 4, "nothing was written");
    let rebound = world.get("/topics", &[("host", "evil.example")]).await;
    assert_eq!(rebound.status(), 403);

    let page = ("origin", "https://page.example");
    for (path, status) in [("/topics", 200), ("/topics/none", 404), ("/topics/t/events?until=end", 200)] {
        let answer = world.get(path, &[page]).await;
        assert_eq!(answer.status(), status);
        assert_eq!(answer.headers()["access-control-allow-origin"], page.1, "{path}");
        assert_eq!(answer.headers()["vary"], "Origin");
    }
    let asked = ("access-control-request-headers", "last-event-id, content-type, x-kafka-site");
    let preflight = world.ask("OPTIONS", "/topics/t/events", &[page, asked], "").await;
    assert_eq!(preflight.status(), 204);
    assert_eq!(preflight.headers()["allow"], "GET, HEAD, OPTIONS");
    let allowed = preflight.headers()["access-control-allow-headers"].to_str().unwrap().to_lowercase();
    for name in ["last-event-id", "content-type", "authorization", "x-kafka-site"] {
        assert!(allowed.contains(name), "{allowed}");
    }
    assert!(preflight.headers().contains_key("access-control-max-age"));
    assert_eq!(world.get("/topics", &[("origin", "http://localhost:8080")]).await.status(), 200, "its own pages");
}

#[tokio::test]
async fn an_idle_stream_sends_heartbeats() {
    let world = world();
    world.broker.create("t", 1);
    for (accept, beat) in [("text/event-stream", ": heartbeat\n\n"), ("application/x-ndjson", "\n")] {
        let broker = world.broker.clone();
        let late = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(400)).await;
            broker.append("t", 0, "late");
        });
        let answer = world.get("/topics/t/events?limit=1", &[("accept", accept)]).await;
        assert!(text(&answer).matches(beat).count() >= 2, "{}", text(&answer));
        late.await.unwrap();
    }
}

#[tokio::test]
async fn openapi_describes_exactly_the_routes_and_parameters() {
    let world = filled();
    let document = json_of(&world.get("/openapi.json", &[]).await);
    let fill = |path: &str| path.replace("{topic}", "t").replace("{partition}", "0").replace("{file}", "style.css");
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in ["get", "post", "delete", "put", "patch"] {
            let streams = path.ends_with("/events");
            let mut url = fill(path);
            if streams {
                url += if path == "/events" { "?topic=t&until=end" } else { "?until=end" };
            }
            let status = world.ask(&method.to_uppercase(), &url, &[], "").await.status();
            let documented = operations.get(method).is_some();
            assert_eq!(status != 405, documented, "{method} {path} answers {status}");
            assert_ne!(status, 404, "{method} {path}");
        }
        // The error for an unknown parameter lists the parameters of the route.
        let Some(operation) = operations.get("get").or(operations.get("post")) else { continue };
        let asked = if operations.get("post").is_some() { "POST" } else { "GET" };
        let operation = if asked == "POST" { &operations["post"] } else { operation };
        let answer = world.ask(asked, &(fill(path) + "?unknown=1"), &[], "").await;
        let Some((_, accepted)) = text(&answer).split_once("allowed are ").map(|(a, b)| (a.to_owned(), b.to_owned()))
        else {
            continue;
        };
        let accepted: Vec<_> = accepted.split('"').next().unwrap().split(", ").map(str::to_owned).collect();
        let parameters = operation["parameters"].as_array().unwrap().iter();
        let mut documented: Vec<_> =
            parameters.filter(|p| p["in"] == "query").map(|p| p["name"].as_str().unwrap().to_owned()).collect();
        let mut accepted = accepted;
        accepted.sort();
        documented.sort();
        assert_eq!(accepted, documented, "{asked} {path}");
    }
}

#[tokio::test]
async fn a_topic_is_deleted_once_if_allowed() {
    let guard = OriginPolicy { origins: Origins::Any, scope: BindScope::Loopback };
    let world = world_that(guard, http::Deletion::Allowed);
    world.broker.create("t", 1);
    let deleted = world.ask("DELETE", "/topics/t?records=all", &[], "").await;
    assert_eq!((deleted.status().as_u16(), deleted.body().len()), (204, 0));
    assert_eq!(world.get("/topics/t", &[]).await.status(), 404);
    assert_eq!(world.ask("DELETE", "/topics/t?records=all", &[], "").await.status(), 404);
    assert_eq!(world.ask("DELETE", "/topics/.?records=all", &[], "").await.status(), 422);
}
