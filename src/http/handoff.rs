//! Writes event streams without hyper, whose two buffers of 8 KiB per connection would be most of the memory of an idle
//! stream (measured: 21.6 KiB per stream with hyper). If the response to the first request of an HTTP/1.1 connection is a
//! stream, it takes over the socket and is written here, in chunks (RFC 9112, 7.1).

use super::io::ClientIo;
use crate::sync::lock;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use std::fmt::Write;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;
use tokio::sync::Notify;
use warp::http::header::HeaderMap;
use warp::http::{Request, Version};
use warp::reply::Response;

/// Passes the response to a connection's first request directly to the task that serves the connection, without hyper.
#[derive(Clone, Default)]
pub struct HandoffSlot(Arc<HandoffState>);

#[derive(Default)]
struct HandoffState {
    used: AtomicBool,
    response: Mutex<Option<Response>>,
    put: Notify,
}

/// The position of a request on its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandoffTurn {
    First,
    Later,
}

/// Marks a response to HEAD, which has no content (RFC 9110, 9.3.2).
#[derive(Clone)]
pub struct HeadOnly;

/// Marks a response that is an open-ended stream.
#[derive(Clone)]
pub struct Streaming;

impl HandoffSlot {
    /// Gives the slot to the connection's first request. A later one may have been sent before an earlier response was
    /// written (pipelining), so that response could still be in hyper's buffer.
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

    /// Passes the response to the task that serves the connection. Never returns, so that hyper writes no response.
    pub async fn put(&self, response: Response) -> Response {
        *lock(&self.0.response) = Some(response);
        self.0.put.notify_one();
        std::future::pending().await
    }

    /// Waits for a response that takes over the connection.
    pub async fn taken(&self) -> Response {
        loop {
            self.0.put.notified().await;
            if let Some(response) = lock(&self.0.response).take() {
                return response;
            }
        }
    }
}

/// Writes the response to its end, or until the client disconnects.
pub async fn write_out(mut client: ClientIo, response: Response) -> io::Result<()> {
    let (parts, mut body) = response.into_parts();
    client.write(head(&parts.headers)).await?;
    loop {
        let frame = tokio::select! {
            frame = body.frame() => frame,
            closed = client.closed() => return closed,
        };
        match frame {
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data()
                    && !data.is_empty()
                {
                    client.write_chunk(data).await?;
                }
            }
            // A missing last chunk tells the client that the body is truncated.
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

/// Encodes a response and its body as HTTP/1.1.
pub fn encode_http1(response: &warp::http::Response<Bytes>) -> Bytes {
    let (status, body) = (response.status(), response.body());
    let mut out = BytesMut::new();
    // Writing to memory cannot fail.
    let _ = write!(out, "HTTP/1.1 {status}\r\n");
    let is_head_only = response.extensions().get::<HeadOnly>().is_some();
    // To HEAD, the length is that of the response to GET. It is unknown if the body was already dropped (RFC 9110, 8.6).
    if !is_head_only || !body.is_empty() {
        let _ = write!(out, "content-length: {}\r\n", body.len());
    }
    put_headers(&mut out, response.headers());
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
    // RFC 9110, 5.6.7.
    let date = httpdate::fmt_http_date(SystemTime::now());
    let _ = write!(out, "connection: close\r\ndate: {date}\r\n\r\n");
}
