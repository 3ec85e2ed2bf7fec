//! What is left of a request's body when its answer is there already: a refusal need not read it, but the client must be
//! able to read the refusal, and to ask again.
//!
//! HTTP/1.1 must read it to its end to go on with the connection, so the little that is mostly on its way is taken before
//! the answer. HTTP/2 resets the stream of a body that nobody reads (RFC 9113, 8.1), and a client that is told so before
//! it has read the answer reports a broken stream: there it is passed over for a moment, also after the answer.

use crate::sync::lock;
use http_body_util::BodyExt;
use hyper::body::{Body, Buf, Frame, SizeHint};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::timeout;
use warp::http::Request;

/// More than that is not taken before an answer, nor waited for.
const MOST: usize = 64 << 10;
const PATIENCE: Duration = Duration::from_millis(250);
/// How long a client has to read its answer, and to stop.
const STOPPING: Duration = Duration::from_secs(1);

/// A body of which something may be left when it is dropped.
pub struct Lent<B: Body + Send + Unpin + 'static> {
    body: Option<B>,
    then: Then<B>,
}

enum Then<B> {
    GiveBack(Leftover<B>),
    PassOver,
}

/// Where a body comes back to.
pub struct Leftover<B>(Arc<Mutex<Option<B>>>);

pub fn lend<B: Body + Send + Unpin>(request: Request<B>) -> (Request<Lent<B>>, Leftover<B>) {
    let back = Arc::new(Mutex::new(None));
    (request.map(|body| Lent { body: Some(body), then: Then::GiveBack(Leftover(back.clone())) }), Leftover(back))
}

/// What is left is passed over, beside the answer.
pub fn give<B: Body + Send + Unpin>(request: Request<B>) -> Request<Lent<B>> {
    request.map(|body| Lent { body: Some(body), then: Then::PassOver })
}

impl<B: Body + Send + Unpin> Body for Lent<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = Pin::new(body).poll_frame(cx);
        if matches!(frame, Poll::Ready(None)) {
            self.body = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl<B: Body + Send + Unpin + 'static> Drop for Lent<B> {
    fn drop(&mut self) {
        let Some(left) = self.body.take().filter(|body| !body.is_end_stream()) else { return };
        match &self.then {
            Then::GiveBack(back) => *lock(&back.0) = Some(left),
            Then::PassOver => drop(tokio::spawn(pass_over(left, usize::MAX, STOPPING))),
        }
    }
}

impl<B: Body + Unpin> Leftover<B> {
    /// Takes what is on its way; one that is slower gets the answer all the same.
    pub async fn take(self) {
        let left = lock(&self.0).take();
        if let Some(body) = left {
            pass_over(body, MOST, PATIENCE).await;
        }
    }
}

async fn pass_over<B: Body + Unpin>(mut body: B, most: usize, time: Duration) {
    let passing = async {
        let mut passed = 0;
        while passed <= most
            && let Some(Ok(frame)) = body.frame().await
        {
            passed += frame.data_ref().map_or(0, Buf::remaining);
        }
    };
    let _ = timeout(time, passing).await;
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use futures_util::stream;
    use http_body_util::StreamBody;
    use hyper::body::Bytes;
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Instant;

    type Item = Result<Frame<Bytes>, Infallible>;

    /// A body of chunks that counts how many were taken, and then goes on or does not.
    fn body(chunks: usize, taken: &Arc<AtomicUsize>) -> impl Body<Data = Bytes> + Send + Unpin + use<> {
        let taken = taken.clone();
        StreamBody::new(stream::iter((0..chunks).map(move |_| {
            taken.fetch_add(1, Ordering::Relaxed);
            Item::Ok(Frame::data(Bytes::from_static(&[0; 16 << 10])))
        })))
    }

    #[tokio::test]
    async fn what_nobody_has_read_is_taken_up_to_a_bound() {
        for (chunks, read_before, expected) in [(3, 0, 3), (3, 1, 3), (3, 9, 3), (1000, 0, 5)] {
            let taken = Arc::new(AtomicUsize::new(0));
            let (mut lent, leftover) = lend(Request::new(body(chunks, &taken)));
            for _ in 0..read_before {
                lent.body_mut().frame().await;
            }
            drop(lent);
            leftover.take().await;
            assert_eq!(taken.load(Ordering::Relaxed), expected, "{chunks} chunks, {read_before} read");
        }
    }

    #[tokio::test]
    async fn one_that_does_not_go_on_is_not_waited_for_long_and_one_still_read_not_at_all() {
        let never = || Request::new(StreamBody::new(stream::pending::<Item>()));
        let started = Instant::now();
        let (lent, leftover) = lend(never());
        drop(lent);
        leftover.take().await;
        assert!(started.elapsed() >= PATIENCE);
        let (_lent, leftover) = lend(never());
        leftover.take().await;
    }
}
