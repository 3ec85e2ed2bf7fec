//! The connection of a client, which is closed if the client stops reading.

use super::transport::ClientTransport;
use bytes::Bytes;
use hyper::rt::{Read, ReadBufCursor, Write};
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Sleep, sleep};

/// The connection preface of HTTP/2, which begins with a method that HTTP/1 does not have (RFC 9113, 3.4).
const PREFACE: [u8; 24] = *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Minimum number of bytes that a slow client must read within the stall timeout. A client that reads byte by byte could
/// otherwise hold memory forever. A piece of an HTTP/2 response has the same size.
const MIN_PROGRESS: usize = 16 << 10;

pub struct ClientIo {
    stream: ClientTransport,
    /// Bytes that were read to detect the protocol, and that hyper has not read yet.
    first: Bytes,
    /// Whether the connection begins with a HEAD request.
    begins_with_head: bool,
    stall: Duration,
    /// The stall timer. It runs while fewer than [`MIN_PROGRESS`] bytes could be written; `None` while writes succeed.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Bytes written since the timer was last reset.
    written: usize,
    /// Whether hyper has rejected a request that it cannot parse. Its response has no body, so it is suppressed, and
    /// replaced by one that states the error.
    is_rejected: bool,
    uploads: Uploads,
}

/// Whether received bytes count as progress of a client that reads nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uploads {
    /// For HTTP/1.1, over which hyper reads a body only when its handler polls it. A client that sends a body is active, even
    /// if it reads no receipts before the end of the body.
    Count,
    /// For HTTP/2, over which a PING would count.
    Ignored,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DetectedProtocol {
    Http1,
    Http2,
    /// The client disconnected before it sent anything.
    Closed,
}

impl ClientIo {
    pub fn new(stream: ClientTransport, stall: Duration) -> Self {
        Self {
            stream,
            first: Bytes::new(),
            begins_with_head: false,
            stall,
            stalled: None,
            written: 0,
            is_rejected: false,
            uploads: Uploads::Ignored,
        }
    }

    pub fn with_uploads(self, uploads: Uploads) -> Self {
        Self { uploads, ..self }
    }

    /// Waits for the first bytes, and for the complete preface if they begin one: hyper would wait for the rest of a preface
    /// without a time limit.
    pub async fn detect_protocol(&mut self) -> io::Result<DetectedProtocol> {
        let (mut first, mut read) = ([0; PREFACE.len()], 0);
        while read < first.len() && first[..read] == PREFACE[..read] {
            match self.stream.read(&mut first[read..]).await? {
                0 => break,
                more => read += more,
            }
        }
        self.first = Bytes::copy_from_slice(&first[..read]);
        self.begins_with_head = self.begins_with(b"HEAD ");
        Ok(match read {
            0 => DetectedProtocol::Closed,
            _ if first == PREFACE => DetectedProtocol::Http2,
            _ => DetectedProtocol::Http1,
        })
    }

    /// Whether the connection begins with these bytes, as read by [`detect_protocol`](Self::detect_protocol).
    pub fn begins_with(&self, bytes: &[u8]) -> bool {
        self.first.starts_with(bytes)
    }

    /// Whether the first request is a HEAD, as read by [`detect_protocol`](Self::detect_protocol).
    pub fn begins_with_head(&self) -> bool {
        self.begins_with_head
    }

    /// Whether the last request still needs a response because hyper cannot parse it.
    pub fn is_rejected(&self) -> bool {
        self.is_rejected
    }

    /// Writes all bytes.
    pub async fn write(&mut self, bytes: Bytes) -> io::Result<()> {
        self.write_all(&mut [IoSlice::new(&bytes)]).await
    }

    /// Writes one chunk of a chunked body, in a single system call if the socket accepts it.
    pub async fn write_chunk(&mut self, data: Bytes) -> io::Result<()> {
        let size = format!("{:x}\r\n", data.len());
        self.write_all(&mut [IoSlice::new(size.as_bytes()), IoSlice::new(&data), IoSlice::new(b"\r\n")]).await
    }

