//! Without Kafka: the embedded log through the real binary, killed at any moment and on a full disk.

use curlew_integration::bridge::{Bridge, run, run_with_input};
use curlew_integration::follow::Follower;
use curlew_integration::http;
use curlew_integration::sse::SseEvent;
use curlew_integration::{EndOnDrop, eventually};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tempfile::TempDir;

const LONG: Duration = Duration::from_secs(60);

fn data_directory() -> TempDir {
    tempfile::Builder::new().prefix("curlew-data-").tempdir().expect("temporary directory")
}

fn values(bridge: &Bridge, target: &str) -> Vec<String> {
    bridge.events(target).rest().into_iter().map(|event| event.data).collect()
}

#[test]
fn the_bridge_starts_with_an_empty_directory_and_keeps_its_records() {
    let data = data_directory();
    let mut bridge = Bridge::embedded(data.path(), &[]);
    for (offset, value) in ["{\"a\":1}", "two", "three"].into_iter().enumerate() {
        let receipt = bridge.post("/topics/t?key=k", "text/plain", value).expect(200).json();
        assert_eq!(receipt["offsets"], json!([{"partition": 0, "offset": offset}]));
    }
    let first = bridge.events("/topics/t/events?from=earliest&until=end").rest();
    assert_eq!(bridge.stop(), Some(0));
    bridge.kill_and_restart();
    assert_eq!(values(&bridge, "/topics/t/events?from=earliest&until=end"), ["{\"a\":1}", "two", "three"]);
    let rest = format!("/topics/t/events?until=end&from={}", first[0].id);
    assert_eq!(values(&bridge, &rest), ["two", "three"]);
    assert_eq!(values(&bridge, "/topics/t/events?from=-15m&until=end").len(), 3);
    assert_eq!(bridge.get("/topics").expect(200).json(), json!(["t"]));
    bridge.get("/ready").expect(200);
}

#[test]
fn the_terminal_commands_work_with_the_embedded_log() {
    let data = data_directory();
    let bridge = Bridge::embedded(data.path(), &[]);
    let url = format!("http://127.0.0.1:{}", bridge.port);
    let written = run_with_input(&["produce", "t", "--url", &url, "--key-separator", ":"], b"a:1\nb:2\n");
    assert!(written.status.success(), "{written:?}");
    let read = run(&["consume", "t", "--url", &url, "--from", "earliest", "--until-end", "--output", r"%k=%v\n"]);
    assert_eq!(String::from_utf8_lossy(&read.stdout), "a=1\nb=2\n");
}

#[test]
fn a_recreated_topic_is_a_gap_for_readers_of_the_old_one() {
    let data = data_directory();
    let bridge = Bridge::embedded(data.path(), &["--allow-delete"]);
    bridge.post("/topics/t", "text/plain", "old").expect(200);
    let last = bridge.events("/topics/t/events?from=earliest&until=end").rest().remove(0);
    let follower = Follower::start(bridge.port, "/topics/t/events?from=earliest");
    follower.seen.wait_for_records(1, LONG);
    bridge.request("DELETE", "/topics/t?records=all", &[], b"").expect(204);
    assert_eq!(bridge.get("/topics").expect(200).json(), json!([]));
    bridge.post("/topics/t", "text/plain", "new").expect(200);
    follower.seen.wait_for_records(2, LONG);
    let kinds: Vec<_> = follower.seen.events().iter().map(|e| (e.kind.clone(), e.data.clone())).collect();
    let gap = follower.seen.of_kind("gap").remove(0).json();
    assert_eq!(
        (&gap["reason"], kinds.last()),
        (&json!("recreated"), Some(&("message".into(), "new".into()))),
        "{kinds:?}"
    );
    let late = bridge.events(&format!("/topics/t/events?until=end&from={}", last.id)).rest();
    let late: Vec<_> = late.iter().map(|e| e.kind.as_str()).collect();
    assert_eq!(late, ["gap", "message"]);
}

fn line(name: &str, n: usize) -> String {
    format!("\"{name}-{n}\"")
}

fn post_lines(bridge: &Bridge, name: &str, count: usize) {
    let lines: Vec<_> = (0..count).map(|n| line(name, n)).collect();
    bridge.post("/topics/t", "application/x-ndjson", lines.join("\n")).expect(200);
}

