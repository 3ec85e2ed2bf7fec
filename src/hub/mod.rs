//! Records between many callers and one broker.
//!
//! In: [`Hub::produce`] → a bounded queue → one writer thread → the broker. Out: one reader thread
//! per leader → each batch encoded once per [`feed`](self) → the mailbox of every stream.

mod subscription;

pub use subscription::{Filter, Format, Gap, GapReason, Missing, Start, Subscription, Until};

use crate::broker::{Acks, AutoCreate, Broker, Outcome};
use crate::record::{NewRecord, TopicName};
use bytes::Bytes;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

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
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_streams: 10_000,
            queued_bytes: 64 << 20,
            produce_timeout: Duration::from_secs(30),
            metadata_refresh: Duration::from_secs(5),
        }
    }
}

/// Why the hub takes no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// `queued_bytes` are waiting already.
    QueueFull,
    /// `max_streams` are open already.
    TooManyStreams,
    ShuttingDown,
}

/// The threads between callers and the broker. Dropping it ends and joins them.
pub struct Hub {
    broker: Arc<dyn Broker>,
}

impl Hub {
    pub fn start(broker: Arc<dyn Broker>, settings: Settings) -> Self {
        let _ = settings;
        Self { broker }
    }

    /// For looking around; its calls block.
    pub fn broker(&self) -> &Arc<dyn Broker> {
        &self.broker
    }

    /// Whether a stream reads `topic` just now, so that it surely exists.
    pub fn knows(&self, _topic: &TopicName) -> bool {
        todo!()
    }

    /// Queues records for the broker. `done` is called once with an outcome for each, on a thread
    /// of the hub, within about `produce_timeout`; it must not block.
    pub fn produce(
        &self,
        _topic: TopicName,
        _acks: Acks,
        _auto_create: AutoCreate,
        _records: Vec<NewRecord>,
        _done: impl FnOnce(Vec<Outcome>) + Send + 'static,
    ) -> Result<(), Refused> {
        todo!()
    }

    /// Opens a stream. Never blocks on the broker: what has to be asked is asked by the hub's threads,
    /// and what goes wrong there arrives as [`Format::problem`].
    pub fn subscribe(&self, _subscription: Subscription) -> Result<Mailbox, Refused> {
        todo!()
    }

    /// Ends every stream after a whole frame, takes no more, and waits until the queued records
    /// are settled.
    pub fn shut_down(&self) {
        todo!()
    }
}

/// The receiving end of one stream: whole frames, in order. Dropping it ends the stream.
pub struct Mailbox {}

impl Mailbox {
    /// The next frames, as many as are ready; `None` after the last.
    pub fn poll_next(&mut self, _cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        todo!()
    }

    /// Waits for the next frames on this thread; `None` after the last.
    pub fn wait_next(&mut self) -> Option<Bytes> {
        todo!()
    }
}
