//! The web: routes, produce, streams; the only place that names warp. The URL table is in `routes`.

mod arrival;
mod auth;
mod certificate;
mod dashboard;
mod delete;
pub mod event;
mod handoff;
mod io;
pub mod limits;
mod login;
mod metrics;
mod origin;
mod peer;
pub mod problem;
pub mod produce;
pub mod query;
mod records;
mod request;
mod response;
mod routes;
mod server;
mod shutdown;
mod status;
mod stream;
mod subscribe;
mod trace;
mod transport;

pub use delete::Deletion;
pub use origin::{BindScope, OriginPolicy, Origins};
pub use peer::{Network, TrustedProxies};
pub use routes::routes;
pub use server::{ClientCertificates, ServerTls, TlsFiles, bind, serve};
pub use trace::Trace;

use crate::auth::Authenticator;
use crate::hub::Hub;
use crate::logging;
use crate::sync::memory_budget::MemoryBudget;
use crate::sync::watchdog;
use limits::ClientLimits;
use metrics::Metrics;
use problem::Problem;
use shutdown::Shutdown;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use tokio::sync::Semaphore;
use warp::http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use warp::reply::Response;

#[derive(Debug, Clone)]
pub struct Settings {
    pub guard: OriginPolicy,
    /// Proxies in front that say whom a request comes from.
    pub proxies: TrustedProxies,
    pub produce: produce::Settings,
    pub deletion: Deletion,
    /// Who may do what.
    pub auth: Authenticator,
    /// What one client may take.
    pub limits: limits::Settings,
    /// Silence after which a stream sends a heartbeat.
    pub heartbeat: Duration,
    /// Open connections; one more is told to come back later.
    pub max_connections: usize,
    /// A client that takes nothing for so long, or less than 16 KiB of what waits for it, is closed.
    pub stall_timeout: Duration,
    /// How long `/ready` says 503 while everything is served, before the bridge ends.
    pub shutdown_delay: Duration,
    /// How long open requests may take to finish when the bridge ends, and over which its streams end.
    pub drain: Duration,
    /// What all answers may take together.
    pub memory: MemoryBudget,
}

/// Those of `curlew serve` on loopback where nothing else is given.
impl Default for Settings {
    fn default() -> Self {
        Self {
            guard: OriginPolicy { origins: Origins::These(Vec::new()), listens: BindScope::Loopback },
            proxies: TrustedProxies::default(),
            produce: produce::Settings::default(),
            deletion: Deletion::Forbidden,
            auth: Authenticator::disabled(),
            limits: limits::Settings::default(),
            heartbeat: Duration::from_secs(15),
            max_connections: 20_000,
            stall_timeout: Duration::from_secs(30),
            shutdown_delay: Duration::ZERO,
            drain: Duration::from_secs(10),
            memory: MemoryBudget::default(),
        }
    }
}

/// Questions to the broker that may wait at a time, each on a thread of its own; more are refused after a while.
/// Pages of records are larger, so they have places of their own. A page that waits for records has no place meanwhile.
const QUESTIONS: usize = 64;
const PAGES: usize = 32;
/// Requests that wait for one of those; each takes some kilobytes, and one connection may bring a hundred.
const QUEUED: usize = 1024;
/// How long a question may wait for its turn.
const TURN: Duration = Duration::from_secs(5);

/// What all requests share.
pub struct App {
    pub hub: Arc<Hub>,
    pub settings: Settings,
    metrics: Metrics,
    limits: ClientLimits,
    questions: Turns,
    pages: Turns,
    readers: records::Readers,
    /// Bytes of the list of topics when it was last read.
    last_list: AtomicUsize,
    scrapes: Turns,
    rejections: origin::RejectionLog,
    shutdown: Shutdown,
}

impl App {
    pub fn new(hub: Arc<Hub>, settings: Settings) -> Arc<Self> {
        let (questions, pages) = (Turns::new(QUESTIONS), Turns::new(PAGES));
        let (metrics, scrapes) = (Metrics::new(&hub, &settings.memory), Turns::new(1));
        let limits = ClientLimits::new(settings.limits.clone());
        Arc::new(Self {
            hub,
            settings,
            metrics,
            limits,
            questions,
            pages,
            readers: records::Readers::default(),
            last_list: AtomicUsize::new(0),
            scrapes,
            rejections: origin::RejectionLog::default(),
            shutdown: Shutdown::new(),
        })
    }

    fn guard(&self) -> &OriginPolicy {
        &self.settings.guard
    }

    /// Asks the broker something, beside the async threads.
    async fn ask<T: Send + 'static>(&self, question: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
        in_turn(&self.questions, question).await
    }

    /// Writes the metrics, beside the async threads. They are there whatever the broker does. One page is written at a time, and its
    /// size is bounded, so that it is counted only while its client takes it.
    async fn metrics(self: &Arc<Self>, headers: HeaderMap) -> Result<Response, Problem> {
        let app = self.clone();
        let (content_type, text) = in_turn(&self.scrapes, move || app.metrics.answer(&headers)).await??;
        let mut response = Response::new(response::counted(self, text.into_bytes())?.into());
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        Ok(response)
    }

    /// Reads a page of records, beside the async threads.
    async fn page<T: Send + 'static>(&self, read: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
        in_turn(&self.pages, read).await
    }
}

/// Work that blocks, so much at a time.
struct Turns {
    running: Arc<Semaphore>,
    waiting: Semaphore,
}

impl Turns {
    fn new(running: usize) -> Self {
        Self { running: Arc::new(Semaphore::new(running)), waiting: Semaphore::new(QUEUED) }
    }
}

async fn in_turn<T: Send + 'static>(turns: &Turns, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    let busy = || Problem::busy("too many questions to the broker are waiting already; try again");
    let queued = turns.waiting.try_acquire().map_err(|_| busy())?;
    let turn = tokio::time::timeout(TURN, turns.running.clone().acquire_owned()).await;
    let Ok(Ok(turn)) = turn else { return Err(busy()) };
    drop(queued);
    let request = logging::current();
    let working = tokio::task::spawn_blocking(move || {
        let result = watchdog::caught_in_poll(|| logging::while_working(request, work));
        drop(turn);
        result
    });
    let failed = || Problem::internal("the bridge failed at this request; please report it");
    working.await.ok().flatten().ok_or_else(failed)
}
