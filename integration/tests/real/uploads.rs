//! NDJSON uploads of many lines, from clients that write everything before they read anything, directly and through
//! nginx.

use crate::{SOON, bridge};
use curlew_integration::bridge::Bridge;
use curlew_integration::kafka::Kafka;
use curlew_integration::web_proxy::{Kind, WebProxy};
use curlew_integration::{cache, file, http};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

const TYPE: &str = "application/x-ndjson";
/// Time limit for one upload.
const LIMIT: &str = "120";

/// Number of lines per upload; fewer if the binary under test is slow.
fn count() -> usize {
    std::env::var("CURLEW_LINES").ok().and_then(|lines| lines.parse().ok()).unwrap_or(800_000)
}

struct Upload {
    directory: TempDir,
    lines: PathBuf,
    count: usize,
}

impl Upload {
    fn of(count: usize) -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        let lines = directory.path().join("lines");
        let text: String = (0..count).map(|n| format!("{{\"i\":{n},\"t\":21.5}}\n")).collect();
        std::fs::write(&lines, text).expect("lines");
        Self { directory, lines, count }
    }

    /// Returns the output of the client: the response, and the status if the client prints it.
    fn by(&self, client: &str, url: &str) -> String {
        let lines = self.lines.to_str().expect("UTF-8");
        let kind = format!("Content-Type: {TYPE}");
        let mut command = Command::new("timeout");
        command.arg(LIMIT);
        match client {
            "wget" => command.args(["wget", "-q", "-t", "1", "-O", "-", "--header", &kind, "--post-file", lines, url]),
            "curl" => command.args(["curl", "-sS", "-f", "-H", &kind, "--data-binary", &format!("@{lines}"), url]),
            "curl in chunks" => {
                let chunks = ["-H", "Transfer-Encoding: chunked", "-X", "POST", "-T", lines, url];
                command.args(["curl", "-sS", "-f", "-H", &kind]).args(chunks)
            }
            "HttpURLConnection" => {
                command.args(["java", "-Xmx256m", "-XX:TieredStopAtLevel=1"]);
                command.arg(file("java/Upload.java")).args([lines, url])
            }
            python => {
                command.arg(cache().join("python/bin/python")).arg(file("clients/upload.py"));
                command.args([python, lines, url])
            }
        };
        let output = command.output().unwrap_or_else(|e| panic!("{client}: {e}"));
        assert!(output.status.success(), "{client} {url}: {output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    fn is_stored_by(&self, client: &str, port: u16, topic: &str) {
        let printed = self.by(client, &format!("http://127.0.0.1:{port}/topics/{topic}"));
        let range = json!({"partition": 0, "first": 0, "last": self.count - 1});
        let expected = json!({"written": self.count, "failed": 0, "offsets": [range], "errors": []});
        let summary = printed.strip_prefix("200 ").unwrap_or(&printed);
        assert_eq!(serde_json::from_str::<Value>(summary).ok(), Some(expected), "{client}: {printed}");
    }
}

/// Starts nginx with its defaults, except for the maximum size of a body (1 MiB).
fn nginx(bridge: u16) -> WebProxy {
    let recipe = format!(
        "server {{ listen 8000; client_max_body_size 0; location / {{ proxy_pass http://127.0.0.1:{bridge}; }} }}"
    );
    WebProxy::with(Kind::Nginx, &recipe)
}

fn latest(port: u16, topic: &str) -> Value {
    http::get(port, &format!("/topics/{topic}")).expect(200).json()["partitions"][0]["latest"].clone()
}

#[test]
fn every_line_is_stored_and_acknowledged_once_with_every_client() {
    let upload = Upload::of(count());
    let mut bridge = Bridge::embedded(&upload.directory.path().join("data"), &["--retention-bytes", "unlimited"]);
    let nginx = nginx(bridge.port);
    for client in ["requests", "urllib", "httpx", "wget", "HttpURLConnection", "curl"] {
        for (way, port) in [("direct", bridge.port), ("nginx", nginx.port)] {
            let topic = format!("{client}-{way}");
            upload.is_stored_by(client, port, &topic);
            assert_eq!(latest(bridge.port, &topic), json!(upload.count), "{topic}");
        }
    }
    let peak = bridge.process().peak();
    println!("{peak} KiB at most");
    assert!(peak < 64 << 10, "{peak} KiB");
}

