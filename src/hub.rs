//! Moves records between many clients and one broker.
//!
//! In: [`Hub::produce`] → a bounded queue → one `writer` thread ([`produce`]) → the broker.
//!
//! Out: one fetch thread per leader broker → each batch is encoded once per feed ([`live`]) → the mailbox of every stream
//! ([`stream`]). New, resumed and slow streams read the log by themselves ([`catch_up`]) until they can join a feed.
//!
//! Imports run one way: `catch_up` knows `live` and `stream`, `live` knows `stream`.

mod catch_up;
mod counts;
mod live;
mod produce;
mod snapshot;
mod stream;
mod subscription;

pub use counts::{Amount, Histogram, HubCounts, LatencyTimer, Produced};
pub use snapshot::{HubSnapshot, TopicBacklog};
pub use stream::mailbox::Mailbox;
pub use subscription::{ClientTag, Filter, Format, FormatChoice, Gap, GapReason, Missing, Subscription, Until};

pub use crate::start_position::Start;

use crate::broker::{Acks, AutoCreate, Broker, DeliveryResult};
use crate::cursor::Cursor;
use crate::record::{NewRecord, Timestamp, TopicName};
use crate::sync::lock;
use crate::sync::memory_budget::{MemoryBudget, Share};
use crate::sync::watchdog::Worker;
use catch_up::pool::CatchUp;
use catch_up::shared_turns::SharedTurns;
use catch_up::task::{CatchUpSettings, CatchUpTask, Opening};
use catch_up::task_queue::{TaskQueue, park};
use crossbeam_channel::{Sender, bounded};
use live::feed::Evicted;
use live::metadata::MetadataRefresher;
use live::registry::Live;
use live::sample_clock::SampleClock;
use produce::ProduceBridge;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use stream::bounds::Bounds;
use stream::chunk_budget::ChunkBudget;
use stream::encoder::Encoder;
use stream::feed_key::FeedKey;
use stream::lag::LagTracker;
use stream::slot::StreamSlot;
use stream::state::{StreamSettings, StreamState};

/// Bounds of what the hub holds, and its timeouts.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Open streams; further ones are rejected.
    pub max_streams: usize,
    /// Bytes of records that wait for their acknowledgement; further ones are rejected.
    pub queued_bytes: usize,
    /// How long a caller waits for the outcome of a record.
    pub produce_timeout: Duration,
    /// How often partitions, leaders and topic ids are looked up.
    pub metadata_refresh: Duration,
    /// How long streams wait for a topic that has gone missing. After that, streams without another topic end.
    pub topic_patience: Duration,
    /// Bytes of live records kept for streams that come back; older records are read from the broker again.
    pub recent_bytes: usize,
    /// About how many bytes one live fetch returns.
    pub fetch_bytes: usize,
    /// Size of the cache for streams that catch up behind others, in bytes.
    pub shelf_bytes: usize,
    /// About how many bytes a stream reads in one turn while it catches up.
    pub catch_up_bytes: usize,
    /// About how many bytes one chunk of a stream has while it catches up. This and `catch_up_ahead` hold as long as all
    /// such streams together hold less than `catch_up_held`; after that each stream gets one small chunk at a time.
    pub catch_up_chunk: usize,
    /// Chunks that may wait for the client of a stream that catches up when its next turn begins.
    pub catch_up_ahead: usize,
    /// Bytes that chunks of streams may hold together, beyond a small chunk for each stream.
    pub catch_up_held: usize,
    /// Length of the longest id that a client can send back, in bytes. A stream whose id would be longer ends.
    pub max_id_bytes: usize,
    /// How long a stream that ends at a time waits after it for records that are on their way.
    pub until_delay: Duration,
    /// Threads that read for streams that catch up.
    pub catch_up_threads: usize,
    /// Memory that reading and streams may use together.
    pub memory: MemoryBudget,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_streams: 10_000,
            queued_bytes: 64 << 20,
            produce_timeout: Duration::from_secs(30),
            metadata_refresh: Duration::from_secs(5),
            topic_patience: Duration::from_secs(60),
            recent_bytes: 8 << 20,
            fetch_bytes: 1 << 20,
            shelf_bytes: 8 << 20,
            catch_up_bytes: 128 << 10,
            catch_up_chunk: 160 << 10,
            catch_up_ahead: 0,
            catch_up_held: 10 << 20,
            max_id_bytes: 12 << 10,
            until_delay: Duration::from_secs(5),
            catch_up_threads: 4,
            memory: MemoryBudget::default(),
        }
    }
}

