//! Followers of a stream that come back whenever they are cut off, and the proof that they missed nothing.

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

/// Events as they came, from whatever client.
#[derive(Clone, Default)]
pub struct Seen(Arc<Mutex<Vec<SseEvent>>>);

impl Seen {
    fn add(&self, event: SseEvent) {
        self.0.lock().expect("lock").push(event);
    }

    pub fn events(&self) -> Vec<SseEvent> {
        self.0.lock().expect("lock").clone()
    }

    /// Events of this kind.
    pub fn of_kind(&self, kind: &str) -> Vec<SseEvent> {
        self.events().into_iter().filter(|e| e.kind == kind).collect()
    }

    /// Waits until so many records have come.
    #[track_caller]
    pub fn wait_for_records(&self, count: usize, limit: Duration) {
        crate::eventually("the records come", limit, || match self.of_kind("message").len() {
            enough if enough >= count => Ok(()),
            few => Err(format!("{few} of {count}; others: {:?}", self.others())),
        });
    }

    fn others(&self) -> Vec<SseEvent> {
        self.events().into_iter().filter(|e| e.kind != "message").collect()
    }
}

/// Our own client: comes back at once with the last id it has, as the standard defines it.
pub struct Follower {
    pub seen: Seen,
    /// Where it connects to the next time.
    port: Arc<AtomicU16>,
    connects: Arc<AtomicUsize>,
    ending: Arc<AtomicBool>,
    last_id: Arc<Mutex<String>>,
    thread: Option<JoinHandle<()>>,
}

impl Follower {
    pub fn start(port: u16, target: &str) -> Self {
        Self::start_at(port, target, "")
    }

    /// Comes with a `Last-Event-ID` from the first time on.
    pub fn start_at(port: u16, target: &str, last_id: &str) -> Self {
        let mut follower = Self {
            seen: Seen::default(),
            port: Arc::new(port.into()),
            connects: Arc::default(),
            ending: Arc::default(),
            last_id: Arc::new(Mutex::new(last_id.to_owned())),
            thread: None,
        };
        let (seen, port, connects) = (follower.seen.clone(), follower.port.clone(), follower.connects.clone());
        let (ending, last_id, target) = (follower.ending.clone(), follower.last_id.clone(), target.to_owned());
        follower.thread = Some(std::thread::spawn(move || {
            while !ending.load(Ordering::Relaxed) {
                let id = last_id.lock().expect("lock").clone();
                let id = (!id.is_empty()).then_some(id);
                match Stream::try_open(port.load(Ordering::Relaxed), &target, id.as_deref()) {
                    Ok(stream) => {
                        connects.fetch_add(1, Ordering::Relaxed);
                        follow(stream, &seen, &last_id, &ending);
                    }
                    // The server's own refusal ends an EventSource for good.
                    Err(refused) if refused.starts_with('4') => {
                        seen.add(SseEvent { kind: "refused".into(), data: refused, id: String::new() });
                        return;
                    }
                    Err(_) => std::thread::sleep(Duration::from_millis(20)),
                }
            }
        }));
        follower
    }

    pub fn go_to(&self, port: u16) {
        self.port.store(port, Ordering::Relaxed);
    }

    /// Connections that got as far as the head of an answer.
    pub fn connects(&self) -> usize {
        self.connects.load(Ordering::Relaxed)
    }

    /// Waits until it knows where its stream starts.
    #[track_caller]
    pub fn wait_for_id(&self) -> String {
        crate::eventually("the stream's first id", Duration::from_secs(30), || {
            match self.last_id.lock().expect("lock").clone() {
                id if id.is_empty() => Err(format!("none yet; seen {:?}", self.seen.events())),
                id => Ok(id),
            }
        })
    }

