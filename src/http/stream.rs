//! The body of an event stream: its head at once, then the chunks from the mailbox, and heartbeats in silence.

use super::event;
use super::limits::ClientSlot;
use super::problem::Problem;
use super::shutdown::Revoked;
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

/// Small chunks that are ready are copied together and written as one, up to this many bytes.
const JOINED_BYTES: usize = 16 << 10;

impl StreamStyle {
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Sse => "text/event-stream",
            Self::Ndjson => "application/x-ndjson",
        }
    }

    /// Returns the first bytes of the body. `retry` varies, so that clients that were cut at once do not reconnect in
    /// one wave.
    pub fn head(self) -> Bytes {
        match self {
            Self::Sse => format!("retry: {}\n: connected\n\n", 2000 + fastrand::u32(0..500)).into(),
            // Proxies that compress (Caddy's `encode`) hold back the response head until the first byte of the body.
            Self::Ndjson => Bytes::from_static(b"\n"),
        }
    }

    /// Returns the last frame of a stream that ends with `problem`.
    pub fn problem(self, problem: &Problem) -> Bytes {
        let mut out = Vec::new();
        match self {
            Self::Sse => event::write_sse_problem(&mut out, problem),
            Self::Ndjson => event::write_ndjson_problem(&mut out, problem),
        }
        out.into()
    }

    pub fn heartbeat(self) -> Bytes {
        Bytes::from_static(match self {
            Self::Sse => b": heartbeat\n\n",
            // Readers of NDJSON skip empty lines.
            Self::Ndjson => b"\n",
        })
    }
}

pub struct Frames {
    mailbox: Mailbox,
    style: StreamStyle,
    head: Option<Bytes>,
    /// A chunk that is taken from the mailbox and was too large to join to the previous ones.
    ahead: Option<Bytes>,
    period: Duration,
    silence: Pin<Box<Sleep>>,
    /// Resolves to the reason when the stream must end early.
    revoked: Revoked,
    has_ended: bool,
    /// Counts the stream for its client until it ends.
    _slot: ClientSlot,
}

impl Frames {
    /// The stream ends with a problem frame when `revoked` resolves.
    pub fn new(mailbox: Mailbox, slot: ClientSlot, style: StreamStyle, heartbeat: Duration, revoked: Revoked) -> Self {
        let first = heartbeat.mul_f64(0.75 + fastrand::f64() / 4.0);
        let head = Some(style.head());
        let silence = Box::pin(sleep(first));
        Self { mailbox, style, head, ahead: None, period: heartbeat, silence, revoked, has_ended: false, _slot: slot }
    }

    /// Returns the next chunk, joined with further small chunks that are ready.
    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let first = match self.ahead.take() {
            Some(ahead) => ahead,
            None => match self.mailbox.poll_next(cx) {
                Poll::Ready(Some(first)) => first,
                other => return other,
            },
        };
        let mut joined = BytesMut::new();
        while first.len() + joined.len() < JOINED_BYTES
            && let Poll::Ready(Some(next)) = self.mailbox.poll_next(cx)
        {
            if first.len() + joined.len() + next.len() > JOINED_BYTES {
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
        if self.has_ended {
            return Poll::Ready(None);
        }
        if let Poll::Ready(problem) = self.revoked.as_mut().poll(cx) {
            self.has_ended = true;
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
