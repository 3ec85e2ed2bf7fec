//! `curlew demo`: its records on the page, and its data afterwards.

use crate::{MACHINE, SOON, assert_no_errors};
use curlew_integration::bridge::Bridge;
use curlew_integration::browser::{Browser, Screen};
use curlew_integration::{eventually, http};
use std::path::PathBuf;
use std::sync::PoisonError;

#[test]
fn the_demo_shows_records_at_once_and_removes_its_data() {
    let _machine = MACHINE.read().unwrap_or_else(PoisonError::into_inner);
    let (mut demo, browser) = (Bridge::demo(), Browser::start());
    let url = format!("http://127.0.0.1:{}/?topic=demo-plant", demo.port);
    let page = browser.open(&url, Screen::Light);
    page.wait_until("document.querySelectorAll('.list .row:not([hidden])').length > 0");
    let (page_took, paint) =
        (page.eval("performance.now()"), page.eval("performance.getEntriesByType('paint')[0].startTime"));
    let raw = page.eval(
        "new Promise((done) => { const began = performance.now(); \
         const source = new EventSource('/topics/demo-plant/events?from=earliest'); \
         source.onmessage = () => { source.close(); done(performance.now() - began); }; })",
    );
    println!("first paint {paint} ms, first record on the page {page_took} ms; a raw EventSource {raw} ms");
    for text in ["fan-1", "boiler-2", "temperature", "vibration"] {
        page.wait_for_text(text);
    }
    assert_no_errors(&page);
    let (events, log) = (demo.get("/topics/demo-events/partitions/0/records").text(), demo.log());
    assert!(events.contains("overheated") && log.contains("simulated"), "{events} {log}");
    let directory = demo_directory(&log);
    assert!(directory.is_dir(), "{directory:?}");
    assert_eq!(demo.stop(), Some(0));
    assert!(!directory.exists(), "{directory:?} still exists");
}

fn demo_directory(log: &str) -> PathBuf {
    log.split("the topics in ").nth(1).and_then(|rest| rest.lines().next()).expect("a directory").into()
}

#[test]
fn a_demo_that_is_interrupted_twice_removes_its_data() {
    let _machine = MACHINE.read().unwrap_or_else(PoisonError::into_inner);
    let mut demo = Bridge::demo();
    let directory = demo_directory(&demo.log());
    // A request with an incomplete body delays the graceful shutdown.
    let mut endless = http::try_connect(demo.port).expect("it listens");
    let headers = [("Content-Type", "text/plain"), ("Content-Length", "1"), ("Expect", "100-continue")];
    http::write_head(&mut endless, "POST", "/topics/t", &headers).expect("it reads");
    // Wait until the bridge reads the request; an unread one would not delay it.
    let mut first = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(&endless), &mut first).expect("an answer");
    assert!(first.starts_with("HTTP/1.1 100 "), "{first}");
    demo.process().signal("INT");
    eventually("the shutdown has begun", SOON, || {
        demo.log().contains("a second signal").then_some(()).ok_or(demo.log())
    });
    demo.process().signal("INT");
    assert_eq!(demo.process().wait(SOON).code(), Some(1));
    assert!(!directory.exists(), "{directory:?} still exists");
}
