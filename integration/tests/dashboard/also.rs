//! Several topics on one page.

use super::{assert_no_errors, serve};
use curlew_integration::browser::{Browser, Screen};
use serde_json::json;

const TITLES: &str = "[...document.querySelectorAll('.also h2')].map((title) => title.innerText)";

#[test]
fn the_charts_of_more_topics_share_the_range_and_the_pointer() {
    let (served, browser) = (serve(&[]), Browser::start());
    served.produce("plant", "boiler", r#"{"temperature": 81.5}"#);
    served.produce("hall", "roof", r#"{"temperature": 19.25, "humidity": 50}"#);
    for screen in [Screen::Light, Screen::Dark, Screen::Phone] {
        let page = browser.open(&served.url("?topic=plant&also=hall"), screen);
        page.wait_until("document.querySelectorAll('canvas.plot').length === 3");
        page.wait_until("document.querySelector('.also .legend')?.innerText.includes('roof')");
        // Only what is on the screen is drawn.
        page.eval("document.querySelectorAll('.also .chart')[1].scrollIntoView()");
        page.wait_for_text("19.25");
        assert_eq!(page.axe(), Vec::<serde_json::Value>::new(), "{screen:?}");
        assert_eq!(page.eval("document.documentElement.scrollWidth > innerWidth"), json!(false), "{screen:?}");
    }
    let page = browser.open(&served.url("?topic=plant&also=hall"), Screen::Light);
    page.wait_until("document.querySelectorAll('canvas.plot').length === 3");
    // The vertical line below the pointer is in every chart.
    let line = r#"((at) => { const [first, ...others] = document.querySelectorAll("canvas.plot");
        const { left, top, width } = first.getBoundingClientRect();
        first.dispatchEvent(new PointerEvent("pointermove", { clientX: left + at * width, clientY: top + 20 }));
        return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(others.map((canvas) => {
            const x = Math.round(at * canvas.width);
            const { data } = canvas.getContext("2d").getImageData(x - 3, canvas.height / 2, 6, 1);
            return Math.max(...data.filter((_, i) => i % 4 === 3));
        }))))); })"#;
    page.eval("document.querySelector('.also').scrollIntoView()");
    page.wait_until(&format!(
        "{line}(0.5).then((lines) => lines.length === 2 && lines.every((alpha) => alpha === 255))"
    ));
    // Another window is that of all topics.
    page.eval("(() => { const select = document.getElementById('window'); select.value = '1h'; select.dispatchEvent(new Event('change')); })()");
    page.wait_until("[...document.querySelectorAll('.note')].filter((note) => note.innerText.includes('Each point is 10 s')).length === 2");
    assert_no_errors(&page);
}

#[test]
fn topics_are_added_and_removed() {
    let (served, browser) = (serve(&[]), Browser::start());
    served.produce("plant", "boiler", r#"{"temperature": 81.5}"#);
    served.produce("hall", "roof", r#"{"humidity": 50}"#);
    let page = browser.open(&served.url("?topic=plant"), Screen::Light);
    page.wait_for_text("81.5");
    let add = |name: &str| {
        page.eval(&format!(
            "(() => {{ const form = [...document.querySelectorAll('details')].find((menu) => menu.innerText.includes('Add topic')).querySelector('form'); \
             form.querySelector('input').value = {}; form.requestSubmit(); return form.textContent; }})()",
            json!(name)
        ))
    };
    add("hall");
    page.wait_until("document.querySelector('.also .legend')?.innerText.includes('roof')");
    assert_eq!(page.eval("new URLSearchParams(location.search).get('also')"), json!("hall"));
    for (name, reason) in
        [("hall", "on the page already"), ("plant", "on the page already"), ("a b", "not a topic name")]
    {
        assert!(add(name).as_str().is_some_and(|text| text.contains(reason)), "{name}");
    }
    add("later");
    page.wait_until(&format!("({TITLES}).join() === 'hall,later'"));
    assert!(add("fourth").as_str().is_some_and(|text| text.contains("up to 3 topics")));
    // A topic that does not exist yet is drawn when it does.
    served.produce("later", "k", r#"{"level": 7.75}"#);
    page.wait_until("document.querySelectorAll('.also .chart').length === 2");
    page.eval("document.querySelectorAll('.also')[1].scrollIntoView()");
    page.wait_for_text("7.75");
    page.eval("document.querySelector('.also button[aria-label=\"Remove hall from the page\"]').click()");
    assert_eq!(page.eval(TITLES), json!(["later"]));
    assert_eq!(page.eval("new URLSearchParams(location.search).get('also')"), json!("later"));
    assert_no_errors(&page);
}