/// Why the hub rejects records or a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejected {
    /// [`Settings::queued_bytes`] are waiting already.
    QueueFull,
    /// [`Settings::max_streams`] are open already.
    TooManyStreams,
    ShuttingDown,
}

/// A handle to the threads between clients and the broker. Dropping it ends and joins them.
pub struct Hub {
    broker: Arc<dyn Broker>,
    live: Arc<Live>,
    writer: ProduceBridge,
    tasks: Arc<TaskQueue>,
    task_settings: Arc<CatchUpSettings>,
    stream_settings: Arc<StreamSettings>,
    /// Pays for what sampled streams hold back.
    samples: Arc<Share>,
    streams: Arc<AtomicUsize>,
    max_streams: usize,
    next_private: AtomicU64,
    // Closed before the threads below are joined.
    ended: Mutex<Option<Sender<()>>>,
    threads: Mutex<Vec<Worker>>,
}

impl Hub {
    /// Starts the threads. Fails only if the operating system refuses one.
    pub fn start(broker: Arc<dyn Broker>, settings: Settings) -> std::io::Result<Self> {
        let counts = Arc::<HubCounts>::default();
        let (ended, is_ended) = bounded(0);
        let catch_up_threads = settings.catch_up_threads.max(1);
        // Twice as many as streams: the task of a closed stream may still wait for its turn.
        let most_tasks = 2 * settings.max_streams + 16;
        let tasks = Arc::new(TaskQueue::new(most_tasks, catch_up_threads, is_ended.clone()));
        let task_settings = Arc::new(CatchUpSettings {
            read_bytes: settings.catch_up_bytes,
            chunk_bytes: settings.catch_up_chunk,
            ahead: settings.catch_up_ahead,
            topic_patience: settings.topic_patience,
            lag_tracker: Arc::<LagTracker>::default(),
        });
        let on_evict = {
            let (tasks, task_settings) = (tasks.clone(), task_settings.clone());
            // The stream reads again when its client takes a chunk or waits for one.
            move |evicted: Evicted| park(CatchUpTask::evicted(evicted, task_settings.clone()), 0, &tasks)
        };
        let live = Arc::new(Live::new(&settings, counts.clone(), Arc::new(on_evict)));
        let turns = Arc::<SharedTurns>::default();
        let catch_up = Arc::new(CatchUp::new(
            live.clone(),
            broker.clone(),
            tasks.clone(),
            turns.clone(),
            (settings.shelf_bytes, settings.memory.catch_up.clone()),
        ));
        let clock = SampleClock { live: live.clone(), ended: is_ended.clone() };
        let refresher = MetadataRefresher {
            live: live.clone(),
            broker: broker.clone(),
            refresh: settings.metadata_refresh,
            topic_patience: settings.topic_patience,
            max_bytes: settings.fetch_bytes,
            also_tidy: Box::new(move || turns.forget_old()),
            ended: is_ended,
        };
        let mut threads = vec![Worker::start("metadata", move || refresher.run())?];
        threads.push(Worker::start("sample-clock", move || clock.run())?);
        for number in 0..catch_up_threads {
            let catch_up = catch_up.clone();
            threads.push(Worker::start(format!("catch-up-{number}"), move || catch_up.work())?);
        }
        Ok(Self {
            writer: ProduceBridge::start(
                broker.clone(),
                settings.queued_bytes,
                settings.produce_timeout,
                counts.clone(),
            )?,
            broker,
            live,
            tasks,
            task_settings,
            stream_settings: Arc::new(StreamSettings {
                max_id_bytes: settings.max_id_bytes,
                chunk_budget: ChunkBudget::new(&settings.memory, settings.catch_up_held),
                counts,
                until_delay: settings.until_delay.as_millis().try_into().unwrap_or(Timestamp::MAX),
            }),
            samples: settings.memory.samples.clone(),
            streams: Arc::default(),
            max_streams: settings.max_streams,
            next_private: AtomicU64::new(0),
            ended: Mutex::new(Some(ended)),
            threads: Mutex::new(threads),
        })
    }

