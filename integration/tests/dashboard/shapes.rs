//! Every shape of payload that devices send: the page finds out how to draw it, and its numbers are those of the log.

use crate::fold::{LoggedNumber, Summaries, fold, now, write_records};
use crate::shown::wait_for_legend;
use crate::{assert_no_errors, serve};
use curlew_integration::browser::{Browser, Page, Screen};
use serde_json::{Value, json};

const BINARY: &str = "application/vnd.kafka.binary.v2+json";

/// Returns one record per second up to now, the oldest first, with the parts that `of` returns.
fn every_second(count: i64, of: impl Fn(i64) -> Value) -> Vec<Value> {
    let end = now();
    let record = |n: i64| {
        let mut record = of(n);
        record["timestamp"] = json!(end - (count - n) * 1000);
        record
    };
    (0..count).map(record).collect()
}

/// Returns what the legend must show of readings in the order of time.
fn legend_of<'k>(readings: impl IntoIterator<Item = (&'k str, f64)>) -> Summaries {
    let number = |(time, (key, value)): (i64, (&str, f64))| LoggedNumber { time, key: key.to_owned(), value };
    let numbers: Vec<LoggedNumber> = (0..).zip(readings).map(number).collect();
    fold(&numbers, ..)
}

/// Chooses an option of a menu, as a user does.
fn choose(page: &Page<'_>, menu: &str, value: &str) {
    page.eval(&format!(
        "(() => {{ const menu = document.getElementById('choose-{menu}'); menu.value = {}; \
         menu.dispatchEvent(new Event('change')); }})()",
        json!(value)
    ));
}

/// Waits until a menu shows a text as its choice.
#[track_caller]
fn wait_for_choice(page: &Page<'_>, menu: &str, text: &str) {
    page.wait_until(&format!(
        "(() => {{ const menu = document.getElementById('choose-{menu}'); \
         return !menu.closest('[hidden]') && menu.selectedOptions[0]?.innerText === {}; }})()",
        json!(text)
    ));
}

fn assert_accessible(page: &Page<'_>) {
    assert_eq!(page.axe(), Vec::<Value>::new());
    assert_eq!(
        page.eval("document.documentElement.scrollWidth <= innerWidth"),
        json!(true),
        "the page scrolls sideways"
    );
    assert_no_errors(page);
}

#[test]
fn an_id_in_the_value_tells_series_apart() {
    let (served, browser) = (serve(&[]), Browser::start());
    let temperature = |n: i64| 20.0 + ((n * 37) % 101) as f64 / 10.0;
    let records =
        every_second(60, |n| json!({"value": {"id": format!("dev-{}", n % 3), "temperature": temperature(n)}}));
    write_records(&served.bridge, "devices", records);
    let page = browser.open(&served.url("?topic=devices"), Screen::Light);
    let by_id: Vec<(String, f64)> = (0..60).map(|n| (format!("dev-{}", n % 3), temperature(n))).collect();
    wait_for_legend(&page, "temperature", &legend_of(by_id.iter().map(|(id, value)| (&**id, *value))));
    wait_for_choice(&page, "by", "id (auto)");
    assert_eq!(page.eval("location.search"), json!("?topic=devices"));
    // A choice is kept in the URL, and a link with it shows the same.
    choose(&page, "by", "none");
    let one_series = legend_of((0..60).map(|n| ("(no key)", temperature(n))));
    wait_for_legend(&page, "temperature", &one_series);
    assert_eq!(page.eval("location.search"), json!("?topic=devices&by=none"));
    let linked = browser.open(&served.url("?topic=devices&by=none"), Screen::Phone);
    wait_for_legend(&linked, "temperature", &one_series);
    wait_for_choice(&linked, "by", "one series");
    choose(&linked, "by", "");
    wait_for_legend(&linked, "temperature", &legend_of(by_id.iter().map(|(id, value)| (&**id, *value))));
    [&page, &linked].into_iter().for_each(assert_accessible);
}

