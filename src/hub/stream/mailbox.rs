//! One stream's chunks on their way from the hub's threads to its async writer.
//!
//! A bounded channel of shared chunks plus a waker: no thread and no timer per stream.

use crate::broker::BrokerError;
use crate::cursor::Cursor;
use crate::hub::catch_up::task::CatchUpTask;
use crate::hub::catch_up::task_queue::JobQueue;
use crate::hub::counts::HubCounts;
use crate::hub::subscription::{ClientTag, Format};
use crate::hub::{StreamSlot, lock};
use bytes::Bytes;
use crossbeam_channel::{Receiver, Select, Sender, TryRecvError, bounded};
use futures_util::task::AtomicWaker;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

/// Chunks that may wait in one mailbox. When it is full, the stream leaves the live flow, gives them back, and reads
/// the log by itself once its client takes something. So the streams of a feed hold its last few chunks, whichever
/// they are slow at, and all of them the same.
const SLOTS: usize = 12;

/// Whole frames, and the place of the stream before them.
#[derive(Clone)]
pub struct Chunk {
    pub bytes: Bytes,
    pub records: u64,
    pub from: StreamPosition,
    pub holds: Replayable,
}

/// Where a stream stands between two chunks.
#[derive(Debug, Clone)]
pub struct StreamPosition {
    pub cursor: Arc<Cursor>,
    /// Records still to be delivered, where they are counted.
    pub remaining: Option<u64>,
}

/// Whether a chunk can be had again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replayable {
    /// From the log.
    Records,
    /// Also what is said only once: a gap, where the stream starts.
    Words,
}

/// The receiving end of one stream: whole frames, in order. Dropping it ends the stream.
pub struct Mailbox {
    chunks: Receiver<Chunk>,
    shared: Arc<MailboxState>,
    /// Says what nobody else has said when the stream ends; `None` once it is said.
    last_words: Option<Arc<dyn Format>>,
    _permit: StreamSlot,
}

/// The hub's end of a mailbox. The stream ends when the last clone is gone.
#[derive(Clone)]
pub struct MailboxSender {
    chunks: Sender<Chunk>,
    /// Of the same mailbox, to take chunks back.
    waiting: Receiver<Chunk>,
    shared: Arc<MailboxState>,
    _ended: Arc<WakeAtEnd>,
}

struct MailboxState {
    client: ClientTag,
    waker: AtomicWaker,
    /// Held while chunks are taken out: those that are taken back must not be taken by the client in between.
    taking: Mutex<()>,
    /// Bytes that were handed over, and that the client has taken of them.
    sent: AtomicUsize,
    taken: AtomicUsize,
    /// Of those, when something waited for the client and it was [asked](Post::is_idle) last.
    taken_before: AtomicUsize,
    closed: AtomicBool,
    /// The stream has delivered all it was asked for, or its client knows why it ends.
    completed: AtomicBool,
    /// A catch-up job that waits for room in this mailbox.
    parked: Mutex<Option<Box<CatchUpTask>>>,
    is_parked: AtomicBool,
    /// The client waits for the next chunk.
    is_hungry: AtomicBool,
    jobs: Arc<JobQueue>,
    counts: Arc<HubCounts>,
}

/// Wakes the stream once more when the hub's last end is dropped, after its channel is closed.
struct WakeAtEnd(Arc<MailboxState>);

impl Drop for WakeAtEnd {
    fn drop(&mut self) {
        self.0.waker.wake();
    }
}

/// Parked jobs go back to `jobs` when there is room again.
///
/// A stream that ends without [`Post::complete`], for whatever reason, tells its client so in this format.
pub fn mailbox(
    client: ClientTag,
    jobs: Arc<JobQueue>,
    permit: StreamSlot,
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
        is_hungry: AtomicBool::new(false),
        jobs,
        counts,
    });
    let post = MailboxSender {
        chunks: sender,
        waiting: receiver.clone(),
        _ended: Arc::new(WakeAtEnd(shared.clone())),
        shared: shared.clone(),
    };
    (post, Mailbox { chunks: receiver, shared, last_words: Some(format), _permit: permit })
}

impl MailboxSender {
    pub fn client(&self) -> ClientTag {
        self.shared.client
    }

    pub fn is_full(&self) -> bool {
        self.chunks.is_full()
    }

    /// The client is gone.
    pub fn is_closed(&self) -> bool {
        self.shared.closed.load(Ordering::Acquire)
    }

