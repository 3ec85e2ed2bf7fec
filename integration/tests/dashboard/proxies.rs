//! Runs each recipe of `integration/proxies` unchanged, except for the ports.

use crate::client::{assert_numbers, wait_for};
use crate::{SOON, TestBridge, serve};
use curlew_integration::browser::{Browser, Screen};
use curlew_integration::follow::ThirdPartyClient;
use curlew_integration::http;
use curlew_integration::sse::Stream;
use curlew_integration::web_proxy::{Kind, WebProxy};
use std::io::BufRead;

/// Enough lines for a body of several MB: above the default limit of nginx and the memory buffers of all three proxies.
const LINES: usize = 50_000;

fn upload(served: &TestBridge, port: u16) {
    let note = "x".repeat(80);
    let body: String = (0..LINES).map(|n| format!("{{\"n\": {n}, \"note\": \"{note}\"}}\n")).collect();
    assert!(body.len() > 4 << 20);
    http::post(port, "/curlew/topics/upload", "application/x-ndjson", body).expect(200);
    let upload = served.bridge.get("/topics/upload").expect(200).json();
    assert_eq!(upload["partitions"][0]["latest"], LINES, "{upload}");
}

fn check_recipe(kind: Kind) {
    let mut served = serve(&["--heartbeat", "1s", "--trusted-proxy", "127.0.0.1"]);
    let proxy = WebProxy::start(kind, served.bridge.port);
    let port = proxy.port;

    let answer = http::post(port, "/curlew/topics/t", "application/json", r#"{"n": 1}"#).expect(200);
    assert_eq!(answer.json()["offsets"][0]["offset"], 0, "{}", answer.text());

    upload(&served, port);

    // The response head arrives before any record, even from a proxy that compresses; then heartbeats follow.
    let mut stream = Stream::open(port, "/curlew/topics/t/events");
    stream.wait_for_comment("connected", SOON);
    stream.wait_for_comment("heartbeat", SOON);
    served.produce("t", "k", "live");
    assert_eq!(stream.event().data, "live");

    let mut silent = http::connect(port);
    let headers = [("Accept", "application/x-ndjson"), ("Accept-Encoding", "gzip")];
    http::write_head(&mut silent, "GET", "/curlew/topics/t/events", &headers).expect("it reads");
    let silent = http::read_head(silent).expect("a response head before any record");
    assert_eq!((silent.status, silent.header("content-encoding")), (200, None));
    let mut lines = silent.into_body().lines().map(|line| line.expect("a line"));
    served.produce("t", "k", "later");
    let record = lines.find(|line| !line.is_empty()).expect("a record");
    assert!(record.contains("\"later\""), "{record}");

    let browser = Browser::start();
    let page = browser.open(&proxy.url("/curlew/?topic=t"), Screen::Light);
    page.wait_for_text("later");

    let follower = ThirdPartyClient::event_stream(&proxy.url("/curlew/"), "topics/log/events?wait=true&from=earliest");
    served.produce_numbers("log", 0..10);
    follower.seen.wait_for_records(10, SOON);
    assert_eq!(served.bridge.stop(), Some(0));
    wait_for(&follower, "error", if kind == Kind::HaProxy { "status 503" } else { "status 502" });
    served.bridge.kill_and_restart();
    served.produce_numbers("log", 10..20);
    assert_numbers(&follower, 0..20);
    served.produce("t", "k", "after the restart");
    page.wait_for_text("after the restart");
}

/// Caddy's `encode` delays the response head until the first byte of the body.
#[test]
fn an_ndjson_stream_behind_caddy_starts_before_its_first_heartbeat() {
    let served = serve(&["--heartbeat", "10m"]);
    served.produce("t", "k", "first");
    let proxy = WebProxy::start(Kind::Caddy, served.bridge.port);
    let mut client = http::connect(proxy.port);
    let headers = [("Accept", "application/x-ndjson"), ("Accept-Encoding", "gzip")];
    http::write_head(&mut client, "GET", "/curlew/topics/t/events", &headers).expect("it reads");
    assert_eq!(http::read_head(client).expect("a head").status, 200);
}

#[test]
fn the_nginx_recipe_works() {
    check_recipe(Kind::Nginx);
}

#[test]
fn the_caddy_recipe_works() {
    check_recipe(Kind::Caddy);
}

#[test]
fn the_haproxy_recipe_works() {
    check_recipe(Kind::HaProxy);
}