#[test]
fn the_elements_of_an_array_are_read_by_their_ids() {
    let (served, browser) = (serve(&[]), Browser::start());
    let reading = |n: i64, sensor: i64| (sensor * 100 + (n * 7) % 13) as f64;
    let sensors = |n: i64| -> Vec<Value> {
        (0..3).map(|sensor| json!({"id": format!("s-{sensor}"), "t": reading(n, sensor)})).collect()
    };
    write_records(
        &served.bridge,
        "arrays",
        every_second(40, |n| json!({"key": "gateway", "value": {"sensors": sensors(n)}})),
    );
    let page = browser.open(&served.url("?topic=arrays"), Screen::Light);
    let ids = ["s-0", "s-1", "s-2"];
    let readings = (0..40).flat_map(|n| (0..3).map(move |sensor| (ids[sensor as usize], reading(n, sensor))));
    wait_for_legend(&page, "sensors.t", &legend_of(readings.clone()));
    wait_for_choice(&page, "each", "sensors (auto)");
    wait_for_choice(&page, "by", "sensors.id (auto)");
    choose(&page, "by", "key");
    wait_for_legend(&page, "sensors.t", &legend_of(readings.map(|(_, value)| ("gateway", value))));
    choose(&page, "each", "none");
    page.wait_for_text("Nothing to draw: the latest values are JSON with numbers only in an array.");
    assert_eq!(page.eval("location.search"), json!("?topic=arrays&by=key&each=none"));
    assert_accessible(&page);
}

#[test]
fn plain_numbers_and_numbers_with_units_are_drawn() {
    let (served, browser) = (serve(&[]), Browser::start());
    let value = |n: i64| ((n * 37) % 101) as f64 / 4.0;
    write_records(&served.bridge, "plain", every_second(30, |n| json!({"key": "a", "value": value(n)})));
    write_records(
        &served.bridge,
        "units",
        every_second(30, |n| json!({"key": "a", "value": format!("{} °C", value(n))})),
    );
    let member = |n| json!({"key": "a", "value": {"t": format!("{} °C", value(n)), "humidity": value(n) + 1.0}});
    write_records(&served.bridge, "mixed", every_second(30, member));
    let expected = legend_of((0..30).map(|n| ("a", value(n))));
    let plain = browser.open(&served.url("?topic=plain"), Screen::Light);
    wait_for_legend(&plain, "value", &expected);
    let units = browser.open(&served.url("?topic=units"), Screen::Dark);
    wait_for_legend(&units, "value (°C)", &expected);
    let mixed = browser.open(&served.url("?topic=mixed"), Screen::Phone);
    wait_for_legend(&mixed, "t (°C)", &expected);
    wait_for_legend(&mixed, "humidity", &legend_of((0..30).map(|n| ("a", value(n) + 1.0))));
    [&plain, &units, &mixed].into_iter().for_each(assert_accessible);
}

#[test]
fn counters_are_shown_as_rates_by_choice() {
    let (served, browser) = (serve(&[]), Browser::start());
    // The counter grows by 0 to 8, and restarts at the 20th record.
    let growth = |n: i64| ((n * 5) % 9) as f64;
    let mut energy = 1000.0;
    let mut counts = Vec::new();
    for n in 0..40 {
        energy = if n == 20 { 0.0 } else { energy + growth(n) };
        counts.push(energy);
    }
    write_records(
        &served.bridge,
        "meters",
        every_second(40, |n| json!({"key": "main", "value": {"energy": counts[n as usize]}})),
    );
    let page = browser.open(&served.url("?topic=meters"), Screen::Light);
    wait_for_legend(&page, "energy", &legend_of(counts.iter().map(|value| ("main", *value))));
    page.eval("[...document.querySelectorAll('.menu')].find((menu) => menu.querySelector('summary').innerText.startsWith('Rate')).open = true");
    page.eval("[...document.querySelectorAll('.menu[open] label')].find((label) => label.innerText === 'energy').querySelector('input').click()");
    let rates = legend_of((1..40).filter(|n| *n != 20).map(|n| ("main", growth(n))));
    wait_for_legend(&page, "energy (increase per second)", &rates);
    assert_eq!(page.eval("location.search"), json!("?topic=meters&rate=energy"));
    let linked = browser.open(&served.url("?topic=meters&rate=energy"), Screen::Phone);
    wait_for_legend(&linked, "energy (increase per second)", &rates);
    [&page, &linked].into_iter().for_each(assert_accessible);
}

