//! Followers, which reconnect after every disconnect, and the check that they missed no record.

use crate::process::Process;
use crate::sse::{SseEnd, SseEvent, Stream};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// The events that a client has received.
#[derive(Clone, Default)]
pub struct ReceivedEvents(Arc<Mutex<Vec<SseEvent>>>);

impl ReceivedEvents {
    fn add(&self, event: SseEvent) {
        self.0.lock().expect("lock").push(event);
    }

    pub fn events(&self) -> Vec<SseEvent> {
        self.0.lock().expect("lock").clone()
    }

    /// Returns the events of this kind.
    pub fn of_kind(&self, kind: &str) -> Vec<SseEvent> {
        self.events().into_iter().filter(|e| e.kind == kind).collect()
    }

    /// Waits until this many records have arrived.
    #[track_caller]
    pub fn wait_for_records(&self, count: usize, limit: Duration) {
        crate::eventually("the records arrive", limit, || match self.of_kind("message").len() {
            enough if enough >= count => Ok(()),
            few => Err(format!("{few} of {count}; others: {:?}", self.others())),
        });
    }

    fn others(&self) -> Vec<SseEvent> {
        self.events().into_iter().filter(|e| e.kind != "message").collect()
    }
}

/// A client that reconnects at once with its last id, as the HTML standard defines.
pub struct Follower {
    pub seen: ReceivedEvents,
    /// The port of the next connection.
    port: Arc<AtomicU16>,
    connections: Arc<AtomicUsize>,
    ending: Arc<AtomicBool>,
    last_id: Arc<Mutex<String>>,
    thread: Option<JoinHandle<()>>,
}

impl Follower {
    pub fn start(port: u16, target: &str) -> Self {
        Self::start_at(port, target, "")
    }

    /// Sends a `Last-Event-ID` with its first request.
    pub fn start_at(port: u16, target: &str, last_id: &str) -> Self {
        let mut follower = Self {
            seen: ReceivedEvents::default(),
            port: Arc::new(port.into()),
            connections: Arc::default(),
            ending: Arc::default(),
            last_id: Arc::new(Mutex::new(last_id.to_owned())),
            thread: None,
        };
        let (seen, port, connections) = (follower.seen.clone(), follower.port.clone(), follower.connections.clone());
        let (ending, last_id, target) = (follower.ending.clone(), follower.last_id.clone(), target.to_owned());
        follower.thread = Some(std::thread::spawn(move || {
            while !ending.load(Ordering::Relaxed) {
                let id = last_id.lock().expect("lock").clone();
                let id = (!id.is_empty()).then_some(id);
                match Stream::try_open(port.load(Ordering::Relaxed), &target, id.as_deref()) {
                    Ok(stream) => {
                        connections.fetch_add(1, Ordering::Relaxed);
                        follow(stream, &seen, &last_id, &ending);
                    }
                    // An error status from the server ends an EventSource permanently.
                    Err(rejected) if rejected.starts_with('4') => {
                        seen.add(SseEvent { kind: "rejected".into(), data: rejected, id: String::new() });
                        return;
                    }
                    Err(_) => std::thread::sleep(Duration::from_millis(20)),
                }
            }
        }));
        follower
    }

    pub fn set_port(&self, port: u16) {
        self.port.store(port, Ordering::Relaxed);
    }

    /// Number of connections that received a response head.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Waits for the first id, which tells where the stream starts, and returns it.
    #[track_caller]
    pub fn wait_for_id(&self) -> String {
        crate::eventually("the stream's first id", Duration::from_secs(30), || {
            match self.last_id.lock().expect("lock").clone() {
                id if id.is_empty() => Err(format!("no id yet; received {:?}", self.seen.events())),
                id => Ok(id),
            }
        })
    }

    /// Stops the follower and returns its last id.
    pub fn stop(mut self) -> String {
        self.end();
        self.last_id.lock().expect("lock").clone()
    }

    fn end(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.end();
    }
}

fn follow(mut stream: Stream, seen: &ReceivedEvents, last_id: &Mutex<String>, ending: &AtomicBool) {
    while !ending.load(Ordering::Relaxed) {
        let next = stream.next_within(Duration::from_millis(100));
        // The parser's id is that of the last parsed event, so record all parsed events before it.
        if let Ok(event) = &next {
            seen.add(event.clone());
        }
        stream.drain(|event| seen.add(event));
        if !stream.source.last_id.is_empty() {
            last_id.lock().expect("lock").clone_from(&stream.source.last_id);
        }
        match next {
            Err(SseEnd::Closed) => return,
            Err(SseEnd::Broken(reason)) if !reason.contains("temporarily unavailable") => return,
            _ => {}
        }
    }
}

