//! `/client.js`: a stream that survives the error responses of a proxy while the bridge restarts.

use crate::{SOON, TestBridge, serve};
use curlew_integration::browser::{Browser, Screen};
use curlew_integration::follow::ThirdPartyClient;
use curlew_integration::web_proxy::{Kind, WebProxy};
use curlew_integration::{eventually, http};
use serde_json::{Value, json};
use std::io::Write;
use std::net::TcpListener;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

impl TestBridge {
    pub fn produce_numbers(&self, topic: &str, numbers: Range<u32>) {
        numbers.for_each(|n| self.produce(topic, "k", &n.to_string()));
    }
}

pub fn numbers(range: Range<u32>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

#[track_caller]
pub fn assert_numbers(follower: &ThirdPartyClient, range: Range<u32>) {
    follower.seen.wait_for_records(range.len(), SOON);
    let data: Vec<_> = follower.seen.of_kind("message").into_iter().map(|event| event.data).collect();
    assert_eq!(data, numbers(range));
}

/// Waits for an event of this kind that contains `text`.
#[track_caller]
pub fn wait_for(follower: &ThirdPartyClient, kind: &str, text: &str) {
    eventually(text, SOON, || match follower.seen.of_kind(kind) {
        all if all.iter().any(|event| event.data.contains(text)) => Ok(()),
        all => Err(format!("{all:?} among {:?}", follower.seen.events())),
    });
}

#[test]
fn node_receives_every_record_once_across_a_502() {
    let mut served = serve(&[]);
    let proxy = WebProxy::start(Kind::Nginx, served.bridge.port);
    served.produce_numbers("log", 0..20);
    let follower = ThirdPartyClient::event_stream(&proxy.url("/curlew/"), "topics/log/events?from=earliest");
    follower.seen.wait_for_records(20, SOON);
    assert_eq!(served.bridge.stop(), Some(0));
    wait_for(&follower, "error", "status 502");
    served.bridge.kill_and_restart();
    served.produce_numbers("log", 20..40);
    assert_numbers(&follower, 0..40);
}

#[test]
fn a_stream_without_records_yet_misses_none_across_a_502() {
    let mut served = serve(&[]);
    let proxy = WebProxy::start(Kind::Nginx, served.bridge.port);
    served.produce_numbers("log", 0..5);
    // It starts at the latest offset, and only an id without a record carries its position.
    let follower = ThirdPartyClient::event_stream(&proxy.url("/curlew/"), "topics/log/events");
    wait_for(&follower, "open", "");
    served.bridge.get("/health").expect(200);
    eventually("the stream is live", SOON, || match served.bridge.get("/metrics").text() {
        text if text.contains("curlew_streams{state=\"live\"} 1") => Ok(()),
        text => Err(text.lines().filter(|line| line.contains("streams")).collect()),
    });
    assert_eq!(served.bridge.stop(), Some(0));
    wait_for(&follower, "error", "status 502");
    served.bridge.kill_and_restart();
    served.produce_numbers("log", 5..10);
    assert_numbers(&follower, 5..10);
}

#[test]
fn a_complete_stream_ends_and_does_not_reconnect() {
    let served = serve(&[]);
    served.produce_numbers("log", 0..5);
    let base = format!("http://127.0.0.1:{}/", served.bridge.port);
    for (bound, count) in COMPLETE {
        let follower = ThirdPartyClient::event_stream(&base, &format!("topics/log/events?from=earliest&{bound}"));
        wait_for(&follower, "end", "");
        assert_numbers(&follower, 0..count);
        assert_eq!(follower.seen.of_kind("end").len(), 1, "{:?}", follower.seen.events());
    }
}

/// Bounded streams of `log` and their record counts; the last offset is either sent or filtered out.
const COMPLETE: [(&str, u32); 4] =
    [("until=end", 5), ("limit=2", 2), ("until=end&where=value<3", 3), ("until=end&key=none", 0)];

#[test]
fn the_eventsource_of_a_browser_stops_when_its_stream_is_complete() {
    let (served, browser) = (serve(&[]), Browser::start());
    served.produce_numbers("log", 0..5);
    let page = browser.open(&served.url("health"), Screen::Light);
    for (bound, count) in COMPLETE {
        page.eval(&format!(
            "(() => {{
                globalThis.seen = [];
                globalThis.opened = 0;
                globalThis.events = new EventSource({});
                events.onopen = () => (opened += 1);
                events.onmessage = (event) => seen.push(event.data);
            }})()",
            json!(format!("/topics/log/events?from=earliest&{bound}"))
        ));
        // Only the 204 closes it: after any other end of the stream it reconnects.
        page.wait_until("events.readyState === EventSource.CLOSED");
        assert_eq!(page.eval("[opened, seen]"), json!([1, numbers(0..count)]), "{bound}");
    }
}

