//! What is left of a request's body when its answer is there already: a refusal need not read it, but the client must be
//! able to read the refusal.
//!
//! HTTP/2 resets the stream of a body that nobody reads (RFC 9113, 8.1), and a client that is told so before it has read
//! the answer reports a broken stream. So the little that is mostly on its way is taken, and dropped.

use bytes::Buf;
use futures_util::{Stream, StreamExt};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::timeout;

/// More than that is not taken, nor waited for.
const MOST: usize = 64 << 10;
const PATIENCE: Duration = Duration::from_millis(250);

/// A body that comes back when it is dropped before its end.
pub struct Lent<B> {
    body: Option<B>,
    back: Leftover<B>,
}

/// Where it comes back to.
pub struct Leftover<B>(Arc<Mutex<Option<B>>>);

pub fn lend<B>(body: B) -> (Lent<B>, Leftover<B>) {
    let back = Arc::new(Mutex::new(None));
    (Lent { body: Some(body), back: Leftover(back.clone()) }, Leftover(back))
}

impl<B: Stream + Unpin> Stream for Lent<B> {
    type Item = B::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<B::Item>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let next = Pin::new(body).poll_next(cx);
        if matches!(next, Poll::Ready(None)) {
            self.body = None;
        }
        next
    }
}

impl<B> Drop for Lent<B> {
    fn drop(&mut self) {
        *self.back.0.lock().unwrap_or_else(PoisonError::into_inner) = self.body.take();
    }
}

impl<B, D, E> Leftover<B>
where
    B: Stream<Item = Result<D, E>> + Unpin,
    D: Buf,
{
    /// Takes what is on its way.
    pub async fn take(self) {
        let Some(mut body) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let taking = async {
            let mut taken = 0;
            while let Some(Ok(chunk)) = body.next().await {
                taken += chunk.remaining();
                if taken > MOST {
                    break;
                }
            }
        };
        // One that is slower gets the answer all the same.
        let _ = timeout(PATIENCE, taking).await;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use futures_util::stream;
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Instant;

    /// A body of chunks that counts how many were taken, and then goes on or does not.
    fn body(chunks: usize, taken: &Arc<AtomicUsize>) -> impl Stream<Item = Result<Bytes, Infallible>> + Unpin + use<> {
        let taken = taken.clone();
        stream::iter((0..chunks).map(move |_| {
            taken.fetch_add(1, Ordering::Relaxed);
            Ok(Bytes::from_static(&[0; 16 << 10]))
        }))
    }

    #[tokio::test]
    async fn what_nobody_has_read_is_taken_up_to_a_bound() {
        for (chunks, read_before, expected) in [(3, 0, 3), (3, 1, 3), (3, 9, 3), (1000, 0, 5)] {
            let taken = Arc::new(AtomicUsize::new(0));
            let (mut lent, leftover) = lend(body(chunks, &taken));
            for _ in 0..read_before {
                lent.next().await;
            }
            drop(lent);
            leftover.take().await;
            assert_eq!(taken.load(Ordering::Relaxed), expected, "{chunks} chunks, {read_before} read");
        }
    }

    #[tokio::test]
    async fn one_that_does_not_go_on_is_not_waited_for_long_and_one_still_read_not_at_all() {
        let never = || stream::pending::<Result<Bytes, Infallible>>();
        let started = Instant::now();
        let (lent, leftover) = lend(never());
        drop(lent);
        leftover.take().await;
        assert!(started.elapsed() >= PATIENCE);
        let (_lent, leftover) = lend(never());
        leftover.take().await;
    }
}
