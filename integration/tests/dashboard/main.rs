//! The dashboard in a real Chromium, on the embedded log and behind real proxies.

mod also;
mod charts;
mod client;
mod devices;
mod exports;
mod fold;
mod keyboard;
mod load;
mod outages;
mod overview;
mod prefix;
mod proxies;
mod shapes;
mod shown;
mod signing_in;
mod smooth;
mod tiles;

use curlew_integration::bridge::Bridge;
use curlew_integration::browser::{Browser, Page, Screen};
use curlew_integration::{eventually, http};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);

/// The tests that measure tasks take the machine for themselves; the other tests share it.
static MACHINE: RwLock<()> = RwLock::new(());

struct TestBridge {
    bridge: Bridge,
    _data: tempfile::TempDir,
    _machine: Option<RwLockReadGuard<'static, ()>>,
}

fn serve(options: &[&str]) -> TestBridge {
    let machine = MACHINE.read().unwrap_or_else(PoisonError::into_inner);
    TestBridge { _machine: Some(machine), ..serve_alone(options) }
}

fn serve_alone(options: &[&str]) -> TestBridge {
    let data = tempfile::tempdir().expect("temporary directory");
    TestBridge { bridge: Bridge::embedded(&data.path().join("data"), options), _data: data, _machine: None }
}

/// Starts a bridge with an auth file.
fn serve_with_auth(lines: &str) -> TestBridge {
    let file = std::env::temp_dir().join(format!("curlew-dashboard-{:08x}.toml", fastrand::u32(..)));
    std::fs::write(&file, lines).expect("auth file");
    let served = serve(&["--auth-file", file.to_str().expect("UTF-8")]);
    let _ = std::fs::remove_file(&file);
    served
}

impl TestBridge {
    fn url(&self, query: &str) -> String {
        format!("http://127.0.0.1:{}/{query}", self.bridge.port)
    }

    fn produce(&self, topic: &str, key: &str, value: &str) {
        let target = format!("/topics/{topic}?key={key}");
        self.bridge.post(&target, "text/plain", value).expect(200);
    }
}

/// Returns the rows of the list, newest first. The document holds only the visible rows, so the script scrolls through.
const ROWS: &str = r#"(async () => {
    const list = document.querySelector(".list");
    const seen = new Map();
    for (let top = 0; ; top += 300) {
        list.scrollTop = top;
        // Draws at once: on a busy machine, the scroll event of the browser may be late.
        list.dispatchEvent(new Event("scroll"));
        for (const row of list.querySelectorAll(".row:not([hidden])"))
            seen.set(Number(row.getAttribute("aria-posinset")), row.innerText);
        if (list.scrollTop < top) break;
    }
    list.scrollTop = 0;
    return [...seen].sort((a, b) => a[0] - b[0]).map((row) => row[1]);
})()"#;

#[track_caller]
fn assert_no_errors(page: &Page<'_>) {
    assert_eq!(page.errors(), Vec::<Value>::new());
}

#[test]
fn records_from_curl_appear_in_the_chart_and_the_list() {
    let (served, browser) = (serve(&[]), Browser::start());
    let overview = browser.open(&served.url(""), Screen::Light);
    overview.wait_for_text("curl");
    served.produce("machines", "boiler", r#"{"temperature": 81.5, "state": "ok"}"#);
    overview.wait_for_text("machines");
    let page = browser.open(&served.url("?topic=machines"), Screen::Light);
    page.wait_for_text("81.5");
    served.produce("machines", "pump-2", r#"{"temperature": 54.25}"#);
    page.wait_for_text("54.25");
    let text = page.text();
    assert!(text.contains("temperature") && text.contains("pump-2"), "{text}");
    let drawn = r#"[...document.querySelectorAll("canvas")].some((canvas) => {
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return data.some((value) => value !== 0);
    })"#;
    page.wait_until(drawn);
    served.produce("notes", "a", "not JSON");
    let notes = browser.open(&served.url("?topic=notes"), Screen::Light);
    notes.wait_for_text("not JSON");
    assert_eq!(notes.eval("document.querySelectorAll('canvas').length"), json!(0), "nothing to draw");
    [&overview, &page, &notes].into_iter().for_each(assert_no_errors);
}

#[test]
fn a_record_is_produced_from_the_page() {
    let (served, browser) = (serve(&[]), Browser::start());
    let page = browser.open(&served.url(""), Screen::Light);
    page.wait_for_text("Produce");
    page.eval(
        r#"(() => {
            document.getElementById("produce").click();
            const form = document.querySelector("dialog form");
            const [topic, key] = form.querySelectorAll("input");
            const value = form.querySelectorAll("textarea")[0];
            topic.value = "orders"; key.value = "k"; value.value = '{"n": 1}';
            value.dispatchEvent(new Event("input"));
            form.requestSubmit();
        })()"#,
    );
    eventually("the record is stored", SOON, || {
        let stored = served.bridge.get("/topics/orders/partitions/0/records");
        if stored.status == 200 && stored.text().contains(r#""n": 1"#) { Ok(()) } else { Err(stored.text()) }
    });
    page.wait_for_text("Written: partition 0, offset 0");
    assert_no_errors(&page);
}