#[test]
fn unread_receipts_do_not_block_an_upload() {
    let upload = Upload::of(count() / 4);
    let bridge = Bridge::embedded(&upload.directory.path().join("data"), &[]);
    let nginx = nginx(bridge.port);
    // The recipe forwards a body in chunks as they arrive.
    let recipe = WebProxy::start(Kind::Nginx, bridge.port);
    let ways = [
        ("requests", bridge.port, ""),
        ("wget", bridge.port, ""),
        ("urllib", nginx.port, ""),
        ("curl in chunks", nginx.port, ""),
        ("curl in chunks", recipe.port, "/curlew"),
    ];
    for (client, port, prefix) in ways {
        let topic = format!("{}-{port}", client.replace(' ', "-"));
        let printed = upload.by(client, &format!("http://127.0.0.1:{port}{prefix}/topics/{topic}?receipts=stream"));
        let receipts = printed.strip_prefix("200 ").unwrap_or(&printed).lines();
        let written = receipts.map(|line| {
            let receipt: Value = serde_json::from_str(line).expect("JSON");
            assert!(receipt["error_code"].is_null(), "{receipt}");
            receipt["written"].as_u64().unwrap_or(1)
        });
        assert_eq!(written.sum::<u64>(), upload.count as u64, "{client}");
        assert_eq!(latest(bridge.port, &topic), json!(upload.count), "{client}");
    }
}

#[test]
fn lines_are_stored_in_kafka_as_well() {
    let upload = Upload::of(count() / 8);
    let topic = Kafka::shared().fresh("uploads", 1);
    upload.is_stored_by("requests", bridge().port, &topic);
}

#[test]
fn lines_are_a_503_while_kafka_is_away() {
    let unused_port = curlew_integration::free_port();
    let mut bridge = Bridge::start_with(&format!("127.0.0.1:{unused_port}"), &["--produce-timeout", "2s"]);
    let upload = Upload::of(2);
    let url = format!("http://127.0.0.1:{}/topics/t", bridge.port);
    let mut curl = Command::new("curl");
    let lines = format!("@{}", upload.lines.display());
    curl.args(["-s", "-f", "-m", LIMIT, "-H", &format!("Content-Type: {TYPE}"), "--data-binary", &lines, &url]);
    assert_eq!(curl.output().expect("curl").status.code(), Some(22), "HTTP's error is curl's");
    let answer = bridge.post("/topics/t", TYPE, "1\n2\n");
    let summary = answer.json();
    assert!([503, 504].contains(&answer.status), "{} {summary}", answer.status);
    assert_eq!((&summary["written"], &summary["failed"]), (&json!(0), &json!(2)), "{summary}");
    // A large body is read to its end, so that a client that writes first sees the status.
    let large = Upload::of(100_000);
    let printed = Command::new(cache().join("python/bin/python"))
        .args(["-c", PYTHON, &large.lines.display().to_string(), &url])
        .output()
        .expect("python");
    let status = String::from_utf8_lossy(&printed.stdout).trim().to_owned();
    assert!(["503", "504"].contains(&status.as_str()), "{printed:?}");
    bridge.process().signal("TERM");
    bridge.process().wait(SOON);
}

const PYTHON: &str = "import requests, sys
body = open(sys.argv[1], 'rb').read()
print(requests.post(sys.argv[2], data=body, headers={'Content-Type': 'application/x-ndjson'}).status_code)";

#[test]
fn a_record_of_exactly_the_size_that_a_413_names_is_accepted() {
    let topic = Kafka::shared().fresh("large", 1);
    let post = |bytes: usize| bridge().post(&format!("/topics/{topic}"), "text/plain", "x".repeat(bytes));
    // Returns the largest value that fits, from the size of the batch and the limit in the 413. The encoding of lengths
    // varies in size, so the result is exact only for a record of about that size.
    let fits = |given: usize| {
        let detail = post(given).expect(413).json()["detail"].as_str().expect("a detail").to_owned();
        let numbers: Vec<usize> = detail.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect();
        numbers[1] - (numbers[0] - given)
    };
    let fits = fits(fits(2 << 20) + 16);
    post(fits).expect(200);
    post(fits + 1).expect(413);
}
