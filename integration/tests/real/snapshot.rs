//! Streams that start with the latest record of every key, on real Kafka and on the embedded log.

use crate::{SOON, bridge};
use curlew_integration::bridge::{Bridge, run};
use curlew_integration::follow::Follower;
use curlew_integration::java_client::ConsumedRecord;
use curlew_integration::kafka::Kafka;
use curlew_integration::sse::{SseEvent, Stream};
use curlew_integration::{EndOnDrop, eventually};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// The values of a client that applies each record by partition and key.
type State = BTreeMap<(i64, String), String>;

fn apply(state: &mut State, event: &SseEvent) {
    let record = event.json();
    let Some(key) = record["key"].as_str() else { return };
    let place = (record["partition"].as_i64().expect("partition"), key.to_owned());
    match event.kind.as_str() {
        "tombstone" => drop(state.remove(&place)),
        _ => drop(state.insert(place, record["value"].to_string())),
    }
}

/// The fold of a log as another consumer sees it, up to an offset of each partition.
fn fold(log: &[ConsumedRecord], before: impl Fn(i64) -> i64) -> State {
    let mut state = State::new();
    for record in log.iter().filter(|record| record.offset < before(record.partition)) {
        let Some(key) = record.key.clone() else { continue };
        let place = (record.partition, String::from_utf8(key).expect("text"));
        match &record.value {
            Some(_) => drop(state.insert(place, record.text())),
            None => drop(state.remove(&place)),
        }
    }
    state
}

/// Returns the events of a stream up to `event: live`.
fn read_to_live(stream: &mut Stream) -> Vec<SseEvent> {
    let deadline = Instant::now() + 2 * SOON;
    let mut events: Vec<SseEvent> = Vec::new();
    while events.last().is_none_or(|event| event.kind != "live") {
        assert!(Instant::now() < deadline, "no event: live after {} events", events.len());
        events.push(stream.event());
    }
    events
}

const PARTITIONS: i64 = 3;

/// Records of random keys, one in five of them a tombstone.
fn batch() -> Value {
    let record = |_| {
        let key = format!("key {}", fastrand::u8(..40));
        let partition = fastrand::i64(0..PARTITIONS);
        match fastrand::u8(..5) {
            0 => json!({"partition": partition, "key": key}),
            _ => json!({"partition": partition, "key": key, "value": fastrand::u16(..).to_string()}),
        }
    };
    (0..40).map(record).collect()
}

#[test]
fn a_snapshot_of_a_compacted_topic_is_a_fold_by_key_and_live_records_begin_exactly_after_it() {
    let kafka = Kafka::shared();
    let topic = curlew_integration::fresh_topic("state");
    let config = json!({"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01", "segment.ms": "500",
        "min.compaction.lag.ms": "0", "max.compaction.lag.ms": "500", "delete.retention.ms": "60000"});
    kafka.create_with(&topic, PARTITIONS as usize, config);
    kafka.produce(&topic, batch());
    let target = format!("/topics/{topic}/events?from=snapshot&format=record");
    let ended = AtomicBool::new(false);
    let mut streams = std::thread::scope(|scope| {
        let _end = EndOnDrop(&ended);
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                kafka.produce(&topic, batch());
                kafka.transaction(&topic, "abort", json!([{"partition": 0, "key": "key 1", "value": "aborted"}]));
            }
        });
        let mut streams = Vec::new();
        for _ in 0..6 {
            let mut stream = bridge().events(&target);
            let events = read_to_live(&mut stream);
            streams.push((stream, events));
        }
        streams
    });
    let last: Value = (0..PARTITIONS).map(|p| json!({"partition": p, "key": "last", "value": "0"})).collect();
    let ends: BTreeMap<i64, i64> = kafka.produce(&topic, last).into_iter().collect();
    let log = kafka.consume(&topic);
    for (stream, events) in &mut streams {
        let live = events.len() - 1;
        assert!(events[..live].iter().all(|event| event.id.is_empty()), "no id before event: live");
        assert_eq!(events[live].json()["keys"], live, "the number of keys");
        let mut state = State::new();
        events[..live].iter().for_each(|event| apply(&mut state, event));
        // Reads on up to the last record of each partition.
        let mut next: BTreeMap<i64, i64> = BTreeMap::new();
        let mut cut = BTreeMap::new();
        while (0..PARTITIONS).any(|p| next.get(&p).is_none_or(|next| *next <= ends[&p])) {
            let event = stream.event();
            let record = event.json();
            let (partition, offset) =
                (record["partition"].as_i64().expect("it"), record["offset"].as_i64().expect("it"));
            cut.entry(partition).or_insert(offset);
            assert!(
                next.get(&partition).is_none_or(|next| *next <= offset),
                "{partition}: {offset} comes once, in order"
            );
            next.insert(partition, offset + 1);
            apply(&mut state, &event);
        }
        for record in events[..live].iter().map(SseEvent::json) {
            let first = cut[&record["partition"].as_i64().expect("it")];
            assert!(record["offset"].as_i64().expect("it") < first, "{record} comes before the live records");
        }
        assert_eq!(state, fold(&log, |_| i64::MAX), "nothing is missing, nothing is there that was deleted or aborted");
    }
    // Everything is in the snapshot of a stream that opens now, through the bridge and from Kafka directly.
    let events = bridge().events(&format!("{target}&until=end")).rest();
    let mut state = State::new();
    events.iter().filter(|event| event.kind != "live").for_each(|event| apply(&mut state, event));
    assert_eq!(state, fold(&log, |_| i64::MAX));
    let url = format!("http://127.0.0.1:{}", bridge().port);
    let printed = [["--url", &url], ["--kafka", &kafka.bootstrap()]].map(|way| {
        let rest = ["--from", "snapshot", "--until-end", "--output", r"%p %k %v\n"];
        let output = run(&[&["consume", topic.as_str()][..], &way, &rest].concat());
        assert!(output.status.success(), "{way:?}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("text");
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    });
    let mut expected: Vec<_> =
        state.iter().map(|((partition, key), value)| format!("{partition} {key} {value}")).collect();
    expected.sort();
    assert_eq!(printed, [expected.clone(), expected]);
}