    /// Leaves; returns its last id.
    pub fn leave(mut self) -> String {
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

fn follow(mut stream: Stream, seen: &Seen, last_id: &Mutex<String>, ending: &AtomicBool) {
    while !ending.load(Ordering::Relaxed) {
        let next = stream.next_within(Duration::from_millis(100));
        // The parser's id is that of everything it has parsed: take all of it.
        if let Ok(event) = &next {
            seen.add(event.clone());
        }
        stream.drain(|event| seen.add(event));
        if !stream.source.last_id.is_empty() {
            last_id.lock().expect("lock").clone_from(&stream.source.last_id);
        }
        match next {
            Err(SseEnd::Closed) => return,
            Err(SseEnd::Broken(why)) if !why.contains("temporarily unavailable") => return,
            _ => {}
        }
    }
}

/// A client that nobody here wrote, in a process of its own.
pub struct Foreigner {
    pub seen: Seen,
    _process: Process,
    _folder: tempfile::TempDir,
}

impl Foreigner {
    /// npm's `eventsource`.
    pub fn eventsource(url: &str) -> Self {
        let mut node = Command::new("node");
        node.arg(crate::file("clients/eventsource.mjs")).arg(url);
        Self::start("eventsource", node)
    }

    /// The bridge's own `client.js`; `base` is the bridge's URL, with a slash at its end.
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
        let folder = tempfile::tempdir().expect("temp folder");
        let log = folder.path().join("log");
        let stderr = std::fs::File::create(&log).expect("log file");
        command.env("CURLEW_CACHE", crate::cache()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
        let mut process = Process::start_with_own_output(name, command, Path::new(&log));
        let stdout = process.child().stdout.take().expect("stdout");
        let seen = Seen::default();
        let out = seen.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let event: Value = serde_json::from_str(&line).expect("an event is JSON");
                let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
                out.add(SseEvent { kind: text("kind"), data: text("data"), id: text("id") });
            }
        });
        Self { seen, _process: process, _folder: folder }
    }
}

/// Numbered records for partitions, and the check that each was seen once and in order.
#[derive(Debug, Default, Clone)]
pub struct Numbered {
    next: BTreeMap<usize, usize>,
}

impl Numbered {
    /// The next record for `partition`, as the Java client takes it.
    pub fn record(&mut self, partition: usize) -> Value {
        let n = self.next.entry(partition).or_default();
        *n += 1;
        json!({"partition": partition, "value": json!({"p": partition, "n": *n - 1}).to_string()})
    }

    /// `count` records for each of `partitions`, in turn.
    pub fn records(&mut self, partitions: &[usize], count: usize) -> Value {
        (0..count).flat_map(|_| partitions.iter().map(|p| self.record(*p)).collect::<Vec<_>>()).collect()
    }

    pub fn total(&self) -> usize {
        self.next.values().sum()
    }

    /// How many were lost, came twice, and came out of order.
    pub fn judge(&self, events: &[SseEvent]) -> Verdict {
        let mut came: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for event in events.iter().filter(|e| e.kind == "message") {
            let value = event.json();
            let number = |name: &str| value[name].as_u64().expect("number") as usize;
            came.entry(number("p")).or_default().push(number("n"));
        }
        let mut verdict = Verdict::default();
        for (partition, count) in &self.next {
            let came = came.remove(partition).unwrap_or_default();
            let mut times = vec![0; *count];
            came.iter().for_each(|n| times[*n] += 1);
            verdict.lost += times.iter().filter(|t| **t == 0).count();
            verdict.twice += times.iter().filter(|t| **t > 1).count();
            verdict.disordered += came.windows(2).filter(|pair| pair[0] > pair[1]).count();
        }
        verdict
    }

    /// Panics unless each was seen exactly once and in order, and nothing but records came.
    #[track_caller]
    pub fn assert_exactly_once(&self, seen: &Seen) {
        let events = seen.events();
        let others: Vec<_> = events.iter().filter(|e| e.kind != "message").collect();
        assert!(others.is_empty(), "{others:?}");
        assert_eq!(self.judge(&events), Verdict::default());
        assert_eq!(events.len(), self.total());
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub lost: usize,
    pub twice: usize,
    pub disordered: usize,
}
