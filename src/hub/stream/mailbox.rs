//! Passes the chunks of a stream from the hub's threads to its async writer: a bounded channel and a waker. A stream needs
//! neither a thread nor a timer.

use super::chunk::{Chunk, Replayable, StreamPosition};
use super::slot::StreamSlot;
use crate::broker::BrokerError;
use crate::hub::counts::HubCounts;
use crate::hub::subscription::{ClientTag, Format};
use crate::sync::lock;
use bytes::Bytes;
use crossbeam_channel::{Receiver, Select, Sender, TryRecvError, bounded};
use futures_util::task::AtomicWaker;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

/// Maximum number of chunks in a mailbox. When it is full, its stream leaves the live flow, and the chunks are taken back.
/// The slow streams of a feed therefore hold few chunks, which they share.
const SLOTS: usize = 12;

/// Continues a stream that is parked in its mailbox. It is dropped without a call if the client has disconnected.
pub type Resume = Box<dyn FnOnce() + Send>;

/// The receiving end of a stream. It yields complete frames, in order. Dropping it ends the stream.
pub struct Mailbox {
    chunks: Receiver<Chunk>,
    shared: Arc<MailboxState>,
    /// Writes the last frame of a stream that is cut off. `None` after the end of the stream.
    format: Option<Arc<dyn Format>>,
    /// A value that is dropped with the stream.
    kept: Option<Box<dyn Send + Sync>>,
    _slot: StreamSlot,
}

/// The sending end of a stream. The stream ends when the last clone is dropped.
#[derive(Clone)]
pub struct MailboxSender {
    chunks: Sender<Chunk>,
    /// The receiving end of the channel, to take chunks back.
    waiting: Receiver<Chunk>,
    shared: Arc<MailboxState>,
    _ended: Arc<WakeAtEnd>,
}

struct MailboxState {
    client: ClientTag,
    waker: AtomicWaker,
    /// Held while chunks are removed, so that the client cannot take a chunk while the hub takes chunks back.
    taking: Mutex<()>,
    /// Number of bytes sent, without those that were taken back.
    sent: AtomicUsize,
    /// Number of bytes that the client has taken.
    taken: AtomicUsize,
    /// `taken` at the last call of [`MailboxSender::is_idle`]; `usize::MAX` if no chunk was waiting then.
    taken_before: AtomicUsize,
    /// Whether the client has disconnected.
    closed: AtomicBool,
    /// Whether the last frame has been sent: the stream is complete, or it has reported the error that ends it.
    completed: AtomicBool,
    /// Continues the stream when the client takes a chunk or waits for one.
    parked: Mutex<Option<Resume>>,
    is_parked: AtomicBool,
    /// Whether the client is waiting for the next chunk.
    client_waits: AtomicBool,
    counts: Arc<HubCounts>,
}

/// Wakes the client when the last sender is dropped. As the last field of the sender, it is dropped after the channel.
struct WakeAtEnd(Arc<MailboxState>);

impl Drop for WakeAtEnd {
    fn drop(&mut self) {
        self.0.waker.wake();
    }
}

/// Creates the two ends of a stream. If the stream ends without a call of [`MailboxSender::complete`], the client gets a last
/// frame in this format, which says that the bridge is shutting down.
pub fn mailbox(
    client: ClientTag,
    slot: StreamSlot,
    format: Arc<dyn Format>,
    counts: Arc<HubCounts>,
) -> (MailboxSender, Mailbox) {
    let (sender, receiver) = bounded(SLOTS);
    let shared = Arc::new(MailboxState {
        client,
        waker: AtomicWaker::new(),
        taking: Mutex::new(()),
        sent: AtomicUsize::new(0),
        taken: AtomicUsize::new(0),
        taken_before: AtomicUsize::new(usize::MAX),
        closed: AtomicBool::new(false),
        completed: AtomicBool::new(false),
        parked: Mutex::new(None),
        is_parked: AtomicBool::new(false),
        client_waits: AtomicBool::new(false),
        counts,
    });
    let sender = MailboxSender {
        chunks: sender,
        waiting: receiver.clone(),
        _ended: Arc::new(WakeAtEnd(shared.clone())),
        shared: shared.clone(),
    };
    (sender, Mailbox { chunks: receiver, shared, format: Some(format), kept: None, _slot: slot })
}

impl MailboxSender {
    /// Returns the client of the stream.
    pub fn client(&self) -> ClientTag {
        self.shared.client
    }

    /// Whether there is no space for another chunk.
    pub fn is_full(&self) -> bool {
        self.chunks.is_full()
    }

    /// Whether the client has disconnected.
    pub fn is_closed(&self) -> bool {
        self.shared.closed.load(Ordering::Acquire)
    }

    /// Sends a chunk. There must be space for it: only one thread at a time sends to a mailbox, and it checks
    /// [`is_full`](Self::is_full) first.
    pub fn send(&self, chunk: Chunk) {
        self.shared.client_waits.store(false, Ordering::SeqCst);
        self.shared.sent.fetch_add(chunk.bytes.len(), Ordering::Relaxed);
        if self.chunks.try_send(chunk).is_ok() {
            self.shared.waker.wake();
        }
    }

