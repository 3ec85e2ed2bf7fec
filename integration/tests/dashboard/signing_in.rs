//! Signing in with each kind of credentials, and the command that an empty page shows.

use crate::{TestBridge, assert_no_errors, serve, serve_with_auth};
use curlew_integration::bridge::{new_key, run_with_input};
use curlew_integration::browser::{Browser, Page, Screen};
use serde_json::{Value, json};
use std::process::Command;

const PASSWORD: &str = "correct horse battery";
const TOKEN_SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A bridge with three clients: `ann` has a key, `bob` has a password, and the third one has tokens. Returns it with the key.
fn guarded() -> (TestBridge, String) {
    let (key, lines) = new_key("ann");
    let hashed = run_with_input(&["key", "password", "--name", "bob"], format!("{PASSWORD}\n").as_bytes());
    let hashed = String::from_utf8(hashed.stdout).expect("UTF-8");
    let tokens =
        format!("[[jwt]]\nname = \"idp\"\nissuer = \"tests\"\nsecret = \"{TOKEN_SECRET}\"\nproduce = [\"*\"]\n");
    (serve_with_auth(&format!("{lines}\n{hashed}\n{tokens}")), key)
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
    page.sign_in("bob", "a wrong password");
    page.wait_for_text("is not valid");
    let clients = [
        ("ann", key.as_str(), "ann"),
        ("", key.as_str(), "ann"),
        ("bob", PASSWORD, "bob"),
        ("carl", token.as_str(), "idp/carl"),
        ("", token.as_str(), "idp/carl"),
    ];
    for (name, secret, shown) in clients {
        page.sign_in(name, secret);
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
            page.sign_in("bob", PASSWORD);
        }
        page.wait_for_text("No records yet");
        let command = page.eval("document.querySelector('.command code').innerText");
        let command = command.as_str().expect("a command").to_owned();
        assert_eq!(command.contains("-u 'bob'"), is_guarded, "{command}");
        assert_eq!(page.text().contains("curl asks for a password"), is_guarded);
        assert_eq!(page.axe(), Vec::<Value>::new());
        // A terminal asks for the password.
        let command = command.replace("-u 'bob'", &format!("-u 'bob:{PASSWORD}'"));
        let output = Command::new("timeout").args(["60", "sh", "-c", &command]).output().expect("timeout");
        assert!(String::from_utf8_lossy(&output.stdout).contains("\"offset\":0"), "{command}: {output:?}");
        page.wait_for_text("readings");
        page.wait_for_text("boiler: {\"temperature\":21.5}");
        assert_no_errors(&page);
    }
}
