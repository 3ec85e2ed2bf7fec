//! The dashboard behind a proxy: under a prefix, beside another bridge, and with a misconfigured proxy.

use crate::fold::{fold, log, readings, write};
use crate::shown::{pictures, wait_for_numbers};
use crate::{SOON, TestBridge, assert_no_errors, serve, serve_with_auth};
use curlew_integration::bridge::new_key;
use curlew_integration::browser::{Browser, Page, Screen};
use curlew_integration::eventually;
use curlew_integration::web_proxy::{Kind, WebProxy};
use serde_json::json;

/// Starts nginx with the location of the recipe twice, for the bridges under `/left/` and `/right/`.
fn side_by_side(left: u16, right: u16) -> WebProxy {
    let recipe = Kind::Nginx.recipe();
    let (begin, end) = (recipe.find("    location").expect("a location"), recipe.rfind('}').expect("an end"));
    let location =
        |prefix: &str, bridge: u16| recipe[begin..end].replace("/curlew/", prefix).replace("8080", &bridge.to_string());
    let locations = location("/left/", left) + &location("/right/", right);
    WebProxy::with(Kind::Nginx, &(recipe[..begin].to_owned() + &locations + "}\n"))
}

fn produce_from(page: &Page<'_>, topic: &str, value: &str) {
    page.eval(&format!(
        "(() => {{
            document.getElementById('produce').click();
            const form = document.querySelector('dialog form');
            form.querySelector('input').value = {};
            const value = form.querySelector('textarea[rows=\"8\"]');
            value.value = {};
            value.dispatchEvent(new Event('input'));
            form.requestSubmit();
        }})()",
        json!(topic),
        json!(value)
    ));
    page.wait_for_text("Written: partition 0");
    page.eval("document.querySelector('dialog[open]').close()");
}

#[test]
fn two_bridges_under_two_prefixes_show_their_own_topics() {
    let (left, right, browser) = (serve(&[]), serve(&[]), Browser::start());
    left.produce("of-left", "k", "on the left");
    right.produce("of-right", "k", "on the right");
    let proxy = side_by_side(left.bridge.port, right.bridge.port);
    // Tabs share a stream through a shared worker or through a leader tab.
    for share in ["", "&share=tab"] {
        // A URL without the trailing slash works too.
        let one = browser.open(&proxy.url(&format!("/left?{share}")), Screen::Light);
        let other = browser.open(&proxy.url(&format!("/right/?{share}")), Screen::Light);
        for (page, own, foreign) in [(&one, "of-left", "of-right"), (&other, "of-right", "of-left")] {
            page.bring_to_front();
            page.wait_for_text(own);
            assert!(!page.text().contains(foreign), "{}", page.text());
        }
        let one = browser.open(&proxy.url(&format!("/left/?topic=of-left{share}")), Screen::Light);
        one.wait_for_text("on the left");
        let other = browser.open(&proxy.url(&format!("/right/?topic=of-right{share}")), Screen::Light);
        other.wait_for_text("on the right");
        let fresh = format!("live on the right, {}", share.len());
        right.produce("of-right", "k", &fresh);
        other.wait_for_text(&fresh);
        one.bring_to_front();
        produce_from(&one, "of-left", &format!("written on the left, {}", share.len()));
        one.wait_for_text(&format!("written on the left, {}", share.len()));
        let curl = one.eval(
            "(async () => { document.querySelector('.list .row').click(); \
             const { curl } = await import(new URL('dashboard/format.js', location)); \
             return curl('t', { key: null, headers: [], value: 'x' }, 'x'); })()",
        );
        assert!(curl.as_str().is_some_and(|curl| curl.contains(&proxy.url("/left/topics/t"))), "{curl}");
        // Links of the page stay under the prefix.
        one.eval("document.querySelector('.home').click()");
        one.wait_until("location.pathname === '/left/' && location.search === ''");
        [&one, &other].into_iter().for_each(|page| assert_no_errors(page));
    }
}

