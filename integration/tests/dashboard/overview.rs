//! The list of topics: rates with history, newest records, order and groups; and signing in to an empty bridge.

use crate::{SOON, TestBridge, assert_no_errors, serve, serve_with_auth};
use curlew_integration::bridge::{run, run_with_input};
use curlew_integration::browser::{Browser, Page, Screen};
use curlew_integration::eventually;
use serde_json::{Value, json};
use std::process::Command;

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

const PASSWORD: &str = "correct horse battery";
const TOKEN_SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A bridge with three clients: `ann` has a key, `bob` has a password, and the third one has tokens. Returns it with the key.
fn guarded() -> (TestBridge, String) {
    let made = String::from_utf8(run(&["key", "new", "--name", "ann"]).stdout).expect("UTF-8");
    let (key, lines) = made.split_once('\n').expect("a key and its lines");
    let hashed = run_with_input(&["key", "password", "--name", "bob"], format!("{PASSWORD}\n").as_bytes());
    let hashed = String::from_utf8(hashed.stdout).expect("UTF-8");
    let tokens =
        format!("[[jwt]]\nname = \"idp\"\nissuer = \"tests\"\nsecret = \"{TOKEN_SECRET}\"\nproduce = [\"*\"]\n");
    (serve_with_auth(&format!("{lines}\n{hashed}\n{tokens}")), key.to_owned())
}

/// Returns a token for `carl`, signed by the page.
fn token(page: &Page<'_>) -> String {
    let token = page.eval(&format!(
        "(async () => {{
            const encoder = new TextEncoder();
            const base64 = (bytes) => btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
            const part = (value) => base64(encoder.encode(JSON.stringify(value)));
            const claims = {{ iss: 'tests', sub: 'carl', exp: Math.floor(Date.now() / 1000) + 600 }};
            const text = `${{part({{ alg: 'HS256', typ: 'JWT' }})}}.${{part(claims)}}`;
            const key = await crypto.subtle.importKey('raw', encoder.encode('{TOKEN_SECRET}'), {{ name: 'HMAC', hash: 'SHA-256' }}, false, ['sign']);
            return `${{text}}.${{base64(new Uint8Array(await crypto.subtle.sign('HMAC', key, encoder.encode(text))))}}`;
        }})()"
    ));
    token.as_str().expect("a token").to_owned()
}

#[track_caller]
fn sign_in(page: &Page<'_>, name: &str, secret: &str) {
    page.wait_until("document.querySelector('dialog.session')?.open === true");
    page.eval(&format!(
        "(() => {{ const {{ username, password }} = document.querySelector('dialog.session form').elements; \
         username.value = {}; password.value = {}; document.querySelector('dialog.session button').click(); }})()",
        json!(name),
        json!(secret)
    ));
}

#[test]
fn a_password_manager_finds_both_fields_and_all_kinds_of_clients_sign_in() {
    let ((served, key), browser) = (guarded(), Browser::start());
    let page = browser.open(&served.url(""), Screen::Light);
    page.wait_until("document.querySelector('dialog.session')?.open === true");
    let fields = page.eval(
        "[...document.querySelectorAll('dialog.session form input')].map(({ name, type, autocomplete }) => [name, type, autocomplete])",
    );
    assert_eq!(fields, json!([["username", "text", "username"], ["password", "password", "current-password"]]));
    assert_eq!(page.eval("document.activeElement.name"), json!("username"));
    assert!(!page.text().contains("No records"), "what is not known: {}", page.text());
    let token = token(&page);
    sign_in(&page, "bob", "a wrong password");
    page.wait_for_text("is not valid");
    let clients = [
        ("ann", key.as_str(), "ann"),
        ("", key.as_str(), "ann"),
        ("bob", PASSWORD, "bob"),
        ("carl", token.as_str(), "idp/carl"),
        ("", token.as_str(), "idp/carl"),
    ];
    for (name, secret, shown) in clients {
        sign_in(&page, name, secret);
        page.wait_for_text(&format!("Sign out {shown}"));
        // Reloads the page.
        page.eval("setTimeout(() => document.getElementById('sign-out').click()); 0");
        page.wait_until(
            "document.querySelector('dialog.session')?.open === true && !document.body.innerText.includes('Sign out')",
        );
    }
    assert_eq!(page.eval("location.search"), json!(""), "the password is not in the URL");
    assert_no_errors(&page);
}

#[test]
fn the_command_of_an_empty_page_works_as_shown() {
    let ((guarded, _), open, browser) = (guarded(), serve(&[]), Browser::start());
    for (served, screen) in [(&open, Screen::Phone), (&guarded, Screen::Dark)] {
        let page = browser.open(&served.url(""), screen);
        let is_guarded = std::ptr::eq(served, &guarded);
        if is_guarded {
            sign_in(&page, "bob", PASSWORD);
        }
        page.wait_for_text("No records yet");
        let command = page.eval("document.querySelector('.command code').innerText");
        let command = command.as_str().expect("a command").to_owned();
        assert_eq!(command.contains("-u 'bob'"), is_guarded, "{command}");
        assert_eq!(page.text().contains("curl asks for a password"), is_guarded);
        assert_eq!(page.axe(), Vec::<Value>::new());
        // A terminal asks for the password.
        let command = command.replace("-u 'bob'", &format!("-u 'bob:{PASSWORD}'"));
        let output = Command::new("sh").args(["-c", &command]).output().expect("sh");
        assert!(String::from_utf8_lossy(&output.stdout).contains("\"offset\":0"), "{command}: {output:?}");
        page.wait_for_text("readings");
        page.wait_for_text("boiler: {\"temperature\":21.5}");
        assert_no_errors(&page);
    }
}
