//! The keyboard shortcuts.

use super::{assert_no_errors, serve};
use curlew_integration::browser::{Browser, Page, Screen};
use serde_json::{Value, json};

fn press(page: &Page<'_>, key: &str) {
    let key = json!(key);
    page.eval(&format!(
        "document.body.dispatchEvent(new KeyboardEvent('keydown', {{ key: {key}, bubbles: true, cancelable: true }}))"
    ));
}

/// Returns a parameter of the URL as a number.
fn number(page: &Page<'_>, name: &str) -> f64 {
    let value = page.eval(&format!("new URLSearchParams(location.search).get('{name}')"));
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{name} is {value}"))
}

#[test]
fn the_keyboard_moves_the_range() {
    let (served, browser) = (serve(&[]), Browser::start());
    served.produce("plant", "boiler", r#"{"temperature": 81.5}"#);
    let page = browser.open(&served.url("?topic=plant"), Screen::Light);
    page.wait_for_text("81.5");
    let window = || page.eval("document.getElementById('window').value");
    press(&page, "-");
    assert_eq!(window(), json!("15m"));
    press(&page, "+");
    press(&page, "+");
    assert_eq!(window(), json!("1m"));
    press(&page, "ArrowRight");
    assert_eq!(window(), json!("1m"), "nothing is later than now");
    press(&page, "ArrowLeft");
    let (from, to) = (number(&page, "from"), number(&page, "to"));
    assert!((59_000.0..61_000.0).contains(&(to - from)), "{from} to {to}");
    page.wait_for_text("not live");
    press(&page, "ArrowLeft");
    assert!((29_000.0..31_000.0).contains(&(to - number(&page, "to"))));
    press(&page, "+");
    assert!((19_000.0..21_000.0).contains(&(number(&page, "to") - number(&page, "from"))));
    press(&page, "l");
    assert_eq!(window(), json!("1m"));
    assert_eq!(page.eval("location.search.includes('from')"), json!(false));
    press(&page, "ArrowLeft");
    press(&page, "ArrowRight");
    assert_eq!(window(), json!("1m"), "a range that reaches now is live");
    assert_no_errors(&page);
}

#[test]
fn the_shortcuts_are_listed() {
    let (served, browser) = (serve(&[]), Browser::start());
    served.produce("plant", "boiler", r#"{"temperature": 81.5}"#);
    let page = browser.open(&served.url("?topic=plant"), Screen::Dark);
    page.wait_for_text("81.5");
    press(&page, "?");
    page.wait_until("document.querySelector('dialog.shortcuts').open");
    for text in ["Space", "Zoom in", "Zoom out", "earlier", "later", "Back to live", "Produce", "Search"] {
        page.wait_for_text(text);
    }
    assert_eq!(page.axe(), Vec::<Value>::new());
    page.eval("document.querySelector('dialog.shortcuts button').click()");
    // A shortcut is not one while a control has the focus.
    page.eval("document.getElementById('filter-text').focus()");
    page.eval("document.activeElement.dispatchEvent(new KeyboardEvent('keydown', { key: 'p', bubbles: true }))");
    assert_eq!(page.eval("document.querySelector('dialog.produce').open"), json!(false));
    page.eval("document.activeElement.blur()");
    press(&page, "p");
    assert_eq!(page.eval("document.querySelector('dialog.produce').open"), json!(true));
    assert_no_errors(&page);
}
