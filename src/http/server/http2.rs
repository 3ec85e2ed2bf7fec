//! An HTTP/2 connection: many concurrent requests, none of which may block the others.

use super::body_drain::discard_unread;
use super::complete_body::{CompleteBody, IncomingBody};
use super::h2_stall::{OpenRequests, ReceivedFrames, watched};
use super::timeouts::{ShutdownSignal, Timeouts};
use crate::http::io::ClientIo;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http2;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioTimer;
use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;
use tokio::sync::Notify;
use warp::http::Request;
use warp::reply::Response;

/// Concurrent requests of a connection. RFC 9113, 6.5.2, recommends at least 100.
const MAX_STREAMS: u32 = 128;
/// Flow-control window, in bytes, for all request bodies of a connection. A window of 1 MiB made no upload faster.
const WINDOW: u32 = 256 << 10;
/// Bytes of a response that hyper buffers for a client that does not read.
const SEND_BUFFER: usize = 64 << 10;
/// Silence after which the bridge sends a PING.
const PING_INTERVAL: Duration = Duration::from_secs(30);

/// Serves until the client disconnects, sends no request for too long, or the bridge shuts down.
pub async fn serve<S>(
    client: ClientIo,
    timeouts: Timeouts,
    max_head: usize,
    service: S,
    shutdown: ShutdownSignal,
) -> hyper::Result<()>
where
    S: Service<Request<IncomingBody>, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    let service = service_fn(move |request| {
        let received = ReceivedFrames::default();
        let request = discard_unread(CompleteBody::counted(request, received.clone()));
        let service = service.clone();
        // Boxed, and created only when it is polled, so that its memory is freed once there is a response. A client may
        // send a hundred requests at once and not read the responses for a long time.
        async move { Box::pin(service.call(request)).await.map(|response| watched(response, received)) }
    });
    let requests = OpenRequests::new(timeouts.stall);
    let mut http = builder(&requests);
    http.max_header_list_size(u32::try_from(max_head).unwrap_or(u32::MAX));
    let mut connection = pin!(http.serve_connection(client, service));
    tokio::select! {
        served = &mut connection => return served,
        () = requests.idle_for(timeouts.head) => {}
        () = shutdown.received() => {}
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        served = &mut connection => served,
        // The last responses may not be written yet.
        () = requests.idle_for(timeouts.stall) => Ok(()),
    }
}

/// Responds to the first request, and closes the connection gracefully (GOAWAY).
pub async fn reject<F>(client: ClientIo, stall: Duration, respond: F) -> hyper::Result<()>
where
    F: Fn(&Request<Incoming>) -> warp::http::Response<Bytes>,
{
    let responded = Notify::new();
    let service = service_fn(|request| {
        let response = respond(&request).map(Full::new);
        responded.notify_one();
        // Discards the request body.
        drop(discard_unread(CompleteBody::of(request)));
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let mut connection = pin!(builder(&OpenRequests::new(stall)).serve_connection(client, service));
    tokio::select! {
        served = &mut connection => return served,
        () = responded.notified() => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

fn builder(requests: &OpenRequests) -> http2::Builder<OpenRequests> {
    let mut http = http2::Builder::new(requests.clone());
    http.timer(TokioTimer::new()).keep_alive_interval(PING_INTERVAL);
    http.max_concurrent_streams(MAX_STREAMS).max_send_buf_size(SEND_BUFFER);
    http.initial_stream_window_size(WINDOW).initial_connection_window_size(WINDOW);
    http
}
