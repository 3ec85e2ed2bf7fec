//! The hub through its public seam, on a broker in memory.

use crate::support::memory_broker::MemoryBroker;
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
use std::time::{Duration, Instant};

/// Frames as lines: what, where, value, id.
struct Lines;

impl Format for Lines {
    fn name(&self) -> &str {
        "lines"
    }
    fn uses_ids(&self) -> bool {
        true
    }
    fn record(&self, out: &mut Vec<u8>, topic: &TopicName, partition: Partition, record: &RecordRef<'_>, id: &str) {
        let value = String::from_utf8_lossy(record.value.unwrap_or_default());
        out.extend(format!("record {topic}/{partition}@{} {value} {id}\n", record.offset).bytes());
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

pub struct Client {
    mailbox: Mailbox,
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
        format: Arc::new(Lines),
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
        Self { mailbox: hub.subscribe(subscription).unwrap(), lines: Vec::new(), id: String::new() }
    }

    /// The next frames; `None` when the stream is over.
    pub fn next(&mut self) -> Option<Vec<String>> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            match self.mailbox.poll_next(&mut cx) {
                std::task::Poll::Ready(chunk) => {
                    let text = String::from_utf8(chunk?.to_vec()).unwrap();
                    let lines: Vec<_> = text.lines().map(str::to_owned).collect();
                    for line in &lines {
                        if !line.starts_with("problem") && !line.starts_with("waiting") {
                            self.id = line.rsplit(' ').next().unwrap().to_owned();
                        }
                    }
                    self.lines.extend(lines.clone());
                    return Some(lines);
                }
                std::task::Poll::Pending if Instant::now() > deadline => {
                    panic!("nothing came; so far {:?}", self.lines)
                }
                std::task::Poll::Pending => std::thread::yield_now(),
            }
        }
    }

    /// The chunk that has a line that begins so.
    pub fn chunk_with(&mut self, begin: &str) -> bytes::Bytes {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            match self.mailbox.poll_next(&mut cx) {
                std::task::Poll::Ready(chunk) => {
                    let chunk = chunk.expect("the stream goes on");
                    if String::from_utf8_lossy(&chunk).lines().any(|line| line.starts_with(begin)) {
                        return chunk;
                    }
                }
                std::task::Poll::Pending => assert!(Instant::now() < deadline, "no {begin:?} came"),
            }
        }
    }

    /// Reads until a line begins so.
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

    /// What came, without ids.
    pub fn story(&self) -> Vec<&str> {
        self.lines.iter().map(|line| line.rsplit_once(' ').map_or(line.as_str(), |(text, _)| text)).collect()
    }
}

