//! Kafka's Java client, for administration and as the reference implementation: `java/KafkaClient.java`.

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

/// Timeout of a command. It exceeds the client's own timeouts, whose errors are more specific.
const TIMEOUT: Duration = Duration::from_secs(90);

/// The JVM shared by all tests of a process. Commands run concurrently.
pub struct JavaClient {
    jvm: Mutex<JvmProcess>,
    waiting: Arc<Mutex<HashMap<u64, Sender<Value>>>>,
}

struct JvmProcess {
    stdin: ChildStdin,
    next_id: u64,
    process: Process,
}

/// A record as the Java consumer returns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumedRecord {
    pub partition: i64,
    pub offset: i64,
    pub timestamp: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl ConsumedRecord {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.value.as_deref().unwrap_or_default()).into_owned()
    }
}

impl JavaClient {
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<JavaClient> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    fn start() -> Self {
        let log = std::env::temp_dir().join(format!("curlew-java-client-{}.log", std::process::id()));
        let mut command = Command::new("java");
        command
            .args(["-Xmx384m", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp"])
            .arg(crate::cache().join("kafka-4.4.0/*"))
            .arg(crate::file("java/KafkaClient.java"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log).expect("log file"));
        let mut process = Process::start_with_stdio("the Java client", command, &log);
        let stdin = process.child().stdin.take().expect("stdin");
        let stdout = process.child().stdout.take().expect("stdout");
        let waiting: Arc<Mutex<HashMap<u64, Sender<Value>>>> = Arc::default();
        let responses = waiting.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let response: Value = serde_json::from_str(&line).expect("a response is JSON");
                if let Some(caller) = responses.lock().expect("lock").remove(&response["id"].as_u64().expect("id")) {
                    let _ = caller.send(response);
                }
            }
            responses.lock().expect("lock").clear();
        });
        Self { jvm: Mutex::new(JvmProcess { stdin, next_id: 0, process }), waiting }
    }

    /// Describes a timeout, with the stacks of the JVM's threads.
    fn timeout_error(&self) -> String {
        let stacks = self.jvm.lock().expect("lock").process.stacks();
        format!("the Java client did not respond within {TIMEOUT:?}\n{stacks}")
    }

    /// Runs a command. An error is the Java exception.
    pub fn try_call(&self, mut command: Value) -> Result<Value, String> {
        let (sender, response) = channel();
        {
            let mut jvm = self.jvm.lock().expect("lock");
            let id = jvm.next_id;
            jvm.next_id += 1;
            command["id"] = json!(id);
            self.waiting.lock().expect("lock").insert(id, sender);
            writeln!(jvm.stdin, "{command}").expect("the Java client has ended");
        }
        let mut response = response.recv_timeout(TIMEOUT).map_err(|_| self.timeout_error())?;
        match response["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(response["ok"].take()),
        }
    }
}

/// Encodes bytes for the Java client.
pub fn bytes(bytes: &[u8]) -> Value {
    json!({ "b64": STANDARD.encode(bytes) })
}

pub(crate) fn parse_record(record: &Value) -> ConsumedRecord {
    let decode = |v: &Value| v.as_str().map(|text| STANDARD.decode(text).expect("base64"));
    ConsumedRecord {
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
