//! `where=` through the routes, without a network.

use crate::support::memory_broker::MemoryBroker;
use curlew::http::{App, Settings, routes};
use curlew::hub::{self, Hub};
use std::sync::Arc;

/// Requests the records of topic `t`, which holds a few readings. Returns the status and the body.
fn events(query: &[(&str, &str)]) -> (u16, String) {
    let broker = MemoryBroker::new();
    broker.create("t", 1);
    for value in [r#"{"temperature":31,"unit":"C"}"#, r#"{"temperature":30.5}"#, "text", r#"{"temperature":"hot"}"#] {
        broker.append("t", 0, value);
    }
    let hub = Arc::new(Hub::start(broker, hub::Settings::default()).unwrap());
    let routes = routes(App::new(hub, Settings::default()));
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    let path = format!("/topics/t/events?from=earliest&until=end&{query}");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let answer = runtime.block_on(warp::test::request().header("host", "localhost").path(&path).reply(&routes));
    (answer.status().as_u16(), String::from_utf8_lossy(answer.body()).into_owned())
}

#[test]
fn only_records_that_match_the_condition_are_delivered() {
    let cases = [
        ("value.temperature > 30", vec![r#"{"temperature":31,"unit":"C"}"#, r#"{"temperature":30.5}"#]),
        ("has(value.unit) || value == 'text'", vec![r#"{"temperature":31,"unit":"C"}"#, "text"]),
        (
            "value.temperature > 30 && value.unit == 'C' && topic == 't' && offset == 0 && key == null",
            vec![r#"{"temperature":31,"unit":"C"}"#],
        ),
        ("value.nonsense", vec![]),
    ];
    for (condition, expected) in cases {
        let (status, body) = events(&[("where", condition)]);
        // Ignore the frame that ends the stream.
        let frames = body.split("\n\n").filter(|frame| !frame.lines().any(|line| line == "event: end"));
        let data: Vec<_> = frames.flat_map(str::lines).filter_map(|line| line.strip_prefix("data: ")).collect();
        assert_eq!((status, data), (200, expected), "{condition}: {body}");
        let ids: Vec<_> = body.lines().filter(|line| line.starts_with("id: ")).collect();
        assert_ne!(ids.first(), ids.last(), "{condition}: the id must cover the skipped records: {body}");
    }
}

#[test]
fn an_invalid_condition_is_a_400_that_names_the_column() {
    let cases: [(&[(&str, &str)], &str); 5] = [
        (&[("where", "value.temperature >")], "where, column 20: expected a value, found the end"),
        (&[("where", "temperature > 30")], "where, column 1: there is no variable `temperature`; there are value, key"),
        (&[("where", "value.a + 1")], "where, column 1: where= needs true or false"),
        (&[("where", "")], "where, column 1: expected a value"),
        (&[("where", "true"), ("where", "true")], "more than once"),
    ];
    for (query, expected) in cases {
        let (status, body) = events(query);
        assert!(status == 400 && body.contains(expected), "{query:?}: {status} {body}");
    }
}
