//! Moves records between many clients and one broker.
//!
//! In: [`Hub::produce`] → a bounded queue → one `writer` thread (`produce`) → the broker.
//!
//! Out: one fetch thread per leader broker → each batch is encoded once per feed (`live`) → the mailbox of every stream
//! (`stream`). Streams that are new, resumed or slow read the log individually (`catch_up`) until they can join a feed.
//!
//! Imports run one way: `catch_up` imports `live` and `stream`, and `live` imports `stream`.

#![deny(missing_docs)]

mod catch_up;
mod counts;
mod live;
pub mod overview;
mod produce;
pub mod series;
mod status;
mod stream;
mod subscription;
mod view;

pub use counts::{Amount, Histogram, HubCounts, ProduceOutcome, RequestKind};
pub use status::{HubStatus, TopicBacklog};
pub use stream::mailbox::Mailbox;
pub use subscription::{ClientTag, Filter, Format, FormatChoice, Gap, GapReason, Missing, Subscription, Until};
pub use view::prepared::{PreparedSnapshot, SnapshotCheck};

pub use crate::start_position::Start;

use crate::broker::{Acks, AutoCreate, Broker, DeliveryResult};
use crate::cursor::Cursor;
use crate::record::{NewRecord, Timestamp, TopicName, now};
use crate::sync::lock;
use crate::sync::memory_budget::{MemoryBudget, Share};
use crate::sync::worker::Worker;
use catch_up::pool::CatchUp;
use catch_up::shared_turns::SharedTurns;
use catch_up::task::{CatchUpSettings, CatchUpTask, Opening};
use catch_up::task_queue::{TaskQueue, park};
use crossbeam_channel::{Sender, bounded};
use live::feed::Evicted;
use live::metadata_refresher::MetadataRefresher;
use live::registry::Live;
use live::sample_clock::SampleClock;
use overview::TopicOverview;
use produce::ProduceBridge;
use series::SeriesService;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use stream::bounds::Bounds;
use stream::chunk_budget::ChunkBudget;
use stream::encoder::Encoder;
use stream::feed_key::FeedKey;
use stream::lag::LagTracker;
use stream::slot::StreamSlot;
use stream::state::{StreamSettings, StreamState};
use thiserror::Error;
use view::follower::ViewFollower;
use view::keyed_view::{Reach, ViewKey};
use view::store::ViewStore;

/// The limits and timeouts of a [`Hub`].
#[derive(Debug, Clone)]
pub struct Settings {
    /// Maximum number of open streams. Further streams are rejected.
    pub max_streams: usize,
    /// Maximum size of the records that wait for their acknowledgement, in bytes. Further records are rejected.
    pub queued_bytes: usize,
    /// Timeout for the outcome of a record.
    pub produce_timeout: Duration,
    /// Interval between look-ups of partitions, leaders and topic ids.
    pub metadata_refresh: Duration,
    /// How long streams wait for a deleted topic to reappear. After that, streams without another topic end.
    pub topic_patience: Duration,
    /// Size of the cache of live records for streams that reconnect, in bytes. Older records are read from the broker again.
    pub recent_bytes: usize,
    /// Approximate number of bytes that one live fetch returns.
    pub fetch_bytes: usize,
    /// Size of the cache of records that streams have read while they caught up, in bytes.
    pub read_cache_bytes: usize,
    /// Approximate number of bytes that a stream reads in one turn while it catches up.
    pub catch_up_bytes: usize,
    /// Approximate size of the chunks of a stream that catches up, in bytes. Once the chunks of all streams exceed
    /// `catch_up_held`, this and `catch_up_ahead` no longer apply: each stream gets one small chunk at a time.
    pub catch_up_chunk: usize,
    /// Number of chunks that may still wait for the client when the next turn of a stream that catches up begins.
    pub catch_up_ahead: usize,
    /// Size of the chunks of all streams together, in bytes, from which on streams get small chunks. The first 16 KiB of each
    /// chunk do not count.
    pub catch_up_held: usize,
    /// Maximum length of an id, in bytes: clients send it back in a header. A stream whose id grows longer ends.
    pub max_id_bytes: usize,
    /// How long a stream that ends at a time waits after it for records that are on their way.
    pub until_delay: Duration,
    /// Number of threads that read for streams that catch up.
    pub catch_up_threads: usize,
    /// The most memory that the latest records of one topic may take, for streams that start with a snapshot, in bytes. The
    /// memory budget is a limit for those of all topics.
    pub snapshot_bytes: usize,
    /// Threads that read for snapshots.
    pub snapshot_threads: usize,
    /// Interval at which the offsets of all topics are sampled for the [`overview`].
    pub sample_interval: Duration,
    /// The memory budget of the process. The hub uses the shares for fetched batches and for chunks.
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
            read_cache_bytes: 8 << 20,
            catch_up_bytes: 128 << 10,
            catch_up_chunk: 160 << 10,
            catch_up_ahead: 0,
            catch_up_held: 10 << 20,
            max_id_bytes: 12 << 10,
            until_delay: Duration::from_secs(5),
            catch_up_threads: 4,
            snapshot_bytes: usize::MAX,
            snapshot_threads: 2,
            sample_interval: Duration::from_secs(10),
            memory: MemoryBudget::default(),
        }
    }
}

