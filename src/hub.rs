//! Records between many callers and one broker.
//!
//! In: [`Hub::produce`] → a bounded queue → one `writer` thread → the broker. Out: one `reader` thread
//! per leader → each batch encoded once per `feed` → the `mailbox` of every stream. Streams that are
//! new, come back or were too slow read the log in `catch_up` until they can join a feed; `keeper`
//! watches leaders, partitions and topic ids. `counts`, `standing` and `look` are for whoever shows how it goes.

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
pub use subscription::{ClientTag, Filter, Format, Gap, GapReason, Missing, Subscription, Until};

pub use crate::start_position::Start;

use crate::broker::{Acks, AutoCreate, Broker, DeliveryResult};
use crate::cursor::Cursor;
use crate::record::{NewRecord, TopicName};
use crate::sync::lock;
use crate::sync::memory_budget::MemoryBudget;
use crate::sync::watchdog::Worker;
use catch_up::opening::Opening;
use catch_up::pool::CatchUp;
use catch_up::task::{CatchUpSettings, CatchUpTask};
use catch_up::task_queue::JobQueue;
use crossbeam_channel::{Sender, bounded};
use live::feed::FeedKey;
use live::metadata::MetadataRefresher;
use live::registry::Live;
use produce::ProduceBridge;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use stream::chunk_budget::ChunkBudget;
use stream::encoder::{Bounds, Encoder};
use stream::lag::LagTracker;

/// The bounds of everything the hub holds.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Open streams; one more is refused.
    pub max_streams: usize,
    /// Bytes of records that wait for the broker; more are refused.
    pub queued_bytes: usize,
    /// How long a caller waits for the broker's receipt.
    pub produce_timeout: Duration,
    /// How often partitions, leaders and topic ids are looked up anew.
    pub metadata_refresh: Duration,
    /// How long a topic that was there is waited for when it is gone, before the streams that have no other topic end.
    pub topic_patience: Duration,
    /// Bytes of fetched records kept for streams that come back; older ones are read from the broker again.
    pub recent_bytes: usize,
    /// About how many bytes one live fetch brings.
    pub fetch_bytes: usize,
    /// Bytes of the log kept for streams that catch up behind others.
    pub shelf_bytes: usize,
    /// About how many bytes a stream reads at a time while it catches up.
    pub catch_up_bytes: usize,
    /// About how many bytes it gets at a time, and how many such chunks may wait for its client, as long as all such
    /// streams together hold less than `catch_up_held` beyond a small chunk each; after that each gets small chunks, one at
    /// a time.
    pub catch_up_chunk: usize,
    pub catch_up_ahead: usize,
    pub catch_up_held: usize,
    /// Longest id of a stream: what its client can send back. A stream whose id would be longer is refused.
    pub max_id_bytes: usize,
    /// Threads that read for streams that catch up.
    pub catch_up_threads: usize,
    /// What reading and streams may take together.
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
            catch_up_threads: 4,
            memory: MemoryBudget::default(),
        }
    }
}

/// Why the hub takes no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejected {
    /// `queued_bytes` are waiting already.
    QueueFull,
    /// `max_streams` are open already.
    TooManyStreams,
    ShuttingDown,
}

/// The threads between callers and the broker. Dropping it ends and joins them.
pub struct Hub {
    broker: Arc<dyn Broker>,
    live: Arc<Live>,
    writer: ProduceBridge,
    jobs: Arc<JobQueue>,
    job_settings: Arc<CatchUpSettings>,
    streams: Arc<AtomicUsize>,
    max_streams: usize,
    next_private: AtomicU64,
    // Closed before the threads below are joined.
    ended: Mutex<Option<Sender<()>>>,
    threads: Mutex<Vec<Worker>>,
}

