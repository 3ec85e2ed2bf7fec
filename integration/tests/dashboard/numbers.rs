//! The numbers on the page are those of the log.

use super::{assert_no_errors, serve};
use curlew_integration::browser::{Browser, Screen};
use serde_json::{Value, json};

/// Returns one record per key, with the reading of `value`.
fn batch(keys: usize, value: impl Fn(usize) -> Value) -> String {
    let records: Vec<Value> =
        (0..keys).map(|key| json!({"key": format!("m-{key}"), "value": {"temperature": value(key)}})).collect();
    json!({ "records": records }).to_string()
}

const ENVELOPE: &str = "application/vnd.kafka.json.v2+json";

#[test]
fn one_of_two_hundred_keys_above_the_threshold_is_named() {
    let (served, browser) = (serve(&[]), Browser::start());
    // The key arrives last and is above the threshold only once.
    let post =
        |value: &dyn Fn(usize) -> Value| served.bridge.post("/topics/plant", ENVELOPE, batch(200, value)).expect(200);
    post(&|key| json!(if key == 199 { 61.5 } else { 20.0 }));
    post(&|_| json!(20.0));
    let page = browser.open(&served.url("?topic=plant&over=temperature%3A50"), Screen::Light);
    page.wait_for_text("was above threshold: m-199");
    page.wait_for_text("61.5");
    let drawn =
        page.eval("[...document.querySelectorAll('.legend .reason')].map((one) => one.innerText).filter(Boolean)");
    assert!(drawn.as_array().is_some_and(|all| all.contains(&json!("above threshold"))), "{drawn}");
    // The search finds a key that has no row at first.
    page.eval(
        "(() => { const search = document.querySelector('.legend-search'); search.value = 'm-150'; \
         search.dispatchEvent(new Event('input')); })()",
    );
    page.wait_until("document.querySelectorAll('.legend tbody tr').length === 1");
    assert_no_errors(&page);
}

#[test]
fn integers_above_a_billion_are_exact() {
    let (served, browser) = (serve(&[]), Browser::start());
    served.produce("meters", "main", r#"{"count": 12571953755}"#);
    let page = browser.open(&served.url("?topic=meters"), Screen::Light);
    page.wait_for_text("12,571,953,755");
    assert!(!page.text().contains("e+"), "{}", page.text());
    assert_no_errors(&page);
}

#[test]
fn a_paused_page_does_not_say_that_it_is_live() {
    let (served, browser) = (serve(&[]), Browser::start());
    served.produce("log", "k", "1");
    let page = browser.open(&served.url("?topic=log"), Screen::Light);
    page.wait_until("document.getElementById('state').innerText === 'Live'");
    page.eval("document.getElementById('pause').click()");
    page.wait_until("document.getElementById('state').innerText === 'Paused'");
    page.eval("document.getElementById('pause').click()");
    page.wait_until("document.getElementById('state').innerText === 'Live'");
    assert_no_errors(&page);
}
