//! Code shared by the test suites: brokers, bridges, clients, proxies.
//!
//! - [`process`]: programs that end with the test, even if the test is killed
//! - [`kafka`]: Kafka brokers of any version; [`controller`]: a separate controller; [`faults`]: their faults
//! - [`secured`]: a broker with TLS, SASL and ACLs, and its certificates
//! - [`java_client`]: Kafka's Java client, for administration and as the reference implementation
//! - [`apicurio`]: a schema registry
//! - [`bridge`]: the real `curlew` binary
//! - [`image`]: the image that the Dockerfile describes, without a Docker engine
//! - [`http`], [`sse`]: minimal clients that expose the wire format
//! - [`follow`]: clients that reconnect, and the check that they missed no record
//! - [`browser`]: a real Chromium
//! - [`crowd`]: thousands of streams at once
//! - [`proxy`]: proxies that cut connections or count Kafka requests
//! - [`slow_link`]: a slow network
//! - [`tls_front`]: TLS with client certificates in front of a server without it
//! - [`web_proxy`]: nginx, Caddy and HAProxy in front of a bridge
//!
//! Everything panics with a readable message on failure, which fails the test.

pub mod apicurio;
pub mod bridge;
pub mod browser;
pub mod controller;
pub mod crowd;
pub mod faults;
pub mod follow;
pub mod http;
pub mod image;
pub mod java_client;
pub mod kafka;
pub mod process;
pub mod proxy;
pub mod secured;
pub mod slow_link;
pub mod sse;
pub mod tls_front;
pub mod web_proxy;
/// The test oracle for event streams, shared with the tests of `curlew` itself.
#[path = "../../src/http/event/whatwg.rs"]
pub mod whatwg;

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Calls `check` until it returns `Ok`. After `limit`, panics with the last error.
pub fn eventually<T>(what: &str, limit: Duration, mut check: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        match check() {
            Ok(value) => return value,
            Err(error) if Instant::now() > deadline => panic!("{what}: not within {limit:?}: {error}"),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Sets the flag when dropped, so that the other threads of a scope end if the test panics. Otherwise the scope would wait
/// for them for ever.
pub struct EndOnDrop<'a>(pub &'a AtomicBool);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Returns a port without a listener, below the range that the kernel assigns to outgoing connections.
pub fn free_port() -> u16 {
    (0..1000)
        .map(|_| fastrand::u16(20_000..32_000))
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("no free port")
}

/// Returns the directory in which `integration/setup` installs jars and clients.
pub fn cache() -> PathBuf {
    let from = |name| std::env::var_os(name).map(PathBuf::from);
    from("CURLEW_CACHE")
        .or_else(|| from("XDG_CACHE_HOME").map(|d| d.join("curlew")))
        .or_else(|| from("HOME").map(|d| d.join(".cache/curlew")))
        .filter(|cache| cache.is_dir())
        .expect("run integration/setup first")
}

/// Returns the path of a file of this crate.
pub fn file(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Creates a directory for state shared by a whole process. It is not deleted at exit, but by the next process.
pub fn shared_directory(name: &str) -> tempfile::TempDir {
    delete_stale_directories();
    let prefix = format!("curlew-{name}-{}-", std::process::id());
    tempfile::Builder::new().prefix(&prefix).tempdir().expect("temporary directory")
}

/// Deletes the shared directories of processes that have ended.
fn delete_stale_directories() {
    let all = std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().filter_map(Result::ok);
    for entry in all {
        let name = entry.file_name().to_string_lossy().into_owned();
        let parts: Vec<&str> = name.split('-').collect();
        if let ["curlew", "apicurio" | "kafka" | "secured", pid, _] = parts[..]
            && pid.parse::<u32>().is_ok_and(|pid| !PathBuf::from(format!("/proc/{pid}")).exists())
        {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Returns a unique topic name.
pub fn fresh_topic(name: &str) -> String {
    format!("{name}-{:08x}", fastrand::u32(..))
}
