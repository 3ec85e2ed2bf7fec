//! Streams whose clients hold as much chunk memory as they can get, beside a stream whose client keeps up.

use crate::support::memory_broker::MemoryBroker;
use crate::support::wait::until;
use curlew::broker::BrokerError;
use curlew::cursor::Selection;
use curlew::hub::*;
use curlew::record::{Offset, Partition, RecordRef, TopicName};
use curlew::sync::memory_budget::MemoryBudget;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Records per burst. A burst fits into the chunks of one mailbox.
const RECORDS: usize = 300;
/// The size of a record: smaller than a full chunk and much larger than a small one.
const LARGE: usize = 100 << 10;
/// Bytes that each stream may hold beyond the limit.
const SMALL: usize = 16 << 10;
/// Bytes that slow clients may hold before streams get small chunks.
const HELD: usize = 1 << 20;

/// Writes a line for each record: its offset and its value.
struct OffsetLines;

impl Format for OffsetLines {
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

struct LoadedHub {
    broker: Arc<MemoryBroker>,
    memory: MemoryBudget,
    hub: Hub,
}

fn world() -> LoadedHub {
    let (broker, memory) = (MemoryBroker::new(), MemoryBudget::new(48 << 20));
    for topic in ["own", "slow", "backlog"] {
        broker.create(topic, 1);
    }
    broker.append("backlog", 0, vec![b'x'; 400 << 10]);
    let metadata_refresh = Duration::from_millis(50);
    let settings = Settings { metadata_refresh, catch_up_held: HELD, memory: memory.clone(), ..Settings::default() };
    let hub = Hub::start(broker.clone(), settings).unwrap();
    LoadedHub { broker, memory, hub }
}

struct ChunkReader {
    mailbox: Mailbox,
    bytes_read: usize,
    next: Offset,
}

/// Whether a stream shares its chunks with others of its topic.
#[derive(Clone, Copy)]
enum Feed {
    Shared,
    Private,
}

impl LoadedHub {
    fn open(&self, topic: &str, start: Start, feed: Feed) -> ChunkReader {
        let subscription = Subscription {
            topics: vec![TopicName::new(topic).unwrap()],
            selection: Selection::All,
            start,
            filter: Filter::default(),
            missing: Missing::Refuse,
            until: Until::Forever,
            limit: NonZeroU64::new(1 << 40).filter(|_| matches!(feed, Feed::Private)),
            format: Arc::new(OffsetLines),
        };
        ChunkReader { mailbox: self.hub.subscribe(subscription).unwrap(), bytes_read: 0, next: 0 }
    }

    fn burst(&self, topic: &str) -> Offset {
        self.broker.append_all(topic, 0, (0..RECORDS).map(|_| vec![b'x'; 1 << 10]))
    }

    /// Returns a live stream whose client has read at least `bytes`.
    fn live(&self, topic: &str, feed: Feed, bytes: usize) -> ChunkReader {
        let mut client = self.open(topic, Start::Latest, feed);
        // The first chunk contains the start position.
        client.next_chunk();
        while client.bytes_read < bytes {
            let last = self.burst(topic);
            client.read_to(last);
        }
        client
    }

