//! A request body that ends only if its client has sent all of it: a truncated body must never pass for a complete one.

use super::body_drain::DrainedBody;
use super::h2_stall::ReceivedFrames;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use warp::http::{Request, Version};

/// The request body that the routes read.
pub type IncomingBody = DrainedBody<CompleteBody>;

/// The reason why a connection or a body on it ended early.
pub type ConnectionError = Box<dyn std::error::Error + Send + Sync>;

pub struct CompleteBody {
    body: Incoming,
    version: Version,
    received: ReceivedFrames,
}

impl CompleteBody {
    pub fn of(request: Request<Incoming>) -> Request<Self> {
        Self::counted(request, ReceivedFrames::default())
    }

    /// Counts the frames that arrive.
    pub fn counted(request: Request<Incoming>, received: ReceivedFrames) -> Request<Self> {
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
        // hyper reports a reset with NO_ERROR as the end of the body. RFC 9113, 8.1, defines it for a server that needs
        // no more of the body, but Node sends it for an aborted upload as well.
        if frame.is_none() && self.version == Version::HTTP_2 && !self.body.is_end_stream() {
            return Poll::Ready(Some(Err("the client reset the request".into())));
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
