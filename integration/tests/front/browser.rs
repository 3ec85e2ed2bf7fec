//! HTTPS in a browser: HTTP/2, and with it more streams than the six connections of HTTP/1.1.

use crate::tls::Files;
use curlew_integration::bridge::Bridge;
use curlew_integration::browser::{Browser, Screen};
use serde_json::json;

/// Twice as many streams as a browser has connections over HTTP/1.1.
const STREAMS: &str = "globalThis.seen = Array.from({ length: 12 }, () => []);
    globalThis.sources = seen.map((own) => {
        const source = new EventSource('/topics/t/events?from=earliest');
        source.onmessage = (event) => own.push(event.data);
        return source;
    }); 0";

#[test]
fn a_browser_keeps_many_streams_on_one_connection_over_a_restart() {
    let files = Files::new();
    files.server("server");
    let mut bridge = files.serve("server", &[]);
    let produce = |bridge: &Bridge, value| {
        files.curl(bridge, "server.pem", "/topics/t", &["-d", value]).expect("a receipt");
    };
    let browser = Browser::start();
    produce(&bridge, "one");
    let page = browser.open(&format!("https://localhost:{}/openapi.json", bridge.port), Screen::Light);
    let protocol = "performance.getEntriesByType('navigation')[0].nextHopProtocol";
    assert_eq!(page.eval(protocol), json!("h2"));
    page.eval(STREAMS);
    page.wait_until("seen.every((own) => own.join() === 'one')");
    produce(&bridge, "two");
    page.wait_until("seen.every((own) => own.join() === 'one,two')");
    bridge.kill_and_restart();
    produce(&bridge, "three");
    page.wait_until("seen.every((own) => own.join() === 'one,two,three')");
    let dashboard = browser.open(&format!("https://localhost:{}/?topic=t", bridge.port), Screen::Light);
    dashboard.wait_for_text("three");
    assert_eq!(dashboard.errors(), Vec::<serde_json::Value>::new());
}
