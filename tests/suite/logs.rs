//! The log of the binary, and the request id in it.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

/// `curlew serve` with its log and a temporary directory.
struct BridgeProcess {
    child: Child,
    stderr: BufReader<ChildStderr>,
    port: u16,
    directory: std::path::PathBuf,
    log: String,
}

impl BridgeProcess {
    fn start(options: &[&str]) -> Self {
        let directory =
            std::env::temp_dir().join(format!("curlew-logs-{}-{:x}", std::process::id(), fastrand::u64(..)));
        let mut command = Command::new(env!("CARGO_BIN_EXE_curlew"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(&directory).args(options).env_clear();
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut log = String::new();
        let port = loop {
            let start = log.len();
            assert!(stderr.read_line(&mut log).unwrap() > 0, "it exited: {log}");
            if let Some((_, address)) = log[start..].split_once("serving http://127.0.0.1:") {
                break address.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap();
            }
        };
        Self { child, stderr, port, directory, log }
    }

    /// Sends a request and returns the complete response.
    fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn get(&self, target: &str, headers: &str) -> String {
        self.ask(&format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n"))
    }

    fn post(&self, target: &str, headers: &str, body: &str) -> String {
        let length = body.len();
        let head = format!("POST {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
        self.ask(&format!("{head}Content-Length: {length}\r\n{headers}\r\n{body}"))
    }

    /// Stops the process and returns its log.
    fn end(mut self) -> String {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.stderr.read_to_string(&mut self.log).unwrap();
        assert!(self.child.wait().unwrap().success());
        std::mem::take(&mut self.log)
    }
}

impl Drop for BridgeProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let head = answer.split("\r\n\r\n").next()?;
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[test]
fn each_line_of_a_json_log_is_an_object_that_names_its_request_and_never_a_secret() {
    let bridge = BridgeProcess::start(&["--log-format", "json", "--log-level", "trace"]);
    let answer = bridge.get("/topics/t/events?ticket=SECRET&until=end", "X-Request-Id: of/mine-1\r\n");
    assert_eq!(header(&answer, "x-request-id"), Some("of/mine-1"), "{answer}");
    let answer = bridge.get("/health?ticket=SECRET", "Authorization: Bearer SECRET\r\nX-Request-Id: not \"one\"\r\n");
    let made = header(&answer, "x-request-id").unwrap().to_owned();
    assert_eq!(made.len(), 16, "{answer}");
    bridge.get("/topics/SECRET?key=SECRET", "Cookie: session=SECRET\r\n");

    let log = bridge.end();
    let lines: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect();
    for line in &lines {
        for field in ["ts", "level", "target", "message"] {
            assert!(line[field].is_string(), "no {field} in {line}");
        }
    }
    let of = |request: &str| lines.iter().find(|line| line["request"] == request).unwrap();
    let first = of("of/mine-1");
    assert_eq!((&first["method"], &first["path"]), (&"GET".into(), &"/topics/t/events".into()));
    assert_eq!(first["status"], 404);
    assert!(first["ms"].is_u64(), "{first}");
    assert_eq!(of(&made)["path"], "/health");
    // The path is not secret: the client sent it as the target.
    let secret = log.lines().filter(|line| line.contains("SECRET") && !line.contains("/topics/SECRET"));
    assert_eq!(secret.count(), 0, "{log}");
    assert!(!log.contains("key=SECRET") && !log.contains("session=SECRET"), "{log}");
}

#[test]
fn a_text_log_names_the_request_at_the_end_of_its_line() {
    let bridge = BridgeProcess::start(&["--log-level", "debug"]);
    bridge.get("/health", "X-Request-Id: mine\r\n");
    let log = bridge.end();
    let line = log.lines().find(|line| line.ends_with(" request=mine")).unwrap_or_else(|| panic!("{log}"));
    assert!(line.contains("DEBUG") && line.contains("GET /health 200"), "{line}");
    assert!(log.lines().any(|line| line.contains("serving http://") && !line.contains("request=")), "{log}");
}

#[test]
fn an_upload_cut_in_the_middle_of_a_line_is_logged() {
    let bridge = BridgeProcess::start(&[]);
    let mut stream = TcpStream::connect(("127.0.0.1", bridge.port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let head = "POST /topics/t HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n";
    write!(stream, "{head}X-Request-Id: mine\r\nContent-Length: 100\r\n\r\n1\n{{\"half").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let _ = stream.read_to_string(&mut String::new());
    let log = bridge.end();
    let line = log.lines().find(|line| line.contains("cut off in line 2")).unwrap_or_else(|| panic!("{log}"));
    assert!(line.contains("1 records were written, 0 failed") && line.ends_with(" request=mine"), "{line}");
}

#[test]
fn records_carry_the_trace_of_their_request_if_enabled() {
    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let given = format!("traceparent: {PARENT}\r\ntracestate: a=1\r\nX-Request-Id: mine\r\nX-Kafka-Site: north\r\n");
    let envelope = r#"{"records":[{"value":1,"headers":[{"key":"x-request-id","value":"b3du"}]},{"value":2}]}"#;
    for (options, kept) in [(&["--trace-headers"][..], true), (&[], false)] {
        let bridge = BridgeProcess::start(options);
        bridge.post("/topics/t", &given, "one");
        let headers = format!(
            "Content-Type: application/vnd.kafka.json.v2+json\r\ntraceparent: {PARENT}\r\nX-Request-Id: mine\r\n"
        );
        bridge.post("/topics/t", &headers, envelope);
        bridge.post("/topics/t", "Content-Type: application/x-ndjson\r\nX-Request-Id: mine\r\n", "3\n");
        let page = bridge.get("/topics/t/partitions/0/records", "");
        let page: Value = serde_json::from_str(page.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        let named: Vec<Vec<String>> = page["records"].as_array().unwrap().iter().map(named).collect();
        let parent = format!("traceparent={PARENT}");
        let all: [Vec<&str>; 4] = if kept {
            [
                vec!["site=north", &parent, "tracestate=a=1", "x-request-id=mine"],
                vec!["x-request-id=own", &parent],
                vec![&parent, "x-request-id=mine"],
                vec!["x-request-id=mine"],
            ]
        } else {
            [vec!["site=north"], vec!["x-request-id=own"], vec![], vec![]]
        };
        assert_eq!(named, all, "{options:?}");
        bridge.end();
    }
}

/// Returns the headers of a record as `name=value`.
fn named(record: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let headers = record["headers"].as_array().unwrap();
    headers.iter().map(|header| format!("{}={}", text(&header["name"]), text(&header["value"]))).collect()
}

#[test]
fn an_error_at_startup_is_json_too() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_curlew"));
    let output =
        command.args(["--kafka", "127.0.0.1:1", "--log-format", "json", "--listen", &address]).output().unwrap();
    let line: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!((output.status.code(), &line["level"]), (Some(2), &"error".into()));
    assert!(line["message"].as_str().unwrap().starts_with("cannot listen on"), "{line}");
}

#[test]
fn repeated_rejections_of_a_page_are_one_line_that_names_the_flag() {
    let bridge = BridgeProcess::start(&[]);
    for _ in 0..5 {
        let answer = bridge.get("/dashboard/main.js", "Origin: http://plant.example\r\n");
        assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("proxy_set_header Host"), "{answer}");
    }
    let log = bridge.end();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("rejected a request")).collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(lines[0].contains("--cors-origin http://plant.example"), "{}", lines[0]);
}

#[test]
fn the_access_log_names_the_client_and_no_secret() {
    let made = Command::new(env!("CARGO_BIN_EXE_curlew"))
        .args(["key", "new", "--name", "press-7", "--produce", "t", "--manage", "t"])
        .output()
        .unwrap();
    let made = String::from_utf8(made.stdout).unwrap();
    let (key, entry) = made.split_once('\n').unwrap();
    let file = std::env::temp_dir().join(format!("curlew-access-{}.toml", std::process::id()));
    std::fs::write(&file, entry).unwrap();
    let options = ["--auth-file", file.to_str().unwrap(), "--allow-delete", "--access-log", "--log-format", "json"];
    let bridge = BridgeProcess::start(&options);
    let authorization = format!("Authorization: Bearer {key}\r\n");
    bridge.post("/topics/t?acks=1", &authorization, "secret record");
    bridge.get("/topics/t/events?ticket=secret-ticket", "");
    bridge.ask(&format!(
        "DELETE /topics/t?records=all HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{authorization}\r\n"
    ));
    let log = bridge.end();
    std::fs::remove_file(&file).unwrap();
    assert!(!log.contains("secret") && !log.contains(key), "{log}");
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let requests: Vec<_> = lines.iter().filter(|line| line["path"].is_string()).collect();
    let shown: Vec<_> = requests
        .iter()
        .map(|line| {
            ["method", "path", "status", "client", "user"].map(|field| line[field].to_string().replace('"', ""))
        })
        .collect();
    let expected = [
        ["POST", "/topics/t", "200", "127.0.0.1", "press-7"],
        ["GET", "/topics/t/events", "401", "127.0.0.1", ""],
        ["DELETE", "/topics/t", "204", "127.0.0.1", "press-7"],
    ];
    assert_eq!(shown, expected);
    assert!(requests.iter().all(|line| line["ms"].is_u64() && line["request"].is_string()), "{requests:?}");
    let messages: Vec<_> = lines.iter().filter_map(|line| line["message"].as_str()).collect();
    assert!(messages.contains(&"deleted topic t for press-7 at 127.0.0.1"), "{messages:?}");
    let rejected = "rejected a request: credentials from 127.0.0.1: unknown key, token, session or ticket";
    assert!(messages.contains(&rejected), "{messages:?}");
}
