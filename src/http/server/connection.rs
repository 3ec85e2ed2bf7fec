//! One client's connection.

use super::body_drain::keep_unread;
use super::complete_body::{CompleteBody, ConnectionError, IncomingBody};
use super::http2;
use super::request_check;
use super::timeouts::{ShutdownSignal, Timeouts};
use super::tls::ServerTls;
use crate::http::handoff::{HandoffSlot, HandoffTurn, HeadOnly, encode_http1, write_out};
use crate::http::io::{ClientIo, DetectedProtocol, Uploads};
use crate::http::peer::{Peer, PeerScheme};
use crate::http::problem::Problem;
use crate::http::request::BodyLength;
use crate::http::trace;
use crate::http::transport::ClientTransport;
use crate::hub::Rejected;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioTimer;
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use warp::http::header::{CONNECTION, EXPECT};
use warp::http::{Method, Request, Response};
use warp::reply::Response as WarpResponse;

/// Time limit for a client to receive the last response of its connection.
const LAST_RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes of a body that hyper may read ahead of its handler.
const READ_AHEAD: usize = 64 << 10;

/// An accepted socket, and the TLS configuration that its client must use.
pub struct Accepted {
    pub stream: TcpStream,
    pub address: IpAddr,
    pub tls: Option<ServerTls>,
}

/// Serves one client until it disconnects or the bridge shuts down.
pub async fn connection<S>(
    accepted: Accepted,
    timeouts: Timeouts,
    max_head: usize,
    service: S,
    shutdown: ShutdownSignal,
) -> Result<(), ConnectionError>
where
    S: Service<Request<IncomingBody>, Response = WarpResponse, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    let opened = tokio::select! {
        biased;
        opened = tokio::time::timeout(timeouts.head, Box::pin(accepted.open(timeouts.stall))) => opened??,
        // Browsers open connections before they need them; those must not delay the shutdown.
        () = shutdown.clone().received() => return Ok(()),
    };
    let Some((client, protocol, peer)) = opened else { return Ok(()) };
    let service = service_fn(move |mut request: Request<IncomingBody>| {
        request.extensions_mut().insert(peer.clone());
        let service = service.clone();
        request_check::respond(request, move |request| service.call(request))
    });
    match protocol {
        DetectedProtocol::Closed => Ok(()),
        // Boxed, so that hyper's memory is freed before a stream continues without it.
        DetectedProtocol::Http1 => match Box::pin(serve_http1(client, timeouts, max_head, service, shutdown)).await? {
            Some((client, response)) if closes_connection(&response) => {
                Ok(write_last_response(client, collect(response).await?).await?)
            }
            Some((client, response)) => Ok(write_out(client, response).await?),
            None => Ok(()),
        },
        DetectedProtocol::Http2 => Ok(Box::pin(http2::serve(client, timeouts, max_head, service, shutdown)).await?),
    }
}

impl Accepted {
    /// Completes the TLS handshake and detects the protocol. If the client sent plain HTTP where TLS is required,
    /// responds with an error and returns `None`.
    async fn open(self, stall: Duration) -> io::Result<Option<(ClientIo, DetectedProtocol, Peer)>> {
        // Receipts and single events are small; Nagle's algorithm would delay them.
        self.stream.set_nodelay(true)?;
        let (transport, scheme, certificate) = match self.tls {
            None => (ClientTransport::Plain(self.stream), PeerScheme::Unknown, None),
            Some(tls) if ServerTls::begins_handshake(&self.stream).await? => {
                let (transport, certificate) = tls.accept(self.stream).await?;
                (transport, PeerScheme::Https, certificate)
            }
            Some(_) => {
                let client = ClientIo::new(ClientTransport::Plain(self.stream), stall);
                respond_to_first_request(
                    client,
                    &Problem::bad_request("this port expects HTTPS: use https:// instead of http://"),
                )
                .await?;
                return Ok(None);
            }
        };
        let mut client = ClientIo::new(transport, stall);
        let protocol = client.detect_protocol().await?;
        Ok(Some((client, protocol, Peer { address: self.address, is_hidden: false, scheme, certificate })))
    }

    /// Responds to the first request with `problem`, or with the bridge's health if it is a request for `/health`.
    pub async fn reject(
        self,
        problem: &Problem,
        health: impl Fn() -> Response<Bytes>,
        stall: Duration,
    ) -> io::Result<()> {
        match self.open(stall).await? {
            Some((client, DetectedProtocol::Http1, _)) => {
                let is_health = client.begins_with(b"GET /health ") || client.begins_with(b"HEAD /health ");
                let mut response = if is_health { health() } else { problem.response() };
                if client.begins_with_head() {
                    response.extensions_mut().insert(HeadOnly);
                }
                write_last_response(client, response).await
            }
            Some((client, DetectedProtocol::Http2, _)) => {
                let respond = |request: &Request<Incoming>| {
                    let is_health =
                        matches!(*request.method(), Method::GET | Method::HEAD) && request.uri().path() == "/health";
                    let mut response = if is_health { health() } else { problem.response() };
                    trace::identify(response.headers_mut());
                    response
                };
                http2::reject(client, stall, respond).await.map_err(io::Error::other)
            }
            _ => Ok(()),
        }
    }
}

/// Responds with `problem` to the first bytes of the client.
async fn respond_to_first_request(mut client: ClientIo, problem: &Problem) -> io::Result<()> {
    client.detect_protocol().await?;
    write_last_response(client, problem.response()).await
}

