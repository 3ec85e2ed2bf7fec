//! A stream's frames on their way to the client: the head at once, then what the mailbox brings, and a
//! heartbeat in silence.

use super::event;
use super::limits::ClientSlot;
use super::problem::Problem;
use super::produce::Revoked;
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
pub enum StreamStyle {
    Sse,
    Ndjson,
}

/// Small chunks that are ready are copied together and written as one, up to so many bytes.
const JOIN: usize = 16 << 10;

impl StreamStyle {
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
            // Proxies that compress hold back the head of an answer until its first byte (Caddy's `encode`).
            Self::Ndjson => Bytes::from_static(b"\n"),
        }
    }

    /// The last frame.
    fn problem(self, problem: &Problem) -> Bytes {
        let mut out = Vec::new();
        match self {
            Self::Sse => event::write_sse_problem(&mut out, problem),
            Self::Ndjson => event::write_ndjson_problem(&mut out, problem),
        }
        out.into()
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
    style: StreamStyle,
    head: Option<Bytes>,
    /// Taken already, and too large to be joined with what was before it.
    ahead: Option<Bytes>,
    period: Duration,
    silence: Pin<Box<Sleep>>,
    /// Why it is ended before its client wants that.
    over: Revoked,
    is_over: bool,
    /// The stream counts for its caller until it has ended.
    _place: ClientSlot,
}

impl Frames {
    /// Ends when `over` says why.
    pub fn new(mailbox: Mailbox, place: ClientSlot, style: StreamStyle, heartbeat: Duration, over: Revoked) -> Self {
        let first = heartbeat.mul_f64(0.75 + fastrand::f64() / 4.0);
        let head = Some(style.head());
        let silence = Box::pin(sleep(first));
        Self { mailbox, style, head, ahead: None, period: heartbeat, silence, over, is_over: false, _place: place }
    }

    /// The next chunks as one, as many as are small and ready.
    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let first = match self.ahead.take() {
            Some(ahead) => ahead,
            None => match self.mailbox.poll_next(cx) {
                Poll::Ready(Some(first)) => first,
                other => return other,
            },
        };
        let mut joined = BytesMut::new();
        while first.len() + joined.len() < JOIN
            && let Poll::Ready(Some(next)) = self.mailbox.poll_next(cx)
        {
            if first.len() + joined.len() + next.len() > JOIN {
                // Large chunks stay shared with all other streams.
                self.ahead = Some(next);
                break;
            }
            if joined.is_empty() {
                joined.extend_from_slice(&first);
            }
            joined.extend_from_slice(&next);
        }
        Poll::Ready(Some(if joined.is_empty() { first } else { joined.freeze() }))
    }
}

impl Stream for Frames {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(head) = self.head.take() {
            return Poll::Ready(Some(Ok(head)));
        }
        if self.is_over {
            return Poll::Ready(None);
        }
        if let Poll::Ready(problem) = self.over.as_mut().poll(cx) {
            self.is_over = true;
            return Poll::Ready(Some(Ok(self.style.problem(&problem))));
        }
        match self.next(cx) {
            Poll::Ready(Some(chunk)) => {
                let until = Instant::now() + self.period;
                self.silence.as_mut().reset(until);
                Poll::Ready(Some(Ok(chunk)))
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