#[test]
fn positions_are_a_trail() {
    let (served, browser) = (serve(&[]), Browser::start());
    let position = |n: i64, van: i64| (52.5 + n as f64 / 10_000.0 + van as f64 / 1000.0, 13.4 + n as f64 / 5000.0);
    let record = |n: i64| {
        let (latitude, longitude) = position(n, n % 2);
        json!({"key": format!("van-{}", n % 2), "value": {"lat": latitude, "lon": longitude, "speed": n % 7}})
    };
    write_records(&served.bridge, "vans", every_second(50, record));
    let page = browser.open(&served.url("?topic=vans"), Screen::Light);
    let shown = |n: i64| [position(n, n % 2).0, position(n, n % 2).1].map(|degrees| format!("{degrees:.5}"));
    let expected = json!({"van-0": shown(48), "van-1": shown(49)});
    page.wait_until(&format!(
        "JSON.stringify(Object.fromEntries([...document.querySelectorAll('.trail tbody tr')].map((row) => \
         [row.querySelector('bdi').innerText, [...row.querySelectorAll('td')].slice(0, 2).map((cell) => cell.innerText)]))) === \
         JSON.stringify({expected})"
    ));
    // Every position is on the line of its key: 25 each.
    page.wait_until(
        "(() => { const lines = [...document.querySelectorAll('.trail-picture > path[stroke-dasharray]')]; \
         return lines.length === 2 && lines.every((line) => line.getAttribute('d').split(/[ML]/).length - 1 === 25); })()",
    );
    // The scale bar is right: van-0 went north by 0.0048°, which is 534 m.
    let metres = page.eval(
        "(() => { const heights = document.querySelector('.trail-picture > path[stroke-dasharray]').getAttribute('d') \
         .match(/[-.0-9]+ [-.0-9]+/g).map((point) => Number(point.split(' ')[1])); const height = Math.max(...heights) - Math.min(...heights); \
         const [length, unit] = document.querySelector('.trail-picture .scale').textContent.split(' '); \
         const bar = document.querySelector('.trail-picture > path:not([stroke-dasharray])').getBBox().width; \
         return height * Number(length) * (unit === 'km' ? 1000 : 1) / bar; })()",
    );
    assert!(metres.as_f64().is_some_and(|metres| (metres - 534.0).abs() < 6.0), "{metres}");
    let age = page.eval("document.querySelector('.trail tbody td:last-child').innerText");
    assert!(age.as_str().is_some_and(|age| age.ends_with(" s")), "{age}");
    // The trail replaces the charts of its parts; the menu of fields has them.
    page.wait_for_text("Fields 2 of 4");
    let titles = "[...document.querySelectorAll('.card.chart')].filter((card) => !card.hidden).map((card) => card.querySelector('h3').innerText).sort()";
    assert_eq!(page.eval(titles), json!(["position", "speed"]));
    let phone = browser.open(&served.url("?topic=vans&show=lat"), Screen::Phone);
    phone.wait_until("document.querySelectorAll('.trail tbody tr').length === 2");
    phone.wait_for_text("Fields 3 of 4");
    [&page, &phone].into_iter().for_each(assert_accessible);
}