/// Serves `client.js` first, then one of `answers` per request; the last one repeats.
fn server(answers: &'static [&'static str]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("address"));
    std::thread::spawn(move || {
        let asked = Arc::new(AtomicUsize::new(0));
        for mut stream in listener.incoming().map_while(Result::ok) {
            let asked = asked.clone();
            std::thread::spawn(move || {
                if !http::skip_head(&stream) {
                    return;
                }
                let client = include_str!("../../../src/dashboard/client.js");
                let answer = match asked.fetch_add(1, Ordering::SeqCst).checked_sub(1) {
                    None => format!("200 OK\r\ncontent-type: text/javascript\r\n\r\n{client}"),
                    Some(at) => answers[at.min(answers.len() - 1)].to_owned(),
                };
                let _ = write!(stream, "HTTP/1.1 {}", answer.replacen("\r\n", "\r\nconnection: close\r\n", 1));
            });
        }
    });
    url
}

#[test]
fn a_permanent_rejection_ends_the_stream_with_its_reason_and_a_temporary_one_does_not() {
    const PROBLEM: &str = "content-type: application/problem+json\r\n\r\n{\"detail\":\"there is no topic \\\"t\\\"\"}";
    const STREAM: &str = "200 OK\r\ncontent-type: text/event-stream\r\n\r\nretry: 10\n\nid: a\n\ndata: 1\ndata: 2\nid: b\n\ndata: cut\nid: c\n";
    let not_found: &'static str = format!("404 Not Found\r\n{PROBLEM}").leak();
    let cases: [(&[&str], &str, &str); 4] = [
        (
            &[STREAM, "404 Not Found\r\n\r\nno route yet", "503 Busy\r\nretry-after: 0\r\n\r\n", not_found],
            "gave up",
            "there is no topic",
        ),
        (
            &[STREAM, "200 OK\r\ncontent-type: text/html\r\n\r\nback soon", "401 Unauthorized\r\n\r\nwho?"],
            "gave up",
            "401",
        ),
        (&[STREAM, "403 Forbidden\r\n\r\nno"], "gave up", "403"),
        (&[STREAM, "204 No Content\r\n\r\n"], "end", ""),
    ];
    for (answers, kind, text) in cases {
        let follower = ThirdPartyClient::event_stream(&server(answers.to_vec().leak()), "topics/t/events");
        wait_for(&follower, kind, text);
        // An event that was cut off is discarded together with its id.
        let messages = follower.seen.of_kind("message");
        let seen: Vec<_> = messages.iter().map(|event| (event.data.as_str(), event.id.as_str())).collect();
        assert_eq!(seen, [("1\n2", "b")], "{answers:?}");
        assert_eq!(follower.seen.of_kind("error").len(), answers.len() - 1, "{:?}", follower.seen.events());
    }
}

#[test]
fn a_page_of_another_origin_receives_every_record_once_across_a_502() {
    let site = server(&["200 OK\r\ncontent-type: text/html\r\n\r\n<!doctype html><title>a site</title>"]);
    let origin = site.trim_end_matches('/');
    // The first response of the server is the module.
    http::get(origin.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port"), "/");
    let (mut served, browser) = (serve(&["--cors-origin", origin]), Browser::start());
    let proxy = WebProxy::start(Kind::Nginx, served.bridge.port);
    served.produce_numbers("log", 0..20);
    let page = browser.open(&site, Screen::Light);
    page.eval(&format!(
        "(async () => {{
            const bridge = {};
            const {{ EventStream }} = await import(bridge + 'client.js');
            globalThis.seen = [];
            globalThis.errors = 0;
            globalThis.events = new EventStream(bridge + 'topics/log/events?from=earliest');
            events.onmessage = (event) => seen.push(event.data);
            events.onerror = () => (errors += 1);
        }})()",
        json!(proxy.url("/curlew/"))
    ));
    page.wait_until("seen.length === 20");
    assert_eq!(served.bridge.stop(), Some(0));
    // One error for the end of the stream, one for the proxy's 502.
    page.wait_until("errors >= 2");
    served.bridge.kill_and_restart();
    served.produce_numbers("log", 20..40);
    page.wait_until("seen.length >= 40");
    let seen: Value = page.eval("seen");
    assert_eq!(seen, json!(numbers(0..40)));
    // A closed stream does not reconnect.
    page.eval("events.close()");
    assert_eq!(page.eval("events.readyState"), json!(2));
}
