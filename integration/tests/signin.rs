//! Signing in, pages of other origins, and attacks from malicious pages, in a real Chromium with real cookies.

use curlew_integration::bridge::{Bridge, new_key, run, run_with_input};
use curlew_integration::browser::{Browser, Screen};
use curlew_integration::http;
use serde_json::{Value, json};
use std::io::Write;
use std::net::TcpListener;
use std::path::PathBuf;

/// A bridge with an auth file, and a key with all rights.
struct Guarded {
    bridge: Bridge,
    key: String,
    file: PathBuf,
    _directory: tempfile::TempDir,
}

fn serve(options: &[&str]) -> Guarded {
    let directory = tempfile::tempdir().expect("temporary directory");
    let (key, lines) = new_key("ann");
    let file = directory.path().join("auth.toml");
    let text = format!("ticket_secret = \"0123456789abcdef0123456789abcdef\"\n{lines}");
    std::fs::write(&file, text).expect("auth file");
    let auth = ["--auth-file", file.to_str().expect("UTF-8"), "--log-level", "trace"];
    let bridge = Bridge::embedded(&directory.path().join("data"), &[&auth[..], options].concat());
    Guarded { bridge, key, file, _directory: directory }
}

impl Guarded {
    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.bridge.port)
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> http::Response {
        let bearer = format!("Bearer {}", self.key);
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "text/plain")];
        self.bridge.request(method, path, &headers, body.as_bytes())
    }

    fn produce(&self, topic: &str, value: &str) {
        self.ask("POST", &format!("/topics/{topic}"), value).expect(200);
    }

    /// Asserts that the log contains neither the key nor any of `secrets`.
    #[track_caller]
    fn assert_discreet(&self, secrets: &[&str]) {
        let log = self.bridge.log();
        for secret in [&[self.key.as_str()], secrets].concat() {
            assert!(!log.contains(secret), "the log contains {secret}");
        }
    }
}

/// Serves one empty page at another origin. Returns its URL.
fn site(host: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{host}:{}", listener.local_addr().expect("address").port());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                if !http::skip_head(&stream) {
                    return;
                }
                let page = "<!doctype html><meta charset=utf-8><title>a site</title><body>a site";
                let head = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n";
                let _ = write!(stream, "{head}content-length: {}\r\n\r\n{page}", page.len());
            });
        }
    });
    url
}