/// When the data directory is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Copied {
    /// The copy was made after the last opening of the log.
    WhileServed,
    /// The copy was made before that opening, so it does not know the cursors after it.
    WhileStopped,
}

#[test]
fn an_older_copy_of_the_directory_that_has_grown_past_the_cursor_is_a_gap() {
    for (copied, log_continues_at) in [(Copied::WhileServed, 5), (Copied::WhileStopped, 0)] {
        let (data, copy) = (data_directory(), data_directory());
        let copy_files = |from: &TempDir, to: &TempDir| {
            for entry in std::fs::read_dir(from.path()).expect("directory") {
                let entry = entry.expect("entry");
                std::fs::copy(entry.path(), to.path().join(entry.file_name())).expect("copy");
            }
        };
        let mut bridge = Bridge::embedded(data.path(), &[]);
        post_lines(&bridge, "same", 5);
        if copied == Copied::WhileServed {
            copy_files(&data, &copy);
        } else {
            assert_eq!(bridge.stop(), Some(0));
            copy_files(&data, &copy);
            bridge.kill_and_restart();
        }
        post_lines(&bridge, "lost", 15);
        let live = Follower::start(bridge.port, "/topics/t/events?from=earliest");
        live.seen.wait_for_records(20, LONG);
        let cut = Follower::start(bridge.port, "/topics/t/events?from=earliest");
        cut.seen.wait_for_records(20, LONG);
        let id = cut.stop();
        assert_eq!(bridge.stop(), Some(0));
        copy_files(&copy, &data);
        bridge.kill_and_restart();
        post_lines(&bridge, "new", 20);

        let same = (log_continues_at..5).map(|n| line("same", n));
        let expected: Vec<_> = same.chain((0..20).map(|n| line("new", n))).collect();
        let assert_gap_then_records = |events: &[SseEvent]| {
            let reported = events[0].json();
            let gap = json!({"topic": "t", "partition": 0, "from": 20, "to": log_continues_at, "reason": "truncated"});
            assert_eq!((events[0].kind.as_str(), reported), ("gap", gap), "{copied:?}");
            let after: Vec<_> = events[1..].iter().map(|event| event.data.clone()).collect();
            assert_eq!(after, expected, "{copied:?}");
        };
        assert_gap_then_records(&bridge.events(&format!("/topics/t/events?until=end&from={id}")).rest());
        live.seen.wait_for_records(20 + expected.len(), LONG);
        let mut events = live.seen.events();
        // Each shutdown of the bridge ends the stream with a problem.
        events.retain(|event| event.kind != "problem");
        assert_gap_then_records(&events[20..]);
    }
}

#[test]
fn a_second_bridge_on_the_same_directory_names_the_process_to_stop() {
    let data = data_directory();
    let mut bridge = Bridge::embedded(data.path(), &[]);
    let path = data.path().to_str().expect("UTF-8");
    let second = run(&["serve", "--listen", "127.0.0.1:0", "--data", path]);
    let printed = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(printed.contains(&format!("stop it (kill {})", bridge.process().id())), "{printed}");
    assert_eq!(second.status.code(), Some(2));
}

/// Fails if the bridge is down, or killed before it responds.
fn try_post(port: u16, value: &str) -> std::io::Result<http::Response> {
    let mut stream = http::try_connect(port)?;
    let length = value.len().to_string();
    http::write_head(&mut stream, "POST", "/topics/t", &[("Content-Length", &length)])?;
    stream.write_all(value.as_bytes())?;
    http::read_head(stream)?.finish()
}