#[test]
fn a_stream_begins_with_its_place_and_then_gets_what_is_appended() {
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
fn a_reader_that_comes_back_misses_nothing() {
    let broker = MemoryBroker::new();
    broker.create("t", 4);
    let mut hub_before = hub(&broker);
    let mut client = Client::open(&hub_before, subscription(&["t"], Start::Latest));
    client.until("at");
    let first = client.id.clone();
    drop(client);
    // Partition 3 was silent before, and another hub serves the reader now.
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
fn a_slow_reader_costs_nobody_else_anything_and_misses_nothing() {
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

/// Every record of the log once, in the order of its partition.
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

#[test]
fn losses_are_said() {
    type Change = fn(&MemoryBroker);
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
                // The stream is in the live flow; what it asks for next moves on with it.
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

/// `record t/0@n value` for these offsets.
fn story_of(values: impl Iterator<Item = (Offset, &'static str)>) -> Vec<String> {
    values.map(|(n, value)| format!("record t/0@{n} {value}").replace('#', &n.to_string())).collect()
}

fn append_old(broker: &MemoryBroker, offsets: std::ops::Range<Offset>) {
    for n in offsets {
        broker.append("t", 0, format!("old {n}"));
    }
}

#[test]
fn a_stream_that_has_read_nothing_yet_is_told_of_a_truncation() {
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

/// KIP-320; tulios/kafkajs#818. The log is as long as it was, or longer, and half of it is another one.
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
                // Another stream has made the live flow go on in the new log.
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
            assert_eq!(hub.counts().gaps(GapReason::Truncated), 1);
        }
    }
}

/// A stream that has read `old 0` to `old 14`, from offset 5 on of an epoch that comes after `elections` others; then the
/// partition becomes what `change` says. What the stream says from then on, up to the record `last` or its end.
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
        // The live flow stands there.
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
fn records_of_an_earlier_epoch_that_came_back_over_the_cursor_are_read_again() {
    // Epochs of the replica that leads now, each with its first offset; offsets of its records from 5 on; and where streams
    // continue: the first record of the epoch that the log has where the streams were. Its part that both had comes again,
    // if there is one.
    type Replica = (usize, Vec<(Epoch, Offset)>, Vec<Offset>, Offset);
    for connected in [true, false] {
        let old = if connected { 16 } else { 15 };
        let regrown = || (5..20).collect();
        let replicas: [Replica; 5] = [
            (2, vec![(0, 0), (1, 5), (3, 20)], regrown(), 5),
            (3, vec![(0, 0), (1, 5), (2, 17), (4, 20)], regrown(), 5),
            (1, vec![(0, 0), (2, 20)], regrown(), 0),
            // The earlier epoch ends just where the streams were.
            (2, vec![(0, 0), (1, 5), (3, old)], regrown(), 5),
            // The record before is gone, and the next one is of the earlier epoch.
            (2, vec![(0, 0), (1, 5), (3, 40)], (5..9).chain(30..33).collect(), 5),
        ];
        for (elections, epochs, offsets, from) in replicas {
            let told = after_an_unclean_election(connected, elections, |broker| {
                broker.become_replica("t", 0, &epochs, offsets.iter().copied());
            });
            let end = offsets.last().unwrap() + 1;
            let mut expected = vec![format!("gap t/0:{old}-{from}:truncated")];
            expected.extend(story_of((from..5).map(|n| (n, "old #"))));
            expected.extend(story_of(offsets.into_iter().map(|n| (n, "new #")).chain([(end, "last")])));
            assert_eq!(told, expected, "{epochs:?}, connected: {connected}");
        }
    }
}

/// Under a leader's own epoch nothing may be written yet, and another leader may never see it.
#[test]
fn a_stream_that_begins_under_an_epoch_without_records_is_told_of_truncations_and_of_nothing_else() {
    // The replica that leads next, the offsets of the records that it wrote, and the first that is delivered.
    type Replica = (&'static [(Epoch, Offset)], std::ops::Range<Offset>, Option<Offset>);
    let replicas: [Replica; 3] = [
        (&[(0, 0), (1, 5), (3, 10)], 10..12, None),
        (&[(0, 0), (1, 5), (3, 8)], 8..12, Some(8)),
        // Records of an earlier epoch came back, up to just where the streams were.
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
fn questions_about_a_log_end_whatever_the_broker_says() {
    type Change = fn(&MemoryBroker);
    // A change, and what the stream says first. At 15 or behind it a place was read to under epoch 2.
    let cases: [(Change, &str); 4] = [
        // An earlier epoch each time, though the record before is of a later one: the log changes while it is asked about.
        (
            |broker| {
                broker.fake_divergence(|want| {
                    matches!(want.last_epoch, 1 | 2).then_some((want.last_epoch - 1, want.offset))
                });
                broker.become_replica("t", 0, &[(0, 0), (3, 5)], 5..20);
            },
            "gap t/0:#-5:truncated",
        ),
        // That is no divergence.
        (
            |broker| broker.fake_divergence(|want| (want.offset >= 15).then_some((want.last_epoch, want.offset))),
            "problem Corrupt",
        ),
        (
            |broker| broker.fake_divergence(|want| (want.offset >= 15).then_some((want.last_epoch + 1, 99))),
            "problem Corrupt",
        ),
        // Nor is it where no epoch is claimed any more.
        (|broker| broker.fake_divergence(|want| (want.offset >= 15).then_some((NO_EPOCH, want.offset))), "problem "),
    ];
    for (change, first) in cases {
        for connected in [true, false] {
            let told = after_an_unclean_election(connected, 2, change);
            let first = first.replace('#', if connected { "16" } else { "15" });
            assert!(told[0].starts_with(&first), "{first}, connected: {connected}: {told:?}");
            if first.starts_with("gap") {
                assert_eq!(told[1..], story_of((5..20).map(|n| (n, "new #")).chain([(20, "last")])));
            }
        }
    }
}

#[test]
fn an_epoch_whose_records_compaction_has_removed_is_no_truncation() {
    for connected in [true, false] {
        // A replica that copied the log after that never saw epoch 1; its batches end at offset 9, and begin at 30.
        let told = after_an_unclean_election(connected, 1, |broker| {
            broker.become_replica("t", 0, &[(0, 0), (2, 30)], (0..9).chain(30..33));
        });
        assert_eq!(told, story_of((30..33).map(|n| (n, "new #")).chain([(33, "last")])), "connected: {connected}");
    }
}

#[test]
fn a_truncation_is_a_gap_whichever_part_of_the_log_the_live_flow_keeps() {
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
    // The flow keeps what it has read since, from 5 on, and passes the old cursor.
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
fn a_stream_until_the_end_reads_what_the_log_has_gained_since_it_was_truncated() {
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

    let mut refused = Client::open(&hub, subscription(&["never"], Start::Latest));
    refused.read_to_end();
    assert_eq!(refused.lines, ["problem UnknownTopic(\"never\")"]);
}

#[test]
fn a_stream_ends_where_it_was_asked_to() {
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
fn a_filtered_stream_says_how_far_it_is() {
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

/// A hub that looks topics up so seldom that nothing in a test waits for it.
pub fn idle_hub(broker: &Arc<MemoryBroker>) -> Hub {
    let settings = Settings { metadata_refresh: Duration::from_secs(3600), ..Settings::default() };
    Hub::start(broker.clone(), settings).unwrap()
}

#[test]
fn each_condition_has_its_records_and_equal_ones_share_their_bytes() {
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
    // Of one chunk, not of equal ones.
    broker.append("t", 0, r#"{"n":3}"#);
    let [first, equal, other] = [0, 1, 3].map(|client| clients[client].chunk_with("record t/0@5").as_ptr());
    assert_eq!(first, equal);
    assert_ne!(first, other);
}

#[test]
fn a_stream_that_has_passed_records_over_while_it_caught_up_knows_where_it_is() {
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
    assert_eq!(to_end.id, format!("{}~", live.id), "the same place, and the mark of a complete stream");
    assert!(client.lines.len() < 10, "{:?}", client.lines);
}

#[test]
fn records_passed_over_are_told_within_seconds_however_seldom_topics_are_looked_up() {
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
    assert!(began.elapsed() < Duration::from_secs(4), "a thousand records do not wait for the time");
}

#[test]
fn a_broker_that_is_away_delays_a_stream_and_nothing_else() {
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
fn a_broker_that_no_longer_accepts_us_ends_streams_with_a_problem() {
    let broker = MemoryBroker::new();
    broker.create("t", 1);
    broker.append("t", 0, "a");
    let hub = hub(&broker);
    let mut client = Client::open(&hub, subscription(&["t"], Start::Earliest));
    client.until("record t/0@0");
    // It takes a person to mend that, and the stream would be silent until then.
    broker.fail_with(Some(BrokerError::Untrusted("the password was changed".into())));
    client.read_to_end();
    assert!(client.lines.last().unwrap().starts_with("problem Untrusted"), "{:?}", client.lines);
}

#[test]
fn shutting_down_ends_every_stream_after_a_whole_frame() {
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
    // The stream is told its ends before its first frame; what comes now is behind them.
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
fn a_topic_that_others_read_before_a_waiting_stream_saw_it_is_read_from_its_beginning() {
    let broker = MemoryBroker::new();
    broker.create("big", 1);
    let text = "x".repeat(60_000);
    for n in 0..40 {
        broker.append("big", 0, format!("{n}{text}"));
    }
    let hub = hub(&broker);
    let both = ["big", "late"];
    // It takes its first chunks, and then nothing for a while: it is still catching up.
    let mut waiting =
        Client::open(&hub, Subscription { missing: Missing::Wait, ..subscription(&both, Start::Earliest) });
    waiting.until("record big/0@0");
    broker.create("late", 1);
    broker.append("late", 0, "before anybody read it");
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
fn a_client_that_takes_nothing_keeps_what_is_said_only_once() {
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
    // What the client had not taken before the trim it may only hear of as a gap.
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
        // There is always more of this one, and the live flow has just read it.
        for n in 0..5 {
            broker.append("t", 0, format!("{n:0100}"));
        }
        live.until(&format!("record t/0@{}", 5 * number + 4));
        late.next().unwrap();
        if late.lines.iter().any(|line| line.starts_with("record t/1@299")) {
            break;
        }
        assert!(number < 3000, "only {} of the backlog came", late.lines.iter().filter(|l| l.contains("t/1@")).count());
    }
}

/// Streams from the beginning whose clients took one chunk each and hold it, as one that is being written is held.
fn stalled(hub: &Hub, count: usize) -> Vec<(Client, bytes::Bytes)> {
    (0..count)
        .map(|_| {
            let mut client = Client::open(hub, subscription(&["t"], Start::Earliest));
            client.until("at");
            let deadline = Instant::now() + Duration::from_secs(10);
            loop {
                let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
                match client.mailbox.poll_next(&mut cx) {
                    std::task::Poll::Ready(chunk) => return (client, chunk.unwrap()),
                    std::task::Poll::Pending => assert!(Instant::now() < deadline, "no chunk came"),
                }
                std::thread::yield_now();
            }
        })
        .collect()
}

#[test]
fn clients_that_hold_small_chunks_do_not_hold_up_the_others() {
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
fn clients_that_hold_large_records_do_not_hold_up_the_live_flow() {
    let broker = MemoryBroker::new();
    broker.create("t", 1);
    for _ in 0..3 {
        broker.append("t", 0, "x".repeat(100 << 10));
    }
    let hub = Hub::start(broker.clone(), Settings { catch_up_held: 40 << 10, ..Settings::default() }).unwrap();
    // One fills even the reserve.
    let stalled = stalled(&hub, 1);
    let mut live = Client::open(&hub, subscription(&["t"], Start::Latest));
    live.until("at");
    broker.append("t", 0, "now");
    live.until("record t/0@3");
    // As soon as they take it, or are gone, there is room for others.
    drop(stalled);
    let mut late = Client::open(&hub, subscription(&["t"], Start::Earliest));
    late.until("record t/0@3");
}

#[test]
fn a_limited_stream_that_stalls_and_goes_on_gets_just_what_it_asked_for() {
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
        // What a client keeps when it is cut off: the lines up to the last whole frame that it saw.
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
