//! One client's connection.

use super::body_drain::lend;
use super::complete_body::{CompleteBody, RequestBody};
use super::http2;
use super::request_check;
use super::tls::ServerTls;
use crate::http::handoff::{HandoffSlot, HandoffTurn, HeadOnly, plain, write_out};
use crate::http::io::{ClientIo, Speaks, Uploads};
use crate::http::peer::{Peer, PeerScheme};
use crate::http::problem::Problem;
use crate::http::routes::BodyLength;
use crate::http::trace;
use crate::http::transport::Transport;
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
use tokio::sync::watch;
use warp::http::header::{CONNECTION, EXPECT};
use warp::http::{Method, Request, Response};
use warp::reply::Response as Answer;

/// How long a client may take for the TLS handshake and a request's head, also when the bridge ends, and to take what is
/// sent.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    pub head: Duration,
    pub last_head: Duration,
    pub stall: Duration,
}

/// How long a client has to hear what is wrong.
const HEARING: Duration = Duration::from_secs(2);
/// Bytes of a body that are read before they are asked for.
const READ_AHEAD: usize = 64 << 10;

pub type ConnectionError = Box<dyn std::error::Error + Send + Sync>;

/// A socket that was accepted, and how its client must speak.
pub struct Accepted {
    pub stream: TcpStream,
    pub address: IpAddr,
    pub tls: Option<ServerTls>,
}

/// Serves one client until it leaves or the bridge ends.
pub async fn connection<S>(
    caller: Accepted,
    patience: Timeouts,
    largest_head: usize,
    service: S,
    ending: ShutdownSignal,
) -> Result<(), ConnectionError>
where
    S: Service<Request<RequestBody>, Response = Answer, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    let opened = tokio::select! {
        biased;
        opened = tokio::time::timeout(patience.head, Box::pin(caller.open(patience.stall))) => opened??,
        // Browsers open connections before they need them; those must not hold up the end.
        () = ending.clone().told() => return Ok(()),
    };
    let Some((client, speaks, peer)) = opened else { return Ok(()) };
    let service = service_fn(move |mut request: Request<RequestBody>| {
        request.extensions_mut().insert(peer.clone());
        let service = service.clone();
        request_check::answer(request, move |request| service.call(request))
    });
    match speaks {
        Speaks::Nothing => Ok(()),
        // Boxed: what they take is given back before a stream goes on without them.
        Speaks::Http1 => match Box::pin(serve_http1(client, patience, largest_head, service, ending)).await? {
            Some((client, answer)) if closes(&answer) => Ok(tell(client, whole(answer).await?).await?),
            Some((client, answer)) => Ok(write_out(client, answer).await?),
            None => Ok(()),
        },
        Speaks::Http2 => Ok(Box::pin(http2::serve(client, patience, largest_head, service, ending)).await?),
    }
}

impl Accepted {
    /// `None`: it was told what is wrong already.
    async fn open(self, stall: Duration) -> io::Result<Option<(ClientIo, Speaks, Peer)>> {
        // Receipts and single events are small: they must not wait for more.
        self.stream.set_nodelay(true)?;
        let (transport, scheme, certificate) = match self.tls {
            None => (Transport::Plain(self.stream), PeerScheme::Unknown, None),
            Some(tls) if ServerTls::is_spoken_by(&self.stream).await? => {
                let (transport, certificate) = tls.accept(self.stream).await?;
                (transport, PeerScheme::Https, certificate)
            }
            Some(_) => {
                let client = ClientIo::new(Transport::Plain(self.stream), stall);
                say(client, &Problem::bad_request("this port speaks HTTPS: use https:// in place of http://")).await?;
                return Ok(None);
            }
        };
        let mut client = ClientIo::new(transport, stall);
        let speaks = client.speaks().await?;
        Ok(Some((client, speaks, Peer { address: self.address, is_hidden: false, scheme, certificate })))
    }

    /// Tells it what is wrong; only whether the bridge is well it is told all the same.
    pub async fn refuse(
        self,
        problem: &Problem,
        health: impl Fn() -> Response<Bytes>,
        stall: Duration,
    ) -> io::Result<()> {
        match self.open(stall).await? {
            Some((client, Speaks::Http1, _)) => {
                let is_health = client.begins_with(b"GET /health ") || client.begins_with(b"HEAD /health ");
                let mut answer = if is_health { health() } else { problem.response() };
                if client.begins_with_head() {
                    answer.extensions_mut().insert(HeadOnly);
                }
                tell(client, answer).await
            }
            Some((client, Speaks::Http2, _)) => {
                let answer = |request: &Request<Incoming>| {
                    let is_health =
                        matches!(*request.method(), Method::GET | Method::HEAD) && request.uri().path() == "/health";
                    let mut answer = if is_health { health() } else { problem.response() };
                    trace::identify(answer.headers_mut());
                    answer
                };
                http2::refuse(client, stall, answer).await.map_err(io::Error::other)
            }
            _ => Ok(()),
        }
    }
}

/// Says what is wrong, once the client has asked.
async fn say(mut client: ClientIo, problem: &Problem) -> io::Result<()> {
    client.speaks().await?;
    tell(client, problem.response()).await
}

