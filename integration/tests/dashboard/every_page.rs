//! Every page treats hostile values as text, is accessible, fits the screen, and is small.

use crate::{assert_no_errors, serve};
use curlew_integration::browser::{Browser, Screen};
use serde_json::json;

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
