//! The dashboard in a real Chromium, on the embedded log and behind real proxies.

mod also;
mod charts;
mod client;
mod demo;
mod devices;
mod every_page;
mod exports;
mod fold;
mod keyboard;
mod load;
mod outages;
mod overview;
mod prefix;
mod proxies;
mod records;
mod schemas;
mod shapes;
mod shown;
mod signing_in;
mod smooth;
mod tiles;

use curlew_integration::bridge::Bridge;
use curlew_integration::browser::Page;
use serde_json::Value;
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

#[track_caller]
fn assert_no_errors(page: &Page<'_>) {
    assert_eq!(page.errors(), Vec::<Value>::new());
}
