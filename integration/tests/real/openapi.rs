//! `/openapi.json` is accurate: schemathesis generates valid and invalid requests from it, and checks the responses
//! against it.

use crate::SOON;
use curlew_integration::bridge::Bridge;
use curlew_integration::process::Process;
use curlew_integration::{cache, file};
use serde_json::Value;
use std::process::Command;
use std::time::Duration;

/// Duration of the test. The requests are the same each time, unless `CURLEW_SEED` is set.
const SECONDS: u64 = 60;

#[test]
fn schemathesis_finds_no_undocumented_response() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let data = directory.path().join("data");
    let bridge = Bridge::embedded(&data, &["--partitions", "2", "--allow-create", "--allow-delete"]);
    let document = bridge.get("/openapi.json").expect(200);
    // If schemathesis loaded the document from its URL, it would not test that URL.
    let copy = directory.path().join("openapi.json");
    std::fs::write(&copy, &document.body).expect("temp file");
    let document = document.json();
    let paths = document["paths"].as_object().expect("paths");
    let operations: usize = paths.values().filter_map(Value::as_object).map(|of| of.len()).sum();

    let log = directory.path().join("schemathesis.log");
    let mut command = Command::new(cache().join("schemathesis/bin/schemathesis"));
    command
        .arg("--config-file")
        .arg(file("clients/schemathesis.toml"))
        .arg("run")
        .arg(&copy)
        .args(["--url", &format!("http://127.0.0.1:{}", bridge.port)])
        .args(["--seed", &std::env::var("CURLEW_SEED").unwrap_or("1".to_owned())])
        .args(["--max-time", &SECONDS.to_string(), "--request-timeout", "10", "--no-color"])
        .env("PYTHONPATH", file("clients"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        // It stores its findings in the current directory.
        .current_dir(directory.path());
    let mut schemathesis = Process::start("schemathesis", command, &log);
    let status = schemathesis.wait(Duration::from_secs(2 * SECONDS) + SOON);
    let printed = schemathesis.log();
    assert!(status.success(), "{printed}");
    assert!(
        printed.contains(&format!("Tested: {operations}\n")),
        "not all {operations} operations were tested: {printed}"
    );
    let health = bridge.get("/health").expect(200).json();
    assert_eq!(health["panics"], 0, "{}", bridge.log());
}