    /// Takes back the chunks that the client has not taken, except those up to the last one that is not replayable.
    /// Returns the position of the stream before them, or `None` if there are none.
    pub fn take_back(&self) -> Option<StreamPosition> {
        let _taking = lock(&self.shared.taking);
        let mut waiting: Vec<_> = self.waiting.try_iter().collect();
        let kept = waiting.iter().rposition(|chunk| chunk.replayable == Replayable::No).map_or(0, |last| last + 1);
        let records = waiting.split_off(kept);
        // There is space, because these chunks were in the channel before and no other thread sends to it.
        waiting.into_iter().for_each(|chunk| drop(self.chunks.try_send(chunk)));
        self.shared.sent.fetch_sub(self.shared.untaken(&records), Ordering::Relaxed);
        records.into_iter().next().map(|first| first.from)
    }

    /// Marks the stream as complete, after its last frame has been sent.
    pub fn complete(&self) {
        self.shared.completed.store(true, Ordering::Release);
    }

    /// Returns the number of chunks that wait for the client.
    pub fn waiting(&self) -> usize {
        self.chunks.len()
    }

    /// Returns the size of the chunks that wait for the client, in bytes.
    pub fn waiting_bytes(&self) -> usize {
        self.shared.sent.load(Ordering::Relaxed).saturating_sub(self.shared.taken.load(Ordering::Relaxed))
    }

    /// Whether the client has taken at least this number of bytes since its stream began.
    pub fn has_taken(&self, bytes: usize) -> bool {
        self.shared.taken.load(Ordering::Relaxed) >= bytes
    }

    /// Whether the client has taken nothing since the last call, although a chunk was waiting for it then.
    pub fn is_idle(&self) -> bool {
        let taken = self.shared.taken.load(Ordering::Relaxed);
        let now = if self.waiting() > 0 { taken } else { usize::MAX };
        self.shared.taken_before.swap(now, Ordering::Relaxed) == taken && self.waiting() > 0
    }

    /// Whether fewer than `ahead` chunks wait for the client, or the client waits for a chunk.
    pub fn wants_more(&self, ahead: usize) -> bool {
        self.waiting() < ahead || self.shared.client_waits.load(Ordering::SeqCst)
    }

    /// Calls `resume` when the client takes a chunk or waits for one; at once, if the client [wants more](Self::wants_more).
    pub fn park(&self, ahead: usize, resume: Resume) {
        *lock(&self.shared.parked) = Some(resume);
        self.shared.is_parked.store(true, Ordering::SeqCst);
        // The client may have emptied or closed the mailbox before `is_parked` was set.
        if self.wants_more(ahead) || self.is_closed() {
            self.shared.unpark();
        }
    }
}

impl MailboxState {
    /// Counts chunks that the client did not take. Returns their size in bytes.
    fn untaken(&self, chunks: &[Chunk]) -> usize {
        let records = chunks.iter().map(|chunk| chunk.records).sum();
        let bytes = chunks.iter().map(|chunk| chunk.bytes.len()).sum();
        self.counts.untaken.add(records, bytes as u64);
        bytes
    }

    fn unpark(&self) {
        if !self.is_parked.swap(false, Ordering::SeqCst) {
            return;
        }
        let Some(resume) = lock(&self.parked).take() else { return };
        if !self.closed.load(Ordering::Acquire) {
            resume();
        }
    }
}

impl Mailbox {
    /// Keeps a value until the stream is dropped.
    pub fn keep(&mut self, value: impl Send + Sync + 'static) {
        self.kept = Some(Box::new(value));
    }

    /// Returns the next frames, or `None` at the end of the stream.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(next) = self.take() {
            return Poll::Ready(next);
        }
        self.shared.waker.register(cx.waker());
        if let Some(next) = self.take() {
            return Poll::Ready(next);
        }
        self.shared.client_waits.store(true, Ordering::SeqCst);
        self.shared.unpark();
        Poll::Pending
    }

    /// Blocks until the next frames arrive. Returns `None` at the end of the stream.
    pub fn wait_next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(next) = self.take() {
                return next;
            }
            self.shared.client_waits.store(true, Ordering::SeqCst);
            self.shared.unpark();
            // Waits without receiving, because `take` receives under a lock.
            let mut ready = Select::new();
            ready.recv(&self.chunks);
            ready.ready();
        }
    }

    /// Takes a chunk without waiting. Returns `None` if the mailbox is empty, and `Some(None)` at the end of the
    /// stream.
    fn take(&mut self) -> Option<Option<Bytes>> {
        let taken = {
            let _taking = lock(&self.shared.taking);
            self.chunks.try_recv()
        };
        match taken {
            Ok(chunk) => {
                self.shared.taken.fetch_add(chunk.bytes.len(), Ordering::Relaxed);
                self.shared.unpark();
                Some(Some(chunk.bytes))
            }
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(self.final_problem()),
        }
    }

    /// Returns the frame which says that the stream was cut off, unless the stream is complete.
    fn final_problem(&mut self) -> Option<Bytes> {
        let format = self.format.take()?;
        if self.shared.completed.load(Ordering::Acquire) {
            return None;
        }
        let mut out = Vec::new();
        format.problem(&mut out, &BrokerError::ShuttingDown);
        Some(out.into()).filter(|out: &Bytes| !out.is_empty())
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
        self.shared.untaken(&self.chunks.try_iter().collect::<Vec<_>>());
        self.shared.unpark();
    }
}
