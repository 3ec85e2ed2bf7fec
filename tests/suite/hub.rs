//! The hub through its public interface, on a broker in memory.

use crate::support::memory_broker::MemoryBroker;
use crate::support::wait;
use curlew::broker::BrokerError;
use curlew::cel::Expression;
use curlew::cursor::{Cursor, Selection};
use curlew::hub::*;
use curlew::record::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// Writes frames as lines: kind, position, content, id.
pub enum Lines {
    /// `VALUE`
    Values,
    /// `KEY=VALUE`, with `-` for null.
    KeysAndValues,
}

impl Format for Lines {
    fn name(&self) -> &str {
        match self {
            Self::Values => "values",
            Self::KeysAndValues => "keys and values",
        }
    }
    fn uses_ids(&self) -> bool {
        true
    }
    fn live(&self, out: &mut Vec<u8>, keys: u64, id: &str) {
        out.extend(format!("live {keys} {id}\n").bytes());
    }
    fn record(&self, out: &mut Vec<u8>, topic: &TopicName, partition: Partition, record: &RecordRef<'_>, id: &str) {
        let content = match self {
            Self::Values => String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned(),
            Self::KeysAndValues => {
                [record.key, record.value].map(|part| String::from_utf8_lossy(part.unwrap_or(b"-"))).join("=")
            }
        };
        out.extend(format!("record {topic}/{partition}@{} {content} {id}\n", record.offset).bytes());
    }
    fn checkpoint(&self, out: &mut Vec<u8>, id: &str) {
        out.extend(format!("at {id}\n").bytes());
    }
    fn gap(&self, out: &mut Vec<u8>, gap: &Gap, id: &str) {
        let Gap { topic, partition, from, to, reason } = gap;
        out.extend(format!("gap {topic}/{partition}:{from}-{to}:{} {id}\n", reason.as_str()).bytes());
    }
    fn problem(&self, out: &mut Vec<u8>, error: &BrokerError) {
        out.extend(format!("problem {error:?}\n").bytes());
    }
    fn waiting(&self, out: &mut Vec<u8>, topic: &TopicName) {
        out.extend(format!("waiting {topic}\n").bytes());
    }
}

/// How long a client waits for a chunk.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longer than any test reads from one stream. It ends a test that waits for a line while other lines keep arriving.
const LIFETIME: Duration = Duration::from_secs(120);

pub struct Client {
    mailbox: Mailbox,
    opened: Instant,
    pub lines: Vec<String>,
    pub id: String,
}

pub fn topic(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

pub fn subscription(topics: &[&str], start: Start) -> Subscription {
    Subscription {
        topics: topics.iter().map(|name| topic(name)).collect(),
        selection: Selection::All,
        start,
        filter: Filter::default(),
        missing: Missing::Refuse,
        until: Until::Forever,
        limit: None,
        format: Arc::new(Lines::Values),
    }
}

pub fn resume(topics: &[&str], id: &str) -> Subscription {
    let names = topics.iter().map(|name| topic(name)).collect();
    subscription(topics, Start::Cursor(Cursor::parse(id, names, Selection::All).unwrap()))
}

pub fn hub(broker: &Arc<MemoryBroker>) -> Hub {
    let topic_patience = Duration::from_secs(1);
    let settings = Settings { metadata_refresh: Duration::from_millis(50), topic_patience, ..Settings::default() };
    Hub::start(broker.clone(), settings).unwrap()
}

impl Client {
    pub fn open(hub: &Hub, subscription: Subscription) -> Self {
        let mailbox = hub.subscribe(subscription).unwrap();
        Self { mailbox, opened: Instant::now(), lines: Vec::new(), id: String::new() }
    }

    /// Returns the lines of the next chunk, or `None` at the end of the stream.
    pub fn next(&mut self) -> Option<Vec<String>> {
        let chunk = self.next_chunk(Instant::now() + PATIENCE)?;
        Some(self.add(&chunk))
    }

    /// Takes the next chunk if there is one. Otherwise the client waits for it.
    pub fn poll(&mut self) -> Poll<Option<Vec<String>>> {
        self.poll_chunk().map(|chunk| Some(self.add(&chunk?)))
    }

    fn add(&mut self, chunk: &[u8]) -> Vec<String> {
        let lines: Vec<_> = std::str::from_utf8(chunk).unwrap().lines().map(str::to_owned).collect();
        for line in &lines {
            if !line.starts_with("problem") && !line.starts_with("waiting") {
                self.id = line.rsplit(' ').next().unwrap().to_owned();
            }
        }
        self.lines.extend(lines.clone());
        lines
    }

    fn next_chunk(&mut self, deadline: Instant) -> Option<bytes::Bytes> {
        loop {
            match self.poll_chunk() {
                Poll::Ready(chunk) => return chunk,
                Poll::Pending => assert!(Instant::now() < deadline, "no chunk arrived; so far {:?}", self.lines),
            }
            std::thread::yield_now();
        }
    }

    fn poll_chunk(&mut self) -> Poll<Option<bytes::Bytes>> {
        assert!(self.opened.elapsed() < LIFETIME, "the test waits for more than {:?}", self.lines);
        self.mailbox.poll_next(&mut Context::from_waker(Waker::noop()))
    }

    /// Reads up to a chunk with a line that starts with `begin`, and returns that chunk.
    pub fn chunk_with(&mut self, begin: &str) -> bytes::Bytes {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let chunk = self.next_chunk(deadline).expect("the stream continues");
            if String::from_utf8_lossy(&chunk).lines().any(|line| line.starts_with(begin)) {
                return chunk;
            }
        }
    }

    /// Reads until a line starts with `begin`.
    pub fn until(&mut self, begin: &str) {
        let mut seen = 0;
        while !self.lines[seen..].iter().any(|line| line.starts_with(begin)) {
            seen = self.lines.len();
            assert!(self.next().is_some(), "the stream ended before {begin:?}: {:?}", self.lines);
        }
    }

    pub fn read_to_end(&mut self) {
        while self.next().is_some() {}
    }

    /// Returns all lines without their ids.
    pub fn story(&self) -> Vec<&str> {
        self.lines.iter().map(|line| line.rsplit_once(' ').map_or(line.as_str(), |(text, _)| text)).collect()
    }
}