#[test]
fn the_dashboard_signs_in_works_and_signs_out() {
    let (served, browser) = (serve(&[]), Browser::start());
    served.produce("machines", r#"{"temperature": 81.5}"#);
    let page = browser.open(&served.url("/?topic=machines"), Screen::Light);
    page.sign_in("", "curlew_wrong");
    page.wait_for_text("The name, or the password, key or token is not valid.");
    assert_eq!(page.axe(), Vec::<Value>::new());
    page.sign_in("", &served.key);
    page.wait_for_text("Sign out ann");
    page.wait_for_text("81.5");
    served.produce("machines", r#"{"temperature": 54.25}"#);
    page.wait_for_text("54.25");
    assert_eq!(page.eval("document.cookie"), json!(""), "scripts cannot read the session cookie");
    // Another tab is signed in too.
    let other = browser.open(&served.url("/"), Screen::Light);
    other.wait_for_text("Sign out ann");
    other.wait_for_text("machines");
    let produced = "fetch('/topics/orders', { method: 'POST', body: 'x' }).then((answer) => answer.status)";
    assert_eq!(other.eval(produced), json!(200));
    other.eval("setTimeout(() => document.getElementById('sign-out').click(), 200); 0");
    page.bring_to_front();
    page.wait_until("document.querySelector('dialog.session').open");
    // Signing out reloads the page.
    other.wait_until("document.querySelector('dialog.session')?.open === true");
    // The reloaded page contains no data.
    other.wait_until("!document.body.innerText.includes('machines')");
    assert_eq!(other.eval("fetch('/topics').then((answer) => answer.status)"), json!(401));
    for page in [&page, &other] {
        assert_eq!(page.errors(), Vec::<Value>::new());
    }
    served.assert_discreet(&[]);
}

#[test]
fn a_page_of_a_listed_origin_reads_with_a_ticket_across_a_restart() {
    let site = site("127.0.0.1");
    let mut served = serve(&["--cors-origin", &site]);
    let browser = Browser::start();
    served.produce("t", "one");
    let page = browser.open(&site, Screen::Light);
    let (bridge, key) = (served.url(""), json!(served.key));
    page.eval(&format!(
        "globalThis.bridge = '{bridge}'; globalThis.headers = {{ authorization: 'Bearer ' + {key} }}; 0"
    ));
    // `Authorization` requires a preflight; the page may read the response.
    assert_eq!(page.eval("fetch(bridge + '/topics', { headers }).then((a) => a.json())"), json!(["t"]));
    assert_eq!(page.eval("fetch(bridge + '/topics').then((a) => a.status)"), json!(401));
    let ticket = page.eval(
        "fetch(bridge + '/tickets', { method: 'POST', headers, body: '{\"topics\":[\"t\"]}' })
            .then((a) => a.json()).then(({ ticket }) => ticket)",
    );
    let ticket = ticket.as_str().expect("a ticket").to_owned();
    page.eval(&format!(
        "globalThis.seen = []; globalThis.problem = null;
         globalThis.source = new EventSource(bridge + '/topics/t/events?from=earliest&ticket={ticket}');
         source.onmessage = (event) => seen.push(event.data);
         source.addEventListener('problem', (event) => (problem = JSON.parse(event.data))); 0"
    ));
    page.wait_until("seen.join() === 'one'");
    served.produce("t", "two");
    page.wait_until("seen.join() === 'one,two'");
    served.bridge.kill_and_restart();
    served.produce("t", "three");
    page.wait_until("seen.join() === 'one,two,three'");
    // An invalid id that is too long to be sent without a preflight. The page can read the error.
    let long = "A".repeat(300);
    let asked = format!(
        "fetch(bridge + '/topics/t/events', {{ headers: {{ ...headers, 'last-event-id': '{long}' }} }})
            .then((a) => a.status)"
    );
    assert_eq!(page.eval(&asked), json!(400));
    // Removing the key from the file ends the stream with a reason.
    std::fs::write(&served.file, "").expect("auth file");
    page.wait_until("problem?.status === 401");
    page.wait_until("source.readyState === EventSource.CLOSED");
    served.assert_discreet(&[&ticket]);
}

/// Attacks that a page can try without CORS: an `EventSource`, a script and a form.
const STREAM: &str = "new Promise((done) => {
    const source = new EventSource(bridge + '/topics/private/events?from=earliest', { withCredentials: true });
    source.onmessage = (event) => done(event.data);
    source.onerror = () => done(source.readyState);
})";
const SCRIPT: &str = "new Promise((done) => {
    const script = document.createElement('script');
    script.src = bridge + '/topics/private/partitions/0/records';
    script.onload = () => done('ran');
    script.onerror = () => done('refused');
    document.body.append(script);
})";
/// A form needs no preflight, and the browser attaches cookies to it.
const FORM: &str = "new Promise((done) => {
    const frame = document.createElement('iframe');
    frame.name = 'f';
    document.body.append(frame);
    const form = document.createElement('form');
    form.action = bridge + '/topics/private';
    form.method = 'POST';
    form.enctype = 'text/plain';
    form.target = 'f';
    const input = document.createElement('input');
    input.name = 'a';
    form.append(input);
    document.body.append(form);
    frame.onload = () => frame.contentWindow.length === 0 && done('sent');
    form.submit();
    setTimeout(() => done('late'), 3000);
})";

