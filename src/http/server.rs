//! The accept loop: HTTP/1.1, and HTTP/2 for those who know beforehand, without TLS.

use super::App;
use super::io::{Client, Speaks};
use super::problem::Problem;
use super::routes::routes;
use super::takeover::{Slot, plain, write_out};
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use log::{debug, warn};
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use warp::http::Request;
use warp::reply::Response;

/// How long a client may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// After an accept that failed (mostly: no file descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Bytes that the kernel may hold for one client.
const SEND_BUFFER: u32 = 256 << 10;
/// Connections that wait to be accepted, by the kernel.
const BACKLOG: u32 = 4096;

/// Connections beyond the limit that are told so at a time, and how long each may take to hear it.
const REFUSALS: usize = 64;
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(2);

/// Fails where the address is taken or not this machine's.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { tokio::net::TcpSocket::new_v4()? } else { tokio::net::TcpSocket::new_v6()? };
    // A restart must not wait for the old connections' last minute.
    socket.set_reuseaddr(true)?;
    // Connections inherit it. Left alone, the kernel takes up to 4 MiB for each client that is slow to read.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves until `shutdown`, then ends every stream after a whole frame, lets requests finish, and returns
/// when all connections are closed or the drain timeout has passed.
pub async fn serve(listener: TcpListener, app: Arc<App>, shutdown: impl Future<Output = ()>) {
    let service = hyper_util::service::TowerToHyperService::new(warp::service(routes(app.clone())));
    let most = app.settings.max_connections.min(Semaphore::MAX_PERMITS);
    let places = Arc::new(Semaphore::new(most));
    let refusals = Arc::new(Semaphore::new(REFUSALS));
    let (end, ending) = watch::channel(false);
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut shutdown => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!("cannot accept a connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            // Where even the refused are too many, they are closed without a word.
            if let Ok(turn) = refusals.clone().try_acquire_owned() {
                tokio::spawn(async move {
                    let _ = tokio::time::timeout(REFUSAL_TIMEOUT, refuse(stream, most)).await;
                    drop(turn);
                });
            }
            continue;
        };
        let connection = connection(stream, app.settings.stall_timeout, service.clone(), Ending(ending.clone()));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!("a connection ended: {error}");
            }
            drop(place);
        });
    }
    drop(listener);
    end.send_replace(true);
    let hub = app.hub.clone();
    // Blocks until the queued records are settled.
    let ended = tokio::task::spawn_blocking(move || hub.shut_down());
    let drained = async {
        let _ = ended.await;
        drop(places.acquire_many(u32::try_from(most).unwrap_or(u32::MAX)).await);
    };
    if tokio::time::timeout(app.settings.drain, drained).await.is_err() {
        warn!("some connections or records were not finished within {:?}", app.settings.drain);
    }
}

/// Tells a client that there is no place for it, once it has asked.
async fn refuse(stream: TcpStream, most: usize) -> io::Result<()> {
    let mut client = Client::new(stream, REFUSAL_TIMEOUT);
    client.speaks().await?;
    let problem =
        Problem::busy(format!("all {most} connections are in use; try again later (the limit is --max-connections)"));
    client.write(plain(&problem.response())).await?;
    // Closing with unread bytes would take the answer back (RFC 9112, 9.6).
    client.close().await
}

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Incoming = Request<hyper::body::Incoming>;

/// Serves one client until it leaves or the bridge ends.
async fn connection<S>(stream: TcpStream, stall: Duration, service: S, ending: Ending) -> Result<(), Failure>
where
    S: Service<Incoming, Response = Response, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
{
    // Receipts and single events are small: they must not wait for more.
    stream.set_nodelay(true)?;
    let mut client = Client::new(stream, stall);
    match tokio::time::timeout(HEAD_TIMEOUT, client.speaks()).await?? {
        Speaks::Nothing => Ok(()),
        // Boxed: what they take is given back before a stream goes on without them.
        Speaks::Http1 => match Box::pin(serve_http1(client, service, ending)).await? {
            Some((client, answer)) => Ok(write_out(client, answer).await?),
            None => Ok(()),
        },
        Speaks::Http2 => Ok(Box::pin(serve_http2(client, service, ending)).await?),
    }
}

/// Until the client leaves, or until a stream takes the connection over.
async fn serve_http1<S>(client: Client, service: S, ending: Ending) -> hyper::Result<Option<(Client, Response)>>
where
    S: Service<Incoming, Response = Response, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
{
    let slot = Slot::default();
    let requests = slot.clone();
    let service = service_fn(move |mut request: Incoming| {
        requests.offer(&mut request);
        service.call(request)
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let mut connection = http.serve_connection(client, service);
    let answer = tokio::select! {
        served = &mut connection => return served.map(|()| None),
        answer = slot.taken() => answer,
        () = ending.told() => {
            Pin::new(&mut connection).graceful_shutdown();
            tokio::select! {
                served = &mut connection => return served.map(|()| None),
                answer = slot.taken() => answer,
            }
        }
    };
    Ok(Some((connection.into_parts().io, answer)))
}

async fn serve_http2<S>(client: Client, service: S, ending: Ending) -> hyper::Result<()>
where
    S: Service<Incoming, Response = Response, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
{
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new()).keep_alive_interval(Duration::from_secs(30));
    let mut connection = pin!(http.serve_connection(client, service));
    tokio::select! {
        served = &mut connection => return served,
        () = ending.told() => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

/// Whether the bridge ends.
#[derive(Clone)]
struct Ending(watch::Receiver<bool>);

impl Ending {
    async fn told(mut self) {
        // An error means that `serve` itself is gone.
        drop(self.0.wait_for(|ending| *ending).await);
    }
}
