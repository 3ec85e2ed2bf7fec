//! A request's body that has ended, or fails: a body that was cut must never be taken for a whole one.

use super::body_drain::Lent;
use super::connection::ConnectionError;
use super::h2_stall::Received;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use warp::http::{Request, Version};

/// What a request is served with.
pub type RequestBody = Lent<CompleteBody>;

pub struct CompleteBody {
    body: Incoming,
    version: Version,
    received: Received,
}

impl CompleteBody {
    pub fn of(request: Request<Incoming>) -> Request<Self> {
        Self::counted(request, Received::default())
    }

    /// Counts what arrives.
    pub fn counted(request: Request<Incoming>, received: Received) -> Request<Self> {
        let version = request.version();
        request.map(|body| Self { body, version, received })
    }
}

impl Body for CompleteBody {
    type Data = Bytes;
    type Error = ConnectionError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ConnectionError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        // hyper takes a reset with NO_ERROR for the end (RFC 9113, 8.1: said by a server that needs no more), and Node
        // says that too where an upload is given up.
        if frame.is_none() && self.version == Version::HTTP_2 && !self.body.is_end_stream() {
            return Poll::Ready(Some(Err("the client has reset the request".into())));
        }
        self.received.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(frame.map(|frame| Ok(frame?)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
