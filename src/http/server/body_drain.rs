//! Discards the part of a request body that its handler did not read. A rejection need not read the body, but the
//! client must be able to read the rejection and to send its next request.
//!
//! HTTP/1.1 must read a body to its end before the connection can be reused, so the few bytes that usually are in
//! transit are discarded before the response. HTTP/2 resets the stream of an unread body (RFC 9113, 8.1), and a client
//! that sees the reset before it has read the response reports a broken stream. The rest of the body is therefore
//! discarded in the background for a moment, even after the response.

use crate::sync::lock;
use http_body_util::BodyExt;
use hyper::body::{Body, Buf, Frame, SizeHint};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::timeout;
use warp::http::Request;

/// Maximum number of bytes discarded before a response. Discarding also ends after [`DISCARD_TIMEOUT`].
const MAX_DISCARDED: usize = 64 << 10;
const DISCARD_TIMEOUT: Duration = Duration::from_millis(250);
/// Time for an HTTP/2 client to read its response and to stop sending.
const RESET_DELAY: Duration = Duration::from_secs(1);

/// A request body whose unread rest is kept or discarded when it is dropped.
pub struct DrainedBody<B: Body + Send + Unpin + 'static> {
    body: Option<B>,
    then: OnDrop<B>,
}

enum OnDrop<B> {
    Keep(UnreadBody<B>),
    Discard,
}

/// Receives the unread rest of a request body.
pub struct UnreadBody<B>(Arc<Mutex<Option<B>>>);

/// Keeps the unread rest of the request body. The caller must discard it before it writes the response.
pub fn keep_unread<B: Body + Send + Unpin>(request: Request<B>) -> (Request<DrainedBody<B>>, UnreadBody<B>) {
    let slot = Arc::new(Mutex::new(None));
    (
        request.map(|body| DrainedBody { body: Some(body), then: OnDrop::Keep(UnreadBody(slot.clone())) }),
        UnreadBody(slot),
    )
}

/// Discards the unread rest in the background while the response is written.
pub fn discard_unread<B: Body + Send + Unpin>(request: Request<B>) -> Request<DrainedBody<B>> {
    request.map(|body| DrainedBody { body: Some(body), then: OnDrop::Discard })
}

impl<B: Body + Send + Unpin> Body for DrainedBody<B> {
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

impl<B: Body + Send + Unpin + 'static> Drop for DrainedBody<B> {
    fn drop(&mut self) {
        let Some(rest) = self.body.take().filter(|body| !body.is_end_stream()) else { return };
        match &self.then {
            OnDrop::Keep(slot) => *lock(&slot.0) = Some(rest),
            OnDrop::Discard => drop(tokio::spawn(discard(rest, usize::MAX, RESET_DELAY))),
        }
    }
}

impl<B: Body + Unpin> UnreadBody<B> {
    /// Discards the bytes that arrive within the limits. A slower client still receives its response.
    pub async fn discard(self) {
        let rest = lock(&self.0).take();
        if let Some(body) = rest {
            discard(body, MAX_DISCARDED, DISCARD_TIMEOUT).await;
        }
    }
}

async fn discard<B: Body + Unpin>(mut body: B, most: usize, time: Duration) {
    let discarding = async {
        let mut discarded = 0;
        while discarded <= most
            && let Some(Ok(frame)) = body.frame().await
        {
            discarded += frame.data_ref().map_or(0, Buf::remaining);
        }
    };
    let _ = timeout(time, discarding).await;
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

    /// Returns a body of 16 KiB chunks that counts the chunks read.
    fn body(chunks: usize, read: &Arc<AtomicUsize>) -> impl Body<Data = Bytes> + Send + Unpin + use<> {
        let read = read.clone();
        StreamBody::new(stream::iter((0..chunks).map(move |_| {
            read.fetch_add(1, Ordering::Relaxed);
            Item::Ok(Frame::data(Bytes::from_static(&[0; 16 << 10])))
        })))
    }

    #[tokio::test]
    async fn an_unread_rest_is_discarded_up_to_a_bound() {
        for (chunks, read_before, expected) in [(3, 0, 3), (3, 1, 3), (3, 9, 3), (1000, 0, 5)] {
            let read = Arc::new(AtomicUsize::new(0));
            let (mut drained, unread) = keep_unread(Request::new(body(chunks, &read)));
            for _ in 0..read_before {
                drained.body_mut().frame().await;
            }
            drop(drained);
            unread.discard().await;
            assert_eq!(read.load(Ordering::Relaxed), expected, "{chunks} chunks, {read_before} read");
        }
    }

    #[tokio::test]
    async fn a_stalled_rest_is_awaited_briefly_and_a_body_in_use_not_at_all() {
        let never = || Request::new(StreamBody::new(stream::pending::<Item>()));
        let started = Instant::now();
        let (drained, unread) = keep_unread(never());
        drop(drained);
        unread.discard().await;
        assert!(started.elapsed() >= DISCARD_TIMEOUT);
        let (_drained, unread) = keep_unread(never());
        unread.discard().await;
    }
}