#[test]
fn a_restart_is_shown_and_no_record_is_lost_or_duplicated() {
    let (mut served, browser) = (serve(&[]), Browser::start());
    (0..50).for_each(|n| served.produce("log", "k", &format!("number {n}")));
    let page = browser.open(&served.url("?topic=log"), Screen::Light);
    page.wait_for_text("number 49");
    assert_eq!(served.bridge.stop(), Some(0));
    page.wait_until("/reconnecting/.test(document.getElementById('state').innerText)");
    served.bridge.kill_and_restart();
    (50..120).for_each(|n| served.produce("log", "k", &format!("number {n}")));
    page.wait_for_text("number 119");
    served.bridge.kill_and_restart();
    (120..150).for_each(|n| served.produce("log", "k", &format!("number {n}")));
    page.wait_for_text("number 149");
    let rows = page.eval(ROWS);
    let rows: Vec<&str> = rows.as_array().expect("rows").iter().filter_map(Value::as_str).collect();
    let numbers: Vec<&str> = rows.iter().filter_map(|row| row.rsplit("number ").next()).map(str::trim).collect();
    let expected: Vec<String> = (0..150).rev().map(|n| n.to_string()).collect();
    assert_eq!(numbers, expected);
}

/// Returns the number of open streams of records.
fn record_streams(served: &TestBridge) -> u64 {
    let metrics = served.bridge.get("/metrics").text();
    let states = metrics.lines().filter(|line| line.starts_with("curlew_streams{"));
    states.map(|line| line.rsplit(' ').next().and_then(|n| n.parse::<u64>().ok()).expect(line)).sum()
}

#[test]
fn tabs_share_the_stream_of_records_and_only_visible_ones_have_another_for_their_charts() {
    // Three tabs: if they did not share the stream of records, or hidden ones kept their charts, streams would be rejected.
    let (served, browser) = (serve(&["--max-streams", "2"]), Browser::start());
    served.produce("a", "k", "first of a");
    served.produce("b", "k", "first of b");
    let live = "document.getElementById('state').innerText === 'Live'";
    let one = browser.open(&served.url("?topic=a"), Screen::Light);
    one.wait_for_text("first of a");
    one.wait_until(live);
    let other = browser.open(&served.url("?topic=b"), Screen::Light);
    other.wait_for_text("first of b");
    other.wait_until(live);
    let same = browser.open(&served.url("?topic=b"), Screen::Light);
    same.wait_for_text("first of b");
    served.produce("b", "k", "second of b");
    same.wait_for_text("second of b");
    same.wait_until(live);
    assert_eq!(record_streams(&served), 1);
    served.produce("a", "k", "second of a");
    // A hidden tab catches up when it becomes visible.
    one.bring_to_front();
    one.wait_for_text("second of a");
    one.wait_until(live);
    other.bring_to_front();
    other.wait_for_text("second of b");
    other.wait_until(live);
    for page in [&one, &other, &same] {
        let twice = page.eval("document.body.innerText.split('second of').length - 1");
        assert!(twice.as_u64().is_some_and(|twice| twice <= 2), "{}", page.text());
    }
}

#[test]
fn hostile_values_are_text_and_harmless() {
    let (served, browser) = (serve(&[]), Browser::start());
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    let hostile = [
        "<script>window.hacked = 1</script>".to_owned(),
        "</style><img src=x onerror='window.hacked = 1'>".to_owned(),
        r#"{"__proto__": {"hacked": 1}, "constructor": 5, "toString": 3}"#.to_owned(),
        r#"{"v": 1e308, "w": -1e308, "x": 1e999}"#.to_owned(),
        "{\"v\": NaN}".to_owned(),
        "\u{202e}right to left\u{0}\u{1b}[31m".to_owned(),
        format!("{{\"s\": \"{}\"}}", "x".repeat(1_000_000)),
        deep,
        r#"{"v": "javascript:alert(1)"}"#.to_owned(),
        r#"{"v": 3}"#.to_owned(),
    ];
    for (number, value) in hostile.iter().enumerate() {
        let target = format!("/topics/hostile?key={}", ["%3Cb%3Ek", "__proto__", "k"][number % 3]);
        let headers = [("content-type", "text/plain"), ("x-kafka-evil", "<img src=x onerror=hacked=1>")];
        served.bridge.request("POST", &target, &headers, value.as_bytes()).expect(200);
    }
    for query in ["", "?topic=hostile", "?topic=hostile&q=%3Cscript%3E", "?topic=%3Cscript%3Ehacked%3D1%3C%2Fscript%3E"]
    {
        let page = browser.open(&served.url(query), Screen::Light);
        page.wait_for_text(if query.contains("=hostile") { "<script>window.hacked" } else { "Curlew" });
        // Open each record in the list.
        page.eval(
            "(async () => { for (const row of document.querySelectorAll('.list .row:not([hidden])')) { row.click(); \
             await new Promise((done) => setTimeout(done, 50)); } })()",
        );
        assert_eq!(page.eval("window.hacked === undefined && ({}).hacked === undefined"), json!(true), "{query}");
        assert_eq!(page.eval("document.querySelectorAll('main script, main img').length"), json!(0), "{query}");
        assert_no_errors(&page);
    }
}