    /// Hands over whole frames. Only one thread sends to a mailbox at a time and asks
    /// [`is_full`](Self::is_full) before, so there is room.
    pub fn send(&self, chunk: Chunk) {
        self.shared.is_hungry.store(false, Ordering::SeqCst);
        self.shared.sent.fetch_add(chunk.bytes.len(), Ordering::Relaxed);
        if self.chunks.try_send(chunk).is_ok() {
            self.shared.waker.wake();
        }
    }

    /// Takes back the records that the client has not taken, up to the last thing that is said only once; where the
    /// stream stands without them. `None`: there were none.
    pub fn take_back(&self) -> Option<StreamPosition> {
        let _taking = lock(&self.shared.taking);
        let mut waiting: Vec<_> = self.waiting.try_iter().collect();
        let words = waiting.iter().rposition(|chunk| chunk.holds == Replayable::Words).map_or(0, |last| last + 1);
        let records = waiting.split_off(words);
        // There is room: they were here before, and the hub's other threads leave this mailbox alone.
        waiting.into_iter().for_each(|chunk| drop(self.chunks.try_send(chunk)));
        self.shared.sent.fetch_sub(self.shared.untaken(&records), Ordering::Relaxed);
        records.into_iter().next().map(|first| first.from)
    }

    /// The client knows why the stream ends, or got all it asked for.
    pub fn complete(&self) {
        self.shared.completed.store(true, Ordering::Release);
    }

    /// Chunks that wait for the client.
    pub fn waiting(&self) -> usize {
        self.chunks.len()
    }

    pub fn waiting_bytes(&self) -> usize {
        self.shared.sent.load(Ordering::Relaxed).saturating_sub(self.shared.taken.load(Ordering::Relaxed))
    }

    /// Whether the client has taken so many bytes since its stream began.
    pub fn has_taken(&self, bytes: usize) -> bool {
        self.shared.taken.load(Ordering::Relaxed) >= bytes
    }

    /// Whether the client has taken nothing since this was asked last, though something waited for it then.
    pub fn is_idle(&self) -> bool {
        let taken = self.shared.taken.load(Ordering::Relaxed);
        let now = if self.waiting() > 0 { taken } else { usize::MAX };
        self.shared.taken_before.swap(now, Ordering::Relaxed) == taken && self.waiting() > 0
    }

    /// Whether fewer than `ahead` chunks wait for the client, or the client for the next one.
    pub fn wants_more(&self, ahead: usize) -> bool {
        self.waiting() < ahead || self.shared.is_hungry.load(Ordering::SeqCst)
    }

    /// Keeps `job` until the client takes something or waits for something, unless it [wants more](Self::wants_more).
    pub fn park(&self, job: Box<CatchUpTask>, ahead: usize) {
        job.place.waits();
        *lock(&self.shared.parked) = Some(job);
        self.shared.is_parked.store(true, Ordering::SeqCst);
        // The client may have emptied the mailbox, or gone, before it could see the job.
        if self.wants_more(ahead) || self.is_closed() {
            self.shared.unpark();
        }
    }
}

impl MailboxState {
    /// How many bytes it is.
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
        let Some(job) = lock(&self.parked).take() else { return };
        job.place.goes_on();
        if !self.closed.load(Ordering::Acquire) {
            self.jobs.put_back(job);
        }
    }
}

impl Mailbox {
    /// The next frames; `None` after the last.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(next) = self.take() {
            return Poll::Ready(next);
        }
        self.shared.waker.register(cx.waker());
        if let Some(next) = self.take() {
            return Poll::Ready(next);
        }
        self.shared.is_hungry.store(true, Ordering::SeqCst);
        self.shared.unpark();
        Poll::Pending
    }

    /// Waits for the next frames on this thread; `None` after the last.
    pub fn wait_next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(next) = self.take() {
                return next;
            }
            self.shared.is_hungry.store(true, Ordering::SeqCst);
            self.shared.unpark();
            // Waits without taking.
            let mut ready = Select::new();
            ready.recv(&self.chunks);
            ready.ready();
        }
    }

    /// `Some(None)`: the stream is over.
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
            Err(TryRecvError::Disconnected) => Some(self.last_words()),
        }
    }

    /// Ends are never silent.
    fn last_words(&mut self) -> Option<Bytes> {
        let format = self.last_words.take()?;
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