/// Posts numbered records one after another, and records the acknowledged offsets.
fn post_until(ended: &AtomicBool, port: u16, writer: usize, acknowledged: &Mutex<Vec<(i64, String)>>) {
    for number in 0.. {
        if ended.load(Ordering::Relaxed) {
            return;
        }
        let value = format!("{writer}-{number}");
        // A record that was cut off is not sent again: it may have been written, but never twice.
        let posted = try_post(port, &value);
        match posted {
            Ok(receipt) if receipt.status == 200 => {
                let offset = receipt.json()["offsets"][0]["offset"].as_i64().expect("offset");
                acknowledged.lock().expect("lock").push((offset, value));
            }
            _ => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// The number of kills: `$CURLEW_KILLS` for a long run.
fn kills() -> usize {
    std::env::var("CURLEW_KILLS").map_or(10, |n| n.parse().expect("CURLEW_KILLS is a number"))
}

#[test]
fn a_kill_at_any_moment_loses_no_acknowledged_record_and_streams_resume_exactly() {
    let data = data_directory();
    let mut bridge = Bridge::embedded(data.path(), &[]);
    bridge.post("/topics/t", "text/plain", "first").expect(200);
    let follower = Follower::start(bridge.port, "/topics/t/events?from=earliest");
    follower.wait_for_id();
    let (ended, acknowledged, port) = (AtomicBool::new(false), Mutex::default(), bridge.port);
    std::thread::scope(|scope| {
        let _end = EndOnDrop(&ended);
        for writer in 0..4 {
            let (ended, acknowledged) = (&ended, &acknowledged);
            scope.spawn(move || post_until(ended, port, writer, acknowledged));
        }
        for _ in 0..kills() {
            let before = acknowledged.lock().expect("lock").len();
            let more = 1 + fastrand::usize(..200);
            eventually("records are acknowledged", LONG, || {
                let now = acknowledged.lock().expect("lock").len();
                if now >= before + more { Ok(()) } else { Err(format!("{now} of {}", before + more)) }
            });
            bridge.kill_and_restart();
        }
    });
    let acknowledged = acknowledged.into_inner().expect("lock");
    let stored = bridge.events("/topics/t/events?from=earliest&until=end&format=record").rest();
    let stored: Vec<Value> = stored.iter().map(|e| serde_json::from_str(&e.data).expect("JSON")).collect();
    let value = |record: &Value| record["value"].as_str().expect("text").to_owned();
    for (offset, record) in stored.iter().enumerate() {
        assert_eq!(record["offset"], offset, "offsets are consecutive");
    }
    let distinct: HashSet<String> = stored.iter().map(value).collect();
    assert_eq!(distinct.len(), stored.len(), "no record is duplicated");
    for (offset, acknowledged) in &acknowledged {
        assert_eq!(value(&stored[*offset as usize]), *acknowledged, "at offset {offset}");
    }
    follower.seen.wait_for_records(stored.len(), LONG);
    let seen: Vec<String> = follower.seen.of_kind("message").into_iter().map(|event| event.data).collect();
    assert_eq!(seen, stored.iter().map(value).collect::<Vec<_>>(), "the resumed stream has all records of the log");
    println!("{} kills, {} acknowledged, {} stored, all received once", kills(), acknowledged.len(), stored.len());
}

/// A separate file system that can be filled; `None` if this user may not mount one.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount(size: &str) -> Option<Self> {
        let data_directory = data_directory();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(data_directory.path())
            .status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(data_directory))
    }

    fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

#[test]
fn on_a_full_disk_reading_continues_and_writing_resumes_once_there_is_space() {
    let Some(disk) = SmallDisk::mount("24m") else {
        eprintln!("SKIPPED, NOT TESTED: the full disk, since only root may mount a small one");
        return;
    };
    let ballast = disk.path().join("ballast");
    std::fs::write(&ballast, vec![0; 8 << 20]).expect("ballast");
    let bridge = Bridge::embedded(&disk.data(), &[]);
    let value = |number: usize| format!("{number:08}{}", "x".repeat(100_000));
    let mut written = 0;
    let full = loop {
        let receipt = bridge.post("/topics/t", "text/plain", value(written));
        if receipt.status != 200 {
            break receipt;
        }
        written += 1;
        assert!(written < 1000, "the disk is not full");
    };
    assert_eq!(full.status, 507, "{}", full.text());
    assert!(full.text().contains("no space left on the disk"), "{}", full.text());
    let ready = bridge.get("/ready");
    assert!(ready.status == 503 && ready.text().contains("no space left on the disk"), "{}", ready.text());
    let metrics = bridge.get("/metrics").text();
    assert!(metrics.contains("curlew_unwritable_partitions{topic=\"t\"}"), "{metrics}");
    let assert_complete = |expected: usize| {
        let stored = values(&bridge, "/topics/t/events?from=earliest&until=end");
        assert_eq!(stored.len(), expected);
        assert!(stored.iter().enumerate().all(|(number, stored)| *stored == value(number)), "in order and complete");
    };
    assert_complete(written);
    // Reads succeed while writes are rejected.
    bridge.post("/topics/t", "text/plain", value(written)).expect(507);
    assert_complete(written);
    std::fs::remove_file(&ballast).expect("room");
    eventually("/ready reports space without a write", LONG, || match bridge.get("/ready") {
        ready if ready.status == 200 => Ok(()),
        ready => Err(ready.text()),
    });
    eventually("writing resumes", LONG, || match bridge.post("/topics/t", "text/plain", value(written)) {
        receipt if receipt.status == 200 => Ok(()),
        receipt => Err(receipt.text()),
    });
    assert_complete(written + 1);
    println!("{written} records until the disk was full");
}

/// Fills the disk to the last byte and frees it, repeatedly. A check of the free space before a write cannot foresee
/// this.
fn fill_and_free(ended: &AtomicBool, ballast: &Path) {
    while !ended.load(Ordering::Relaxed) {
        if let Ok(mut file) = std::fs::File::create(ballast) {
            while file.write_all(&[0; 64 << 10]).is_ok() {}
            while file.write_all(&[0; 4 << 10]).is_ok() {}
        }
        std::thread::sleep(Duration::from_millis(20));
        let _ = std::fs::remove_file(ballast);
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_disk_that_fills_up_during_a_write_loses_no_acknowledged_record() {
    let Some(disk) = SmallDisk::mount("64m") else {
        eprintln!("SKIPPED, NOT TESTED: the full disk, since only root may mount a small one");
        return;
    };
    let mut bridge = Bridge::embedded(&disk.data(), &["--retention-bytes", "8MiB"]);
    let value = |number: usize| format!("{number:08}{}", "x".repeat(200_000));
    let (ended, mut acknowledged, mut rejected) = (AtomicBool::new(false), Vec::new(), 0);
    std::thread::scope(|scope| {
        let _end = EndOnDrop(&ended);
        let (ended, ballast) = (&ended, disk.path().join("ballast"));
        scope.spawn(move || fill_and_free(ended, &ballast));
        for number in 0..300 {
            let receipt = bridge.post("/topics/t", "text/plain", value(number));
            match receipt.status {
                200 => acknowledged.push((receipt.json()["offsets"][0]["offset"].as_i64().expect("offset"), number)),
                503 | 507 => rejected += 1,
                other => panic!("{other}: {}", receipt.text()),
            }
        }
    });
    eventually("writing resumes", LONG, || match bridge.post("/topics/t", "text/plain", "last") {
        receipt if receipt.status == 200 => Ok(()),
        receipt => Err(receipt.text()),
    });
    let failed = bridge.log().matches("a write failed").count();
    for _ in 0..2 {
        let stored = bridge.events("/topics/t/events?from=earliest&until=end&format=record").rest();
        let stored: Vec<Value> = stored.iter().map(|e| serde_json::from_str(&e.data).expect("JSON")).collect();
        assert!(stored.len() > 1);
        for record in &stored[..stored.len() - 1] {
            let (offset, text) = (record["offset"].as_i64().expect("offset"), record["value"].as_str().expect("text"));
            let number = acknowledged.iter().find(|(acknowledged, _)| *acknowledged == offset).map(|(_, n)| *n);
            assert_eq!(number.map(value).as_deref(), Some(text), "at offset {offset}");
        }
        bridge.kill_and_restart();
    }
    println!("{} acknowledged, {rejected} refused, {failed} writes failed in the middle", acknowledged.len());
}

#[test]
fn a_late_stream_sees_the_gap_left_by_retention() {
    let data = data_directory();
    let bridge = Bridge::embedded(data.path(), &["--retention-bytes", "512KiB"]);
    bridge.post("/topics/t", "text/plain", "first").expect(200);
    let first = bridge.events("/topics/t/events?from=earliest&until=end").rest();
    for _ in 0..40 {
        bridge.post("/topics/t", "text/plain", "x".repeat(40 << 10)).expect(200);
    }
    let target = format!("/topics/t/events?until=end&from={}", first[0].id);
    let events = eventually("retention has passed", LONG, || {
        let events = bridge.events(&target).rest();
        if events.first().is_some_and(|e| e.kind == "gap") { Ok(events) } else { Err(format!("{}", events.len())) }
    });
    let gap: Value = serde_json::from_str(&events[0].data).expect("JSON");
    assert_eq!((&gap["reason"], &gap["from"]), (&json!("retention"), &json!(1)));
    assert_eq!(gap["to"].as_u64().expect("to") as usize, 41 - (events.len() - 1));
}