#[test]
fn a_snapshot_of_the_embedded_log_holds_every_acknowledged_record_after_a_kill() {
    let data = tempfile::Builder::new().prefix("curlew-state-").tempdir().expect("temp folder");
    let mut bridge = Bridge::embedded(data.path(), &["--partitions", "2"]);
    bridge.post("/topics/t?key=first", "text/plain", "0").expect(200);
    let target = "/topics/t/events?from=snapshot&format=record";
    let follower = Follower::start(bridge.port, target);
    follower.wait_for_id();
    let (ended, port) = (AtomicBool::new(false), bridge.port);
    // The last acknowledged number of each key, and one that may have been written after it.
    let written: Mutex<BTreeMap<String, (u32, u32)>> = Mutex::default();
    std::thread::scope(|scope| {
        let _end = EndOnDrop(&ended);
        for writer in 0..3 {
            let (ended, written) = (&ended, &written);
            scope.spawn(move || {
                for number in 1.. {
                    if ended.load(Ordering::Relaxed) {
                        return;
                    }
                    let key = format!("{writer}-{}", number % 7);
                    written.lock().expect("lock").entry(key.clone()).or_default().1 = number;
                    if is_acknowledged(port, &key, number) {
                        written.lock().expect("lock").entry(key).or_default().0 = number;
                    }
                }
            });
        }
        for _ in 0..4 {
            let total = || written.lock().expect("lock").values().map(|(_, number)| *number).max().unwrap_or(0);
            let before = total();
            eventually("records are written", SOON, || match total() {
                now if now > before + 40 => Ok(()),
                now => Err(format!("{now}")),
            });
            bridge.kill_and_restart();
            let acknowledged = written.lock().expect("lock").clone();
            let mut stream = Stream::open(bridge.port, target);
            let mut state = State::new();
            let events = read_to_live(&mut stream);
            events[..events.len() - 1].iter().for_each(|event| apply(&mut state, event));
            for (key, (least, _)) in acknowledged {
                let value = state.iter().find(|((_, known), _)| *known == key).map(|(_, value)| value.parse::<u32>());
                // A key of which nothing was acknowledged may be missing.
                assert!(
                    least == 0 || value.clone().is_some_and(|v| v.expect("number") >= least),
                    "{key}: {value:?}, {least}"
                );
            }
        }
    });
    // A client that was there all the time has the state of the log, and so has one that opens now.
    let log = bridge.events("/topics/t/events?from=earliest&until=end&format=record").rest();
    let mut expected = State::new();
    log.iter().for_each(|event| apply(&mut expected, event));
    let now = bridge.events(&format!("{target}&until=end")).rest();
    let mut state = State::new();
    now.iter().filter(|event| event.kind != "live").for_each(|event| apply(&mut state, event));
    assert_eq!(state, expected);
    follower.seen.wait_for_records(log.len(), SOON);
    let mut state = State::new();
    follower.seen.of_kind("message").iter().for_each(|event| apply(&mut state, event));
    assert_eq!(state, expected);
}

fn is_acknowledged(port: u16, key: &str, number: u32) -> bool {
    let target = format!("/topics/t?key={key}");
    let posted = || -> std::io::Result<u16> {
        let mut stream = curlew_integration::http::try_connect(port)?;
        let body = number.to_string();
        let length = body.len().to_string();
        let headers = [("Content-Type", "text/plain"), ("Content-Length", length.as_str())];
        curlew_integration::http::write_head(&mut stream, "POST", &target, &headers)?;
        std::io::Write::write_all(&mut stream, body.as_bytes())?;
        Ok(curlew_integration::http::read_head(stream)?.finish()?.status)
    };
    posted().is_ok_and(|status| status == 200)
}
