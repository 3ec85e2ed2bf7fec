//! An event stream's connection without the HTTP library: hyper keeps two buffers of 8 KiB for each connection, which
//! is most of what an idle stream costs (measured: 21.6 KiB a stream with them). The first request of an
//! HTTP/1.1 connection, when it is answered with a stream, takes the socket over and writes the answer itself, in
//! chunks (RFC 9112, 7.1).

use super::io::ClientIo;
use crate::sync::lock;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use std::fmt::Write;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;
use warp::http::header::HeaderMap;
use warp::http::{Request, Version};
use warp::reply::Response;

/// Where a connection's first request may leave its answer.
#[derive(Clone, Default)]
pub struct HandoffSlot(Arc<HandoffState>);

#[derive(Default)]
struct HandoffState {
    used: AtomicBool,
    answer: Mutex<Option<Response>>,
    put: Notify,
}

/// Which request of its connection one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandoffTurn {
    First,
    Later,
}

/// Marks an answer to HEAD, which has no content (RFC 9110, 9.3.2).
#[derive(Clone)]
pub struct HeadOnly;

/// Marks an answer that lasts.
#[derive(Clone)]
pub struct Streaming;

impl HandoffSlot {
    /// Lets the connection's first request find the slot. Later ones may have been sent before an earlier answer was
    /// written (pipelining), so that answer could still lie in hyper's buffer.
    pub fn offer<B>(&self, request: &mut Request<B>) -> HandoffTurn {
        if self.0.used.swap(true, Ordering::Relaxed) {
            return HandoffTurn::Later;
        }
        if request.version() == Version::HTTP_11 {
            request.extensions_mut().insert(self.clone());
        }
        HandoffTurn::First
    }

    /// Whether the connection has had a request.
    pub fn is_used(&self) -> bool {
        self.0.used.load(Ordering::Relaxed)
    }

    /// Gives the answer to whoever serves the connection. What comes after belongs to nobody: the caller waits for ever.
    pub async fn put(&self, answer: Response) -> Response {
        *lock(&self.0.answer) = Some(answer);
        self.0.put.notify_one();
        std::future::pending().await
    }

    /// Waits for an answer that takes the connection over.
    pub async fn taken(&self) -> Response {
        loop {
            self.0.put.notified().await;
            if let Some(answer) = lock(&self.0.answer).take() {
                return answer;
            }
        }
    }
}

/// Writes the answer to its end, or until the client leaves.
pub async fn write_out(mut client: ClientIo, answer: Response) -> io::Result<()> {
    let (parts, mut body) = answer.into_parts();
    client.write(head(&parts.headers)).await?;
    loop {
        let frame = tokio::select! {
            frame = body.frame() => frame,
            left = client.left() => return left,
        };
        match frame {
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data()
                    && !data.is_empty()
                {
                    client.write_chunk(data).await?;
                }
            }
            // Without the last chunk the client knows that the body was cut.
            Some(Err(error)) => return Err(io::Error::other(error)),
            None => {
                client.write(Bytes::from_static(b"0\r\n\r\n")).await?;
                return client.end().await;
            }
        }
    }
}

fn head(headers: &HeaderMap) -> Bytes {
    let mut head = BytesMut::from("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n");
    put_headers(&mut head, headers);
    head.freeze()
}

/// A whole answer with a body that is at hand, as HTTP/1.1.
pub fn plain(answer: &warp::http::Response<Bytes>) -> Bytes {
    let (status, body) = (answer.status(), answer.body());
    let mut out = BytesMut::new();
    // Memory takes all that is written.
    let _ = write!(out, "HTTP/1.1 {status}\r\n");
    let is_head_only = answer.extensions().get::<HeadOnly>().is_some();
    // The length is that of the answer to a GET, which may be unknown by now (RFC 9110, 8.6).
    if !is_head_only || !body.is_empty() {
        let _ = write!(out, "content-length: {}\r\n", body.len());
    }
    put_headers(&mut out, answer.headers());
    if !is_head_only {
        out.extend_from_slice(body);
    }
    out.freeze()
}

fn put_headers(out: &mut BytesMut, headers: &HeaderMap) {
    for (name, value) in headers {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    let _ = write!(out, "connection: close\r\ndate: {}\r\n\r\n", super::date::now());
}
