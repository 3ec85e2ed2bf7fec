//! The HTTP server: routes, produce requests and event streams. Only this module uses warp. `routes` lists the paths.

mod accept;
mod api_docs;
mod arrival;
mod auth;
mod blocking;
mod certificate;
mod challenge;
mod cloudevents;
mod create_topic;
mod dashboard;
mod delete;
pub mod event;
mod handoff;
mod health;
mod integer;
mod io;
pub mod limits;
mod login;
mod metrics;
mod origin;
mod partitions;
mod peer;
pub mod problem;
pub mod produce;
pub mod query;
mod records;
mod rejection_log;
mod request;
mod response;
mod rest_proxy;
mod routes;
mod series;
mod series_format;
mod server;
mod shutdown;
mod stream;
mod subscribe;
mod topic_activity;
mod topic_description;
mod topics;
mod trace;
mod transport;
mod webhook;

pub use create_topic::Creation;
pub use delete::Deletion;
pub use origin::{BindScope, OriginPolicy, Origins};
pub use peer::{Network, TrustedProxies};
pub use routes::routes;
pub use server::{ClientCertificates, ServerTls, ServerTlsError, TlsFiles, bind, serve};
pub use trace::Trace;
pub use webhook::WebhookSenders;

use crate::auth::Authenticator;
use crate::hub::Hub;
use crate::schemas::registry::SchemaRegistry;
use crate::sync::memory_budget::MemoryBudget;
use blocking::{BlockingLimit, run_blocking};
use limits::ClientLimits;
use metrics::Metrics;
use problem::Problem;
use rejection_log::RejectionLog;
use shutdown::Shutdown;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use warp::http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use warp::reply::Response;

#[derive(Debug, Clone)]
pub struct Settings {
    pub origin_policy: OriginPolicy,
    pub webhook_senders: WebhookSenders,
    /// Proxies that are trusted to report the address of the client.
    pub proxies: TrustedProxies,
    pub produce: produce::Settings,
    pub creation: Creation,
    pub deletion: Deletion,
    /// Authentication and authorization.
    pub auth: Authenticator,
    /// Limits for each client.
    pub limits: limits::Settings,
    /// Silence after which a stream sends a heartbeat.
    pub heartbeat: Duration,
    /// Maximum number of open connections; further ones are rejected with 503.
    pub max_connections: usize,
    /// A client that reads less than 16 KiB of its pending bytes within this time is disconnected.
    pub stall_timeout: Duration,
    /// Time before the shutdown in which `/ready` returns 503 and requests are still served.
    pub shutdown_delay: Duration,
    /// Time limit for open requests to finish during the shutdown. Streams end one after another within this time.
    pub drain: Duration,
    /// The memory budget that all responses share.
    pub memory: MemoryBudget,
    /// The schema registry, for its metrics.
    pub registry: Option<SchemaRegistry>,
    pub access_log: AccessLog,
}

/// Whether the log has a line for each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AccessLog {
    /// At the level debug.
    #[default]
    Off,
    /// At the level info.
    On,
}

/// The defaults of `curlew serve` on loopback.
impl Default for Settings {
    fn default() -> Self {
        Self {
            origin_policy: OriginPolicy { origins: Origins::Listed(Vec::new()), scope: BindScope::Loopback },
            webhook_senders: WebhookSenders::default(),
            proxies: TrustedProxies::default(),
            produce: produce::Settings::default(),
            creation: Creation::Forbidden,
            deletion: Deletion::Forbidden,
            auth: Authenticator::disabled(),
            limits: limits::Settings::default(),
            heartbeat: Duration::from_secs(15),
            max_connections: 20_000,
            stall_timeout: Duration::from_secs(30),
            shutdown_delay: Duration::ZERO,
            drain: Duration::from_secs(10),
            memory: MemoryBudget::default(),
            registry: None,
            access_log: AccessLog::Off,
        }
    }
}

/// Maximum number of requests to the broker that block a thread at a time. Pages of records are larger and have a separate
/// limit, against which a page that waits for records does not count.
const MAX_BROKER_REQUESTS: usize = 64;
const MAX_PAGES: usize = 32;

/// Log lines per minute about rejected origins and hosts: a page may retry often.
const MAX_REJECTION_LINES: u32 = 1;

/// Log lines per minute about rejected credentials.
const MAX_CREDENTIAL_LINES: u32 = 20;

/// The state that all requests share.
pub struct App {
    pub hub: Arc<Hub>,
    pub settings: Settings,
    metrics: Metrics,
    limits: ClientLimits,
    broker_requests: BlockingLimit,
    pages: BlockingLimit,
    readers: records::Readers,
    /// Size of the last list of topics, in bytes.
    last_list: AtomicUsize,
    series_updates: series::cache::UpdateCache,
    scrapes: BlockingLimit,
    rejections: RejectionLog,
    rejected_credentials: RejectionLog,
    shutdown: Shutdown,
}

impl App {
    pub fn new(hub: Arc<Hub>, settings: Settings) -> Arc<Self> {
        let broker_requests = BlockingLimit::new("requests to the broker", MAX_BROKER_REQUESTS);
        let pages = BlockingLimit::new("requests to the broker", MAX_PAGES);
        let scrapes = BlockingLimit::new("requests for metrics", 1);
        let metrics = Metrics::new(&hub, &settings.memory, settings.registry.as_ref());
        let limits = ClientLimits::new(settings.limits.clone());
        Arc::new(Self {
            hub,
            settings,
            metrics,
            limits,
            broker_requests,
            pages,
            readers: records::Readers::default(),
            last_list: AtomicUsize::new(0),
            series_updates: series::cache::UpdateCache::default(),
            scrapes,
            rejections: RejectionLog::new(MAX_REJECTION_LINES),
            rejected_credentials: RejectionLog::new(MAX_CREDENTIAL_LINES),
            shutdown: Shutdown::new(),
        })
    }

    fn origin_policy(&self) -> &OriginPolicy {
        &self.settings.origin_policy
    }

    /// Runs a blocking request to the broker outside the async threads.
    async fn ask<T: Send + 'static>(&self, request: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
        run_blocking(&self.broker_requests, request).await
    }

    /// Encodes the metrics outside the async threads, with a separate limit, so that requests to a slow broker do not delay
    /// them. Only one response is encoded at a time and its size is bounded, so it counts in the memory budget only while
    /// its client reads it.
    async fn metrics(self: &Arc<Self>, headers: HeaderMap) -> Result<Response, Problem> {
        let app = self.clone();
        let (content_type, text) = run_blocking(&self.scrapes, move || app.metrics.encode(&headers)).await??;
        let mut response = Response::new(response::counted(self, text.into_bytes())?.into());
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        Ok(response)
    }

    /// Reads a page of records outside the async threads.
    async fn page<T: Send + 'static>(&self, read: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
        run_blocking(&self.pages, read).await
    }
}
