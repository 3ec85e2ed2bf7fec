//! A stream's frames on their way to the client: the head at once, then what the mailbox brings, and a
//! heartbeat in silence.

use crate::hub::Mailbox;
use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Sse,
    Ndjson,
}

/// Chunks that are ready are written as one, up to about so many bytes.
const JOIN: usize = 64 << 10;

impl Style {
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Sse => "text/event-stream",
            Self::Ndjson => "application/x-ndjson",
        }
    }

    /// `retry` differs a little for each stream, so that many who were cut at once do not come back in one wave.
    fn head(self) -> Bytes {
        match self {
            Self::Sse => format!("retry: {}\n: connected\n\n", 2000 + fastrand::u32(0..500)).into(),
            Self::Ndjson => Bytes::new(),
        }
    }

    fn heartbeat(self) -> Bytes {
        Bytes::from_static(match self {
            Self::Sse => b": heartbeat\n\n",
            // Readers of JSON lines pass over empty ones.
            Self::Ndjson => b"\n",
        })
    }
}

pub struct Frames {
    mailbox: Mailbox,
    style: Style,
    head: Option<Bytes>,
    period: Duration,
    silence: Pin<Box<Sleep>>,
}

impl Frames {
    pub fn new(mailbox: Mailbox, style: Style, heartbeat: Duration) -> Self {
        let first = heartbeat.mul_f64(0.75 + fastrand::f64() / 4.0);
        let head = Some(style.head()).filter(|head| !head.is_empty());
        Self { mailbox, style, head, period: heartbeat, silence: Box::pin(sleep(first)) }
    }

    /// What else is ready, behind `first`.
    fn join(&mut self, first: Bytes, cx: &mut Context<'_>) -> Bytes {
        let mut joined = BytesMut::new();
        while first.len() + joined.len() < JOIN
            && let Poll::Ready(Some(next)) = self.mailbox.poll_next(cx)
        {
            if joined.is_empty() {
                joined.extend_from_slice(&first);
            }
            joined.extend_from_slice(&next);
        }
        if joined.is_empty() { first } else { joined.freeze() }
    }
}

impl Stream for Frames {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(head) = self.head.take() {
            return Poll::Ready(Some(Ok(head)));
        }
        match self.mailbox.poll_next(cx) {
            Poll::Ready(Some(chunk)) => {
                let until = Instant::now() + self.period;
                self.silence.as_mut().reset(until);
                Poll::Ready(Some(Ok(self.join(chunk, cx))))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                if self.silence.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                let until = Instant::now() + self.period;
                self.silence.as_mut().reset(until);
                Poll::Ready(Some(Ok(self.style.heartbeat())))
            }
        }
    }
}
