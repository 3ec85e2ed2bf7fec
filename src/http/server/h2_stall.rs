//! An answer over HTTP/2 that its client does not read. Its connection lives on for other requests, so only the answer
//! itself can tell. One that has waited for too long is reset (RFC 9113, 5.4.2), and what was kept for it is given back.

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

/// Bytes that hyper has of an answer at a time. The rest waits where we see it wait.
const PIECE: usize = 16 << 10;
/// Bytes that it has last: a request is over for us when they are handed over, though its client may never take them.
const LAST: usize = 4 << 10;

/// How far a request is, for the task that watches it.
#[derive(Default)]
struct WriteProgress {
    /// The number of the piece that the client has yet to take, from 1 on; 0: there is none.
    unread: AtomicU64,
    received: OnceLock<Received>,
}

/// Counts the frames of a request's body: a client that sends is at work, though it takes no answer before it has sent
/// all of it.
pub type Received = Arc<AtomicU64>;

type Unread = Arc<WriteProgress>;

tokio::task_local! {
    static UNREAD: Unread;
}

/// Runs hyper's tasks, one a request of a connection, and drops one whose client takes nothing for so long.
#[derive(Clone)]
pub struct OpenRequests {
    stall: Duration,
    running: watch::Sender<usize>,
}

impl OpenRequests {
    pub fn new(stall: Duration) -> Self {
        Self { stall, running: watch::Sender::new(0) }
    }

    /// Waits until there was none for so long.
    pub async fn none_for(&self, time: Duration) {
        let mut running = self.running.subscribe();
        loop {
            // We keep the sender, so neither fails.
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
        let unread = Unread::default();
        let task = Box::pin(UNREAD.scope(unread.clone(), task));
        let running = OpenRequest::begin(self.running.clone());
        tokio::spawn(Task { task, unread, stall: self.stall, waited: None, _running: running });
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

/// How far a request was: which piece waits for its client, after how many frames of its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    piece: u64,
    received: u64,
}

struct Task<F> {
    task: Pin<Box<F>>,
    unread: Unread,
    stall: Duration,
    /// Where the request was, and until when.
    waited: Option<(Mark, Pin<Box<Sleep>>)>,
    _running: OpenRequest,
}

impl<F: Future<Output = ()>> Future for Task<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let task = &mut self.task;
        // A panic in one request resets its stream; the connection serves the others.
        if watchdog::caught_in_poll(|| task.as_mut().poll(cx)).is_none_or(|polled| polled.is_ready()) {
            return Poll::Ready(());
        }
        let (piece, stall) = (self.unread.unread.load(Ordering::Relaxed), self.stall);
        let received = self.unread.received.get().map_or(0, |received| received.load(Ordering::Relaxed));
        let at = Mark { piece, received };
        if piece == 0 {
            self.waited = None;
            return Poll::Pending;
        }
        // Another piece is progress, whatever else wakes the task is none.
        let waited = self.waited.take().filter(|(of, _)| *of == at);
        self.waited.insert(waited.unwrap_or_else(|| (at, Box::pin(sleep(stall))))).1.as_mut().poll(cx)
    }
}

/// Lets the request's task see whether the answer is read. To be called within that task.
pub fn watched<B>(answer: Response<B>, received: Received) -> Response<Watched<B>> {
    let unread = UNREAD.try_with(Arc::clone).unwrap_or_default();
    let _ = unread.received.set(received);
    answer.map(|body| Watched { body, rest: Bytes::new(), given: 0, unread })
}

pub struct Watched<B> {
    body: B,
    /// Of the body's last frame, what is yet to be given.
    rest: Bytes,
    given: u64,
    unread: Unread,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Watched<B> {
    type Data = Bytes;
    type Error = B::Error;

    /// hyper asks for more once the client has room for what it has.
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut frame = match std::mem::take(&mut self.rest) {
            rest if rest.is_empty() => Pin::new(&mut self.body).poll_frame(cx),
            rest => Poll::Ready(Some(Ok(Frame::data(rest)))),
        };
        if let Poll::Ready(Some(Ok(frame))) = &mut frame
            && let Some(data) = frame.data_mut()
        {
            self.rest = data.split_off(piece_of(data.len()));
        }
        self.given += 1;
        self.unread.unread.store(if frame.is_ready() { self.given } else { 0 }, Ordering::Relaxed);
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

/// How much of so many bytes is given next, so that the last piece is a small one.
fn piece_of(bytes: usize) -> usize {
    if bytes <= LAST { bytes } else { (bytes - LAST).min(PIECE) }
}