/// The reason why the hub rejected records or a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Rejected {
    /// The queue of records holds [`Settings::queued_bytes`], or its maximum number of submissions.
    #[error("the queue of records is full")]
    QueueFull,
    /// [`Settings::max_streams`] are open, or too many closed streams have not been cleaned up yet.
    #[error("too many streams are open")]
    TooManyStreams,
    /// [`Hub::shut_down`] was called.
    #[error("curlew is shutting down")]
    ShuttingDown,
}

/// Owns the threads between the clients and the broker. Dropping it ends and joins them.
pub struct Hub {
    broker: Arc<dyn Broker>,
    live: Arc<Live>,
    writer: ProduceBridge,
    series: Arc<SeriesService>,
    overview: TopicOverview,
    tasks: Arc<TaskQueue>,
    views: Arc<ViewStore>,
    task_settings: Arc<CatchUpSettings>,
    stream_settings: Arc<StreamSettings>,
    /// Pays for what sampled streams hold back.
    samples: Arc<Share>,
    streams: Arc<AtomicUsize>,
    max_streams: usize,
    next_private: AtomicU64,
    // Must be closed before the threads below are joined.
    ended: Mutex<Option<Sender<()>>>,
    threads: Mutex<Vec<Worker>>,
}

impl Hub {
    /// Starts the threads. Fails only if the operating system cannot start one.
    pub fn start(broker: Arc<dyn Broker>, settings: Settings) -> std::io::Result<Self> {
        let counts = Arc::<HubCounts>::default();
        let (ended, is_ended) = bounded(0);
        let catch_up_threads = settings.catch_up_threads.max(1);
        // More than the open streams, because the task of a closed stream stays queued until its turn.
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
            // The stream resumes when its client takes a chunk or waits for one.
            move |evicted: Evicted| park(CatchUpTask::evicted(evicted, task_settings.clone()), 0, &tasks)
        };
        let live = Arc::new(Live::new(&settings, counts.clone(), Arc::new(on_evict)));
        let turns = Arc::<SharedTurns>::default();
        let catch_up = Arc::new(CatchUp::new(
            live.clone(),
            broker.clone(),
            tasks.clone(),
            turns.clone(),
            (settings.read_cache_bytes, settings.memory.catch_up.clone()),
        ));
        let clock = SampleClock { live: live.clone(), ended: is_ended.clone() };
        let series = Arc::new(SeriesService::start(broker.clone(), &settings.memory)?);
        let tidied_series = series.clone();
        let overview = TopicOverview::start(broker.clone(), settings.sample_interval, &settings.memory)?;
        let refresher = MetadataRefresher {
            live: live.clone(),
            broker: broker.clone(),
            refresh: settings.metadata_refresh,
            topic_patience: settings.topic_patience,
            max_bytes: settings.fetch_bytes,
            on_tidy: Box::new(move || {
                turns.forget_old();
                tidied_series.tidy();
            }),
            ended: is_ended.clone(),
        };
        let snapshots = settings.memory.snapshots.clone();
        let snapshot_bytes = settings.snapshot_bytes.min(snapshots.limit());
        let snapshot_threads = settings.snapshot_threads.max(1);
        let views = Arc::new(ViewStore::new(snapshot_threads, snapshot_bytes, snapshots, is_ended));
        let follower = Arc::new(ViewFollower {
            store: views.clone(),
            live: live.clone(),
            broker: broker.clone(),
            memory: settings.memory.catch_up.clone(),
        });
        let mut threads = vec![Worker::start("metadata", move || refresher.run())?];
        threads.push(Worker::start("sample-clock", move || clock.run())?);
        for number in 0..catch_up_threads {
            let catch_up = catch_up.clone();
            threads.push(Worker::start(format!("catch-up-{number}"), move || catch_up.work())?);
        }
        for number in 0..snapshot_threads {
            let follower = follower.clone();
            threads.push(Worker::start(format!("snapshot-{number}"), move || follower.run())?);
        }
        Ok(Self {
            writer: ProduceBridge::start(
                broker.clone(),
                settings.queued_bytes,
                settings.produce_timeout,
                counts.clone(),
            )?,
            series,
            overview,
            broker,
            live,
            tasks,
            views,
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

    /// Returns the broker, for requests that do not need the hub's threads. Its calls block.
    pub fn broker(&self) -> &Arc<dyn Broker> {
        &self.broker
    }

    /// Returns the number of partitions of a topic if a live stream reads it. `None`: ask the broker.
    pub fn partitions(&self, topic: &TopicName) -> Option<usize> {
        self.live.partitions(topic)
    }

    /// Queues records for the broker. A thread of the hub calls `done` once, with the outcome of each record in order,
    /// within about [`Settings::produce_timeout`]. `done` must not block. If this returns an error, `done` is not called.
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

    /// Opens a stream. Never blocks on the broker: the hub's threads look up the topics, and the stream reports their errors
    /// with [`Format::problem`].
    pub fn subscribe(&self, subscription: Subscription) -> Result<Mailbox, Rejected> {
        self.subscribe_for(ClientTag::default(), subscription)
    }

    /// Like [`subscribe`](Self::subscribe), for one of many clients: while streams catch up, their clients take turns.
    pub fn subscribe_for(&self, client: ClientTag, subscription: Subscription) -> Result<Mailbox, Rejected> {
        let prepared = self.prepare_snapshot(client, &subscription);
        self.subscribe_prepared(client, subscription, prepared)
    }

    /// Like [`subscribe_for`](Self::subscribe_for), with the result of [`prepare_snapshot`](Self::prepare_snapshot) for the
    /// same subscription. A snapshot that was found there is not read again.
    pub fn subscribe_prepared(
        &self,
        client: ClientTag,
        subscription: Subscription,
        prepared: Option<PreparedSnapshot>,
    ) -> Result<Mailbox, Rejected> {
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
        let (sender, mut mailbox) = stream::mailbox::mailbox(client, slot, format, self.counts().clone());
        mailbox.keep(prepared.clone());
        let stream = StreamState::new(key, encoder, sender, self.stream_settings.clone());
        let task = CatchUpTask::open(stream, self.task_settings.clone(), Opening { start, until, prepared });
        self.tasks.open(task)?;
        Ok(mailbox)
    }

    /// Returns the computations of time series.
    pub fn series(&self) -> &SeriesService {
        &self.series
    }

    /// Returns the overview of all topics.
    pub fn overview(&self) -> &TopicOverview {
        &self.overview
    }

    /// Leases the views of a stream that starts with a snapshot, so that they can be checked before the stream is
    /// opened. Returns `None` for other streams.
    pub fn prepare_snapshot(&self, client: ClientTag, subscription: &Subscription) -> Option<PreparedSnapshot> {
        let Start::Snapshot { since } = &subscription.start else { return None };
        let reach = Reach::of(*since, now());
        let lease = |name: &TopicName| self.views.lease(client, ViewKey { topic: name.clone(), reach });
        // The stream has each topic once, in another order than the request.
        let stream = Cursor::new(subscription.topics.clone(), subscription.selection.clone());
        let views = stream.topics().iter().map(|topic| lease(&topic.name)).collect();
        Some(PreparedSnapshot { views, asked: Instant::now() })
    }

    /// Returns the counters, which began at zero when the hub was started.
    pub fn counts(&self) -> &Arc<HubCounts> {
        &self.stream_settings.counts
    }

    /// Returns the number of open streams.
    pub fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }

    /// Ends every stream after a complete frame, rejects new streams and records, and blocks until the outcomes of all queued
    /// records are known.
    pub fn shut_down(&self) {
        self.live.close();
        drop(lock(&self.ended).take());
        self.series.shut_down();
        self.overview.shut_down();
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
