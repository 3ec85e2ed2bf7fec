//! The list of topics: rates with history, newest records, order and groups.

use crate::{SOON, TestBridge, assert_no_errors, serve};
use curlew_integration::browser::{Browser, Page, Screen};
use curlew_integration::eventually;
use serde_json::{Value, json};

const TOPICS: usize = 300;

/// The requests of the page itself. With `share=own`, no worker has a part in them.
const REQUESTS: &str = "performance.getEntriesByType('resource').map(({ name }) => new URL(name)) \
     .filter(({ pathname }) => pathname.startsWith('/topics')).map(({ pathname, search }) => pathname + search)";

/// Returns the names in the order of the page.
fn names(page: &Page<'_>) -> Vec<String> {
    let names = page
        .eval("[...document.querySelectorAll('.topics tbody tr')].map((row) => row.dataset.topic ?? row.innerText)");
    serde_json::from_value(names).expect("names")
}

/// Returns `[age in ms, number of records]` of the samples of a topic.
fn history(served: &TestBridge, topic: &str) -> Vec<(f64, f64)> {
    let topics = served.bridge.get("/topics?history=true").expect(200).json();
    let found = topics.as_array().expect("topics").iter().find(|one| one["name"] == json!(topic)).cloned();
    found.map(|topic| serde_json::from_value(topic["history"].clone()).expect("samples")).unwrap_or_default()
}

#[test]
fn a_page_with_three_hundred_topics_needs_one_request_for_names_rates_and_values() {
    let (served, browser) = (serve(&[]), Browser::start());
    (0..TOPICS).for_each(|n| served.produce(&format!("plant-{n:03}"), "boiler", &format!("{{\"t\": {n}}}")));
    eventually("a sample with all topics", SOON, || {
        let samples = history(&served, "plant-299");
        if samples.is_empty() { Err(format!("{samples:?}")) } else { Ok(()) }
    });
    let lines = "1\n".repeat(400);
    served.bridge.post("/topics/plant-007", "application/x-ndjson", lines).expect(200);
    let samples = eventually("a sample after the records", SOON, || {
        let samples = history(&served, "plant-007");
        samples
            .last()
            .is_some_and(|(_, written)| *written == 401.0)
            .then(|| samples.clone())
            .ok_or(format!("{samples:?}"))
    });
    let page = browser.open(&served.url("?share=own"), Screen::Light);
    page.wait_until(
        "(() => { const rows = [...document.querySelectorAll('.topics tbody tr')]; \
         return rows.length === 300 && rows.every((row) => /^\\d/.test(row.querySelector('.rate').innerText) \
         && /^(boiler|1)/.test(row.querySelector('.last').innerText)); })()",
    );
    let requests = page.eval(REQUESTS);
    let requests = requests.as_array().expect("requests");
    assert_eq!(requests[0], json!("/topics?last=true&history=true"));
    // Every 2 seconds, one request for all topics.
    assert!(requests[1..].iter().all(|request| request == &json!("/topics?last=true")), "{requests:?}");
    let values: Vec<String> = (0..TOPICS).filter(|n| *n != 7).map(|n| format!("boiler: {{\"t\":{n}}}")).collect();
    let shown = page.eval(
        "[...document.querySelectorAll('.topics tbody tr')].map((row) => row.querySelector('.last').innerText) \
         .filter((text) => text !== '1')",
    );
    assert_eq!(shown, json!(values));
    // The largest rate is that of the samples, which the page has not seen itself.
    let rates = samples.windows(2).map(|pair| (pair[1].1 - pair[0].1) * 1000.0 / (pair[0].0 - pair[1].0));
    let largest = rates.fold(0.0, f64::max);
    let label = page.eval("document.querySelector('[data-topic=plant-007] canvas').getAttribute('aria-label')");
    let label = label.as_str().expect("a label");
    let (_, rest) = label.split_once("max ").expect("the largest rate");
    let (number, since) = rest.split_once(' ').expect("a number and a span");
    let number: f64 = number.parse().expect("a number");
    assert!((number / largest - 1.0).abs() < 0.1, "{label}; {largest} by the samples {samples:?}");
    assert!(!since.contains("min"), "the bridge runs since some seconds only: {label}");
    assert_no_errors(&page);
}