#[test]
fn the_pages_are_accessible_and_fit_every_screen() {
    let (served, browser) = (serve(&[]), Browser::start());
    for n in 0..20 {
        served.produce("machines", ["boiler", "fan"][n % 2], &format!("{{\"temperature\": {}}}", 40 + n));
    }
    let pictures = std::env::var("CURLEW_SCREENSHOTS").ok();
    let mut found = Vec::new();
    for screen in [Screen::Light, Screen::Dark, Screen::Phone] {
        for (name, query, ready) in [("overview", "", "machines"), ("topic", "?topic=machines", "temperature")] {
            let page = browser.open(&served.url(query), screen);
            page.wait_for_text(ready);
            found.extend(page.axe().into_iter().map(|finding| format!("{name} {screen:?}: {finding}")));
            if let Some(directory) = &pictures {
                page.screenshot(&format!("{directory}/{name}-{screen:?}.png"));
            }
            let wider = page.eval("document.documentElement.scrollWidth > innerWidth");
            assert_eq!(wider, json!(false), "{name} {screen:?} scrolls sideways");
            let low = page.eval("[...document.querySelectorAll('.list')].some((list) => list.clientHeight < 200)");
            assert_eq!(low, json!(false), "{name} {screen:?} has no room for records");
            page.eval("document.getElementById('produce').click()");
            found.extend(page.axe().into_iter().map(|finding| format!("produce {screen:?}: {finding}")));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_paused_page_counts_waiting_records_and_loses_none() {
    let (served, browser) = (serve(&[]), Browser::start());
    (0..5).for_each(|n| served.produce("log", "k", &format!("number {n}")));
    let page = browser.open(&served.url("?topic=log"), Screen::Light);
    page.wait_for_text("number 4");
    page.eval("document.getElementById('pause').click()");
    (5..12).for_each(|n| served.produce("log", "k", &format!("number {n}")));
    page.wait_for_text("7 waiting");
    assert!(!page.text().contains("number 5"), "{}", page.text());
    page.eval("document.getElementById('pause').click()");
    page.wait_for_text("number 11");
    let rows = page.eval(ROWS);
    assert_eq!(rows.as_array().map(Vec::len), Some(12), "{rows}");
    assert_no_errors(&page);
}

#[test]
fn the_url_holds_the_state_of_the_view() {
    let (served, browser) = (serve(&[]), Browser::start());
    (0..200).for_each(|n| served.produce("log", ["boiler", "fan"][n % 2], &format!("number {n} {}", n % 7)));
    let cases = [("q=number%2017%20", "number 17 "), ("key=fan&q=number%20199", "number 199"), ("at=42", "number 42 ")];
    for (query, shown) in cases {
        let page = browser.open(&served.url(&format!("?topic=log&{query}")), Screen::Light);
        page.wait_for_text(shown.trim_end());
        let rows = page.eval("document.querySelectorAll('.list .row:not([hidden])').length");
        assert!(query.starts_with("at") || rows == json!(1), "{query}: {rows} rows\n{}", page.text());
    }
    let page = browser.open(&served.url("?topic=log&window=10m"), Screen::Light);
    page.wait_for_text("number 199");
    assert_eq!(page.eval("document.getElementById('window').value"), json!("5m"), "an unknown window");
    page.eval(
        "(() => { const text = document.getElementById('filter-text'); text.value = 'number 7 '; \
         text.dispatchEvent(new Event('input')); })()",
    );
    page.wait_until("location.search.includes('q=number')");
    page.wait_until("document.querySelectorAll('.list .row:not([hidden])').length === 1");
}

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

#[test]
fn the_first_load_is_small() {
    let (served, browser) = (serve(&[]), Browser::start());
    let page = browser.open(&served.url(""), Screen::Light);
    page.wait_for_text("Topics");
    let bytes = page.eval(
        "performance.getEntriesByType('resource').concat(performance.getEntriesByType('navigation')) \
         .reduce((sum, entry) => sum + entry.transferSize, 0)",
    );
    println!("{bytes} bytes for the first load");
    assert!(bytes.as_u64().is_some_and(|bytes| bytes < 100_000), "{bytes}");
}
