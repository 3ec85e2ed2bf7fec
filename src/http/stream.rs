//! The body of an event stream: its head immediately, then the chunks from the mailbox, and heartbeats when there are
//! none.

use super::event;
use super::limits::ClientSlot;
use super::problem::Problem;
use super::shutdown::Revoked;
use crate::hub::Mailbox;
use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use log::info;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep};
use warp::http::header::{self, HeaderValue};
use warp::reply::Response;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamStyle {
    Sse,
    Ndjson,
    Csv,
}

/// Small chunks that are ready are copied into one chunk of up to this many bytes.
const JOINED_BYTES: usize = 16 << 10;

impl StreamStyle {
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Sse => "text/event-stream",
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8; header=present",
        }
    }

    /// Returns the first bytes of the body. `retry` varies, so that clients that were disconnected at the same time do
    /// not all reconnect at once.
    pub fn head(self) -> Bytes {
        match self {
            Self::Sse => format!("retry: {}\n: connected\n\n", 2000 + fastrand::u32(0..500)).into(),
            // Proxies that compress (Caddy's `encode`) hold back the response head until the first byte of the body.
            Self::Ndjson => Bytes::from_static(b"\n"),
            Self::Csv => Bytes::new(),
        }
    }

    /// Returns the last frame of a stream that ends with `problem`. If the format has no such frame, returns an error,
    /// which cuts off the stream.
    pub fn problem(self, problem: &Problem) -> Result<Bytes, CutOff> {
        let mut out = Vec::new();
        match self {
            Self::Sse => event::write_sse_problem(&mut out, problem),
            Self::Ndjson => event::write_ndjson_problem(&mut out, problem),
            Self::Csv => return Err(CutOff(problem.detail().to_owned())),
        }
        Ok(out.into())
    }

    pub fn heartbeat(self) -> Option<Bytes> {
        match self {
            Self::Sse => Some(Bytes::from_static(b": heartbeat\n\n")),
            // Readers of NDJSON skip empty lines.
            Self::Ndjson => Some(Bytes::from_static(b"\n")),
            // CSV has no comments, and some readers count an empty line as a record. A blank or a byte order mark would
            // become a part of the next cell.
            Self::Csv => None,
        }
    }

    /// If the stream is cut off within the chunk, splits off the reason.
    fn split_at_cut(self, chunk: Bytes) -> (Bytes, Option<String>) {
        match self {
            Self::Sse | Self::Ndjson => (chunk, None),
            Self::Csv => event::csv::split_at_cut(chunk),
        }
    }
}

/// Sets the headers of a response that must reach the client unchanged and without delay.
pub fn set_headers(response: &mut Response, content_type: &'static str) {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    // nginx buffers responses without this header.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
}

/// Aborts a response, so that the client does not mistake it for a complete one.
#[derive(Debug)]
pub struct CutOff(String);

impl fmt::Display for CutOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the stream was cut off: {}", self.0)
    }
}

impl std::error::Error for CutOff {}

pub struct Frames {
    mailbox: Mailbox,
    style: StreamStyle,
    head: Option<Bytes>,
    /// A chunk from the mailbox that was too large to be joined with the previous ones.
    ahead: Option<Bytes>,
    period: Duration,
    silence: Pin<Box<Sleep>>,
    /// Resolves to the reason when the stream must end early.
    revoked: Revoked,
    end: FramesEnd,
    /// Counts the stream against the client's limit until the stream ends.
    _slot: ClientSlot,
}

/// Whether the body has ended.
enum FramesEnd {
    Open,
    /// The last frames have been sent, and the error follows.
    CutOff(CutOff),
    Ended,
}

impl Frames {
    /// The stream ends with a problem frame when `revoked` resolves.
    pub fn new(
        mailbox: Mailbox,
        slot: ClientSlot,
        (style, head): (StreamStyle, Bytes),
        heartbeat: Duration,
        revoked: Revoked,
    ) -> Self {
        let first = heartbeat.mul_f64(0.75 + fastrand::f64() / 4.0);
        let head = Some(head);
        let silence = Box::pin(sleep(first));
        Self {
            mailbox,
            style,
            head,
            ahead: None,
            period: heartbeat,
            silence,
            revoked,
            end: FramesEnd::Open,
            _slot: slot,
        }
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
                // Large chunks are not copied, so that they stay shared with other streams.
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
    type Item = Result<Bytes, CutOff>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(head) = self.head.take() {
            return Poll::Ready(Some(Ok(head)));
        }
        match std::mem::replace(&mut self.end, FramesEnd::Ended) {
            FramesEnd::Open => {}
            FramesEnd::CutOff(error) => return Poll::Ready(Some(Err(error))),
            FramesEnd::Ended => return Poll::Ready(None),
        }
        if let Poll::Ready(problem) = self.revoked.as_mut().poll(cx) {
            return Poll::Ready(Some(self.style.problem(&problem)));
        }
        self.end = FramesEnd::Open;
        match self.next(cx) {
            Poll::Ready(Some(chunk)) => {
                let until = Instant::now() + self.period;
                self.silence.as_mut().reset(until);
                let (frames, reason) = self.style.split_at_cut(chunk);
                if let Some(reason) = reason {
                    let error = CutOff(reason);
                    info!("{error}");
                    self.end = FramesEnd::CutOff(error);
                }
                Poll::Ready(Some(Ok(frames)))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                let Some(heartbeat) = self.style.heartbeat() else { return Poll::Pending };
                if self.silence.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                let until = Instant::now() + self.period;
                self.silence.as_mut().reset(until);
                Poll::Ready(Some(Ok(heartbeat)))
            }
        }
    }
}
