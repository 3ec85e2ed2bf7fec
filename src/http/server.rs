//! The accept loop: HTTP/1.1, and HTTP/2 for those who know beforehand, without TLS.

use super::App;
use super::io::Client;
use super::routes::routes;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use log::{debug, warn};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// How long a client may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// After an accept that failed (mostly: no file descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections that wait to be accepted, by the kernel.
const BACKLOG: u32 = 4096;

/// Fails where the address is taken or not this machine's.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { tokio::net::TcpSocket::new_v4()? } else { tokio::net::TcpSocket::new_v6()? };
    // A restart must not wait for the old connections' last minute.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves until `shutdown`, then ends every stream after a whole frame, lets requests finish, and returns
/// when all connections are closed or `drain` has passed.
pub async fn serve(listener: TcpListener, app: Arc<App>, shutdown: impl Future<Output = ()>) {
    let service = TowerToHyperService::new(warp::service(routes(app.clone())));
    let mut http = Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).pipeline_flush(true);
    http.http2().timer(TokioTimer::new()).keep_alive_interval(Duration::from_secs(30));
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(app.settings.max_connections));
    tokio::pin!(shutdown);
    loop {
        // When all places are taken, new connections wait in the kernel's queue.
        let accepted = async {
            let place = places.clone().acquire_owned().await.ok();
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            accepted = accepted => accepted,
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
        let client = client(stream, app.settings.stall_timeout);
        let connection = http.serve_connection_with_upgrades(client, service.clone()).into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!("a connection ended: {error}");
            }
            drop(place);
        });
    }
    drop(listener);
    let hub = app.hub.clone();
    // Blocks until the queued records are settled.
    let ended = tokio::task::spawn_blocking(move || hub.shut_down());
    let drained = async {
        let _ = ended.await;
        graceful.shutdown().await;
    };
    if tokio::time::timeout(app.settings.drain, drained).await.is_err() {
        warn!("some connections or records were not finished within {:?}", app.settings.drain);
    }
}

fn client(stream: TcpStream, stall: Duration) -> Client {
    // Receipts and single events are small: they must not wait for more.
    if let Err(error) = stream.set_nodelay(true) {
        debug!("no TCP_NODELAY: {error}");
    }
    Client::new(stream, stall)
}
