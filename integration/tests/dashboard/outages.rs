//! The page has one state, and no number is lost or repeated, while Kafka is stopped, on a slow network and when paused.

use crate::fold::{LoggedNumber, fold, log, readings, write};
use crate::shown::{behind, legend, listed, pictures, rows, state, wait_for_numbers, wait_for_state};
use crate::{MACHINE, SOON, assert_no_errors, serve};
use curlew_integration::bridge::Bridge;
use curlew_integration::browser::{Browser, Page, Screen};
use curlew_integration::eventually;
use curlew_integration::kafka::{Kafka, Options};
use curlew_integration::slow_link::SlowLink;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

const FIELD: &str = "temperature";
/// How long the page may take to notice that Kafka is gone or back.
const NOTICED: Duration = Duration::from_secs(60);

/// Returns the numbers of three machines in the last `seconds` seconds, plus `more`.
fn plant(seconds: i64, more: f64) -> Vec<LoggedNumber> {
    let mut numbers = readings(3, 0..seconds, 0, &[]);
    numbers.iter_mut().for_each(|number| number.value += more);
    numbers
}

/// Asserts for three seconds that the page says only that Kafka is unreachable.
fn assert_says_only_unreachable(page: &Page<'_>) {
    let until = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until {
        let seen = page.eval(
            "({ lights: [...document.querySelectorAll('.indicator')].map((one) => one.className + ': ' + one.innerText), \
             text: document.body.innerText })",
        );
        let lights = seen["lights"].as_array().expect("lights");
        let light = lights[0].as_str().unwrap_or_default();
        assert_eq!(lights.len(), 1, "{lights:?}");
        assert!(light.starts_with("indicator bad: Kafka unreachable"), "{light}");
        let text = seen["text"].as_str().unwrap_or_default();
        for contradiction in ["Live", "Connected", "Behind by", "Disconnected", "Curlew unreachable"] {
            assert!(!text.contains(contradiction), "{contradiction:?} beside {light:?}: {text}");
        }
    }
}

/// Asserts that the list has each record of the log once.
fn assert_lists_each_record_once(page: &Page<'_>, records: usize) {
    let rows = rows(page);
    let location = |row: &String| row.split_whitespace().skip(1).take(2).map(str::to_owned).collect::<Vec<_>>();
    let locations: BTreeSet<_> = rows.iter().map(location).collect();
    assert_eq!((rows.len(), locations.len()), (records, records), "{:?}", rows.first());
}

#[test]
fn a_stopped_kafka_is_one_state_and_nothing_is_lost_or_repeated() {
    let _machine = MACHINE.read().unwrap_or_else(PoisonError::into_inner);
    let mut kafka = Kafka::start(Options::default());
    let topic = kafka.fresh("plant", 2);
    let (bridge, browser) = (Bridge::start(&kafka.bootstrap()), Browser::start());
    let url = |query: &str| format!("http://127.0.0.1:{}/{query}", bridge.port);
    let expected = || fold(&log(&bridge, &topic, FIELD), ..);
    write(&bridge, &topic, FIELD, &plant(60, 0.0));
    let overview = browser.open(&url(""), Screen::Light);
    overview.wait_for_text(&topic);
    let page = browser.open(&url(&format!("?topic={topic}")), Screen::Light);
    let before = expected();
    wait_for_numbers(&page, FIELD, &before, SOON);
    kafka.stop(1);
    for page in [&overview, &page] {
        page.bring_to_front();
        wait_for_state(page, "Kafka unreachable", NOTICED);
        assert_says_only_unreachable(page);
    }
    assert_eq!(overview.eval("document.querySelectorAll('.rate.live').length"), json!(0));
    // What was measured stays, but nothing is known of the rate.
    assert_eq!(legend(&page, FIELD), before);
    page.wait_for_text("2 partitions · – records/s");
    pictures(&browser, &url(&format!("?topic={topic}")), "kafka-stopped", |page| {
        wait_for_state(page, "Kafka unreachable", NOTICED);
    });
    pictures(&browser, &url(""), "kafka-stopped-overview", |page| {
        wait_for_state(page, "Kafka unreachable", NOTICED);
    });
    page.bring_to_front();
    kafka.restart(1);
    wait_for_state(&page, "Live", NOTICED);
    write(&bridge, &topic, FIELD, &plant(10, 30.0));
    wait_for_numbers(&page, FIELD, &expected(), SOON);
    assert_lists_each_record_once(&page, 3 * 70);
    overview.bring_to_front();
    overview.wait_until("document.getElementById('state').innerText === 'Connected'");
    [&overview, &page].into_iter().for_each(assert_no_errors);
}

#[test]
fn a_page_on_a_slow_network_says_how_far_it_is_behind() {
    let (served, browser) = (serve(&[]), Browser::start());
    let expected = || fold(&log(&served.bridge, "plant", FIELD), ..);
    write(&served.bridge, "plant", FIELD, &readings(10, 0..100, 0, &[(4, 90, 60.0)]));
    // As on a phone at the edge of a network.
    let link = SlowLink::start(served.bridge.port, 96 << 10, Duration::from_millis(150));
    let url = format!("http://127.0.0.1:{}/?topic=plant", link.port());
    let page = browser.open(&url, Screen::Phone);
    wait_for_numbers(&page, FIELD, &expected(), SOON);
    assert_eq!(legend(&page, FIELD)["m-004"].max, 60.0);
    // More than the link transfers at once: the page is behind, says so, and then has each record once.
    write(&served.bridge, "plant", FIELD, &readings(100, 0..60, 0, &[(4, 30, 80.5)]));
    eventually("the page is behind", SOON, || behind(&state(&page)).ok_or_else(|| state(&page)));
    wait_for_numbers(&page, FIELD, &expected(), SOON);
    // The charts have a separate stream, and may be complete before the list.
    eventually("every record is listed", SOON, || match listed(&page) {
        7_000 => Ok(()),
        other => Err(format!("{other} records, {}", state(&page))),
    });
    assert_no_errors(&page);
    pictures(&browser, &url, "slow", |page| page.wait_for_text(FIELD));
}

#[test]
fn a_paused_page_does_not_say_that_it_is_live() {
    let (served, browser) = (serve(&[]), Browser::start());
    served.produce("log", "k", "1");
    let page = browser.open(&served.url("?topic=log"), Screen::Light);
    wait_for_state(&page, "Live", SOON);
    page.eval("document.getElementById('pause').click()");
    wait_for_state(&page, "Paused", SOON);
    page.eval("document.getElementById('pause').click()");
    wait_for_state(&page, "Live", SOON);
    assert_eq!(page.eval("document.querySelectorAll('.indicator').length"), json!(1));
    assert_no_errors(&page);
}
