//! What the suites share: brokers, bridges, clients, proxies.
//!
//! - [`process`]: programs that end with the test, whatever ends the test
//! - [`kafka`]: real brokers of any version, one or a cluster; [`controller`]: the controller apart from them;
//!   [`faults`]: what can happen to them
//! - [`secured`]: a broker with TLS, SASL and access rules, and certificates for it
//! - [`foreign`]: Kafka's own Java client, for admin work and as the reference
//! - [`bridge`]: the real `curlew` binary
//! - [`image`]: what the Dockerfile describes, without an engine
//! - [`http`], [`sse`]: small clients that hide nothing of the wire
//! - [`follow`]: clients that come back when cut off, and the count of what they missed
//! - [`browser`]: a real Chromium
//! - [`crowd`]: thousands of streams at once
//! - [`proxy`]: cuts connections, counts Kafka requests
//! - [`web_proxy`]: nginx, Caddy and HAProxy in front of a bridge
//!
//! Everything panics with a readable message when it fails: it is a test that failed.

pub mod bridge;
pub mod browser;
pub mod controller;
pub mod crowd;
pub mod faults;
pub mod follow;
pub mod foreign;
pub mod http;
pub mod image;
pub mod kafka;
pub mod process;
pub mod proxy;
pub mod secured;
pub mod sse;
pub mod web_proxy;
/// The oracle for event streams, which the tests of the bridge itself use too.
#[path = "../../src/http/event/whatwg.rs"]
pub mod whatwg;

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Asks until there is an answer; panics with the last complaint after `limit`.
pub fn eventually<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(complaint) if Instant::now() > deadline => panic!("{what}: not within {limit:?}: {complaint}"),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// A port that nothing listens on, below those that the system gives to outgoing connections.
pub fn free_port() -> u16 {
    (0..1000)
        .map(|_| fastrand::u16(20_000..32_000))
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("no free port")
}

/// Where `integration/setup` keeps jars and clients.
pub fn cache() -> PathBuf {
    let from = |name| std::env::var_os(name).map(PathBuf::from);
    from("CURLEW_CACHE")
        .or_else(|| from("XDG_CACHE_HOME").map(|d| d.join("curlew")))
        .or_else(|| from("HOME").map(|d| d.join(".cache/curlew")))
        .filter(|cache| cache.is_dir())
        .expect("run integration/setup first")
}

/// A file of this crate.
pub fn file(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A folder for what a whole process shares, which nothing removes: the next process does.
pub fn lasting_folder(name: &str) -> tempfile::TempDir {
    sweep();
    let prefix = format!("curlew-{name}-{}-", std::process::id());
    tempfile::Builder::new().prefix(&prefix).tempdir().expect("temp folder")
}

/// Removes the lasting folders of processes that are no more.
fn sweep() {
    let all = std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().filter_map(Result::ok);
    for entry in all {
        let name = entry.file_name().to_string_lossy().into_owned();
        let parts: Vec<&str> = name.split('-').collect();
        if let ["curlew", "kafka" | "secured", pid, _] = parts[..]
            && pid.parse::<u32>().is_ok_and(|pid| !PathBuf::from(format!("/proc/{pid}")).exists())
        {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// A topic name that no other test has.
pub fn fresh_topic(name: &str) -> String {
    format!("{name}-{:08x}", fastrand::u32(..))
}