#[test]
fn topics_are_sorted_and_grouped_as_the_url_says() {
    let (served, browser) = (serve(&[]), Browser::start());
    let records =
        [("web-visits", 3000), ("plant.fan", 2000), ("orders", 1000), ("plant.boiler", 4000), ("web-log", 5000)];
    for (topic, time) in records {
        let target = format!("/topics/{topic}?timestamp={time}");
        served.bridge.post(&target, "text/plain", topic).expect(200);
    }
    let page = browser.open(&served.url(""), Screen::Light);
    page.wait_until(
        "[...document.querySelectorAll('.topics .last bdi')].filter((text) => text.innerText).length === 5",
    );
    assert_eq!(names(&page), ["orders", "plant.boiler", "plant.fan", "web-log", "web-visits"]);
    let click = |label: &str| {
        page.eval(&format!(
            "[...document.querySelectorAll('button')].find((one) => one.innerText === {}).click()",
            json!(label)
        ));
    };
    click("Last record");
    assert_eq!(names(&page), ["web-log", "plant.boiler", "web-visits", "plant.fan", "orders"]);
    assert_eq!(
        page.eval("[...document.querySelectorAll('[aria-sort]')].map((one) => one.innerText + one.ariaSort)"),
        json!(["Last recorddescending"])
    );
    click("Last record");
    assert_eq!(names(&page), ["orders", "plant.fan", "web-visits", "plant.boiler", "web-log"]);
    page.eval("document.getElementById('group').click()");
    let groups = |rows: Vec<String>| {
        rows.iter().map(|row| row.split_whitespace().next().unwrap_or("").to_owned()).collect::<Vec<_>>()
    };
    let all = ["plant.", "plant.fan", "plant.boiler", "web-", "web-visits", "web-log", "Other", "orders"];
    assert_eq!(groups(names(&page)), all);
    assert!(names(&page)[0].contains("2 topics"), "{:?}", names(&page));
    click("web-");
    let closed = ["plant.", "plant.fan", "plant.boiler", "web-", "Other", "orders"];
    assert_eq!(groups(names(&page)), closed);
    assert_eq!(page.axe(), Vec::<Value>::new());
    // The link is the view.
    let link = page.eval("location.search");
    let other = browser.open(&served.url(link.as_str().expect("a link")), Screen::Phone);
    other.wait_until(
        "[...document.querySelectorAll('.topics .last bdi')].filter((text) => text.innerText).length === 3",
    );
    assert_eq!(groups(names(&other)), closed);
    assert_eq!(other.eval("document.documentElement.scrollWidth > innerWidth"), json!(false), "scrolls sideways");
    assert_eq!(other.axe(), Vec::<Value>::new());
    [&page, &other].into_iter().for_each(assert_no_errors);
}

#[test]
fn a_large_value_a_tombstone_and_an_empty_topic_are_shown_as_what_they_are() {
    let (served, browser) = (serve(&[]), Browser::start());
    served.produce("large", "k", &format!("{{\"text\": \"{}\"}}", "x".repeat(100_000)));
    served.bridge.request("DELETE", "/topics/deleted?key=pump", &[], b"").expect(200);
    served.bridge.post("/topics/binary", "application/octet-stream", "\u{0}").expect(200);
    let page = browser.open(&served.url(""), Screen::Light);
    page.wait_for_text("(97.7 KiB)");
    page.wait_for_text("pump: tombstone");
    page.wait_until("document.querySelector('[data-topic=large] .age').innerText.endsWith('ago')");
    assert_no_errors(&page);
}