#[test]
fn the_numbers_under_a_prefix_are_those_of_the_log() {
    let (served, browser) = (serve(&[]), Browser::start());
    let proxy = WebProxy::start(Kind::Nginx, served.bridge.port);
    let url = proxy.url("/curlew/?topic=plant");
    let expected = || fold(&log(&served.bridge, "plant", "temperature"), ..);
    write(&served.bridge, "plant", "temperature", &readings(10, 0..240, 0, &[(4, 200, 60.0)]));
    let page = browser.open(&url, Screen::Light);
    wait_for_numbers(&page, "temperature", &expected(), SOON);
    write(&served.bridge, "plant", "temperature", &readings(11, 0..1, 0, &[(7, 0, 70.5)]));
    wait_for_numbers(&page, "temperature", &expected(), SOON);
    let elsewhere = page.requests().into_iter().filter(|url| !url.starts_with(&proxy.url("/curlew/")));
    assert_eq!(elsewhere.collect::<Vec<_>>(), Vec::<String>::new());
    assert_no_errors(&page);
    pictures(&browser, &url, "prefix", |page| wait_for_numbers(page, "temperature", &expected(), SOON));
}

/// A bridge with one key, called `name`.
fn guarded(name: &str) -> (TestBridge, String) {
    let (key, lines) = new_key(name);
    (serve_with_auth(&lines), key)
}

#[test]
fn a_user_is_signed_in_to_two_bridges_under_two_prefixes() {
    let ((left, left_key), (right, right_key)) = (guarded("ann"), guarded("bob"));
    let (proxy, browser) = (side_by_side(left.bridge.port, right.bridge.port), Browser::start());
    let sign_in = |prefix: &str, key: &str| {
        let page = browser.open(&proxy.url(prefix), Screen::Light);
        page.sign_in("", key);
        page
    };
    let one = sign_in("/left/", &left_key);
    one.wait_for_text("Sign out ann");
    let other = sign_in("/right/", &right_key);
    other.wait_for_text("Sign out bob");
    for (prefix, name) in [("/left/", "Sign out ann"), ("/right/", "Sign out bob")] {
        browser.open(&proxy.url(prefix), Screen::Light).wait_for_text(name);
    }
    other.eval("setTimeout(() => document.getElementById('sign-out').click(), 100); 0");
    other.wait_until("document.querySelector('dialog.session')?.open === true");
    browser.open(&proxy.url("/left/"), Screen::Light).wait_for_text("Sign out ann");
}

#[test]
fn a_proxy_that_replaces_the_host_is_reported_on_the_page_and_once_in_the_log() {
    let (served, browser) = (serve(&[]), Browser::start());
    let without_host = Kind::Nginx.recipe().replace("proxy_set_header Host $http_host;", "");
    let proxy = WebProxy::with(Kind::Nginx, &without_host.replace("8080", &served.bridge.port.to_string()));
    for _ in 0..2 {
        let page = browser.open(&proxy.url("/curlew/"), Screen::Light);
        let origin = proxy.url("");
        page.wait_for_text(&format!("start the bridge with --cors-origin {origin}"));
        page.wait_for_text("proxy_set_header Host $http_host");
        assert_eq!(page.axe(), Vec::<serde_json::Value>::new());
        if let Ok(directory) = std::env::var("CURLEW_SCREENSHOTS") {
            page.screenshot(&format!("{directory}/rejected.png"));
        }
    }
    let log = eventually("a line of the log", SOON, || match served.bridge.log() {
        log if log.contains("rejected a request") => Ok(log),
        log => Err(log),
    });
    assert_eq!(log.matches("rejected a request").count(), 1, "{log}");
}

#[test]
fn a_page_whose_files_do_not_load_explains_the_cause() {
    let (served, browser) = (serve(&[]), Browser::start());
    // The page comes from the bridge, but its files do not.
    let recipe = Kind::Nginx.recipe().replace("location /curlew/", "location = /curlew");
    let proxy = WebProxy::with(Kind::Nginx, &recipe.replace("8080", &served.bridge.port.to_string()));
    let page = browser.open(&proxy.url("/curlew"), Screen::Light);
    page.wait_for_text("its address must end with a slash");
    if let Ok(directory) = std::env::var("CURLEW_SCREENSHOTS") {
        page.screenshot(&format!("{directory}/elsewhere.png"));
    }
}
