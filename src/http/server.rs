//! The accept loop, with and without TLS: HTTP/1.1 and HTTP/2.

mod body_drain;
mod complete_body;
mod connection;
mod h2_stall;
mod http2;
mod rejected_certs;
mod request_check;
mod timeouts;
mod tls;

pub use tls::{ClientCertificates, ServerTls, ServerTlsError, TlsFiles};

use super::problem::Problem;
use super::routes::routes;
use super::shutdown::{Phase, grace, last_end, spread};
use super::{App, health};
use crate::sync::watchdog;
use connection::{Accepted, connection};
use log::{debug, warn};
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use timeouts::{ShutdownSignal, Timeouts};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, timeout, timeout_at};

/// Pause after a failed accept, usually because no file descriptor is free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Size of a connection's send buffer in the kernel, in bytes.
const SEND_BUFFER: u32 = 256 << 10;
/// Length of the kernel's queue of connections that are not accepted yet.
const BACKLOG: u32 = 4096;

/// How often the shutdown checks whether streams and bodies have ended.
const DRAIN_POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A request head of up to this multiple of the limit is read completely and rejected with its size. A larger one is
/// rejected unread.
const HEAD_READ_FACTOR: usize = 4;

/// Maximum number of connections beyond the limit that receive a rejection at a time, counted separately for loopback and
/// for all other addresses, and the time limit for each.
const MAX_REJECTIONS: usize = 64;
const REJECTION_TIMEOUT: Duration = Duration::from_secs(2);

/// Binds a listening socket. Fails if the address is in use or does not belong to this machine.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { tokio::net::TcpSocket::new_v4()? } else { tokio::net::TcpSocket::new_v6()? };
    // Without it a restart fails while connections of the previous process are in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    // Accepted connections inherit it. By default the kernel buffers up to 4 MiB for each slow reader.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves until `shutdown` completes, and for the shutdown delay after it. Then it ends streams and uploads one after
/// another, a stream after a complete frame and an upload with its summary. Other requests may finish, unless their clients
/// pause before they have sent everything. Returns when all connections are closed or the drain timeout has passed.
pub async fn serve(listener: TcpListener, tls: Option<ServerTls>, app: Arc<App>, shutdown: impl Future<Output = ()>) {
    let service = hyper_util::service::TowerToHyperService::new(warp::service(routes(app.clone())));
    let max_connections = app.settings.max_connections.min(Semaphore::MAX_PERMITS);
    let slots = Arc::new(Semaphore::new(max_connections));
    // Counted separately, so that a local health check gets a response even while many remote clients are rejected.
    let (mut local_rejections, mut rejections) = (Rejections::default(), Rejections::default());
    let (shutdown_sender, shutdown_receiver) = watch::channel(false);
    // Dropping the set aborts its task.
    let mut file_watcher = JoinSet::new();
    if let Some(tls) = tls.clone() {
        file_watcher.spawn(tls.follow_files());
    }
    let mut shutdown = pin!(async {
        shutdown.await;
        app.shutdown.enter(Phase::NotReady);
        tokio::time::sleep(app.settings.shutdown_delay).await;
    });
    loop {
        let result = tokio::select! {
            result = listener.accept() => result,
            () = &mut shutdown => break,
        };
        let accepted = match result {
            Ok((stream, from)) => Accepted { stream, address: from.ip().to_canonical(), tls: tls.clone() },
            Err(error) => {
                // Usually no file descriptor is free. Drop connections that are being rejected first.
                if rejections.drop_oldest() || local_rejections.drop_oldest() {
                    tokio::task::yield_now().await;
                } else {
                    warn!("cannot accept a connection: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
                continue;
            }
        };
        let slot = app.limits.connection(accepted.address, &app.settings.proxies);
        let slot = slot.and_then(|address_slot| {
            Ok((address_slot, slots.clone().try_acquire_owned().map_err(|_| all_in_use(max_connections))?))
        });
        let slot = match slot {
            Ok(slot) => slot,
            Err(problem) => {
                let rejections = if accepted.address.is_loopback() { &mut local_rejections } else { &mut rejections };
                let app = app.clone();
                rejections.start(async move {
                    let health = || health::health(&app).unwrap_or_else(|problem| problem.response());
                    let rejection = accepted.reject(&problem, health, REJECTION_TIMEOUT);
                    let _ = timeout(REJECTION_TIMEOUT, rejection).await;
                });
                continue;
            }
        };
        let timeouts = Timeouts {
            head: app.settings.limits.header_timeout,
            last_head: grace(app.settings.drain),
            stall: app.settings.stall_timeout,
        };
        let max_head = app.settings.limits.max_header.saturating_mul(HEAD_READ_FACTOR);
        // Boxed, because every future that it moves through would reserve its size again for the connection's lifetime.
        let connection = Box::pin(connection(
            accepted,
            timeouts,
            max_head,
            service.clone(),
            ShutdownSignal(shutdown_receiver.clone()),
        ));
        tokio::spawn(async move {
            // A panic while a response body is written closes this connection only.
            if let Some(Err(error)) = watchdog::caught_in_request(connection).await {
                debug!("connection closed: {error}");
            }
            drop(slot);
        });
    }
    drop(listener);
    let drain = app.settings.drain;
    let streams = spread(app.shutdown.streams(), drain);
    app.shutdown.enter(Phase::Draining { streams, grace: grace(drain) });
    shutdown_sender.send_replace(true);
    let drained = async {
        let last_end = Instant::now() + last_end(drain);
        let _ = timeout(streams, until_zero(|| app.hub.streams() + app.shutdown.streams())).await;
        // Records that clients have begun to send are still written.
        let _ = timeout_at(last_end, until_zero(|| app.shutdown.bodies())).await;
        app.shutdown.enter(Phase::Closed);
        let hub = app.hub.clone();
        // Blocks until every queued record has its result.
        let _ = tokio::task::spawn_blocking(move || hub.shut_down()).await;
        drop(slots.acquire_many(u32::try_from(max_connections).unwrap_or(u32::MAX)).await);
    };
    if timeout(drain, drained).await.is_err() {
        warn!("shut down before some connections or records had finished, after {drain:?}");
    }
}

/// Connections that receive a rejection. Beyond [`MAX_REJECTIONS`] the oldest is dropped, because its client most likely is
/// silent: a monitor sends its request for `/health` at once.
#[derive(Default)]
struct Rejections(VecDeque<AbortHandle>);

impl Rejections {
    fn start(&mut self, rejection: impl Future<Output = ()> + Send + 'static) {
        self.0.retain(|rejection| !rejection.is_finished());
        if self.0.len() >= MAX_REJECTIONS {
            self.drop_oldest();
        }
        self.0.push_back(tokio::spawn(rejection).abort_handle());
    }

    /// Aborts the oldest rejection. Returns `false` if none is running.
    fn drop_oldest(&mut self) -> bool {
        self.0.retain(|rejection| !rejection.is_finished());
        self.0.pop_front().inspect(AbortHandle::abort).is_some()
    }
}

/// Waits until the count is zero.
async fn until_zero(count: impl Fn() -> usize) {
    while count() > 0 {
        tokio::time::sleep(DRAIN_POLL_INTERVAL).await;
    }
}

fn all_in_use(max_connections: usize) -> Problem {
    Problem::busy(format!(
        "all {max_connections} connections are in use; try again later (the limit is --max-connections)"
    ))
}