#[test]
fn a_stream_begins_with_its_position_and_then_delivers_appended_records() {
    let broker = MemoryBroker::new();
    broker.create("t", 2);
    broker.append("t", 0, "before");
    let hub = hub(&broker);
    let mut client = Client::open(&hub, subscription(&["t"], Start::Latest));
    client.until("at");
    broker.append("t", 0, "a");
    client.until("record t/0@1");
    broker.append("t", 1, "b");
    client.until("record t/1@0");
    assert_eq!(client.story(), ["at", "record t/0@1 a", "record t/1@0 b"]);
}

#[test]
fn a_reader_that_reconnects_misses_nothing() {
    let broker = MemoryBroker::new();
    broker.create("t", 4);
    let mut hub_before = hub(&broker);
    let mut client = Client::open(&hub_before, subscription(&["t"], Start::Latest));
    client.until("at");
    let first = client.id.clone();
    drop(client);
    // Partition 3 was empty before, and a new hub serves the reader now.
    broker.append("t", 3, "while away");
    hub_before = hub(&broker);
    let mut client = Client::open(&hub_before, resume(&["t"], &first));
    client.until("record t/3@0");
    broker.append("t", 2, "live again");
    client.until("record t/2@0");
    assert_eq!(client.story(), ["at", "record t/3@0 while away", "record t/2@0 live again"]);
}

#[test]
fn streams_of_one_topic_share_one_reader() {
    let broker = MemoryBroker::new();
    broker.create("t", 1);
    let hub = hub(&broker);
    let mut clients: Vec<_> = (0..500).map(|_| Client::open(&hub, subscription(&["t"], Start::Latest))).collect();
    clients.iter_mut().for_each(|client| client.until("at"));
    let before = broker.fetches.load(Ordering::Relaxed);
    for n in 0..10 {
        broker.append("t", 0, format!("r{n}"));
    }
    clients.iter_mut().for_each(|client| client.until("record t/0@9"));
    let fetches = broker.fetches.load(Ordering::Relaxed) - before;
    assert!(fetches < 50, "{fetches} fetches for 10 records");
    assert!(clients.iter().all(|client| client.lines.len() == 11));
}

#[test]
fn a_slow_reader_delays_no_other_and_misses_nothing() {
    let broker = MemoryBroker::new();
    broker.create("t", 2);
    let hub = hub(&broker);
    let mut slow = Client::open(&hub, subscription(&["t"], Start::Latest));
    let mut quick = Client::open(&hub, subscription(&["t"], Start::Latest));
    slow.until("at");
    quick.until("at");
    for n in 0..200 {
        broker.append("t", n % 2, format!("{n}"));
        quick.until(&format!("record t/{}@{}", n % 2, n / 2));
    }
    slow.until("record t/0@99");
    slow.until("record t/1@99");
    broker.append("t", 0, "after");
    slow.until("record t/0@100");
    quick.until("record t/0@100");
    for client in [&slow, &quick] {
        assert_exact(&client.lines, &broker, "t", 2);
    }
}

/// Asserts that every record of the log is in `lines` once, and in order per partition.
fn assert_exact(lines: &[String], broker: &MemoryBroker, name: &str, partitions: usize) {
    let mut seen: BTreeMap<usize, Vec<Offset>> = BTreeMap::new();
    for line in lines.iter().filter(|line| line.starts_with("record ")) {
        let (place, offset) = line.split(' ').nth(1).unwrap().split_once('@').unwrap();
        let partition = place.rsplit('/').next().unwrap().parse().unwrap();
        seen.entry(partition).or_default().push(offset.parse().unwrap());
    }
    for partition in 0..partitions {
        let log: Vec<_> = broker.records(name, partition).into_iter().map(|(offset, _)| offset).collect();
        assert_eq!(seen.remove(&partition).unwrap_or_default(), log, "partition {partition}");
    }
}

/// A change of topic `t`.
type Change = fn(&MemoryBroker);

#[test]
fn lost_records_are_reported_as_gaps() {
    let cases: [(Change, &str); 3] = [
        (|broker| broker.trim("t", 0, 5), "gap t/0:2-5:retention"),
        (|broker| broker.truncate("t", 0, 1), "gap t/0:2-1:truncated"),
        (
            |broker| {
                broker.delete("t");
                broker.create("t", 1);
                broker.append("t", 0, "new");
            },
            "gap t/0:2-0:recreated",
        ),
    ];
    for (change, gap) in cases {
        for connected in [true, false] {
            let broker = MemoryBroker::new();
            broker.create("t", 1);
            broker.append("t", 0, "0");
            broker.append("t", 0, "1");
            let hub = hub(&broker);
            let mut client = Client::open(&hub, subscription(&["t"], Start::Earliest));
            client.until("record t/0@1");
            if connected {
                broker.append("t", 0, "live");
                // The stream is live now, and its next position advances with the live reader.
                client.until("record t/0@2");
                change(&broker);
                client.until(&gap.replace(":2-", ":3-"));
            } else {
                let id = client.id.clone();
                drop(client);
                change(&broker);
                client = Client::open(&hub, resume(&["t"], &id));
                client.until(gap);
            }
            broker.append("t", 0, "after");
            let end = broker.records("t", 0).last().unwrap().0;
            client.until(&format!("record t/0@{end} after"));
        }
    }
}

