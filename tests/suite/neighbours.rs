//! Streams with slow filters, beside streams of other topics and of other clients.

use crate::support::memory_broker::MemoryBroker;
use crate::support::wait::until;
use curlew::broker::BrokerError;
use curlew::cel::Expression;
use curlew::cursor::Selection;
use curlew::hub::*;
use curlew::record::{Partition, RecordRef, TopicName};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// Writes the offset of each record in a line.
#[derive(Default)]
struct Offsets {
    /// Time to write a record.
    work: Duration,
    written: AtomicUsize,
    /// Another format. Its number of written records is stored whenever this format writes a record.
    observed: Option<Arc<Offsets>>,
    written_by_observed: AtomicUsize,
}

impl Format for Offsets {
    fn name(&self) -> &str {
        "offsets"
    }
    fn uses_ids(&self) -> bool {
        false
    }
    fn record(&self, out: &mut Vec<u8>, _: &TopicName, _: Partition, record: &RecordRef<'_>, _: &str) {
        let started = Instant::now();
        while started.elapsed() < self.work {}
        self.written.fetch_add(1, Ordering::Relaxed);
        if let Some(observed) = &self.observed {
            self.written_by_observed.store(observed.written.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        out.extend(format!("{}\n", record.offset).bytes());
    }
    fn checkpoint(&self, _: &mut Vec<u8>, _: &str) {}
    fn gap(&self, out: &mut Vec<u8>, _: &Gap, _: &str) {
        out.extend(b"gap\n");
    }
    fn problem(&self, out: &mut Vec<u8>, _: &BrokerError) {
        out.extend(b"problem\n");
    }
}

struct OffsetClient {
    mailbox: Mailbox,
    text: String,
}

impl OffsetClient {
    fn open(hub: &Hub, client: u64, topic: &str, condition: Option<&str>) -> Self {
        let condition = condition.map(|text| Arc::new(Expression::compile(text).unwrap()));
        let filter = Filter { condition, ..Filter::default() };
        Self::subscribe(hub, client, Subscription { filter, ..plain(topic) })
    }

    fn subscribe(hub: &Hub, client: u64, subscription: Subscription) -> Self {
        Self { mailbox: hub.subscribe_for(ClientTag(client), subscription).unwrap(), text: String::new() }
    }

    fn read(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        while let Poll::Ready(Some(chunk)) = self.mailbox.poll_next(&mut cx) {
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    fn offsets(&self) -> Vec<u64> {
        self.text.lines().map(|line| line.parse().unwrap_or_else(|_| panic!("{}", self.text))).collect()
    }
}

fn plain(topic: &str) -> Subscription {
    Subscription {
        topics: vec![TopicName::new(topic).unwrap()],
        selection: Selection::All,
        start: Start::Latest,
        filter: Filter::default(),
        missing: Missing::Refuse,
        until: Until::Forever,
        limit: None,
        format: Arc::new(Offsets::default()),
    }
}

fn is_live(hub: &Hub) -> bool {
    hub.status().behind.catching_up == 0 && hub.status().behind.stalled == 0
}

/// A condition that scans the whole value, and matches only records that end with END.
fn slow_condition(number: usize) -> String {
    format!("value.matches('(a|b|ab|ba)*({number})?c[0-9]*END$')")
}

#[test]
fn a_slow_filter_delays_no_stream_of_another_topic_and_its_lag_is_reported() {
    let broker = MemoryBroker::new();
    broker.create("mine", 1);
    broker.create("other", 1);
    let hub = Hub::start(broker.clone(), Settings::default()).unwrap();
    const FILTERS: usize = 12;
    const RECORDS: usize = 120;
    let mut filtered: Vec<_> =
        (0..FILTERS).map(|n| OffsetClient::open(&hub, 1, "mine", Some(&slow_condition(n)))).collect();
    let mut plain = OffsetClient::open(&hub, 2, "other", None);
    until("all streams are live", || {
        filtered.iter_mut().for_each(OffsetClient::read);
        plain.read();
        is_live(&hub)
    });
    let pad = "ab".repeat(500);
    for n in 0..RECORDS {
        let end = if n % 10 == 9 { "c1END" } else { "c1" };
        broker.append("mine", 0, format!("\"{pad}{end}\""));
    }
    broker.append("other", 0, "1");
    let started = Instant::now();
    until("the other topic's record arrives", || {
        plain.read();
        plain.text == "0\n"
    });
    filtered.iter_mut().for_each(OffsetClient::read);
    let done = filtered.iter().filter(|client| client.offsets().len() == RECORDS / 10).count();
    // If the filters ran first, all of them would be done by now.
    assert!(done < FILTERS, "after {:?}", started.elapsed());
    let mut lag_is_reported = false;
    until("each filter has its records", || {
        let sum = hub.status().behind;
        lag_is_reported |= sum.catching_up > 0 && sum.lag > 0;
        filtered.iter_mut().for_each(OffsetClient::read);
        filtered.iter().all(|client| client.offsets().len() == RECORDS / 10)
    });
    assert!(lag_is_reported, "the lag of the streams is reported");
    let wanted: Vec<u64> = (0..RECORDS as u64).filter(|n| n % 10 == 9).collect();
    filtered.iter().for_each(|client| assert_eq!(client.offsets(), wanted));
    // Streams that have caught up are live again.
    until("all streams are live again", || is_live(&hub));
    broker.append("mine", 0, "\"c2END\"");
    until("each filter has the last record", || {
        filtered.iter_mut().for_each(OffsetClient::read);
        filtered.iter().all(|client| client.offsets().last() == Some(&(RECORDS as u64)))
    });
}

#[test]
fn many_selections_of_partitions_delay_no_stream_of_another_topic() {
    const PARTITIONS: u32 = 6;
    const RECORDS: usize = 40;
    let broker = MemoryBroker::new();
    broker.create("mine", PARTITIONS as usize);
    broker.create("other", 1);
    let hub = Hub::start(broker.clone(), Settings::default()).unwrap();
    let format = Arc::new(Offsets { work: Duration::from_millis(1), ..Offsets::default() });
    // All subsets that contain the first partition.
    let mut chosen: Vec<_> = (0..1u32 << PARTITIONS)
        .filter(|bits| bits & 1 == 1)
        .map(|bits| {
            let partitions = (0..PARTITIONS).filter(|p| bits >> p & 1 == 1).map(|p| p as Partition);
            let selection = Selection::of(partitions.collect());
            OffsetClient::subscribe(&hub, 1, Subscription { selection, format: format.clone(), ..plain("mine") })
        })
        .collect();
    let observer = Arc::new(Offsets { observed: Some(format.clone()), ..Offsets::default() });
    let mut other = OffsetClient::subscribe(&hub, 2, Subscription { format: observer.clone(), ..plain("other") });
    until("all streams are live", || {
        chosen.iter_mut().for_each(OffsetClient::read);
        other.read();
        is_live(&hub)
    });
    for n in 0..RECORDS {
        broker.append("mine", 0, n.to_string());
    }
    broker.append("other", 0, "1");
    until("the other topic's record arrives", || {
        other.read();
        other.text == "0\n"
    });
    let written = observer.written_by_observed.load(Ordering::Relaxed);
    assert!(written < chosen.len() * RECORDS, "the other topic's stream was delivered before all of them");
    let mut lag_is_reported = false;
    let wanted: Vec<u64> = (0..RECORDS as u64).collect();
    until("each has all records", || {
        lag_is_reported |= hub.status().behind.catching_up > 0;
        chosen.iter_mut().for_each(OffsetClient::read);
        chosen.iter().all(|client| client.offsets() == wanted)
    });
    assert!(lag_is_reported, "the lag of the streams is reported");
    until("all streams are live again", || is_live(&hub));
}

#[test]
fn streams_of_one_slow_filter_share_its_work_while_they_catch_up() {
    const STREAMS: usize = 60;
    const RECORDS: usize = 40;
    let broker = MemoryBroker::new();
    broker.create("t", 1);
    let hub = Hub::start(broker.clone(), Settings::default()).unwrap();
    // All the work takes four times as long as the time budget of all feeds together.
    let format = Arc::new(Offsets { work: Duration::from_millis(2), ..Offsets::default() });
    let condition = Some(Arc::new(Expression::compile("offset >= 0").unwrap()));
    let filter = Filter { condition, ..Filter::default() };
    let mut clients: Vec<_> = (0..STREAMS as u64)
        .map(|n| {
            let subscription = Subscription { format: format.clone(), filter: filter.clone(), ..plain("t") };
            OffsetClient::subscribe(&hub, n, subscription)
        })
        .collect();
    until("all streams are live", || {
        clients.iter_mut().for_each(OffsetClient::read);
        is_live(&hub)
    });
    for n in 0..RECORDS {
        broker.append("t", 0, n.to_string());
    }
    let mut lag_is_reported = false;
    let wanted: Vec<u64> = (0..RECORDS as u64).collect();
    until("each has all records", || {
        lag_is_reported |= hub.status().behind.catching_up > 0;
        clients.iter_mut().for_each(OffsetClient::read);
        clients.iter().all(|client| client.offsets() == wanted)
    });
    assert!(lag_is_reported, "the lag of the streams is reported");
    let written = format.written.load(Ordering::Relaxed);
    assert!(written < STREAMS * RECORDS / 4, "{written} records were written");
    until("all streams are live again", || is_live(&hub));
}

#[test]
fn many_streams_of_one_client_delay_another_clients_stream_by_a_few_turns() {
    const STREAMS: usize = 200;
    let broker = MemoryBroker::new();
    broker.create("mine", 1);
    broker.create("other", 1);
    for n in 0..500 {
        broker.append("mine", 0, n.to_string());
    }
    broker.append("other", 0, "1");
    // One record per turn, on one thread.
    let settings = Settings { catch_up_threads: 1, catch_up_chunk: 1, ..Settings::default() };
    let hub = Hub::start(broker.clone(), settings).unwrap();
    let format = Arc::new(Offsets { work: Duration::from_millis(1), ..Offsets::default() });
    let from_the_start = |topic| Subscription { start: Start::Earliest, ..plain(topic) };
    let mut mine: Vec<_> = (0..STREAMS)
        .map(|_| OffsetClient::subscribe(&hub, 1, Subscription { format: format.clone(), ..from_the_start("mine") }))
        .collect();
    until("each stream of the first client reads the log", || {
        mine.iter_mut().for_each(OffsetClient::read);
        mine.iter().all(|client| !client.text.is_empty())
    });
    let before = format.written.load(Ordering::Relaxed);
    let observer = Arc::new(Offsets { observed: Some(format.clone()), ..Offsets::default() });
    let mut other =
        OffsetClient::subscribe(&hub, 2, Subscription { format: observer.clone(), ..from_the_start("other") });
    until("the other client's record arrives", || {
        mine.iter_mut().for_each(OffsetClient::read);
        other.read();
        other.text == "0\n"
    });
    let written = observer.written_by_observed.load(Ordering::Relaxed) - before;
    assert!(written < STREAMS, "{written} turns of the first client came first");
}
