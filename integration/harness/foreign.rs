//! Kafka's own Java client, for admin work and as the reference: `foreign/Foreign.java`.

use crate::process::Process;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

/// How long a command may take: more than the client's own limits, whose errors say more.
const PATIENCE: Duration = Duration::from_secs(90);

/// One JVM for all tests of a process; commands run beside each other.
pub struct Foreign {
    inner: Mutex<Inner>,
    waiting: Arc<Mutex<HashMap<u64, Sender<Value>>>>,
}

struct Inner {
    stdin: ChildStdin,
    next_id: u64,
    process: Process,
}

/// A record as a foreign consumer sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub partition: i64,
    pub offset: i64,
    pub timestamp: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Seen {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.value.as_deref().unwrap_or_default()).into_owned()
    }
}

impl Foreign {
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Foreign> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    fn start() -> Self {
        let log = std::env::temp_dir().join(format!("curlew-foreign-{}.log", std::process::id()));
        let mut command = Command::new("java");
        command
            .args(["-Xmx384m", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp"])
            .arg(crate::cache().join("kafka-4.4.0/*"))
            .arg(crate::file("foreign/Foreign.java"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log).expect("log file"));
        let mut process = Process::start_with_own_output("the Java client", command, &log);
        let stdin = process.child().stdin.take().expect("stdin");
        let stdout = process.child().stdout.take().expect("stdout");
        let waiting: Arc<Mutex<HashMap<u64, Sender<Value>>>> = Arc::default();
        let answers = waiting.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let answer: Value = serde_json::from_str(&line).expect("an answer is JSON");
                if let Some(caller) = answers.lock().expect("lock").remove(&answer["id"].as_u64().expect("id")) {
                    let _ = caller.send(answer);
                }
            }
            answers.lock().expect("lock").clear();
        });
        Self { inner: Mutex::new(Inner { stdin, next_id: 0, process }), waiting }
    }

    /// Where the JVM's threads are while it does not answer.
    fn silence(&self) -> String {
        let stacks = self.inner.lock().expect("lock").process.stacks();
        format!("no answer from the Java client within {PATIENCE:?}\n{stacks}")
    }

    /// Runs a command; `Err` is the Java exception.
    pub fn try_call(&self, mut command: Value) -> Result<Value, String> {
        let (answered, answer) = channel();
        {
            let mut inner = self.inner.lock().expect("lock");
            let id = inner.next_id;
            inner.next_id += 1;
            command["id"] = json!(id);
            self.waiting.lock().expect("lock").insert(id, answered);
            writeln!(inner.stdin, "{command}").expect("the Java client has ended");
        }
        let mut answer = answer.recv_timeout(PATIENCE).map_err(|_| self.silence())?;
        match answer["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer["ok"].take()),
        }
    }
}

/// Bytes as the Java client takes them.
pub fn bytes(bytes: &[u8]) -> Value {
    json!({ "b64": STANDARD.encode(bytes) })
}

pub(crate) fn seen(record: &Value) -> Seen {
    let decode = |v: &Value| v.as_str().map(|text| STANDARD.decode(text).expect("base64"));
    Seen {
        partition: record["partition"].as_i64().expect("partition"),
        offset: record["offset"].as_i64().expect("offset"),
        timestamp: record["timestamp"].as_i64().expect("timestamp"),
        key: decode(&record["key"]),
        value: decode(&record["value"]),
        headers: record["headers"]
            .as_array()
            .expect("headers")
            .iter()
            .map(|h| (h[0].as_str().expect("name").to_owned(), decode(&h[1])))
            .collect(),
    }
}