    /// Waits until the streams of these clients are live, which have read everything.
    fn all_are_live(&self, clients: &mut [ChunkReader]) {
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

impl ChunkReader {
    fn poll(&mut self) -> Option<bytes::Bytes> {
        let mut cx = Context::from_waker(Waker::noop());
        let Poll::Ready(chunk) = self.mailbox.poll_next(&mut cx) else { return None };
        let chunk = chunk.expect("the stream continues");
        for line in std::str::from_utf8(&chunk).unwrap().lines().filter(|line| *line != "at") {
            let offset: Offset = line.split(' ').next().unwrap().parse().unwrap_or_else(|_| panic!("{line}"));
            assert!(self.next == 0 || self.next == offset, "{offset} comes after {}", self.next - 1);
            self.next = offset + 1;
        }
        self.bytes_read += chunk.len();
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

    /// Reads up to the record `last`, and returns the sizes of the chunks.
    fn read_to(&mut self, last: Offset) -> Vec<usize> {
        let mut sizes = Vec::new();
        while self.next <= last {
            sizes.push(self.next_chunk().len());
        }
        sizes
    }
}

/// Slow clients, each with a chunk that is being written to it.
type Holding = Vec<(ChunkReader, bytes::Bytes)>;

/// Opens as many streams that catch up as there is memory for.
fn behind(world: &LoadedHub) -> Holding {
    let mut holding = Vec::new();
    while world.memory.chunks.has_free(400 << 10) {
        let mut client = world.open("backlog", Start::Earliest, Feed::Private);
        let begin = client.next_chunk();
        let chunk = if client.next == 0 { client.next_chunk() } else { begin };
        holding.push((client, chunk));
    }
    holding
}

/// Opens a live stream whose client has read at least `bytes_read` bytes. Returns the stream and its next large chunk, or
/// `None` if there is no memory for one.
fn try_to_hold(world: &LoadedHub, bytes_read: usize) -> Option<(ChunkReader, bytes::Bytes)> {
    let mut client = world.live("slow", Feed::Private, bytes_read);
    let last = world.burst("slow");
    while client.next <= last {
        let chunk = client.next_chunk();
        if chunk.len() >= LARGE {
            return Some((client, chunk));
        }
    }
    None
}

fn live_clients_that_read_nothing(world: &LoadedHub) -> Holding {
    let mut holding = Holding::new();
    while holding.iter().map(|(_, chunk)| chunk.len() - SMALL).sum::<usize>() < HELD {
        holding.extend(try_to_hold(world, 0));
    }
    holding
}

/// Opens as many streams as the reserve has memory for. Their clients have read more bytes than most networks buffer
/// for a client that reads nothing.
fn live_clients_that_read_much(world: &LoadedHub) -> Holding {
    let mut holding = behind(world);
    let many = world.memory.live_chunks.limit() / LARGE + 1;
    holding.extend((0..many).filter_map(|_| try_to_hold(world, 1 << 20)));
    holding
}

#[test]
fn slow_readers_of_other_topics_neither_throttle_nor_evict_a_live_stream_that_keeps_up() {
    type Slow = fn(&LoadedHub) -> Holding;
    let rows: [(&str, Slow, usize); 3] = [
        ("behind", behind, 1 << 20),
        ("live, took nothing", live_clients_that_read_nothing, 1 << 20),
        ("live, took much", live_clients_that_read_much, 9 << 20),
    ];
    for (name, slow, bytes_read) in rows {
        let world = world();
        // Another client of this topic, which shares the chunks, stops reading now.
        let mut clients = [bytes_read, 0].map(|bytes_read| world.live("own", Feed::Shared, bytes_read));
        world.all_are_live(&mut clients);
        let [mut own, _beside] = clients;
        let holding = slow(&world);
        assert!(world.is_short(), "{name}: {} hold {}", holding.len(), world.memory.chunks.used());
        for _ in 0..10 {
            let last = world.burst("own");
            let sizes = own.read_to(last);
            // A stream that is no longer live gets small chunks, one after another. A live one gets a small chunk at the end
            // of a fetch at most, and a burst takes two fetches where recent records of other topics use the fetch memory.
            let mut pairs = sizes.windows(2);
            assert!(pairs.all(|pair| pair.iter().any(|size| *size > SMALL)), "{name}: {sizes:?}");
            assert!(sizes.iter().filter(|size| **size < LARGE).count() <= 2, "{name}: {sizes:?}");
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
    until("the chunks use the reserve", || reserve.used() > 3 * LARGE);
    until("the reserve is free again", || reserve.used() == 0);
    for client in &mut stopped {
        client.read_to(last);
    }
}