/// The last answer on a connection, of a request that was not read.
async fn tell(mut client: ClientIo, mut answer: Response<Bytes>) -> io::Result<()> {
    trace::identify(answer.headers_mut());
    let told = async {
        client.write(plain(&answer)).await?;
        // Closing with unread bytes would take the answer back (RFC 9112, 9.6).
        client.close().await
    };
    tokio::time::timeout(HEARING, told).await?
}

/// Whether nothing that follows on the connection can be read.
fn closes(answer: &Answer) -> bool {
    answer.headers().contains_key(CONNECTION)
}

async fn whole(answer: Answer) -> Result<Response<Bytes>, ConnectionError> {
    let (mut parts, body) = answer.into_parts();
    parts.headers.remove(CONNECTION);
    Ok(Response::from_parts(parts, body.collect().await?.to_bytes()))
}

fn too_slow(most: Duration) -> Problem {
    Problem::too_slow(format!("the request's head did not come whole within {most:?} (the limit is --header-timeout)"))
}

/// Until the client leaves, or until a stream takes the connection over.
async fn serve_http1<S>(
    client: ClientIo,
    patience: Timeouts,
    largest_head: usize,
    service: S,
    ending: ShutdownSignal,
) -> hyper::Result<Option<(ClientIo, Answer)>>
where
    S: Service<Request<RequestBody>, Response = Answer, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
{
    let slot = HandoffSlot::default();
    let requests = slot.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        let first = requests.offer(&mut request);
        let length = BodyLength::of_http1(request.headers());
        request.extensions_mut().insert(length);
        // To take what waits to be asked for would be to ask for it.
        let waits = request.headers().contains_key(EXPECT);
        let (request, leftover) = lend(CompleteBody::of(request));
        let answer = service.call(request);
        let requests = requests.clone();
        async move {
            let answer = answer.await;
            if !waits {
                leftover.take().await;
            }
            match answer {
                // hyper would take what follows for the next request.
                Ok(answer) if first == HandoffTurn::First && closes(&answer) => Ok(requests.put(answer).await),
                answer => answer,
            }
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(patience.head).max_header_size(largest_head);
    // Left alone, it reads up to 400 KiB ahead for each connection.
    http.max_buf_size(largest_head.max(READ_AHEAD));
    let mut connection = http.serve_connection(client.with_uploads(Uploads::Count), service);
    let answer = tokio::select! {
        served = &mut connection => {
            let Err(error) = served else { return Ok(None) };
            let parts = connection.into_parts();
            if parts.io.is_rejected() {
                let problem = request_check::unparsable(&error, &parts.read_buf, largest_head);
                let mut answer = problem.response();
                // Where only a header's meaning was wrong, the head is not unread any more.
                if parts.read_buf.starts_with(b"HEAD ") || (parts.io.begins_with_head() && !slot.is_used()) {
                    answer.extensions_mut().insert(HeadOnly);
                }
                let _ = tell(parts.io, answer).await;
            } else if error.is_timeout() && !parts.read_buf.is_empty() {
                // One that is idle has asked nothing.
                let _ = tell(parts.io, too_slow(patience.head).response()).await;
            }
            return Err(error);
        }
        answer = slot.taken() => answer,
        () = ending.told() => {
            Pin::new(&mut connection).graceful_shutdown();
            // hyper closes a connection that is idle, but waits for the rest of a first head.
            let no_request = async {
                tokio::time::sleep(patience.last_head).await;
                if slot.is_used() {
                    std::future::pending().await
                }
            };
            tokio::select! {
                served = &mut connection => return served.map(|()| None),
                answer = slot.taken() => answer,
                () = no_request => {
                    let problem = Problem::from(Rejected::ShuttingDown);
                    let _ = tell(connection.into_parts().io, problem.response()).await;
                    return Ok(None);
                }
            }
        }
    };
    Ok(Some((connection.into_parts().io, answer)))
}

/// Whether the bridge ends.
#[derive(Clone)]
pub struct ShutdownSignal(pub watch::Receiver<bool>);

impl ShutdownSignal {
    pub async fn told(mut self) {
        // An error means that `serve` itself is gone.
        drop(self.0.wait_for(|ending| *ending).await);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// How a connection ends whose client says `begin` and then nothing; `None`: it does not.
    async fn served(begin: &[u8]) -> Option<Result<(), String>> {
        let listener = crate::http::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.write_all(begin).await.unwrap();
        let (stream, from) = listener.accept().await.unwrap();
        let (_end, ending) = watch::channel(false);
        let service = service_fn(|_: Request<RequestBody>| async { Ok::<_, Infallible>(Answer::new("ok".into())) });
        let patience = Timeouts {
            head: Duration::from_millis(50),
            last_head: Duration::from_millis(50),
            stall: Duration::from_secs(60),
        };
        let caller = Accepted { stream, address: from.ip(), tls: None };
        let connection = connection(caller, patience, 64 << 10, service, ShutdownSignal(ending));
        let ended = tokio::time::timeout(Duration::from_secs(10), connection).await.ok()?;
        let _ = client.read_to_end(&mut Vec::new()).await;
        Some(ended.map_err(|error| error.to_string()))
    }

    #[tokio::test]
    async fn a_client_that_takes_too_long_over_its_head_is_closed() {
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
            assert!(ended.is_some(), "{:?} holds its connection", String::from_utf8_lossy(begin));
        }
    }
}
