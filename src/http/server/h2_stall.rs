//! Detects HTTP/2 responses that their clients do not read. The connection may be busy with other requests, so each
//! response is watched separately. One that has stalled for too long is reset (RFC 9113, 5.4.2), which frees its
//! memory.

use crate::sync::watchdog;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::rt::Executor;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Sleep, sleep, timeout};
use warp::http::Response;

/// Maximum number of bytes of a response that hyper buffers. The rest stays in [`WatchedBody`], which detects a stall.
const MAX_PIECE: usize = 16 << 10;
/// Size of the last piece, in bytes. The request counts as complete once hyper has it, although the client may never
/// read it.
const LAST_PIECE: usize = 4 << 10;

/// The progress of a request, for the task that watches it.
#[derive(Default)]
struct WriteProgress {
    /// The number of the piece that waits for the client, counted from 1; 0 if none waits.
    waiting_piece: AtomicU64,
    received: OnceLock<ReceivedFrames>,
}

/// Counts the frames of a request body. A client that uploads is active, even if it reads no response before it has
/// sent everything.
pub type ReceivedFrames = Arc<AtomicU64>;

type SharedProgress = Arc<WriteProgress>;

tokio::task_local! {
    static PROGRESS: SharedProgress;
}

/// Runs hyper's tasks, one for each request of a connection, and drops those whose clients read nothing for the stall
/// timeout.
#[derive(Clone)]
pub struct OpenRequests {
    stall: Duration,
    running: watch::Sender<usize>,
}

impl OpenRequests {
    pub fn new(stall: Duration) -> Self {
        Self { stall, running: watch::Sender::new(0) }
    }

    /// Waits until no request has been open for `time`.
    pub async fn idle_for(&self, time: Duration) {
        let mut running = self.running.subscribe();
        loop {
            // `self` keeps the sender, so neither call fails.
            let _ = running.wait_for(|running| *running == 0).await;
            if timeout(time, running.changed()).await.is_err() {
                return;
            }
        }
    }
}

impl<F> Executor<F> for OpenRequests
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        let progress = SharedProgress::default();
        let task = Box::pin(PROGRESS.scope(progress.clone(), task));
        let running = OpenRequest::begin(self.running.clone());
        tokio::spawn(RequestTask { task, progress, stall: self.stall, stalled: None, _running: running });
    }
}

struct OpenRequest(watch::Sender<usize>);

impl OpenRequest {
    fn begin(running: watch::Sender<usize>) -> Self {
        running.send_modify(|running| *running += 1);
        Self(running)
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.0.send_modify(|running| *running -= 1);
    }
}

/// A snapshot of a request's progress: the piece that waits for the client, and the frames received so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ProgressMark {
    piece: u64,
    received: u64,
}

struct RequestTask<F> {
    task: Pin<Box<F>>,
    progress: SharedProgress,
    stall: Duration,
    /// The progress at the start of the wait, and the timer that ends it.
    stalled: Option<(ProgressMark, Pin<Box<Sleep>>)>,
    _running: OpenRequest,
}

impl<F: Future<Output = ()>> Future for RequestTask<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let task = &mut self.task;
        // A panic in one request resets its stream only; the connection continues to serve the others.
        if watchdog::caught_in_poll(|| task.as_mut().poll(cx)).is_none_or(|polled| polled.is_ready()) {
            return Poll::Ready(());
        }
        let (piece, stall) = (self.progress.waiting_piece.load(Ordering::Relaxed), self.stall);
        let received = self.progress.received.get().map_or(0, |received| received.load(Ordering::Relaxed));
        let at = ProgressMark { piece, received };
        if piece == 0 {
            self.stalled = None;
            return Poll::Pending;
        }
        // Only a new piece or frame is progress; other wake-ups leave the timer running.
        let stalled = self.stalled.take().filter(|(of, _)| *of == at);
        self.stalled.insert(stalled.unwrap_or_else(|| (at, Box::pin(sleep(stall))))).1.as_mut().poll(cx)
    }
}

/// Reports to the request's task whether the client reads the response. Must be called within that task.
pub fn watched<B>(response: Response<B>, received: ReceivedFrames) -> Response<WatchedBody<B>> {
    let progress = PROGRESS.try_with(Arc::clone).unwrap_or_default();
    let _ = progress.received.set(received);
    response.map(|body| WatchedBody { body, rest: Bytes::new(), pieces: 0, progress })
}

pub struct WatchedBody<B> {
    body: B,
    /// The part of the body's last frame that hyper does not have yet.
    rest: Bytes,
    pieces: u64,
    progress: SharedProgress,
}

impl<B: Body<Data = Bytes> + Unpin> Body for WatchedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    /// hyper polls for the next frame once the client's flow-control window has room for the bytes that it buffers.
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut frame = match std::mem::take(&mut self.rest) {
            rest if rest.is_empty() => Pin::new(&mut self.body).poll_frame(cx),
            rest => Poll::Ready(Some(Ok(Frame::data(rest)))),
        };
        if let Poll::Ready(Some(Ok(frame))) = &mut frame
            && let Some(data) = frame.data_mut()
        {
            self.rest = data.split_off(next_piece(data.len()));
        }
        self.pieces += 1;
        self.progress.waiting_piece.store(if frame.is_ready() { self.pieces } else { 0 }, Ordering::Relaxed);
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, body) = (self.rest.len() as u64, self.body.size_hint());
        let mut all = SizeHint::new();
        all.set_lower(body.lower() + rest);
        if let Some(upper) = body.upper() {
            all.set_upper(upper + rest);
        }
        all
    }
}

/// Returns the size of the next piece of `bytes`, chosen so that the last piece is small.
fn next_piece(bytes: usize) -> usize {
    if bytes <= LAST_PIECE { bytes } else { (bytes - LAST_PIECE).min(MAX_PIECE) }
}