    /// The broker, for requests that need no thread of the hub. Its calls block.
    pub fn broker(&self) -> &Arc<dyn Broker> {
        &self.broker
    }

    /// Number of partitions of a topic that a live stream reads, so that it is known to exist; otherwise `None`.
    pub fn partitions(&self, topic: &TopicName) -> Option<usize> {
        self.live.partitions(topic)
    }

    /// Queues records for the broker. `done` is called once with an outcome for each record, on a thread of the hub, within
    /// about [`Settings::produce_timeout`]; it must not block. It is not called if this returns an error.
    pub fn produce(
        &self,
        topic: TopicName,
        acks: Acks,
        auto_create: AutoCreate,
        records: Vec<NewRecord>,
        done: impl FnOnce(Vec<DeliveryResult>) + Send + 'static,
    ) -> Result<(), Rejected> {
        self.writer.submit(topic, acks, auto_create, records, done)
    }

    /// Opens a stream. Never blocks on the broker: the hub's threads do the look-ups, and their errors arrive in the stream as
    /// [`Format::problem`].
    pub fn subscribe(&self, subscription: Subscription) -> Result<Mailbox, Rejected> {
        self.subscribe_for(ClientTag::default(), subscription)
    }

    /// Opens a stream of one of many clients. Streams of a client take turns with those of other clients.
    pub fn subscribe_for(&self, client: ClientTag, subscription: Subscription) -> Result<Mailbox, Rejected> {
        if self.live.is_closing() {
            return Err(Rejected::ShuttingDown);
        }
        let slot = StreamSlot::take(&self.streams, self.max_streams)?;
        let Subscription { topics, selection, start, filter, missing, until, limit, format } = subscription;
        let cursor = Cursor::new(topics, selection.clone());
        let filter = Arc::new(filter);
        let key = FeedKey {
            topics: cursor.topics().iter().map(|topic| topic.name.clone()).collect(),
            selection,
            filter: filter.clone(),
            format: format.name().to_owned(),
            choice: format.choice(),
            until: match until {
                Until::Time(time) => Some(time),
                Until::Forever | Until::End => None,
            },
            missing,
            private: limit.map(|_| self.next_private.fetch_add(1, Ordering::Relaxed)),
        };
        let bounds = Bounds { remaining: limit.map(u64::from), ..Bounds::default() };
        let encoder = Encoder::new(cursor, filter, format.clone(), bounds).sampling(&self.samples);
        let (sender, mailbox) = stream::mailbox::mailbox(client, slot, format, self.counts().clone());
        let stream = StreamState::new(key, encoder, sender, self.stream_settings.clone());
        let task = CatchUpTask::open(stream, self.task_settings.clone(), Opening { start, until });
        self.tasks.open(task)?;
        Ok(mailbox)
    }

    /// Counters since the start of the hub.
    pub fn counts(&self) -> &Arc<HubCounts> {
        &self.stream_settings.counts
    }

    /// Number of open streams.
    pub fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }

    /// Ends every stream after a complete frame, rejects new streams and records, and waits until the queued records have
    /// their outcomes.
    pub fn shut_down(&self) {
        self.live.close();
        drop(lock(&self.ended).take());
        self.writer.finish();
        lock(&self.threads).clear();
        self.tasks.close();
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.shut_down();
    }
}
