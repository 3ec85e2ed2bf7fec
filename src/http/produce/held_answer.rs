//! When an answer with receipts begins. nginx passes no more of a body on once an answer has begun and its socket to the
//! bridge is full (seen with nginx 1.22 at 200,000 lines, which ended after `proxy_read_timeout`). So behind a proxy, and
//! where the length of the body is known, the answer is held back while the body comes as fast as it is read.

use super::body::{Body, BodyError};
use bytes::{Buf, Bytes};
use futures_util::Stream;
use std::convert::Infallible;
use std::fmt::Display;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

/// The longest wait for a body that begins the answer. Bytes that arrive give it back at [`RATE`].
const PATIENCE: Duration = Duration::from_secs(1);
/// Bytes a second. A slower body leaves the socket empty, so that the proxy goes on.
const RATE: f64 = 1_048_576.0;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begins {
    AtOnce,
    /// When the body has ended, or comes slowly.
    AfterTheBody,
}

pub struct HeldAnswer {
    /// While it is kept, the answer does not begin.
    begin: Option<oneshot::Sender<Infallible>>,
    patience: Duration,
    waiting_since: Option<Instant>,
}

impl HeldAnswer {
    pub fn new(begins: Begins) -> (Self, oneshot::Receiver<Infallible>) {
        let (begin, begun) = oneshot::channel();
        let begin = (begins == Begins::AfterTheBody).then_some(begin);
        (Self { begin, patience: PATIENCE, waiting_since: None }, begun)
    }

    pub fn begin(&mut self) {
        self.begin = None;
    }

    /// The body is not read for now, so its sender is not slow.
    pub fn rest(&mut self) {
        self.waiting_since = None;
    }

    /// The next bytes of the body. May be dropped and called again.
    pub async fn next<B, D, E>(&mut self, body: &mut Body<B>) -> Option<Result<Bytes, BodyError>>
    where
        B: Stream<Item = Result<D, E>> + Unpin,
        D: Buf,
        E: Display,
    {
        if self.begin.is_some() {
            let since = *self.waiting_since.get_or_insert_with(Instant::now);
            if let Ok(next) = timeout_at(since + self.patience, body.next()).await {
                self.waiting_since = None;
                let bytes = next.as_ref().and_then(|chunk| Some(chunk.as_ref().ok()?.len())).unwrap_or(0);
                let left = self.patience.saturating_sub(since.elapsed());
                self.patience = PATIENCE.min(left + Duration::from_secs_f64(bytes as f64 / RATE));
                return next;
            }
            self.begin();
        }
        body.next().await
    }
}