/// Returns `record t/0@n value` for each offset. `#` in a value stands for the offset.
fn story_of(values: impl Iterator<Item = (Offset, &'static str)>) -> Vec<String> {
    values.map(|(n, value)| format!("record t/0@{n} {value}").replace('#', &n.to_string())).collect()
}

fn append_old(broker: &MemoryBroker, offsets: std::ops::Range<Offset>) {
    for n in offsets {
        broker.append("t", 0, format!("old {n}"));
    }
}

#[test]
fn a_stream_that_has_read_nothing_yet_reports_a_truncation() {
    for connected in [true, false] {
        let broker = MemoryBroker::new();
        broker.create("t", 1);
        append_old(&broker, 0..10);
        let hub = hub(&broker);
        let mut client = Client::open(&hub, subscription(&["t"], Start::Latest));
        client.until("at");
        let id = client.id.clone();
        if connected {
            broker.truncate_and_append("t", 0, 5, 10);
        } else {
            drop(client);
            broker.truncate_and_append("t", 0, 5, 10);
            client = Client::open(&hub, resume(&["t"], &id));
        }
        client.until("record t/0@14 new 14");
        let story: Vec<_> = client.story().into_iter().filter(|line| *line != "at").collect();
        assert_eq!(story[0], "gap t/0:10-5:truncated");
        assert_eq!(story[1..], story_of((5..15).map(|n| (n, "new #"))));
    }
}

/// KIP-320; tulios/kafkajs#818. The log has regrown to its old length or beyond, and half of its records are different.
#[test]
fn a_log_that_was_truncated_and_regrown_is_a_gap() {
    for connected in [true, false] {
        for regrown in [0, 3, 15, 16, 40] {
            let broker = MemoryBroker::new();
            broker.create("t", 1);
            append_old(&broker, 0..20);
            let hub = hub(&broker);
            let mut client = Client::open(&hub, subscription(&["t"], Start::Earliest));
            client.until("record t/0@19");
            if connected {
                broker.append("t", 0, "old 20");
                client.until("record t/0@20");
                broker.truncate_and_append("t", 0, 5, regrown);
            } else {
                let id = client.id.clone();
                drop(client);
                broker.truncate_and_append("t", 0, 5, regrown);
                // Another stream has moved the live reader on in the new log.
                let mut other = Client::open(&hub, subscription(&["t"], Start::Latest));
                other.until("at");
                client = Client::open(&hub, resume(&["t"], &id));
            }
            let seen = if connected { 21 } else { 0 };
            client.until(&format!("gap t/0:{}-5:truncated", if connected { 21 } else { 20 }));
            broker.append("t", 0, "last");
            client.until(&format!("record t/0@{} last", 5 + regrown));
            let end = 5 + regrown as Offset;
            let mut expected = story_of((0..seen).map(|n| (n, "old #")));
            expected.insert(0, "at".to_owned());
            expected.push(format!("gap t/0:{}-5:truncated", if connected { 21 } else { 20 }));
            expected.extend(story_of((5..end).map(|n| (n, "new #")).chain([(end, "last")])));
            let story: Vec<_> = client.story().into_iter().filter(|line| *line != "at").collect();
            assert_eq!(story, expected[1..], "connected: {connected}, {regrown} records");
            // A gap is counted after it is sent.
            wait::until("the gap is counted", || hub.counts().gaps(GapReason::Truncated) > 0);
            assert_eq!(hub.counts().gaps(GapReason::Truncated), 1);
        }
    }
}

/// Opens a stream that reads `old 0` to `old 14`. The epoch of offset 5 and later comes after `elections` elections.
/// Then applies `change` to the partition, and returns the lines of the stream after that, up to the record `last` or
/// the end.
fn after_an_unclean_election(connected: bool, elections: usize, change: impl Fn(&MemoryBroker)) -> Vec<String> {
    let broker = MemoryBroker::new();
    broker.create("t", 1);
    append_old(&broker, 0..5);
    (0..elections).for_each(|_| broker.elect("t", 0));
    append_old(&broker, 5..15);
    let own = hub(&broker);
    let mut client = Client::open(&own, subscription(&["t"], Start::Earliest));
    client.until("record t/0@14");
    let seen = client.lines.len();
    if connected {
        // The live reader is at this position now.
        broker.append("t", 0, "old 15");
        client.until("record t/0@15");
        change(&broker);
    } else {
        let id = client.id.clone();
        drop(client);
        change(&broker);
        client = Client::open(&own, resume(&["t"], &id));
    }
    broker.append("t", 0, "last");
    while !client.lines.last().is_some_and(|line| line.contains(" last ")) && client.next().is_some() {}
    let seen = if connected { seen + 1 } else { 0 };
    client.story()[seen..].iter().filter(|line| **line != "at").map(|line| line.to_string()).collect()
}

#[test]
fn records_of_an_earlier_epoch_that_replace_newer_ones_are_read_again() {
    // The number of elections; the epochs of the new leader, each with its first offset; the offsets of its records
    // from 5 on; and the offset at which streams continue: the beginning of the epoch that the new log has at the
    // position of the stream. Records of that epoch that both logs share are delivered again.
    type Replica = (usize, Vec<(Epoch, Offset)>, Vec<Offset>, Offset);
    for connected in [true, false] {
        let old = if connected { 16 } else { 15 };
        let regrown = || (5..20).collect();
        let replicas: [Replica; 5] = [
            (2, vec![(0, 0), (1, 5), (3, 20)], regrown(), 5),
            (3, vec![(0, 0), (1, 5), (2, 17), (4, 20)], regrown(), 5),
            (1, vec![(0, 0), (2, 20)], regrown(), 0),
            // The earlier epoch ends exactly at the position of the stream.
            (2, vec![(0, 0), (1, 5), (3, old)], regrown(), 5),
            // The record before the position is missing, and the next record belongs to the earlier epoch.
            (2, vec![(0, 0), (1, 5), (3, 40)], (5..9).chain(30..33).collect(), 5),
        ];
        for (elections, epochs, offsets, from) in replicas {
            let lines = after_an_unclean_election(connected, elections, |broker| {
                broker.become_replica("t", 0, &epochs, offsets.iter().copied());
            });
            let end = offsets.last().unwrap() + 1;
            let mut expected = vec![format!("gap t/0:{old}-{from}:truncated")];
            expected.extend(story_of((from..5).map(|n| (n, "old #"))));
            expected.extend(story_of(offsets.into_iter().map(|n| (n, "new #")).chain([(end, "last")])));
            assert_eq!(lines, expected, "{epochs:?}, connected: {connected}");
        }
    }
}

/// A leader may have written nothing in its epoch yet, and another leader may never learn of that epoch.
#[test]
fn a_stream_that_begins_in_an_epoch_without_records_reports_truncations_and_no_other_gap() {
    // The epochs of the next leader, the offsets of the records that it wrote, and the first record delivered after a
    // gap.
    type Successor = (&'static [(Epoch, Offset)], std::ops::Range<Offset>, Option<Offset>);
    let replicas: [Successor; 3] = [
        (&[(0, 0), (1, 5), (3, 10)], 10..12, None),
        (&[(0, 0), (1, 5), (3, 8)], 8..12, Some(8)),
        // Records of an earlier epoch are back, up to exactly the position of the stream.
        (&[(0, 0), (3, 10)], 5..12, Some(0)),
    ];
    for (epochs, offsets, from) in replicas {
        for (connected, start) in [true, false].map(|c| [(c, Start::Latest), (c, Start::Time(1))]).into_iter().flatten()
        {
            let broker = MemoryBroker::new();
            broker.create("t", 1);
            append_old(&broker, 0..5);
            broker.elect("t", 0);
            append_old(&broker, 5..10);
            broker.elect("t", 0);
            let hub = hub(&broker);
            let mut client = Client::open(&hub, subscription(&["t"], start));
            client.until("at");
            let id = client.id.clone();
            if connected {
                broker.become_replica("t", 0, epochs, offsets.clone());
            } else {
                drop(client);
                broker.become_replica("t", 0, epochs, offsets.clone());
                client = Client::open(&hub, resume(&["t"], &id));
            }
            client.until("record t/0@11 new 11");
            let story: Vec<_> = client.story().into_iter().filter(|line| *line != "at").collect();
            let mut expected: Vec<_> = from.iter().map(|to| format!("gap t/0:10-{to}:truncated")).collect();
            expected.extend(story_of((from.unwrap_or(10)..offsets.start).map(|n| (n, "old #"))));
            expected.extend(story_of(offsets.clone().map(|n| (n, "new #"))));
            assert_eq!(story, expected, "{epochs:?}, connected: {connected}");
        }
    }
}

#[test]
fn the_search_for_a_divergence_ends_whatever_the_broker_responds() {
    // A change, and the first line of the stream after it. The stream was at offset 15 or later, in epoch 2.
    let cases: [(Change, &str); 4] = [
        // The broker responds with an earlier epoch each time, although the previous record has a later one, as if the
        // log changed between the requests.
        (
            |broker| {
                broker.fake_divergence(|want| {
                    matches!(want.last_epoch, 1 | 2).then_some((want.last_epoch - 1, want.offset))
                });
                broker.become_replica("t", 0, &[(0, 0), (3, 5)], 5..20);
            },
            "gap t/0:#-5:truncated",
        ),
        // A divergence at the requested epoch and offset is invalid.
        (
            |broker| broker.fake_divergence(|want| (want.offset >= 15).then_some((want.last_epoch, want.offset))),
            "problem Corrupt",
        ),
        (
            |broker| broker.fake_divergence(|want| (want.offset >= 15).then_some((want.last_epoch + 1, 99))),
            "problem Corrupt",
        ),
        // So is a divergence for a request without an epoch.
        (|broker| broker.fake_divergence(|want| (want.offset >= 15).then_some((NO_EPOCH, want.offset))), "problem "),
    ];
    for (change, first) in cases {
        for connected in [true, false] {
            let lines = after_an_unclean_election(connected, 2, change);
            let first = first.replace('#', if connected { "16" } else { "15" });
            assert!(lines[0].starts_with(&first), "{first}, connected: {connected}: {lines:?}");
            if first.starts_with("gap") {
                assert_eq!(lines[1..], story_of((5..20).map(|n| (n, "new #")).chain([(20, "last")])));
            }
        }
    }
}

#[test]
fn an_epoch_whose_records_compaction_has_removed_is_no_truncation() {
    for connected in [true, false] {
        // A replica that copied the log after compaction never saw epoch 1. Its batches end at offset 9 and continue at
        // 30.
        let lines = after_an_unclean_election(connected, 1, |broker| {
            broker.become_replica("t", 0, &[(0, 0), (2, 30)], (0..9).chain(30..33));
        });
        assert_eq!(lines, story_of((30..33).map(|n| (n, "new #")).chain([(33, "last")])), "connected: {connected}");
    }
}

#[test]
fn a_truncation_is_a_gap_whichever_part_of_the_log_is_cached() {
    let broker = MemoryBroker::new();
    broker.create("t", 1);
    let hub = hub(&broker);
    let mut other = Client::open(&hub, subscription(&["t"], Start::Latest));
    other.until("at");
    let mut client = Client::open(&hub, subscription(&["t"], Start::Latest));
    client.until("at");
    append_old(&broker, 0..10);
    client.until("record t/0@9");
    let id = client.id.clone();
    drop(client);
    broker.truncate_and_append("t", 0, 5, 3);
    other.until("record t/0@7 new 7");
    // The cache holds records from offset 5 on, read after the truncation, and extends past the old cursor.
    broker.append("t", 0, "8");
    broker.append("t", 0, "9");
    broker.append("t", 0, "10");
    other.until("record t/0@10 10");
    let mut client = Client::open(&hub, resume(&["t"], &id));
    client.until("record t/0@10 10");
    let expected = ["gap t/0:10-5:truncated", "record t/0@5 new 5", "record t/0@6 new 6", "record t/0@7 new 7"];
    let story: Vec<_> = client.story().into_iter().filter(|line| *line != "at").collect();
    assert_eq!(story[..4], expected);
    assert_eq!(story.len(), 7);
}

#[test]
fn a_clean_election_is_no_gap() {
    let broker = MemoryBroker::new();
    broker.create("t", 1);
    let hub = hub(&broker);
    let mut client = Client::open(&hub, subscription(&["t"], Start::Latest));
    client.until("at");
    for n in 0..10 {
        if n % 3 > 0 {
            broker.elect("t", 0);
        }
        broker.append("t", 0, format!("{n}"));
        if n % 4 == 3 {
            client.until(&format!("record t/0@{n}"));
            let id = client.id.clone();
            broker.elect("t", 0);
            let lines = std::mem::take(&mut client.lines);
            client = Client::open(&hub, resume(&["t"], &id));
            client.lines = lines;
        }
    }
    client.until("record t/0@9");
    assert_exact(&client.lines, &broker, "t", 1);
    assert!(!client.lines.iter().any(|line| line.starts_with("gap")), "{:?}", client.lines);
}

#[test]
fn a_stream_until_the_end_reads_the_records_written_after_a_truncation() {
    let broker = MemoryBroker::new();
    broker.create("t", 1);
    append_old(&broker, 0..20);
    let hub = hub(&broker);
    let mut client = Client::open(&hub, subscription(&["t"], Start::Earliest));
    client.until("record t/0@19");
    let id = client.id.clone();
    broker.truncate_and_append("t", 0, 5, 20);
    let mut client = Client::open(&hub, Subscription { until: Until::End, ..resume(&["t"], &id) });
    client.read_to_end();
    let story: Vec<_> = client.story().into_iter().filter(|line| *line != "at").collect();
    let expected = story_of((5..25).map(|n| (n, "new #")));
    assert_eq!(story[0], "gap t/0:20-5:truncated");
    assert_eq!(story[1..], expected);
}

#[test]
fn a_topic_that_is_deleted_ends_its_streams_with_a_problem() {
    let broker = MemoryBroker::new();
    broker.create("t", 1);
    let hub = hub(&broker);
    let mut client = Client::open(&hub, subscription(&["t"], Start::Latest));
    client.until("at");
    broker.append("t", 0, "x");
    client.until("record");
    broker.delete("t");
    client.read_to_end();
    assert_eq!(client.lines.last().unwrap(), "problem UnknownTopic(\"t\")");
}

#[test]
fn partitions_added_are_read_from_their_beginning() {
    for connected in [true, false] {
        let broker = MemoryBroker::new();
        broker.create("t", 1);
        let hub = hub(&broker);
        let mut client = Client::open(&hub, subscription(&["t"], Start::Latest));
        client.until("at");
        if connected {
            broker.grow("t", 3);
            broker.append("t", 2, "new");
        } else {
            let id = client.id.clone();
            drop(client);
            broker.grow("t", 3);
            broker.append("t", 2, "new");
            client = Client::open(&hub, resume(&["t"], &id));
        }
        client.until("record t/2@0");
        broker.append("t", 0, "old");
        client.until("record t/0@0");
    }
}

#[test]
fn a_stream_can_wait_for_its_topic() {
    let broker = MemoryBroker::new();
    broker.create("here", 1);
    let hub = hub(&broker);
    let topics = ["here", "later"];
    let mut client =
        Client::open(&hub, Subscription { missing: Missing::Wait, ..subscription(&topics, Start::Latest) });
    client.until("at");
    broker.append("here", 0, "x");
    client.until("record here/0@0");
    broker.create("later", 2);
    broker.append("later", 1, "y");
    client.until("record later/1@0");

    let mut rejected = Client::open(&hub, subscription(&["never"], Start::Latest));
    rejected.read_to_end();
    assert_eq!(rejected.lines, ["problem UnknownTopic(\"never\")"]);
}

#[test]
fn a_stream_ends_at_its_limit_or_at_the_end_of_the_log() {
    let broker = MemoryBroker::new();
    broker.create("t", 2);
    for n in 0..10 {
        broker.append("t", n % 2, format!("{n}"));
    }
    let hub = hub(&broker);
    let mut to_end = Client::open(&hub, Subscription { until: Until::End, ..subscription(&["t"], Start::Earliest) });
    to_end.read_to_end();
    assert!(!to_end.lines.iter().any(|line| line.starts_with("problem")));
    assert_exact(&to_end.lines, &broker, "t", 2);

    let limit = NonZeroU64::new(13);
    let mut limited = Client::open(&hub, Subscription { limit, ..subscription(&["t"], Start::Earliest) });
    limited.until("record t/0@4");
    limited.until("record t/1@4");
    for n in 10..20 {
        broker.append("t", 0, format!("{n}"));
    }
    limited.read_to_end();
    assert!(!limited.lines.iter().any(|line| line.starts_with("problem")));
    assert_eq!(limited.lines.iter().filter(|line| line.starts_with("record")).count(), 13);
}

#[test]
fn a_filtered_stream_reports_its_position() {
    let broker = MemoryBroker::new();
    broker.create("t", 1);
    let hub = hub(&broker);
    let filter = Filter { key: Some(b"k".to_vec()), ..Filter::default() };
    let mut client = Client::open(&hub, Subscription { filter, ..subscription(&["t"], Start::Latest) });
    client.until("at");
    let start = client.id.clone();
    broker.append("t", 0, "no key");
    let deadline = Instant::now() + Duration::from_secs(5);
    while client.id == start {
        assert!(Instant::now() < deadline);
        client.next();
    }
    let key = Some("k".into());
    broker.append_record("t", 0, NewRecord { key, value: Some("yes".into()), ..NewRecord::default() });
    client.until("record t/0@1 yes");
    assert_eq!(client.story(), ["at", "at", "record t/0@1 yes"]);
}

fn wanted(condition: &str, start: Start) -> Subscription {
    let condition = Some(Arc::new(Expression::compile(condition).unwrap()));
    Subscription { filter: Filter { condition, ..Filter::default() }, ..subscription(&["t"], start) }
}

/// Starts a hub that refreshes metadata so rarely that no test waits for it.
pub fn idle_hub(broker: &Arc<MemoryBroker>) -> Hub {
    let settings = Settings { metadata_refresh: Duration::from_secs(3600), ..Settings::default() };
    Hub::start(broker.clone(), settings).unwrap()
}

#[test]
fn each_condition_selects_its_records_and_equal_conditions_share_chunks() {
    let broker = MemoryBroker::new();
    broker.create("t", 1);
    let hub = hub(&broker);
    let conditions = ["value.n > 1", "value.n>1 // again", "value.n < 1.5 || value == 'text'", "value.n == 1 || true"];
    let mut clients: Vec<_> = conditions.iter().map(|c| Client::open(&hub, wanted(c, Start::Latest))).collect();
    clients.iter_mut().for_each(|client| client.until("at"));
    for value in [r#"{"n":1}"#, "text", r#"{"n":"2"}"#, r#"{"n":1.75}"#, r#"{"m":2}"#] {
        broker.append("t", 0, value);
    }
    clients[0].until("record t/0@3");
    clients[1].until("record t/0@3");
    clients[2].until("record t/0@1");
    clients[3].until("record t/0@4");
    let records = |client: &Client| -> Vec<String> {
        client.story().into_iter().filter(|line| line.starts_with("record")).map(str::to_owned).collect()
    };
    assert_eq!(records(&clients[0]), [r#"record t/0@3 {"n":1.75}"#]);
    assert_eq!(records(&clients[1]), records(&clients[0]));
    assert_eq!(records(&clients[2]), [r#"record t/0@0 {"n":1}"#, "record t/0@1 text"]);
    assert_eq!(records(&clients[3]).len(), 5);
    // The same chunk, not two equal ones.
    broker.append("t", 0, r#"{"n":3}"#);
    let [first, equal, other] = [0, 1, 3].map(|client| clients[client].chunk_with("record t/0@5").as_ptr());
    assert_eq!(first, equal);
    assert_ne!(first, other);
}

#[test]
fn a_stream_that_skipped_records_while_it_caught_up_knows_its_position() {
    let broker = MemoryBroker::new();
    broker.create("t", 1);
    for n in 0..500 {
        broker.append("t", 0, format!("{n}"));
    }
    let hub = idle_hub(&broker);
    let mut live = Client::open(&hub, wanted("value >= 0", Start::Latest));
    live.until("at");
    let mut client = Client::open(&hub, wanted("value > 1000", Start::Earliest));
    let mut to_end = Client::open(&hub, Subscription { until: Until::End, ..wanted("value > 1000", Start::Earliest) });
    to_end.read_to_end();
    client.until("at");
    while client.id != live.id {
        client.next();
    }
    assert_eq!(to_end.id, format!("{}~", live.id), "the same position, and the mark of a complete stream");
    assert!(client.lines.len() < 10, "{:?}", client.lines);
}

#[test]
fn the_id_moves_past_skipped_records_within_seconds_without_a_metadata_refresh() {
    let broker = MemoryBroker::new();
    broker.create("t", 1);
    let hub = idle_hub(&broker);
    let mut client = Client::open(&hub, wanted("value > 1", Start::Latest));
    client.until("at");
    broker.append("t", 0, "1");
    let (start, began) = (client.id.clone(), Instant::now());
    client.next();
    assert_ne!(client.id, start);
    assert!(began.elapsed() < Duration::from_secs(8));
    for _ in 0..1000 {
        broker.append("t", 0, "0");
    }
    let began = Instant::now();
    client.next();
    assert!(began.elapsed() < Duration::from_secs(4), "a thousand records do not wait for the interval");
}

#[test]
fn an_unavailable_broker_only_delays_a_stream() {
    let broker = MemoryBroker::new();
    broker.create("t", 1);
    broker.fail_with(Some(BrokerError::Unavailable("gone".into())));
    let hub = hub(&broker);
    let mut client = Client::open(&hub, subscription(&["t"], Start::Earliest));
    broker.fail_with(None);
    broker.append("t", 0, "a");
    client.until("record t/0@0");
    broker.fail_with(Some(BrokerError::Unavailable("gone".into())));
    broker.append("t", 0, "b");
    broker.fail_with(None);
    client.until("record t/0@1");
}

#[test]
fn a_broker_that_rejects_the_credentials_ends_streams_with_a_problem() {
    let broker = MemoryBroker::new();
    broker.create("t", 1);
    broker.append("t", 0, "a");
    let hub = hub(&broker);
    let mut client = Client::open(&hub, subscription(&["t"], Start::Earliest));
    client.until("record t/0@0");
    // An operator must fix this, and until then the stream would be silent.
    broker.fail_with(Some(BrokerError::Untrusted("the password was changed".into())));
    client.read_to_end();
    assert!(client.lines.last().unwrap().starts_with("problem Untrusted"), "{:?}", client.lines);
}

#[test]
fn a_shutdown_ends_every_stream_after_a_complete_frame() {
    let broker = MemoryBroker::new();
    broker.create("t", 1);
    broker.append("t", 0, "a");
    let hub = hub(&broker);
    let mut clients: Vec<_> = (0..20).map(|_| Client::open(&hub, subscription(&["t"], Start::Earliest))).collect();
    clients.iter_mut().for_each(|client| client.until("record t/0@0"));
    hub.shut_down();
    for client in &mut clients {
        client.read_to_end();
        assert_eq!(client.lines.last().unwrap(), "problem ShuttingDown");
    }
    assert_eq!(hub.subscribe(subscription(&["t"], Start::Latest)).err(), Some(Rejected::ShuttingDown));
}

#[test]
fn a_stream_that_stops_at_the_end_leaves_its_cursor_there() {
    let broker = MemoryBroker::new();
    broker.create("t", 2);
    let big = "x".repeat(40_000);
    for n in 0..20 {
        broker.append("t", n % 2, format!("{n}{big}"));
    }
    let hub = hub(&broker);
    let mut client = Client::open(&hub, Subscription { until: Until::End, ..subscription(&["t"], Start::Earliest) });
    client.until("at");
    // The end of the stream is fixed before its first frame, so records appended now are after it.
    for n in 0..6 {
        broker.append("t", n % 2, "later");
    }
    client.read_to_end();
    let mut again = Client::open(&hub, Subscription { until: Until::End, ..resume(&["t"], &client.id) });
    again.read_to_end();
    client.lines.append(&mut again.lines);
    assert_exact(&client.lines, &broker, "t", 2);
}

#[test]
fn a_recreated_topic_is_read_from_its_beginning_to_its_end() {
    let broker = MemoryBroker::new();
    broker.create("t", 1);
    broker.append("t", 0, "old");
    let hub = hub(&broker);
    let mut client = Client::open(&hub, Subscription { until: Until::End, ..subscription(&["t"], Start::Earliest) });
    client.read_to_end();
    broker.delete("t");
    broker.create("t", 1);
    broker.append("t", 0, "new");
    let mut again = Client::open(&hub, Subscription { until: Until::End, ..resume(&["t"], &client.id) });
    again.read_to_end();
    assert_eq!(again.story(), ["at", "gap t/0:1-0:recreated", "record t/0@0 new"]);
}

#[test]
fn a_waiting_stream_reads_a_new_topic_from_its_beginning_although_others_read_it_first() {
    let broker = MemoryBroker::new();
    broker.create("big", 1);
    let text = "x".repeat(60_000);
    for n in 0..40 {
        broker.append("big", 0, format!("{n}{text}"));
    }
    let hub = hub(&broker);
    let both = ["big", "late"];
    // The client reads the first chunks and then nothing for a while, so the stream is still catching up.
    let mut waiting =
        Client::open(&hub, Subscription { missing: Missing::Wait, ..subscription(&both, Start::Earliest) });
    waiting.until("record big/0@0");
    broker.create("late", 1);
    broker.append("late", 0, "before any stream read it");
    let mut other = Client::open(&hub, subscription(&["late"], Start::Latest));
    other.until("at");
    for n in 1..4 {
        broker.append("late", 0, format!("{n}{}", "y".repeat(200_000)));
        other.until(&format!("record late/0@{n}"));
    }
    waiting.until("record late/0@3");
    waiting.until("record big/0@39");
    assert_exact(
        &waiting.lines.iter().filter(|line| line.contains(" late/")).cloned().collect::<Vec<_>>(),
        &broker,
        "late",
        1,
    );
}

#[test]
fn a_stalled_client_still_receives_its_first_frame_and_gaps() {
    let broker = MemoryBroker::new();
    broker.create("t", 1);
    let hub = hub(&broker);
    let mut stalled = Client::open(&hub, subscription(&["t"], Start::Latest));
    let mut quick = Client::open(&hub, subscription(&["t"], Start::Latest));
    quick.until("at");
    std::thread::yield_now();
    for n in 0..3 {
        broker.append("t", 0, format!("{n}"));
        quick.until(&format!("record t/0@{n}"));
    }
    broker.trim("t", 0, 10);
    broker.append("t", 0, "after the gap");
    quick.until("record t/0@10");
    for n in 11..60 {
        broker.append("t", 0, format!("{n}"));
        quick.until(&format!("record t/0@{n}"));
    }
    stalled.until("record t/0@59");
    assert!(stalled.lines[0].starts_with("at "), "{:?}", stalled.lines[0]);
    let seen: Vec<_> =
        stalled.story().into_iter().filter(|line| line.starts_with("record")).map(str::to_owned).collect();
    let expected: Vec<_> =
        quick.story().into_iter().filter(|line| line.starts_with("record")).map(str::to_owned).collect();
    // The client may receive a gap instead of the records before the trim that it had not read.
    assert!(expected.ends_with(&seen) || seen == expected, "{seen:?}");
    assert!(seen == expected || stalled.lines.iter().any(|line| line.starts_with("gap")), "{:?}", stalled.story());
}

#[test]
fn a_busy_partition_does_not_starve_the_backlog_of_another() {
    let broker = MemoryBroker::new();
    broker.create("t", 2);
    for n in 0..300 {
        broker.append("t", 1, format!("{n:0100}"));
    }
    let settings = Settings { catch_up_bytes: 1000, catch_up_chunk: 200, ..Settings::default() };
    let hub = Hub::start(broker.clone(), settings).unwrap();
    let mut live = Client::open(&hub, subscription(&["t"], Start::Latest));
    live.until("at");
    let mut late = Client::open(&hub, subscription(&["t"], Start::Earliest));
    for number in 0.. {
        // This partition always has more records, and the live reader has just read them.
        for n in 0..5 {
            broker.append("t", 0, format!("{n:0100}"));
        }
        live.until(&format!("record t/0@{}", 5 * number + 4));
        late.next().unwrap();
        if late.lines.iter().any(|line| line.starts_with("record t/1@299")) {
            break;
        }
        assert!(
            number < 3000,
            "only {} of the backlog arrived",
            late.lines.iter().filter(|l| l.contains("t/1@")).count()
        );
    }
}

/// Opens streams from the beginning whose clients each hold one chunk, as if it were being written to a socket.
fn stalled(hub: &Hub, count: usize) -> Vec<(Client, bytes::Bytes)> {
    (0..count)
        .map(|_| {
            let mut client = Client::open(hub, subscription(&["t"], Start::Earliest));
            client.until("at");
            let chunk = client.next_chunk(Instant::now() + PATIENCE).unwrap();
            (client, chunk)
        })
        .collect()
}

#[test]
fn clients_that_hold_small_chunks_do_not_delay_others() {
    let broker = MemoryBroker::new();
    broker.create("t", 1);
    for n in 0..300 {
        broker.append("t", 0, format!("{n:0200}"));
    }
    let hub = Hub::start(broker.clone(), Settings { catch_up_held: 64 << 10, ..Settings::default() }).unwrap();
    let _stalled = stalled(&hub, 60);
    let mut quick = Client::open(&hub, subscription(&["t"], Start::Earliest));
    quick.until("record t/0@299");
}

#[test]
fn clients_that_hold_large_records_do_not_delay_live_streams() {
    let broker = MemoryBroker::new();
    broker.create("t", 1);
    for _ in 0..3 {
        broker.append("t", 0, "x".repeat(100 << 10));
    }
    let hub = Hub::start(broker.clone(), Settings { catch_up_held: 40 << 10, ..Settings::default() }).unwrap();
    // One chunk uses up even the reserve.
    let stalled = stalled(&hub, 1);
    let mut live = Client::open(&hub, subscription(&["t"], Start::Latest));
    live.until("at");
    broker.append("t", 0, "now");
    live.until("record t/0@3");
    // Once they release their chunks, there is memory for others.
    drop(stalled);
    let mut late = Client::open(&hub, subscription(&["t"], Start::Earliest));
    late.until("record t/0@3");
}

#[test]
fn a_limited_stream_that_stalls_and_continues_delivers_exactly_its_limit() {
    for held in [1, 16 << 20] {
        let broker = MemoryBroker::new();
        broker.create("t", 1);
        let hub = Hub::start(broker.clone(), Settings { catch_up_held: held, ..Settings::default() }).unwrap();
        let limit = NonZeroU64::new(50);
        let mut limited = Client::open(&hub, Subscription { limit, ..subscription(&["t"], Start::Latest) });
        let mut other = Client::open(&hub, subscription(&["t"], Start::Latest));
        limited.until("at");
        other.until("at");
        for n in 0..60 {
            broker.append("t", 0, format!("{n:020000}"));
            other.until(&format!("record t/0@{n}"));
            if n % 7 == 0 && n > 30 {
                limited.next().unwrap();
            }
        }
        limited.read_to_end();
        let seen: Vec<_> = limited.story().into_iter().filter(|line| line.starts_with("record")).collect();
        let expected: Vec<_> = other.story().into_iter().filter(|line| line.starts_with("record")).take(50).collect();
        assert_eq!(seen.len(), 50);
        assert!(seen == expected, "held {held}");
    }
}

#[derive(Debug, Clone)]
enum Step {
    Append(usize),
    Read,
    Cut,
    CutAtEarlier(prop::sample::Index),
    NewHub,
    Outage,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..3usize).prop_map(Step::Append),
        4 => Just(Step::Read),
        2 => Just(Step::Cut),
        1 => any::<prop::sample::Index>().prop_map(Step::CutAtEarlier),
        1 => Just(Step::NewHub),
        1 => Just(Step::Outage),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn resuming_at_any_id_misses_nothing_and_repeats_nothing(steps in steps()) {
        let broker = MemoryBroker::new();
        broker.create("t", 3);
        let mut own = hub(&broker);
        let _neighbour = Client::open(&own, subscription(&["t"], Start::Latest));
        let mut client = Client::open(&own, subscription(&["t"], Start::Latest));
        client.until("at");
        // The lines that a client keeps when it is disconnected: all up to its last complete frame.
        let mut kept: Vec<String> = Vec::new();
        for (n, step) in steps.into_iter().enumerate() {
            match step {
                Step::Append(partition) => {
                    broker.append("t", partition, format!("{n}"));
                }
                Step::Read => {
                    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
                    if let std::task::Poll::Ready(Some(chunk)) = client.mailbox.poll_next(&mut cx) {
                        client.lines.extend(String::from_utf8(chunk.to_vec()).unwrap().lines().map(str::to_owned));
                    }
                }
                Step::Cut | Step::CutAtEarlier(_) => {
                    let whole = match step {
                        Step::CutAtEarlier(at) => at.index(client.lines.len()) + 1,
                        _ => client.lines.len(),
                    };
                    kept.extend(client.lines.drain(..whole));
                    let id = kept.last().unwrap().rsplit(' ').next().unwrap().to_owned();
                    client = Client::open(&own, resume(&["t"], &id));
                    client.until("at");
                }
                Step::NewHub => {
                    kept.append(&mut client.lines);
                    let id = kept.last().unwrap().rsplit(' ').next().unwrap().to_owned();
                    own = hub(&broker);
                    client = Client::open(&own, resume(&["t"], &id));
                    client.until("at");
                }
                Step::Outage => {
                    broker.fail_with(Some(BrokerError::Unavailable("gone".into())));
                    broker.fail_with(None);
                }
            }
        }
        let ends: Vec<_> = (0..3).map(|p| broker.append("t", p, "last")).collect();
        for (partition, end) in ends.iter().enumerate() {
            let last = format!("record t/{partition}@{end} ");
            while !client.lines.iter().any(|line| line.starts_with(&last)) {
                prop_assert!(client.next().is_some());
            }
        }
        kept.append(&mut client.lines);
        assert_exact(&kept, &broker, "t", 3);
    }
}