    async fn write_all(&mut self, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        IoSlice::advance_slices(&mut parts, 0);
        while !parts.is_empty() {
            match poll_fn(|cx| Write::poll_write_vectored(Pin::new(&mut *self), cx, parts)).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => IoSlice::advance_slices(&mut parts, written),
            }
        }
        poll_fn(|cx| Write::poll_flush(Pin::new(&mut *self), cx)).await
    }

    /// Closes the write side.
    pub async fn end(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// Closes the write side, and waits until the client has closed its side.
    pub async fn close(mut self) -> io::Result<()> {
        self.end().await?;
        self.closed().await
    }

    /// Waits until the client has closed its side, and discards what it sends meanwhile.
    pub async fn closed(&mut self) -> io::Result<()> {
        let mut discarded = [0; 256];
        while self.stream.read(&mut discarded).await? > 0 {}
        Ok(())
    }

    fn reset_stall(&mut self) {
        (self.stalled, self.written) = (None, 0);
    }

    /// Checks the result of writing `bytes` bytes: starts, resets or fires the stall timer.
    fn watch(
        &mut self,
        bytes: usize,
        written: Poll<io::Result<usize>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = written {
            self.written += *written.as_ref().unwrap_or(&0);
            if self.written >= MIN_PROGRESS || written.as_ref().is_ok_and(|written| *written == bytes) {
                self.reset_stall();
            }
            return Poll::Ready(written);
        }
        let stall = self.stall;
        ready!(self.stalled.get_or_insert_with(|| Box::pin(sleep(stall))).as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client reads nothing")))
    }
}

impl Read for ClientIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, mut buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        if !self.first.is_empty() {
            let now = self.first.len().min(buf.remaining());
            buf.put_slice(&self.first.split_to(now));
            return Poll::Ready(Ok(()));
        }
        let read = Pin::new(&mut hyper_util::rt::TokioIo::new(&mut self.stream)).poll_read(cx, buf);
        if read.is_ready() && self.uploads == Uploads::Count {
            self.reset_stall();
        }
        read
    }
}

impl Write for ClientIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if is_bare_rejection(buf) {
            self.is_rejected = true;
            return Poll::Ready(Ok(buf.len()));
        }
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watch(buf.len(), written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [only] = bufs
            && is_bare_rejection(only)
        {
            self.is_rejected = true;
            return Poll::Ready(Ok(only.len()));
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watch(bufs.iter().map(|buf| buf.len()).sum(), written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        match self.stream {
            // Flushing a socket always succeeds, so it is no sign of progress.
            ClientTransport::Plain(_) => flushed,
            ClientTransport::Tls(_) => self.watch(0, flushed.map_ok(|()| 0), cx).map_ok(drop),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_rejected {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Whether `head` is that of a 4xx response made by hyper itself, which has no body and lacks the headers that every response
/// of the routes has.
fn is_bare_rejection(head: &[u8]) -> bool {
    if !head.starts_with(b"HTTP/1.1 4") && !head.starts_with(b"HTTP/1.0 4") {
        return false;
    }
    let Some(lines) = std::str::from_utf8(head).ok().and_then(|head| head.strip_suffix("\r\n\r\n")) else {
        return false;
    };
    let mut headers = lines.split("\r\n").skip(1);
    headers.all(|line| ["connection: ", "content-length: 0", "date: "].iter().any(|name| line.starts_with(name)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tokio::net::TcpSocket;

    /// Uses the smallest buffers that the system allows, so that each write accepts few bytes.
    #[tokio::test]
    async fn a_client_that_reads_a_few_bytes_at_a_time_is_disconnected() {
        let (server, slow) = (TcpSocket::new_v4().unwrap(), TcpSocket::new_v4().unwrap());
        server.set_send_buffer_size(1).unwrap();
        server.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let server = server.listen(1).unwrap();
        slow.set_recv_buffer_size(1).unwrap();
        let mut slow = slow.connect(server.local_addr().unwrap()).await.unwrap();
        let (stream, _) = server.accept().await.unwrap();
        let mut client = ClientIo::new(ClientTransport::Plain(stream), Duration::from_secs(1));
        let taking = async {
            let mut pace = tokio::time::interval(Duration::from_millis(50));
            while slow.read(&mut [0; 256]).await? > 0 {
                pace.tick().await;
            }
            Err(io::ErrorKind::UnexpectedEof.into())
        };
        let written = tokio::select! {
            written = client.write(vec![0; 4 << 20].into()) => written,
            written = taking => written,
            () = sleep(Duration::from_secs(60)) => Ok(()),
        };
        assert_eq!(written.map_err(|error| error.kind()), Err(io::ErrorKind::TimedOut));
    }

    #[test]
    fn only_hypers_own_rejection_is_suppressed() {
        let date = "date: Mon, 30 Nov 2026 01:00:00 GMT\r\n\r\n";
        let own = format!("HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n{date}");
        assert!(is_bare_rejection(own.as_bytes()));
        for other in [
            own.replace("400 Bad Request", "200 OK"),
            own.replace("content-length: 0", "content-length: 1"),
            own.replace("connection", "x-request-id"),
            format!("{own}HTTP/1.1 200 OK\r\n\r\n"),
            own.replace("\r\n\r\n", "\r\n"),
        ] {
            assert!(!is_bare_rejection(other.as_bytes()), "{other}");
        }
    }
}
