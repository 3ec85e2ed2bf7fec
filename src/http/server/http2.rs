//! A client's connection that speaks HTTP/2: many requests at a time, of which none may hold up the others.

use super::body_drain::give;
use super::complete_body::{CompleteBody, RequestBody};
use super::connection::{ShutdownSignal, Timeouts};
use super::h2_stall::{OpenRequests, Received, watched};
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

/// Requests at a time; browsers expect 100 (RFC 9113, 6.5.2).
const STREAMS: u32 = 128;
/// Bytes of all bodies of a connection that may wait until they are read. With 1 MiB no upload was quicker here.
const WINDOW: u32 = 256 << 10;
/// Bytes of an answer that may wait for a client that takes nothing.
const WAITING: usize = 64 << 10;
/// Silence after which a client is asked whether it is there.
const ASKED: Duration = Duration::from_secs(30);

/// Until the client leaves, or has asked nothing for too long.
pub async fn serve<S>(
    client: ClientIo,
    patience: Timeouts,
    largest_head: usize,
    service: S,
    ending: ShutdownSignal,
) -> hyper::Result<()>
where
    S: Service<Request<RequestBody>, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    let service = service_fn(move |request| {
        let received = Received::default();
        let request = give(CompleteBody::counted(request, received.clone()));
        let service = service.clone();
        // Boxed, and made no sooner than its turn comes: what it takes is freed once there is an answer, which may wait
        // long for its client. A client may ask a hundred times at once and read nothing.
        async move { Box::pin(service.call(request)).await.map(|answer| watched(answer, received)) }
    });
    let requests = OpenRequests::new(patience.stall);
    let mut http = builder(&requests);
    http.max_header_list_size(u32::try_from(largest_head).unwrap_or(u32::MAX));
    let mut connection = pin!(http.serve_connection(client, service));
    tokio::select! {
        served = &mut connection => return served,
        () = requests.none_for(patience.head) => {}
        () = ending.told() => {}
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        served = &mut connection => served,
        // What was answered last may be on its way.
        () = requests.none_for(patience.stall) => Ok(()),
    }
}

/// Answers what is asked first, and says that there is no more to be had here.
pub async fn refuse<A>(client: ClientIo, stall: Duration, answer: A) -> hyper::Result<()>
where
    A: Fn(&Request<Incoming>) -> warp::http::Response<Bytes>,
{
    let asked = Notify::new();
    let service = service_fn(|request| {
        let answer = answer(&request).map(Full::new);
        asked.notify_one();
        // Its body is passed over.
        drop(give(CompleteBody::of(request)));
        std::future::ready(Ok::<_, Infallible>(answer))
    });
    let mut connection = pin!(builder(&OpenRequests::new(stall)).serve_connection(client, service));
    tokio::select! {
        served = &mut connection => return served,
        () = asked.notified() => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

fn builder(requests: &OpenRequests) -> http2::Builder<OpenRequests> {
    let mut http = http2::Builder::new(requests.clone());
    http.timer(TokioTimer::new()).keep_alive_interval(ASKED);
    http.max_concurrent_streams(STREAMS).max_send_buf_size(WAITING);
    http.initial_stream_window_size(WINDOW).initial_connection_window_size(WINDOW);
    http
}
