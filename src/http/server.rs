//! The accept loop, with and without TLS: HTTP/1.1 and HTTP/2.

mod body_drain;
mod complete_body;
mod connection;
mod h2_stall;
mod http2;
mod rejected_certs;
mod request_check;
mod tls;

pub use tls::{Clients, ServerTls, TlsFiles};

use super::problem::Problem;
use super::routes::routes;
use super::shutdown::{Phase, grace, last_end, spread};
use super::{App, status};
use crate::sync::watchdog;
use connection::{Accepted, ShutdownSignal, Timeouts, connection};
use log::{debug, warn};
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, timeout, timeout_at};

/// After an accept that failed (mostly: no file descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Bytes that the kernel may hold for one client.
const SEND_BUFFER: u32 = 256 << 10;
/// Connections that wait to be accepted, by the kernel.
const BACKLOG: u32 = 4096;

/// Between looks whether streams and bodies have ended.
const OPEN_PAUSE: Duration = Duration::from_millis(20);

/// Heads so many times as large as is allowed are not read to their end, and refused without a word.
const HARD: usize = 4;

/// Connections beyond the limit that are told so at a time, of this machine and of all others, and how long each may take
/// to hear it.
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

/// Serves until `shutdown`, and for the shutdown delay after it. Then it ends streams and uploads one after the other, a
/// stream after a whole frame and an upload with its summary. It lets requests finish, but for those whose clients pause
/// before they have sent everything, and returns when all connections are closed or the drain timeout has passed.
pub async fn serve(listener: TcpListener, tls: Option<ServerTls>, app: Arc<App>, shutdown: impl Future<Output = ()>) {
    let service = hyper_util::service::TowerToHyperService::new(warp::service(routes(app.clone())));
    let most = app.settings.max_connections.min(Semaphore::MAX_PERMITS);
    let places = Arc::new(Semaphore::new(most));
    // Whoever watches the bridge from this machine has its turn however many come from elsewhere.
    let (mut own_refusals, mut refusals) = (Refusals::default(), Refusals::default());
    let (end, ending) = watch::channel(false);
    // Ends when it is dropped.
    let mut following = JoinSet::new();
    if let Some(tls) = tls.clone() {
        following.spawn(tls.follow_files());
    }
    let mut shutdown = pin!(async {
        shutdown.await;
        app.shutdown.enter(Phase::NotReady);
        tokio::time::sleep(app.settings.shutdown_delay).await;
    });
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut shutdown => break,
        };
        let caller = match accepted {
            Ok((stream, from)) => Accepted { stream, address: from.ip().to_canonical(), tls: tls.clone() },
            Err(error) => {
                // Mostly there are no descriptors left. Those of rejected clients are the first to be given back.
                if refusals.drop_oldest() || own_refusals.drop_oldest() {
                    tokio::task::yield_now().await;
                } else {
                    warn!("cannot accept a connection: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
                continue;
            }
        };
        let place = app.limits.connection(caller.address, &app.settings.proxies);
        let place = place.and_then(|own| Ok((own, places.clone().try_acquire_owned().map_err(|_| full(most))?)));
        let place = match place {
            Ok(place) => place,
            Err(problem) => {
                let refusals = if caller.address.is_loopback() { &mut own_refusals } else { &mut refusals };
                let app = app.clone();
                refusals.start(async move {
                    let health = || status::health(&app).unwrap_or_else(|problem| problem.response());
                    let refused = caller.refuse(&problem, health, REFUSAL_TIMEOUT);
                    let _ = timeout(REFUSAL_TIMEOUT, refused).await;
                });
                continue;
            }
        };
        let patience = Timeouts {
            head: app.settings.limits.header_timeout,
            last_head: grace(app.settings.drain),
            stall: app.settings.stall_timeout,
        };
        let largest = app.settings.limits.max_header.saturating_mul(HARD);
        // Boxed: each future that it is moved through would have room for it once more, for as long as it is served.
        let connection =
            Box::pin(connection(caller, patience, largest, service.clone(), ShutdownSignal(ending.clone())));
        tokio::spawn(async move {
            // A panic while an answer's body is written costs this connection only.
            if let Some(Err(error)) = watchdog::caught_in_request(connection).await {
                debug!("a connection ended: {error}");
            }
            drop(place);
        });
    }
    drop(listener);
    let drain = app.settings.drain;
    let streams = spread(app.shutdown.streams(), drain);
    app.shutdown.enter(Phase::Draining { streams, grace: grace(drain) });
    end.send_replace(true);
    let drained = async {
        let last_end = Instant::now() + last_end(drain);
        let _ = timeout(streams, none(|| app.hub.streams() + app.shutdown.streams())).await;
        // A record that has begun to come is written.
        let _ = timeout_at(last_end, none(|| app.shutdown.bodies())).await;
        app.shutdown.enter(Phase::Closed);
        let hub = app.hub.clone();
        // Blocks until the queued records are settled.
        let _ = tokio::task::spawn_blocking(move || hub.shut_down()).await;
        drop(places.acquire_many(u32::try_from(most).unwrap_or(u32::MAX)).await);
    };
    if timeout(drain, drained).await.is_err() {
        warn!("some connections or records were not finished within {drain:?}");
    }
}

/// Connections that are told why they are rejected. One more than [`REFUSALS`] takes the place of the oldest: that one has
/// most likely asked nothing, and a monitor that asks for `/health` does so at once.
#[derive(Default)]
struct Refusals(VecDeque<AbortHandle>);

impl Refusals {
    fn start(&mut self, refusal: impl Future<Output = ()> + Send + 'static) {
        self.0.retain(|refusal| !refusal.is_finished());
        if self.0.len() >= REFUSALS {
            self.drop_oldest();
        }
        self.0.push_back(tokio::spawn(refusal).abort_handle());
    }

    /// `false`: there is none.
    fn drop_oldest(&mut self) -> bool {
        self.0.retain(|refusal| !refusal.is_finished());
        self.0.pop_front().inspect(AbortHandle::abort).is_some()
    }
}

/// Waits until nothing is open.
async fn none(open: impl Fn() -> usize) {
    while open() > 0 {
        tokio::time::sleep(OPEN_PAUSE).await;
    }
}

fn full(most: usize) -> Problem {
    Problem::busy(format!("all {most} connections are in use; try again later (the limit is --max-connections)"))
}
