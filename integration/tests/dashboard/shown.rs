//! What a user reads on the page of a topic: its state, the legend of a chart, the table of a chart, the notes.

use crate::SOON;
use crate::fold::{KeySummary, Summaries};
use curlew_integration::browser::{Browser, Page, Screen};
use curlew_integration::eventually;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How long a page may say that it is live after records were written that it does not show yet. The page asks for the
/// end offsets every two seconds, and charts have steps of at least a second.
const LATE: Duration = Duration::from_secs(5);

/// Returns the card with the title `FIELD`, unless it is hidden.
const CARD: &str = "[...document.querySelectorAll('.chart')].find((card) => !card.hidden && card.querySelector('h3')?.textContent === FIELD)";

fn in_card(field: &str, script: &str) -> String {
    let card = CARD.replace("FIELD", &json!(field).to_string());
    format!("(() => {{ const card = {card}; if (!card) return null; {script} }})()")
}

pub fn state(page: &Page<'_>) -> String {
    page.eval("document.getElementById('state').innerText").as_str().unwrap_or_default().to_owned()
}

/// Waits until the state of the page begins with `text`.
#[track_caller]
pub fn wait_for_state(page: &Page<'_>, text: &str, limit: Duration) {
    eventually(text, limit, || match state(page) {
        state if state.starts_with(text) => Ok(()),
        state => Err(format!("the page says {state:?}")),
    });
}

/// Returns the rows of the list, newest first. The document holds only the visible rows, so the script scrolls through.
pub fn rows(page: &Page<'_>) -> Vec<String> {
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
    serde_json::from_value(page.eval(ROWS)).expect("rows")
}

/// Returns the number of records that the list has received.
pub fn listed(page: &Page<'_>) -> usize {
    let text = page.eval("document.querySelector('.records header .muted').innerText");
    let first = text.as_str().unwrap_or_default().split_whitespace().next().unwrap_or_default().replace(',', "");
    first.parse().unwrap_or_default()
}

/// Returns the number of records that a state says the page is behind.
pub fn behind(state: &str) -> Option<usize> {
    let (_, rest) = state.to_lowercase().split_once("behind by ").map(|(a, b)| (a.to_owned(), b.to_owned()))?;
    rest.split_once(" record")?.0.replace(',', "").parse().ok()
}

fn number(text: &str) -> Option<f64> {
    text.replace(',', "").parse().ok()
}

fn row(cells: &Value) -> Option<(String, KeySummary)> {
    let cell = |index: usize| number(cells[index].as_str()?);
    let key = cells[0].as_str()?.to_owned();
    Some((key, KeySummary { current: cell(1)?, min: cell(2)?, max: cell(3)? }))
}

/// Returns the rows of a legend. A key without numbers in the window is left out.
pub fn legend(page: &Page<'_>, field: &str) -> Summaries {
    let rows = page.eval(&in_card(
        field,
        "return [...card.querySelectorAll('.legend tbody tr')].map((row) => \
         [row.querySelector('bdi').textContent, ...[...row.querySelectorAll('td')].map((cell) => cell.textContent)]);",
    ));
    rows.as_array().into_iter().flatten().filter_map(row).collect()
}

/// Types a text into the search of a legend.
pub fn search(page: &Page<'_>, field: &str, text: &str) {
    page.eval(&in_card(
        field,
        &format!(
            "const search = card.querySelector('.legend-search'); search.value = {}; \
             search.dispatchEvent(new Event('input', {{ bubbles: true }}));",
            json!(text)
        ),
    ));
}

/// Opens the table of a chart, and returns its cells by column.
pub fn table(page: &Page<'_>, field: &str) -> Value {
    page.eval(&in_card(
        field,
        "const shown = card.querySelector('.data-table'); \
         if (shown.hidden) [...card.querySelectorAll('header button')].find((one) => one.textContent === 'Table').click(); \
         const cells = (row) => [...row.children].map((cell) => cell.textContent); \
         const [head, ...rows] = [...shown.querySelectorAll('tr')].map(cells); \
         return Object.fromEntries(head.map((name, at) => [name, rows.map((row) => row[at])]));",
    ))
}

/// Waits until a legend shows exactly these numbers, whether the page is live or not.
#[track_caller]
pub fn wait_for_legend(page: &Page<'_>, field: &str, expected: &Summaries) {
    eventually("the numbers of the log", SOON, || match legend(page, field) {
        shown if shown == *expected => Ok(()),
        shown => Err(format!("{}; the page contains {:.2000}", differences(expected, &shown), page.text())),
    });
}

/// Waits until the page is live and a legend shows exactly these numbers. Until then, the page must not say for long that
/// it is live.
#[track_caller]
pub fn wait_for_numbers(page: &Page<'_>, field: &str, expected: &Summaries, limit: Duration) {
    let mut live_since = None;
    eventually("the numbers of the log", limit, || {
        let (before, shown, after) = (state(page), legend(page, field), state(page));
        let is_live = before == "Live" && after == "Live";
        if shown == *expected {
            return if is_live { Ok(()) } else { Err(format!("the page says {after:?}")) };
        }
        let differences = differences(expected, &shown);
        live_since = live_since.filter(|_| is_live).or(is_live.then(Instant::now));
        let is_wrong = live_since.is_some_and(|since| since.elapsed() > LATE);
        let notes = page.eval("[...document.querySelectorAll('.note:not([hidden])')].map((note) => note.innerText)");
        assert!(!is_wrong, "the page says that it is live, but: {differences}; notes: {notes}");
        Err(format!("the page says {after:?}; {differences}; notes: {notes}"))
    });
}

/// Describes the first differences.
fn differences(expected: &Summaries, shown: &Summaries) -> String {
    let missing = expected.keys().filter(|key| !shown.contains_key(*key)).count();
    let unexpected = shown.keys().filter(|key| !expected.contains_key(*key)).count();
    let wrong: Vec<String> = expected
        .iter()
        .filter_map(|(key, right)| {
            let wrong = shown.get(key).filter(|shown| *shown != right)?;
            Some(format!("{key} is {wrong:?} instead of {right:?}"))
        })
        .collect();
    let first = wrong.iter().take(3).cloned().collect::<Vec<_>>().join("; ");
    format!("{missing} keys are missing, {unexpected} unexpected, {} wrong: {first}", wrong.len())
}

/// Opens a page in every screen, and stores pictures if `CURLEW_SCREENSHOTS` names a directory.
pub fn pictures(browser: &Browser, url: &str, name: &str, ready: impl Fn(&Page<'_>)) {
    let Ok(directory) = std::env::var("CURLEW_SCREENSHOTS") else { return };
    for screen in [Screen::Light, Screen::Dark, Screen::Phone] {
        let page = browser.open(url, screen);
        ready(&page);
        page.screenshot(&format!("{directory}/{name}-{screen:?}.png"));
    }
}