/// Writes the last response of a connection, to a request that was not read, and closes the connection.
async fn write_last_response(mut client: ClientIo, mut response: Response<Bytes>) -> io::Result<()> {
    trace::identify(response.headers_mut());
    let write = async {
        client.write(encode_http1(&response)).await?;
        // Closing a socket with unread bytes resets it, and the client loses the response (RFC 9112, 9.6).
        client.close().await
    };
    tokio::time::timeout(LAST_RESPONSE_TIMEOUT, write).await?
}

/// Whether the connection closes after this response.
fn closes_connection(response: &WarpResponse) -> bool {
    response.headers().contains_key(CONNECTION)
}

async fn collect(response: WarpResponse) -> Result<Response<Bytes>, ConnectionError> {
    let (mut parts, body) = response.into_parts();
    parts.headers.remove(CONNECTION);
    Ok(Response::from_parts(parts, body.collect().await?.to_bytes()))
}

fn head_timeout(limit: Duration) -> Problem {
    Problem::too_slow(format!("the request head was not complete within {limit:?} (the limit is --header-timeout)"))
}

/// Serves until the client disconnects. If a stream takes over the connection, returns the socket and the stream's
/// response.
async fn serve_http1<S>(
    client: ClientIo,
    timeouts: Timeouts,
    max_head: usize,
    service: S,
    shutdown: ShutdownSignal,
) -> hyper::Result<Option<(ClientIo, WarpResponse)>>
where
    S: Service<Request<IncomingBody>, Response = WarpResponse, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
{
    let slot = HandoffSlot::default();
    let requests = slot.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        let turn = requests.offer(&mut request);
        let length = BodyLength::of_http1(request.headers());
        request.extensions_mut().insert(length);
        // Reading a body that waits for "100 Continue" would make hyper ask for it.
        let expects_continue = request.headers().contains_key(EXPECT);
        let (request, unread) = keep_unread(CompleteBody::of(request));
        let response = service.call(request);
        let requests = requests.clone();
        async move {
            let response = response.await;
            if !expects_continue {
                unread.discard().await;
            }
            match response {
                // hyper would parse the bytes that follow as the next request.
                Ok(response) if turn == HandoffTurn::First && closes_connection(&response) => {
                    Ok(requests.put(response).await)
                }
                response => response,
            }
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(timeouts.head).max_header_size(max_head);
    // By default hyper reads up to 400 KiB ahead on each connection.
    http.max_buf_size(max_head.max(READ_AHEAD));
    let mut connection = http.serve_connection(client.with_uploads(Uploads::Count), service);
    let response = tokio::select! {
        served = &mut connection => {
            let Err(error) = served else { return Ok(None) };
            let parts = connection.into_parts();
            if parts.io.is_rejected() {
                let problem = request_check::unparsable(&error, &parts.read_buf, max_head);
                let mut response = problem.response();
                // If only the value of a header was invalid, hyper has consumed the head.
                if parts.read_buf.starts_with(b"HEAD ") || (parts.io.begins_with_head() && !slot.is_used()) {
                    response.extensions_mut().insert(HeadOnly);
                }
                let _ = write_last_response(parts.io, response).await;
            } else if error.is_timeout() && !parts.read_buf.is_empty() {
                // An idle connection has no request that needs a response.
                let _ = write_last_response(parts.io, head_timeout(timeouts.head).response()).await;
            }
            return Err(error);
        }
        response = slot.taken() => response,
        () = shutdown.received() => {
            Pin::new(&mut connection).graceful_shutdown();
            // hyper closes an idle connection, but waits for the rest of a first head.
            let no_request = async {
                tokio::time::sleep(timeouts.last_head).await;
                if slot.is_used() {
                    std::future::pending().await
                }
            };
            tokio::select! {
                served = &mut connection => return served.map(|()| None),
                response = slot.taken() => response,
                () = no_request => {
                    let problem = Problem::from(Rejected::ShuttingDown);
                    let _ = write_last_response(connection.into_parts().io, problem.response()).await;
                    return Ok(None);
                }
            }
        }
    };
    Ok(Some((connection.into_parts().io, response)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// Returns the result of a connection whose client sends `begin` and then nothing; `None` if it stays open.
    async fn served(begin: &[u8]) -> Option<Result<(), String>> {
        let listener = crate::http::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.write_all(begin).await.unwrap();
        let (stream, from) = listener.accept().await.unwrap();
        let (_sender, shutdown) = tokio::sync::watch::channel(false);
        let service =
            service_fn(|_: Request<IncomingBody>| async { Ok::<_, Infallible>(WarpResponse::new("ok".into())) });
        let timeouts = Timeouts {
            head: Duration::from_millis(50),
            last_head: Duration::from_millis(50),
            stall: Duration::from_secs(60),
        };
        let accepted = Accepted { stream, address: from.ip(), tls: None };
        let connection = connection(accepted, timeouts, 64 << 10, service, ShutdownSignal(shutdown));
        let ended = tokio::time::timeout(Duration::from_secs(10), connection).await.ok()?;
        let _ = client.read_to_end(&mut Vec::new()).await;
        Some(ended.map_err(|error| error.to_string()))
    }

    #[tokio::test]
    async fn a_client_that_is_too_slow_with_its_head_is_disconnected() {
        let begins: [&[u8]; 6] = [
            b"",
            b"P",
            b"PRI * HTTP/2.0\r\n",
            b"GET / HT",
            b"GET / HTTP/1.1\r\nhost: a\r\n",
            b"GET / HTTP/1.1\r\n\r\nG",
        ];
        for begin in begins {
            let ended = served(begin).await;
            assert!(ended.is_some(), "{:?} keeps its connection open", String::from_utf8_lossy(begin));
        }
    }
}
