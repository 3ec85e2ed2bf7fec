//! A real Chromium: `clients/browser.mjs` drives it.

use crate::eventually;
use crate::process::Process;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A browser with a fresh profile. Its pages share workers and storage, like the tabs of a user.
pub struct Browser {
    /// `None` while the browser shuts down.
    pipes: Mutex<Option<(ChildStdin, BufReader<ChildStdout>)>>,
    process: Process,
    _directory: tempfile::TempDir,
}

/// A tab.
pub struct Page<'a> {
    browser: &'a Browser,
    name: String,
}

/// The colour scheme and the size of the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Screen {
    Light,
    Dark,
    Phone,
}

impl Browser {
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        let log = directory.path().join("log");
        let stderr = std::fs::File::create(&log).expect("log file");
        let mut node = Command::new("node");
        node.arg(crate::file("clients/browser.mjs"))
            .env("CURLEW_CACHE", crate::cache())
            .env("CHROMIUM", chromium())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr);
        let mut process = Process::start_with_stdio("the browser", node, &log);
        let stdin = process.child().stdin.take().expect("stdin");
        let stdout = process.child().stdout.take().expect("stdout");
        Self { pipes: Mutex::new(Some((stdin, BufReader::new(stdout)))), process, _directory: directory }
    }

    pub fn open(&self, url: &str, screen: Screen) -> Page<'_> {
        let name = format!("{:08x}", fastrand::u32(..));
        let (width, height) = if screen == Screen::Phone { (390, 844) } else { (1280, 800) };
        let scheme = if screen == Screen::Dark { "dark" } else { "light" };
        let media = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.call(json!({"do": "open", "page": name, "url": url, "width": width, "height": height, "media": media}));
        Page { browser: self, name }
    }

    #[track_caller]
    fn call(&self, command: Value) -> Value {
        self.try_call(&command).unwrap_or_else(|e| panic!("{e}\ncommand: {command:.300}"))
    }

    fn try_call(&self, command: &Value) -> Result<Value, String> {
        let mut pipes = self.pipes.lock().expect("lock");
        let (stdin, stdout) = pipes.as_mut().ok_or("the browser is shutting down")?;
        writeln!(stdin, "{command}").map_err(|e| format!("the browser has ended: {e}"))?;
        let mut line = String::new();
        stdout.read_line(&mut line).map_err(|e| format!("the browser has ended: {e}"))?;
        let mut response: Value = serde_json::from_str(&line).map_err(|e| format!("the browser has ended: {e}"))?;
        match response["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(response["ok"].take()),
        }
    }
}

impl Drop for Browser {
    /// Closes the pipe, so that the browser exits. If it were killed, its child processes would remain.
    fn drop(&mut self) {
        drop(self.pipes.lock().unwrap_or_else(PoisonError::into_inner).take());
        if !std::thread::panicking() {
            self.process.wait(Duration::from_secs(20));
        }
    }
}

fn chromium() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let names = ["chromium", "chromium-browser", "google-chrome"].into_iter();
    let paths = names.flat_map(|name| directories.iter().map(move |directory| directory.join(name)));
    paths.into_iter().find(|path| path.is_file()).expect("run integration/setup first")
}

impl Page<'_> {
    /// Evaluates an expression in the page, and awaits it if it is a promise.
    #[track_caller]
    pub fn eval(&self, script: &str) -> Value {
        self.try_eval(script).unwrap_or_else(|e| panic!("{e}\nscript: {script:.300}"))
    }

    fn try_eval(&self, script: &str) -> Result<Value, String> {
        self.browser.try_call(&json!({"do": "eval", "page": self.name, "script": script}))
    }

    #[track_caller]
    pub fn text(&self) -> String {
        self.eval("document.body.innerText").as_str().unwrap_or_default().to_owned()
    }

    /// Waits until an expression is true. Retries errors, which happen while the page reloads.
    #[track_caller]
    pub fn wait_until(&self, script: &str) {
        eventually(script, Duration::from_secs(30), || match self.try_eval(script)? {
            Value::Bool(true) => Ok(()),
            other => Err(format!("{other}; the page contains {:.2000}", self.try_eval("document.body.innerText")?)),
        });
    }

    #[track_caller]
    pub fn wait_for_text(&self, text: &str) {
        self.wait_until(&format!("document.body.innerText.includes({})", json!(text)));
    }

    /// Signs in with the form of the dashboard. A key or a token needs no `name`.
    #[track_caller]
    pub fn sign_in(&self, name: &str, secret: &str) {
        self.wait_until("document.querySelector('dialog.session')?.open === true");
        self.eval(&format!(
            "(() => {{ const {{ username, password }} = document.querySelector('dialog.session form').elements; \
             username.value = {}; password.value = {}; document.querySelector('dialog.session button').click(); }})()",
            json!(name),
            json!(secret)
        ));
    }

    /// Returns the errors of the page, including violations of its Content-Security-Policy.
    pub fn errors(&self) -> Vec<Value> {
        self.browser.call(json!({"do": "complaints", "page": self.name})).as_array().cloned().unwrap_or_default()
    }

    /// Returns the URLs that the page has requested. Those of a shared worker are not among them.
    pub fn requests(&self) -> Vec<String> {
        let urls = self.browser.call(json!({"do": "requests", "page": self.name}));
        urls.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// Returns the serious and critical findings of axe-core.
    #[track_caller]
    pub fn axe(&self) -> Vec<Value> {
        self.browser.call(json!({"do": "axe", "page": self.name})).as_array().cloned().unwrap_or_default()
    }

    pub fn screenshot(&self, path: &str) {
        self.browser.call(json!({"do": "screenshot", "page": self.name, "path": path}));
    }

    pub fn bring_to_front(&self) {
        self.browser.call(json!({"do": "front", "page": self.name}));
    }
}

impl Drop for Page<'_> {
    fn drop(&mut self) {
        let _ = self.browser.try_call(&json!({"do": "close", "page": self.name}));
    }
}