impl Hub {
    /// Fails only where no thread can be started.
    pub fn start(broker: Arc<dyn Broker>, settings: Settings) -> std::io::Result<Self> {
        let counts = Arc::<HubCounts>::default();
        let live = Arc::new(Live::new(&settings, counts.clone()));
        let (ended, is_ended) = bounded(0);
        let catch_up_threads = settings.catch_up_threads.max(1);
        // Twice as many places as streams: a closed stream's job may still wait for its turn.
        let most_jobs = 2 * settings.max_streams + 16;
        let jobs = Arc::new(JobQueue::new(most_jobs, catch_up_threads, is_ended.clone()));
        let catch_up = Arc::new(CatchUp::new(
            live.clone(),
            broker.clone(),
            jobs.clone(),
            (settings.shelf_bytes, settings.memory.catch_up.clone()),
        ));
        let keeper = MetadataRefresher {
            live: live.clone(),
            broker: broker.clone(),
            refresh: settings.metadata_refresh,
            topic_patience: settings.topic_patience,
            max_bytes: settings.fetch_bytes,
            ended: is_ended,
        };
        let mut threads = vec![Worker::start("keeper", move || keeper.run())?];
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
            jobs,
            job_settings: Arc::new(CatchUpSettings {
                read_bytes: settings.catch_up_bytes,
                chunk_bytes: settings.catch_up_chunk,
                ahead: settings.catch_up_ahead,
                max_id_bytes: settings.max_id_bytes,
                topic_patience: settings.topic_patience,
                allowance: ChunkBudget::new(&settings.memory, settings.catch_up_held),
                counts,
                stragglers: Arc::<LagTracker>::default(),
            }),
            streams: Arc::default(),
            max_streams: settings.max_streams,
            next_private: AtomicU64::new(0),
            ended: Mutex::new(Some(ended)),
            threads: Mutex::new(threads),
        })
    }

    /// For looking around; its calls block.
    pub fn broker(&self) -> &Arc<dyn Broker> {
        &self.broker
    }

    /// How many partitions `topic` has, where a stream reads it just now, so that it surely exists.
    pub fn partitions(&self, topic: &TopicName) -> Option<usize> {
        self.live.partitions(topic)
    }

    /// Queues records for the broker. `done` is called once with an outcome for each, on a thread of the
    /// hub, within about `produce_timeout`; it must not block. It is not called where this is an error.
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

    /// Opens a stream. Never blocks on the broker: what has to be asked is asked by the hub's threads,
    /// and what goes wrong there arrives as [`Format::problem`].
    pub fn subscribe(&self, subscription: Subscription) -> Result<Mailbox, Rejected> {
        self.subscribe_for(ClientTag::default(), subscription)
    }

    /// The same for one of many clients, whose streams share nothing of other clients' turns.
    pub fn subscribe_for(&self, client: ClientTag, subscription: Subscription) -> Result<Mailbox, Rejected> {
        if self.live.is_closing() {
            return Err(Rejected::ShuttingDown);
        }
        let permit = StreamSlot::take(&self.streams, self.max_streams)?;
        let Subscription { topics, selection, start, filter, missing, until, limit, format } = subscription;
        let cursor = Cursor::new(topics, selection.clone());
        let filter = Arc::new(filter);
        let key = FeedKey {
            topics: cursor.topics().iter().map(|topic| topic.name.clone()).collect(),
            selection,
            filter: filter.clone(),
            format: format.name().to_owned(),
            missing,
            private: limit.map(|_| self.next_private.fetch_add(1, Ordering::Relaxed)),
        };
        let bounds = Bounds { remaining: limit.map(u64::from), ..Bounds::default() };
        let encoder = Encoder::new(cursor, filter, format.clone(), bounds);
        let (post, mailbox) =
            stream::mailbox::mailbox(client, self.jobs.clone(), permit, format, self.counts().clone());
        let job = CatchUpTask::open(encoder, post, key, self.job_settings.clone(), Opening { start, until });
        self.jobs.open(job)?;
        Ok(mailbox)
    }

    /// What it has done since it began.
    pub fn counts(&self) -> &Arc<HubCounts> {
        &self.job_settings.counts
    }

    /// Open streams.
    pub fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }

    /// Ends every stream after a whole frame, takes no more, and waits until the queued records
    /// are settled.
    pub fn shut_down(&self) {
        self.live.close();
        drop(lock(&self.ended).take());
        self.writer.finish();
        lock(&self.threads).clear();
        self.jobs.close();
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.shut_down();
    }
}

/// One of the hub's places for streams.
struct StreamSlot(Arc<AtomicUsize>);

impl StreamSlot {
    fn take(streams: &Arc<AtomicUsize>, most: usize) -> Result<Self, Rejected> {
        let fits = |open: usize| (open < most).then_some(open + 1);
        match streams.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits) {
            Ok(_) => Ok(Self(streams.clone())),
            Err(_) => Err(Rejected::TooManyStreams),
        }
    }
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