#[test]
fn a_malicious_page_can_neither_read_nor_write() {
    // A page on another port belongs to the same site, so the browser attaches the cookie.
    let sites = [site("127.0.0.1"), site("localhost")];
    let (served, browser) = (serve(&[]), Browser::start());
    served.produce("private", "precious");
    let dashboard = browser.open(&served.url("/"), Screen::Light);
    dashboard.sign_in("", &served.key);
    dashboard.wait_for_text("Sign out ann");
    for attacker in &sites {
        let page = browser.open(attacker, Screen::Light);
        page.eval(&format!("globalThis.bridge = '{}'; 0", served.url("")));
        for credentials in ["include", "omit"] {
            for target in ["/topics", "/topics/private/partitions/0/records", "/login"] {
                let read = format!(
                    "fetch(bridge + '{target}', {{ credentials: '{credentials}' }}).then((a) => a.text(), () => 'kept')"
                );
                assert_eq!(page.eval(&read), json!("kept"), "{attacker} {target} {credentials}");
            }
            page.eval(&format!(
                "fetch(bridge + '/topics/private', {{ method: 'POST', mode: 'no-cors', credentials: '{credentials}', \
                 body: 'forged' }}).then(() => 0, () => 0)"
            ));
        }
        assert_eq!(page.eval(STREAM), json!(2), "the stream is closed");
        assert_eq!(page.eval(SCRIPT), json!("refused"));
        page.eval(FORM);
    }
    // DNS rebinding: the attacker's name resolves to this machine.
    let rebound = browser.open(&format!("http://rebind.localhost:{}/topics", served.bridge.port), Screen::Light);
    rebound.wait_for_text("this bridge listens on loopback only");
    let records = served.ask("GET", "/topics/private/partitions/0/records", "").expect(200).json();
    assert_eq!(records["next_offset"], json!(1), "nothing was forged: {records}");
    served.assert_discreet(&[]);
}

#[test]
fn a_value_is_shown_as_text_even_if_it_contains_markup() {
    let (served, browser) = (serve(&[]), Browser::start());
    let attack = r#"<img src=x onerror="globalThis.pwned=1"><script>globalThis.pwned=1</script>"#;
    served.produce("evil", &json!({"html": attack, "constructor": attack}).to_string());
    served.produce("evil", r#"{"__proto__": {"pwned": 1}}"#);
    let key: String = attack.bytes().map(|byte| format!("%{byte:02X}")).collect();
    served.ask("POST", &format!("/topics/evil?key={key}"), attack).expect(200);
    let page = browser.open(&served.url("/?topic=evil"), Screen::Light);
    page.sign_in("", &served.key);
    page.wait_for_text("onerror");
    page.eval("document.querySelectorAll('.row').forEach((row) => row.click())");
    page.wait_until("document.querySelector('.detail') !== null");
    assert_eq!(page.eval("globalThis.pwned ?? ({}).pwned ?? null"), Value::Null);
    assert_eq!(page.eval("document.querySelectorAll('main img, main script').length"), json!(0));
    assert_eq!(page.errors(), Vec::<Value>::new());
}

#[test]
fn the_terminal_sends_its_token_to_the_bridge_and_never_prints_it() {
    let served = serve(&[]);
    let url = served.url("");
    let produce = |token: &str| run_with_input(&["produce", "t", "--url", &url, "--token", token], b"one\ntwo\n");
    let fixed = ["consume", "t", "--url", &url, "--from", "earliest", "--until-end", "--token"];
    let consume = |token: &str| run(&[&fixed[..], &[token]].concat());
    for token in [served.key.clone(), format!("ann:{}", served.key)] {
        let output = produce(&token);
        assert!(output.status.success(), "{output:?}");
    }
    let read = consume(&served.key);
    assert_eq!(String::from_utf8_lossy(&read.stdout).lines().count(), 4, "{read:?}");
    for output in [produce("curlew_wrong"), consume("curlew_wrong"), consume("ann:curlew_wrong")] {
        let printed = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{printed}");
        assert!(printed.contains("unknown key") && !printed.contains("curlew_wrong"), "{printed}");
    }
    served.assert_discreet(&["curlew_wrong"]);
}
