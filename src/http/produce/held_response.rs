//! Delays the response to an upload with receipts. nginx stops forwarding a request body once the response has started
//! and its socket to the bridge is full (seen with nginx 1.22 at 200,000 lines; the upload ended after
//! `proxy_read_timeout`). Behind a proxy, and where the length of the body is known, the response is therefore held
//! back while the body arrives as fast as it is read.

use super::body::{BodyError, BodyReader};
use bytes::{Buf, Bytes};
use futures_util::Stream;
use std::convert::Infallible;
use std::fmt::Display;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

/// Time for which the bridge waits for the body in total before the response starts. Received bytes restore this time at
/// [`RATE`].
const PATIENCE: Duration = Duration::from_secs(1);
/// Bytes per second. A slower body leaves the socket empty, so the proxy continues to forward it.
const RATE: f64 = 1_048_576.0;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseStart {
    AtOnce,
    /// After the body, or as soon as it arrives slowly.
    AfterBody,
}

pub struct HeldResponse {
    /// The response is held back until this is dropped.
    begin: Option<oneshot::Sender<Infallible>>,
    patience: Duration,
    waiting_since: Option<Instant>,
}

impl HeldResponse {
    pub fn new(start: ResponseStart) -> (Self, oneshot::Receiver<Infallible>) {
        let (begin, begun) = oneshot::channel();
        let begin = (start == ResponseStart::AfterBody).then_some(begin);
        (Self { begin, patience: PATIENCE, waiting_since: None }, begun)
    }

    pub fn begin(&mut self) {
        self.begin = None;
    }

    /// Stops the clock: the bridge itself does not read the body for now, so the client is not slow.
    pub fn pause(&mut self) {
        self.waiting_since = None;
    }

    /// Returns the next bytes of the body. Cancel safe.
    pub async fn next<B, D, E>(&mut self, body: &mut BodyReader<B>) -> Option<Result<Bytes, BodyError>>
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