/// A third-party client in a separate process.
pub struct ThirdPartyClient {
    pub seen: ReceivedEvents,
    _process: Process,
    _directory: tempfile::TempDir,
}

impl ThirdPartyClient {
    /// npm's `eventsource`.
    pub fn eventsource(url: &str) -> Self {
        let mut node = Command::new("node");
        node.arg(crate::file("clients/eventsource.mjs")).arg(url);
        Self::start("eventsource", node)
    }

    /// The bridge's `client.js`. `base` is the bridge's URL with a trailing slash.
    pub fn event_stream(base: &str, path: &str) -> Self {
        let mut node = Command::new("node");
        node.arg(crate::file("clients/event_stream.mjs")).args([base, path]);
        Self::start("client.js", node)
    }

    /// PyPI's `httpx-sse`.
    pub fn httpx_sse(url: &str) -> Self {
        let mut python = Command::new(crate::cache().join("python/bin/python"));
        python.arg(crate::file("clients/follow_httpx_sse.py")).arg(url);
        Self::start("httpx-sse", python)
    }

    fn start(name: &str, mut command: Command) -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        let log = directory.path().join("log");
        let stderr = std::fs::File::create(&log).expect("log file");
        command.env("CURLEW_CACHE", crate::cache()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
        let mut process = Process::start_with_stdio(name, command, Path::new(&log));
        let stdout = process.child().stdout.take().expect("stdout");
        let seen = ReceivedEvents::default();
        let out = seen.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let event: Value = serde_json::from_str(&line).expect("an event is JSON");
                let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
                out.add(SseEvent { kind: text("kind"), data: text("data"), id: text("id") });
            }
        });
        Self { seen, _process: process, _directory: directory }
    }
}

/// Generates numbered records for partitions, and checks that each was received once and in order.
#[derive(Debug, Default, Clone)]
pub struct Numbered {
    next: BTreeMap<usize, usize>,
}

impl Numbered {
    /// Returns the next record for `partition`, in the format of the Java client.
    pub fn record(&mut self, partition: usize) -> Value {
        let n = self.next.entry(partition).or_default();
        *n += 1;
        json!({"partition": partition, "value": json!({"p": partition, "n": *n - 1}).to_string()})
    }

    /// Returns `count` records for each of `partitions`, alternating between them.
    pub fn records(&mut self, partitions: &[usize], count: usize) -> Value {
        (0..count).flat_map(|_| partitions.iter().map(|p| self.record(*p)).collect::<Vec<_>>()).collect()
    }

    pub fn total(&self) -> usize {
        self.next.values().sum()
    }

    /// Counts records that are lost, duplicated and out of order.
    pub fn check(&self, events: &[SseEvent]) -> Errors {
        let mut received: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for event in events.iter().filter(|e| e.kind == "message") {
            let value = event.json();
            let number = |name: &str| value[name].as_u64().expect("number") as usize;
            received.entry(number("p")).or_default().push(number("n"));
        }
        let mut errors = Errors::default();
        for (partition, count) in &self.next {
            let received = received.remove(partition).unwrap_or_default();
            let mut times = vec![0; *count];
            received.iter().for_each(|n| times[*n] += 1);
            errors.lost += times.iter().filter(|t| **t == 0).count();
            errors.duplicated += times.iter().filter(|t| **t > 1).count();
            errors.out_of_order += received.windows(2).filter(|pair| pair[0] > pair[1]).count();
        }
        errors
    }

    /// Panics unless each record was received exactly once and in order, without other events.
    #[track_caller]
    pub fn assert_exactly_once(&self, seen: &ReceivedEvents) {
        let events = seen.events();
        let others: Vec<_> = events.iter().filter(|e| e.kind != "message").collect();
        assert!(others.is_empty(), "{others:?}");
        assert_eq!(self.check(&events), Errors::default());
        assert_eq!(events.len(), self.total());
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Errors {
    pub lost: usize,
    pub duplicated: usize,
    pub out_of_order: usize,
}
