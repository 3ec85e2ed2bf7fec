//! `sample=`: at most one record per key and interval, the latest.

use crate::hub::{Client, hub, resume, subscription, topic};
use crate::resume::{bridge, get};
use crate::support::memory_broker::MemoryBroker;
use crate::support::wait;
use curlew::cel::Expression;
use curlew::cursor::{Cursor, Selection};
use curlew::hub::*;
use curlew::record::*;
use curlew::sync::memory_budget::{MemoryBudget, Share};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A record: its partition, key and timestamp.
type Given = (usize, Option<&'static str>, Timestamp);

fn append(broker: &MemoryBroker, (partition, key, timestamp): Given) -> Offset {
    let key = key.map(|key| key.into());
    let value = Some(timestamp.to_string().into());
    broker.append_record("t", partition, NewRecord { key, value, timestamp: Some(timestamp), ..NewRecord::default() })
}

fn broker(partitions: usize, records: &[Given]) -> Arc<MemoryBroker> {
    let broker = MemoryBroker::new();
    broker.create("t", partitions);
    records.iter().for_each(|record| {
        append(&broker, *record);
    });
    broker
}

/// A hub whose sampled streams can hold records of this size.
fn hub_with_memory(broker: &Arc<MemoryBroker>, bytes: usize) -> Hub {
    let mut memory = MemoryBudget::default();
    memory.samples = Share::new("samples", bytes, bytes);
    Hub::start(broker.clone(), Settings { memory, ..Settings::default() }).unwrap()
}

fn sampled(interval: Duration, start: Start) -> Subscription {
    Subscription { filter: Filter { sample: Some(interval), ..Filter::default() }, ..subscription(&["t"], start) }
}

fn to_end(subscription: Subscription) -> Subscription {
    Subscription { until: Until::End, ..subscription }
}

/// The partition and offset of each record.
fn places(lines: &[String]) -> Vec<(usize, Offset)> {
    let records = lines.iter().filter_map(|line| line.strip_prefix("record t/"));
    let place = |line: &str| {
        let (partition, offset) = line.split(' ').next()?.split_once('@')?;
        Some((partition.parse().ok()?, offset.parse().ok()?))
    };
    records.map(|line| place(line).unwrap()).collect()
}

/// The latest record of each key in each interval of each partition: what a sampled stream must send.
fn fold(partitions: usize, records: &[Given], interval: Timestamp) -> BTreeSet<(usize, Offset)> {
    let mut latest = BTreeMap::new();
    for partition in 0..partitions {
        let own = records.iter().filter(|record| record.0 == partition);
        let mut number = i64::MIN;
        for (offset, (_, key, timestamp)) in own.enumerate() {
            // A late record counts in the interval in which it comes.
            number = number.max(timestamp.div_euclid(interval));
            latest.insert((partition, number, *key), (partition, offset as Offset));
        }
    }
    latest.into_values().collect()
}

fn given() -> impl Strategy<Value = Vec<Given>> {
    let key = prop::sample::select(vec![None, Some("a"), Some("b"), Some("c")]);
    prop::collection::vec((0..2usize, key, 0..6_000i64), 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn a_sample_is_the_latest_record_of_each_key_and_interval(records in given()) {
        let broker = broker(2, &records);
        let hub = hub(&broker);
        let mut client = Client::open(&hub, to_end(sampled(Duration::from_secs(1), Start::Earliest)));
        client.read_to_end();
        let sent = places(&client.lines);
        prop_assert_eq!(sent.iter().copied().collect::<BTreeSet<_>>(), fold(2, &records, 1000), "{:?}", client.lines);
        prop_assert_eq!(sent.len(), fold(2, &records, 1000).len(), "none is sent twice");
        let last = Cursor::parse(&client.id, vec![topic("t")], Selection::All).unwrap();
        let ends = [0, 1].map(|partition| records.iter().filter(|record| record.0 == partition).count() as Offset);
        prop_assert_eq!(last.offsets(0).map(|(_, next)| next).collect::<Vec<_>>(), ends);
    }

    #[test]
    fn a_sampled_stream_cut_at_any_id_misses_no_latest_record(
        records in given(),
        sorted in any::<bool>(),
        bytes in prop::sample::select(vec![0, 700, 1_500, 1 << 20]),
    ) {
        let mut records = records;
        if sorted {
            records.sort_by_key(|record| record.2);
        }
        let broker = broker(2, &records);
        let hub = hub_with_memory(&broker, bytes);
        let interval = Duration::from_secs(1);
        let mut all = Client::open(&hub, to_end(sampled(interval, Start::Earliest)));
        all.read_to_end();
        let latest = fold(2, &records, 1000);
        for (cut, line) in all.lines.iter().enumerate() {
            let id = line.rsplit(' ').next().unwrap().trim_end_matches('~');
            let again = Subscription { start: resume(&["t"], id).start, ..sampled(interval, Start::Latest) };
            let mut again = Client::open(&hub, to_end(again));
            again.read_to_end();
            let lines: Vec<_> = all.lines[..=cut].iter().chain(&again.lines).cloned().collect();
            let sent = places(&lines);
            let distinct: BTreeSet<_> = sent.iter().copied().collect();
            prop_assert_eq!(sent.len(), distinct.len(), "none is sent twice: {:?}", lines);
            prop_assert!(distinct.is_superset(&latest), "{:?} of {:?}", lines, latest);
            prop_assert!(!sorted || bytes < 1 << 20 || distinct == latest, "{:?} is more than {:?}", lines, latest);
        }
    }
}

/// Reads until a record with this offset of partition 0 is there.
fn until_offset(client: &mut Client, offset: Offset) {
    while !places(&client.lines).contains(&(0, offset)) {
        assert!(client.next().is_some(), "{:?}", client.lines);
    }
}

#[test]
fn streams_of_the_same_sample_share_the_chunk_that_the_clock_sends() {
    let broker = broker(1, &[(0, Some("a"), 1)]);
    let hub = hub(&broker);
    let interval = Duration::from_millis(300);
    let starts = [Start::Latest, Start::Latest, Start::Earliest];
    let mut clients: Vec<_> = starts.into_iter().map(|start| Client::open(&hub, sampled(interval, start))).collect();
    clients.iter_mut().for_each(|client| client.until("at"));
    for first in [1, 5] {
        until_live(&hub, &mut clients.iter_mut().collect::<Vec<_>>());
        // Far from the clock, so that no timestamp ends the interval.
        for (key, timestamp) in [("a", 10), ("b", 11), ("a", 12), ("a", 13)] {
            append(&broker, (0, Some(key), timestamp));
        }
        let last = format!("record t/0@{}", first + 3);
        let chunks: Vec<_> = clients.iter_mut().map(|client| client.chunk_with(&last)).collect();
        let text = String::from_utf8_lossy(&chunks[0]);
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        assert_eq!(places(&lines), [(0, first + 1), (0, first + 3)], "{text}");
        assert!(chunks.iter().all(|chunk| chunk.as_ptr() == chunks[0].as_ptr()), "one chunk for all: {chunks:?}");
        // A stream that joins meanwhile shares the next one.
        let mut another = Client::open(&hub, sampled(interval, Start::Latest));
        another.until("at");
        clients.push(another);
    }
}

#[test]
fn a_live_sample_sends_at_most_one_record_per_key_and_interval_and_always_the_last() {
    let broker = broker(1, &[]);
    let hub = hub(&broker);
    let interval = Duration::from_millis(200);
    let mut first = Client::open(&hub, sampled(interval, Start::Latest));
    first.until("at");
    let (mut appended, mut latest) = (Vec::new(), BTreeMap::new());
    let started = Instant::now();
    let mut last = now();
    while started.elapsed() < Duration::from_millis(1_500) {
        std::thread::yield_now();
        if now() < last + 5 {
            continue;
        }
        last = now();
        for key in ["a", "b", "c"] {
            let timestamp = now();
            let offset = append(&broker, (0, Some(key), timestamp));
            appended.push((key, timestamp));
            latest.insert(key, offset);
        }
        if appended.len() == 60 {
            // The client reconnects, and joins the live flow in the middle of an interval.
            let id = first.id.clone();
            let lines = first.lines.clone();
            first = Client::open(
                &hub,
                Subscription { start: resume(&["t"], &id).start, ..sampled(interval, Start::Latest) },
            );
            first.lines = lines;
        }
    }
    latest.values().for_each(|offset| until_offset(&mut first, *offset));
    let sent = places(&first.lines);
    let distinct: BTreeSet<_> = sent.iter().collect();
    assert_eq!(distinct.len(), sent.len(), "none is sent twice: {sent:?}");
    let mut intervals = BTreeMap::new();
    for (_, offset) in &sent {
        let (key, timestamp) = appended[*offset as usize];
        *intervals.entry((key, timestamp.div_euclid(200))).or_insert(0) += 1;
    }
    // The clock can end an interval early only if this machine is too busy to deliver for a quarter of it.
    let repeated = intervals.values().filter(|count| **count > 1).count();
    assert!(repeated <= 3 && intervals.len() >= 6, "{intervals:?}");
}

#[test]
fn records_held_at_a_cut_are_sent_to_the_client_that_reconnects() {
    let broker = broker(1, &[]);
    let hub = hub(&broker);
    let hour = Duration::from_secs(3600);
    let mut client = Client::open(&hub, sampled(hour, Start::Latest));
    client.until("at");
    append(&broker, (0, Some("a"), 1));
    append(&broker, (0, Some("b"), 2));
    append(&broker, (0, Some("a"), 3));
    let other = Client::open(&hub, sampled(hour, Start::Latest));
    let id = client.id.clone();
    drop((client, other));
    let again = Subscription { start: resume(&["t"], &id).start, ..sampled(hour, Start::Latest) };
    let mut again = Client::open(&hub, again);
    again.until("at");
    // The next interval begins.
    append(&broker, (0, Some("c"), 3_600_000));
    until_offset(&mut again, 2);
    assert_eq!(places(&again.lines), [(0, 1), (0, 2)], "{:?}", again.lines);
    let mut to_the_end = Client::open(&hub, to_end(resume(&["t"], &again.id)));
    to_the_end.read_to_end();
    assert_eq!(places(&to_the_end.lines), [(0, 3)], "the id covers what was replaced, and not what is held");
}

/// Opens a stream beside one without a sample. Both are live.
fn live_beside_plain(hub: &Hub, with_sample: Subscription) -> (Client, Client) {
    let mut clients = [with_sample, subscription(&["t"], Start::Latest)].map(|given| Client::open(hub, given));
    clients.iter_mut().for_each(|client| client.until("at"));
    let [mut client, mut plain] = clients;
    until_live(hub, &mut [&mut client, &mut plain]);
    (client, plain)
}

/// Recreates the topic without records, or truncates its log at `end`.
fn cut(broker: &MemoryBroker, recreated: bool, end: Offset) {
    if recreated {
        broker.delete("t");
        broker.create("t", 1);
    } else {
        broker.truncate("t", 0, end);
    }
}

#[test]
fn held_records_are_sent_before_a_gap() {
    for recreated in [false, true] {
        let broker = broker(1, &[]);
        let hub = hub(&broker);
        let (mut client, mut plain) = live_beside_plain(&hub, sampled(Duration::from_secs(3600), Start::Latest));
        for (key, timestamp) in [("a", 1), ("b", 2), ("a", 3)] {
            append(&broker, (0, Some(key), timestamp));
        }
        // The feed has read them when a live stream without a sample has them.
        plain.until("record t/0@2");
        cut(&broker, recreated, 1);
        plain.until("gap");
        client.until("gap");
        let story: Vec<_> = client.story().into_iter().filter(|line| *line != "at").map(str::to_owned).collect();
        let gap = if recreated { "gap t/0:3-0:recreated" } else { "gap t/0:3-1:truncated" };
        assert_eq!(story, ["record t/0@1 2", "record t/0@2 3", gap]);
    }
}

#[test]
fn a_stream_that_reaches_its_limit_before_a_gap_is_complete() {
    for recreated in [false, true] {
        let broker = broker(1, &[]);
        let hub = hub(&broker);
        let filter = sampled(Duration::from_secs(3600), Start::Latest);
        let limited = Subscription { limit: NonZeroU64::new(1), ..filter };
        let (mut client, mut plain) = live_beside_plain(&hub, limited);
        append(&broker, (0, Some("a"), 1));
        append(&broker, (0, Some("b"), 2));
        plain.until("record t/0@1");
        cut(&broker, recreated, 0);
        client.read_to_end();
        assert_eq!(client.story(), ["at", "record t/0@0 1"], "{:?}", client.lines);
        assert!(client.id.ends_with('~'), "{}", client.id);
        plain.until("gap");
        let gaps = || GapReason::ALL.iter().map(|reason| hub.counts().gaps(*reason)).sum::<u64>();
        // A gap is counted after it is sent.
        wait::until("the gap of the other stream", || gaps() > 0);
        assert_eq!(gaps(), 1);
    }
}

#[test]
fn an_interval_with_more_records_than_a_mailbox_holds_is_sent_completely() {
    const KEYS: usize = 6_000;
    let broker = broker(1, &[]);
    let hub = hub(&broker);
    let mut clients: Vec<_> =
        (0..2).map(|_| Client::open(&hub, sampled(Duration::from_millis(500), Start::Latest))).collect();
    clients.iter_mut().for_each(|client| client.until("at"));
    // Both are live, so they are evicted together.
    until_live(&hub, &mut clients.iter_mut().collect::<Vec<_>>());
    for number in 0..2 * KEYS {
        let key = Some(format!("k{}", number % KEYS).into());
        let value = Some(vec![b'x'; 300].into());
        let timestamp = Some((number / KEYS) as Timestamp);
        broker.append_record("t", 0, NewRecord { key, value, timestamp, ..NewRecord::default() });
    }
    for client in &mut clients {
        let mut sent = Vec::new();
        while !sent.contains(&(0, 2 * KEYS as Offset - 1)) {
            assert!(client.next().is_some());
            sent = places(&client.lines);
        }
        let distinct: BTreeSet<_> = sent.iter().copied().collect();
        assert_eq!(distinct.len(), sent.len(), "none is sent twice");
        assert!((KEYS..2 * KEYS).all(|offset| distinct.contains(&(0, offset as Offset))), "the latest of each key");
    }
}

#[test]
fn streams_that_are_evicted_together_with_different_records_each_send_their_own() {
    const BURST: usize = 24;
    let broker = broker(1, &[]);
    let hub = hub(&broker);
    // It takes longer than the live flow allows, so that streams which are evicted share their turns.
    let condition = Some(Arc::new(Expression::compile("value.n >= 0").unwrap()));
    let open = || {
        let sampled = sampled(Duration::from_millis(500), Start::Latest);
        let filter = Filter { condition: condition.clone(), ..sampled.filter };
        Client::open(&hub, Subscription { filter, ..sampled })
    };
    let mut clients = [open(), open()];
    clients.iter_mut().for_each(|client| client.until("at"));
    let [first, second] = &mut clients;
    until_live(&hub, &mut [first, second]);
    let append = |number: usize, numbers: usize| {
        let value = format!("{{\"pad\": [{}0], \"n\": {number}}}", "0,".repeat(numbers));
        let key = Some(format!("k{number}").into());
        let record = NewRecord { key, value: Some(value.into()), timestamp: Some(1), ..NewRecord::default() };
        broker.append_record("t", 0, record);
    };
    // More than a stream may get when it joins.
    append(0, 400_000);
    // The second client does not take the chunk that the clock sends.
    until_offset(&mut clients[0], 0);
    (1..=BURST).for_each(|number| append(number, 20_000));
    let deadline = Instant::now() + Duration::from_secs(2);
    while hub.status().behind.catching_up + hub.status().behind.stalled < 2 && Instant::now() < deadline {
        std::thread::yield_now();
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    let all: Vec<_> = (0..=BURST as Offset).map(|offset| (0, offset)).collect();
    while clients.iter().any(|client| places(&client.lines).len() < all.len()) {
        let sent = || clients.iter().map(|client| places(&client.lines)).collect::<Vec<_>>();
        assert!(Instant::now() < deadline, "{:?}", sent());
        clients.iter_mut().for_each(|client| drop(client.poll()));
        std::thread::yield_now();
    }
    for client in &clients {
        let mut sent = places(&client.lines);
        sent.sort_unstable();
        assert_eq!(sent, all, "none is lost or sent twice");
    }
}

/// Polls until all streams are live. A stream joins while its client waits for more.
fn until_live(hub: &Hub, clients: &mut [&mut Client]) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while hub.status().behind.catching_up + hub.status().behind.stalled > 0 {
        assert!(Instant::now() < deadline, "all streams join the live flow");
        clients.iter_mut().for_each(|client| drop(client.poll()));
        std::thread::yield_now();
    }
}

#[test]
fn a_stream_that_joins_after_held_records_were_dropped_gets_them() {
    let broker = broker(1, &[]);
    let hub = Hub::start(broker.clone(), Settings::default()).unwrap();
    let hour = Duration::from_secs(3600);
    let mut first = Client::open(&hub, sampled(hour, Start::Latest));
    first.until("at");
    until_live(&hub, &mut [&mut first]);
    append(&broker, (0, Some("a"), 1));
    append(&broker, (0, Some("b"), 3_600_001));
    until_offset(&mut first, 0);
    // This stream joins while the feed holds the second record.
    let mut second = Client::open(&hub, sampled(hour, Start::Earliest));
    until_offset(&mut second, 0);
    until_live(&hub, &mut [&mut first, &mut second]);
    drop((first, second));
    // The clock finds that the feed has no stream.
    std::thread::sleep(Duration::from_millis(1_500));
    let mut third = Client::open(&hub, sampled(hour, Start::Latest));
    third.until("at");
    until_live(&hub, &mut [&mut third]);
    let mut fourth = Client::open(&hub, sampled(hour, Start::Earliest));
    until_offset(&mut fourth, 0);
    append(&broker, (0, Some("c"), 7_200_001));
    until_offset(&mut fourth, 1);
}

#[test]
fn without_memory_records_are_sent_early_and_none_is_lost() {
    let records: Vec<Given> = (0..50).map(|n| (0, Some(["a", "b", "c"][n % 3]), n as Timestamp)).collect();
    let broker = broker(1, &records);
    for (bytes, sent) in [(0, 50), (700, 50), (1 << 20, 3)] {
        let hub = hub_with_memory(&broker, bytes);
        let mut client = Client::open(&hub, to_end(sampled(Duration::from_secs(60), Start::Earliest)));
        client.read_to_end();
        let places = places(&client.lines);
        assert!(places.ends_with(&[(0, 47), (0, 48), (0, 49)]), "{places:?}");
        assert!(places.len() <= sent && (bytes > 0 || places.len() == sent), "{bytes}: {places:?}");
    }
}

#[test]
fn a_clock_that_is_wrong_once_does_not_end_sampling_for_the_rest() {
    let mut records: Vec<Given> = (0..600).map(|n| (0, Some("a"), n * 100)).collect();
    records.insert(100, (0, Some("b"), 4_000_000_000_000));
    let broker = broker(1, &records);
    let hub = hub(&broker);
    let mut client = Client::open(&hub, to_end(sampled(Duration::from_secs(1), Start::Earliest)));
    client.read_to_end();
    // 60 s, of which the 10 s after the wrong timestamp are one interval.
    let sent = places(&client.lines).len();
    assert!((50..=61).contains(&sent), "{sent} records");
}

#[test]
fn a_limit_counts_the_records_that_are_sent() {
    let records: Vec<Given> = (0..10).map(|n| (0, Some("a"), n * 500)).collect();
    let broker = broker(1, &records);
    let hub = hub(&broker);
    let limited = Subscription { limit: NonZeroU64::new(2), ..sampled(Duration::from_secs(1), Start::Earliest) };
    let mut client = Client::open(&hub, limited);
    client.read_to_end();
    assert_eq!(places(&client.lines), [(0, 1), (0, 3)], "{:?}", client.lines);
    assert!(client.id.ends_with('~'));
}

#[test]
fn a_limit_ends_a_stream_inside_an_interval() {
    let broker = broker(1, &[(0, Some("a"), 1), (0, Some("b"), 2), (0, Some("c"), 3), (0, Some("a"), 2000)]);
    let hub = hub(&broker);
    for limit in 1..=3 {
        for until in [Until::Forever, Until::End] {
            let filter = sampled(Duration::from_secs(1), Start::Earliest);
            let mut client = Client::open(&hub, Subscription { limit: NonZeroU64::new(limit), until, ..filter });
            client.read_to_end();
            let expected: Vec<_> = (0..limit as Offset).map(|offset| (0, offset)).collect();
            assert_eq!(places(&client.lines), expected, "{:?}", client.lines);
            assert!(client.id.ends_with('~'), "{}", client.id);
        }
    }
}

#[tokio::test]
async fn an_invalid_interval_is_a_400_that_says_what_is_allowed() {
    let broker = broker(1, &[(0, Some("a"), 1), (0, Some("a"), 2), (0, None, 3)]);
    let app = bridge(&broker);
    for bad in ["", "1", "10ms", "2h", "-1s", "soon"] {
        let path = format!("/topics/t/events?sample={bad}");
        let answer = get(&app, &path, &[]).await;
        let body = String::from_utf8_lossy(answer.body());
        assert!(answer.status() == 400 && body.contains("from 100ms to 1h, such as 1s"), "{bad}: {body}");
    }
    let path = "/topics/t/events?from=earliest&until=end&sample=1m";
    let answer = get(&app, path, &[]).await;
    let body = String::from_utf8_lossy(answer.body());
    let data: Vec<_> = body.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    assert_eq!(data, ["2", "3", "{}"], "{body}");
}
