//! A key set that is fetched from a URL, at intervals and when a token names an unknown key. The last keys stay in use while
//! the URL is unreachable.

use super::error::{FetchError, FetcherError};
use super::key_set::{KeySet, KeySetSource};
use crate::sync::backoff::Backoff;
use crate::sync::watchdog;
use crate::sync::worker::Worker;
use crate::tls;
use crossbeam_channel::{Receiver, Sender, bounded, select};
use log::{info, warn};
use rustls::pki_types::CertificateDer;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The first back-off after a failed fetch.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The time limit of a fetch.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The largest response body.
const MAX_BYTES: u64 = 1 << 20;

/// The URL of a key set, and how to fetch it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySetUrl {
    pub url: String,
    /// Trust anchors for HTTPS, instead of the system's.
    pub ca_certificates: Option<Vec<CertificateDer<'static>>>,
    /// The interval between fetches.
    pub interval: Duration,
    /// The shortest interval between fetches because of unknown keys: any client can send a token that names one.
    pub min_interval: Duration,
}

/// The thread that fetches a key set. Dropping it stops and joins the thread, which may take until a fetch times out.
pub struct Fetcher {
    pub remote: Arc<Remote>,
    // Fields drop in order: the channel closes before the thread is joined.
    _shutdown: Sender<()>,
    _worker: Worker,
}

/// The fetched keys, shared by all tables that use the URL.
pub struct Remote {
    pub location: KeySetUrl,
    fetched: watch::Receiver<FetchedKeys>,
    request: Sender<()>,
}

#[derive(Clone)]
struct FetchedKeys {
    /// The keys of the last successful fetch.
    keys: Option<Arc<KeySet>>,
    /// The end of the last fetch, successful or not.
    last_attempt: Option<Instant>,
}

impl Fetcher {
    /// Starts the thread. `keys` are the last keys fetched from this URL. `changed` is notified when a fetch returns
    /// different keys.
    pub fn start(
        location: KeySetUrl,
        keys: Option<Arc<KeySet>>,
        changed: Arc<watch::Sender<()>>,
    ) -> Result<Self, FetcherError> {
        let agent = agent(&location)?;
        let (fetched_sender, fetched) = watch::channel(FetchedKeys { keys, last_attempt: None });
        let (request, requests) = bounded(1);
        let (_shutdown, shutdown) = bounded(0);
        let task =
            FetchTask { location: location.clone(), agent, fetched: fetched_sender, changed, requests, shutdown };
        let _worker = Worker::start("jwks", move || task.run())?;
        Ok(Self { remote: Arc::new(Remote { location, fetched, request }), _shutdown, _worker })
    }
}

impl Remote {
    /// Returns the keys of the last successful fetch, or `None` before the first.
    pub fn keys(&self) -> Option<Arc<KeySet>> {
        self.fetched.borrow().keys.clone()
    }

    /// Requests a fetch and waits for its end. Does nothing if the last fetch was less than `min_interval` ago.
    pub async fn refresh(&self) {
        let mut fetched = self.fetched.clone();
        let before = fetched.borrow_and_update().last_attempt;
        if before.is_some_and(|last_attempt| last_attempt.elapsed() < self.location.min_interval) {
            return;
        }
        // A full channel means that a fetch is already pending.
        let _ = self.request.try_send(());
        let done = fetched.wait_for(|fetched| fetched.last_attempt != before);
        drop(tokio::time::timeout(TIMEOUT + FIRST_PAUSE, done).await);
    }
}

/// The state of the thread.
struct FetchTask {
    location: KeySetUrl,
    agent: ureq::Agent,
    fetched: watch::Sender<FetchedKeys>,
    changed: Arc<watch::Sender<()>>,
    requests: Receiver<()>,
    shutdown: Receiver<()>,
}

impl FetchTask {
    fn run(&self) {
        let mut backoff = Backoff::new(FIRST_PAUSE, self.location.interval);
        let mut is_failing = false;
        loop {
            let pause = match self.fetch() {
                Ok(keys) => {
                    if std::mem::take(&mut is_failing) {
                        info!("{} is available again", self.location.url);
                    }
                    backoff.reset();
                    self.store(keys);
                    self.location.interval
                }
                Err(why) => {
                    if !std::mem::replace(&mut is_failing, true) {
                        warn!("cannot fetch keys from {}; using the cached ones: {why}", self.location.url);
                    }
                    self.fetched.send_modify(|fetched| fetched.last_attempt = Some(Instant::now()));
                    backoff.pause(fastrand::f64())
                }
            };
            // The fetch that just ended also serves the requests that arrived during it.
            let _ = self.requests.try_recv();
            select! {
                recv(self.requests) -> _ => {}
                recv(self.shutdown) -> _ => return,
                default(pause) => {}
            }
        }
    }

    fn store(&self, keys: KeySet) {
        let is_same = self.fetched.borrow().keys.as_ref().is_some_and(|previous| previous.is_same_as(&keys));
        self.fetched.send_modify(|fetched| {
            if !is_same {
                fetched.keys = Some(Arc::new(keys));
            }
            fetched.last_attempt = Some(Instant::now());
        });
        if !is_same {
            info!("fetched new token keys from {}", self.location.url);
            self.changed.send_replace(());
        }
    }

    fn fetch(&self) -> Result<KeySet, FetchError> {
        let _busy = watchdog::busy();
        let mut response = self.agent.get(&self.location.url).header("Accept", "application/json").call()?;
        if !response.status().is_success() {
            return Err(FetchError::Status(response.status()));
        }
        let text = response.body_mut().with_config().limit(MAX_BYTES).read_to_string()?;
        Ok(KeySet::from_jwks(&text, KeySetSource::Url)?)
    }
}

fn agent(location: &KeySetUrl) -> Result<ureq::Agent, FetcherError> {
    let config = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).max_redirects(0).proxy(None);
    if !location.url.starts_with("https://") {
        return Ok(config.build().new_agent());
    }
    let anchors = location.ca_certificates.clone().unwrap_or_else(|| tls::trust_anchors(tls::Trust::System));
    Ok(config.https_only(true).tls_config(tls::ureq_config(&anchors)?).build().new_agent())
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Remote").field(&self.location.url).finish()
    }
}
