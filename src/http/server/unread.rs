//! An answer over HTTP/2 that its client does not read. Its connection lives on for other requests, so only the answer
//! itself can tell. One that has waited for too long is reset (RFC 9113, 5.4.2), and what was kept for it is given back.

use hyper::body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Sleep, sleep};
use warp::http::Response;

tokio::task_local! {
    /// Whether the client of this request has yet to take what its answer gave last.
    static UNREAD: Arc<AtomicBool>;
}

/// Runs hyper's tasks, one a request, and drops one whose client takes nothing for so long.
#[derive(Clone)]
pub struct Requests {
    pub stall: Duration,
}

impl<F> Executor<F> for Requests
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        let unread = Arc::new(AtomicBool::new(false));
        let task = Box::pin(UNREAD.scope(unread.clone(), task));
        tokio::spawn(Task { task, unread, stall: self.stall, waited: None });
    }
}

struct Task<F> {
    task: Pin<Box<F>>,
    unread: Arc<AtomicBool>,
    stall: Duration,
    waited: Option<Pin<Box<Sleep>>>,
}

impl<F: Future<Output = ()>> Future for Task<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let stalled = self.waited.take().is_some_and(|mut waited| waited.as_mut().poll(cx).is_ready());
        if stalled || self.task.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        // Whatever else woke the task was progress: the time begins anew.
        if self.unread.load(Ordering::Relaxed) {
            let waited = self.stall;
            return self.waited.insert(Box::pin(sleep(waited))).as_mut().poll(cx);
        }
        Poll::Pending
    }
}

/// Lets the request's task see whether the answer is read. To be called within that task.
pub fn watched<B>(answer: Response<B>) -> Response<Watched<B>> {
    let unread = UNREAD.try_with(Arc::clone).unwrap_or_default();
    answer.map(|body| Watched { body, unread })
}

pub struct Watched<B> {
    body: B,
    unread: Arc<AtomicBool>,
}

impl<B: Body + Unpin> Body for Watched<B> {
    type Data = B::Data;
    type Error = B::Error;

    /// hyper asks for more once the client has room for it.
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        self.unread.store(frame.is_ready(), Ordering::Relaxed);
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
