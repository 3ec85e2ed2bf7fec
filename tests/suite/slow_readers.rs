//! Streams whose clients hold all the memory for chunks that they can get, beside a stream whose client keeps up.

use crate::support::memory_broker::MemoryBroker;
use curlew::broker::BrokerError;
use curlew::cursor::Selection;
use curlew::hub::*;
use curlew::record::{Offset, Partition, RecordRef, TopicName};
use curlew::sync::memory_budget::MemoryBudget;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
/// Records of a burst. Together they fit into one fetch and into the chunks of a mailbox.
const RECORDS: usize = 300;
/// Smaller than a full chunk and much larger than a small one.
const LARGE: usize = 100 << 10;
/// Bytes that each stream may hold in addition.
const SMALL: usize = 16 << 10;
/// Bytes that slow clients may hold before streams get small chunks.
const HELD: usize = 1 << 20;

/// Writes a line for each record: its offset and its value.
struct Lines;

impl Format for Lines {
    fn name(&self) -> &str {
        "lines"
    }
    fn uses_ids(&self) -> bool {
        true
    }
    fn record(&self, out: &mut Vec<u8>, _: &TopicName, _: Partition, record: &RecordRef<'_>, _: &str) {
        out.extend(format!("{} ", record.offset).bytes());
        out.extend_from_slice(record.value.unwrap_or_default());
        out.push(b'\n');
    }
    fn checkpoint(&self, out: &mut Vec<u8>, _: &str) {
        out.extend(b"at\n");
    }
    fn gap(&self, out: &mut Vec<u8>, _: &Gap, _: &str) {
        out.extend(b"gap\n");
    }
    fn problem(&self, out: &mut Vec<u8>, _: &BrokerError) {
        out.extend(b"problem\n");
    }
}

struct World {
    broker: Arc<MemoryBroker>,
    memory: MemoryBudget,
    hub: Hub,
}

fn world() -> World {
    let (broker, memory) = (MemoryBroker::new(), MemoryBudget::new(48 << 20));
    for topic in ["own", "slow", "backlog"] {
        broker.create(topic, 1);
    }
    broker.append("backlog", 0, vec![b'x'; 400 << 10]);
    let metadata_refresh = Duration::from_millis(50);
    let settings = Settings { metadata_refresh, catch_up_held: HELD, memory: memory.clone(), ..Settings::default() };
    let hub = Hub::start(broker.clone(), settings).unwrap();
    World { broker, memory, hub }
}

struct Client {
    mailbox: Mailbox,
    taken: usize,
    next: Offset,
}

/// Whether a stream shares its chunks with others of its topic.
#[derive(Clone, Copy)]
enum Feed {
    Shared,
    Private,
}

impl World {
    fn open(&self, topic: &str, start: Start, feed: Feed) -> Client {
        let subscription = Subscription {
            topics: vec![TopicName::new(topic).unwrap()],
            selection: Selection::All,
            start,
            filter: Filter::default(),
            missing: Missing::Refuse,
            until: Until::Forever,
            limit: NonZeroU64::new(1 << 40).filter(|_| matches!(feed, Feed::Private)),
            format: Arc::new(Lines),
        };
        Client { mailbox: self.hub.subscribe(subscription).unwrap(), taken: 0, next: 0 }
    }

    fn burst(&self, topic: &str) -> Offset {
        self.broker.append_all(topic, 0, (0..RECORDS).map(|_| vec![b'x'; 1 << 10]))
    }

    /// A live stream whose client has read so many bytes.
    fn live(&self, topic: &str, feed: Feed, bytes: usize) -> Client {
        let mut client = self.open(topic, Start::Latest, feed);
        // The position at which the stream starts.
        client.next_chunk();
        while client.taken < bytes {
            let last = self.burst(topic);
            client.take_to(last);
        }
        client
    }

    /// Waits until the streams of these clients, which have read everything, are live.
    fn all_are_live(&self, clients: &mut [Client]) {
        until("all streams are live", || {
            clients.iter_mut().for_each(|client| drop(client.poll()));
            let behind = self.hub.status().behind;
            behind.catching_up + behind.stalled == 0
        });
    }

    fn is_short(&self) -> bool {
        self.memory.chunks.used() >= HELD
    }
}