#[test]
fn booleans_and_enums_are_timelines() {
    let (served, browser) = (serve(&[]), Browser::start());
    let names = ["running", "running", "idle", "fault"];
    let state = |n: i64| names[(n / 10) as usize];
    let record = |n: i64| json!({"key": "press", "value": {"state": state(n), "open": n % 20 < 10, "load": n}});
    write_records(&served.bridge, "presses", every_second(40, record));
    let page = browser.open(&served.url("?topic=presses"), Screen::Light);
    let open_table = |title: &str| {
        page.wait_until(&format!(
            "(() => {{ const card = [...document.querySelectorAll('.timeline')].find((one) => one.querySelector('h3').innerText === '{title}'); \
             if (!card || card.querySelector('canvas').clientWidth === 0) return false; card.id = 'timeline-{title}'; \
             card.scrollIntoView(); [...card.querySelectorAll('button')].find((one) => one.innerText === 'Table').click(); return true; }})()"
        ));
    };
    let table = |title: &str| {
        format!(
            "[...document.querySelectorAll('#timeline-{title} .data-table tbody tr')].map((row) => row.lastChild.innerText).join()"
        )
    };
    open_table("state");
    page.wait_until(&format!("{} === 'fault,idle,running'", table("state")));
    open_table("open");
    page.wait_until(&format!("{} === 'false,true,false,true'", table("open")));
    // A card is drawn while it is on the screen.
    page.eval("document.getElementById('timeline-state').scrollIntoView()");
    page.wait_until("/^press\\s*fault/.test(document.querySelector('#timeline-state .timeline-keys li').innerText)");
    page.wait_until("document.querySelector('#timeline-state .timeline-legend').innerText.replace(/\\s+/g, ' ') === 'fault 1 idle 0 running 0'");
    page.eval("scrollTo(0, 0)");
    wait_for_legend(&page, "load", &legend_of((0..40).map(|n| ("press", n as f64))));
    let phone = browser.open(&served.url("?topic=presses"), Screen::Phone);
    phone.wait_until("document.querySelectorAll('.timeline').length === 2");
    [&page, &phone].into_iter().for_each(assert_accessible);
}

#[test]
fn the_time_in_the_payload_counts_if_it_clearly_differs() {
    let (served, browser) = (serve(&[]), Browser::start());
    // Everything arrives now, and was measured up to two minutes ago.
    let (end, value) = (now(), |n: i64| ((n * 37) % 101) as f64);
    let measured = |n: i64| end - (60 - n) * 2000;
    let records: Vec<Value> =
        (0..60).map(|n| json!({"key": "buoy", "value": {"ts": measured(n), "level": value(n)}})).collect();
    write_records(&served.bridge, "buoys", records);
    let page = browser.open(&served.url("?topic=buoys"), Screen::Light);
    wait_for_legend(&page, "level", &legend_of((0..60).map(|n| ("buoy", value(n)))));
    wait_for_choice(&page, "time", "ts (auto)");
    // In a part of the range, the times of measurement choose the values.
    let (from, to) = (measured(10) - 1000, measured(30) - 1000);
    let part = browser.open(&served.url(&format!("?topic=buoys&from={from}&to={to}")), Screen::Light);
    wait_for_legend(&part, "level", &legend_of((10..30).map(|n| ("buoy", value(n)))));
    choose(&part, "time", "record");
    part.wait_until("/time=record/.test(location.search)");
    part.wait_for_text("No values in this range.");
    [&page, &part].into_iter().for_each(assert_no_errors);
}

#[test]
fn values_that_cannot_be_drawn_say_why() {
    let (served, browser) = (serve(&[]), Browser::start());
    // A zero, the schema id 7, and data: in base64.
    let avro = json!({"records": [{"value": "AAAAAAcG/w=="}, {"value": "AAAAAAcG/w=="}]}).to_string();
    served.bridge.post("/topics/avro", BINARY, avro).expect(200);
    served.bridge.post("/topics/bytes", BINARY, json!({"records": [{"value": "/v7+"}]}).to_string()).expect(200);
    served.produce("notes", "a", "hello");
    for (topic, reason) in [("avro", "Avro, schema id 7"), ("bytes", "binary, 3 bytes"), ("notes", "text")] {
        let page = browser.open(&served.url(&format!("?topic={topic}")), Screen::Light);
        page.wait_for_text(&format!("Nothing to draw: the latest values are {reason}."));
        assert_accessible(&page);
    }
}