impl Client {
    fn poll(&mut self) -> Option<bytes::Bytes> {
        let mut cx = Context::from_waker(Waker::noop());
        let Poll::Ready(chunk) = self.mailbox.poll_next(&mut cx) else { return None };
        let chunk = chunk.expect("the stream goes on");
        for line in std::str::from_utf8(&chunk).unwrap().lines().filter(|line| *line != "at") {
            let offset: Offset = line.split(' ').next().unwrap().parse().unwrap_or_else(|_| panic!("{line}"));
            assert!(self.next == 0 || self.next == offset, "{offset} comes after {}", self.next - 1);
            self.next = offset + 1;
        }
        self.taken += chunk.len();
        Some(chunk)
    }

    fn next_chunk(&mut self) -> bytes::Bytes {
        let mut chunk = None;
        until("a chunk comes", || {
            chunk = self.poll();
            chunk.is_some()
        });
        chunk.unwrap()
    }

    /// The sizes of the chunks up to this record.
    fn take_to(&mut self, last: Offset) -> Vec<usize> {
        let mut sizes = Vec::new();
        while self.next <= last {
            sizes.push(self.next_chunk().len());
        }
        sizes
    }
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

/// Clients with their streams, and the chunks that are being written to them.
type Holding = Vec<(Client, bytes::Bytes)>;

/// Streams that catch up, as many as there is memory for.
fn behind(world: &World) -> Holding {
    let mut holding = Vec::new();
    while world.memory.chunks.has_free(400 << 10) {
        let mut client = world.open("backlog", Start::Earliest, Feed::Private);
        let begin = client.next_chunk();
        let chunk = if client.next == 0 { client.next_chunk() } else { begin };
        holding.push((client, chunk));
    }
    holding
}

/// The next large chunk of a live stream whose client has read so many bytes, if it gets one.
fn try_to_hold(world: &World, taken: usize) -> Option<(Client, bytes::Bytes)> {
    let mut client = world.live("slow", Feed::Private, taken);
    let last = world.burst("slow");
    while client.next <= last {
        let chunk = client.next_chunk();
        if chunk.len() >= LARGE {
            return Some((client, chunk));
        }
    }
    None
}

fn live_that_took_nothing(world: &World) -> Holding {
    let mut holding = Holding::new();
    while holding.iter().map(|(_, chunk)| chunk.len() - SMALL).sum::<usize>() < HELD {
        holding.extend(try_to_hold(world, 0));
    }
    holding
}

/// Clients that have read more than most networks buffer between the bridge and a client that reads nothing. They are as
/// many as use up the reserve.
fn live_that_took_much(world: &World) -> Holding {
    let mut holding = behind(world);
    let many = world.memory.live_chunks.limit() / LARGE + 1;
    holding.extend((0..many).filter_map(|_| try_to_hold(world, 1 << 20)));
    holding
}

#[test]
fn slow_readers_of_other_topics_neither_throttle_nor_evict_a_live_stream_that_keeps_up() {
    type Slow = fn(&World) -> Holding;
    let rows: [(&str, Slow, usize); 3] = [
        ("behind", behind, 1 << 20),
        ("live, took nothing", live_that_took_nothing, 1 << 20),
        ("live, took much", live_that_took_much, 9 << 20),
    ];
    for (name, slow, taken) in rows {
        let world = world();
        // Another client of the same topic, which shares its chunks, stops reading now.
        let mut clients = [taken, 0].map(|taken| world.live("own", Feed::Shared, taken));
        world.all_are_live(&mut clients);
        let [mut own, _beside] = clients;
        let holding = slow(&world);
        assert!(world.is_short(), "{name}: {} hold {}", holding.len(), world.memory.chunks.used());
        for _ in 0..10 {
            let last = world.burst("own");
            let sizes = own.take_to(last);
            // A stream that is no longer live would get small chunks too.
            assert!(sizes.iter().rev().skip(1).all(|size| *size >= LARGE), "{name}: {sizes:?}");
            for share in world.memory.shares() {
                assert!(share.used() <= share.limit(), "{name}: {share:?}");
            }
        }
        assert!(world.is_short(), "{name}: {} hold {}", holding.len(), world.memory.chunks.used());
    }
}

#[test]
fn a_client_that_stops_reading_releases_its_part_of_the_reserve() {
    let world = world();
    let mut stopped: Vec<_> = (0..3).map(|_| world.live("slow", Feed::Private, 1 << 20)).collect();
    world.all_are_live(&mut stopped);
    let _holding = behind(&world);
    let last = world.burst("slow");
    let reserve = &world.memory.live_chunks;
    until("their chunks are of the reserve", || reserve.used() > 3 * LARGE);
    until("they are given back", || reserve.used() == 0);
    for client in &mut stopped {
        client.take_to(last);
    }
}
